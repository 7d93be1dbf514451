"""Which images each fold is trained, validated and tested on, and the guard against leaks between them.

Synthetic images join the training sides alone: the GAN has seen the real images of all folds, so its images are never
validated on.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from usgan_cli.classify.config import ClassifierConfig
from usgan_cli.classify.controls import copies, with_shuffled_labels
from usgan_cli.classify.folds import Fold, Indices, in_file_order, stratified_folds
from usgan_cli.classify.head import LabelledFeatures, LinearHead
from usgan_cli.core.apportion import class_quotas
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.classifier import Protocol, Selection
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.progress import Progress
from usgan_cli.core.store.files import digest_json
from usgan_cli.core.store.workspace import ControlName
from usgan_cli.core.text import plural

Preference = Callable[[ImageSet, ImageSet], Indices]
"""Ranks synthetic images (second) by a fold's real training images (first): positions, the preferred first."""
SELECTION_C = 0.1
"""Inverse penalty of the head that ranks synthetic images; the order hardly depends on it."""


@dataclass(frozen=True)
class Treatment:
    """Which images join the training sides; with the defaults none: the baseline on real images alone."""

    aug: str | None = None
    """The GAN behind the synthetic images."""
    ratio: float = 0
    """Images that are added for every image of the subset."""
    synthetic: tuple[ImageSet, ...] = ()
    """Empty, one set for all folds, or one a fold whose GAN never saw its validation images (the strict protocol)."""
    digests: tuple[str, ...] = ()
    """Content digest of each set."""
    protocol: Protocol = "standard"
    synthetic_only: bool = False
    """Train on synthetic images alone, and validate and test on real ones."""
    select: Selection | None = None
    """Take the preferred images of the set (see `preference`) in place of its first ones."""
    control: ControlName | None = None
    """See `usgan_cli.classify.controls`; "real" adds none, and takes the updates of a classifier with that ratio."""

    @property
    def digest(self) -> str | None:
        """Content digest of the synthetic images, of all sets together in the strict protocol."""
        if self.protocol == "strict":
            return digest_json(list(self.digests))
        return self.digests[0] if self.digests else None


@dataclass(frozen=True)
class FoldImages(Fold):
    """One fold's images: real ones (no training ones with synthetic images alone), and what is added to them."""

    synthetic: ImageSet | None = None
    """The synthetic images, or copies, that are trained on."""
    digest: str | None = None
    """Content digest of the set of generated images that those were taken from."""
    strongly: bool = False
    """Whether `synthetic` is changed by `trivial_augment` whenever it is drawn."""


@dataclass(frozen=True)
class ClassifierImages:
    """The images of one classifier: real ones and test images in the order of their file names, and the folds."""

    real: ImageSet
    test: ImageSet
    folds: tuple[FoldImages, ...]
    external: tuple[ImageSet, ...] = ()
    """External test sets, which are only predicted, once a fold's classifier is finished."""

    def training_labels(self, fold: FoldImages) -> NDArray[np.int64]:
        """Return the labels of a fold's training images: real ones, then synthetic ones."""
        labels = self.real.labels[fold.train]
        return labels if fold.synthetic is None else np.concatenate([labels, fold.synthetic.labels])


def assign_images(
    config: ClassifierConfig,
    n: int,
    treatment: Treatment,
    real: ImageSet,
    test: ImageSet,
    progress: Progress,
    prefer: Preference,
    *,
    own_split: bool = False,
) -> ClassifierImages:
    """Check that the sets fit together, divide the real images into folds, and choose the synthetic ones.

    Raises a `SettingsError` where the treatment contradicts itself; a `DataError` where there are too few images,
    classes do not match, or an image would be trained and tested on. With `own_split`, the source's split, which may
    divide copies or a patient's images, the latter is a warning.
    """
    _check_treatment(treatment, config.folds)
    _check_data(n, real, test, progress, own_split=own_split)
    real, test = in_file_order(real), in_file_order(test)
    candidates = tuple(with_real_classes(real, images) for images in treatment.synthetic)
    if candidates and (size := candidates[0].pixels.shape[-2:]) != real.pixels.shape[-2:]:
        progress.warn(
            f"The generated images have {size[-1]} pixels on a side and the real ones {real.pixels.shape[-1]}: "
            "the classifier may learn that difference."
        )
    folds: list[FoldImages] = []
    strict, control = treatment.protocol == "strict", treatment.control
    for fold in stratified_folds(real, config.folds, config.seed):
        side = real.take(fold.train)
        if not candidates:
            added, strongly = None, control == "classical" and not config.freeze
            if control in {"copies", "classical"}:
                total, changed = synthetic_count(treatment.ratio, n), control == "classical" and config.freeze
                counts = list(real.class_counts().values())
                added = copies(side, counts, total, config.seed, augmented=changed)
            folds.append(FoldImages(fold.index, fold.train, fold.val, added, strongly=strongly))
            continue
        which = fold.index if strict else 0
        order = None if treatment.select is None else prefer(side, candidates[which])
        # A strict GAN knows the class shares of its fold's training side, the other one those of the whole subset.
        shares = list((side if strict else real).class_counts().values())
        chosen = pick_synthetic(candidates[which], shares, synthetic_count(treatment.ratio, n), order)
        train = fold.train[:0] if treatment.synthetic_only else fold.train
        synthetic = candidates[which].take(chosen)
        if control == "shuffled":
            synthetic = with_shuffled_labels(synthetic, config.seed)
        if treatment.synthetic_only and (absent := _absent_classes(synthetic)):
            raise DataError(
                f"Of the {len(synthetic)} generated images to train on alone none is {absent[0]!r}.",
                "Train on more of them: raise --ratio.",
            )
        folds.append(FoldImages(fold.index, train, fold.val, synthetic, treatment.digests[which]))
    assigned = ClassifierImages(real, test, tuple(folds))
    _check_leaks(assigned, progress)
    return assigned


