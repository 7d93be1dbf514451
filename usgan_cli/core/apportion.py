"""Whole numbers in proportion: how many of each kind, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def largest_remainder(weights: Sequence[int] | Ints, total: int) -> Ints:
    """Divide `total` whole items in proportion to integer weights (Hamilton's method; ties go to the first).

    Weights are non-negative and not all zero. The shares sum to `total`, each within one of its exact share.
    """
    exact = np.asarray(weights, dtype=np.int64)
    share, remainder = np.divmod(exact * total, exact.sum())
    first = np.argsort(-remainder, kind="stable")[: total - int(share.sum())]
    share[first] += 1
    return share


def class_order(weights: Sequence[float], length: int) -> list[int]:
    """Return `length` indices of classes, the first n of them in proportion to the weights for every n.

    Each place goes to the class that is furthest behind its share, so a shorter sequence is the start of a longer one.
    (Sainte-Lague's method differs in ties only.)
    """
    shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    counts = np.zeros(len(shares))
    sequence: list[int] = []
    for place in range(1, length + 1):
        label = int(np.argmax(shares * place - counts))
        counts[label] += 1
        sequence.append(label)
    return sequence


def class_quotas(counts: Sequence[int], total: int) -> list[int]:
    """Divide `total` images among classes in the proportions of `counts`; no quota shrinks when `total` grows."""
    return [int(n) for n in np.bincount(class_order(counts, total), minlength=len(counts))]


def evenly_spread(sizes: Sequence[int] | Ints) -> list[int]:
    """Return a sequence in which kind c occurs `sizes[c]` times, spread as evenly as whole numbers allow.

    Every kind comes once at first. From there on the kind chosen for place n is, among those that lag behind their
    share n N_c / N by 1 / (2C - 2) or more, the one whose lag would first reach 1 - 1 / (2C - 2). Tijdeman's theorem
    keeps every lag below that bound. Whole numbers are used throughout (lags times N (2C - 2)).
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    total, kinds = int(sizes.sum()), len(sizes)
    if kinds == 1:
        return [0] * total
    sequence = [int(c) for c in np.argsort(-sizes, kind="stable")]
    counts = np.ones(kinds, dtype=np.int64)
    scale = 2 * kinds - 2
    for place in range(kinds + 1, total + 1):
        lag = scale * (place * sizes - counts * total)
        eligible = np.flatnonzero((lag >= total) & (counts < sizes))
        slack = (scale - 1) * total - lag[eligible]
        best = int(eligible[np.argmin(slack / sizes[eligible])])
        sequence.append(best)
        counts[best] += 1
    return sequence
