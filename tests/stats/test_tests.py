"""Paired statistics against scipy and statsmodels, by hand, by definition, and on data without any difference."""

from __future__ import annotations

import doctest
import itertools
import math
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from usgan_cli.core.errors import DataError
from usgan_cli.stats import tests
from usgan_cli.stats.tests import (
    corrected_resampled_t,
    effect_size,
    holm,
    mcnemar,
    mean_interval,
    paired_t,
    wilcoxon,
)

A = [0.70, 0.74, 0.71, 0.78, 0.76]
B = [0.68, 0.70, 0.72, 0.73, 0.75]
P_VALUES = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8)


def test_paired_t_is_scipys() -> None:
    expected = stats.ttest_rel(A, B)
    t, p = paired_t(A, B)
    assert t == pytest.approx(expected.statistic, abs=1e-12)
    assert p == pytest.approx(expected.pvalue, abs=1e-12)
    low, high = mean_interval(np.subtract(A, B))
    interval = expected.confidence_interval(0.95)
    assert (low, high) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_paired_t_and_wilcoxon_are_scipys_to_the_last_digits() -> None:
    rng = np.random.default_rng(4)
    for count in (2, 3, 5, 10, 14, 30):
        a, b = rng.normal(0.7, 0.05, (2, count))
        expected = stats.ttest_rel(a, b)
        t, p = paired_t(a, b)
        assert t == pytest.approx(expected.statistic, abs=1e-12, rel=1e-12)
        assert p == pytest.approx(expected.pvalue, abs=1e-12)
        if count > 2:
            assert wilcoxon(a, b) == pytest.approx(stats.wilcoxon(np.round(a - b, 12)).pvalue, abs=1e-12)


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


def test_the_example_in_the_documentation_holds() -> None:
    found = doctest.testmod(tests)
    assert (found.attempted, found.failed) == (2, 0)


def test_corrected_interval_and_test_agree() -> None:
    """The interval excludes 0 just where p is below 0.05, with and without the correction."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        d = rng.normal(0.02, 0.02, 5).tolist()
        for ratio, p in ((0.0, paired_t(d, [0] * 5).p), (0.25, corrected_resampled_t(d, 4, 1).p)):
            low, high = mean_interval(d, ratio)
            assert (low > 0 or high < 0) == (p is not None and p < 0.05)
            assert (low + high) / 2 == pytest.approx(np.mean(d))


def test_effect_size_by_hand() -> None:
    assert effect_size([1, 2, 3, 4, 5]) == pytest.approx(3 / math.sqrt(2.5))
    assert effect_size([0.25, 0.25]) is None


@pytest.mark.slow
@hypothesis.settings(deadline=None, max_examples=30)
@given(P_VALUES)
def test_holm_is_statsmodels(p_values: list[float | None]) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    known = [p for p in p_values if p is not None]
    adjusted = [p for p in holm(p_values) if p is not None]
    if known:
        assert adjusted == pytest.approx(multitest.multipletests(known, method="holm")[1], abs=1e-12)


@pytest.mark.slow
@hypothesis.settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_statsmodels(pairs: list[tuple[bool, bool]]) -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    a, b = np.array(pairs).T
    counts = [[int((x & y).sum()) for y in (b, ~b)] for x in (a, ~a)]
    found = mcnemar(a, b)
    assert (found.only_baseline, found.only_other) == (counts[0][1], counts[1][0])
    expected = tables.mcnemar(counts, exact=True).pvalue if counts[0][1] + counts[1][0] else 1.0
    assert found.p == pytest.approx(expected, abs=1e-12)


def test_mcnemar_counts_disagreement_alone() -> None:
    """Trap: comparing shares of right answers as if the two had seen different images."""
    right = np.array([True] * 90 + [False] * 10)
    other = np.array([True] * 90 + [True] * 8 + [False] * 2)
    assert mcnemar(right, other).p == pytest.approx(2 * 0.5**8)
    with pytest.raises(DataError, match="equally many"):
        mcnemar(right, other[:5])


def test_independent_differences_without_a_mean_are_found_5_times_in_100() -> None:
    """10 000 null experiments: the paired test keeps its level, the corrected one stays below it."""
    differences = np.random.default_rng(0).normal(0, 0.02, (10_000, 5))
    paired = np.mean([(paired_t(d, [0] * 5).p or 1) < 0.05 for d in differences])
    corrected = np.mean([(corrected_resampled_t(d, 4, 1).p or 1) < 0.05 for d in differences])
    assert paired == pytest.approx(0.05, abs=0.007)  # three standard errors
    # The corrected t is 2/3 of the other (by sqrt(0.2/0.45)): P(|t_4| > 2.776 * 1.5).
    assert corrected == pytest.approx(2 * stats.t.sf(2.7764 * 1.5, 4), abs=0.004)
