"""Folders of images without a manifest are read as they are, or the file that prevents it is named."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_data import zipped

from usgan_cli.core.errors import DataError, MissingError
from usgan_cli.core.images import codec
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.progress import Silent
from usgan_cli.data.source import folders
from usgan_cli.data.source.folders import content_digest


def pixels(seed: int, channels: int = 1, size: int = 8) -> codec.Pixels:
    gray = np.random.default_rng(seed).integers(0, 256, (1, size, size), dtype=np.uint8)
    return np.repeat(gray, channels, axis=0)


def load(paths: list[Path]) -> list[ImageSet]:
    return folders.load_folders(paths, fit="stretch", bits=None, progress=Silent())[0]


def folder(path: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        codec.write_png(path / name, pixels(seed))
    return path


def test_a_class_is_the_first_folder_on_the_way(tmp_path: Path) -> None:
    made = folder(tmp_path / "d", "b/1.png", "a/deep/2.png", "a/0.png", ".hidden/3.png", "a/.thumbs/4.png")
    (made / "notes.txt").write_text("x")
    (images,) = load([made])
    assert (images.name, images.classes) == ("d", ("a", "b"))
    assert images.files == ("a/0.png", "a/deep/2.png", "b/1.png")
    assert images.labels.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(images.pixels[2], pixels(0))
    assert len(set(images.groups.tolist())) == 3


def test_images_in_the_folder_itself_are_of_one_class(tmp_path: Path) -> None:
    (images,) = load([folder(tmp_path, "2.png", "1.png")])
    assert (images.classes, images.files) == (("all",), ("1.png", "2.png"))


def test_one_coloured_image_makes_all_of_them_colour(tmp_path: Path) -> None:
    real, fake = folder(tmp_path / "real", "0.png"), folder(tmp_path / "fake", "0.png")
    codec.write_png(fake / "gray.png", pixels(5, channels=3))
    assert [images.pixels.shape[1] for images in load([real, fake])] == [1, 1], "three equal channels are gray"
    colour = pixels(6, channels=3)
    colour[0] //= 2
    codec.write_png(fake / "colour.png", colour)
    assert [images.pixels.shape[1] for images in load([real, fake])] == [3, 3]


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    same = ("a/0.png", "a/1.png", "b/0.png")
    digests = [
        content_digest(load([folder(tmp_path / name, *names)])[0])
        for name, names in {"one": same, "two": same, "three": ("a/0.png", "a/1.png", "c/0.png")}.items()
    ]
    assert digests[0] == digests[1] != digests[2]


def speckle(seed: int, rows: int = 8, columns: int = 8) -> codec.Pixels:
    return np.random.default_rng(seed).integers(0, 256, (1, rows, columns), dtype=np.uint8)


def loaded(
    *paths: Path, fit: codec.Fit = "stretch", bits: int | None = None
) -> tuple[list[ImageSet], list[str], Silent]:
    progress = Silent()
    sets, said = folders.load_folders(paths, fit=fit, bits=bits, progress=progress)
    return sets, said, progress


@pytest.mark.parametrize("mask", ["{}_mask.png", "{}_tumor.png", "{}-seg.png", "masks/{}.png", "mask_{}.png"])
def test_masks_are_left_out_as_prepare_leaves_them(tmp_path: Path, mask: str) -> None:
    for i in range(6):
        codec.write_png(tmp_path / "r" / f"{i}.png", speckle(i))
        outline = np.zeros((1, 8, 8), np.uint8)
        outline[:, 2 : 4 + i % 3, 3:6] = 255
        codec.write_png(tmp_path / "r" / mask.format(i), outline)
    (images,), said, _ = loaded(tmp_path / "r")
    assert images.files == tuple(f"{i}.png" for i in range(6))
    assert said == ["6 masks in r left out."]


def test_two_gray_values_are_a_mask_here_too(tmp_path: Path) -> None:
    codec.write_png(tmp_path / "r" / "1.png", speckle(1))
    codec.write_png(tmp_path / "r" / "x.png", (speckle(2) > 99).astype(np.uint8) * 255)
    (images,), _, progress = loaded(tmp_path / "r")
    assert images.files == ("1.png",)
    assert any("1 entry (a mask, by its two gray values): x.png" in warning for warning in progress.warnings)


def test_an_archive_is_read_as_its_folder(tmp_path: Path) -> None:
    made = folder(tmp_path / "d", "b/1.png", "a/deep/2.png", "a/0.png", "Thumbs.db.png", "__MACOSX/3.png")
    (made / "Thumbs.db.png").unlink()
    for inside in ("", "Top/", "x/y/"):
        (images, packed), _, _ = loaded(made, zipped(made, tmp_path / "d.zip", inside=inside))
        assert (packed.files, packed.classes) == (images.files, images.classes) == (images.files, ("a", "b"))
        np.testing.assert_array_equal(images.pixels, packed.pixels)


@pytest.mark.parametrize("side", ["train", "Test", "validation-set"])
def test_a_side_of_a_split_is_no_class(tmp_path: Path, side: str) -> None:
    with pytest.raises(DataError, match=f"{side} is named for a side of a split"):
        load([folder(tmp_path / "d", f"{side}/1.png", "a/1.png")])
    assert load([folder(tmp_path / "e", f"{side}/a/1.png", f"{side}/b/1.png")])[0].classes == ("a", "b")


def test_names_of_any_encoding_are_shown(tmp_path: Path) -> None:
    name = os.fsdecode(b"M\xfcller")
    try:
        made = folder(tmp_path / name, f"{name}/{name}.png", "b/1.png")
    except OSError:
        pytest.skip("this file system takes no names but unicode")
    (images,) = load([made])
    assert (images.name, images.classes) == ("M\\xfcller", ("M\\xfcller", "b"))
    assert len(content_digest(images)) == 64


def test_deep_images_have_the_range_of_their_folder(tmp_path: Path) -> None:
    for i in range(3):
        path = tmp_path / "r" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), [4095, 2000, 100][i], np.uint16)).save(path)
    codec.write_png(tmp_path / "f" / "1.png", speckle(1))
    (real, fake), _, progress = loaded(tmp_path / "r", tmp_path / "f")
    assert real.pixels[:, 0, 0, 0].tolist() == [255, 125, 6]
    np.testing.assert_array_equal(fake.pixels[0], codec.fit(speckle(1), 4))
    assert any("12 bits" in note for note in progress.notes)
    (real, _), _, progress = loaded(tmp_path / "r", tmp_path / "f", bits=16)
    assert real.pixels.max() == 16
    assert any("All images are dark" in warning for warning in progress.warnings)


def test_images_of_other_sizes_are_brought_to_the_smaller_usual_one(tmp_path: Path) -> None:
    for i, rows in enumerate((30, 31, 32, 33, 90)):
        codec.write_png(tmp_path / "r" / f"{i}.png", speckle(i, rows, 40))
    for i in range(3):
        codec.write_png(tmp_path / "f" / f"{i}.png", speckle(i, 16, 24))
    codec.write_png(tmp_path / "f" / "small.png", speckle(9, 8, 24))
    (real, fake), said, _ = loaded(tmp_path / "r", tmp_path / "f")
    assert (real.pixels.shape, fake.pixels.shape) == ((5, 1, 16, 24), (4, 1, 16, 24))
    assert said == [
        "5 images of 5 in r brought to 16 x 24 pixels (rows x columns, --fit stretch).",
        "1 image of 4 in f brought to 16 x 24 pixels (rows x columns, --fit stretch); 1 of them had to be enlarged.",
    ]
    np.testing.assert_array_equal(fake.pixels[0], speckle(0, 16, 24))
    (stretched, _), said, _ = loaded(tmp_path / "r", tmp_path / "f", fit="pad")
    assert "--fit pad" in said[0] and (stretched.pixels[4][:, :, :8] == 0).all()
    assert loaded(tmp_path / "f")[0][0].pixels.shape[2:] == (16, 24)


def test_what_prevents_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="nowhere"):
        load([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no images"):
        load([tmp_path / "empty"])
    mixed = folder(tmp_path / "mixed", "0.png", "1.png")
    (mixed / "1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1\.png cannot be decoded"):
        load([mixed])
