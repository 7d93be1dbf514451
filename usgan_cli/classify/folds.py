"""Stratified folds of the real images, and which synthetic images join their training sides.

As in the study (Maack, Holstein, Schlaefer 2022), a classifier with synthetic images is compared with the
baseline fold by fold. So the folds depend on the real images and the seed alone, and synthetic images, which
the GAN made after seeing all real ones, are never validated on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.apportion import class_quotas
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine.seeds import numpy_generator

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """One division of the real images.

    Attributes
    ----------
    index : int
        From 0.
    train, val : int64 arrays
        Positions of the images, increasing; together they are all images, each once.
    """

    index: int
    train: Indices
    val: Indices


def in_file_order(images: ImageSet) -> ImageSet:
    """Return the images in the order of their file names, so that nothing depends on how a set was listed."""
    return images.take(np.array(sorted(range(len(images)), key=images.files.__getitem__), dtype=np.int64))


def stratified_folds(images: ImageSet, folds: int, seed: int) -> tuple[Fold, ...]:
    """Divide images into folds with equal shares of the classes, each group of images within one fold.

    Every group goes to the fold that has least of what it brings: with groups of one image, the folds' counts
    of each class, and their sizes, differ by at most one.

    Parameters
    ----------
    images : ImageSet
        In the order of their file names (see `in_file_order`).
    folds : int
        Number of folds, 2 or more.
    seed : int

    Raises
    ------
    DataError
        A class has too few images, or too few groups, for one in each fold.
    """
    totals = np.bincount(images.labels, minlength=len(images.classes))
    _check_enough(images, folds)
    groups = _shuffled_groups(images, seed)
    counts = np.zeros((folds, len(images.classes)), dtype=np.int64)
    fold_of = np.empty(len(images), dtype=np.int64)
    for members in groups:
        brings = np.bincount(images.labels[members], minlength=len(images.classes))
        # The increase of the squared counts, in shares of each class, up to a part that is the same for all folds.
        cost = counts @ (brings / np.maximum(totals, 1))
        best = min(range(folds), key=lambda f: (round(float(cost[f]), 12), int(counts[f].sum()), f))
        counts[best] += brings
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
    order = numpy_generator(seed, "folds").permutation(len(groups))
    shuffled = [groups[i] for i in order]
    return sorted(shuffled, key=lambda members: (-len(members), int(images.labels[members].min())))


def _check_enough(images: ImageSet, folds: int) -> None:
    for class_, name in enumerate(images.classes):
        chosen = images.labels == class_
        distinct = len(np.unique(images.groups[chosen]))
        if distinct < folds:
            count = int(chosen.sum())
            has = f"{count} image{'s' * (count != 1)}"
            has += f" in {distinct} group{'s' * (distinct != 1)}" if distinct < count else ""
            raise _too_few(images, f"the class {name!r} has {has}", folds, distinct)


def _too_few(images: ImageSet, why: str, folds: int, at_most: int) -> DataError:
    fewer = f"Use fewer folds (--folds {at_most}), or" if at_most > 1 else "Use"
    return DataError(
        f"The {len(images)} images of {images.name!r} cannot be divided into {folds} folds: {why}.",
        f"{fewer} a larger subset (usgan subsample --n).",
    )


def training_side(images: ImageSet, fold: int, folds: int, seed: int) -> ImageSet:
    """Return the images of one fold's training side: all that a GAN of the strict protocol may see.

    Parameters
    ----------
    images : ImageSet
        The subset, in any order.
    fold : int
        From 0.
    folds, seed : int
        Those of the classifiers that the GAN's images will train (see `stratified_folds`).

    Raises
    ------
    SettingsError
        There is no such fold.
    DataError
        The subset cannot be divided into so many folds.
    """
    if not 0 <= fold < folds:
        raise SettingsError(f"There is no fold {fold}: {folds} folds are numbered from 0 to {folds - 1}.")
    ordered = in_file_order(images)
    return ordered.take(stratified_folds(ordered, folds, seed)[fold].train)


def synthetic_count(ratio: float, n: int) -> int:
    """Return how many synthetic images join the training sides of a subset of `n` real ones.

    Raises
    ------
    SettingsError
        It would be none, or no number.
    """
    count = round(ratio * n) if math.isfinite(ratio) else 0
    if count < 1:
        raise SettingsError(
            f"{ratio:g} generated images for each of {n} real ones are no number of images to train on.",
            f"Use a --ratio of {1 / n:.2g} or more.",
        )
    return count


def adopt(real: ImageSet, synthetic: ImageSet) -> ImageSet:
    """Return synthetic images with their classes numbered as the real ones' are.

    Raises
    ------
    DataError
        Their classes or channels are not those of the real images.
    """
    if set(synthetic.classes) != set(real.classes):
        raise DataError(
            f"The generated images {synthetic.name!r} have the classes {', '.join(synthetic.classes)}; "
            f"the real ones have {', '.join(real.classes)}.",
        )
    if synthetic.pixels.shape[1] != real.pixels.shape[1]:
        raise DataError(
            f"The generated images {synthetic.name!r} have {synthetic.pixels.shape[1]} channels; "
            f"the real ones have {real.pixels.shape[1]}.",
        )
    own_index = np.array([real.classes.index(name) for name in synthetic.classes], dtype=np.int64)
    return replace(synthetic, labels=own_index[synthetic.labels], classes=real.classes)


def pick_synthetic(synthetic: ImageSet, counts: Sequence[int], total: int, order: Indices | None = None) -> Indices:
    """Return the positions of the synthetic images that join a fold's training side, increasing.

    Of every class its first ones are taken, in the proportions of the real images: those of a smaller total are
    among those of a larger one.

    Parameters
    ----------
    synthetic : ImageSet
        In the fixed order of their manifest.
    counts : sequence of int
        Real images of each class.
    total : int
        Number of images to take.
    order : int64 array [M], optional
        Positions in the order of preference, in place of the manifest's.

    Raises
    ------
    DataError
        There are too few of a class.
    """
    ranked = np.arange(len(synthetic)) if order is None else order
    chosen: list[Indices] = []
    for class_, quota in enumerate(class_quotas(counts, total)):
        own = ranked[synthetic.labels[ranked] == class_]
        if quota and not len(own):
            raise DataError(
                f"{synthetic.name} holds no generated image of the class {synthetic.classes[class_]!r}.",
                "Make images of every class: usgan generate --force without --classes.",
            )
        if len(own) < quota:
            needed = max(total, math.ceil(len(synthetic) * quota / len(own)))
            raise DataError(
                f"{synthetic.name} holds {len(synthetic)} generated images, {len(own)} of them "
                f"{synthetic.classes[class_]!r}; {total} in the proportions of the real images need {quota} of that.",
                f"Make more: usgan generate --count {needed} --force (with the same --aug --n --seed)",
            )
        chosen.append(own[:quota])
    return np.sort(np.concatenate(chosen))
