"""Random pairs of images for measures of two images, the measure of each pair, and draws of the pairs' mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.errors import DataError
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.machine.seeds import numpy_generator
from usgan_cli.metrics.bootstrap import Halves, membership

T = TypeVar("T")


@dataclass(frozen=True)
class Pairs:
    """Indices [P] of the images compared, in a first and a second set, which may be the same."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)


def across(first: int, second: int, count: int, seed: int) -> Pairs:
    """Draw `count` pairs of an image of each of two sets of these sizes, uniformly with replacement.

    The images of the first set are the same draw for every second set, so that two generators are compared with the
    same real images.
    """
    return Pairs(
        numpy_generator(seed, "ssim", "real").integers(first, size=count),
        numpy_generator(seed, "ssim", "other").integers(second, size=count),
    )


def within(size: int, count: int, seed: int) -> Pairs:
    """Draw pairs of two different images of one set of `size` images, at least 2."""
    generator = numpy_generator(seed, "ssim", "within")
    first = generator.integers(size, size=count)
    return Pairs(first, (first + generator.integers(1, size, size=count)) % size)


def pair_draws(
    values: NDArray[np.float64], pairs: Pairs, halves: Halves, sizes: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the mean value of the pairs whose images are both in a draw, for every draw that contains such a pair.

    The pairs' `values` [P] are of two sets of these `sizes`; for pairs of one set both halves must be the same rows.
    """
    both = membership(halves.real, sizes[0])[:, pairs.first] * membership(halves.other, sizes[1])[:, pairs.second]
    counts = both.sum(axis=1)
    return np.asarray((both @ values)[counts > 0] / counts[counts > 0])


def measure_pairs(
    a: Pixels, b: Pixels, pairs: Pairs, prepare: Callable[[Pixels], T], similarity: Callable[[T, T], float]
) -> NDArray[np.float64]:
    """Return the similarity [P] of pairs of images of two sets [N, C, H, W]; `prepare` is applied to each image before.

    Pairs are taken in the order of the first image, which is then prepared once.
    """
    values = np.empty(len(pairs))
    index, first = -1, prepare(a[0])
    for i in np.argsort(pairs.first, kind="stable"):
        if pairs.first[i] != index:
            index = pairs.first[i]
            first = prepare(a[index])
        values[i] = similarity(first, prepare(b[pairs.second[i]]))
    return values


def check_comparable(a: Pixels, b: Pixels, least: int, measure: str) -> None:
    """Raise a DataError unless two sets hold 8-bit images of one shape, `least` pixels a side or more."""
    if a.dtype != np.uint8 or b.dtype != np.uint8 or a.shape[1:] != b.shape[1:]:
        raise DataError(
            f"{measure} needs 8-bit images of one shape, not {a.dtype} {list(a.shape[1:])} "
            f"and {b.dtype} {list(b.shape[1:])}."
        )
    if not len(a) or not len(b) or min(a.shape[2:]) < least:
        raise DataError(f"{measure} needs images of at least {least} x {least} pixels in both sets.")
