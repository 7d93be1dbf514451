"""Stratified folds of the real images.

As in the study (Maack, Holstein, Schlaefer 2022), a classifier with synthetic images is compared with the
baseline fold by fold, so the folds depend on the real images and the seed alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine.seeds import numpy_generator

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """One division of the real images; `train` and `val` hold increasing positions, together each image once."""

    index: int
    train: Indices
    val: Indices


def in_file_order(images: ImageSet) -> ImageSet:
    """Return the images in the order of their file names, so that nothing depends on how a set was listed."""
    return images.take(np.array(sorted(range(len(images)), key=images.files.__getitem__), dtype=np.int64))


def stratified_folds(images: ImageSet, folds: int, seed: int) -> tuple[Fold, ...]:
    """Divide images (`in_file_order`) into 2 or more folds with equal shares of the classes, each group within one.

    Every group goes to the fold that has the fewest images of the group's classes: with groups of one image, the
    folds' counts of each class, and their sizes, differ by at most one. Raises a `DataError` where a class has too few
    images, or too few groups, for one in each fold.
    """
    totals = np.bincount(images.labels, minlength=len(images.classes))
    _check_enough(images, folds)
    counts = np.zeros((folds, len(images.classes)), dtype=np.int64)
    fold_of = np.empty(len(images), dtype=np.int64)
    for members in _shuffled_groups(images, seed):
        added = np.bincount(images.labels[members], minlength=len(images.classes))
        # The increase of the squared counts, in shares of each class, up to a part that is the same for all folds.
        cost = counts @ (added / np.maximum(totals, 1))
        best = min(range(folds), key=lambda f: (round(float(cost[f]), 12), int(counts[f].sum()), f))
        counts[best] += added
        fold_of[members] = best
    if not counts.all():
        fold, class_ = (int(i) for i in np.argwhere(counts == 0)[0])
        why = f"fold {fold + 1} of {folds} would have no image of {images.classes[class_]!r}"
        raise _too_few(images, why, folds, folds - 1)
    return tuple(Fold(f, np.flatnonzero(fold_of != f), np.flatnonzero(fold_of == f)) for f in range(folds))


def _shuffled_groups(images: ImageSet, seed: int) -> list[Indices]:
    """Return each group's images: large groups first, then class by class, otherwise in random order."""
    by_group: dict[int, list[int]] = {}
    for position, group in enumerate(images.groups):
        by_group.setdefault(int(group), []).append(position)
    # Groups are numbered in the whole dataset: what counts is which images they hold, not their numbers.
    groups = [np.array(members, dtype=np.int64) for members in by_group.values()]
    shuffled = [groups[i] for i in numpy_generator(seed, "folds").permutation(len(groups))]
    return sorted(shuffled, key=lambda members: (-len(members), int(images.labels[members].min())))


def _check_enough(images: ImageSet, folds: int) -> None:
    """Raise for the class with the fewest groups if they are too few, so that what helps it helps the others."""
    of_class = [images.labels == class_ for class_ in range(len(images.classes))]
    groups = [len(np.unique(images.groups[members])) for members in of_class]
    least = min(range(len(groups)), key=groups.__getitem__)
    if groups[least] < folds:
        count, few = int(of_class[least].sum()), groups[least]
        has = f"{count} image{'s' * (count != 1)}"
        has += f" in {few} group{'s' * (few != 1)}" if few < count else ""
        why = f"the smallest class, {images.classes[least]!r}, has {has}, and each fold needs one of its own"
        raise _too_few(images, why, folds, few)


def _too_few(images: ImageSet, why: str, folds: int, at_most: int) -> DataError:
    fewer = f"Use fewer folds (--folds {at_most}), or" if at_most > 1 else "Use"
    # In a larger subset every class grows in proportion.
    more = (
        f" of about {(n := math.ceil(len(images) * folds / at_most))} images: usgan subsample --n {n}"
        if at_most
        else "."
    )
    return DataError(
        f"The {len(images)} images of {images.name!r} cannot be divided into {folds} folds: {why}.",
        f"{fewer} a larger subset{more}",
    )


def training_side(images: ImageSet, fold: int, folds: int, seed: int) -> ImageSet:
    """Return the images of one fold's training side (from 0): all that a GAN of the strict protocol may see.

    `images` is the subset, in any order; `folds` and `seed` are those of the classifiers that the GAN's images will
    train (see `stratified_folds`).
    """
    if not 0 <= fold < folds:
        raise SettingsError(f"Fold {fold} does not exist: {folds} folds are numbered from 0 to {folds - 1}.")
    ordered = in_file_order(images)
    return ordered.take(stratified_folds(ordered, folds, seed)[fold].train)


def validation_side(images: ImageSet, fold: int, folds: int, seed: int) -> ImageSet:
    """Return the images that `training_side` leaves out."""
    ordered = in_file_order(images)
    return ordered.take(stratified_folds(ordered, folds, seed)[fold].val)
