"""How well two thumbnails agree once one is laid over the other.

Registration: per axis a scale and a shift (what resizing, stretching, cropping and shifting do), found by Gauss-Newton
steps on locally normalised images (Lucas and Kanade 1981; Baker and Matthews, International Journal of Computer Vision
56, 221-255, 2004), coarse to fine. Since the axes are independent, a warp is two small matrix products.

Agreement: the correlation of fine detail within each cell of a grid, and of those the weighted median. Speckle is the
fingerprint of one acquisition: another image of the same anatomy has other speckle and agrees nowhere, while a caliper
or a line of text disturbs a few cells and leaves the median alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.images.codec import Pixels
from usgan_cli.data.copies.descriptors import THUMBNAIL, Stack, normalise, reduce_matrix, sampling_matrices, separable

_LEVELS = ((32, 6, 0.4), (64, 4, 0.25), (128, 3, 0.0))
"""Sides of the images, numbers of Gauss-Newton steps, and the agreement below which a pair is given up, coarse to fine.

Of BUSI's pairs that agree by more than 0.3 in the end, the lowest agreed by 0.58 at 32 pixels and by 0.31 at 64.
"""

_LONGEST_STEP, _LARGEST_SCALE, _LARGEST_SHIFT = 0.05, 1.4, 0.3
_STRUCTURE = (2.0, 4.0, 4.0)
"""What registration looks at: local mean and spread over so many pixels, and noise to be ignored, gray levels."""
_DETAIL = (3.0, 6.0, 3.0)
"""What agreement looks at; finer than registration, relative to the side."""
_CELLS = 8
_CONFIDENCE = 1.645
"""Quantile of the normal law: one-sided 95 %."""
_TEXTURED, _LEAST_TEXTURED = 0.05, 0.25
"""Mean square detail of a cell that has texture, and the least share of such cells that allows a verdict."""


def agreement(first: Pixels, second: Pixels, start: Stack, share: Stack) -> Stack:
    """Return how well pairs of thumbnails [P, 128, 128] agree after registration.

    The first guess is that `second` is the crop of `first` that begins at these shares `start` [P, 2] of the rows and
    columns and has the share `share` [P] of its sides. The agreement [P] is 1 for the same picture, and 0 for pairs
    that were given up on and for too little texture to decide.
    """
    # Of each axis: scale, and shift of the centre as a share of the side.
    scale = np.repeat(share.astype(np.float64)[:, None], 2, axis=1)
    shift = start + scale / 2 - 0.5
    one, two = first.astype(np.float32), second.astype(np.float32)
    score = np.zeros(len(first), np.float32)
    left = np.arange(len(first))
    for side, steps, least in _LEVELS:
        if len(left) == 0:
            return score
        agreed = _register(one, two, side, steps, scale, shift)
        if side == _LEVELS[0][0]:
            # A guess that was a crop may have been worse than none.
            whole, unmoved = np.ones_like(scale), np.zeros_like(shift)
            without = _register(one, two, side, steps, whole, unmoved)
            better = without > agreed
            agreed = np.maximum(agreed, without)
            scale[better], shift[better] = whole[better], unmoved[better]
        going_on = agreed >= least
        agreed, left = agreed[going_on], left[going_on]
        one, two, scale, shift = one[going_on], two[going_on], scale[going_on], shift[going_on]
    score[left] = agreed
    return score


def _register(
    one: Stack, two: Stack, side: int, steps: int, scale: NDArray[np.float64], shift: NDArray[np.float64]
) -> Stack:
    """Improve the transforms, in place, at one size of the images; return how well they agree."""
    small = reduce_matrix(THUMBNAIL, side)
    one, two = separable(small, one, small), separable(small, two, small)
    moving, fixed = normalise(one, *_STRUCTURE), normalise(two, *_STRUCTURE)
    for _ in range(steps):
        _step(moving, fixed, scale, shift)
    return _agreement(one, two, scale, shift)


def _sample(images: Stack, scale: NDArray[np.float64], shift: NDArray[np.float64]) -> tuple[Stack, Stack]:
    """Return the images at the transformed positions, and the weights of samples that lie inside."""
    side = images.shape[-1]
    rows = sampling_matrices(scale[:, 0], shift[:, 0] * side, side)
    columns = sampling_matrices(scale[:, 1], shift[:, 1] * side, side)
    inside = (rows.sum(axis=2) > 0.99)[:, :, None] & (columns.sum(axis=2) > 0.99)[:, None, :]
    return separable(rows, images, columns), inside.astype(np.float32)


def _step(moving: Stack, fixed: Stack, scale: NDArray[np.float64], shift: NDArray[np.float64]) -> None:
    """Improve the transforms, in place, by one Gauss-Newton step on the squared difference."""
    pairs, side = moving.shape[0], moving.shape[-1]
    warped, inside = _sample(moving, scale, shift)
    position = ((np.arange(side) - (side - 1) / 2) / side).astype(np.float32)
    # Derivatives by the two scales and the two shifts, and the difference they should explain.
    terms = np.zeros((pairs, 5, side, side), np.float32)
    np.subtract(warped[:, 2:], warped[:, :-2], out=terms[:, 2, 1:-1])
    np.subtract(warped[:, :, 2:], warped[:, :, :-2], out=terms[:, 3, :, 1:-1])
    np.subtract(fixed, warped, out=terms[:, 4])
    terms[:, 2:4] *= np.float32(0.5)
    terms[:, 2:] *= inside[:, None]
    np.multiply(terms[:, 2], position[:, None], out=terms[:, 0])
    np.multiply(terms[:, 3], position, out=terms[:, 1])
    flat = terms.reshape(pairs, 5, -1)
    products = (flat @ flat.transpose(0, 2, 1)).astype(np.float64)
    normal, gradient = products[:, :4, :4], products[:, :4, 4:]
    damping = 1e-3 * np.trace(normal, axis1=1, axis2=2) / 4 + 1e-6
    change = np.linalg.solve(normal + damping[:, None, None] * np.eye(4), gradient)[..., 0] / side
    change = np.clip(change, -_LONGEST_STEP, _LONGEST_STEP)
    # The step is in the coordinates of the fixed image: new(p) = old(p + change(p)).
    shift += scale * change[:, 2:]
    scale *= 1 + change[:, :2]
    np.clip(scale, 1 / _LARGEST_SCALE, _LARGEST_SCALE, out=scale)
    np.clip(shift, -_LARGEST_SHIFT, _LARGEST_SHIFT, out=shift)


def _agreement(first: Stack, second: Stack, scale: NDArray[np.float64], shift: NDArray[np.float64]) -> Stack:
    """Return the weighted median over cells of the correlation of the detail of aligned images [P, S, S]."""
    pairs, side = first.shape[0], first.shape[-1]
    warped, inside = _sample(first, scale, shift)
    size = side // _CELLS

    def in_cells(images: Stack) -> Stack:
        blocks = images.reshape(pairs, _CELLS, size, _CELLS, size).transpose(0, 1, 3, 2, 4)
        return blocks.reshape(pairs, _CELLS * _CELLS, size * size)

    # Only where both images are; a cell counts as much as it has detail there in both of them.
    there = in_cells(inside)
    share = there.mean(axis=2)
    one, two = (in_cells(normalise(images, *_DETAIL)) for images in (warped, second))
    one, two = (_centred(values, there, share) for values in (one, two))
    energy_one, energy_two = (one**2).mean(axis=2), (two**2).mean(axis=2)
    correlation = (one * two).mean(axis=2) / np.sqrt(np.maximum(energy_one * energy_two, 1e-9))
    weight = np.where(share >= 0.5, np.minimum(energy_one, energy_two), 0)
    textured = (weight > _TEXTURED).mean(axis=1)
    order = np.argsort(correlation, axis=1, kind="stable")
    correlation, weight = np.take_along_axis(correlation, order, 1), np.take_along_axis(weight, order, 1)
    passed = np.cumsum(weight, axis=1)
    # With few cells the median of unrelated images may be far from zero: its lower confidence limit is taken, one
    # rank statistic below, as many cells down as the binomial law of the effective number of cells says.
    effective = passed[:, -1] ** 2 / np.maximum((weight**2).sum(axis=1), 1e-9)
    quantile = 0.5 - _CONFIDENCE / 2 / np.sqrt(np.maximum(effective, 1))
    place = np.argmax(passed >= np.maximum(quantile, 0)[:, None] * passed[:, -1:], axis=1)
    limit = correlation[np.arange(pairs), place]
    return np.where(textured >= _LEAST_TEXTURED, limit, 0).astype(np.float32)


def _centred(values: Stack, there: Stack, share: Stack) -> Stack:
    """Return cells [P, K, M] less their mean over the pixels that are there, and zero elsewhere."""
    mean = (values * there).mean(axis=2) / np.maximum(share, 1e-6)
    return np.asarray((values - mean[..., None]) * there)
