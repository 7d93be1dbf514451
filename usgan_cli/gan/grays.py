"""One curve that gives generated images the gray levels of real ones.

Histogram specification (Gonzalez and Woods, "Digital Image Processing", section 3.3): a gray level becomes the one of
equal rank among the real images' pixels. The curve is monotone and the same for every image, place and channel, so it
changes brightness and contrast alone, neither shapes nor texture.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from usgan_cli.core.images.codec import Pixels

LEVELS = 256


def fit_curve(made: Pixels, real: Pixels) -> Tensor:
    """Return the level, float32 [256], that each gray level of generated pixels of any shape becomes."""
    levels = np.arange(LEVELS)
    ranks, real_ranks = (_ranks(pixels) for pixels in (made, real))
    # Levels that no real pixel has share a rank with their neighbours and are left out, so that ranks rise.
    present = np.bincount(real.ravel(), minlength=LEVELS) > 0
    curve = np.interp(ranks, real_ranks[present], levels[present])
    return torch.from_numpy(curve.astype(np.float32))


def _ranks(pixels: Pixels) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the middle rank, 0 to 1, of the pixels of each level."""
    counts = np.bincount(pixels.ravel(), minlength=LEVELS).astype(np.float64)
    ranks: np.ndarray[tuple[int], np.dtype[np.float64]] = (counts.cumsum() - counts / 2) / counts.sum()
    return ranks


def apply_curve(images: Tensor, curve: Tensor) -> Tensor:
    """Return images of any shape, about in [-1, 1], with the curve [256] between its levels taken linearly."""
    # The scale on which floats become pixels; see `codec.to_pixels`.
    level = (images * 127.5 + 128).clamp(0, LEVELS - 1)
    below = level.floor().clamp(max=LEVELS - 2)
    place, curve = below.long(), curve.to(images.dtype)
    matched = torch.lerp(curve[place], curve[place + 1], level - below)
    return (matched - 128) / 127.5
