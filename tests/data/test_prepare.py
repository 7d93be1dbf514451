"""The prepared dataset: files, manifest, split, warnings, refusals."""

from __future__ import annotations

import csv
import shutil
import struct
import time
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.images import codec
from usgan_cli.core.images.sets import load_split
from usgan_cli.core.progress import Silent
from usgan_cli.data import dicom, layout, sources
from usgan_cli.data.decoding import UNDECODABLE, in_order
from usgan_cli.data.names import safe_name, unique_names
from usgan_cli.data.prepare import PrepareConfig, join_groups, prepare
from usgan_cli.data.sources import SourceOptions


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twenty benign and ten malignant noise images of different sizes."""
    generator = np.random.default_rng(0)
    for name, count in (("benign", 20), ("malignant", 10)):
        for i in range(1, count + 1):
            pixels = generator.integers(0, 256, (1, 20 + i, 30), dtype=np.uint8)
            codec.write_png(tmp_path / "source" / name / f"{name} ({i}).png", pixels)
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
    loaded = load_split(tmp_path / "data", "train")  # checks every file's digest
    assert loaded.pixels.shape == (18, 1, 16, 16)
    original = codec.resize(codec.decode(source / "benign" / "benign (2).png"), 16)
    assert (codec.decode(tmp_path / "data" / manifest.images[1].file) == original).all()
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
    assert codec.decode(tmp_path / "data" / red.file, 3)[:, 3, 3].tolist() == [200, 0, 0]


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
    assert "2 pictures occur more than once (4 images" in told
    assert "benign/benign (1).png = malignant/copy.bmp" in told


def test_copies_that_prevent_the_exact_split_are_told(tmp_path: Path) -> None:
    for name in "ab":
        for i in range(4):
            codec.write_png(
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
        ("benign/benign (3).png", f"{UNDECODABLE}: its content is no known image format"),
        ("benign/benign (4).png", f"{UNDECODABLE}: truncated, damaged or of an unknown kind"),
    ]
    told = "Left out 2 images that cannot be decoded: benign/benign (3).png (its content is no known image format), ben"
    assert any(told in warning for warning in progress.warnings)


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
        PrepareConfig(**wrong)  # type: ignore[arg-type]


def test_names_are_safe_and_unique() -> None:
    assert safe_name("benign (12)") == "benign-12"
    assert safe_name("Läsion ../x") == "Lasion-..-x"
    assert safe_name("...") == safe_name("画像") == "image"
    assert unique_names(["a (1)", "a-1", "A 1", "a-1-2"]) == ["a-1", "a-1-2", "A-1-3", "a-1-2-2"]


# Other formats of the same tree.


def zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path in sorted(folder.rglob("*"), reverse=True):
            out.write(path, path.relative_to(folder.parent).as_posix())
    return archive


def table(path: Path, head: str, rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head.split(","), *rows])
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def test_folder_zip_and_table_give_the_same_dataset(source: Path, tmp_path: Path) -> None:
    files = sorted(path.relative_to(source).as_posix() for path in source.rglob("*.png"))
    forms = {
        "folders": source,
        "zip": zipped(source, tmp_path / "source.zip"),
        "csv": table(source / "list.csv", "Label,path", [(name.partition("/")[0], name) for name in reversed(files)]),
    }
    made = {form: prepare(SMALL, path, tmp_path / form, Silent()) for form, path in forms.items()}
    assert len(contents(tmp_path / "zip")) == 30
    assert contents(tmp_path / "folders") == contents(tmp_path / "zip") == contents(tmp_path / "csv")
    assert made["folders"].images == made["zip"].images == made["csv"].images
    assert [made[form].source_format for form in forms] == list(forms)


def test_an_archive_is_not_unpacked(source: Path, tmp_path: Path) -> None:
    archive = zipped(source, tmp_path / "source.zip")
    shutil.rmtree(source)
    prepare(SMALL, archive, tmp_path / "data", Silent())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "source.zip"]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["audit.html", "images", "manifest.json"]


# Tables.


def test_a_table_with_groups_and_split(source: Path, tmp_path: Path) -> None:
    rows = [
        (f"source/{name}/{name} ({i}).png", name, f"patient {name[0]}{i // 3}", "test" if i <= 5 else "val")
        for name, count in (("benign", 20), ("malignant", 10))
        for i in range(1, count + 1)
    ]
    head = "path,label,group,split"
    listed = table(tmp_path / "list.csv", head, [(*row[:3], row[3].replace("val", "train")) for row in rows])
    progress = Silent()
    manifest = prepare(SMALL, listed, tmp_path / "data", progress)
    assert (manifest.split_from, manifest.groups_from, manifest.layout) == ("source", "column", "table")
    assert manifest.class_counts("test") == {"benign": 5, "malignant": 5}
    assert manifest.test_share == 10 / 30
    # Patients b1 (3, 4, 5 in the test, none in training): whole; and b0, m0, m1. 6 begins another.
    assert not any("divides" in warning for warning in progress.warnings)
    new = prepare(PrepareConfig(16, 1, 9, 0, split="new"), listed, tmp_path / "new", Silent())
    assert new.split_from == "usgan"
    side = {image.group: image.split for image in new.images}
    assert all(side[image.group] == image.split for image in new.images)
    assert len(side) == 7 + 4
    assert len(new.of("test")) == 9
    # Validation without a test side is the test side.
    words = {"test": "train", "val": "val"}
    listed = table(tmp_path / "val.csv", head, [(*row[:3], words[row[3]]) for row in rows])
    assert prepare(SMALL, listed, tmp_path / "val", Silent()).class_counts("train") == {"benign": 5, "malignant": 5}


def test_a_split_that_divides_a_group_is_told(source: Path, tmp_path: Path) -> None:
    rows = [
        (f"source/{name}/{name} ({i}).png", name, "one" if i in {5, 6} else f"{name}{i}", "test" if i <= 5 else "train")
        for name, count in (("benign", 20), ("malignant", 10))
        for i in range(1, count + 1)
    ]
    progress = Silent()
    prepare(SMALL, table(tmp_path / "l.csv", "path,label,group,split", rows), tmp_path / "data", progress)
    assert any("divides 1 group" in warning and "(4 images)" in warning for warning in progress.warnings)


def test_files_that_a_table_lists_in_vain(source: Path, tmp_path: Path) -> None:
    rows = [(f"{name}/{name} ({i}).png", name) for name in ("benign", "malignant") for i in range(1, 11)]
    rows += [("benign/absent.png", "benign"), ("benign/bad\0.png", "benign"), rows[0], ("list.csv", "benign")]
    listed = table(source / "list.csv", "path,label", rows)
    progress = Silent()
    manifest = prepare(SMALL, listed, tmp_path / "data", progress)
    assert len(manifest.images) == 20
    assert [item.reason for item in manifest.left_out] == [
        sources.NO_FILE,
        sources.NO_FILE,
        sources.LISTED_TWICE,
        layout.NOT_AN_IMAGE,
    ]
    assert any("there is no such file): benign/absent.png, benign/bad" in w for w in progress.warnings)
    with pytest.raises(DataError, match="Not one of the 2 files"):
        prepare(
            SMALL, table(tmp_path / "l.csv", "path,label", [("x.png", "a"), ("y.png", "b")]), tmp_path / "d", Silent()
        )


def test_one_file_under_two_labels_is_a_conflict(source: Path, tmp_path: Path) -> None:
    rows = [(f"{name}/{name} ({i}).png", name) for name in ("benign", "malignant") for i in range(1, 11)]
    listed = table(source / "list.csv", "path,label", [*rows, ("benign/benign (1).png", "malignant")])
    manifest = prepare(PrepareConfig(16, 1, 8), listed, tmp_path / "data", Silent())
    assert manifest.conflicts == [["images/benign/benign-1.png", "images/malignant/benign-1.png"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'path'"),
        ("path,class\na.png,x\n", "no column 'label'.*'path', 'class'"),
        ("path,label\n", "no line below"),
        ("path,label\na.png,x\nb.png,\n", "line 3: the column 'label' is empty"),
        ("path,label\na.png\n", "line 2: the column 'label' is empty"),
        ("path,label,path\na.png,x,b.png\n", "more than one column 'path'"),
        ('path,label\n"a.png,x\n', "unexpected end"),
        ("path,label,group\na.png,x,1\nb.png,y,\n", "line 3: the column 'group' is empty"),
        ("path,label,split\na.png,x,train\nb.png,y,\n", "column 'split' says '', 'train'"),
        ("path,label,split\na.png,x,1\nb.png,y,2\n", "column 'split' says '1', '2'"),
        ("path,label\na.png,x\nb.png,x\n", "one class, 'x'"),
        ("path,label\na.png,x\nb.png,X\n", "differ only in case"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        sources.scan(tmp_path / "list.csv")
    assert "list.csv" in caught.value.message


def test_tables_as_spreadsheets_write_them(source: Path, tmp_path: Path) -> None:
    for text, encoding in (("Path; Label \n", "utf-8-sig"), ("path\tLABEL\r\n", "utf-8")):
        mark = ";" if ";" in text else "\t"
        end = "\r\n" if "\r" in text else "\n"
        rows = [f"{n}/{n} ({i}).png{mark}{n}{mark}more{end}" for n in ("benign", "malignant") for i in (1, 2)]
        (source / "list.csv").write_text(text + "".join([*rows, end]), encoding=encoding, newline="")
        assert len(sources.scan(source / "list.csv").images) == 4
    (source / "list.csv").write_text("path,label\nä,b\n", encoding="latin-1")
    with pytest.raises(DataError, match="UTF-8"):
        sources.scan(source / "list.csv")


# Groups.


def test_a_table_of_groups_keeps_patients_together(source: Path, tmp_path: Path) -> None:
    rows = [
        (f"{name}/{name} ({i}).png", f"p{i // 4}")
        for name, count in (("benign", 20), ("malignant", 10))
        for i in range(1, count + 1)
    ]
    groups = table(tmp_path / "groups.csv", "path,group", [*rows, ("benign/other.png", "p9")])
    config = PrepareConfig(16, 1, 10, reading=SourceOptions(groups=groups))
    progress = Silent()
    for seed in range(5):
        manifest = prepare(replace(config, seed=seed), source, tmp_path / str(seed), progress)
        patient = {
            image.source: group
            for (name, group), image in zip(rows, manifest.images, strict=True)
            if image.source == name
        }
        assert len(patient) == 30
        sides: dict[str, set[str]] = {}
        for image in manifest.images:
            sides.setdefault(patient[image.source], set()).add(image.split)
        assert all(len(found) == 1 for found in sides.values())
    assert manifest.groups_from == "csv"
    assert "p1" not in (tmp_path / "0" / "manifest.json").read_text()  # names of patients are nobody's business
    assert any("1 path of the table of groups name no image" in warning for warning in progress.warnings)
    with pytest.raises(
        DataError, match=r"gives no group to 1 of 30 images \(the first: malignant/malignant \(10\)\.png"
    ):
        prepare(
            replace(config, reading=SourceOptions(groups=table(groups, "path,group", rows[:-1]))),
            source,
            tmp_path / "x",
            progress,
        )
    with pytest.raises(DataError, match="already has the group"):
        sources.scan(source, SourceOptions(groups=table(groups, "path,group", [*rows, (rows[0][0], "other")])))
    with pytest.raises(DataError, match="of one group"):
        sources.scan(source, SourceOptions(groups=table(groups, "path,group", [(row[0], "p") for row in rows])))


def test_copies_join_patients(source: Path, tmp_path: Path) -> None:
    """Two patients who share a picture are one group, whichever of their images it is."""
    shutil.copy(source / "benign" / "benign (1).png", source / "benign" / "copy.png")
    rows = [
        (f"{n}/{n} ({i}).png", f"{n}{(i + 1) // 2}")
        for n, c in (("benign", 20), ("malignant", 10))
        for i in range(1, c + 1)
    ]
    groups = table(tmp_path / "groups.csv", "path,group", [*rows, ("benign/copy.png", "benign2")])
    manifest = prepare(PrepareConfig(16, 1, 11, reading=SourceOptions(groups=groups)), source, tmp_path / "d", Silent())
    group = {image.source: image.group for image in manifest.images}
    joined = {f"benign/benign ({i}).png" for i in (1, 2, 3, 4)} | {"benign/copy.png"}
    assert {name for name, number in group.items() if number == group["benign/copy.png"]} == joined


def test_groups_from_folders(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    for name in "ab":
        for patient in range(6):
            for i in range(patient % 3 + 1):
                path = tmp_path / "s" / name / f"p{name}{patient}" / f"{i}.png"
                codec.write_png(path, draws.integers(0, 256, (1, 16, 16), dtype=np.uint8))
    config = PrepareConfig(16, 1, 8, reading=SourceOptions(groups="folder"))
    manifest = prepare(config, tmp_path / "s", tmp_path / "d", Silent())
    assert len({image.group for image in manifest.images}) == 12
    assert (
        len({image.source.rpartition("/")[0] for image in manifest.of("test")})
        + len({image.source.rpartition("/")[0] for image in manifest.of("train")})
        == 12
    )
    progress = Silent()
    prepare(PrepareConfig(16, 1, 8), tmp_path / "s", tmp_path / "e", progress)
    assert any("--groups folder" in note for note in progress.notes)
    with pytest.raises(SettingsError, match="do not lie in folders inside"):
        sources.scan(tmp_path / "s", SourceOptions(groups="folder", class_level=2))


def test_joining_groups() -> None:
    assert join_groups([0, 1, 2, 3], ["a", "b", "b", "c"], [9, 8, 7, 9]).tolist() == [0, 1, 1, 0]


# Frames, sizes, squares.


def test_pages_of_a_tiff_stay_together(source: Path, tmp_path: Path) -> None:
    pages = [Image.new("L", (20, 20), value) for value in (10, 20, 30)]
    pages[0].save(source / "benign" / "stack.tif", save_all=True, append_images=pages[1:])
    for frames, values in (("first", [10]), ("middle", [20]), ("all", [10, 20, 30])):
        config = PrepareConfig(16, 1, 12, reading=SourceOptions(frames=frames))  # type: ignore[arg-type]
        manifest = prepare(config, source, tmp_path / frames, Silent())
        found = [image for image in manifest.images if "stack" in image.source]
        assert [codec.decode(tmp_path / frames / i.file).max() for i in found] == values
        assert len({image.group for image in found}) == len({image.split for image in found}) == 1
        assert manifest.frames == frames
    assert [image.source for image in found] == [f"benign/stack.tif#{i}" for i in (1, 2, 3)]
    assert found[1].file == "images/benign/stack-f2.png"


def test_squares(source: Path, tmp_path: Path) -> None:
    picture = np.full((1, 40, 20), 200, np.uint8)
    picture[0, :10] = 100
    codec.write_png(source / "benign" / "tall.png", picture)
    made = {}
    for how in ("stretch", "pad", "crop"):
        manifest = prepare(PrepareConfig(16, 1, 12, fit=how), source, tmp_path / how, Silent())  # type: ignore[arg-type]
        assert (manifest.fit, manifest.resampling) == (how, "lanczos")
        made[how] = codec.decode(tmp_path / how / "images" / "benign" / "tall.png")[0]
    assert made["stretch"][0, 0] == 100
    assert made["stretch"][8, 8] == 200
    assert (made["pad"][:, :4] == 0).all()
    assert (made["pad"][:, 12:] == 0).all()
    assert made["pad"][8, 8] == 200
    assert (made["crop"] == 200).all()


def test_what_was_enlarged_is_told(source: Path, tmp_path: Path) -> None:
    progress = Silent()
    prepare(PrepareConfig(32, 1, 12), source, tmp_path / "data", progress)
    # All are 30 wide, below 32.
    assert "30 images with a side below 32 pixels had to be enlarged." in progress.notes


def test_results_come_in_order_and_not_far_ahead() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            drawn.append(i)
            yield i

    def slow(i: int) -> int:
        time.sleep(0.002 * (i % 3))
        return i * i

    results = in_order(slow, items(), 3)
    assert [next(results) for _ in range(10)] == [i * i for i in range(10)]
    assert len(drawn) <= 10 + 3 * 4
    assert list(results) == [i * i for i in range(10, 100)]

    def fails(i: int) -> int:
        if i == 5:
            raise ValueError(i)
        return i

    with pytest.raises(ValueError, match="5"):
        list(in_order(fails, range(1000), 3))


# Hostile files.


def black_png(width: int, height: int) -> bytes:
    """Return a PNG file of one bit per pixel, much smaller than what it unpacks to."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width // 8 + 1) * height), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_hostile_files_are_left_out_with_reasons(source: Path, tmp_path: Path) -> None:
    benign = source / "benign"
    (benign / "empty.png").write_bytes(b"")
    (benign / "text [1].png").write_text("hello")
    (benign / "two\nlines.png").write_text("hello")
    (benign / "bomb.png").write_bytes(black_png(30000, 30000))
    (benign / "large.png").write_bytes(black_png(10000, 9000))  # where Pillow only warns
    Image.fromarray(np.full((8, 8), 3.5, np.float32)).save(benign / "float.tif")
    Image.fromarray(np.full((8, 8), 70000, np.int32)).save(benign / "deep.tif")
    progress = Silent()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        manifest = prepare(SMALL, source, tmp_path / "data", progress)
    assert len(manifest.images) == 30
    reasons = {i.source.removeprefix("benign/"): i.reason.removeprefix(f"{UNDECODABLE}: ") for i in manifest.left_out}
    assert reasons == {
        "empty.png": "the file is empty",
        "text [1].png": "its content is no known image format",
        "two\nlines.png": "its content is no known image format",
        "bomb.png": f"more than {codec.MAX_PIXELS} pixels",
        "large.png": f"10000 x 9000 pixels are more than {codec.MAX_PIXELS}",
        "float.tif": "its pixels are floats outside [0, 1], whose range is unknown",
        "deep.tif": "its pixels are integers of 32 bits, whose range is unknown",
    }
    assert len(progress.warnings) == 1
    assert "\n" not in progress.warnings[0]


