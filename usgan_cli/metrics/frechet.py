"""Fréchet distance between two sets of feature vectors, each taken as a normal distribution.

Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium" (2017),
equation 6: d² = |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½).
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from usgan_cli.core.errors import DataError
from usgan_cli.metrics.bootstrap import Halves, membership

SHARES, DRAWS_OF_SHARE = 5, 3
"""Shares of the images, from all to a half, at which the distance is measured, and how often each smaller one."""
LEAST_EXTRAPOLATED = 20


def frechet_distance(x1: NDArray[np.floating], x2: NDArray[np.floating]) -> float:
    """Return the (squared) Fréchet distance of two sets of features, computed in float64.

    With C1 = A1ᵀA1 and C2 = A2ᵀA2 the trace of (C1 C2)^½ is the sum of the singular values of A1 A2ᵀ, exactly and for
    every rank. A is the centred features [N, D] over sqrt(N - 1), or, with more images than features, the triangular
    factor of its QR decomposition; so the matrix has at most min(N, D) rows and columns, and the square root of an
    ill-conditioned D x D matrix is avoided.
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


def frechet_infinite(
    x1: NDArray[np.floating], x2: NDArray[np.floating], generator: np.random.Generator
) -> float | None:
    """Return the distance extrapolated to infinitely many images; None with fewer than `LEAST_EXTRAPOLATED` of a set.

    Chong and Forsyth, "Effectively unbiased FID and Inception score" (2020), section 4: the distance falls linearly
    with 1 / N, so the line through its values at several N meets 1 / N = 0 at the value without bias. Here both sets
    are small, so equal shares of both are taken. With fewer images than features the fall is less than linear, and a
    part of the bias stays: of real BUSI images against others 9 was left of 19 (500 images against 280), and 31 of 46
    (50 images).
    """
    if min(len(x1), len(x2)) < LEAST_EXTRAPOLATED:
        return None
    inverse = np.repeat(np.linspace(1, 2, SHARES), DRAWS_OF_SHARE)[DRAWS_OF_SHARE - 1 :]
    values = []
    for share in 1 / inverse:
        rows = (generator.permutation(len(x))[: round(share * len(x))] for x in (x1, x2))
        values.append(frechet_distance(*(x[some] for x, some in zip((x1, x2), rows, strict=True))))
    return float(np.polynomial.Polynomial.fit(inverse, values, 1).convert().coef[0])


def frechet_draws(x1: NDArray[np.floating], x2: NDArray[np.floating], halves: Halves) -> NDArray[np.float64]:
    """Return the Fréchet distance [R] of every draw of halves (2 images or more): read their spread, not their mean."""
    centre = x1.mean(axis=0, dtype=np.float64)
    a, b = x1.astype(np.float64) - centre, x2.astype(np.float64) - centre
    if min(halves.real.shape[1], halves.other.shape[1]) > a.shape[1]:
        rows = zip(halves.real, halves.other, strict=True)
        return np.array([frechet_distance(a[rows1], b[rows2]) for rows1, rows2 in rows])
    # All draws share the inner products of the images; a draw's centred ones are those of its rows, centred twice.
    products = a @ b.T
    means1, trace1 = _moments(a, halves.real)
    means2, trace2 = _moments(b, halves.other)
    scale = np.sqrt((halves.real.shape[1] - 1) * (halves.other.shape[1] - 1))
    draws = ((means1 - means2) ** 2).sum(axis=1) + trace1 + trace2
    for i, (rows1, rows2) in enumerate(zip(halves.real, halves.other, strict=True)):
        inner = products[np.ix_(rows1, rows2)]
        inner += inner.mean() - inner.mean(axis=0) - inner.mean(axis=1, keepdims=True)
        draws[i] -= 2 * scipy.linalg.svdvals(inner, overwrite_a=True, check_finite=False).sum() / scale
    return np.asarray(np.maximum(draws, 0))


def _moments(x: NDArray[np.float64], rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean [R, D] of every draw of rows, and the trace [R] of its sample covariance."""
    taken, size = membership(rows, len(x)), rows.shape[1]
    means = taken @ x / size
    traces = (taken @ (x**2).sum(axis=1) - size * (means**2).sum(axis=1)) / (size - 1)
    return means, traces


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
