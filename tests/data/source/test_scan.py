"""Recognising sources: formats, layouts, order, what is left out, and what is refused."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tiny_data import put, zipped

from usgan_cli.commands.prepare import Prepare
from usgan_cli.core.errors import DataError, SettingsError, UsganError
from usgan_cli.core.text import on_one_line
from usgan_cli.data.source import classes, files, masks
from usgan_cli.data.source.contents import ImageSource, SourceOptions
from usgan_cli.data.source.names import natural_key, shown
from usgan_cli.data.source.scan import scan

Scanned = Callable[..., ImageSource]
DEFAULT = SourceOptions()


@pytest.fixture(params=["folder", "zip"])
def scanned(request: pytest.FixtureRequest, tmp_path: Path) -> Scanned:
    """Return a function that scans a tree of empty images: the folder itself, or its archive."""

    def look(*names: str, options: SourceOptions = DEFAULT) -> ImageSource:
        top = tmp_path / "source"
        top.mkdir(exist_ok=True)
        for name in names:
            if name.endswith("/"):
                (top / name).mkdir(parents=True)
            elif name.endswith(".txt"):
                (top / name).parent.mkdir(parents=True, exist_ok=True)
                (top / name).write_text("x")
            else:
                put(top / name)
        return scan(top if request.param == "folder" else zipped(top, tmp_path / "source.zip"), options)

    return look


def relatives(found: ImageSource) -> list[str]:
    return [image.relative for image in found.images]


def test_class_folders_are_sorted_and_files_in_natural_order(scanned: Scanned) -> None:
    found = scanned("b/b (10).png", "b/b (2).png", "b/b (1).PNG", "a/x.png", "c/c.png")
    assert found.classes == ("a", "b", "c")
    assert relatives(found) == ["a/x.png", "b/b (1).PNG", "b/b (2).png", "b/b (10).png", "c/c.png"]
    assert [i.class_ for i in found.images] == ["a", "b", "b", "b", "c"]
    assert found.layout == "class folders"
    assert found.left_out == ()
    assert not found.has_split


def test_natural_key_is_a_total_order() -> None:
    names = ["a10", "a2", "A2", "2", "10b", "b", "a2b3", "a2b10", "", "a02"]
    once = sorted(names, key=natural_key)
    names.reverse()
    assert once == sorted(names, key=natural_key)
    assert once.index("a2b3") < once.index("a2b10") < once.index("a10")


def test_masks_are_left_out_and_counted(scanned: Scanned) -> None:
    benign = ("benign (1).png", "benign (1)_mask.png", "benign (1)_mask_1.png", "benign (2).png")
    found = scanned(*(f"benign/{name}" for name in benign), "normal/normal (1).png", "normal/other_mask.png")
    assert found.layout == "BUSI with masks"
    assert len(found.images) == 3
    reasons = [item.reason for item in found.left_out]
    assert reasons.count(masks.MASK) == 2
    # A mask whose image is gone is still no image to train on.
    assert reasons.count(masks.MASK_WITHOUT_IMAGE) == 1


@pytest.mark.parametrize(
    "names",
    [
        ("benign/images/1.png", "benign/masks/1.png", "normal/images/1.png", "normal/masks/1.png"),
        ("images/benign/1.png", "masks/benign/1.png", "images/normal/1.png", "masks/normal/1.png"),
        ("benign/1.png", "benign/Mask/1.png", "normal/1.png", "normal/Mask/1.png"),
    ],
)
def test_folders_of_masks_are_left_out(scanned: Scanned, names: tuple[str, ...]) -> None:
    found = scanned(*names)
    assert found.classes == ("benign", "normal")
    assert len(found.images) == 2
    assert not any("mask" in image.name.lower() for image in found.images)
    assert found.layout == "class folders"  # not BUSI's


@pytest.mark.parametrize(
    "names",
    [
        ("1.png", "1-mask.png"),
        ("1.png", "1.mask.png"),
        ("1.png", "1_Mask.png"),
        ("1.png", "1_masks.png"),
        ("1.png", "1 mask (2).png"),
        ("1.png", "mask_1.png"),
        ("1.png", "1_lesion_mask.png"),
        ("1.jpg", "1_mask.png"),
    ],
)
def test_masks_have_many_names(scanned: Scanned, names: tuple[str, str]) -> None:
    found = scanned(*(f"{class_}/{name}" for class_ in "ab" for name in names))
    assert relatives(found) == [f"a/{names[0]}", f"b/{names[0]}"]
    assert [item.reason for item in found.left_out] == [masks.MASK] * 2


@pytest.mark.parametrize(
    "names",
    [
        ("images/benign/1.png", "labels/benign/1.png", "images/normal/1.png", "labels/normal/1.png"),
        ("images/benign/1.png", "GT/benign/1_gt.png", "images/normal/1.png", "GT/normal/1_gt.png"),
        ("benign/images/1.png", "benign/Ground Truth/1.png", "normal/images/1.png", "normal/Ground Truth/1.png"),
        ("benign/1.png", "benign_masks/1.png", "normal/1.png", "normal_masks/1.png"),
        ("benign/1.png", "benign GT/1.png", "normal/1.png", "normal GT/1.png"),
    ],
)
def test_folders_of_masks_have_many_names(scanned: Scanned, names: tuple[str, ...]) -> None:
    found = scanned(*names)
    assert found.classes == ("benign", "normal")
    assert len(found.images) == 2
    assert [item.reason for item in found.left_out if item.reason != masks.MASK] == []


def test_folders_that_are_only_named_alike_are_classes(scanned: Scanned) -> None:
    names = ("breast/1.png", "breast_tumor/1.png", "images/1.png", "label/7.png", "lesion/1.png")
    assert set(scanned(*names).classes) == {name.partition("/")[0] for name in names}


def test_a_class_may_be_called_mask(scanned: Scanned) -> None:
    assert scanned("mask/1.png", "no mask/1.png").classes == ("mask", "no mask")


def test_other_files_are_left_out_with_a_reason(scanned: Scanned) -> None:
    found = scanned(
        *("a/1.png", "b/1.png", "loose.png", "a/notes.txt", "a/._1.png", "a/.thumbs/1.png"),
        *("__MACOSX/a/1.png", ".git/1.png", ".DS_Store.txt", "about.txt"),
        *("@eaDir/a/1.png", "a/@eaDir/1.png", "$RECYCLE.BIN/1.png", "__MacOSX/b/1.png", "b/__pycache__/1.png"),
    )
    assert {item.source: item.reason for item in found.left_out} == {
        ".DS_Store.txt": files.HIDDEN,
        "about.txt": classes.NO_CLASS,
        "loose.png": classes.NO_CLASS,
        "a/notes.txt": classes.NOT_AN_IMAGE,
        "a/._1.png": files.HIDDEN,
        "a/.thumbs": files.HIDDEN,
        "a/@eaDir": files.HIDDEN,
        "b/__pycache__": files.HIDDEN,
    }
    assert relatives(found) == ["a/1.png", "b/1.png"]


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini", "Desktop.ini", "._1.png", "ehthumbs.db"])
def test_files_of_systems_are_passed_over(tmp_path: Path, name: str) -> None:
    for class_ in "ab":
        put(tmp_path / "s" / class_ / "1.png")
        (tmp_path / "s" / class_ / name).write_bytes(b"x")
    (tmp_path / "s" / name).write_bytes(b"x")
    for source in (tmp_path / "s", zipped(tmp_path / "s", tmp_path / "s.zip", inside="top/")):
        found = scan(source)
        assert relatives(found) == ["a/1.png", "b/1.png"]
        assert {item.reason for item in found.left_out} <= {files.HIDDEN}


def test_lone_folders_are_entered(scanned: Scanned) -> None:
    found = scanned("archive/Dataset/a/1.png", "archive/Dataset/b/1.png", "__MACOSX/x.png", "readme.txt")
    assert found.root.name == "Dataset"
    assert relatives(found) == ["a/1.png", "b/1.png"]


# Which folder is the class.


def test_folders_inside_class_folders_belong_to_the_class(scanned: Scanned) -> None:
    found = scanned("a/p1/1.png", "a/p2/x/1.png", "a/0.png", "b/p3/1.png")
    assert [(i.relative, i.class_) for i in found.images] == [
        ("a/0.png", "a"),
        ("a/p1/1.png", "a"),
        ("a/p2/x/1.png", "a"),
        ("b/p3/1.png", "b"),
    ]
    assert found.nested == 3


def test_folders_that_could_both_be_classes_must_be_chosen(scanned: Scanned) -> None:
    names = [f"site {s}/{c}/{i}.png" for s in (1, 2, 3) for c in ("benign", "malignant") for i in range(s)]
    with pytest.raises(SettingsError, match="site 1, site 2, site 3, or benign, malignant") as caught:
        scanned(*names)
    assert "--class-level 1 or --class-level 2" in str(caught.value.hint)
    assert scanned(options=SourceOptions(class_level=1)).classes == ("site 1", "site 2", "site 3")
    for level in (2, -1):
        found = scanned(options=SourceOptions(class_level=level))
        assert found.classes == ("benign", "malignant")
        assert sum(i.class_ == "benign" for i in found.images) == 6
    for level in (0, 3, -3):
        with pytest.raises(SettingsError, match="--class-level"):
            scanned(options=SourceOptions(class_level=level))


def test_patients_above_the_classes_must_be_chosen(scanned: Scanned) -> None:
    with pytest.raises(SettingsError, match="either could be the classes"):
        scanned("p1/benign/1.png", "p2/malignant/1.png", "p3/benign/1.png", "p3/malignant/1.png")


def test_patients_named_alike_in_few_classes_are_no_classes(scanned: Scanned) -> None:
    assert scanned("a/p1/1.png", "a/p2/1.png", "b/p2/1.png", "b/p3/1.png").classes == ("a", "b")


def test_the_innermost_folder_needs_one_depth(scanned: Scanned) -> None:
    with pytest.raises(SettingsError, match="different depths"):
        scanned("a/p1/1.png", "a/1.png", "b/p1/1.png", options=SourceOptions(class_level=-1))


def test_train_and_test_folders_are_a_split(scanned: Scanned) -> None:
    found = scanned("Train/a/1.png", "Train/b/1.png", "test/a/2.png", "test/b/2.png", "val/a/3.png")
    assert found.classes == ("a", "b")
    assert found.has_split
    assert {i.relative: i.side for i in found.images} == {
        "Train/a/1.png": "train",
        "Train/b/1.png": "train",
        "val/a/3.png": "train",
        "test/a/2.png": "test",
        "test/b/2.png": "test",
    }


def test_without_a_test_folder_validation_is_the_test(scanned: Scanned) -> None:
    found = scanned("train/a/1.png", "train/b/1.png", "val/a/2.png", "val/b/2.png")
    assert [i.side for i in found.images] == ["train", "test", "train", "test"]


@pytest.mark.parametrize("words", [("Training Set", "Testing-set"), ("train_images", "val"), ("data_train", "dev")])
def test_a_split_has_many_names(scanned: Scanned, words: tuple[str, str]) -> None:
    found = scanned(*(f"{word}/{class_}/{word[-2:]}.png" for word in words for class_ in "ab"))
    assert found.classes == ("a", "b")
    assert {image.side for image in found.images} == {"train", "test"}


def test_a_split_may_lie_in_the_class_folders(scanned: Scanned) -> None:
    names = [f"{class_}/{side}/{i}.png" for class_ in "ab" for side in ("train", "test") for i in range(2)]
    for level in (None, 1):
        found = scanned(*(names if level is None else ()), options=SourceOptions(class_level=level))
        assert found.classes == ("a", "b")
        assert [image.side for image in found.images] == [image.relative.split("/")[1] for image in found.images]
    for level in (2, -1):
        with pytest.raises(SettingsError, match="not a class"):
            scanned(options=SourceOptions(class_level=level))


@pytest.mark.parametrize(
    ("names", "odd"),
    [
        (["train/1.png", "test/1.png"], "test"),
        (["train/a/1.png", "train/b/1.png", "test/1.png"], "test"),
        (["top/train/a/1.png", "top/train/b/1.png", "top/test/1.png"], "top/test"),
        (["train/a/1.png", "train/b/1.png", "train/loose.png", "test/a/1.png", "test/b/1.png"], "train"),
        (["train/a/1.png", "train/b/1.png", "test/a/1.png", "more/a/1.png"], "more"),
        (["benign/1.png", "malignant/1.png", "Test/1.png"], "Test"),
        (["benign/1.png", "malignant/1.png", "validation_set/x/1.png"], "validation_set"),
        (["val/a/1.png", "test/a/1.png"], "not both sides"),
        (["train/a/1.png", "train/b/1.png", "test/"], "test"),
        (["train1/1.png", "train2/1.png"], "train1"),
    ],
)
def test_a_split_never_becomes_classes(scanned: Scanned, names: list[str], odd: str) -> None:
    with pytest.raises(DataError, match=odd) as caught:
        scanned(*names)
    assert "CSV" in str(caught.value.hint)
    with pytest.raises(UsganError):
        scanned(options=SourceOptions(class_level=1))


def test_classes_beside_a_folder_of_a_split_can_be_chosen(scanned: Scanned) -> None:
    found = scanned("a/1.png", "b/1.png", "test/1.png", options=SourceOptions(classes=("b", "a")))
    assert found.classes == ("b", "a")
    assert not found.has_split


def test_words_that_only_resemble_a_split_are_classes(scanned: Scanned) -> None:
    names = ("testis", "validity", "trainee", "contest", "developing")
    assert set(scanned(*(f"{name}/1.png" for name in names)).classes) == set(names)


# Which classes.


def test_classes_are_picked_and_ordered(scanned: Scanned) -> None:
    found = scanned("a/1.png", "b/1.png", "c/1.png", "empty/", options=SourceOptions(classes=("c", "a")))
    assert found.classes == ("c", "a")
    assert relatives(found) == ["c/1.png", "a/1.png"]
    assert [(i.source, i.reason) for i in found.left_out] == [("b/1.png", classes.NOT_CHOSEN)]
    with pytest.raises(SettingsError, match=r"no class 'd'.*'a', 'b', 'c', 'empty'"):
        scanned(options=SourceOptions(classes=("a", "d")))
    with pytest.raises(SettingsError, match="twice"):
        scanned(options=SourceOptions(classes=("a", "a")))
    with pytest.raises(DataError, match="one class, 'a'"):
        scanned(options=SourceOptions(classes=("a",)))


@pytest.mark.parametrize("pair", [("Benign", "benign"), ("Läsion", "La\u0308sion")])
def test_two_classes_that_look_alike_are_refused(scanned: Scanned, pair: tuple[str, str]) -> None:
    names = [f"{name}/1.png" for name in (*pair, "normal")]
    with pytest.raises(DataError, match="differ only in case or accents"):
        scanned(*names)
    assert len(scanned(options=SourceOptions(classes=(pair[0], "normal"))).images) == 2


def test_awkward_names_come_through(scanned: Scanned) -> None:
    names = ["a b/x [1] (2).png", "a b/画像.png", "a b/two\nlines.png", "c'\"d/#1.png"]
    found = scanned(*names)
    assert set(relatives(found)) == set(names)
    assert found.classes == ("a b", "c'\"d")
    assert on_one_line("two\nlines") == "two\\nlines"


def test_names_that_are_not_unicode_are_shown(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png")
    put(tmp_path / "b" / "1.png")
    name = os.fsdecode(b"\xff\xfe.png")
    try:
        shutil.copy(tmp_path / "a" / "1.png", tmp_path / "a" / name)
    except OSError:
        pytest.skip("this file system takes no names but unicode")
    found = scan(tmp_path)
    assert found.images[-2].relative == "a/\\xff\\xfe.png" == shown(f"a/{name}")
    assert len(found.read(found.images[-2].name)) > 0
    relatives(found)[-2].encode()


@pytest.mark.parametrize("encoded", [b"M\xfcller", b"M\x81ller", "Müller".encode(), b"\xb2\xe1\xca\xd4"])
def test_an_archive_has_the_names_of_its_folder(tmp_path: Path, encoded: bytes) -> None:
    """In latin-1, in DOS's code page, in UTF-8 without the flag that says so, and in GBK."""
    name = os.fsdecode(encoded)
    for class_ in (name, "b"):
        try:
            put(tmp_path / "s" / class_ / f"{name} 1.png")
        except OSError:
            pytest.skip("this file system takes no names but unicode")
    stand_in = b"~" * len(encoded)
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        for class_ in (name, "b"):
            path = f"{class_}/{name} 1.png"
            archive.writestr(path.replace(name, stand_in.decode()), (tmp_path / "s" / path).read_bytes())
    (tmp_path / "s.zip").write_bytes((tmp_path / "s.zip").read_bytes().replace(stand_in, encoded))
    found = scan(tmp_path / "s")
    packed = scan(tmp_path / "s.zip")
    assert relatives(packed) == relatives(found)
    assert packed.classes == found.classes
    assert set(found.classes) == {shown(name), "b"}
    assert packed.read(packed.images[0].name) == found.read(found.images[0].name)


