"""A study's arms against their controls: which control, test images, clusters, and one figure computed anew."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from made_arms import ADA, CLUSTERS, COPIES, FOLDS, IMAGES, repeat, trained
from scipy import stats

from usgan_cli.core.errors import DataError
from usgan_cli.core.store.workspace import TrainingSet
from usgan_cli.stats.arms import arm_effects, control_of, effect_from, pooled_effects


def test_the_analysis_computed_anew_from_the_csv_files(tmp_path: Path) -> None:
    """Obuchowski and Rockette's t for two arms, written out with nothing of the package."""
    repeats = [repeat(seed) for seed in range(4)]
    accuracy = np.zeros((2, 4, IMAGES))  # of an image: the share of folds that are right about it
    for r, (_, others) in enumerate(repeats):
        for arm, classified in enumerate(others):
            classified.predictions.write(tmp_path / "predictions.csv")
            for row in csv.DictReader((tmp_path / "predictions.csv").open()):
                right = (float(row["p_a"]) > float(row["p_b"])) == (row["label"] == "a")
                accuracy[arm, r, int(row["file"][:2])] += right / FOLDS
    gap = accuracy[1] - accuracy[0]
    cluster = np.array(list(CLUSTERS.values()))
    without = np.array([gap[:, cluster != c].mean(1) for c in range(25)]).T  # [repeats, clusters]
    jackknife = 24 / 25 * (without - without.mean(1, keepdims=True)) @ (without - without.mean(1, keepdims=True)).T
    shared = (jackknife.sum() - np.trace(jackknife)) / (4 * 3)
    each = gap.mean(1)
    error = np.sqrt(each.var(ddof=1) / 4 + max(shared, 0))
    ada = arm_effects(repeats, CLUSTERS)[1]
    assert (ada.name, ada.against, ada.images, ada.clusters) == ("ada-x1", "copies-x1", IMAGES, 25)
    assert ada.by_repeat == pytest.approx(each) and ada.difference == pytest.approx(each.mean())
    assert ada.standard_error == pytest.approx(error)
    assert ada.p == pytest.approx(2 * stats.t.sf(abs(each.mean()) / error, 3))
    half = stats.t.ppf(0.975, 3) * error
    assert ada.interval == pytest.approx((each.mean() - half, each.mean() + half))


def test_copies_of_test_images_count_together() -> None:
    apart = {file: i for i, file in enumerate(CLUSTERS)}
    one, other = (arm_effects([repeat(0)], clusters)[1] for clusters in (CLUSTERS, apart))
    assert one.difference == other.difference and one.clusters < other.clusters
    assert one.standard_error != other.standard_error


def test_one_repeat_has_no_variance_between_trainings() -> None:
    (effect, _) = arm_effects([repeat(0)], CLUSTERS)
    assert effect.variances is None and effect.df == 24 and len(effect.by_repeat) == 1
    assert effect_from(effect).p == effect.p


def test_a_record_gives_the_analysis_back() -> None:
    for effect in arm_effects([repeat(0), repeat(1)], CLUSTERS):
        again = effect_from(effect)
        assert (again.p, again.interval, again.false_claim) == (effect.p, effect.interval, effect.false_claim)


def test_repeats_with_test_images_of_their_own_are_pooled() -> None:
    effect = arm_effects([repeat(0, range(20)), repeat(1, range(10, 30))], CLUSTERS)[1]
    assert effect.images == IMAGES and effect.clusters == 25
    parts = [arm_effects([one], CLUSTERS)[1].difference for one in (repeat(0, range(20)), repeat(1, range(10, 30)))]
    assert effect.by_repeat == pytest.approx(parts)


def test_a_split_is_one_reader_whose_repeats_are_averaged() -> None:
    """Doubling every split's repeats adds no degree of freedom, and equal repeats change nothing at all."""
    splits = [[repeat(2 * i, part), repeat(2 * i + 1, part)] for i, part in enumerate((range(20), range(10, 30)))]
    effect = pooled_effects(splits, CLUSTERS)[1]
    each = [[arm_effects([one], CLUSTERS)[1].difference for one in repeats] for repeats in splits]
    assert effect.trainings == [pytest.approx(values) for values in each]
    assert effect.by_repeat == pytest.approx(np.mean(each, axis=1)) and effect.df == 1 and effect.images == IMAGES
    twice = pooled_effects([[one, one] for one, _ in splits], CLUSTERS)[1]
    once = pooled_effects([[one] for one, _ in splits], CLUSTERS)[1]
    assert (twice.p, *twice.interval) == pytest.approx((once.p, *once.interval)) and once.trainings == []


def test_images_of_another_dataset_are_refused() -> None:
    with pytest.raises(DataError, match=r"no test image '00\.png'"):
        arm_effects([repeat(0)], {})


@pytest.mark.parametrize(
    ("arm", "there", "control"),
    [
        (ADA, ["real", "copies-x1", "copies-x2"], "copies-x1"),
        (ADA, ["real", "copies-x2"], "real"),
        (ADA, ["real", "real-x1"], "real-x1"),
        (TrainingSet("ada", 1.0, "shuffled"), ["real", "copies-x1"], "copies-x1"),
        (TrainingSet("ada", 1.0, synthetic_only=True), ["real", "copies-x1"], "real"),
        (COPIES, ["real", "copies-x1", "real-x1"], "real-x1"),
        (COPIES, ["real", "copies-x1"], "real"),
        (TrainingSet(None, 1.0, "real"), ["real", "real-x1"], "real"),
    ],
)
def test_the_control_of_an_arm(arm: TrainingSet, there: list[str], control: str) -> None:
    assert control_of(trained(arm, 0, 0.5).record, there) == control


def test_a_gain_by_equal_epochs_is_marked() -> None:
    baseline, others = repeat(0)
    for one in (baseline, *others):
        one.record.settings.budget = "epochs"  # type: ignore[misc]
    copies, ada = arm_effects([(baseline, others)], CLUSTERS)
    assert copies.more_updates, "more images take more updates than the baseline's"
    assert not ada.more_updates, "the copies take as many"
    (alone,) = arm_effects([(baseline, others[1:])], CLUSTERS)
    assert alone.against == "real" and alone.more_updates
