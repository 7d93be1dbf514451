"""Whole trainings on toy images: what is learned, what is written, and what must not leak."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from classifier_sets import CLASSES, FAKE, FROZEN, REAL, TEST, TUNED, read, train, treated
from sklearn.metrics import brier_score_loss, roc_auc_score

from usgan_cli.classify import finetune
from usgan_cli.classify.config import check_config, settings_of
from usgan_cli.classify.finetune import lr_factor
from usgan_cli.classify.fold_images import Treatment
from usgan_cli.classify.folds import in_file_order
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.classifier import FoldRecord
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.progress import Silent


@pytest.fixture(scope="module")
def frozen(tmp_path_factory) -> dict[float, Path]:
    folder = tmp_path_factory.mktemp("frozen")
    for ratio in (0, 0.5, 1):
        train(folder / f"x{ratio}", FROZEN, ratio)
    return {ratio: folder / f"x{ratio}" for ratio in (0, 0.5, 1)}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tuned") / "real"
    train(folder, TUNED)
    return folder


def test_both_ways_learn_what_can_be_told_apart(frozen, tuned):
    for folder in (frozen[0], tuned):
        record, _ = read(folder)
        assert record.test_micro_f1.mean > 0.85
        assert record.test_micro_f1.count == len(record.folds)
    assert all(fold.epoch == 0 for fold in read(frozen[0])[0].folds)
    assert all(1 <= fold.epoch <= TUNED.epochs for fold in read(tuned)[0].folds)


def test_the_same_seed_gives_the_same_bytes(frozen, tuned, tmp_path):
    train(tmp_path / "frozen", FROZEN)  # with another cache: features are computed again
    train(tmp_path / "tuned", TUNED)
    train(tmp_path / "other", dataclasses.replace(TUNED, seed=1))
    for name in ("predictions.csv", "result.json"):
        assert (tmp_path / "frozen" / name).read_bytes() == (frozen[0] / name).read_bytes()
        assert (tmp_path / "tuned" / name).read_bytes() == (tuned / name).read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != (tuned / name).read_bytes()


def test_the_order_in_which_images_are_listed_changes_nothing(frozen, tmp_path):
    order = np.random.default_rng(0).permutation(45)
    train(tmp_path / "shuffled", FROZEN, real=REAL.take(order))
    assert (tmp_path / "shuffled" / "predictions.csv").read_bytes() == (frozen[0] / "predictions.csv").read_bytes()


def test_every_number_follows_from_the_predictions(frozen, tuned):
    """Recomputed from the CSV's text with nothing but counting."""
    for folder in (frozen[1], tuned):
        record, written = read(folder)
        with (folder / "predictions.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        for fold in record.folds:
            own = (written.fold == fold.fold) & (written.part == "test")
            y, p = written.label[own], written.probability[own]
            assert fold.test_auc == pytest.approx(
                np.mean([roc_auc_score(y == c, p[:, c]) for c in range(3)]), abs=1e-12
            )
            brier = sum(brier_score_loss(y == c, p[:, c]) for c in range(3))
            # Trap: what is scored must be what is written, not what was rounded to be written.
            assert fold.test_brier == pytest.approx(brier, abs=1e-14)
        confusion = np.zeros((3, 3), dtype=int)
        for fold in record.folds:
            micro: dict[str, float] = {}
            for part in ("val", "test"):
                own = [row for row in rows if row["fold"] == str(fold.fold) and row["part"] == part]
                guess = [max(CLASSES, key=lambda name, row=row: float(row[f"p_{name}"])) for row in own]
                counts = np.zeros((3, 3), dtype=int)
                for row, name in zip(own, guess, strict=True):
                    counts[CLASSES.index(row["label"]), CLASSES.index(name)] += 1
                micro[part] = counts.trace() / counts.sum()
                f1 = 2 * counts.diagonal() / (counts.sum(0) + counts.sum(1))
            assert (fold.val_micro_f1, fold.test_micro_f1) == pytest.approx((micro["val"], micro["test"]), abs=1e-12)
            assert fold.test_class_f1 == pytest.approx(dict(zip(CLASSES, f1, strict=True)), abs=1e-12)
            assert fold.test_macro_f1 == pytest.approx(f1.mean(), abs=1e-12)
            assert fold.test_balanced_accuracy == pytest.approx((counts.diagonal() / counts.sum(1)).mean(), abs=1e-12)
            confusion += counts
        assert record.confusion == confusion.tolist()
        values = [fold.test_micro_f1 for fold in record.folds]
        assert record.test_micro_f1.mean == pytest.approx(np.mean(values))
        assert record.test_micro_f1.sd == pytest.approx(np.std(values, ddof=1))


def test_synthetic_images_are_never_validated_on_and_folds_stay_the_baselines(frozen):
    validated = {}
    for ratio, folder in frozen.items():
        record, predictions = read(folder)
        rows = predictions.part == "val"
        validated[ratio] = list(zip(predictions.fold[rows], np.array(predictions.files)[rows], strict=True))
        assert sorted(np.array(predictions.files)[rows]) == sorted(REAL.files)
        assert {fold.train_synthetic for fold in record.folds} == {round(45 * ratio)}
        assert {fold.train_real for fold in record.folds} == {30}
    assert validated[0] == validated[0.5] == validated[1]
    settings = [read(folder)[0].settings for folder in frozen.values()]
    assert settings[0] == settings[1] == settings[2]


def test_synthetic_images_are_trained_on(frozen, tmp_path):
    """Trap: synthetic images that are loaded but left out would make no difference."""
    wrong = dataclasses.replace(FAKE, labels=(FAKE.labels + 1) % 3)
    record = train(tmp_path / "wrong", FROZEN, treatment=treated(2, wrong))
    assert record.test_micro_f1.mean < 0.7 < read(frozen[1])[0].test_micro_f1.mean


def test_only_as_many_synthetic_images_as_asked_for_count(frozen, tmp_path):
    cut = FAKE.take(np.arange(45))
    train(tmp_path / "cut", FROZEN, treatment=treated(1, cut))
    assert (tmp_path / "cut" / "predictions.csv").read_bytes() == (frozen[1] / "predictions.csv").read_bytes()


@pytest.mark.parametrize("config", [FROZEN, dataclasses.replace(TUNED, epochs=2)], ids=["frozen", "tuned"])
def test_test_labels_decide_nothing(config, tmp_path):
    """Trap: choosing the epoch or the penalty on the test images makes predictions depend on their labels."""
    train(tmp_path / "right", config)
    train(tmp_path / "wrong", config, test=dataclasses.replace(TEST, labels=(TEST.labels + 1) % 3))
    right, wrong = (read(tmp_path / name)[1].probability for name in ("right", "wrong"))
    assert np.array_equal(right, wrong)


def test_the_kept_epoch_is_the_one_that_was_validated(tmp_path, monkeypatch):
    """Trap: testing the last epoch's network instead of the one that was picked."""
    monkeypatch.setattr(finetune, "standard_error", lambda f1, images: 0.0)
    seen: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {0: [], 1: []}
    predict = finetune.FoldTrainer.predict
    pixels = torch.from_numpy(in_file_order(TEST).pixels)

    def watched(self: finetune.FoldTrainer, images: torch.Tensor) -> np.ndarray:
        found = predict(self, images)
        if len(images) != len(pixels):
            seen[self.fold].append((found, predict(self, pixels)))
        return found

    monkeypatch.setattr(finetune.FoldTrainer, "predict", watched)
    config = dataclasses.replace(TUNED, lr=0.01, patience=3)
    record = train(tmp_path / "watched", config)
    predictions = read(tmp_path / "watched")[1]
    assert any(fold.epoch < len(seen[fold.fold]) for fold in record.folds)
    for fold in record.folds:
        for part, index in (("val", 0), ("test", 1)):
            rows = (predictions.fold == fold.fold) & (predictions.part == part)
            expected = seen[fold.fold][fold.epoch - 1][index]
            assert np.allclose(predictions.probability[rows], expected, atol=1e-6)


def test_the_last_epoch_within_one_standard_error_is_picked():
    course = finetune.FoldHistory()
    picked = []
    # Of 20 validation images: 0.70 +- 0.10, then 0.80 +- 0.09, which 0.70 is not within, and 0.75 is.
    for f1 in (0.70, 0.65, 0.55, 0.80, 0.70, 0.75, 0.75, 0.60):
        course.epoch += 1
        if course.picks(f1, 20):
            picked.append(course.epoch)
    assert picked == [1, 2, 4, 6, 7]
    assert (course.best, course.best_epoch) == (0.80, 4)


def test_many_validation_images_tell_more_epochs_apart():
    assert finetune.standard_error(0.7, 20) == pytest.approx(np.sqrt(15 / 22 * 7 / 22 / 22))
    assert finetune.standard_error(0.7, 2000) == pytest.approx(np.sqrt(0.7 * 0.3 / 2000), rel=1e-2)
    assert finetune.standard_error(1.0, 20) > 0


def test_a_fold_ends_when_nothing_better_was_seen_for_long():
    config = dataclasses.replace(TUNED, epochs=9, patience=3)
    course = finetune.FoldHistory()
    ended = []
    for f1 in (0.5, 0.6, 0.6, 0.6, 0.6):
        course.epoch += 1
        course.picks(f1, 20)
        ended.append(course.ended(config))
    assert ended == [False, False, False, False, True]


def test_learning_rate_rises_then_falls_to_zero():
    assert lr_factor(0.5, 2, 10) == pytest.approx(0.25)
    assert lr_factor(2, 2, 10) == pytest.approx(1)
    assert lr_factor(6, 2, 10) == pytest.approx(0.5)
    assert lr_factor(10, 2, 10) == pytest.approx(0)
    assert lr_factor(1, 0, 10) < 1


def test_divergence_is_an_error_that_says_so(tmp_path):
    with pytest.raises(SettingsError, match="diverged") as caught:
        train(tmp_path / "x", dataclasses.replace(TUNED, lr=1e30, head_lr=1e30))
    assert "--lr" in (caught.value.hint or "")


def test_test_images_among_the_subset_are_reported(tmp_path):
    pixels = TEST.pixels.copy()
    pixels[:2] = REAL.pixels[[3, 4]]
    said = Silent()
    train(tmp_path / "x", FROZEN, test=dataclasses.replace(TEST, pixels=pixels), progress=said)
    assert any(warning.startswith("2 of the test images") for warning in said.warnings)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"n": 50}, DataError, "45 images, not 50"),
        ({"treatment": Treatment("ada")}, SettingsError, "belong together"),
        ({"treatment": Treatment(None, 1)}, SettingsError, "belong together"),
        ({"treatment": Treatment(synthetic_only=True)}, SettingsError, "need generated images"),
        ({"treatment": Treatment(select="distance")}, SettingsError, "need generated images"),
        ({"treatment": treated(1, FAKE, FAKE, protocol="strict")}, SettingsError, "takes 3 sets .* there are 2"),
        ({"treatment": treated(3)}, DataError, "holds 90 generated images"),
        ({"real": dataclasses.replace(REAL, groups=REAL.groups + 1000)}, DataError, "30 groups .* both"),
        ({"jobs": 0}, SettingsError, "jobs"),
        ({"test": TEST.take(np.flatnonzero(TEST.labels != 2))}, DataError, "No test image has the class 'normal'"),
        ({"test": dataclasses.replace(TEST, classes=("a", "b", "c"))}, DataError, "classes"),
    ],
)
def test_what_does_not_fit_is_refused(changes, error, message, tmp_path):
    with pytest.raises(error, match=message):
        train(tmp_path / "x", FROZEN, **changes)
    assert list((tmp_path / "x").iterdir()) == []


