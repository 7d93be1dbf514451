"""Paired comparison of classifiers over the folds of a cross validation.

Student's paired t-test as in the study; the corrected resampled t-test of Nadeau and Bengio, "Inference for the
generalization error" (2003), section 4; Wilcoxon's signed-rank test (1945); Holm, "A simple sequentially rejective
multiple test procedure" (1979).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.records import ClassifierRecord, Comparison, TTestRecord, first_difference, measured

SCORE = "test_micro_f1"
CONFIDENCE = 0.95
# Scores are ratios of small counts: differences nearer than this are equal but for rounding.
ROUNDING = 1e-12
EXACT_WILCOXON_FOLDS = 13


class TResult(NamedTuple):
    """Statistic and two-sided p-value; both None where every difference is the same and t is undefined."""

    t: float | None
    p: float | None


def paired_t(a: Sequence[float], b: Sequence[float]) -> TResult:
    """Return Student's paired t-test of `a` against `b`, two-sided.

    Parameters
    ----------
    a, b : sequences of float, equally long
        Scores matched by index; t is positive where `a` is larger.

    Raises
    ------
    DataError
        The lengths differ or are below 2, or a value is not finite.
    """
    differences = _differences(a, b)
    return _t_test(differences, 1 / len(differences))


def corrected_resampled_t(differences: Sequence[float], n_train: float, n_test: float) -> TResult:
    """Return the corrected resampled t-test of Nadeau and Bengio (2003), two-sided.

    The folds' training sets overlap, so their differences vary less than those of independent repetitions; the
    variance of the mean is taken as (1/k + n_test/n_train) times the sample variance, with k - 1 degrees of freedom.

    Parameters
    ----------
    differences : sequence of float
        Of the k folds.
    n_train, n_test : float
        Sizes of a fold's training and left-out part, or any numbers in that ratio: k - 1 and 1 for k folds.

    Raises
    ------
    DataError
        There are fewer than two differences, or one is not finite.
    """
    values = _differences(differences, [0.0] * len(differences))
    return _t_test(values, 1 / len(values) + n_test / n_train)


def wilcoxon(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return the two-sided p-value of Wilcoxon's signed-rank test, or None where no pair differs.

    Up to 13 pairs it is exact (all changes of sign), ties and zeros included; with 5 folds it cannot fall below
    0.0625.

    Parameters
    ----------
    a, b : sequences of float, equally long

    Raises
    ------
    DataError
        The lengths differ or are below 2, or a value is not finite.
    """
    differences = _differences(a, b)
    # Equal differences must tie although they were computed from different numbers.
    differences = np.round(differences[np.abs(differences) > ROUNDING], 12)
    if not len(differences):
        return None
    if len(differences) == 1:
        return 1.0  # both signs are as far out; scipy permutes two or more
    if len(differences) > EXACT_WILCOXON_FOLDS:
        return float(stats.wilcoxon(differences).pvalue)
    every_sign = stats.PermutationMethod(n_resamples=2**EXACT_WILCOXON_FOLDS)
    return float(stats.wilcoxon(differences, method=every_sign).pvalue)


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


