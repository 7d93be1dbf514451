"""Precision and recall, density and coverage: are generated images among the real ones, and the other way round?

Improved precision and recall: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative
models" (2019), equations 1 and 2, with k = 3 neighbours. Density and coverage: Naeem et al., "Reliable fidelity and
diversity metrics for generative models" (2020), equations 4 and 6, with k = 5. A ball around each image reaches to
its k-th nearest neighbour in its own set, itself not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.errors import DataError
from usgan_cli.metrics.bootstrap import Halves

PRECISION_K, DENSITY_K = 3, 5
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Distances:
    """Euclidean distances between feature vectors: [N1, N1], [N2, N2] and [N1, N2]."""

    real: Matrix
    fake: Matrix
    cross: Matrix

    def take(self, real: NDArray[np.int64], fake: NDArray[np.int64]) -> Distances:
        """Return the distances of some images."""
        return Distances(self.real[np.ix_(real, real)], self.fake[np.ix_(fake, fake)], self.cross[np.ix_(real, fake)])


def distances(real: NDArray[np.floating], fake: NDArray[np.floating]) -> Distances:
    """Return all distances between real features [N1, D] and generated ones [N2, D], computed in float64."""
    centre = real.mean(axis=0, dtype=np.float64)
    a, b = real.astype(np.float64) - centre, fake.astype(np.float64) - centre
    return Distances(euclidean(a, a), euclidean(b, b), euclidean(a, b))


def euclidean(a: NDArray[np.floating], b: NDArray[np.floating]) -> Matrix:
    """Return the distances [N1, N2] of rows; exactly 0 between a row and itself where `a` is `b`.

    Of equal rows in two arrays, rounding leaves about 1e-8 of their norm.
    """
    a, b = a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    lengths = np.sqrt(np.maximum(squares, 0))
    if a is b:
        np.fill_diagonal(lengths, 0)
    return np.asarray(lengths)


def radii(own: Matrix, k: int) -> NDArray[np.float64]:
    """Return the distance [N] of every image to its k-th nearest neighbour in its own set of more than k."""
    if len(own) <= k:
        raise DataError(f"{len(own)} images have no {k}-th nearest neighbour.")
    return np.asarray(np.partition(own, k, axis=1)[:, k])  # place 0 is the image itself


def precision_recall(pairwise: Distances, *, k: int) -> tuple[float, float]:
    """Return the share of generated images within a real image's ball, and of real ones within a generated one's."""
    within_real = pairwise.cross <= radii(pairwise.real, k)[:, None]
    within_fake = pairwise.cross <= radii(pairwise.fake, k)
    return float(within_real.any(axis=0).mean()), float(within_fake.any(axis=1).mean())


def density_coverage(pairwise: Distances, *, k: int) -> tuple[float, float]:
    """Return how many real images' balls a generated image lies in, over k, and the share of balls with one in them.

    For two samples of one distribution and size density is about 1 (from 0, unbounded), coverage about 1 - 2^-k.
    """
    within = pairwise.cross < radii(pairwise.real, k)[:, None]
    return float(within.sum(axis=0).mean() / k), float(within.any(axis=1).mean())


def prdc(pairwise: Distances) -> NDArray[np.float64]:
    """Return precision, recall, density and coverage with the published k; NaN where a set has too few images."""
    values = np.full(4, np.nan)
    if min(len(pairwise.real), len(pairwise.fake)) > PRECISION_K:
        values[:2] = precision_recall(pairwise, k=PRECISION_K)
    if len(pairwise.real) > DENSITY_K:
        values[2:] = density_coverage(pairwise, k=DENSITY_K)
    return values


def prdc_draws(pairwise: Distances, halves: Halves) -> NDArray[np.float64]:
    """Return precision, recall, density and coverage [R, 4] of every draw of halves."""
    return np.array([prdc(pairwise.take(real, fake)) for real, fake in zip(halves.real, halves.other, strict=True)])
