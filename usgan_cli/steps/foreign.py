"""Images that another program generated: a folder or archive of them by class, without the manifest of `generate`."""

from __future__ import annotations

import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.apportion import class_quotas
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.formats.synthetic import SyntheticManifest
from usgan_cli.core.images.codec import Fit
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.names import problem_of_class, same_folder, shortened
from usgan_cli.core.progress import Progress
from usgan_cli.core.store.workspace import ControlName, GanKey
from usgan_cli.core.text import GAN_NAMES, joined, on_one_line, plural
from usgan_cli.data.source.folders import UNCLASSED, Like, content_digest, load_folders
from usgan_cli.data.source.names import shown

ARCHIVES = (".zip",)
"""Endings that do not belong to a generator's name."""


@dataclass(frozen=True)
class Foreign:
    """Images of another generator, with the dataset's classes, channels and size, in the order of their paths."""

    images: ImageSet
    shares: tuple[int, ...]
    """Real images of each class, in whose proportions the images are used."""

    def fits(self, total: int) -> bool:
        """Return whether there are enough of every class for `total` images."""
        return bool((self._lacking(total) <= 0).all())

    def most(self, limit: int | None = None) -> int:
        """Return the largest total, up to a limit, for which there are enough images of every class."""
        low, high = 0, len(self.images) if limit is None else min(limit, len(self.images))
        while low < high:  # no class needs fewer images where the total grows
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.fits(middle) else (low, middle - 1)
        return low

    def first(self, total: int) -> ImageSet:
        """Return the first images of every class, `total` in all, in the order of their paths."""
        left = np.array(class_quotas(self.shares, total))
        kept: list[int] = []
        for i, label in enumerate(self.images.labels):
            if left[label] > 0:
                left[label] -= 1
                kept.append(i)
        return self.images.take(np.array(kept, dtype=np.int64))

    def digest(self, total: int | None) -> str:
        """Return the content digest of the first `total` images, which later ones do not change; None for all."""
        return content_digest(self.images if total is None else self.first(total))

    def check_enough(self, total: int, n: int, *, select: bool) -> None:
        """Raise unless every class has the images that `total` of them need, and with `select` a choice of them."""
        lacking, quotas = self._lacking(total), class_quotas(self.shares, total)
        counts = list(self.images.class_counts().items())
        short = [(name, there, quotas[i]) for i, (name, there) in enumerate(counts) if lacking[i] > 0]
        if short:
            there = joined(f"{count} of {name!r} ({quota} needed)" for name, count, quota in short)
            ratio = math.floor(100 * self.most() / n) / 100
            raise DataError(
                f"{self.images.name} holds too few images for {total} in the proportions of the subset: {there}.",
                "Make more of these" + (f", or use a --ratio of {ratio:g} or less." if ratio > 0 else "."),
            )
        if select and total == len(self.images):
            raise DataError(
                f"{self.images.name} holds {total} images, and all are needed: none can be selected.",
                "Make more, or leave out --select.",
            )

    def _lacking(self, total: int) -> NDArray[np.int64]:
        """Return how many images each class lacks for `total` images; negative where there are more."""
        needed = np.array(class_quotas(self.shares, total), dtype=np.int64)
        return needed - np.array(list(self.images.class_counts().values()), dtype=np.int64)


def is_foreign(folder: Path) -> bool:
    """Return whether a place that exists holds something else than what `usgan generate` makes."""
    return folder.is_file() or (folder.is_dir() and not (folder / SyntheticManifest.FILE).is_file())


def name_of(folder: Path) -> str:
    """Return what a generator is called: as its folder is, or its archive without the ending."""
    name = shown(folder.resolve().name)
    ending = next((end for end in ARCHIVES if folder.is_file() and name.casefold().endswith(end)), "")
    name = name[: len(name) - len(ending)]
    if (problem := problem_of_class(name)) is not None:
        raise SettingsError(
            f"The images are called as their folder, and {shortened(name)!r} {problem}.", "Rename the folder."
        )
    return name


def generator_of(name: str, n: int, seed: int) -> str:
    """Return a generator's name without the subset's at its end, where it is this one: diffusion-n100-s0 -> diffusion.

    Raises `SettingsError` for names of usgan's own GANs and controls.
    """
    key = GanKey.parse(name)
    name = key.aug if key is not None and (key.n, key.seed) == (n, seed) else name
    if same_folder(name) in {*GAN_NAMES, *typing.get_args(ControlName)}:
        raise SettingsError(
            f"{name!r} is the name of one of usgan's own GANs or controls, and the images are called as their folder.",
            "Rename the folder after the generator that made them.",
        )
    return name


def load_foreign(
    folder: Path, name: str, manifest: DataManifest, shares: Sequence[int], bits: int | None, progress: Progress
) -> Foreign:
    """Load the images of another generator as those of the dataset were read; `shares` are real images of each class.

    Raises `DataError` for classes that the dataset lacks, or that the images lack.
    """
    like = Like(tuple(manifest.classes), manifest.channels, manifest.size)
    fit = typing.cast(Fit, manifest.fit)
    (images,), said = load_folders([folder], fit=fit, bits=bits, progress=progress, like=like)
    for line in said:
        progress.note(line)
    counts = images.class_counts()
    unknown = {one: count for one, count in counts.items() if one not in like.classes}
    absent = [one for one in like.classes if one not in counts]
    if unknown or absent:
        told = [f"{plural(count, 'image')} {_where(one)}" for one, count in unknown.items()]
        told += [f"no image of {one!r}" for one in absent]
        raise DataError(
            f"{on_one_line(shown(str(folder)))} holds {joined(told, 8)}.",
            f"It needs a folder for each class of the dataset, called {joined(like.classes, 8)}, or "
            "a dataset.json with their labels.",
        )
    labels = np.array([like.classes.index(images.classes[label]) for label in images.labels], dtype=np.int64)
    return Foreign(replace(images, name=name, labels=labels, classes=like.classes), tuple(shares))


def _where(class_: str) -> str:
    if class_ == UNCLASSED:
        return "in no folder of a class (or without a label)"
    return f"of '{shortened(class_)}', which is no class of the dataset"
