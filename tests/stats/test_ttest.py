"""Paired statistics against scipy, by hand, by definition, and refusals of what does not pair."""

from __future__ import annotations

import csv
import io
import itertools
import math
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.records import ClassifierRecord, ClassifierSettings, FoldScores, TTestRecord, measured
from usgan_cli.stats.ttest import compare, corrected_resampled_t, holm, mean_interval, paired_t, to_csv, wilcoxon

A = [0.70, 0.74, 0.71, 0.78, 0.76]
B = [0.68, 0.70, 0.72, 0.73, 0.75]
P_VALUES = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8)


def test_paired_t_is_scipys() -> None:
    expected = stats.ttest_rel(A, B)
    t, p = paired_t(A, B)
    assert t == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue)
    low, high = mean_interval(np.subtract(A, B))
    interval = expected.confidence_interval(0.95)
    assert (low, high) == pytest.approx((interval.low, interval.high))


@hypothesis.settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 280), st.integers(0, 280)), min_size=2, max_size=10))
def test_paired_t_of_any_scores(counts: list[tuple[int, int]]) -> None:
    a, b = ([pair[i] / 280 for pair in counts] for i in (0, 1))
    t, p = paired_t(a, b)
    if len({x - y for x, y in counts}) == 1:
        assert (t, p) == (None, None)
        return
    expected = stats.ttest_rel([x for x, _ in counts], [y for _, y in counts])
    assert t == pytest.approx(expected.statistic, abs=1e-9)
    assert p == pytest.approx(expected.pvalue, abs=1e-9)
    assert paired_t(b, a) == (pytest.approx(-t), pytest.approx(p))


def test_corrected_t_by_hand() -> None:
    # Differences 1..5: mean 3, variance 2.5; t = 3 / sqrt((1/5 + 1/4) * 2.5) = 2.8284271, 4 degrees of freedom.
    t, p = corrected_resampled_t([1, 2, 3, 4, 5], n_train=400, n_test=100)
    assert t == pytest.approx(2 * math.sqrt(2))
    assert p == pytest.approx(0.0474207, abs=1e-6)
    assert p == pytest.approx(2 * (1 - stats.t.cdf(t, 4)))
    uncorrected = paired_t([1, 2, 3, 4, 5], [0] * 5)
    assert p > uncorrected.p > 0  # type: ignore[operator]
    assert corrected_resampled_t([1, 2, 3, 4, 5], 1, 0) == pytest.approx(uncorrected)


def exact_wilcoxon(differences: list[int]) -> float | None:
    """Count the changes of sign that give a rank sum at least as far from its middle."""
    kept = [d for d in differences if d]
    if not kept:
        return None
    ranks = stats.rankdata(np.abs(kept))
    found = abs(np.dot(np.sign(kept), ranks))
    sums = [abs(np.dot(signs, ranks)) for signs in itertools.product((-1, 1), repeat=len(kept))]
    return float(np.mean([s >= found - 1e-9 for s in sums]))


@hypothesis.settings(deadline=None)
@given(st.lists(st.integers(-6, 6), min_size=2, max_size=7))
def test_wilcoxon_counts_every_change_of_sign(differences: list[int]) -> None:
    # Scores whose differences are equal as numbers of images but not as floats.
    b = [(13 * i) % 97 / 280 for i in range(len(differences))]
    a = [((13 * i) % 97 + d) / 280 for i, d in enumerate(differences)]
    assert wilcoxon(a, b) == (pytest.approx(expected) if (expected := exact_wilcoxon(differences)) else None)


def test_wilcoxon_of_many_folds_is_scipys() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 20))
    assert wilcoxon(a, b) == pytest.approx(stats.wilcoxon(a, b).pvalue)
    assert wilcoxon(A, np.subtract(A, 0.1)) == pytest.approx(0.0625)  # the least that five folds can give


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, None, 0.01]) == [0.6, None, 0.02]
    assert holm([]) == []


@hypothesis.settings(deadline=None)
@given(P_VALUES)
def test_holm_by_definition(p_values: list[float | None]) -> None:
    """The adjusted value is the least level at which the step-down procedure rejects."""

    def rejected(level: float) -> set[int]:
        left = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
        out: set[int] = set()
        while left and left[0][0] * len(left) <= level:
            out.add(left.pop(0)[1])
        return out

    adjusted = holm(p_values)
    for i, (p, q) in enumerate(zip(p_values, adjusted, strict=True)):
        if p is None or q is None:
            assert p is q
            continue
        assert p <= q <= 1
        if q < 1:
            assert i in rejected(q)
            assert q == 0 or i not in rejected(q * (1 - 1e-9) - 1e-300)


@pytest.mark.parametrize("function", [paired_t, wilcoxon])
def test_unequal_too_few_or_infinite_scores_are_refused(function: Any) -> None:
    with pytest.raises(DataError, match="equally many"):
        function(A, B[:4])
    with pytest.raises(DataError, match="at least two"):
        function(A[:1], B[:1])
    with pytest.raises(DataError, match="not finite"):
        function(A, [*B[:4], math.nan])


