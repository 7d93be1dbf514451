"""Thumbnails, and the cheap comparison that says which pairs of them deserve a close look.

A descriptor is a tiny picture of an image's structure after local contrast normalisation, so brightness, contrast and
gamma hardly matter. Each image is compared with every other as it is and as several crops of itself, optionally
mirrored too, since a crop moves structure by more than a descriptor's pixel. The work is a blocked matrix product: time
grows with the square of the number of images (about 10 GFLOP for a thousand, 4 TFLOP for twenty thousand), memory
only with their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from usgan_cli.core.images.codec import Pixels

Stack = NDArray[np.float32]

THUMBNAIL = 128
"""Side of a thumbnail, pixels: speckle of a typical B-mode image is still resolved."""

LEAST_SIMILARITY = 0.5
"""Least correlation of descriptors that makes a pair worth a close look; see `near`."""

_SIDE = 16
_CROPS = ((0.0, 0.0, 1.0), *((y, x, 0.93) for y in (0.0, 0.07) for x in (0.0, 0.07)), (0.025, 0.025, 0.95))
_NEIGHBOURS = 16
_QUERIES, _GALLERY = 256, 4096


def thumbnail(pixels: Pixels) -> Pixels:
    """Return decoded pixels of shape [C, H, W] as a gray thumbnail [128, 128], stretched and antialiased."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    small = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.uint8)


@cache
def blur_matrix(size: int, sigma: float) -> Stack:
    """Return the [size, size] matrix of a Gaussian filter of `sigma` pixels, normalised at the borders."""
    position = np.arange(size, dtype=np.float32)
    distance = (position[:, None] - position) / np.float32(sigma)
    # Without the cut the far weights are subnormal numbers, with which a product takes many times as long.
    weight = np.where(np.abs(distance) <= 4, np.exp(-0.5 * distance**2), 0)
    return np.asarray((weight / weight.sum(axis=1, keepdims=True)).astype(np.float32))


