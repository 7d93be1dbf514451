"""Wavelet filters of the augmentation pipe: sym6 resampling and the sym2 band bank.

Daubechies, "Ten Lectures on Wavelets" (1992), section 8.1 (least asymmetric filters); their use in augmentation is
Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020), appendix B.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Orthonormal low-pass (decomposition) filters; the sum of each is sqrt(2).
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
BANDS = 4


@cache
def resampling_taps() -> tuple[float, ...]:
    """Return the twelve sym6 taps with unit sum, as the double-speed up and down filter.

    They are rounded to float32, because the published pipe keeps its filters so and float64 results should agree.
    """
    taps = torch.tensor(SYM6, dtype=torch.float32)
    return tuple((taps / taps.sum()).double().tolist())


def _spread(bank: NDArray[np.float64]) -> NDArray[np.float64]:
    """Insert a zero between neighbouring taps of every row."""
    wide = np.zeros((bank.shape[0], 2 * bank.shape[1] - 1))
    wide[:, ::2] = bank
    return wide


@cache
def band_bank() -> Tensor:
    """Return the four zero-phase octave band filters, lowest band first: [4, 43], float64 on the CPU.

    The rows add up to a unit impulse. Karras et al. 2020, appendix B.2 ("image-space filtering"): each level splits the
    lowest band in two by the autocorrelation of sym2's low-pass and high-pass filters.
    """
    low = np.asarray(SYM2)
    high = low * (-1.0) ** np.arange(low.size)
    low2 = np.convolve(low, low[::-1]) / 2
    high2 = np.convolve(high, high[::-1]) / 2
    bank = np.eye(BANDS, 1)
    for band in range(1, BANDS):
        bank = np.stack([np.convolve(row, low2) for row in _spread(bank)])
        start = (bank.shape[1] - high2.size) // 2
        bank[band, start : start + high2.size] += high2
    return torch.from_numpy(bank.astype(np.float32)).double()