def mean_interval(differences: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the confidence interval of the mean difference by Student's t with k - 1 degrees of freedom."""
    values = _differences(differences, [0.0] * len(differences))
    half = (
        float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * float(values.std(ddof=1)) / math.sqrt(len(values))
    )
    mean = float(values.mean())
    return mean - half, mean + half


def compare(baseline: ClassifierRecord, others: Sequence[ClassifierRecord], n: int, seed: int) -> TTestRecord:
    """Compare classifiers with synthetic images with the one without, paired by fold.

    Parameters
    ----------
    baseline : ClassifierRecord
        Trained on real images alone.
    others : sequence of ClassifierRecord
        The family of comparisons that Holm's correction covers.
    n : int
        Number of real training images.
    seed : int
        Seed of the experiment.

    Returns
    -------
    TTestRecord

    Raises
    ------
    SettingsError
        Two records differ in more than the synthetic images, or the baseline is none.
    DataError
        There is nothing to compare, or the folds do not match.
    """
    if not others:
        raise DataError(
            f"There is no classifier with synthetic images to compare with the baseline (n={n}, seed {seed}).",
            f"Train one: usgan train-cls --n {n} --aug diffaug --ratio 1",
        )
    if baseline.aug is not None:
        raise SettingsError(
            f"The classifier {baseline.name!r} was trained with images of {baseline.aug!r}; it is no baseline.",
            f"Train one on real images alone: usgan train-cls --n {n}",
        )
    if baseline.n != n:
        raise SettingsError(f"The baseline {baseline.name!r} was trained on {baseline.n} images, not on {n}.")
    for other in others:
        _check_pair(baseline, other)
    baseline_f1 = _scores(baseline)
    raw = [_compare_one(other, _scores(other), baseline_f1) for other in others]
    adjusted = holm([comparison.p for comparison in raw])
    return TTestRecord(
        n=n,
        seed=seed,
        score=SCORE,
        baseline=baseline.name,
        baseline_f1=measured(baseline_f1),
        baseline_folds=baseline_f1,
        settings=baseline.settings,
        comparisons=[c.model_copy(update={"p_holm": p}) for c, p in zip(raw, adjusted, strict=True)],
    )


def to_csv(record: TTestRecord) -> str:
    """Return the comparisons as CSV text, one row each, the baseline first; empty where a test is undefined."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    tests = ("t", "p", "p_holm", "p_corrected", "p_wilcoxon")
    head = ["n", "seed", "name", "aug", "ratio", f"{record.score}_mean", f"{record.score}_sd", "difference"]
    folds = [f"fold_{i}" for i in range(len(record.baseline_folds))]
    writer.writerow([*head, "interval_low", "interval_high", *tests, *folds])
    f1, empty = record.baseline_f1, [""] * (3 + len(tests))
    writer.writerow([record.n, record.seed, record.baseline, "", 0.0, f1.mean, f1.sd, *empty, *record.baseline_folds])
    for c in record.comparisons:
        described = [record.n, record.seed, c.name, c.aug, c.ratio, c.f1.mean, c.f1.sd, c.difference, *c.interval]
        found = [getattr(c, test) for test in tests]
        writer.writerow([*described, *("" if value is None else value for value in found), *c.folds])
    return buffer.getvalue()


def _differences(a: Sequence[float], b: Sequence[float]) -> NDArray[np.float64]:
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
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
    return TResult(t, 2 * float(stats.t.sf(abs(t), len(differences) - 1)))


def _scores(record: ClassifierRecord) -> list[float]:
    return [fold.test_micro_f1 for fold in sorted(record.folds, key=lambda fold: fold.fold)]


def _check_pair(baseline: ClassifierRecord, other: ClassifierRecord) -> None:
    """Raise unless the two differ in their synthetic images alone."""
    pair = f"{baseline.name!r} and {other.name!r}"
    if other.aug is None:
        raise SettingsError(f"The classifier {other.name!r} has no synthetic images: it is a baseline itself.")
    if other.n != baseline.n:
        raise SettingsError(f"The classifiers {pair} cannot be compared: n: {baseline.n} and {other.n}.")
    if other.classes != baseline.classes:
        raise SettingsError(
            f"The classifiers {pair} cannot be compared: classes: {baseline.classes} and {other.classes}."
        )
    if difference := first_difference(baseline.settings, other.settings):
        raise SettingsError(
            f"The classifiers {pair} cannot be compared: they differ in {difference}.",
            "Train one of them again with the other's settings.",
        )
    folds, others = sorted(f.fold for f in baseline.folds), sorted(f.fold for f in other.folds)
    if folds != others or len(set(folds)) != len(folds):
        raise DataError(f"The folds of {pair} do not match: {folds} and {others}.")
    real, others_real = ({f.fold: f.train_real for f in record.folds} for record in (baseline, other))
    for fold, count in real.items():
        if others_real[fold] != count:
            raise DataError(
                f"Fold {fold} of {pair} was trained on {count} and {others_real[fold]} real images: "
                "the folds were drawn differently."
            )


def _compare_one(other: ClassifierRecord, f1: list[float], baseline_f1: list[float]) -> Comparison:
    assert other.aug is not None  # checked by _check_pair
    differences = [a - b for a, b in zip(f1, baseline_f1, strict=True)]
    t, p = paired_t(f1, baseline_f1)
    # With k folds the left-out part is to the training part as 1 to k - 1.
    corrected = corrected_resampled_t(differences, len(differences) - 1, 1)
    return Comparison(
        name=other.name,
        aug=other.aug,
        ratio=other.ratio,
        f1=measured(f1),
        folds=f1,
        difference=float(np.mean(differences)),
        interval=mean_interval(differences),
        t=t,
        p=p,
        p_holm=None,
        p_corrected=corrected.p,
        p_wilcoxon=wilcoxon(f1, baseline_f1),
    )
