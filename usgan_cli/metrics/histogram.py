"""Jensen-Shannon distance between the gray-value distributions of two sets of images.

Lin, "Divergence measures based on the Shannon entropy" (1991); its square root is a metric (Endres and Schindelin,
"A new metric for probability distributions", 2003).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon

from usgan_cli.core.errors import DataError
from usgan_cli.metrics.bootstrap import Halves, membership

LEVELS = (0.0, 256.0)
"""Lower and upper end of the bins that give each 8-bit gray level the same width."""


def js_distance(
    real: NDArray[np.number], other: NDArray[np.number], *, bins: int, value_range: tuple[float, float], base: float
) -> float:
    """Return the Jensen-Shannon distance (square root of the divergence) of two sets' gray values.

    Each histogram is over all pixels of all images of its set and sums to 1; zero bins need no smoothing. The `bins`
    divide `value_range`, which must hold every value, equally; fewer bins give a smaller distance. The logarithm to
    base e bounds the distance by sqrt(ln 2) = 0.83, to base 2 by 1.
    """
    return float(jensenshannon(_histogram(real, bins, value_range), _histogram(other, bins, value_range), base=base))


def js_draws(
    real: NDArray[np.uint8], other: NDArray[np.uint8], halves: Halves, *, bins: int, base: float
) -> NDArray[np.float64]:
    """Return the distance [R], with bins over `LEVELS`, of every draw of halves of two sets of 8-bit images."""
    p, q = (
        membership(rows, len(images)) @ _image_histograms(images, bins)
        for images, rows in ((real, halves.real), (other, halves.other))
    )
    return np.asarray(jensenshannon(p, q, base=base, axis=1))


def _image_histograms(images: NDArray[np.uint8], bins: int) -> NDArray[np.float64]:
    """Return the counts [N, bins] of every image's gray levels."""
    edges = np.histogram_bin_edges([], bins=bins, range=LEVELS)
    bin_of = np.searchsorted(edges, np.arange(256), side="right") - 1
    counts = np.zeros((len(images), bins))
    for row, image in zip(counts, images, strict=True):
        np.add.at(row, bin_of, np.bincount(image.ravel(), minlength=256))
    return counts


def _histogram(values: NDArray[np.number], bins: int, value_range: tuple[float, float]) -> NDArray[np.float64]:
    """Return the share of values in each bin."""
    if not values.size:
        raise DataError("A set without pixels has no gray-value histogram.")
    low, high = value_range
    # NumPy silently leaves out values outside the range. Written so that NaN is refused too.
    if not (values.min() >= low and values.max() <= high):
        raise DataError(f"Gray values reach from {values.min()} to {values.max()}; the bins from {low} to {high}.")
    if values.dtype == np.uint8:  # counting levels first is several times faster
        levels = np.bincount(values.ravel(), minlength=256)
        counts, _ = np.histogram(np.arange(256), bins=bins, range=value_range, weights=levels)
    else:
        counts, _ = np.histogram(values, bins=bins, range=value_range)
    return counts / values.size
