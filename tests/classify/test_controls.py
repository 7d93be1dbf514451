"""What each control is made of; validation and test images are those of every other classifier."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from classifier_sets import FAKE, FROZEN, REAL, TEST, TUNED, read, toy, train, treated
from hypothesis import given, settings
from hypothesis import strategies as st

from usgan_cli.classify.augment import OPERATIONS, trivial_augment
from usgan_cli.classify.controls import copies, with_shuffled_labels
from usgan_cli.classify.fold_images import Treatment, assign_images
from usgan_cli.core.apportion import class_quotas
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.classifier import FoldRecord
from usgan_cli.core.progress import Silent

COUNTS = [15, 15, 15]


def assigned(treatment: Treatment, config: Any = FROZEN) -> Any:
    def prefer(*_: Any) -> Any:
        raise AssertionError("nothing is selected")

    return assign_images(config, 45, treatment, REAL, TEST, Silent(), prefer)


def test_a_source_s_own_split_may_divide_a_group_and_is_then_warned_of() -> None:
    divided = dataclasses.replace(TEST, groups=REAL.groups[: len(TEST)])
    said = Silent()
    assign_images(FROZEN, 45, Treatment(), REAL, divided, said, lambda *_: None, own_split=True)  # type: ignore[arg-type]
    (warning,) = said.warnings
    assert f"{len(TEST)} groups" in warning
    assert "--split new" in warning
    with pytest.raises(DataError, match="--split new"):
        assign_images(FROZEN, 45, Treatment(), REAL, divided, said, lambda *_: None)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=40)
@given(total=st.integers(1, 120), more=st.integers(0, 60), seed=st.integers(0, 5))
def test_copies_are_of_the_training_side_in_its_proportions_as_evenly_as_can_be(
    total: int, more: int, seed: int
) -> None:
    side = REAL.take(np.arange(7, 40))
    made = copies(side, COUNTS, total, seed, augmented=False)
    assert np.bincount(made.labels, minlength=3).tolist() == class_quotas(COUNTS, total)
    times = Counter(made.files)
    for class_ in range(3):
        of_class = [times[file] for file, label in zip(side.files, side.labels, strict=True) if label == class_]
        assert max(of_class) - min(of_class) <= 1
    original = dict(zip(side.files, side.pixels, strict=True))
    assert all(np.array_equal(original[file], x) for file, x in zip(made.files, made.pixels, strict=True))
    larger = Counter(copies(side, COUNTS, total + more, seed, augmented=False).files)
    assert times <= larger


@pytest.mark.parametrize("control", ["copies", "classical"])
@pytest.mark.parametrize("config", [FROZEN, TUNED], ids=["frozen", "tuned"])
def test_controls_add_as_many_images_to_the_training_side_alone(control: Any, config: Any) -> None:
    plain, images = assigned(Treatment(), config), assigned(Treatment(ratio=2, control=control), config)
    for fold, alone in zip(images.folds, plain.folds, strict=True):
        assert np.array_equal(fold.train, alone.train)
        assert np.array_equal(fold.val, alone.val)
        assert len(fold.synthetic) == 90
        assert set(fold.synthetic.files) <= {images.real.files[i] for i in fold.train}
        assert fold.digest is None
        assert fold.strongly == (control == "classical" and not config.freeze)
    assert np.array_equal(images.test.pixels, plain.test.pixels)


def test_a_copy_is_augmented_in_the_same_way_in_all_folds_and_differs_from_other_copies() -> None:
    """The same picture in all folds: its features are computed once."""
    images = assigned(Treatment(ratio=2, control="classical"))
    pictures: dict[str, set[bytes]] = {}
    for fold in images.folds:
        for file, pixels in zip(fold.synthetic.files, fold.synthetic.pixels, strict=True):
            pictures.setdefault(file, set()).add(pixels.tobytes())
    # 90 copies of 30 training images are 3 of each; some are left as they are.
    assert max(len(different) for different in pictures.values()) == 3
    original = dict(zip(images.real.files, images.real.pixels, strict=True))
    changed = sum(original[file].tobytes() not in different for file, different in pictures.items())
    assert changed > 20


def test_shuffled_labels_keep_their_counts_and_say_nothing_of_the_class() -> None:
    big = toy("fake", 900, 3, size=32)
    shuffled = with_shuffled_labels(big, 0)
    assert np.array_equal(np.bincount(shuffled.labels), np.bincount(big.labels))
    assert np.array_equal(shuffled.pixels, big.pixels)
    table = np.zeros((3, 3))
    np.add.at(table, (big.labels, shuffled.labels), 1)
    assert table.min() > 60  # 100 each are expected
    assert not np.array_equal(shuffled.labels, with_shuffled_labels(big, 1).labels)


def test_shuffled_images_teach_nothing(tmp_path: Path) -> None:
    """Trap: images whose labels are not shuffled, or a shuffle of the validation or test labels too."""
    config = dataclasses.replace(FROZEN, budget="updates")
    alone = train(tmp_path / "only", config, treatment=treated(2, FAKE, synthetic_only=True, control="shuffled"))
    helped = train(tmp_path / "ada", config, treatment=treated(2, FAKE, synthetic_only=True))
    assert alone.test_micro_f1.mean < 0.6 < helped.test_micro_f1.mean
    labels = dict(zip(TEST.files, TEST.labels, strict=True)) | dict(zip(REAL.files, REAL.labels, strict=True))
    predictions = read(tmp_path / "only")[1]
    assert all(labels[f] == label for f, label in zip(predictions.files, predictions.label, strict=True))


def test_controls_are_recorded_and_give_the_same_bytes_again(tmp_path: Path) -> None:
    config = dataclasses.replace(FROZEN, budget="updates")
    for control in ("copies", "classical"):
        treatment = Treatment(ratio=1, control=control)  # type: ignore[arg-type]
        record = train(tmp_path / control, config, treatment=treatment)
        assert (record.control, record.aug, record.ratio, record.synthetic) == (control, None, 1, None)
        assert not record.is_baseline
        assert {fold.train_synthetic for fold in record.folds} == {45}
        train(tmp_path / "again" / control, config, treatment=treatment)
        for name in ("result.json", "predictions.csv"):
            assert (tmp_path / "again" / control / name).read_bytes() == (tmp_path / control / name).read_bytes()
        fold = FoldRecord.read(tmp_path / control / "folds" / "fold0.json")
        assert len(fold.synthetic) == 45
        assert set(fold.synthetic) <= set(fold.train)


@pytest.mark.parametrize(
    ("treatment", "words"),
    [
        (Treatment(control="copies"), "belong together"),
        (treated(1, control="copies"), "'copies' has no generated images"),
        (Treatment(ratio=1, control="shuffled"), "belong together|needs generated images"),
        (Treatment(ratio=1, control="copies", synthetic_only=True), "need generated images"),
    ],
)
def test_contradictions_are_refused(treatment: Treatment, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        assigned(treatment)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_strong_augmentation_is_of_all_kinds_and_never_upside_down() -> None:
    """A bright top and a dark bottom stay so under every operation at full strength."""
    x = torch.full((1, 64, 64), 30, dtype=torch.uint8)
    x[:, :32] = 200
    x[:, :, 28:36] += 20
    for name, operation in OPERATIONS.items():
        for strength in (-1.0, -0.5, 0.5, 1.0):
            changed = operation(x, strength)
            assert changed.shape == x.shape and changed.dtype == torch.uint8, name
            middle = changed[0, :, 16:48].float()
            assert middle[8:24].mean() > middle[40:56].mean() + 5, (name, strength)
    assert not {"posterize", "solarize", "invert", "color", "flip"} & {name.split()[0] for name in OPERATIONS}


@pytest.mark.parametrize("channels", [1, 3])
def test_strong_augmentation_follows_its_generator(channels: int) -> None:
    images = (torch.rand(60, channels, 24, 24, generator=seeded(1)) * 255).to(torch.uint8)
    one, two, other = (trivial_augment(images, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    changed = (one != images).flatten(1).any(1)
    assert 40 < int(changed.sum()) < 60, "one kind in eleven is to leave an image as it is"
    assert trivial_augment(images[:0], seeded()).shape == (0, channels, 24, 24)
