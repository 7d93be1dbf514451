"""Recognising source folders: layouts, order, what is left out, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from usgan_cli.core import images
from usgan_cli.core.errors import DataError
from usgan_cli.data import sources
from usgan_cli.data.sources import natural_key, scan


def put(path: Path) -> None:
    images.write_png(path, np.zeros((1, 4, 4), np.uint8))


def test_class_folders_are_sorted_and_files_in_natural_order(tmp_path: Path) -> None:
    for name in ("b/b (10).png", "b/b (2).png", "b/b (1).PNG", "a/x.png", "c/c.png"):
        put(tmp_path / name)
    found = scan(tmp_path)
    assert found.classes == ("a", "b", "c")
    assert [i.relative for i in found.images] == ["a/x.png", "b/b (1).PNG", "b/b (2).png", "b/b (10).png", "c/c.png"]
    assert [i.class_ for i in found.images] == ["a", "b", "b", "b", "c"]
    assert found.layout == "class folders"
    assert found.left_out == ()


def test_natural_key_is_a_total_order() -> None:
    names = ["a10", "a2", "A2", "2", "10b", "b", "a2b3", "a2b10", "", "a02"]
    once = sorted(names, key=natural_key)
    names.reverse()
    assert once == sorted(names, key=natural_key)
    assert once.index("a2b3") < once.index("a2b10") < once.index("a10")


def test_masks_are_left_out_and_counted(tmp_path: Path) -> None:
    for name in ("benign (1).png", "benign (1)_mask.png", "benign (1)_mask_1.png", "benign (2).png"):
        put(tmp_path / "benign" / name)
    put(tmp_path / "normal" / "normal (1).png")
    put(tmp_path / "normal" / "other_mask.png")
    found = scan(tmp_path)
    assert found.layout == "BUSI with masks"
    assert len(found.images) == 3
    assert found.count_left_out(sources.MASK) == 2
    # A mask whose image is gone is still no image to train on.
    assert found.count_left_out(sources.MASK_WITHOUT_IMAGE) == 1


def test_other_files_are_left_out_with_a_reason(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png")
    put(tmp_path / "b" / "1.png")
    put(tmp_path / "loose.png")
    put(tmp_path / "a" / "deeper" / "2.png")
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "a" / "._1.png").write_text("x")
    (tmp_path / "__MACOSX" / "a").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    found = scan(tmp_path)
    assert {item.source: item.reason for item in found.left_out} == {
        "loose.png": sources.NO_CLASS,
        "a/deeper": sources.NESTED,
        "a/notes.txt": sources.NOT_AN_IMAGE,
        "a/._1.png": sources.HIDDEN,
    }
    assert [i.relative for i in found.images] == ["a/1.png", "b/1.png"]


def test_a_lone_folder_is_entered(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png"):
        put(tmp_path / "archive" / "Dataset" / name)
    (tmp_path / "__MACOSX").mkdir()
    found = scan(tmp_path)
    assert found.root == tmp_path / "archive" / "Dataset"
    assert [i.relative for i in found.images] == ["a/1.png", "b/1.png"]


def test_the_place_of_the_result_is_no_class(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png")
    put(tmp_path / "b" / "1.png")
    (tmp_path / "work" / "data").mkdir(parents=True)
    assert scan(tmp_path, exclude=tmp_path / "work" / "data").classes == ("a", "b")
    with pytest.raises(DataError, match="work"):
        scan(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "no class folders"),
        (["1.png"], "images, but no class folders"),
        (["a/1.png"], "one class"),
        (["a/1.png", "b/notes.txt"], "holds no images"),
        (["a/1.png", "b/x_mask.png"], "masks, but no images"),
        (["train/a/1.png", "test/a/1.png"], "folders of images"),
    ],
)
def test_unusable_folders_are_refused(tmp_path: Path, files: list[str], message: str) -> None:
    for name in files:
        put(tmp_path / name)
    with pytest.raises(DataError, match=message) as caught:
        scan(tmp_path)
    assert caught.value.hint


def test_a_missing_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        scan(tmp_path / "absent")
    archive = tmp_path / "busi.zip"
    archive.write_bytes(b"PK")
    with pytest.raises(DataError, match="is a file") as caught:
        scan(archive)
    assert "Unpack" in str(caught.value.hint)


def test_busi(busi_dir: Path) -> None:
    found = scan(busi_dir.parent if busi_dir.name == "Dataset_BUSI_with_GT" else busi_dir)
    assert found.root == busi_dir
    assert [sum(i.class_ == c for i in found.images) for c in found.classes] == [437, 210, 133]
    assert found.images[1].relative == "benign/benign (2).png"


def test_a_result_inside_a_class_folder_is_refused(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png", "c/1.png"):
        put(tmp_path / name)
    with pytest.raises(DataError, match="lies in the class folder"):
        scan(tmp_path, exclude=tmp_path / "a" / "out")
    assert scan(tmp_path, exclude=tmp_path / "work" / "data").classes == ("a", "b", "c")
