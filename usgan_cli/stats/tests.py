"""Paired tests over the folds of a cross validation: sequences of scores in, numbers out.

Student's paired t-test as in the study; the corrected resampled t-test of Nadeau and Bengio, "Inference for the
generalization error" (2003), section 4; Wilcoxon's signed-rank test (1945); Holm, "A simple sequentially rejective
multiple test procedure" (1979); McNemar, "Note on the sampling error of the difference between correlated proportions
or percentages" (1947), in its exact form; Cohen's d of paired samples (1988).

Each raises `DataError` for fewer than two pairs, for unequal lengths and for values that are not finite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from usgan_cli.core.errors import DataError
from usgan_cli.core.formats.comparison import McNemar

CONFIDENCE = 0.95
# Scores are ratios of small counts: differences nearer than this are equal but for rounding.
ROUNDING = 1e-12
EXACT_WILCOXON_FOLDS = 13


class TResult(NamedTuple):
    """Statistic and two-sided p-value; both None where every difference is the same and t is undefined."""

    t: float | None
    p: float | None


def paired_t(a: Sequence[float], b: Sequence[float]) -> TResult:
    """Return Student's paired t-test of `a` against `b`, two-sided; t is positive where `a` is larger."""
    differences = _differences(a, b)
    return _t_test(differences, 1 / len(differences))


def corrected_resampled_t(differences: Sequence[float], n_train: float, n_test: float) -> TResult:
    """Return the corrected resampled t-test of Nadeau and Bengio (2003), two-sided, of the k folds' differences.

    The folds' training sets overlap, so their differences vary less than those of independent repetitions; the
    variance of the mean is taken as (1/k + n_test/n_train) times the sample variance, with k - 1 degrees of freedom.
    `n_train` and `n_test` are the sizes of a fold's training and left-out part, or any numbers in that ratio: k - 1
    and 1 for k folds.

    Examples
    --------
    Five folds differ by 1, 2, 3, 4 and 5 points: mean 3, variance 2.5. Each trained on 400 images and left out 100,
    so the variance of the mean is (1/5 + 100/400) * 2.5 = 1.125, and t = 3 / sqrt(1.125) = 2.828 with 4 degrees of
    freedom; without the correction it would be 3 / sqrt(2.5 / 5) = 4.243.

    >>> t, p = corrected_resampled_t([1, 2, 3, 4, 5], n_train=400, n_test=100)
    >>> f"{t:.4f} {p:.4f}"
    '2.8284 0.0474'
    """
    values = _differences(differences)
    return _t_test(values, 1 / len(values) + n_test / n_train)


def wilcoxon(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return the two-sided p-value of Wilcoxon's signed-rank test, or None where no pair differs.

    Up to 13 pairs it is exact (all changes of sign), ties and zeros included; with 5 folds it cannot fall below
    0.0625.
    """
    differences = _differences(a, b)
    # Equal differences must tie although they were computed from different numbers.
    differences = np.round(differences[np.abs(differences) > ROUNDING], 12)
    if not len(differences):
        return None
    if len(differences) == 1:
        return 1.0  # both signs are as far out; scipy permutes two or more
    if len(differences) > EXACT_WILCOXON_FOLDS:
        return float(scipy.stats.wilcoxon(differences).pvalue)
    every_sign = scipy.stats.PermutationMethod(n_resamples=2**EXACT_WILCOXON_FOLDS)
    return float(scipy.stats.wilcoxon(differences, method=every_sign).pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted by Holm's step-down method; None (an undefined test) is left out of the family.

    The i-th smallest of m is multiplied by m - i + 1; none is below a smaller one's, nor above 1.
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = largest
    return adjusted


def mean_interval(
    differences: Sequence[float], ratio: float = 0.0, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the confidence interval of the folds' mean difference by Student's t with k - 1 degrees of freedom.

    `ratio` is n_test / n_train of the corrected test (see `corrected_resampled_t`); 0 leaves the correction out.
    """
    values = _differences(differences)
    error = float(values.std(ddof=1)) * math.sqrt(1 / len(values) + ratio)
    half = float(scipy.stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * error
    mean = float(values.mean())
    return mean - half, mean + half


def effect_size(differences: Sequence[float]) -> float | None:
    """Return Cohen's d of paired samples, mean over standard deviation; None where every difference is the same."""
    values = _differences(differences)
    sd = float(values.std(ddof=1))
    return None if sd <= ROUNDING else float(values.mean()) / sd


def mcnemar(baseline: NDArray[np.bool_], other: NDArray[np.bool_]) -> McNemar:
    """Return the exact test of McNemar: of the predictions that one alone has right, is it one more often?

    Arrays [N] say whether each prediction is right, in the same order.
    """
    if baseline.shape != other.shape:
        raise DataError(f"Paired predictions must be equally many; there are {baseline.size} and {other.size}.")
    one, two = int((baseline & ~other).sum()), int((other & ~baseline).sum())
    p = float(scipy.stats.binomtest(one, one + two).pvalue) if one + two else 1.0
    return McNemar(only_baseline=one, only_other=two, p=p)


def _differences(a: Sequence[float], b: Sequence[float] | None = None) -> NDArray[np.float64]:
    """Return the checked differences of pairs, or the checked `a` if it holds differences already."""
    left = np.asarray(a, dtype=np.float64)
    right = np.zeros_like(left) if b is None else np.asarray(b, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1:
        raise DataError(f"Paired scores must be equally many; there are {left.size} and {right.size}.")
    if len(left) < 2:
        raise DataError(f"A paired test needs at least two folds; there is {len(left)}.")
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise DataError("Paired scores hold a value that is not finite.")
    return left - right


def _t_test(differences: NDArray[np.float64], variance_factor: float) -> TResult:
    """Return mean / sqrt(variance_factor * sample variance) and its p-value with k - 1 degrees of freedom."""
    sd = float(differences.std(ddof=1))
    if sd <= ROUNDING:
        return TResult(None, None)
    t = float(differences.mean()) / (sd * math.sqrt(variance_factor))
    return TResult(t, 2 * float(scipy.stats.t.sf(abs(t), len(differences) - 1)))
