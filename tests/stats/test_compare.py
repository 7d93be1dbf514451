"""Comparisons of records: what pairs, what each test is given, several seeds, and the tables written of them."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.classifier import ClassifierRecord, ClassifierSettings, FoldScores, Predictions
from usgan_cli.core.formats.comparison import SeedsRecord, TTestRecord
from usgan_cli.core.formats.measured import measured
from usgan_cli.core.text import stars
from usgan_cli.stats.compare import Classified, compare, compare_seeds
from usgan_cli.stats.export import comparison_table, seeds_table
from usgan_cli.stats.tests import corrected_resampled_t, effect_size, holm, mean_interval, wilcoxon

A = [0.70, 0.74, 0.71, 0.78, 0.76]
B = [0.68, 0.70, 0.72, 0.73, 0.75]


def settings(**changes: Any) -> ClassifierSettings:
    given: dict[str, Any] = {
        "backbone": "efficientnet_b2",
        "weights": "efficientnet_b2@0",
        "freeze": False,
        "size": 256,
        "budget": "updates",
        "updates": 60,
        "epochs": 10,
        "folds": 5,
        "seed": 0,
        "subset": "s",
        "test": "t",
        "training": {"lr": 1e-3},
    }
    return ClassifierSettings(**(given | changes))


def record(f1: list[float], name: str = "diffaug-x1", test: int = 20, updates: int = 60, **changes: Any) -> Classified:
    """A classifier that is right about the first F1 * 20 test images, in every fold."""
    folds = [
        FoldScores(
            fold=i,
            train_real=80,
            train_synthetic=0,
            epoch=1,
            updates=updates,
            kept_updates=6,
            images_seen=16 * updates,
            data_weight=None,
            val_micro_f1=0.1,
            val_macro_f1=0.2,
            test_micro_f1=value,
            test_macro_f1=0.3,
            test_class_f1={"a": 0.4},
            test_balanced_accuracy=0.5,
            test_class_auc={"a": 0.6},
            test_auc=0.6,
            test_brier=0.4,
            test_calibration_error=0.1,
            test_confusion=[[1]],
            validation=f"fold {i}",
            synthetic=None,
        )
        for i, value in enumerate(f1)
    ]
    one = measured([0.3])
    given: dict[str, Any] = {
        "name": name,
        "n": 100,
        "aug": None if name == "real" else name.partition("-")[0],
        "ratio": 1.0,
        "control": None,
        "synthetic": "x",
        "protocol": "standard",
        "synthetic_only": False,
        "select": None,
        "classes": ["a", "b"],
        "settings": settings(),
        "c": None,
        "folds": folds,
        "confusion": [[1]],
        "test_micro_f1": measured(f1),
        "val_micro_f1": one,
        "test_macro_f1": one,
        "test_balanced_accuracy": one,
        "test_auc": one,
        "test_brier": one,
        "test_calibration_error": one,
    }
    right = np.concatenate([np.arange(test) < round(value * test) for value in f1])
    predictions = Predictions(
        fold=np.repeat(np.arange(len(f1)), test),
        part=np.array(["test"] * len(right)),
        files=tuple(f"{i:03}.png" for _ in f1 for i in range(test)),
        label=np.zeros(len(right), dtype=np.int64),
        probability=np.stack([np.where(right, 0.9, 0.2), np.where(right, 0.1, 0.8)], axis=1),
        classes=("a", "b"),
    )
    return Classified(ClassifierRecord(**(given | changes)), predictions)


BASELINE = record(B, "real", ratio=0.0, synthetic=None)


def test_a_record_has_every_statistic() -> None:
    others = [record(A), record(list(np.add(B, 0.05)), "ada-x1"), record([0.8, 0.7, 0.75, 0.8, 0.9], "ada-x2")]
    result = compare(BASELINE, others)
    first, shifted, third = result.comparisons
    assert first.p == pytest.approx(stats.ttest_rel(A, B).pvalue)
    assert first.difference == pytest.approx(np.mean(np.subtract(A, B)))
    assert first.p_corrected == corrected_resampled_t(np.subtract(A, B), 4, 1).p
    assert first.p_wilcoxon == wilcoxon(A, B)
    assert [first.p_holm, third.p_holm] == holm([first.p, third.p])
    assert first.folds == A
    assert [first.p_corrected_holm, third.p_corrected_holm] == holm([first.p_corrected, third.p_corrected])
    assert first.interval_corrected == mean_interval(np.subtract(A, B), 1 / 4)
    assert first.effect_size == effect_size(np.subtract(A, B))
    assert result.baseline_f1 == measured(B)
    # Every fold differs by the same amount: t is undefined, and the family has one test fewer.
    assert (shifted.t, shifted.p, shifted.p_holm, shifted.p_corrected) == (None, None, None, None)
    assert shifted.interval == pytest.approx((0.05, 0.05))
    assert shifted.p_wilcoxon == pytest.approx(0.0625)


def test_folds_are_matched_by_index_not_by_position() -> None:
    other = record(A)
    shuffled = changed(other, folds=other.record.folds[::-1])
    assert compare(BASELINE, [shuffled]) == compare(BASELINE, [other])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": settings(epochs=11)}, "epochs: 10 and 11"),
        ({"settings": settings(training={"lr": 2e-3})}, r"differ in lr: 0\.001 and 0\.002\."),
        ({"settings": settings(training={"lr": 1e-3, "flip": True})}, r"differ in flip: 'unset' and True\."),
        ({"settings": settings(subset="other")}, "subset"),
        ({"settings": settings(test="other")}, "test: 't' and 'other'"),
        ({"settings": settings(seed=1)}, "seed: 0 and 1"),
        ({"settings": settings(backbone="resnet18")}, "backbone: 'efficientnet_b2' and 'resnet18'"),
        ({"n": 50}, "n: 100 and 50"),
        ({"classes": ["b"]}, "classes"),
        ({"aug": None}, "baseline itself"),
    ],
)
def test_records_of_different_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        compare(BASELINE, [record(A), record(A, "ada-x1", **change)])


def changed(tested: Classified, **changes: Any) -> Classified:
    return replace(tested, record=tested.record.model_copy(update=changes))


def test_folds_that_do_not_match_are_refused() -> None:
    other = record(A)
    folds = other.record.folds
    with pytest.raises(DataError, match="do not match"):
        compare(BASELINE, [record(A[:4])])
    renumbered = [fold.model_copy(update={"fold": fold.fold + 1}) for fold in folds]
    with pytest.raises(DataError, match="do not match"):
        compare(BASELINE, [changed(other, folds=renumbered)])
    redrawn = [folds[0].model_copy(update={"validation": "other images"}), *folds[1:]]
    with pytest.raises(DataError, match=r"Fold 0 .* validated on different images"):
        compare(BASELINE, [changed(other, folds=redrawn)])


def test_predictions_for_other_images_are_refused() -> None:
    other = record(A)
    files = ("elsewhere.png", *other.predictions.files[1:])
    with pytest.raises(DataError, match="not for the same test images"):
        compare(BASELINE, [replace(other, predictions=replace(other.predictions, files=files))])
    with pytest.raises(DataError, match="not for the same test images"):
        compare(BASELINE, [record(A, test=19)])


def test_a_classifier_counts_once() -> None:
    with pytest.raises(SettingsError, match="name each once"):
        compare(BASELINE, [record(A), record(A)])


def test_mcnemar_pairs_predictions_by_fold_and_image_however_they_are_listed() -> None:
    """Trap: pairing rows by their place in the file."""
    f1 = [0.75, 0.8, 0.7, 0.9, 0.75]
    other = record(f1)
    order = np.random.default_rng(0).permutation(len(other.predictions.files))
    table = other.predictions
    mixed = Predictions(
        table.fold[order],
        table.part[order],
        tuple(table.files[i] for i in order),
        table.label[order],
        table.probability[order],
        table.classes,
    )
    (one,) = compare(BASELINE, [other]).comparisons
    (two,) = compare(BASELINE, [replace(other, predictions=mixed)]).comparisons
    assert one == two
    # Baseline right: 14, 14, 14, 15, 15 of 20 in the five folds; the other: 15, 16, 14, 18, 15. Right ones are nested.
    assert (one.mcnemar.only_baseline, one.mcnemar.only_other) == (0, 6)
    # By the mean of five folds the baseline has 14 images, the other 15: 0.9 in three folds, 0.2 in two is 0.62.
    assert (one.mcnemar_images.only_baseline, one.mcnemar_images.only_other) == (0, 1)


def test_a_wrong_or_lonely_baseline_is_refused() -> None:
    with pytest.raises(SettingsError, match="not real ones alone"):
        compare(record(A), [record(B)])
    with pytest.raises(DataError, match="No classifier"):
        compare(BASELINE, [])


def test_csv_has_a_row_for_the_baseline_and_each_comparison() -> None:
    result = compare(BASELINE, [record(A), record(list(np.add(B, 0.05)), "ada-x1")])
    rows = list(csv.DictReader(io.StringIO(comparison_table(result).to_csv())))
    assert [row["name"] for row in rows] == ["real", "diffaug-x1", "ada-x1"]
    assert float(rows[1]["p"]) == result.comparisons[0].p
    assert float(rows[1]["interval_high"]) == result.comparisons[0].interval[1]
    assert rows[0]["p"] == rows[2]["p"] == rows[2]["t"] == rows[0]["mcnemar_p"] == ""
    assert int(rows[1]["mcnemar_only_other"]) == result.comparisons[0].mcnemar.only_other
    assert all(len(row) == len(rows[0]) and None not in row for row in rows)
    assert [float(rows[1][f"fold_{i}"]) for i in range(5)] == A
    assert TTestRecord.model_validate_json(result.model_dump_json()) == result


def test_stars_stand_at_adjusted_values_alone() -> None:
    assert [stars(p) for p in (None, 0.05, 0.049, 0.009, 0.0009)] == ["", "", "*", "**", "***"]
    strong = list(np.add(B, [0.08, 0.085, 0.08, 0.082, 0.081]))
    # p of the first is 1e-6 and of the others about 0.06: with six of them Holm leaves nothing below 0.05 but it.
    weak = [record(A, f"ada-x{i}") for i in range(1, 6)]
    result = compare(BASELINE, [record(strong), *weak])
    text = comparison_table(result).to_latex()
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 2 + 6
    assert "& $<$ 0.001 & $<$ 0.001 *** & " in lines[2]
    assert not any("*" in line for line in lines[3:])
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == text.count(r"\end{tabular}") == 1
    assert all(line.count("&") == 6 for line in lines)


def test_latex_escapes_what_a_user_named() -> None:
    other = record(A, "my_gan-x1")
    assert r"my\_gan" in comparison_table(compare(BASELINE, [other])).to_latex()
    only = changed(record(A), synthetic_only=True, select="distance")
    assert "(synthetic alone, by distance)" in comparison_table(compare(BASELINE, [only])).to_latex()


def family(seed: int, shift: float, spread: list[float]) -> tuple[Classified, list[Classified]]:
    own = settings(seed=seed, subset=f"s{seed}")
    better = [b + shift + d for b, d in zip(B, spread, strict=True)]
    return record(B, "real", settings=own), [record(better, settings=own)]


def test_seeds_are_the_unit_of_the_nested_summary() -> None:
    # Mean differences of three seeds: 0.02, 0.03, 0.04; within each, folds differ by the same five steps.
    spread = [-0.02, -0.01, 0.0, 0.01, 0.02]
    result = compare_seeds([family(seed, shift, spread) for seed, shift in enumerate((0.02, 0.03, 0.04))])
    (one,) = result.comparisons
    assert one.difference == pytest.approx(0.03)
    expected = stats.ttest_1samp([0.02, 0.03, 0.04], 0)
    assert (one.t, one.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    assert one.p_holm == one.p
    # Analysis of variance by hand: folds 0.00025; seeds 0.0001 - 0.00025 / 5.
    assert one.sd_folds == pytest.approx(math.sqrt(0.00025))
    assert one.sd_seeds == pytest.approx(math.sqrt(0.0001 - 0.00005))
    assert one.by_seed == pytest.approx([np.mean(B) + shift for shift in (0.02, 0.03, 0.04)])
    assert one.p_corrected == pytest.approx(
        corrected_resampled_t([s + d for s in (0.02, 0.03, 0.04) for d in spread], 4, 1).p
    )
    assert result.seeds == [0, 1, 2]
    assert SeedsRecord.model_validate_json(result.model_dump_json()) == result
    rows = list(csv.DictReader(io.StringIO(seeds_table(result).to_csv())))
    assert [row["name"] for row in rows] == ["real", one.name]
    assert float(rows[1]["this_seed_2"]) == one.by_seed[2]
    lines = [line for line in seeds_table(result).to_latex().splitlines() if line.endswith(r"\\")]
    assert len(lines) == 3
    assert all(line.count("&") == 6 for line in lines)
    assert "& +3.00 [0.52, 5.48] & 0.71 / 1.58 & 0.035 & 0.035 * & " in lines[2]


def test_stars_over_seeds_stand_at_adjusted_values_alone() -> None:
    """Six of them: p of 0.035 is 0.21 after Holm, and has no star."""
    seeds = []
    for seed, shift in enumerate((0.02, 0.03, 0.04)):
        baseline, (one,) = family(seed, shift, [-0.02, -0.01, 0.0, 0.01, 0.02])
        seeds.append((baseline, [changed(one, name=f"ada-x{i}") for i in range(6)]))
    result = compare_seeds(seeds)
    assert all(c.p is not None and c.p < 0.05 for c in result.comparisons)
    assert " * " not in seeds_table(result).to_latex()


def test_folds_of_one_seed_do_not_count_as_repeats() -> None:
    """Trap: fifteen differences taken for independent find an effect that lives in one seed alone."""
    tight = [-0.001, 0.0, 0.001, 0.0, 0.0]
    result = compare_seeds([family(seed, shift, tight) for seed, shift in enumerate((0.0, 0.0, 0.09))])
    (one,) = result.comparisons
    pooled = [shift + d for shift in (0.0, 0.0, 0.09) for d in tight]
    assert stats.ttest_1samp(pooled, 0).pvalue < 0.05 < one.p


def test_seeds_that_do_not_go_together_are_refused() -> None:
    families = [family(0, 0.02, [0.01] * 5), family(1, 0.03, [0.02] * 5)]
    with pytest.raises(DataError, match="at least two"):
        compare_seeds(families[:1])
    with pytest.raises(SettingsError, match="counts once"):
        compare_seeds([families[0], families[0]])
    with pytest.raises(DataError, match=r"(?s)Seed 1 has no classifier 'ada-x1'.*--seed 1 --aug ada --ratio 1 "):
        more = record(A, "ada-x1", settings=families[0][0].record.settings)
        compare_seeds([(families[0][0], [*families[0][1], more]), families[1]])
    other = settings(seed=2, epochs=3)
    with pytest.raises(SettingsError, match="differ in epochs: 10 and 3"):
        compare_seeds([families[0], (record(B, "real", settings=other), [record(A, settings=other)])])
