"""How much a metric would differ with other images: draws of half of each set, and the interval that they give.

A bootstrap with replacement repeats images, and most metrics here take a repeated image for a real coincidence: the
rank of a covariance falls, the distance to the nearest neighbour becomes 0, the same pair is compared with itself.
The half-sample bootstrap repeats none: a statistic of half of the images, drawn without replacement, varies from draw
to draw to first order exactly as much as the statistic of all images does from sample to sample (McCarthy,
"Pseudo-replication: half samples", 1969; Shao and Wu, "A general theory for jackknife variance estimation", 1989;
Saigo, Shao and Sitter, "A repeated half-sample bootstrap", 2001). To first order only: between samples of one
distribution the Fréchet and the kernel distance have none, and their intervals are about twice too wide
(`scripts/bench/half_samples.py`). For a mean over random pairs it is a little too wide (Owen, "The pigeonhole
bootstrap", 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEAST_IMAGES = 4
"""Sets with fewer images have no halves whose spread could be measured."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Halves:
    """Which images each of R draws takes, without repeats: rows [R, N1 // 2] of one set, [R, N2 // 2] of another."""

    real: NDArray[np.int64]
    other: NDArray[np.int64]


def half_samples(real: int, other: int, repeats: int, generator: np.random.Generator) -> Halves:
    """Draw halves (of an odd number the smaller) of two sets of `real` and `other` images, at least 2 each."""

    def draw(count: int) -> NDArray[np.int64]:
        rows = np.broadcast_to(np.arange(count), (repeats, count))
        return generator.permuted(rows, axis=1)[:, : count // 2]

    return Halves(draw(real), draw(other))


def membership(rows: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return a matrix [R, count] with 1 where a draw contains an image, so that sums over draws are products."""
    taken = np.zeros((len(rows), count))
    np.put_along_axis(taken, rows, 1, axis=1)
    return taken


def interval(
    value: float, draws: NDArray[np.float64], lowest: float = -np.inf, highest: float = np.inf
) -> tuple[float, float]:
    """Return the 95 % interval around a metric's value, within the bounds that the metric cannot cross.

    The spread of the draws [R], at least two, gives its width. Their mean is not used: of half of the images every
    biased metric is more biased.
    """
    reach = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * float(draws.std(ddof=1))
    return max(value - reach, lowest), min(value + reach, highest)
