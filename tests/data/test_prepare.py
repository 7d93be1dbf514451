"""The prepared dataset: files, manifest, split, warnings, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usgan_cli.core import datasets, images
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.manifest import DataManifest
from usgan_cli.core.progress import Silent
from usgan_cli.data.prepare import UNDECODABLE, PrepareConfig, prepare, safe_name, unique_names


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twenty benign and ten malignant noise images of different sizes."""
    generator = np.random.default_rng(0)
    for name, count in (("benign", 20), ("malignant", 10)):
        for i in range(1, count + 1):
            pixels = generator.integers(0, 256, (1, 20 + i, 30), dtype=np.uint8)
            images.write_png(tmp_path / "source" / name / f"{name} ({i}).png", pixels)
    return tmp_path / "source"


SMALL = PrepareConfig(size=16, test=12)


def test_the_manifest_says_what_was_written(source: Path, tmp_path: Path) -> None:
    progress = Silent()
    manifest = prepare(SMALL, source, tmp_path / "data", progress)
    assert manifest == DataManifest.read(tmp_path / "data" / "manifest.json")
    assert manifest.class_counts("test") == {"benign": 8, "malignant": 4}
    assert manifest.class_counts("train") == {"benign": 12, "malignant": 6}
    assert (manifest.size, manifest.channels, manifest.resampling, manifest.fit) == (16, 1, "lanczos", "stretch")
    assert manifest.test_share == 0.4
    assert manifest.images[1].file == "images/benign/benign-2.png"
    assert manifest.images[1].source == "benign/benign (2).png"
    loaded = datasets.load_split(tmp_path / "data", "train")  # checks every file's digest
    assert loaded.pixels.shape == (18, 1, 16, 16)
    original = images.resize(images.decode(source / "benign" / "benign (2).png"), 16)
    assert (images.decode(tmp_path / "data" / manifest.images[1].file) == original).all()
    assert progress.warnings == []


def test_the_result_does_not_depend_on_threads(source: Path, tmp_path: Path) -> None:
    one = prepare(SMALL, source, tmp_path / "one", Silent(), workers=1)
    five = prepare(SMALL, source, tmp_path / "five", Silent(), workers=5)
    assert one.content_digest() == five.content_digest()
    assert prepare(PrepareConfig(size=16, test=12, seed=1), source, tmp_path / "s", Silent()).images != one.images


def test_a_share_is_rounded(source: Path, tmp_path: Path) -> None:
    manifest = prepare(PrepareConfig(size=16, test=0.41), source, tmp_path / "data", Silent())
    assert len(manifest.of("test")) == 12


def test_colour(source: Path, tmp_path: Path) -> None:
    Image.new("RGB", (30, 20), (200, 0, 0)).save(source / "benign" / "red.png")
    manifest = prepare(PrepareConfig(size=16, channels=3, test=10), source, tmp_path / "data", Silent())
    red = next(i for i in manifest.images if i.source == "benign/red.png")
    assert images.decode(tmp_path / "data" / red.file, 3)[:, 3, 3].tolist() == [200, 0, 0]


def test_copies_stay_on_one_side_and_are_told(source: Path, tmp_path: Path) -> None:
    # The same pixels in another format and under another class: not the same bytes.
    Image.open(source / "benign" / "benign (1).png").save(source / "malignant" / "copy.bmp")
    Image.open(source / "benign" / "benign (2).png").save(source / "benign" / "again.tif")
    for seed in range(8):
        progress = Silent()
        manifest = prepare(PrepareConfig(16, 1, 12, seed), source, tmp_path / str(seed), progress)
        side = {image.source: (image.split, image.group) for image in manifest.images}
        assert side["benign/benign (1).png"] == side["malignant/copy.bmp"]
        assert side["benign/benign (2).png"] == side["benign/again.tif"]
        assert len(manifest.of("test")) == 12
    assert sorted(map(sorted, manifest.duplicates)) == [
        ["images/benign/again.png", "images/benign/benign-2.png"],
        ["images/benign/benign-1.png", "images/malignant/copy.png"],
    ]
    assert manifest.conflicts == [["images/benign/benign-1.png", "images/malignant/copy.png"]]
    told = "\n".join(progress.warnings)
    assert "2 pictures occur more than once (4 files" in told
    assert "benign/benign (1).png = malignant/copy.bmp" in told


def test_copies_that_prevent_the_exact_split_are_told(tmp_path: Path) -> None:
    for name in "ab":
        for i in range(4):
            images.write_png(
                tmp_path / "s" / name / f"{i}.png", np.full((1, 8, 8), (ord(name) + i // 2) % 256, np.uint8)
            )
    progress = Silent()
    manifest = prepare(PrepareConfig(16, 1, 3, 0), tmp_path / "s", tmp_path / "d", progress)
    assert len(manifest.of("test")) in {2, 4}
    assert any("prevent the exact split" in warning for warning in progress.warnings)


def test_broken_files_are_left_out(source: Path, tmp_path: Path) -> None:
    (source / "benign" / "benign (3).png").write_bytes(b"not an image")
    whole = (source / "benign" / "benign (4).png").read_bytes()
    (source / "benign" / "benign (4).png").write_bytes(whole[: len(whole) // 2])
    progress = Silent()
    manifest = prepare(SMALL, source, tmp_path / "data", progress)
    assert len(manifest.images) == 28
    assert [(i.source, i.reason) for i in manifest.left_out] == [
        ("benign/benign (3).png", UNDECODABLE),
        ("benign/benign (4).png", UNDECODABLE),
    ]
    assert any("benign/benign (3).png, benign/benign (4).png" in warning for warning in progress.warnings)


def test_a_class_of_broken_files_is_refused(source: Path, tmp_path: Path) -> None:
    (source / "normal").mkdir()
    (source / "normal" / "1.png").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(DataError, match=r"'normal'.*normal/1\.png"):
        prepare(SMALL, source, tmp_path / "data", Silent())


def test_a_side_without_a_class_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="test side has none of the class 'malignant'"):
        prepare(PrepareConfig(size=16, test=1), source, tmp_path / "data", Silent())
    with pytest.raises(DataError, match="training side has none of the class 'malignant'"):
        prepare(PrepareConfig(size=16, test=29), source, tmp_path / "data", Silent())
    with pytest.raises(DataError, match="one side empty"):
        prepare(PrepareConfig(size=16, test=30), source, tmp_path / "data", Silent())


@pytest.mark.parametrize(
    "wrong", [{"size": 100}, {"size": 8}, {"channels": 2}, {"test": 0}, {"test": 1.5}, {"test": 0.0}, {"seed": -1}]
)
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError):
        PrepareConfig(**wrong)  # type: ignore[arg-type]


def test_names_are_safe_and_unique() -> None:
    assert safe_name("benign (12)") == "benign-12"
    assert safe_name("Läsion ../x") == "Lasion-..-x"
    assert safe_name("...") == safe_name("画像") == "image"
    assert unique_names(["a (1)", "a-1", "A 1", "a-1-2"]) == ["a-1", "a-1-2", "A-1-3", "a-1-2-2"]


def test_busi(busi_dir: Path, tmp_path: Path) -> None:
    progress = Silent()
    manifest = prepare(PrepareConfig(size=32), busi_dir, tmp_path, progress)
    assert manifest.class_counts("test") == {"benign": 157, "malignant": 75, "normal": 48}
    assert manifest.class_counts("train") == {"benign": 280, "malignant": 135, "normal": 85}
    assert manifest.conflicts == [["images/benign/benign-433.png", "images/malignant/malignant-145.png"]]
    assert len(progress.warnings) == 2