def test_one_class_is_nothing_to_tell_apart(tmp_path):
    def alone(images: ImageSet) -> ImageSet:
        kept = images.take(np.flatnonzero(images.labels == 0))
        return dataclasses.replace(kept, classes=CLASSES[:1])

    with pytest.raises(DataError, match="at least two"):
        train(tmp_path / "x", FROZEN, n=15, real=alone(REAL), test=alone(TEST))


@pytest.mark.parametrize(
    "changes",
    [
        {"folds": 1},
        {"epochs": 0},
        {"batch": 1},
        {"lr": 0},
        {"drop_rate": 1},
        {"size": 8},
        {"zoom": float("nan")},
        {"layer_decay": 0},
        {"head_epochs": 15},
        {"class_weights": "some"},
    ],
    ids=str,
)
def test_impossible_settings_are_named(changes):
    (name,) = changes
    with pytest.raises(SettingsError, match=name):
        check_config(dataclasses.replace(TUNED, **changes))


def test_recorded_settings_leave_out_what_has_no_effect():
    assert "device" not in settings_of(TUNED)
    assert {"lr", "rotate", "precision"} <= settings_of(TUNED).keys()
    assert set(settings_of(FROZEN)) == {
        "backbone",
        "weights",
        "freeze",
        "size",
        "folds",
        "seed",
        "class_weights",
        "flip",
        "budget",
    }