def synthetic_count(ratio: float, n: int) -> int:
    """Return how many synthetic images, at least one, join the training sides of a subset of `n` real ones."""
    count = round(ratio * n) if math.isfinite(ratio) else 0
    if count < 1:
        raise SettingsError(
            f"A ratio of {ratio:g} generated images to each of {n} real ones gives no image to train on.",
            f"Use a --ratio of {1 / n:.2g} or more.",
        )
    return count


def with_real_classes(real: ImageSet, synthetic: ImageSet) -> ImageSet:
    """Return synthetic images, of the real ones' classes and channels, with their classes numbered as those are."""
    for what, theirs, ours in (
        ("classes", sorted(synthetic.classes), sorted(real.classes)),
        ("channels", [str(synthetic.pixels.shape[1])], [str(real.pixels.shape[1])]),
    ):
        if theirs != ours:
            raise DataError(
                f"The {what} of the generated images {synthetic.name!r} are not those of the real ones: "
                f"{', '.join(theirs)} and {', '.join(ours)}.",
                "Generate images with a GAN that was trained on this dataset.",
            )
    real_index = np.array([real.classes.index(name) for name in synthetic.classes], dtype=np.int64)
    return replace(synthetic, labels=real_index[synthetic.labels], classes=real.classes)


def pick_synthetic(synthetic: ImageSet, counts: Sequence[int], total: int, order: Indices | None = None) -> Indices:
    """Return the positions of the `total` synthetic images that join a fold's training side, increasing.

    The first images of every class, in the manifest's order or in `order` (positions, the preferred first), are taken
    in the proportions of `counts`, the real images of each class: those of a smaller total are among those of a larger
    one. Raises a `DataError` where a class has too few.
    """
    ranked = np.arange(len(synthetic)) if order is None else order
    chosen: list[Indices] = []
    for class_, quota in enumerate(class_quotas(counts, total)):
        of_class = ranked[synthetic.labels[ranked] == class_]
        if quota and not len(of_class):
            raise DataError(
                f"{synthetic.name} holds no generated image of the class {synthetic.classes[class_]!r}.",
                "Make images of every class, without --classes: usgan generate --force",
            )
        if len(of_class) < quota:
            needed = max(total, math.ceil(len(synthetic) * quota / len(of_class)))
            raise DataError(
                f"{synthetic.name} holds {len(synthetic)} generated images, {len(of_class)} of them "
                f"{synthetic.classes[class_]!r}; {total} in the proportions of the real images need {quota} of that.",
                f"Make more: usgan generate --count {needed} --force (with the same --aug --n --seed)",
            )
        chosen.append(of_class[:quota])
    return np.sort(np.concatenate(chosen))


def preference(by: Selection, real: LabelledFeatures, synthetic: LabelledFeatures) -> Indices:
    """Rank synthetic images by the frozen backbone's features of one fold's real training images.

    Returns their positions, the preferred first. "confidence" ranks by the probability of an image's class by a linear
    head fitted to the real images; "distance" by the cosine distance to the nearest real image of its class. Copies of
    training images are the nearest of all: with a GAN that repeats them, "distance" chooses them. No validation or
    test image has an influence on what is trained on.
    """
    (features, labels), (real_features, real_labels) = synthetic, real
    if by == "confidence":
        merit = LinearHead(*real, "none").probability(features, SELECTION_C)[np.arange(len(labels)), labels]
    else:
        merit = np.empty(len(labels))
        for class_ in np.unique(labels):
            own = labels == class_
            near = real_features[real_labels == class_]
            merit[own] = -cdist(features[own][:, 0], near.reshape(-1, near.shape[-1]), "cosine").min(1)
    return np.argsort(-merit, kind="stable")


