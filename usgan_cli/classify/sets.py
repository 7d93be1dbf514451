"""Which images each fold is trained, validated and tested on, and the guard against leaks between them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from usgan_cli.classify.config import ClassifierConfig
from usgan_cli.classify.folds import (
    Fold,
    Indices,
    adopt,
    in_file_order,
    pick_synthetic,
    stratified_folds,
    synthetic_count,
)
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.classifier import Protocol, Selection
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.progress import Progress
from usgan_cli.core.store.files import digest_json

Preference = Callable[[ImageSet, ImageSet], Indices]
"""Returns the positions of synthetic images (second), the most trusted first, by a fold's real training images."""


@dataclass(frozen=True)
class Treatment:
    """What is done to the training sides; as it stands, nothing: the baseline on real images alone.

    Attributes
    ----------
    aug : str or None
        The GAN behind the synthetic images.
    ratio : float
        Synthetic images for every image of the subset.
    synthetic : tuple of ImageSet
        None, one set for all folds, or one a fold whose GAN never saw its validation images (the strict protocol).
    digests : tuple of str
        Content digest of each.
    protocol : {"standard", "strict"}
    alone : bool
        Train on synthetic images alone, and validate and test on real ones.
    select : {"confidence", "distance"} or None
        Take the most trusted images of the set (see `select.preference`) in place of its first ones.
    """

    aug: str | None = None
    ratio: float = 0
    synthetic: tuple[ImageSet, ...] = ()
    digests: tuple[str, ...] = ()
    protocol: Protocol = "standard"
    alone: bool = False
    select: Selection | None = None

    @property
    def digest(self) -> str | None:
        """Content digest of the synthetic images, of all sets together in the strict protocol."""
        if self.protocol == "strict":
            return digest_json(list(self.digests))
        return self.digests[0] if self.digests else None


@dataclass(frozen=True)
class FoldSets:
    """One fold's images.

    Attributes
    ----------
    fold : Fold
        The division of the real images.
    train : int64 array
        Positions of the real images that are trained on: the fold's training side, or none.
    synthetic : ImageSet or None
        Those that are trained on.
    digest : str or None
        Content digest of the set they come from.
    """

    fold: Fold
    train: Indices
    synthetic: ImageSet | None
    digest: str | None

    @property
    def index(self) -> int:
        """Number of the fold, from 0."""
        return self.fold.index


@dataclass(frozen=True)
class Sets:
    """The images of one classifier: real ones and test images in the order of their file names."""

    real: ImageSet
    test: ImageSet
    folds: tuple[FoldSets, ...]

    def training_labels(self, fold: FoldSets) -> NDArray[np.int64]:
        """Return the labels of a fold's training images: real ones, then synthetic ones."""
        own = self.real.labels[fold.train]
        return own if fold.synthetic is None else np.concatenate([own, fold.synthetic.labels])


def prepare_sets(
    config: ClassifierConfig,
    n: int,
    treatment: Treatment,
    real: ImageSet,
    test: ImageSet,
    progress: Progress,
    prefer: Preference,
) -> Sets:
    """Check that the sets fit one another, divide the real images into folds, and choose the synthetic ones.

    Raises
    ------
    SettingsError
        The treatment contradicts itself.
    DataError
        There are too few images, classes do not match, or an image would be trained and tested on.
    """
    _check_treatment(treatment, config.folds)
    _check_data(n, real, test, progress)
    real, test = in_file_order(real), in_file_order(test)
    candidates = tuple(adopt(real, images) for images in treatment.synthetic)
    for images in candidates[:1]:
        if images.pixels.shape[-2:] != real.pixels.shape[-2:]:
            progress.warn(
                f"The generated images have {images.pixels.shape[-1]} pixels on a side and the real ones "
                f"{real.pixels.shape[-1]}: the classifier may learn that difference."
            )
    folds: list[FoldSets] = []
    for fold in stratified_folds(real, config.folds, config.seed):
        train = fold.train[:0] if treatment.alone else fold.train
        which = fold.index if treatment.protocol == "strict" else 0
        if not candidates:
            folds.append(FoldSets(fold, train, None, None))
            continue
        side = real.take(fold.train)
        order = None if treatment.select is None else prefer(side, candidates[which])
        # A strict GAN knows the class shares of its fold's training side, the other one those of the whole subset.
        shares = list((side if treatment.protocol == "strict" else real).class_counts().values())
        chosen = pick_synthetic(candidates[which], shares, synthetic_count(treatment.ratio, n), order)
        folds.append(FoldSets(fold, train, candidates[which].take(chosen), treatment.digests[which]))
        _check_all_classes(folds[-1])
    sets = Sets(real, test, tuple(folds))
    _check_leaks(sets, progress)
    return sets


