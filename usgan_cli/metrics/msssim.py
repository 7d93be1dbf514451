"""Multi-scale structural similarity of pairs of images.

Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment" (2003), equation 7: a
Gaussian window of 11 x 11 pixels with sigma 1.5, K1 = 0.01, K2 = 0.03, five scales, each half of the one before by
the mean of 2 x 2 pixels, and the published weights. As in torchmetrics, windows lie wholly inside the image but at the
coarsest scale, where the image is mirrored beyond its border, and a scale's term below 0 counts as 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from usgan_cli.core.images.codec import Pixels
from usgan_cli.metrics.pairs import Pairs, check_comparable, measure_pairs
from usgan_cli.metrics.ssim import C1, C2

WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
RADIUS, SIGMA = 5, 1.5
WINDOW = 2 * RADIUS + 1
LEAST_SIZE = WINDOW * 2 ** (len(WEIGHTS) - 1)
"""Pixels a side that leave room for one window at the coarsest scale: 176."""

_GAUSSIAN = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
_GAUSSIAN /= _GAUSSIAN.sum()
Floats = NDArray[np.float64]


def pair_ms_ssim(a: Pixels, b: Pixels, pairs: Pairs) -> NDArray[np.float64]:
    """Return the multi-scale structural similarity [P], 0 to 1, of pairs of images of two sets [N, C, H, W].

    A scale's mean is over pixels and channels.
    """
    check_comparable(a, b, LEAST_SIZE, "MS-SSIM")
    return measure_pairs(a, b, pairs, _scales, _similarity)


def _scales(image: Pixels) -> list[tuple[Floats, Floats, Floats]]:
    """Return, at every scale, the image [C, H, W] and its windows' means and variances."""
    scales = []
    levels = image.astype(np.float64)
    for scale in range(len(WEIGHTS)):
        if scale:
            even = levels[:, : levels.shape[1] // 2 * 2, : levels.shape[2] // 2 * 2]
            levels = (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4
        means = _windows(levels)
        scales.append((levels, means, np.maximum(_windows(levels**2) - means**2, 0)))
    return scales


def _similarity(a: list[tuple[Floats, Floats, Floats]], b: list[tuple[Floats, Floats, Floats]]) -> float:
    terms: list[float] = []
    for (levels1, means1, variances1), (levels2, means2, variances2) in zip(a, b, strict=True):
        both = means1 * means2
        term = (2 * (_windows(levels1 * levels2) - both) + C2) / (variances1 + variances2 + C2)
        if len(terms) < len(WEIGHTS) - 1:
            term = term[:, RADIUS:-RADIUS, RADIUS:-RADIUS]
        else:  # luminance counts at the coarsest scale only
            term *= (2 * both + C1) / (means1**2 + means2**2 + C1)
        terms.append(max(float(term.mean()), 0.0))
    return float(np.prod(np.array(terms) ** WEIGHTS))


def _windows(values: Floats) -> Floats:
    """Return the Gaussian means of the windows around every pixel of [C, H, W], mirrored beyond its border."""
    rows = correlate1d(values, _GAUSSIAN, axis=1, mode="mirror")
    return np.asarray(correlate1d(rows, _GAUSSIAN, axis=2, mode="mirror"))