@cache
def reduce_matrix(size: int, target: int) -> Stack:
    """Return the [target, size] matrix that averages blocks of size / target pixels."""
    return np.kron(np.eye(target), np.full(size // target, target / size)).astype(np.float32)


def sampling_matrices(scale: NDArray[np.floating], offset: NDArray[np.floating], size: int) -> Stack:
    """Return matrices [P, size, size] that sample a line at `scale * position + offset` by linear interpolation.

    Positions count pixels from the centre of the line; samples outside the line are zero.
    """
    centre = (size - 1) / 2
    position = np.arange(size) - centre
    source = scale[:, None] * position + offset[:, None] + centre
    low = np.floor(source)
    part = (source - low).astype(np.float32)
    matrix = np.zeros((len(source), size, size), np.float32)
    for index, weight in ((low, 1 - part), (low + 1, part)):
        inside = (index >= 0) & (index < size)
        pair, row = np.nonzero(inside)
        matrix[pair, row, index[inside].astype(np.int64)] = weight[inside]
    return matrix


def separable(rows: Stack, images: Stack, columns: Stack) -> Stack:
    """Return images [..., S, S] with one matrix applied along their columns and another along their rows."""
    return np.asarray(np.matmul(np.matmul(rows, images), columns.swapaxes(-1, -2), dtype=np.float32))


def normalise(images: Stack, mean_sigma: float, spread_sigma: float, floor: float) -> Stack:
    """Return images [P, S, S] less their local mean, over their local standard deviation plus `floor`."""
    size = images.shape[-1]
    mean, spread = blur_matrix(size, mean_sigma), blur_matrix(size, spread_sigma)
    detail = images - separable(mean, images, mean)
    deviation = np.sqrt(separable(spread, detail * detail, spread))
    return np.asarray(np.divide(detail, deviation + np.float32(floor), dtype=np.float32))


def describe(thumbnails: Pixels, *, mirrored: bool = False, crops: bool = False) -> Stack:
    """Return unit descriptors [V, N, 256] of thumbnails [N, 128, 128], one for each crop."""
    images = thumbnails.astype(np.float32)
    if mirrored:
        images = images[:, :, ::-1]
    half = reduce_matrix(THUMBNAIL, 64)
    images = separable(half, images, half)
    views = []
    for y, x, share in _CROPS if crops else _CROPS[:1]:
        along, across = (
            sampling_matrices(np.array([share]), np.array([(start + share / 2 - 0.5) * 64]), 64)[0] for start in (y, x)
        )
        small = reduce_matrix(64, _SIDE)
        view = normalise(separable(small @ along, images, small @ across), 2.0, 3.0, 2.0).reshape(len(images), -1)
        view = view - view.mean(axis=1, keepdims=True)
        views.append(view / np.maximum(np.linalg.norm(view, axis=1, keepdims=True), 1e-6))
    return np.stack(views)


@dataclass(frozen=True)
class Candidates:
    """Pairs [P] with similar descriptors: `second` resembles a crop of `first`."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    start: Stack
    """Rows and columns [P, 2] cut off above and left of the crop, as shares of the side."""
    share: Stack
    """Side of the crop, as a share of the side."""
    mirrored: NDArray[np.bool_]
    """Whether `first` is to be mirrored left to right before it is cropped."""


def find_candidates(thumbnails: Sequence[Pixels], *, workers: int = 1) -> Candidates:
    """Compare each of N thumbnails [128, 128] with every other by descriptors.

    Returns the pairs that correlate by `LEAST_SIMILARITY` or more: each once, ordered by index, in the direction and
    crop that fits best; of one image its 16 best candidates in each direction, mirrored or not.
    """
    count = len(thumbnails)
    starts = range(0, count, _QUERIES)
    blocks = [(start, flip) for flip in (False, True) for start in starts]

    def plain(start: int) -> Stack:
        return describe(np.stack(thumbnails[start : start + _QUERIES])).reshape(-1, _SIDE * _SIDE)

    with ThreadPoolExecutor(workers) as pool:
        gallery = np.concatenate([np.zeros((0, _SIDE * _SIDE), np.float32), *pool.map(plain, starts)])

        def search(block: tuple[int, bool]) -> NDArray[np.float64]:
            start, flip = block
            views = describe(np.stack(thumbnails[start : start + _QUERIES]), mirrored=flip, crops=True)
            return _nearest(views, gallery, start, flip)

        rows = np.concatenate([np.zeros((0, 5)), *pool.map(search, blocks)])

    # A pair may be found in both directions, mirrored and not: the better one stays.
    low, high = rows[:, :2].min(axis=1), rows[:, :2].max(axis=1)
    order = np.lexsort((rows[:, 4], rows[:, 0], -rows[:, 2], high, low))
    rows, low, high = rows[order], low[order], high[order]
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    rows = rows[new]
    crop = np.array(_CROPS, dtype=np.float32)[rows[:, 3].astype(np.int64)]
    return Candidates(
        rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), crop[:, :2], crop[:, 2], rows[:, 4].astype(bool)
    )


def _nearest(views: Stack, gallery: Stack, start: int, flip: bool) -> NDArray[np.float64]:
    """Return rows (query, image, similarity, crop, mirrored): of each query the most similar images."""
    parts = []
    for low in range(0, len(gallery), _GALLERY):
        block = gallery[low : low + _GALLERY]
        best = views[0] @ block.T
        for view in views[1:]:
            np.maximum(best, view @ block.T, out=best)
        query, image = np.nonzero(best >= LEAST_SIMILARITY)
        other = query + start != image + low
        query, image = query[other], image[other]
        parts.append(np.column_stack([query, image + low, best[query, image]]))
    rows = np.concatenate(parts)
    rows = rows[np.lexsort((rows[:, 1], -rows[:, 2], rows[:, 0]))]
    rows = rows[np.arange(len(rows)) - np.searchsorted(rows[:, 0], rows[:, 0]) < _NEIGHBOURS]
    query, image = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
    crop = np.einsum("vpd,pd->vp", views[:, query], gallery[image]).argmax(axis=0)
    return np.column_stack([query + start, image, rows[:, 2], crop, np.full(len(rows), flip)]).astype(np.float64)
