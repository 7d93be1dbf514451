"""Multi-reader multi-case analysis of two ways of training, and the verdict that a family of comparisons allows.

Repeats of the whole training (subset draw, GAN, classifier) are random readers, test images random cases, in clusters
of copies or of a patient's images; the score of an image is the share of the folds' models that classify it correctly.
The model is Obuchowski and Rockette's (1995). With t = 2 arms over r repeats

    F = MS(T) / (MS(TR) + max(r (Cov2 - Cov3), 0)).

It is computed from the repeats' differences between the arms, D_j: MS(T) = r mean(D)^2 / 2, MS(TR) = var(D) / 2, and
2 (Cov2 - Cov3) is the jackknife covariance of D_j and D_k, averaged over pairs of repeats. So the squared standard
error of the mean difference is var(D) / r + max(covariance, 0), and t^2 = F.

Where all repeats differ by exactly the same amount, as two with few test images now and then do, MS(TR) is 0 and says
nothing. By the model var(D) is at least what test images contribute to each repeat alone, Var - Cov1 - (Cov2 - Cov3)
of MS(TR), since the variance between trainings cannot be negative; that stands in its place.

Degrees of freedom: Obuchowski and Rockette's (t - 1)(r - 1). Hillis' (2007) larger ones suit human readers, whose
differences vary little beside the cases'. Between trainings they vary most; where a few repeats happen to lie close
together, Hillis' formula takes an error that is too small for one that is well known. In simulated studies of equally
good arms (`scripts/bench/null_rates.py`, nine comparisons, 1,000 studies of each kind) his gave a headline to 22 to
26 % with two repeats, 10 to 13 % with three and 5 to 8 % with five; (t - 1)(r - 1) to at most 1, 3 and 4 %.

What one repeat cannot say: its interval and p-value hold for the classifiers that it trained, not for another
training, whose variance it cannot estimate. Such a comparison counts in the family and is left undecided.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc, chdtri, ndtr, stdtr, stdtrit

from usgan_cli.core.errors import DataError
from usgan_cli.core.text import number

Floats = NDArray[np.float64]
Verdict = Literal["helped", "hurt", "equivalent", "undecided"]

ALPHA = 0.05
MARGIN = 0.02
"""Differences of at most two points are of no consequence, unless a study declares another margin."""
POWER = 0.8
TARGET = 0.03
"""The difference for which an undecided study states how many repeats or test images would show it."""
PRIMARY_WEIGHT = 0.5
"""Share of the 5 % that is the primary comparison's, before others pass theirs on."""
MOST_REPEATS, MOST_IMAGES = 200, 100_000
"""More are not worth stating: the difference is out of the study's reach."""
SMALLEST = 1e-12
"""Standard errors below it are rounding: no image is classified differently, or each is in the same way."""
QUANTILES = 500


@dataclass(frozen=True)
class Variances:
    """Where the variance of one repeat's difference between two arms comes from."""

    training: float
    """Variance between trainings, over all test images that there could be."""
    own: float
    """Variance of one cluster of test images in a repeat, beyond what it has in common with other repeats."""
    shared: float
    """Covariance of one cluster between repeats: images that one arm always classifies better."""

    def standard_error(self, repeats: int, clusters: float) -> float:
        """Return the standard error of a study's mean difference."""
        return math.sqrt((self.training + self.own / clusters) / repeats + self.shared / clusters)

    def detectable(self, repeats: int, clusters: float, alpha: float = ALPHA) -> float:
        """Return the difference that a test at level `alpha` shows with a power of 80 %; `repeats` is 2 or more."""
        return self.standard_error(repeats, clusters) * detectable_in_errors(repeats - 1, alpha)

    def repeats_needed(self, clusters: float, alpha: float) -> int | None:
        """Return the repeats with which so many clusters show `TARGET`; None where no feasible number does."""
        return _smallest(lambda count: self.detectable(count, clusters, alpha), MOST_REPEATS)

    def images_needed(self, repeats: int, share: float, alpha: float) -> int | None:
        """Return the test images, `share` clusters each, with which the repeats show `TARGET`; None as above."""
        return _smallest(lambda count: self.detectable(repeats, count * share, alpha), MOST_IMAGES)