def settings(**changes: Any) -> ClassifierSettings:
    given: dict[str, Any] = {
        "backbone": "efficientnet_b2",
        "weights": "efficientnet_b2@0",
        "freeze": False,
        "size": 256,
        "epochs": 10,
        "folds": 5,
        "seed": 0,
        "subset": "s",
        "test": "t",
        "training": {"lr": 1e-3},
    }
    return ClassifierSettings(**(given | changes))


def record(f1: list[float], name: str = "diffaug-x1", **changes: Any) -> ClassifierRecord:
    folds = [
        FoldScores(
            fold=i,
            train_real=80,
            train_synthetic=0,
            epoch=1,
            val_micro_f1=0.1,
            val_macro_f1=0.2,
            test_micro_f1=value,
            test_macro_f1=0.3,
            test_class_f1={"a": 0.4},
            test_balanced_accuracy=0.5,
        )
        for i, value in enumerate(f1)
    ]
    given: dict[str, Any] = {
        "name": name,
        "n": 100,
        "aug": None if name == "real" else name.partition("-")[0],
        "ratio": 1.0,
        "synthetic": "x",
        "classes": ["a"],
        "settings": settings(),
        "folds": folds,
        "confusion": [[1]],
        "test_micro_f1": measured(f1),
        "val_micro_f1": measured([0.1]),
        "test_macro_f1": measured([0.3]),
    }
    return ClassifierRecord(**(given | changes))


BASELINE = record(B, "real", ratio=0.0, synthetic=None)


def test_a_record_has_every_statistic() -> None:
    others = [record(A), record(list(np.add(B, 0.05)), "ada-x1"), record([0.8, 0.7, 0.75, 0.8, 0.9], "ada-x2")]
    result = compare(BASELINE, others, 100, 0)
    first, shifted, third = result.comparisons
    assert first.p == pytest.approx(stats.ttest_rel(A, B).pvalue)
    assert first.difference == pytest.approx(np.mean(np.subtract(A, B)))
    assert first.p_corrected == corrected_resampled_t(np.subtract(A, B), 4, 1).p
    assert first.p_wilcoxon == wilcoxon(A, B)
    assert [first.p_holm, third.p_holm] == holm([first.p, third.p])
    assert first.folds == A
    assert result.baseline_f1 == measured(B)
    # Every fold differs by the same amount: t is undefined, and the family has one test fewer.
    assert (shifted.t, shifted.p, shifted.p_holm, shifted.p_corrected) == (None, None, None, None)
    assert shifted.interval == pytest.approx((0.05, 0.05))
    assert shifted.p_wilcoxon == pytest.approx(0.0625)


def test_folds_are_matched_by_index_not_by_position() -> None:
    other = record(A)
    shuffled = other.model_copy(update={"folds": other.folds[::-1]})
    assert compare(BASELINE, [shuffled], 100, 0) == compare(BASELINE, [other], 100, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": settings(epochs=11)}, "epochs: 10 and 11"),
        ({"settings": settings(training={"lr": 2e-3})}, "training"),
        ({"settings": settings(subset="other")}, "subset"),
        ({"n": 50}, "n: 100 and 50"),
        ({"classes": ["b"]}, "classes"),
        ({"aug": None}, "baseline itself"),
    ],
)
def test_records_of_different_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        compare(BASELINE, [record(A), record(A, "ada-x1", **change)], 100, 0)


def test_folds_that_do_not_match_are_refused() -> None:
    other = record(A)
    with pytest.raises(DataError, match="do not match"):
        compare(BASELINE, [record(A[:4])], 100, 0)
    renumbered = [fold.model_copy(update={"fold": fold.fold + 1}) for fold in other.folds]
    with pytest.raises(DataError, match="do not match"):
        compare(BASELINE, [other.model_copy(update={"folds": renumbered})], 100, 0)
    redrawn = [other.folds[0].model_copy(update={"train_real": 79}), *other.folds[1:]]
    with pytest.raises(DataError, match=r"Fold 0 .* 80 and 79"):
        compare(BASELINE, [other.model_copy(update={"folds": redrawn})], 100, 0)


def test_a_wrong_or_lonely_baseline_is_refused() -> None:
    with pytest.raises(SettingsError, match="no baseline"):
        compare(record(A), [record(B)], 100, 0)
    with pytest.raises(SettingsError, match="not on 50"):
        compare(BASELINE, [record(A)], 50, 0)
    with pytest.raises(DataError, match="no classifier"):
        compare(BASELINE, [], 100, 0)


def test_csv_has_a_row_for_the_baseline_and_each_comparison() -> None:
    result = compare(BASELINE, [record(A), record(list(np.add(B, 0.05)), "ada-x1")], 100, 0)
    rows = list(csv.DictReader(io.StringIO(to_csv(result))))
    assert [row["name"] for row in rows] == ["real", "diffaug-x1", "ada-x1"]
    assert float(rows[1]["p"]) == result.comparisons[0].p
    assert float(rows[1]["interval_high"]) == result.comparisons[0].interval[1]
    assert rows[0]["p"] == rows[2]["p"] == rows[2]["t"] == ""
    assert [float(rows[1][f"fold_{i}"]) for i in range(5)] == A
    assert TTestRecord.model_validate_json(result.model_dump_json()) == result
