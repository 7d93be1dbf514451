"""Which images are copies, which copies contradict their labels, and what is done about them.

BUSI is known for them (Pawłowska, Karwat, Żołek, Data in Brief 48, 109247, 2023). A copy on the other side of the
split leaks the answer, so the copies of an image form a group that no split may divide. Exact copies have the same
decoded pixels; near-copies come from `near`.

Groups are connected components, so a sweep in which each frame resembles only the next is one group from end to end,
on purpose: its ends share the patient and the lesion. What is decided about single images (a conflict of labels,
which to drop) rests on direct links alone and does not follow such chains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from usgan_cli.core.errors import DataError
from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.text import listed, plural
from usgan_cli.data.copies.near import DUPLICATE, NearPair

Groups = NDArray[np.int64]
Links = dict[tuple[int, int], NearPair | None]
"""Pairs of direct copies: None for the same pixels, otherwise the near-copies that link them."""
DuplicatePolicy = Literal["group", "drop", "ignore"]
ConflictPolicy = Literal["keep", "drop", "error"]

COPY = "copy of another image"
CONFLICT = "the same picture under another label"


@dataclass(frozen=True)
class Duplicates:
    """The copies among N images."""

    groups: Groups
    """Group [N] of each image, numbered from 0 by first appearance; an image without copies is alone in its group."""
    exact: list[list[int]]
    """Indices of the images with the same pixels, for each picture that occurs more than once."""
    near: list[NearPair]
    """Links between different pictures; of several exact copies the first represents all."""
    related: list[NearPair]
    """Pairs too similar for chance and too different to be linked, for a person to look at."""
    conflicts: list[list[int]]
    """Copies under more than one label: images joined by direct links between labels."""

    @property
    def repeated(self) -> list[list[int]]:
        """Indices of the images of each group with more than one, exact and near copies together."""
        return repeated(self.groups)

    def links(self) -> Links:
        """Return all pairs of direct copies, exact or near."""
        same_pixels = {i: members for members in self.exact for i in members}
        links: Links = {}
        for members in self.exact:
            links |= dict.fromkeys(combinations(members, 2))
        for near in self.near:
            firsts, seconds = (same_pixels.get(i, [i]) for i in (near.first, near.second))
            links |= dict.fromkeys(product(firsts, seconds), near)
        return links


def pixel_digest(pixels: Pixels) -> str:
    """Return a digest of the shape and values of decoded pixels [C, H, W], which does not depend on the file format."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def connected_groups(count: int, pairs: Iterable[tuple[int, int]]) -> Groups:
    """Return the connected component [count] of each image, numbered from 0 by first appearance."""
    edges = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    graph = scipy.sparse.coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    _, component = scipy.sparse.csgraph.connected_components(graph, directed=False)
    # The library's numbers are arbitrary; ours go by first appearance, so that a manifest is reproducible.
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[inverse]


def join_groups(*labellings: Sequence[Hashable]) -> Groups:
    """Return groups [N], numbered from 0 by first appearance, of images with equal labels in any of the labellings."""
    pairs: list[tuple[int, int]] = []
    for labels in labellings:
        first_with: dict[Hashable, int] = {}
        pairs += [(first_with.setdefault(label, i), i) for i, label in enumerate(labels)]
    return connected_groups(len(labellings[0]), pairs)


def clusters_of(manifest: DataManifest) -> dict[str, int]:
    """Return the number of the cluster of each image of a dataset: copies, a patient's images, frames of one file."""
    copies = {file: i for i, group in enumerate(manifest.duplicates) for file in group}
    groups = join_groups(
        [image.group for image in manifest.images],
        # Where the split ignored copies, the groups do not hold them.
        [("copies", copies[one.file]) if one.file in copies else ("alone", one.file) for one in manifest.images],
    )
    return {image.file: int(group) for image, group in zip(manifest.images, groups, strict=True)}


def repeated(groups: Groups) -> list[list[int]]:
    """Return the indices of the images of each group with more than one, by first appearance."""
    members: dict[int, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(int(group), []).append(i)
    return [indices for indices in members.values() if len(indices) > 1]


def divided(groups: Groups, in_test: NDArray[np.bool_]) -> list[list[int]]:
    """Return the groups that lie on both sides of a split, as lists of indices."""
    return [members for members in repeated(groups) if len(set(in_test[members].tolist())) > 1]


def find_duplicates(
    digests: Sequence[Hashable], labels: Sequence[Hashable], near: Sequence[NearPair] = ()
) -> Duplicates:
    """Group images by the digests of their pixels and by their near-copies; those below `DUPLICATE` are only listed."""
    exact_groups = join_groups(digests)
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
    """Return a mask [N] of images chosen `among` these (default: all) so that no two are direct copies.

    The image with the largest area, in pixels, is kept, of equally large ones the first. Only a direct copy of a kept
    image is dropped.
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


@dataclass(frozen=True)
class Settled:
    """Which of N images go on, and which of them stay together."""

    kept: NDArray[np.bool_]
    reasons: dict[int, str]
    """Why each of the others is left out, by index."""
    groups: Groups
    """Group [N] of each image, which goes to one side of the split; under "ignore" each image is alone."""


def settle(
    duplicates: Duplicates,
    names: Sequence[str],
    areas: Sequence[int],
    policy: DuplicatePolicy,
    conflict_policy: ConflictPolicy,
) -> Settled:
    """Decide what happens to the copies and conflicts among N images.

    `names` and `areas` are the path in the source and the number of pixels of each original. Copies are kept together
    (policy "group"), or only the largest original is kept ("drop"), or it is as if there were none ("ignore"). Pictures
    under two labels are kept, every image of them is left out ("drop"), or the source is refused ("error").
    """
    if duplicates.conflicts and conflict_policy == "error":
        pictures = plural(len(duplicates.conflicts), "picture stands", "pictures stand")
        conflicts = [" = ".join(names[i] for i in group) for group in duplicates.conflicts]
        raise DataError(
            f"{pictures} under more than one label: {listed(conflicts, '; ')}.",
            "Correct the labels, or leave these images out: --conflicts drop",
        )
    kept = np.ones(len(names), dtype=bool)
    reasons: dict[int, str] = {}
    if conflict_policy == "drop":
        reasons |= {i: CONFLICT for group in duplicates.conflicts for i in group}
        kept[list(reasons)] = False
    if policy == "drop":
        # An image left out because of a conflict does not displace its copies of the same label.
        chosen = choose_kept(duplicates, areas, among=kept)
        reasons |= {int(i): COPY for i in np.flatnonzero(kept & ~chosen)}
        kept &= chosen
    groups = np.arange(len(names)) if policy == "ignore" else duplicates.groups
    return Settled(kept, reasons, groups)