LINEAR_HEADS = Variances(training=0.01**2, own=280 * 0.011**2, shared=280 * 0.002**2)
"""Of linear heads on EfficientNet-Lite2's features of BUSI, n = 50 to 500, with and without images of stand-ins for
GANs (mixtures of training images with noise): an assumption for studies that have not begun."""


@dataclass(frozen=True)
class Effect:
    """The difference in accuracy between two arms; positive where the treated one is better."""

    difference: float
    by_repeat: tuple[float, ...]
    standard_error: float
    df: float
    hillis_df: float
    """Hillis' degrees of freedom, for comparison with other software."""
    images: int
    clusters: int
    """Clusters of test images that belong together."""
    variances: Variances | None
    """None with one repeat, which cannot tell trainings from images."""
    only_treated: float
    """Clusters that only the treated one of two paired models classifies correctly, averaged over folds and repeats."""
    only_control: float
    images_by_repeat: tuple[int, ...] = ()
    """Test images of each repeat where not all test the same ones, as of several splits; else empty."""

    @property
    def images_each(self) -> int:
        """Test images of one repeat, on average."""
        return round(float(np.mean(self.images_by_repeat or self.images)))

    @property
    def repeats(self) -> int:
        """Number of repeats; with one, everything here holds for its own trainings alone."""
        return len(self.by_repeat)

    @property
    def p(self) -> float | None:
        """Two-sided p-value of no difference; None where no image is classified differently."""
        return self._tail(abs(self.difference), 2)

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % confidence interval."""
        half = self.standard_error * float(stdtrit(self.df, 1 - ALPHA / 2))
        return self.difference - half, self.difference + half

    def p_equivalence(self, margin: float) -> float | None:
        """Return the p-value of a difference beyond ± `margin`: the larger of two one-sided tests (Schuirmann 1987)."""
        return self._tail(margin - abs(self.difference), 1)

    @property
    def false_claim(self) -> float:
        """Probability that the arm with the higher accuracy is not the better one, for the models of this study.

        By the posterior of Christodoulou et al., "False promises in medical imaging AI?" (arXiv 2505.04720): Dirichlet
        over the images that one model alone classifies correctly, with a uniform prior. The share of the first among
        these two is Beta distributed. It leaves out the variance between trainings.
        """
        more, less = sorted((self.only_treated, self.only_control), reverse=True)
        return float(betainc(more + 1, less + 1, 0.5))

    def _tail(self, distance: float, sides: int) -> float | None:
        if self.standard_error <= SMALLEST:
            return None
        return sides * float(stdtr(self.df, -distance / self.standard_error))


def compare_arms(treated: NDArray[np.floating], control: NDArray[np.floating], clusters: NDArray[np.integer]) -> Effect:
    """Compare two arms that share subset, folds and test images in every repeat.

    The arms, [repeats, folds, images], hold 1 where a fold's model classifies a test image correctly, 0 where it does
    not, and NaN where a repeat does not test an image, so that several splits are repeats over the union of their test
    images. `clusters` [images] numbers each image's cluster; images of one cluster are not independent. Raises a
    `DataError` where the arms differ in their shape or test images, or a repeat tests fewer than two clusters.
    """
    if treated.shape != control.shape or treated.ndim != 3 or treated.shape[2:] != clusters.shape:
        raise DataError(f"The arms do not pair: their shapes are {treated.shape} and {control.shape}.")
    gap = np.asarray(treated, dtype=np.float64) - control
    missing = np.isnan(gap)
    if (np.isnan(treated) != np.isnan(control)).any() or (missing.any(1) != missing.all(1)).any():
        raise DataError("The arms and folds of a repeat must be tested on the same images.")
    used = ~missing.all((0, 1))
    gap, tested = gap[:, :, used], ~missing[:, 0, used]
    index = np.unique(clusters[used], return_inverse=True)[1]
    count = len(np.unique(index))
    differences, covariance = jackknife(np.where(tested, gap.mean(1), 0.0), tested, index)
    only_treated, only_control = (float(won.mean(1)[tested].mean()) * count for won in (gap > 0, gap < 0))
    effect = effect_of(differences, covariance, int(used.sum()), count, only_treated, only_control)
    return effect if tested.all() else replace(effect, images_by_repeat=tuple(tested.sum(1).tolist()))


def jackknife(values: Floats, tested: NDArray[np.bool_], index: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """Return the mean of each row [r] over its tested images, and the means' covariance [r, r], leaving out clusters.

    `values` and `tested` are [r, images]: values are 0 where a row is not tested; `index` numbers the images' clusters.
    Raises a `DataError` where a row is tested on fewer than two clusters.
    """
    sums = np.stack([np.bincount(index, row) for row in values])
    counts = np.stack([np.bincount(index, row) for row in tested])
    if ((counts > 0).sum(1) < 2).any():
        raise DataError("A repeat is tested on fewer than two clusters of images: they have no spread.")
    total, images = sums.sum(1, keepdims=True), counts.sum(1, keepdims=True)
    without = (total - sums) / (images - counts)
    centred = without - without.mean(1, keepdims=True)
    clusters = sums.shape[1]
    return (total / images)[:, 0], (clusters - 1) / clusters * centred @ centred.T


def effect_of(
    differences: Floats,
    covariance: Floats,
    images: int,
    clusters: int,
    only_treated: float = 0.0,
    only_control: float = 0.0,
) -> Effect:
    """Return the analysis of the repeats' differences [r] with their covariance [r, r] over test images."""
    repeats = len(differences)
    variance = float(np.trace(covariance)) / repeats
    if repeats == 1:
        error, df, hillis_df, variances = math.sqrt(variance), clusters - 1.0, clusters - 1.0, None
    else:
        covariance_of_pairs = float(covariance.sum() - np.trace(covariance)) / (repeats * (repeats - 1))
        shared, own = max(covariance_of_pairs, 0.0), max(variance - covariance_of_pairs, 0.0)
        between = float(differences.var(ddof=1))
        varied = between > SMALLEST**2
        error, df = math.sqrt((between if varied else own) / repeats + shared), repeats - 1.0
        hillis_df = df * (1 + repeats * shared / between) ** 2 if varied else math.inf
        variances = Variances(max(between - own, 0.0), own * clusters, shared * clusters)
    return Effect(
        difference=float(differences.mean()),
        by_repeat=tuple(float(value) for value in differences),
        standard_error=error,
        df=df,
        hillis_df=hillis_df,
        images=images,
        clusters=clusters,
        variances=variances,
        only_treated=only_treated,
        only_control=only_control,
    )


