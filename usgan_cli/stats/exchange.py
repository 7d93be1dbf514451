"""The exchange rate: how many real images alone do as well as a smaller number with generated images.

**The curve.** Accuracy of real images alone over their number: every size of the study with the same settings, in the
same repeats and on the same test images. More real images do not harm, so the curve is the isotonic regression of the
mean accuracies (equal weights, adjacent violators pooled; Barlow et al. 1972), and between two sizes it is straight
over log n. Learning curves mostly bend downward, and the straight line lies below: with sizes far apart the numbers
read off are somewhat too large.

**Reading it off.** A training setting at size n with accuracy a does as well as the n' real images at which the curve
reaches a; it is worth n' - n further real images. Where the curve is flat at exactly a, n' is a range, from the
smallest to the largest size of the flat part; just above a it begins at the largest, just below it ends at the
smallest. Nothing is extrapolated: above the curve's largest size n' is "more than" it, below its smallest "less than".

**Its interval** holds every number m that the headline's own analysis (`usgan_cli.stats.mrmc`) allows: the repeats'
differences between the setting and the curve at m, D_j(m) = a_j - sum_k w_k(m) R_jk, are no further from 0 than t
times their standard error over repeats and clusters of test images. The weights w_k(m) of the sizes' accuracies R_jk
are those of the fit and of the straight line. This is Fieller's (1954) set for a ratio, carried over to a curve: so a
size of the curve that was not pooled is in it exactly if the setting and real images of that size do not differ at
5 % (not adjusted). It is open where it holds an end of the curve, and a flat part is in it as a whole or not at all.

**Its coverage** (`scripts/bench/exchange.py`; n' = 180 on a curve of 50, 100, 250 and 500 images): with variances as
measured on BUSI 99.7, 97.3, 95.3 and 95.3 % of 300 simulated studies with 2, 3, 5 and 10 repeats; where trainings vary
five times as much 99, 98 and 96 % of 200 with 2, 3 and 5. A joint bootstrap over repeats and clusters, which fits the
curve again each time, covers 76 and 83 % of the latter with 2 and 3 repeats, which drawn again say too little of how
other trainings would vary; it is not used. With two repeats nearly every interval is open, with five hardly any
where trainings vary as measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.comparison import ArmExchange, CurvePoint, Exchange, RealImages
from usgan_cli.core.text import joined, plural
from usgan_cli.stats.arms import Repeat, in_all, right_of, tested_images
from usgan_cli.stats.compare import Classified, settings_difference
from usgan_cli.stats.mrmc import SMALLEST, Floats, effect_of, jackknife

LEAST_SIZES, LEAST_REPEATS = 3, 2
NUMBERS = 24
"""Numbers of real images that are tried first for the interval, evenly spread over log n, beside the sizes and n'."""
HALF = 0.5
"""Images, to which an end of the interval is found."""


@dataclass(frozen=True)
class Curve:
    """Accuracy of real images alone over their number; never falling."""

    sizes: Floats
    """[sizes], rising."""
    fitted: Floats
    """[sizes]"""
    pooled: Floats
    """Share of each size's own accuracy (columns) in each fitted value (rows) [sizes, sizes]."""

    @classmethod
    def fit(cls, sizes: Sequence[int], accuracies: Floats) -> Curve:
        """Fit the curve to the mean accuracies [sizes] of two or more rising sizes."""
        starts = isotonic_regression(accuracies).blocks
        part = np.searchsorted(starts, np.arange(len(sizes)), side="right")
        pooled = (part[:, None] == part) / np.bincount(part)[part]
        return cls(np.asarray(sizes, dtype=np.float64), pooled @ accuracies, pooled)

    def weights(self, n: float) -> Floats:
        """Return what each size's accuracy [sizes] contributes to the curve at `n` real images."""
        right = min(max(int(np.searchsorted(self.sizes, n)), 1), len(self.sizes) - 1)
        low, high = np.log(self.sizes[right - 1 : right + 1])
        share = (np.log(n) - low) / (high - low)
        weights: Floats = (1 - share) * self.pooled[right - 1] + share * self.pooled[right]
        return weights

    def read(self, accuracy: float) -> RealImages:
        """Return how many real images alone have an accuracy."""
        first, last = float(self.sizes[0]), float(self.sizes[-1])
        equal = self.sizes[np.abs(self.fitted - accuracy) <= SMALLEST]
        if len(equal):
            return RealImages(low=float(equal[0]), high=float(equal[-1]))
        if accuracy < self.fitted[0]:
            return RealImages(low=first, high=first, below=True)
        if accuracy > self.fitted[-1]:
            return RealImages(low=last, high=last, above=True)
        right = int(np.searchsorted(self.fitted, accuracy))
        share = (accuracy - self.fitted[right - 1]) / (self.fitted[right] - self.fitted[right - 1])
        n = float(self.sizes[right - 1] ** (1 - share) * self.sizes[right] ** share)
        return RealImages(low=n, high=n)


