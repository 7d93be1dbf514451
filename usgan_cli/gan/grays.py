"""One curve that gives generated images the gray levels of real ones.

Histogram specification (Gonzalez and Woods, "Digital Image Processing", section 3.3): a gray level becomes the one of
equal rank among the real images' pixels. The curve is monotone and the same for every image, place and channel, so it
changes brightness and contrast alone, neither shapes nor texture.

A generator's values are not bounded: many pixels lie below black or above white, where pixels would all be 0 or 255.
The curve is fitted to the values before that, so that what is darker than black keeps its order, and becomes as many
different gray levels as the real images have there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from usgan_cli.core.images.codec import Pixels

LOWEST, HIGHEST = -256, 511
"""Levels that the curve tells apart: 0 is black and 255 white, and as much again on both sides."""
LEVELS = HIGHEST - LOWEST + 1

Levels = npt.NDArray[np.int16]


def levels_of(images: Tensor) -> Tensor:
    """Return the gray levels, int16, of images of any shape, about in [-1, 1]; below 0 is darker than black."""
    return _on_scale(images).round().clamp(LOWEST, HIGHEST).short()


def _on_scale(images: Tensor) -> Tensor:
    # The scale on which floats become pixels; see `codec.to_pixels`.
    return images * 127.5 + 128


def fit_curve(made: Levels | Pixels, real: Pixels) -> Tensor:
    """Return the level, float32 [LEVELS] in [0, 255], that each level from LOWEST of generated images becomes.

    `made` and `real` may have any shapes.
    """
    ranks = _middle_ranks(made)
    # A real level stands for the values from half a level below to half a level above it, which share its ranks evenly.
    counts = np.bincount(real.ravel(), minlength=256)
    present = np.flatnonzero(counts)
    upper = counts.cumsum()[present] / counts.sum()
    lower = np.concatenate([[0.0], upper[:-1]])
    edges = np.stack([present - 0.5, present + 0.5], axis=1).ravel()
    curve = np.interp(ranks, np.stack([lower, upper], axis=1).ravel(), edges)
    return torch.from_numpy(curve.clip(present[0], present[-1]).astype(np.float32))


def _middle_ranks(made: Levels | Pixels) -> npt.NDArray[np.float64]:
    """Return the middle rank, 0 to 1, of the values of each level."""
    counts = np.bincount(made.ravel().astype(np.int64) - LOWEST, minlength=LEVELS).astype(np.float64)
    ranks: npt.NDArray[np.float64] = (counts.cumsum() - counts / 2) / counts.sum()
    return ranks


def apply_curve(images: Tensor, curve: Tensor) -> Tensor:
    """Return images of any shape, about in [-1, 1], with the curve [LEVELS] between its levels taken linearly."""
    level = (_on_scale(images) - LOWEST).clamp(0, LEVELS - 1)
    below = level.floor().clamp(max=LEVELS - 2)
    place, curve = below.long(), curve.to(images.dtype)
    matched = torch.lerp(curve[place], curve[place + 1], level - below)
    return (matched - 128) / 127.5
