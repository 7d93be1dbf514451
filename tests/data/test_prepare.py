"""The prepared dataset: files, manifest, split, warnings, refusals."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from configs import prepare_config
from PIL import Image
from tiny_data import noise_folders, table, zipped

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.images import codec
from usgan_cli.core.images.sets import load_split
from usgan_cli.core.progress import Silent
from usgan_cli.data.prepare import prepare
from usgan_cli.data.source.contents import SourceOptions
from usgan_cli.data.source.scan import scan

SMALL = prepare_config(size=16, test=12)


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
    loaded = load_split(tmp_path / "data", "train")  # checks every file's digest
    assert loaded.pixels.shape == (18, 1, 16, 16)
    original = codec.fit(codec.decode(source / "benign" / "benign (2).png"), 16)
    assert (codec.decode(tmp_path / "data" / manifest.images[1].file) == original).all()
    assert progress.warnings == []


def test_the_result_does_not_depend_on_threads(source: Path, tmp_path: Path) -> None:
    one = prepare(SMALL, source, tmp_path / "one", Silent(), workers=1)
    five = prepare(SMALL, source, tmp_path / "five", Silent(), workers=5)
    assert one.content_digest() == five.content_digest()
    assert prepare(prepare_config(size=16, test=12, seed=1), source, tmp_path / "s", Silent()).images != one.images


def test_a_share_is_rounded(source: Path, tmp_path: Path) -> None:
    manifest = prepare(prepare_config(size=16, test=0.41), source, tmp_path / "data", Silent())
    assert len(manifest.of("test")) == 12


def test_colour(source: Path, tmp_path: Path) -> None:
    Image.new("RGB", (30, 20), (200, 0, 0)).save(source / "benign" / "red.png")
    manifest = prepare(prepare_config(size=16, channels=3, test=10), source, tmp_path / "data", Silent())
    red = next(i for i in manifest.images if i.source == "benign/red.png")
    assert codec.decode(tmp_path / "data" / red.file, 3)[:, 3, 3].tolist() == [200, 0, 0]


def test_copies_stay_on_one_side_and_are_reported(source: Path, tmp_path: Path) -> None:
    # The same pixels in another format and under another class: not the same bytes.
    Image.open(source / "benign" / "benign (1).png").save(source / "malignant" / "copy.bmp")
    Image.open(source / "benign" / "benign (2).png").save(source / "benign" / "again.tif")
    for seed in range(8):
        progress = Silent()
        manifest = prepare(prepare_config(16, 1, 12, seed), source, tmp_path / str(seed), progress)
        side = {image.source: (image.split, image.group) for image in manifest.images}
        assert side["benign/benign (1).png"] == side["malignant/copy.bmp"]
        assert side["benign/benign (2).png"] == side["benign/again.tif"]
        assert len(manifest.of("test")) == 12
    assert sorted(map(sorted, manifest.duplicates)) == [
        ["images/benign/again.png", "images/benign/benign-2.png"],
        ["images/benign/benign-1.png", "images/malignant/copy.png"],
    ]
    assert manifest.conflicts == [["images/benign/benign-1.png", "images/malignant/copy.png"]]
    text = "\n".join(progress.warnings)
    assert "2 pictures occur more than once (4 images" in text
    assert "benign/benign (1).png = malignant/copy.bmp" in text


def test_copies_that_prevent_the_exact_split_are_reported(tmp_path: Path) -> None:
    for name in "ab":
        for i in range(4):
            codec.write_png(
                tmp_path / "s" / name / f"{i}.png", np.full((1, 8, 8), (ord(name) + i // 2) % 256, np.uint8)
            )
    progress = Silent()
    manifest = prepare(prepare_config(16, 1, 3, 0), tmp_path / "s", tmp_path / "d", progress)
    assert len(manifest.of("test")) in {2, 4}
    assert any("prevent the exact split" in warning for warning in progress.warnings)


def test_a_class_of_broken_files_is_refused(source: Path, tmp_path: Path) -> None:
    (source / "normal").mkdir()
    (source / "normal" / "1.png").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(DataError, match=r"'normal'.*normal/1\.png"):
        prepare(SMALL, source, tmp_path / "data", Silent())


def test_a_side_without_a_class_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="test side has none of the class 'malignant'"):
        prepare(prepare_config(size=16, test=1), source, tmp_path / "data", Silent())
    with pytest.raises(DataError, match="training side has none of the class 'malignant'"):
        prepare(prepare_config(size=16, test=29), source, tmp_path / "data", Silent())
    with pytest.raises(DataError, match="one side empty"):
        prepare(prepare_config(size=16, test=30), source, tmp_path / "data", Silent())


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 100},
        {"size": 8},
        {"channels": 2},
        {"test": 0},
        {"test": 1.5},
        {"test": 0.0},
        {"seed": -1},
        {"fit": "squash"},
        {"split": "old"},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError):
        prepare_config(**wrong)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def test_folder_zip_and_table_give_the_same_dataset(source: Path, tmp_path: Path) -> None:
    files = sorted(path.relative_to(source).as_posix() for path in source.rglob("*.png"))
    forms = {
        "folders": source,
        "zip": zipped(source, tmp_path / "source.zip", inside="source/"),
        "csv": table(source / "list.csv", "Label,path", [(name.partition("/")[0], name) for name in reversed(files)]),
    }
    made = {form: prepare(SMALL, path, tmp_path / form, Silent()) for form, path in forms.items()}
    assert len(contents(tmp_path / "zip")) == 30
    assert contents(tmp_path / "folders") == contents(tmp_path / "zip") == contents(tmp_path / "csv")
    assert made["folders"].images == made["zip"].images == made["csv"].images
    assert [made[form].source_format for form in forms] == list(forms)


def test_an_archive_is_not_unpacked(source: Path, tmp_path: Path) -> None:
    archive = zipped(source, tmp_path / "source.zip", inside="source/")
    shutil.rmtree(source)
    prepare(SMALL, archive, tmp_path / "data", Silent())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "source.zip"]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["audit.html", "images", "manifest.json"]


def test_groups_from_folders(tmp_path: Path) -> None:
    noise_folders(tmp_path / "s", {f"{name}/p{name}{i}": i % 3 + 1 for name in "ab" for i in range(6)}, size=16)
    config = prepare_config(16, 1, 8, reading=SourceOptions(groups="folder"))
    manifest = prepare(config, tmp_path / "s", tmp_path / "d", Silent())
    assert len({image.group for image in manifest.images}) == 12
    assert (
        len({image.source.rpartition("/")[0] for image in manifest.of("test")})
        + len({image.source.rpartition("/")[0] for image in manifest.of("train")})
        == 12
    )
    progress = Silent()
    prepare(prepare_config(16, 1, 8), tmp_path / "s", tmp_path / "e", progress)
    assert any("--groups folder" in note for note in progress.notes)
    with pytest.raises(SettingsError, match="do not lie in folders inside"):
        scan(tmp_path / "s", SourceOptions(groups="folder", class_level=2))


def test_what_was_enlarged_is_reported(source: Path, tmp_path: Path) -> None:
    progress = Silent()
    prepare(prepare_config(32, 1, 12), source, tmp_path / "data", progress)
    # All are 30 wide, below 32.
    assert any(note.startswith("Patients are not known") and "--groups FILE.csv" in note for note in progress.notes)
    assert "30 images with a side below 32 pixels had to be enlarged." in progress.notes


def test_the_source_may_be_scanned_before(source: Path, tmp_path: Path) -> None:
    found = scan(source)
    assert prepare(SMALL, found, tmp_path / "a", Silent()) == prepare(SMALL, source, tmp_path / "b", Silent())


def test_busi(busi_dir: Path, tmp_path: Path) -> None:
    progress = Silent()
    manifest = prepare(prepare_config(size=32), busi_dir, tmp_path, progress)
    assert manifest.class_counts("test") == {"benign": 157, "malignant": 75, "normal": 48}
    assert manifest.class_counts("train") == {"benign": 280, "malignant": 135, "normal": 85}
    pair = {"images/benign/benign-433.png", "images/malignant/malignant-145.png"}
    assert any(pair <= set(group) for group in manifest.conflicts)
    assert any("benign (433).png = malignant/malignant (145).png" in warning for warning in progress.warnings)