def _check_treatment(treatment: Treatment, folds: int) -> None:
    real_alone = treatment.control not in {None, "shuffled"}
    baseline = treatment.aug is None
    if baseline != (not treatment.synthetic) or (baseline and not real_alone) != (treatment.ratio == 0):
        raise SettingsError(
            "The GAN, its images and their ratio belong together.",
            "Give --aug (or --synthetic) and a --ratio greater than 0, or none of them for the baseline.",
        )
    if treatment.control is not None and real_alone != baseline:
        raise SettingsError(
            f"The control {treatment.control!r} {'has no' if real_alone else 'needs'} generated images.",
            "Leave out --aug (and --synthetic)." if real_alone else "Give --aug.",
        )
    if baseline and (treatment.synthetic_only or treatment.select is not None or treatment.protocol == "strict"):
        raise SettingsError(
            "--synthetic-only, --select and --strict need generated images; this is the baseline.",
            "Give --aug (or --synthetic), or leave them out.",
        )
    needed = folds if treatment.protocol == "strict" else 1
    if not baseline and len(treatment.synthetic) != needed:
        raise SettingsError(
            f"The {treatment.protocol} protocol takes {needed} sets of generated images; "
            f"there are {len(treatment.synthetic)}."
        )


def _absent_classes(images: ImageSet) -> list[str]:
    return [class_ for class_, count in images.class_counts().items() if count == 0]


def _check_data(n: int, real: ImageSet, test: ImageSet, progress: Progress, *, own_split: bool) -> None:
    if len(real) != n:
        raise DataError(f"The subset {real.name!r} has {len(real)} images, not {n}.")
    if test.classes != real.classes:
        raise DataError(
            f"The test images have the classes {', '.join(test.classes)}; the subset has {', '.join(real.classes)}."
        )
    if len(real.classes) < 2:
        raise DataError(
            f"All images are of one class, {real.classes[0]!r}; a classifier needs at least two.",
            "Prepare a dataset with a folder for each class: usgan prepare SOURCE",
        )
    if absent := _absent_classes(real):
        rest = [class_ for class_ in real.classes if class_ not in absent]
        alone = f": all are {rest[0]!r}, and a classifier needs at least two classes" if len(rest) == 1 else ""
        raise DataError(
            f"The subset {real.name!r} has no image of the class {absent[0]!r}{alone}.",
            f"Draw a subset with every class: usgan subsample --n {n} --force",
        )
    if absent := _absent_classes(test):
        raise DataError(f"No test image has the class {absent[0]!r}.", "Prepare the data again: usgan prepare --force")
    if shared := set(real.groups.tolist()) & set(test.groups.tolist()):
        groups = plural(len(shared), "group")
        said = f"{groups} of copies, or of one patient, in both the subset and the test images"
        again = "usgan prepare SOURCE --split new --force"
        if not own_split:
            raise DataError(f"{said}.", f"Prepare the data again: {again}")
        progress.warn(
            f"{said}: the source's own split divides them, so test scores are too high. Another split: {again}"
        )
    if leaked := len(_contents(real) & _contents(test)):
        progress.warn(
            f"{leaked} of the test images are also in the subset, pixel for pixel: the test scores are too high."
        )


def _check_leaks(assigned: ClassifierImages, progress: Progress) -> None:
    """Raise if a fold validates on what it was trained on; warn where generated images are copies of held-out ones."""
    test = _contents(assigned.test)
    copied_from: dict[str, set[bytes]] = {}
    for fold in assigned.folds:
        train, val = assigned.real.take(fold.train), assigned.real.take(fold.val)
        if set(train.files) & set(val.files) or set(train.groups.tolist()) & set(val.groups.tolist()):
            raise DataError(f"Fold {fold.index} would be validated on images that it is trained on.")
        if fold.digest is not None and fold.synthetic is not None:
            held_out = test | _contents(val)
            copied_from.setdefault(fold.synthetic.name, set()).update(_contents(fold.synthetic) & held_out)
    for name, copied in copied_from.items():
        if copied:
            progress.warn(
                f"{len(copied)} generated images of {name} are real validation or test images, pixel for pixel: "
                "the scores are too high."
            )


def _contents(images: ImageSet) -> set[bytes]:
    return {hashlib.sha256(pixels.tobytes()).digest() for pixels in images.pixels}
