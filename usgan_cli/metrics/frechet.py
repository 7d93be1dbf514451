"""Fréchet distance between two sets of feature vectors, each taken as a normal distribution.

Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium" (2017),
equation 6: d² = |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½).
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from usgan_cli.core.errors import DataError


def frechet_distance(x1: NDArray[np.floating], x2: NDArray[np.floating]) -> float:
    """Return the (squared) Fréchet distance of two sets of features, computed in float64.

    With C1 = A1ᵀA1 and C2 = A2ᵀA2 the trace of (C1 C2)^½ is the sum of the singular values of A1 A2ᵀ, exactly,
    whatever the rank. A is the centred features over sqrt(n - 1), or, with more images than features, the
    triangular factor of its QR decomposition; so the matrix has at most min(n, D) rows and columns, and no
    square root of an ill-conditioned D x D matrix is taken.

    Parameters
    ----------
    x1 : float array [N1, D]
    x2 : float array [N2, D]

    Returns
    -------
    float
        At least 0.

    Raises
    ------
    DataError
        A set has fewer than two vectors, the numbers of features differ, or a value is not finite.
    """
    a1, m1 = _factor(x1)
    a2, m2 = _factor(x2)
    if len(m1) != len(m2):
        raise DataError(f"The sets have {len(m1)} and {len(m2)} features: they come from different extractors.")
    difference = m1 - m2
    cross = float(scipy.linalg.svdvals(a1 @ a2.T).sum())
    distance = float(difference @ difference) + float((a1**2).sum()) + float((a2**2).sum()) - 2 * cross
    # Rounding can leave a little less than nothing between equal sets.
    return max(distance, 0.0)


def bootstrap_frechet(
    x1: NDArray[np.floating], x2: NDArray[np.floating], repeats: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return Fréchet distances of `repeats` bootstrap draws of both sets.

    A draw repeats images, which lowers the rank of its covariance and raises the distance: read the spread, not
    the mean (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 6).

    Parameters
    ----------
    x1 : float array [N1, D]
    x2 : float array [N2, D]
    repeats : int
    generator : numpy.random.Generator

    Returns
    -------
    float64 array [repeats]
    """
    draws = np.empty(repeats)
    for i in range(repeats):
        rows1 = generator.integers(len(x1), size=len(x1))
        rows2 = generator.integers(len(x2), size=len(x2))
        draws[i] = frechet_distance(x1[rows1], x2[rows2])
    return draws


def _factor(x: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return A with AᵀA the sample covariance of the rows of `x`, and their mean."""
    if x.ndim != 2 or len(x) < 2:
        raise DataError(f"A Fréchet distance needs at least two vectors of features in each set, not {x.shape}.")
    values = x.astype(np.float64)
    if not np.isfinite(values).all():
        raise DataError("Features hold a value that is not finite.")
    mean = values.mean(axis=0)
    centred = (values - mean) / np.sqrt(len(values) - 1)
    if len(centred) > centred.shape[1]:
        centred = scipy.linalg.qr(centred, mode="r", overwrite_a=True, check_finite=False)[0][: centred.shape[1]]
    return centred, mean