def _check_treatment(treatment: Treatment, folds: int) -> None:
    baseline = treatment.aug is None
    if baseline != (not treatment.synthetic) or baseline != (treatment.ratio == 0):
        raise SettingsError(
            "The GAN, its images and their ratio belong together.",
            "Give --aug (or --synthetic) and a --ratio greater than 0, or none of them for the baseline.",
        )
    if baseline and (treatment.alone or treatment.select is not None or treatment.protocol == "strict"):
        raise SettingsError(
            "There are no generated images to train on alone, to select or to keep apart by fold.",
            "Give --aug (or --synthetic), or leave out --synthetic-only, --select and --strict.",
        )
    wanted = folds if treatment.protocol == "strict" else 1
    if not baseline and len(treatment.synthetic) != wanted:
        raise SettingsError(
            f"The {treatment.protocol} protocol takes {wanted} sets of generated images; "
            f"there are {len(treatment.synthetic)}."
        )


def _check_all_classes(fold: FoldSets) -> None:
    """Raise if a classifier of synthetic images alone would never see one of the classes."""
    if len(fold.train) or fold.synthetic is None:
        return
    for class_, count in fold.synthetic.class_counts().items():
        if count == 0:
            raise DataError(
                f"Of the {len(fold.synthetic)} generated images to train on alone none is {class_!r}.",
                "Train on more of them: raise --ratio.",
            )


def _check_data(n: int, real: ImageSet, test: ImageSet, progress: Progress) -> None:
    if len(real) != n:
        raise DataError(f"The subset {real.name!r} has {len(real)} images, not {n}.")
    if test.classes != real.classes:
        raise DataError(
            f"The test images have the classes {', '.join(test.classes)}; the subset has {', '.join(real.classes)}."
        )
    if len(real.classes) < 2:
        raise DataError(
            f"All images are of one class, {real.classes[0]!r}: there is nothing to tell apart.",
            "Prepare a dataset with a folder for each class: usgan prepare SOURCE",
        )
    if absent := [class_ for class_, count in real.class_counts().items() if count == 0]:
        rest = [class_ for class_ in real.classes if class_ not in absent]
        alone = f": all are {rest[0]!r}, and there is nothing to tell apart" if len(rest) == 1 else ""
        raise DataError(
            f"The subset {real.name!r} has no image of the class {absent[0]!r}{alone}.",
            f"Draw a subset with every class: usgan subsample --n {n} --force",
        )
    for class_, count in test.class_counts().items():
        if count == 0:
            raise DataError(f"There is no test image of the class {class_!r}.", "Prepare the data again: usgan prepare")
    if shared := set(real.groups.tolist()) & set(test.groups.tolist()):
        raise DataError(
            f"{len(shared)} groups of images that belong together stand in both the subset and the test images.",
            "Prepare the data again: usgan prepare --force",
        )
    if leaked := len(_contents(real) & _contents(test)):
        progress.warn(
            f"{leaked} of the test images are also in the subset, pixel for pixel: the test scores are too high."
        )


def _check_leaks(sets: Sets, progress: Progress) -> None:
    """Raise if a fold validates on what it was trained on; warn where generated images are copies of held-out ones."""
    test = _contents(sets.test)
    for one in sets.folds:
        train, val = sets.real.take(one.fold.train), sets.real.take(one.fold.val)
        if set(train.files) & set(val.files) or set(train.groups.tolist()) & set(val.groups.tolist()):
            raise DataError(f"Fold {one.index} would be validated on images that it is trained on.")
    copies: dict[str, set[bytes]] = {}
    for one in sets.folds:
        if one.synthetic is not None:
            held_out = test | _contents(sets.real.take(one.fold.val))
            copies.setdefault(one.synthetic.name, set()).update(_contents(one.synthetic) & held_out)
    for name, found in copies.items():
        if found:
            progress.warn(
                f"{len(found)} generated images of {name} are real validation or test images, pixel for pixel: "
                "the scores are too high."
            )


def _contents(images: ImageSet) -> set[bytes]:
    return {hashlib.sha256(pixels.tobytes()).digest() for pixels in images.pixels}
