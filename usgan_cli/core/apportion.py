"""Whole numbers in given proportions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def largest_remainder(weights: Sequence[int] | NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Divide `total` whole items in proportion to integer weights (Hamilton's method; ties go to the first).

    Parameters
    ----------
    weights : sequence of K int
        Non-negative, not all zero.
    total : int
        Number of items, at least 0.

    Returns
    -------
    int64 array [K]
        Sums to `total`; each is within one of its exact share.
    """
    exact = np.asarray(weights, dtype=np.int64)
    share, remainder = np.divmod(exact * total, exact.sum())
    first = np.argsort(-remainder, kind="stable")[: total - int(share.sum())]
    share[first] += 1
    return share


def class_quotas(counts: Sequence[int], total: int) -> list[int]:
    """Divide `total` images among classes in the proportions of `counts`.

    Each goes to the class that is furthest behind its share, so the quotas of a smaller total are never above those
    of a larger one.
    """
    shares = np.asarray(counts, dtype=np.float64) / np.sum(counts)
    given = np.zeros(len(shares), dtype=np.int64)
    for place in range(1, total + 1):
        given[int(np.argmax(shares * place - given))] += 1
    return [int(count) for count in given]
