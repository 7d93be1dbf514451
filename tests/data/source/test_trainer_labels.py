"""Labels of the original trainers: read where they are, refused where broken, and other programs' files left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from configs import prepare_config
from tiny_data import put, zipped

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.images import codec
from usgan_cli.core.images.generated import open_writer
from usgan_cli.core.progress import Silent
from usgan_cli.data.prepare import prepare
from usgan_cli.data.source import classes, trainer_labels
from usgan_cli.data.source.contents import SourceOptions
from usgan_cli.data.source.folders import load_folders
from usgan_cli.data.source.scan import scan

NAMES = [f"{i // 4:05}/img{i:08}.png" for i in range(12)]


def pixels(seed: int) -> codec.Pixels:
    return np.random.default_rng(seed).integers(0, 256, (1, 16, 16), dtype=np.uint8)


def dataset(top: Path, labels: Any) -> Path:
    for i, name in enumerate(NAMES):
        codec.write_png(top / name, pixels(i))
    (top / "dataset.json").write_text(json.dumps({"labels": labels}))
    return top


LISTED = [[name, i % 2] for i, name in enumerate(NAMES)]


@pytest.mark.parametrize(
    "labels",
    [
        LISTED,
        dict(LISTED),
        [[name, [1 - label, label]] for name, label in LISTED],
        [[name, [1.0 - label, float(label)]] for name, label in LISTED],
        [[name.replace("/", "\\"), label] for name, label in LISTED],
        LISTED[::-1],
    ],
    ids=["list", "object", "one-hot", "one-hot floats", "backslashes", "another order"],
)
@pytest.mark.parametrize("form", ["folder", "zip", "zip with a top folder"])
def test_the_labels_are_the_classes(tmp_path: Path, labels: Any, form: str) -> None:
    source = dataset(tmp_path / "s", labels)
    if form != "folder":
        source = zipped(source, tmp_path / "s.zip", inside="top/" if "top" in form else "")
    found = scan(source)
    assert found.classes == ("0", "1")
    assert {image.relative: int(image.class_) for image in found.images} == {
        name: i % 2 for i, name in enumerate(NAMES)
    }
    assert found.left_out == ()
    ((images,), _) = load_folders([source], fit="stretch", bits=None, progress=Silent())
    assert images.class_counts() == {"0": 6, "1": 6}
    assert len(prepare(prepare_config(16, 1, 4), source, tmp_path / "d", Silent()).images) == 12


def test_what_generate_writes_for_the_trainers_is_read(tmp_path: Path) -> None:
    with open_writer(tmp_path, "zip", ("benign", "malignant"), 12, (1, 16, 16)) as writer:
        for i in range(12):
            writer.add(pixels(i), i % 2, i)
    found = scan(tmp_path / "images.zip")
    assert {image.class_ for image in found.images} == {"0", "1"}
    assert [codec.decode_bytes(found.read(image.name)).pixels.tolist() for image in found.images[:2]] == [
        pixels(0).tolist(),
        pixels(2).tolist(),
    ]


def test_what_is_not_listed_is_left_out(tmp_path: Path) -> None:
    source = dataset(tmp_path / "s", [*LISTED[:10], ["00009/gone.png", 1]])
    found = scan(source)
    assert len(found.images) == 10
    assert {item.source: item.reason for item in found.left_out} == {
        NAMES[10]: trainer_labels.NO_LABEL,
        NAMES[11]: trainer_labels.NO_LABEL,
        "00009/gone.png": trainer_labels.ABSENT,
    }
    dataset(source, [*LISTED[:10], [NAMES[10], 2], [NAMES[11], 2]])
    chosen = scan(source, SourceOptions(classes=("2", "0")))
    assert chosen.classes == ("2", "0")
    assert {item.reason for item in chosen.left_out} == {classes.NOT_CHOSEN}
    with pytest.raises(SettingsError, match="--class-level"):
        scan(source, SourceOptions(class_level=1))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "gives no labels"),
        ([[NAMES[0]]], "entry 0"),
        ([NAMES[0]], "entry 0"),
        ([[NAMES[0], None]], "entry 0 .* no class"),
        ([[NAMES[0], True]], "no class"),
        ([[NAMES[0], 0.5]], "no class"),
        ([[NAMES[0], [1, 1]]], "no class"),
        ([[NAMES[0], []]], "no class"),
        ([[NAMES[0], 0], [NAMES[0], 1]], "two labels"),
        ([[7, 0]], "not a file name"),
        ([], "no class"),
    ],
)
def test_broken_labels_are_refused(tmp_path: Path, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        scan(dataset(tmp_path / "s", labels))


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe", b"[" * 100_000, b""])
def test_a_broken_file_is_refused(tmp_path: Path, text: bytes) -> None:
    source = dataset(tmp_path / "s", LISTED)
    (source / "dataset.json").write_bytes(text)
    with pytest.raises(DataError, match=r"dataset\.json is not valid JSON"):
        scan(source)


@pytest.mark.parametrize("body", [{"labels": {"background": 0, "tumor": 1}}, {"name": "x"}, [1, 2], {"labels": "ab"}])
def test_files_of_other_programs_say_nothing(tmp_path: Path, body: Any) -> None:
    for i in range(4):
        codec.write_png(tmp_path / "s" / "ab"[i % 2] / f"{i}.png", pixels(i))
    (tmp_path / "s" / "dataset.json").write_text(json.dumps(body))
    assert scan(tmp_path / "s").classes == ("a", "b")


def test_half_a_character_in_a_listed_name_is_shown_and_not_raised(tmp_path: Path) -> None:
    tree = {"a/0.png": 0, "b/0.png": 1, "\ud800.png": 1, "a/\udcff.png": 1}
    for name in ("a/0.png", "a/1.png", "b/0.png"):
        put(tmp_path / name)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": list(tree.items())}))
    absent = [item.source for item in scan(tmp_path).left_out if item.reason == trainer_labels.ABSENT]
    assert sorted(absent) == ["\\ud800.png", "a/\\xff.png"]


def test_corrected_labels_change_the_digest(tmp_path: Path) -> None:
    before = scan(dataset(tmp_path / "s", LISTED[:])).digest()
    assert scan(tmp_path / "s").digest() == before
    # The last of one class and the first of the next change places, which leaves the order of all images as it was.
    listed = [[name, int(i >= 6)] for i, name in enumerate(NAMES)]
    order = [image.relative for image in scan(dataset(tmp_path / "s", listed)).images]
    first = scan(tmp_path / "s").digest()
    corrected = [[name, int(i >= 5)] for i, name in enumerate(NAMES)]
    assert [image.relative for image in scan(dataset(tmp_path / "s", corrected)).images] == order
    second = scan(tmp_path / "s").digest()
    named = [[name, "ab"[label]] for name, label in corrected]
    third = scan(dataset(tmp_path / "s", named)).digest()
    assert len({before, first, second, third}) == 4
