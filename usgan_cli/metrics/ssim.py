"""Structural similarity of random pairs of images, one of each set.

Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity" (2004),
as scikit-image computes it by default: a uniform window of 7 x 7 pixels, K1 = 0.01, K2 = 0.03.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from usgan_cli.core.errors import DataError
from usgan_cli.core.images import Pixels
from usgan_cli.core.progress import Progress, Silent
from usgan_cli.core.seeds import numpy_generator

WINDOW = 7


def ssim(a: Pixels, b: Pixels) -> float:
    """Return the mean structural similarity of two images.

    Parameters
    ----------
    a, b : uint8 arrays [C, H, W]
        Gray levels 0 to 255; the mean is over pixels and channels.

    Returns
    -------
    float
        Between -1 and 1; 1 for equal images.
    """
    return float(structural_similarity(a, b, data_range=255, channel_axis=0))


def paired_ssim(
    real: Pixels, other: Pixels, pairs: int, seed: int, progress: Progress | None = None
) -> NDArray[np.float64]:
    """Return the structural similarity of random pairs (one of `real`, one of `other`).

    Parameters
    ----------
    real : uint8 array [N1, C, H, W]
    other : uint8 array [N2, C, H, W]
    pairs : int
        Number of pairs, drawn uniformly with replacement. The images of `real` are the same draw for every
        `other`, so that two generators are compared on the same real images.
    seed : int
    progress : Progress, optional

    Returns
    -------
    float64 array [pairs]

    Raises
    ------
    DataError
        A set is empty, or the images are not uint8, not of one shape, or smaller than the window.
    """
    if real.dtype != np.uint8 or other.dtype != np.uint8 or real.shape[1:] != other.shape[1:]:
        raise DataError(
            f"SSIM needs 8-bit images of one shape, not {real.dtype} {list(real.shape[1:])} "
            f"and {other.dtype} {list(other.shape[1:])}."
        )
    if not len(real) or not len(other) or min(real.shape[2:]) < WINDOW:
        raise DataError(f"SSIM needs images of at least {WINDOW} x {WINDOW} pixels in both sets.")
    rows = numpy_generator(seed, "ssim", "real").integers(len(real), size=pairs)
    columns = numpy_generator(seed, "ssim", "other").integers(len(other), size=pairs)
    values = np.empty(pairs)
    with (progress or Silent()).task("Structural similarity", pairs, "pair") as task:
        for i, (row, column) in enumerate(zip(rows, columns, strict=True)):
            values[i] = ssim(real[row], other[column])
            task.advance()
    return values