@dataclass(frozen=True)
class Finding:
    """What one comparison of a family allows to be said.

    The p-values are adjusted by Holm's method for the whole family, and None where undefined (one repeat, or no image
    classified differently).
    """

    effect: Effect
    p_adjusted: float | None
    """Of no difference."""
    p_equivalence: float | None
    """Of a difference beyond the margin."""
    verdict: Verdict
    margin: float
    alpha: float
    """The level at which this comparison is tested before others pass theirs on."""

    @property
    def detectable(self) -> float | None:
        """The difference that four of five such studies would show; None with one repeat."""
        variances, effect = self.effect.variances, self.effect
        return None if variances is None else variances.detectable(effect.repeats, effect.clusters, self.alpha)

    @property
    def repeats_needed(self) -> int | None:
        """Repeats with these test images that would show `TARGET`; None where no feasible number does."""
        variances, clusters = self.effect.variances, self.effect.clusters
        return None if variances is None else variances.repeats_needed(clusters, self.alpha)

    @property
    def images_needed(self) -> int | None:
        """Test images of each repeat that would show `TARGET` with these repeats; None where no feasible number does.

        Of several splits together there are more, in the same proportion as now.
        """
        variances, effect = self.effect.variances, self.effect
        share = effect.clusters / effect.images
        needed = None if variances is None else variances.images_needed(effect.repeats, share, self.alpha)
        return None if needed is None else math.ceil(needed * effect.images_each / effect.images)

    def sentence(self, unit: str = "repeat") -> str:
        """Return the verdict in words, with what it rests on; `unit` is what a reader is: "repeat", or "split"."""
        middle, low, high = (
            number(100 * value, 1, sign=True) for value in (self.effect.difference, *self.effect.interval)
        )
        points = f"{middle} points (95 % interval {low} to {high})"
        if self.verdict == "equivalent":
            return f"no more than ± {100 * self.margin:g} points: {points}"
        if self.verdict != "undecided":
            return f"{self.verdict}: {points}"
        if self.detectable is None:
            return f"undecided: {points} for these trained classifiers alone; repeats would say if it holds for others"
        ways = ways_to_show([self.repeats_needed], [self.images_needed], unit)
        shown = f"this study could have shown {100 * self.detectable:.1f} points"
        enough = f", {ways} would show {100 * TARGET:g} points" if self.detectable > TARGET else ""
        return f"undecided: {points}; {shown}{enough}"


