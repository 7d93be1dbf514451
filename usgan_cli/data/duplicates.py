"""Exact duplicates: images whose decoded pixels are the same, whatever their names, formats and classes.

BUSI is known for them (Pawłowska, Karwat, Żołek, Data in Brief 48, 109247, 2023). A copy on the other side of the
split leaks the answer, so the copies of an image form a group that no split may divide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from usgan_cli.core.images import Pixels


@dataclass(frozen=True)
class Duplicates:
    """Which images are copies of one another.

    Attributes
    ----------
    groups : int64 array [N]
        Group of each image, numbered from 0 by first appearance; an image without copies is alone in its group.
    repeated : list of list of int
        Indices of the images of each group with more than one.
    conflicts : list of list of int
        Those groups of `repeated` whose images carry more than one label.
    """

    groups: NDArray[np.int64]
    repeated: list[list[int]]
    conflicts: list[list[int]]


def pixel_digest(pixels: Pixels) -> str:
    """Return a digest of decoded pixels of shape [C, H, W]: equal for equal shape and values, whatever the file."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def connected_groups(count: int, pairs: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Return the connected components of a graph of images.

    Parameters
    ----------
    count : int
        Number of images.
    pairs : iterable of (int, int)
        Images that belong together.

    Returns
    -------
    int64 array [count]
        Component of each image, numbered from 0 by first appearance.
    """
    edges = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    # The library's numbers are arbitrary; ours go by first appearance, so that a manifest is reproducible.
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[inverse]


def find_duplicates(digests: Sequence[Hashable], labels: Sequence[Hashable]) -> Duplicates:
    """Group images by the digests of their pixels.

    Parameters
    ----------
    digests : sequence of N hashables
        Digest of each image (see `pixel_digest`).
    labels : sequence of N hashables
        Class of each image.

    Returns
    -------
    Duplicates
    """
    first_with: dict[Hashable, int] = {}
    pairs = [(first_with.setdefault(digest, i), i) for i, digest in enumerate(digests)]
    groups = connected_groups(len(digests), [pair for pair in pairs if pair[0] != pair[1]])
    members: dict[int, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(int(group), []).append(i)
    repeated = [indices for indices in members.values() if len(indices) > 1]
    conflicts = [indices for indices in repeated if len({labels[i] for i in indices}) > 1]
    return Duplicates(groups, repeated, conflicts)
