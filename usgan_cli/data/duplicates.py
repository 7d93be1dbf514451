"""Which images are copies of one another, which copies contradict their labels, and which of them to keep.

BUSI is known for them (Pawłowska, Karwat, Żołek, Data in Brief 48, 109247, 2023). A copy on the other side of the
split leaks the answer, so the copies of an image form a group that no split may divide. Exact copies have the same
decoded pixels; near-copies come from `near_duplicates`.

Groups are connected components, so a sweep of which each frame resembles only the next is one group from end to end,
and that is meant: its ends share the patient and the lesion. What is decided about single images (a conflict of
labels, what to drop) rests on direct links alone and does not follow such chains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import scipy
from numpy.typing import NDArray

from usgan_cli.core.images.codec import Pixels
from usgan_cli.data.near_duplicates import DUPLICATE, NearPair

Groups = NDArray[np.int64]


@dataclass(frozen=True)
class Duplicates:
    """Which images are copies of one another.

    Attributes
    ----------
    groups : int64 array [N]
        Group of each image, numbered from 0 by first appearance; an image without copies is alone in its group.
    exact : list of list of int
        Indices of the images with the same pixels, for each picture that occurs more than once.
    near : list of NearPair
        Links between different pictures; of several exact copies the first stands for all.
    related : list of NearPair
        Pairs that look alike and link nothing, for someone to look at.
    conflicts : list of list of int
        Copies that stand under more than one label: images joined by direct links between labels.
    """

    groups: Groups
    exact: list[list[int]]
    near: list[NearPair]
    related: list[NearPair]
    conflicts: list[list[int]]

    @property
    def repeated(self) -> list[list[int]]:
        """Indices of the images of each group with more than one, exact and near copies together."""
        return repeated(self.groups)

    def links(self) -> list[tuple[int, int]]:
        """Return all pairs of images that are copies of one another directly, exactly or nearly."""
        alike = {i: members for members in self.exact for i in members}
        pairs = [pair for members in self.exact for pair in combinations(members, 2)]
        for pair in self.near:
            firsts, seconds = (alike.get(i, [i]) for i in (pair.first, pair.second))
            pairs += [(a, b) for a in firsts for b in seconds]
        return pairs


def pixel_digest(pixels: Pixels) -> str:
    """Return a digest of decoded pixels of shape [C, H, W]: equal for equal shape and values, whatever the file."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def connected_groups(count: int, pairs: Iterable[tuple[int, int]]) -> Groups:
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
    graph = scipy.sparse.coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    _, component = scipy.sparse.csgraph.connected_components(graph, directed=False)
    # The library's numbers are arbitrary; ours go by first appearance, so that a manifest is reproducible.
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[inverse]


def same_value_pairs(values: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Return pairs (first, i) of the indices of equal values, enough to connect them."""
    first_with: dict[Hashable, int] = {}
    pairs = [(first_with.setdefault(value, i), i) for i, value in enumerate(values)]
    return [pair for pair in pairs if pair[0] != pair[1]]


def repeated(groups: Groups) -> list[list[int]]:
    """Return the indices of the images of each group with more than one, by first appearance."""
    members: dict[int, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(int(group), []).append(i)
    return [indices for indices in members.values() if len(indices) > 1]


def find_duplicates(
    digests: Sequence[Hashable], labels: Sequence[Hashable], near: Sequence[NearPair] = ()
) -> Duplicates:
    """Group images by the digests of their pixels and by their near-copies.

    Parameters
    ----------
    digests : sequence of N hashables
        Digest of each image (see `pixel_digest`).
    labels : sequence of N hashables
        Class of each image.
    near : sequence of NearPair
        See `near_duplicates.find_near_pairs`; those that score less than `DUPLICATE` are only told.

    Returns
    -------
    Duplicates
    """
    exact_groups = connected_groups(len(digests), same_value_pairs(digests))
    between = [pair for pair in near if exact_groups[pair.first] != exact_groups[pair.second]]
    copies = [pair for pair in between if pair.score >= DUPLICATE]
    related = [pair for pair in between if pair.score < DUPLICATE]
    unlabelled = Duplicates(exact_groups, repeated(exact_groups), copies, related, [])
    links = unlabelled.links()
    crossing = [(a, b) for a, b in links if labels[a] != labels[b]]
    return replace(
        unlabelled,
        groups=connected_groups(len(digests), links),
        conflicts=repeated(connected_groups(len(digests), crossing)),
    )


def choose_kept(
    duplicates: Duplicates, areas: Sequence[int], among: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Choose images so that no two are copies of one another, the largest originals first.

    Parameters
    ----------
    duplicates : Duplicates
    areas : sequence of N int
        Pixels of each original; of equally large ones the first stays.
    among : bool array [N], optional
        The images to choose from. Default: all.

    Returns
    -------
    bool array [N]
        True for images to keep. Only an image that is directly a copy of a kept one is dropped.
    """
    copies: dict[int, set[int]] = {}
    for a, b in duplicates.links():
        copies.setdefault(a, set()).add(b)
        copies.setdefault(b, set()).add(a)
    kept = np.ones(len(areas), dtype=bool) if among is None else among.copy()
    for i in sorted(copies, key=lambda i: (-areas[i], i)):
        if kept[i]:
            kept[list(copies[i])] = False
    return kept


def divided(groups: Groups, in_test: NDArray[np.bool_]) -> list[list[int]]:
    """Return the groups that lie on both sides of a split, as lists of indices."""
    return [members for members in repeated(groups) if len(set(in_test[members].tolist())) > 1]
