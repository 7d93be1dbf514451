"""The formats of generated images, read back here with nothing but the standard library, NumPy and Pillow."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usgan_cli.core.errors import DataError
from usgan_cli.core.formats.synthetic import SyntheticFormat, SyntheticManifest
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.generated import open_writer, read_pixels
from usgan_cli.core.images.sets import load_synthetic

CLASSES = ["benign", "malignant", "näive"]
LABELS = [0, 2, 0, 1, 2]
SEEDS = [7, 8, 9, 10, 1_000_000]
FORMS: tuple[SyntheticFormat, ...] = ("png", "zip", "npz")


def pictures(channels: int) -> Pixels:
    return np.random.default_rng(channels).integers(0, 256, (len(LABELS), channels, 6, 4), dtype=np.uint8)


def write(folder: Path, form: SyntheticFormat, channels: int = 1) -> SyntheticManifest:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = pictures(channels)
    with open_writer(folder, form, CLASSES, len(LABELS), (channels, 6, 4)) as writer:
        listed = [writer.add(*one) for one in zip(pixels, LABELS, SEEDS, strict=True)]
    manifest = SyntheticManifest(
        classes=CLASSES,
        size=6,
        channels=channels,
        gan="g",
        gan_name="ada-n6-s0",
        truncation_psi=1.0,
        noise="random",
        class_shares=dict.fromkeys(CLASSES, 1 / 3),
        images=listed,
    )
    manifest.write(folder / "manifest.json")
    return manifest


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_is_read(tmp_path: Path, form: SyntheticFormat, channels: int) -> None:
    manifest = write(tmp_path, form, channels)
    assert SyntheticManifest.read(tmp_path / "manifest.json").form == manifest.form == form
    assert np.array_equal(read_pixels(tmp_path, manifest), pictures(channels))
    assert np.array_equal(read_pixels(tmp_path, manifest, 2), pictures(channels)[:2])
    found = load_synthetic(tmp_path, 4)
    assert found.labels.tolist() == LABELS[:4]
    assert [one.seed for one in manifest.images] == SEEDS


@pytest.mark.parametrize("channels", [1, 3])
def test_the_zip_is_one_that_the_original_trainers_read(tmp_path: Path, channels: int) -> None:
    # Their reader: all files with an image's suffix, sorted, [H, W] or [H, W, 3]; labels by name from dataset.json.
    write(tmp_path, "zip", channels)
    with zipfile.ZipFile(tmp_path / "images.zip") as archive:
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        labels = dict(json.loads(archive.read("dataset.json"))["labels"])
        arrays = [np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in names]
    assert names[:2] == ["00000/img00000000.png", "00000/img00000001.png"]
    assert [labels[name] for name in names] == LABELS
    expected = pictures(channels)[:, 0] if channels == 1 else pictures(channels).transpose(0, 2, 3, 1)
    assert np.array_equal(arrays, expected)


def test_folders_of_the_zip_hold_a_thousand_each(tmp_path: Path) -> None:
    one = np.zeros((1, 2, 2), dtype=np.uint8)
    with open_writer(tmp_path, "zip", CLASSES, 1001, (1, 2, 2)) as writer:
        files = [writer.add(one, 0, seed).file for seed in range(1001)]
    assert files[999:] == ["images.zip/00000/img00000999.png", "images.zip/00001/img00001000.png"]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_npz_explains_itself(tmp_path: Path, channels: int) -> None:
    write(tmp_path, "npz", channels)
    with np.load(tmp_path / "images.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["class_names", "images", "labels", "seeds"]
        assert arrays["images"].shape == ((5, 6, 4) if channels == 1 else (5, 6, 4, 3))
        assert arrays["images"].dtype == np.uint8
        assert arrays["class_names"][arrays["labels"]].tolist() == [CLASSES[label] for label in LABELS]
        assert arrays["seeds"].tolist() == SEEDS


@pytest.mark.parametrize("form", FORMS)
def test_the_same_images_give_the_same_bytes(tmp_path: Path, form: SyntheticFormat) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, form)
    files = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert len(files) == (6 if form == "png" else 2)
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


@pytest.mark.parametrize("form", FORMS)
def test_a_changed_image_is_noticed(tmp_path: Path, form: SyntheticFormat) -> None:
    manifest = write(tmp_path, form)
    with open_writer(tmp_path, form, CLASSES, len(LABELS), (1, 6, 4)) as writer:
        for place, pixels in enumerate(pictures(1)):
            writer.add(255 - pixels if place == 3 else pixels, LABELS[place], SEEDS[place])
    with pytest.raises(DataError, match="has changed since its manifest"):
        read_pixels(tmp_path, manifest)
    assert len(read_pixels(tmp_path, manifest, 3)) == 3


@pytest.mark.parametrize(("form", "file"), [("zip", "images.zip"), ("npz", "images.npz")])
def test_an_archive_that_is_gone_or_broken_is_named(tmp_path: Path, form: SyntheticFormat, file: str) -> None:
    manifest = write(tmp_path, form)
    data = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=file):
        read_pixels(tmp_path, manifest)
    (tmp_path / file).unlink()
    with pytest.raises(DataError, match=f"{file} is missing"):
        read_pixels(tmp_path, manifest)


def test_an_archive_that_lacks_what_is_listed_is_named(tmp_path: Path) -> None:
    manifest = write(tmp_path, "npz")
    with np.load(tmp_path / "images.npz") as arrays:
        kept = dict(arrays)
    np.savez(tmp_path / "images.npz", **{**kept, "images": kept["images"][:3]})
    with pytest.raises(DataError, match="does not hold what its manifest lists"):
        read_pixels(tmp_path, manifest)
    assert len(read_pixels(tmp_path, manifest, 3)) == 3
    # An array of Python objects would be a pickle: it is not loaded.
    np.savez(tmp_path / "images.npz", images=np.array([{}, {}, {}], dtype=object))
    with pytest.raises(DataError, match="cannot be read"):
        read_pixels(tmp_path, manifest, 3)


def test_nothing_is_left_of_an_archive_whose_making_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), open_writer(tmp_path, "npz", CLASSES, 2, (1, 6, 4)) as writer:
        writer.add(pictures(1)[0], 0, 0)
        raise RuntimeError
    assert not list(tmp_path.iterdir())