# What is refused.


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no class folders"),
        (["1.png"], "images, but no class folders"),
        (["a/1.png"], "one class"),
        (["a/1.png", "b/notes.txt"], "holds no images"),
        (["a/1.png", "b/"], "holds no images"),
        (["a/1.png", "b/c/"], "holds no images"),
        (["a/1.png", "b/x_mask.png"], "masks, but no images"),
        (["train/a/1.png", "test/a/1.png"], "one class, 'a'"),
        (["train/a/1.png", "test/a/1.png", "train/b/"], "holds no images"),
    ],
)
def test_unusable_trees_are_refused(scanned: Scanned, names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        scanned(*names)
    assert caught.value.hint


def test_a_missing_source_and_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        scan(tmp_path / "absent")
    archive = tmp_path / "busi.tar.gz"
    archive.write_bytes(b"x")
    with pytest.raises(DataError, match="is a file, but not one of images by class") as caught:
        scan(archive)
    assert "Unpack" in str(caught.value.hint)


def test_a_format_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png"):
        put(tmp_path / "s" / name)
    archive = zipped(tmp_path / "s", tmp_path / "s.zip")
    (tmp_path / "s.csv").write_text("path,label\n")
    for source, form in ((tmp_path / "s", "zip"), (archive, "folders"), (tmp_path / "s.csv", "zip")):
        with pytest.raises(SettingsError, match=f"--format {form} does not fit"):
            scan(source, SourceOptions(format=form))
    with pytest.raises(DataError, match="has no train_images"):
        scan(archive, SourceOptions(format="medmnist"))
    # Only DICOM files count where they are asked for.
    with pytest.raises(DataError, match="no images"):
        scan(tmp_path / "s", SourceOptions(format="dicom"))
    assert scan(archive, SourceOptions(format="zip")).format == "zip"
    # A name without its usual suffix.
    shutil.copy(archive, tmp_path / "download")
    assert scan(tmp_path / "download").format == "zip"
    with pytest.raises(SettingsError, match="--format is 'tar'"):
        Prepare(source=tmp_path, format="tar")  # type: ignore[arg-type]


# Where the result lies.


def test_the_place_of_the_result_is_no_class(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png", "work/gans/x.png"):
        put(tmp_path / name)
    target = tmp_path / "work" / "data"
    target.mkdir()
    assert scan(tmp_path, exclude=[target, tmp_path / "work"]).classes == ("a", "b")
    shutil.rmtree(tmp_path / "work" / "gans")
    assert scan(tmp_path, exclude=[target]).classes == ("a", "b")
    with pytest.raises(DataError, match="work"):
        scan(tmp_path)


def test_a_result_inside_a_class_folder_is_refused(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png", "c/1.png"):
        put(tmp_path / name)
    with pytest.raises(DataError, match="lies in the class folder"):
        scan(tmp_path, exclude=[tmp_path / "a" / "out"])
    assert scan(tmp_path, exclude=[tmp_path / "work" / "data"]).classes == ("a", "b", "c")


def test_the_digest_follows_names_and_content(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png"):
        put(tmp_path / name)
    before = scan(tmp_path).digest()
    assert scan(tmp_path).digest() == before
    Image.new("L", (4, 4), 9).save(tmp_path / "b" / "1.png")
    changed = scan(tmp_path).digest()
    (tmp_path / "b" / "1.png").rename(tmp_path / "b" / "2.png")
    assert len({before, changed, scan(tmp_path).digest()}) == 3


def test_busi(busi_dir: Path) -> None:
    found = scan(busi_dir.parent if busi_dir.name == "Dataset_BUSI_with_GT" else busi_dir)
    assert found.root == busi_dir
    assert [sum(i.class_ == c for i in found.images) for c in found.classes] == [437, 210, 133]
    assert found.images[1].relative == "benign/benign (2).png"


def test_names_are_shown_as_text_whatever_they_hold() -> None:
    assert shown("plain") == "plain"
    assert shown("größe") == "größe"
    assert shown("gr\udcf6\udcdfe") == r"gr\xf6\xdfe"  # Latin-1 on a disk
    assert shown("a\ud800b") == r"a\ud800b"  # half a character, from a JSON file
