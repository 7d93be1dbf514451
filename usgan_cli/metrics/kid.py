"""Kernel distance of two sets of feature vectors (KID in the features of the FID network).

Bińkowski, Sutherland, Arbel, Gretton, "Demystifying MMD GANs" (2018), section 4: the squared maximum mean discrepancy
with the kernel k(x, y) = (x·y / D + 1)³, by its unbiased estimator (Gretton et al., "A kernel two-sample test", 2012,
equation 3), averaged over random subsets. It has no bias at any number of images, and can be below 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.errors import DataError
from usgan_cli.metrics.bootstrap import Halves, membership

DEGREE, COEFFICIENT = 3, 1.0
SUBSETS = 100
LARGEST_SUBSET = 1000
Matrix = NDArray[np.float64]


def subset_size(real: int, other: int) -> int:
    """Return the largest subset, up to the published 1000, that fits into both sets."""
    return min(real, other, LARGEST_SUBSET)


def kernel_distance(
    x1: NDArray[np.floating], x2: NDArray[np.floating], *, size: int, subsets: int, generator: np.random.Generator
) -> float:
    """Return the mean over subsets of the unbiased squared maximum mean discrepancy, computed in float64.

    Each subset of the features [N1, D] and [N2, D] holds `size` images of either set, drawn without replacement: at
    least 2, at most N1 and N2. With N1 = N2 = size all subsets are the same.
    """
    if x1.shape[1] != x2.shape[1]:
        raise DataError(f"The sets have {x1.shape[1]} and {x2.shape[1]} features: they come from different extractors.")
    if not 2 <= size <= min(len(x1), len(x2)):
        raise DataError(f"Subsets of {size} images do not fit into sets of {len(x1)} and {len(x2)}.")
    draws = [[generator.choice(len(x), size, replace=False) for x in (x1, x2)] for _ in range(subsets)]
    rows = np.array(draws)
    return float(_discrepancies(_kernels(x1, x2), rows[:, 0], rows[:, 1]).mean())


def kernel_draws(x1: NDArray[np.floating], x2: NDArray[np.floating], halves: Halves) -> NDArray[np.float64]:
    """Return the unbiased squared maximum mean discrepancy of every draw of halves (2 images or more each)."""
    return _discrepancies(_kernels(x1, x2), halves.real, halves.other)


def _kernels(x1: NDArray[np.floating], x2: NDArray[np.floating]) -> tuple[Matrix, Matrix, Matrix]:
    """Return the kernel within the first set, within the second, and between them."""
    a, b = x1.astype(np.float64), x2.astype(np.float64)
    k11, k22, k12 = ((x @ y.T / a.shape[1] + COEFFICIENT) ** DEGREE for x, y in ((a, a), (b, b), (a, b)))
    return k11, k22, k12


def _discrepancies(
    kernels: tuple[Matrix, Matrix, Matrix], rows1: NDArray[np.int64], rows2: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the unbiased estimate for each draw of rows, [R, M1] and [R, M2] without repeats."""
    k11, k22, k12 = kernels
    taken1, taken2 = membership(rows1, len(k11)), membership(rows2, len(k22))
    m1, m2 = rows1.shape[1], rows2.shape[1]
    within1 = ((taken1 @ k11) * taken1).sum(axis=1) - taken1 @ np.diagonal(k11)
    within2 = ((taken2 @ k22) * taken2).sum(axis=1) - taken2 @ np.diagonal(k22)
    between = ((taken1 @ k12) * taken2).sum(axis=1)
    return np.asarray(within1 / (m1 * (m1 - 1)) + within2 / (m2 * (m2 - 1)) - 2 * between / (m1 * m2))