def test_transparency_lies_on_black(source: Path, tmp_path: Path) -> None:
    hidden = np.full((8, 8, 4), 255, np.uint8)
    hidden[:4, :, 3] = 0
    Image.fromarray(hidden).save(source / "benign" / "rgba.png")
    Image.fromarray(hidden[..., 2:]).save(source / "benign" / "la.png")
    pixels = [codec.decode(source / "benign" / name)[0] for name in ("rgba.png", "la.png")]
    for gray in pixels:
        assert (gray[:4] == 0).all()
        assert (gray[4:] == 255).all()


def test_the_source_may_be_scanned_before(source: Path, tmp_path: Path) -> None:
    found = sources.scan(source)
    assert prepare(SMALL, found, tmp_path / "a", Silent()) == prepare(SMALL, source, tmp_path / "b", Silent())
    assert dicom.pick_frames(30, "middle") == [15]


def test_busi(busi_dir: Path, tmp_path: Path) -> None:
    progress = Silent()
    manifest = prepare(PrepareConfig(size=32), busi_dir, tmp_path, progress)
    assert manifest.class_counts("test") == {"benign": 157, "malignant": 75, "normal": 48}
    assert manifest.class_counts("train") == {"benign": 280, "malignant": 135, "normal": 85}
    pair = {"images/benign/benign-433.png", "images/malignant/malignant-145.png"}
    assert any(pair <= set(group) for group in manifest.conflicts)
    assert any("benign (433).png = malignant/malignant (145).png" in warning for warning in progress.warnings)
