"""How different the images of one set are, in a network's features.

After LPIPS (Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018, equation 1)
with the extractor's pooled features in place of its maps: each image's features are scaled to length 1, and the
distance of two images is the squared difference, 0 to 4. A generator of nearly equal images comes near 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.errors import DataError
from usgan_cli.metrics.bootstrap import membership


def feature_diversity(x: NDArray[np.floating]) -> float:
    """Return the mean distance over all pairs of different images, from features [N, D], N at least 2."""
    if len(x) < 2:
        raise DataError("The diversity of a set needs at least two images.")
    return float(diversity_draws(x, np.arange(len(x))[None])[0])


def diversity_draws(x: NDArray[np.floating], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the diversity [R] of every draw of rows [R, M], M at least 2."""
    values = x.astype(np.float64)
    units = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    size = rows.shape[1]
    taken = membership(rows, len(x))
    # |u - v|² = |u|² + |v|² - 2 u·v, summed over all ordered pairs.
    lengths = taken @ (units**2).sum(axis=1)
    sums = taken @ units
    return np.asarray(2 * (size * lengths - (sums**2).sum(axis=1)) / (size * (size - 1)))
