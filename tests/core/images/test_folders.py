"""Folders of images without a manifest are read as they are, or the file that prevents it is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from usgan_cli.core.errors import DataError, MissingError
from usgan_cli.core.images import codec
from usgan_cli.core.images.folders import content_digest, load_folders


def pixels(seed: int, channels: int = 1, size: int = 8) -> codec.Pixels:
    gray = np.random.default_rng(seed).integers(0, 256, (1, size, size), dtype=np.uint8)
    return np.repeat(gray, channels, axis=0)


def folder(path: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        codec.write_png(path / name, pixels(seed))
    return path


def test_a_class_is_the_first_folder_on_the_way(tmp_path: Path) -> None:
    made = folder(tmp_path / "d", "b/1.png", "a/deep/2.png", "a/0.png", ".hidden/3.png", "a/.thumbs/4.png")
    (made / "notes.txt").write_text("x")
    (images,) = load_folders([made])
    assert (images.name, images.classes) == ("d", ("a", "b"))
    assert images.files == ("a/0.png", "a/deep/2.png", "b/1.png")
    assert images.labels.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(images.pixels[2], pixels(0))
    assert len(set(images.groups.tolist())) == 3


def test_images_in_the_folder_itself_are_of_one_class(tmp_path: Path) -> None:
    (images,) = load_folders([folder(tmp_path, "2.png", "1.png")])
    assert (images.classes, images.files) == (("all",), ("1.png", "2.png"))


def test_one_coloured_image_makes_all_of_them_colour(tmp_path: Path) -> None:
    real, fake = folder(tmp_path / "real", "0.png"), folder(tmp_path / "fake", "0.png")
    codec.write_png(fake / "gray.png", pixels(5, channels=3))
    assert [images.pixels.shape[1] for images in load_folders([real, fake])] == [1, 1], "three equal channels are gray"
    colour = pixels(6, channels=3)
    colour[0] //= 2
    codec.write_png(fake / "colour.png", colour)
    assert [images.pixels.shape[1] for images in load_folders([real, fake])] == [3, 3]


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    same = ("a/0.png", "a/1.png", "b/0.png")
    digests = [
        content_digest(load_folders([folder(tmp_path / name, *names)])[0])
        for name, names in {"one": same, "two": same, "three": ("a/0.png", "a/1.png", "c/0.png")}.items()
    ]
    assert digests[0] == digests[1] != digests[2]


def test_what_prevents_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="nowhere"):
        load_folders([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no images"):
        load_folders([tmp_path / "empty"])
    mixed = folder(tmp_path / "mixed", "0.png", "1.png")
    for i in range(7):
        codec.write_png(mixed / f"odd{i}.png", pixels(i, size=12 + i))
    with pytest.raises(DataError, match=r"8 x 8 pixels \(rows x columns\), but not odd0.png, .*odd4.png and 2 more"):
        load_folders([mixed])
    (mixed / "1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1\.png cannot be decoded"):
        load_folders([mixed])
