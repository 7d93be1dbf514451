"""MedMNIST-shaped files made by the test: pixels, labels, names, the published split, and what is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from configs import prepare_config

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.images import codec
from usgan_cli.core.progress import Silent
from usgan_cli.data.prepare import prepare
from usgan_cli.data.source import medmnist
from usgan_cli.data.source.contents import SourceOptions
from usgan_cli.data.source.scan import scan
from usgan_cli.reporting import findings

COUNTS = {"train": 20, "val": 6, "test": 10}


def arrays(classes: int = 2, size: int = 28, colour: bool = False) -> dict[str, Any]:
    draws = np.random.default_rng(0)
    made: dict[str, Any] = {}
    for part, count in COUNTS.items():
        shape = (count, size, size, 3) if colour else (count, size, size)
        made[f"{part}_images"] = draws.integers(0, 256, shape, dtype=np.uint8)
        made[f"{part}_labels"] = (np.arange(count) % classes).astype(np.uint8)[:, None]
    return made


def save(path: Path, made: dict[str, Any], *, compressed: bool = True) -> Path:
    (np.savez_compressed if compressed else np.savez)(path, **made)
    return path


@pytest.mark.parametrize(("size", "colour", "compressed"), [(28, False, True), (64, True, False), (32, False, True)])
def test_images_labels_and_split_come_through(tmp_path: Path, size: int, colour: bool, compressed: bool) -> None:
    made = arrays(3, size, colour)
    path = save(tmp_path / "mine.npz", made, compressed=compressed)
    config = prepare_config(size=32, channels=3 if colour else 1)
    manifest = prepare(config, path, tmp_path / "data", Silent())
    assert (manifest.source_format, manifest.layout, manifest.split_from) == ("medmnist", "MedMNIST", "source")
    assert manifest.classes == ["0", "1", "2"]
    assert (len(manifest.of("train")), len(manifest.of("test"))) == (26, 10)
    assert {image.source.partition("/")[0] for image in manifest.of("test")} == {"test"}
    for image in manifest.images:
        part, number = image.source.split("/")
        original = made[f"{part}_images"][int(number)]
        assert image.class_ == str(made[f"{part}_labels"][int(number), 0])
        pixels = original.transpose(2, 0, 1) if colour else original[None]
        np.testing.assert_array_equal(
            codec.decode(tmp_path / "data" / image.file, config.channels), codec.fit(pixels, 32)
        )
    # In the order of the labels and, within a class, of the numbers.
    assert [image.source for image in manifest.images if image.class_ == "0"][:3] == ["test/0", "test/3", "test/6"]


def test_the_order_of_memory_does_not_matter(tmp_path: Path) -> None:
    made = arrays()
    plain = prepare(prepare_config(32), save(tmp_path / "c.npz", made), tmp_path / "c", Silent())
    made = {name: np.asfortranarray(array) for name, array in made.items()}
    assert prepare(prepare_config(32), save(tmp_path / "f.npz", made), tmp_path / "f", Silent()).images == plain.images


def test_a_new_split_takes_all_parts(tmp_path: Path) -> None:
    path = save(tmp_path / "mine.npz", arrays())
    manifest = prepare(prepare_config(32, 1, 12, split="new"), path, tmp_path / "data", Silent())
    assert manifest.split_from == "usgan"
    assert manifest.class_counts("test") == {"0": 6, "1": 6}
    assert {image.source.partition("/")[0] for image in manifest.of("test")} == {"train", "val", "test"}


def test_copies_across_the_published_split_are_reported(tmp_path: Path) -> None:
    made = arrays()
    made["test_images"][3] = made["train_images"][5]
    progress = Silent()
    manifest = prepare(prepare_config(32), save(tmp_path / "mine.npz", made), tmp_path / "data", progress)
    assert any("own split divides 1 group" in warning for warning in progress.warnings)
    # So nothing says that they are on one side.
    said = [*progress.warnings, *findings.audit(manifest), (tmp_path / "data" / "audit.html").read_text()]
    assert not any("one side of the split" in text for text in said)
    assert "They are kept on one side of every fold." in progress.warnings[0]
    assert "Copies were kept on one side of every fold." in said
    assert "own split was kept, whether it divides copies or not" in said[-1]


@pytest.mark.skipif(importlib.util.find_spec("medmnist") is None, reason="medmnist is absent, and its table of names")
def test_names_come_from_the_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("breastmnist.npz", "breastmnist_224.npz", "BreastMNIST (1).npz"):
        found = scan(save(tmp_path / name, arrays()))
        assert found.classes == ("malignant", "normal, benign")  # by label
    chosen = scan(tmp_path / "breastmnist.npz", SourceOptions(classes=("normal, benign", "malignant")))
    assert chosen.classes == ("normal, benign", "malignant")
    assert scan(save(tmp_path / "othermnist.npz", arrays())).classes == ("0", "1")
    assert capsys.readouterr() == ("", "")


def test_classes_can_be_left_out(tmp_path: Path) -> None:
    path = save(tmp_path / "mine.npz", arrays(12))
    assert scan(path).classes == tuple(map(str, range(12)))  # 2 before 10
    found = scan(path, SourceOptions(classes=("10", "2")))
    assert found.classes == ("10", "2")
    assert len(found.images) + len(found.left_out) == 36
    with pytest.raises(SettingsError, match="--class-level"):
        scan(path, SourceOptions(class_level=1))


def test_pixels_are_read_one_after_another(tmp_path: Path) -> None:
    made = arrays()
    rows = list(medmnist.iterate(medmnist.open_arrays(save(tmp_path / "mine.npz", made))))
    assert [name for name, _ in rows] == [f"{part}/{i}" for part, count in COUNTS.items() for i in range(count)]
    np.testing.assert_array_equal(rows[25][1], made["val_images"][5])


def without(made: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: array for name, array in made.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: without(m, "train_labels"), "one of train_images and train_labels, but not the other"),
        (lambda m: without(m, "val_images"), "one of val_images and val_labels"),
        (lambda m: m | {"train_images": np.zeros((20, 28, 28, 28), np.uint8)}, "holds volumes"),
        (lambda m: m | {"train_images": np.zeros((20, 28, 28), np.float32)}, "of type float32"),
        (lambda m: m | {"train_images": np.zeros((20, 784), np.uint8)}, "has the shape"),
        (lambda m: m | {"train_images": np.zeros((0, 30000, 30000), np.uint8)}, "too large to be real"),
        (lambda m: m | {"train_labels": np.zeros((20, 14), np.uint8)}, "14 labels"),
        (lambda m: m | {"train_labels": np.zeros((19, 1), np.uint8)}, "not one whole number for each of the 20"),
        (lambda m: m | {"train_labels": np.zeros((20, 1))}, "not one whole number"),
        (lambda m: m | {"train_labels": np.array([{}] * 20)}, r"cannot be read as an \.npz"),
        (lambda m: m | {f"{p}_labels": np.zeros((n, 1), np.uint8) for p, n in COUNTS.items()}, "one class, '0'"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        scan(save(tmp_path / "mine.npz", change(arrays())))
    assert "mine.npz" in caught.value.message


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "mine.npz", arrays(), compressed=False)
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"mine\.npz is damaged"):
        prepare(prepare_config(32), path, tmp_path / "data", Silent())
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"mine\.npz"):
        scan(path, SourceOptions(format="medmnist"))


def test_the_test_side_may_lack_a_class(tmp_path: Path) -> None:
    made = arrays()
    made["test_labels"][:] = 0
    with pytest.raises(DataError, match="test side has none of the class '1'") as caught:
        prepare(prepare_config(32), save(tmp_path / "mine.npz", made), tmp_path / "data", Silent())
    assert "--split new" in str(caught.value.hint)