def ways_to_show(readers: Sequence[int | None], images: Sequence[int | None], unit: str) -> str:
    """Return in words how many repeats, or splits (`unit`), or test images would show `TARGET` in all comparisons.

    Both hold what each comparison needs; None where no feasible number is enough.
    """
    ways = []
    for what, needed in ((f"{unit}s", readers), (f"test images{' in each split' * (unit == 'split')}", images)):
        counts = [count for count in needed if count is not None]
        ways += [f"{max(counts)} {what}"] if len(counts) == len(needed) else []
    return " or ".join(ways) or f"neither more {unit}s nor more test images alone"


def judge(
    effects: Sequence[Effect], margin: float = MARGIN, primary: int | None = None, missing: int = 0
) -> list[Finding]:
    """Return what a report's comparisons allow to be said, all of them together.

    Holm's method keeps the probability of any false "helped" or "hurt" in the whole family at 5 % or less, and likewise
    that of any false "equivalent". Undefined and missing comparisons count: leaving them out would reward a study for
    failed trainings. The primary comparison, declared before the study, has half of the 5 %; the others share the rest.

    Differences within ± `margin` are of no consequence. `primary` is the position of the primary comparison, and
    `missing` counts further comparisons that the study planned and could not make.
    """
    weights = weights_of(len(effects) + missing, primary)
    rest = [None] * missing
    adjusted = holm([*(None if e.variances is None else e.p for e in effects), *rest], weights)
    equivalent = holm([*(None if e.variances is None else e.p_equivalence(margin) for e in effects), *rest], weights)
    findings = []
    for effect, p, q, weight in zip(effects, adjusted, equivalent, weights, strict=False):
        verdict: Verdict = "undecided"
        if p is not None and p < ALPHA:
            verdict = "helped" if effect.difference > 0 else "hurt"
        elif q is not None and q < ALPHA:
            verdict = "equivalent"
        findings.append(Finding(effect, p, q, verdict, margin, ALPHA * float(weight / weights.sum())))
    return findings


def weights_of(comparisons: int, primary: int | None) -> Floats:
    """Return each comparison's weight in a family: equal ones, but half of all for the primary one."""
    weights = np.ones(comparisons)
    if primary is not None and comparisons > 1:
        weights[primary] = PRIMARY_WEIGHT / (1 - PRIMARY_WEIGHT) * (comparisons - 1)
    return weights


def holm(p_values: Sequence[float | None], weights: Floats) -> list[float | None]:
    """Return p-values adjusted by Holm's weighted step-down method (1979); undefined ones (None) count as 1."""
    p = np.array([1.0 if value is None else value for value in p_values])
    order = np.argsort(p / weights, kind="stable")
    left = np.cumsum(weights[order][::-1])[::-1]  # weights of the comparison and of all that come after it
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * left / weights[order]), 1.0)
    return [None if value is None else float(q) for value, q in zip(p_values, adjusted, strict=True)]


def detectable_in_errors(df: float, alpha: float) -> float:
    """Return the difference, in standard errors, that a t-test at level `alpha` shows with a power of 80 %.

    The noncentral t distribution is a normal one with the error's own distribution averaged out.
    """
    errors = np.sqrt(chdtri(df, (np.arange(QUANTILES) + 0.5) / QUANTILES) / df)
    limits = float(stdtrit(df, 1 - alpha / 2)) * errors

    def surplus(difference: float) -> float:
        return float((ndtr(difference - limits) + ndtr(-difference - limits)).mean()) - POWER

    return float(brentq(surplus, 0.0, float(limits.max()) + 10))


def _smallest(detectable: Callable[[int], float], most: int) -> int | None:
    """Return the smallest count, from 2, at which the falling function is at most `TARGET`."""
    if detectable(most) > TARGET:
        return None
    return bisect_left(range(2, most + 1), -TARGET, key=lambda count: -detectable(count)) + 2