def worth(
    sizes: Sequence[int], real: Floats, arm: Floats, clusters: NDArray[np.integer]
) -> tuple[RealImages, RealImages]:
    """Return how many real images do as well as one training setting, and the 95 % interval.

    Parameters
    ----------
    sizes : sequence of int
        Rising numbers of real images, three or more.
    real : array [sizes, repeats, images]
        Of each repeat, the share of models on real images alone that classify a test image correctly; NaN where the
        repeat does not test it, as for all sizes and the setting alike. Two or more repeats.
    arm : array [repeats, images]
        The same of the training setting.
    clusters : array [images]
        Number of each image's cluster; images of one cluster are not independent.
    """
    scores = np.concatenate([real, arm[None]])
    tested = ~np.isnan(scores)
    used = tested.any((0, 1))
    index = np.unique(clusters[used], return_inverse=True)[1]
    rows, tested = (values[..., used].reshape(-1, int(used.sum())) for values in (scores, tested))
    means, covariance = jackknife(np.where(tested, rows, 0.0), tested, index)
    means, covariance = means.reshape(scores.shape[:2]), covariance.reshape(*scores.shape[:2] * 2)
    curve = Curve.fit(sizes, means[:-1].mean(1))
    found = curve.read(float(means[-1].mean()))

    def allowed(n: float) -> bool:
        weights = np.append(-curve.weights(n), 1.0)
        pairs = np.einsum("a,arbs,b->rs", weights, covariance, weights)
        low, high = effect_of(weights @ means, pairs, len(index), len(np.unique(index))).interval
        return low <= 0 <= high

    spread = np.geomspace(sizes[0], sizes[-1], NUMBERS).clip(sizes[0], sizes[-1])
    tried = np.union1d([*curve.sizes, found.low, found.high], spread)
    held = [i for i, n in enumerate(tried) if allowed(n)]
    ends = [found.low, found.high]
    if held:
        first, last = held[0], held[-1]
        ends.append(_boundary(allowed, tried[first], tried[max(first - 1, 0)]))
        ends.append(_boundary(allowed, tried[last], tried[min(last + 1, len(tried) - 1)]))
    below, above = found.below or 0 in held, found.above or len(tried) - 1 in held
    return found, RealImages(low=min(ends), high=max(ends), below=below, above=above)


def _boundary(allowed: Callable[[float], bool], inside: float, outside: float) -> float:
    """Return the number farthest from `inside`, which is allowed, on the way to `outside`, to half an image."""
    while abs(inside - outside) > HALF:
        middle = (inside * outside) ** 0.5
        inside, outside = (middle, outside) if allowed(middle) else (inside, middle)
    return float(inside)


def on_one_curve(one: ClassifierRecord, other: ClassifierRecord) -> bool:
    """Return whether two classifiers on real images alone differ in their training images, and their number, alone."""
    changes = {"subset": "", "seed": 0, "updates": None}
    settings = [record.settings.model_copy(update=changes) for record in (one, other)]
    return one.classes == other.classes and settings_difference(*settings) is None


def exchange_rates(
    readers: Sequence[Sequence[Repeat]],
    real: Mapping[int, Sequence[Sequence[Classified]]],
    clusters: Mapping[str, int],
) -> Exchange:
    """Return what every training setting of one size is worth in real images.

    `readers` are the classifiers of that size, [repeats] of one each or [splits] of several each, as in
    `usgan_cli.stats.arms`; `real` holds those on real images alone of every size, that one included, in the same
    order; `clusters` numbers the cluster of each test image. Raises a `DataError` where a test image has none.
    """
    sizes = sorted(real)
    files, index = tested_images(readers, clusters)
    curve = np.stack([_by_reader(real[n], files) for n in sizes])
    by_repeat = np.nanmean(curve, axis=2)
    fitted = Curve.fit(sizes, by_repeat.mean(1)).fitted if len(sizes) > 1 else by_repeat.mean(1)
    points = [
        CurvePoint(n=n, by_repeat=values.tolist(), fitted=float(value))
        for n, values, value in zip(sizes, by_repeat, fitted, strict=True)
    ]
    if lacking := _lacking(sizes, len(readers)):
        return Exchange(curve=points, arms=[], lacking=lacking)
    there, arms = in_all(readers), []
    for other in readers[0][0][1]:
        arm = _by_reader(there[other.name], files)
        images, interval = worth(sizes, curve, arm, index)
        arms.append(_recorded(other.record, float(np.nanmean(arm, axis=1).mean()), images, interval))
    return Exchange(curve=points, arms=arms)


def _by_reader(trained: Sequence[Sequence[Classified]], files: Sequence[str]) -> Floats:
    """Return the share of each reader's models that classify an image correctly [readers, images]."""
    share: Floats = right_of(trained, files).mean((1, 2))
    return share


def _lacking(sizes: Sequence[int], readers: int) -> str:
    """Return why nothing can be told and what to add; empty where something can."""
    lacks = []
    if len(sizes) < LEAST_SIZES:
        sized = f"size{'s' * (len(sizes) > 1)} ({joined(sizes)})"
        lacks.append(
            f"the curve of real images alone needs {LEAST_SIZES} sizes, and {len(sizes)} {sized} of the same settings "
            "and repeats is there: add sizes under [grid], or usgan train-cls --n N for each repeat"
        )
    if readers < LEAST_REPEATS:
        lacks.append(
            f"{plural(readers, 'repeat')} cannot tell how trainings vary: add seeds under [grid], or usgan train-cls "
            "--seed S at each size"
        )
    return f"How many real images generated ones are worth cannot be told: {'; '.join(lacks)}." if lacks else ""


def _recorded(record: ClassifierRecord, accuracy: float, images: RealImages, interval: RealImages) -> ArmExchange:
    return ArmExchange(
        name=record.name,
        aug=record.aug,
        ratio=record.ratio,
        control=record.control,
        variant=record.variant,
        accuracy=accuracy,
        real=images,
        interval=interval,
    )
