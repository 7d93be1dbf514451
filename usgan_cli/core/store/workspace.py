"""Where every artefact of a workspace lives, and what it is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FoldOf = tuple[int, int]
"""A fold, from 0, and the number of folds."""


def format_ratio(ratio: float) -> str:
    """Return a ratio as artefact names carry it: 0.5, 1, 2."""
    return f"{ratio:g}"


def subset_name(n: int, seed: int) -> str:
    """Return the name of the subset of n training images: n100-s0."""
    return f"n{n}-s{seed}"


def gan_name(aug: str, n: int, seed: int, fold: FoldOf | None = None) -> str:
    """Return the name of a GAN, its images and its scores: diffaug-n100-s0, or diffaug-n100-s0-fold0of5."""
    part = "" if fold is None else f"-fold{fold[0]}of{fold[1]}"
    return f"{aug}-{subset_name(n, seed)}{part}"


def setting_name(aug: str | None, ratio: float, variants: Sequence[str] = ()) -> str:
    """Return the name of a classifier's training set: real, diffaug-x1, diffaug-x1-strict."""
    return "real" if aug is None else "-".join([f"{aug}-x{format_ratio(ratio)}", *variants])


@dataclass(frozen=True)
class Workspace:
    """A folder with everything a study makes."""

    root: Path

    @property
    def data(self) -> Path:
        """The prepared dataset."""
        return self.root / "data"

    @property
    def cache(self) -> Path:
        """Features of images, by content; may be deleted at any time."""
        return self.root / "cache"

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.root / "report"

    def subset(self, n: int, seed: int) -> Path:
        """List of the n training images drawn with `seed`."""
        return self.root / "subsets" / f"{subset_name(n, seed)}.json"

    def gan(self, aug: str, n: int, seed: int, fold: FoldOf | None = None) -> Path:
        """Folder of a GAN; with `fold`, of one that never saw that fold's validation images."""
        return self.root / "gans" / gan_name(aug, n, seed, fold)

    def synthetic(self, aug: str, n: int, seed: int, fold: FoldOf | None = None) -> Path:
        """Folder of a GAN's images."""
        return self.root / "synthetic" / gan_name(aug, n, seed, fold)

    def score(self, name: str) -> Path:
        """Score of the generated images called `name`."""
        return self.root / "scores" / f"{name}.json"

    def classifiers(self, n: int, seed: int) -> Path:
        """Folder of all classifiers trained on one subset."""
        return self.root / "classifiers" / subset_name(n, seed)

    def classifier(self, n: int, seed: int, aug: str | None, ratio: float, variants: Sequence[str] = ()) -> Path:
        """Folder of a classifier: aug None is the baseline on real images alone."""
        return self.classifiers(n, seed) / setting_name(aug, ratio, variants)

    def ttest(self, n: int, seed: int, *more: int) -> Path:
        """Comparison of all classifiers trained on one subset, or on the subsets of several seeds: n100-s0+1.json."""
        name = "+".join([subset_name(n, seed), *(str(other) for other in more)])
        return self.root / "ttests" / f"{name}.json"
