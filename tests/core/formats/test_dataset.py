"""Manifests refuse to contradict themselves or to serve another dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from damage import write_sealed

from usgan_cli.core.errors import DataError, FormatError, MissingError
from usgan_cli.core.formats.dataset import DataImage, DataManifest, LeftOut, Subset


def listed(name: str, kind: str, split: str, group: int) -> DataImage:
    fields = {"file": name, "class": kind, "split": split, "group": group, "sha256": "0" * 64, "source": f"src/{name}"}
    return DataImage.model_validate(fields)


MANIFEST = DataManifest(
    classes=["benign", "malignant"],
    size=32,
    channels=1,
    layout="class folders",
    resampling="lanczos",
    fit="stretch",
    test_share=0.4,
    seed=0,
    images=[
        listed("b1.png", "benign", "train", 0),
        listed("b2.png", "benign", "test", 1),
        listed("b3.png", "benign", "train", 0),
        listed("m1.png", "malignant", "test", 2),
        listed("m2.png", "malignant", "train", 3),
    ],
    left_out=[LeftOut(source="notes.txt", reason="not an image")],
    duplicates=[["b1.png", "b3.png"]],
    conflicts=[],
)
SUBSET = Subset(
    n=2, seed=0, data=MANIFEST.content_digest(), classes=["benign", "malignant"], images=["m2.png", "b3.png"]
)


def test_the_file_says_class_which_python_cannot() -> None:
    assert json.loads(MANIFEST.to_json())["images"][0]["class"] == "benign"


def test_sides_and_counts() -> None:
    assert [i.file for i in MANIFEST.of("train")] == ["b1.png", "b3.png", "m2.png"]
    assert MANIFEST.class_counts("train") == {"benign": 2, "malignant": 1}
    assert MANIFEST.class_counts("test") == {"benign": 1, "malignant": 1}


def test_a_subset_picks_its_images_in_the_order_of_the_dataset() -> None:
    assert [i.file for i in SUBSET.pick(MANIFEST)] == ["b3.png", "m2.png"]


def test_a_subset_of_another_dataset_is_refused() -> None:
    other = MANIFEST.model_copy(update={"seed": 1})
    with pytest.raises(DataError, match=r"another version of the dataset[^$]*usgan subsample --n 2 --seed 0 --force"):
        SUBSET.pick(other)


@pytest.mark.parametrize(
    ("position", "change", "words"),
    [
        (0, {"class": "normal"}, "unknown class 'normal'"),
        (1, {"file": "b1.png"}, "listed twice"),
        (2, {"split": "val"}, r"images\.2\.split"),
        (3, {"group": None}, r"images\.3\.group"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    tmp_path: Path, position: int, change: dict[str, Any], words: str
) -> None:
    body = json.loads(MANIFEST.to_json())
    body["images"][position] |= change
    path = tmp_path / "manifest.json"
    write_sealed(path, body)
    with pytest.raises(FormatError, match=words) as caught:
        DataManifest.read(path)
    assert str(path) in str(caught.value)


def test_one_kind_of_manifest_is_not_taken_for_another(tmp_path: Path) -> None:
    SUBSET.write(tmp_path / "manifest.json")
    with pytest.raises(FormatError, match="'usgan/subset'"):
        DataManifest.read(tmp_path / "manifest.json")
    with pytest.raises(MissingError):
        DataManifest.read(tmp_path / "absent.json")