def files_of(folder: Path) -> list[FoldRecord]:
    records = [FoldRecord.read(path) for path in sorted((folder / "folds").glob("*.json"))]
    assert records, "a loop over none would pass"
    return records


def test_what_was_trained_on_is_listed_and_is_not_held_out(frozen, tuned):
    for folder in (*frozen.values(), tuned):
        predictions = read(folder)[1]
        for record in files_of(folder):
            rows = (predictions.fold == record.scores.fold) & (predictions.part == "val")
            validated = set(np.array(predictions.files)[rows])
            assert set(record.train) | validated == set(REAL.files)
            assert not set(record.train) & (validated | set(TEST.files))
            assert set(record.synthetic) <= set(FAKE.files)
            assert len(record.synthetic) == record.scores.train_synthetic


def test_a_group_is_never_on_both_sides(tmp_path):
    pairs = dataclasses.replace(REAL, groups=REAL.groups // 6)  # two of each class in every group
    train(tmp_path / "x", FROZEN, real=pairs)
    group = dict(zip(pairs.files, pairs.groups, strict=True))
    for record in files_of(tmp_path / "x"):
        left_out = set(pairs.files) - set(record.train)
        assert not {group[f] for f in record.train} & {group[f] for f in left_out}


def test_generated_images_that_are_copies_of_held_out_ones_are_reported(tmp_path):
    pixels = FAKE.pixels.copy()
    pixels[[0, 1]] = REAL.pixels[[0, 1]]
    pixels[2] = TEST.pixels[2]
    said = Silent()
    train(tmp_path / "x", FROZEN, treatment=treated(1, dataclasses.replace(FAKE, pixels=pixels)), progress=said)
    assert any(warning.startswith("3 generated images of fake are real") for warning in said.warnings)


def test_synthetic_images_alone_train_and_real_ones_judge(frozen, tmp_path):
    record = train(tmp_path / "only", FROZEN, treatment=treated(1, synthetic_only=True))
    assert {(fold.train_real, fold.train_synthetic) for fold in record.folds} == {(0, 45)}
    assert [fold.validation for fold in record.folds] == [fold.validation for fold in read(frozen[0])[0].folds]
    assert all(not fold.train for fold in files_of(tmp_path / "only"))
    assert record.test_micro_f1.mean > 0.8
    assert record.variant == "synthetic alone"


def test_strict_folds_have_their_own_generated_images(tmp_path):
    """Trap: one set for all folds. Here the second fold's set is mislabelled, and only its model suffers."""
    wrong = dataclasses.replace(FAKE, name="wrong", labels=(FAKE.labels + 1) % 3)
    sets = treated(2, FAKE, wrong, FAKE, protocol="strict")
    record = train(tmp_path / "strict", FROZEN, treatment=sets)
    first, second, third = (fold.test_micro_f1 for fold in record.folds)
    assert second < min(first, third) - 0.2
    assert [fold.synthetic for fold in record.folds] == ["0" * 64, "1" * 64, "2" * 64]
    assert record.protocol == "strict"


@pytest.mark.parametrize("select", ["confidence", "distance"])
def test_selection_prefers_images_like_the_real_ones(select, frozen, tmp_path):
    """Half of the set is noise under any label: both ways of choosing must leave most of it out."""
    noise = np.random.default_rng(0).integers(0, 256, FAKE.pixels[:45].shape, dtype=np.uint8)
    mixed = dataclasses.replace(FAKE, pixels=np.concatenate([noise, FAKE.pixels[45:]]))
    train(tmp_path / "chosen", FROZEN, treatment=treated(0.5, mixed, select=select))
    for record in files_of(tmp_path / "chosen"):
        first = sum(int(file.split("fake")[1].split(".")[0]) < 45 for file in record.synthetic)
        assert first <= len(record.synthetic) / 3


def test_selection_looks_at_a_folds_own_training_images_alone(tmp_path):
    """Trap: choosing by all real images lets a fold's validation images decide what it is trained on."""
    seen: list[set[str]] = []
    from usgan_cli.classify import fold_images

    def prefer(images: ImageSet, candidates: ImageSet) -> np.ndarray:
        seen.append(set(images.files))
        return np.arange(len(candidates))

    made = fold_images.assign_images(FROZEN, 45, treated(1, select="distance"), REAL, TEST, Silent(), prefer)
    assert [seen[fold.index] for fold in made.folds] == [
        {made.real.files[i] for i in fold.train} for fold in made.folds
    ]


def test_class_weights_help_the_rare_class(tmp_path, monkeypatch):
    few = REAL.take(np.flatnonzero((REAL.labels != 1) | (np.arange(45) < 15)))
    found = {}
    for weights in ("none", "balanced"):
        config = dataclasses.replace(FROZEN, class_weights=weights)
        record = train(tmp_path / weights, config, n=len(few), real=few)
        assert record.settings.training["class_weights"] == weights
        found[weights] = read(tmp_path / weights)[1].probability[:, 1].mean()
    assert found["balanced"] > found["none"]

    given: list[list[float]] = []
    cross_entropy = finetune.F.cross_entropy

    def watched(logits: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, **how: Any) -> torch.Tensor:
        given.append(weight.tolist())
        return cross_entropy(logits, labels, weight, **how)

    monkeypatch.setattr(finetune.F, "cross_entropy", watched)
    config = dataclasses.replace(TUNED, epochs=1, class_weights="balanced")
    folds = train(tmp_path / "tuned", config, n=len(few), real=few).folds
    kept = [FoldRecord.read(tmp_path / f"tuned/folds/fold{fold.fold}.json").train for fold in folds]
    shares = [[sum(f"/{name}/" in file for file in files) for name in CLASSES] for files in kept]
    expected = [[sum(own) / (3 * count) for count in own] for own in shares]
    assert given[0] == pytest.approx(expected[0])
    assert given[-1] == pytest.approx(expected[1])


def test_balanced_weights_by_hand():
    weights = finetune.balanced_weights(torch.tensor([0, 0, 0, 1]), 2)
    assert weights.tolist() == pytest.approx([4 / 6, 2.0])


def test_layers_learn_at_rates_that_decay_from_the_top():
    from usgan_cli.classify.models import open_backbone

    config = dataclasses.replace(TUNED, layer_decay=0.5, lr=1.0, head_lr=7.0)
    network = finetune.FoldTrainer(open_backbone(config, 3, Silent()), config, 0, torch.device("cpu"), "float32")
    rates = {}
    names = {id(parameter): name for name, parameter in network.model.named_parameters()}
    for group in network.optimizer.param_groups:
        rates |= {names[id(parameter)]: group["highest_lr"] for parameter in group["params"]}
        assert all((parameter.ndim > 1) == (group["weight_decay"] > 0) for parameter in group["params"])
    assert rates.keys() == set(names.values())
    assert rates["classifier.weight"] == rates["classifier.bias"] == 7.0
    assert rates["conv_head.weight"] == 1.0
    assert rates["conv_stem.weight"] < rates["blocks.0.0.conv.weight"] < rates["blocks.3.0.conv_pw.weight"] < 1
    assert all(np.log2(rate) % 1 == 0 for name, rate in rates.items() if not name.startswith("classifier"))


def test_in_the_first_stage_the_head_alone_learns():
    from usgan_cli.classify.models import open_backbone

    config = dataclasses.replace(TUNED, head_epochs=1, epochs=2)
    network = finetune.FoldTrainer(open_backbone(config, 3, Silent()), config, 0, torch.device("cpu"), "float32")
    before = {name: tensor.clone() for name, tensor in network.model.state_dict().items()}
    data = finetune.LabelledImages(torch.from_numpy(REAL.pixels), torch.from_numpy(REAL.labels))

    def changed() -> set[str]:
        after = network.model.state_dict()
        return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}

    with Silent().task("", 1, "") as task:
        network.train_epoch(data, 1, task)
        assert changed() == {"classifier"}  # not even the statistics of normalisation
        network.train_epoch(data, 2, task)
    assert changed() >= {"classifier", "blocks", "conv_stem", "bn1"}
