"""Where every artefact of a workspace lives, and what it is called."""

from __future__ import annotations

import os
import re
import shlex
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar, cast

from usgan_cli.core.names import LONGEST_ARTEFACT, folder_name

AugName = Literal["none", "ada", "diffaug", "ada+diffaug"]
"""What the discriminator sees its images through."""
GanName = Literal[AugName, "best"]
"""A GAN: StyleGAN2 by what its discriminator sees images through, or "best" (see `usgan_cli.core.methods`)."""
DiscriminatorName = Literal["stylegan2", "projected"]
DiffAugP = Literal["always", "adaptive"]
StopName = Literal["limit", "auto"]
ControlName = Literal["real", "copies", "classical", "shuffled"]
"""A classifier that shows where a gain comes from, if not from the GAN: the updates, more copies of real images,
augmented copies, or generated images whose labels are shuffled."""
K = TypeVar("K")
FoldOf = tuple[int, int]
"""A fold, from 0, and the number of folds."""


def work_option(root: Path) -> str:
    """Return, with a blank before it, the option that a hint must carry if the workspace is not the default one."""
    return "" if root == Path("work") else f" --work {shlex.quote(str(root))}"


def gan_name(aug: str, n: int, seed: int, fold: FoldOf | None = None) -> str:
    """Return the name of a GAN, its images and its scores: diffaug-n100-s0, or diffaug-n100-s0-fold0of5."""
    part = "" if fold is None else f"-fold{fold[0]}of{fold[1]}"
    return f"{aug}-{SubsetKey(n, seed).name}{part}"


def fold_left_out(name: str) -> FoldOf | None:
    """Return which fold, of how many, the GAN of that name was trained without; None if it saw its whole subset."""
    match = re.search(r"-fold(\d+)of(\d+)$", name)
    return match and (int(match[1]), int(match[2]))


def generator_words(aug: str) -> list[str]:
    """Return the option that names a generator: --aug for usgan's own GANs, the folder of images for another's."""
    own = typing.get_args(AugName) + typing.get_args(GanName)
    return ["--aug" if aug in own else "--synthetic", aug]


class TrainingSet(NamedTuple):
    """What a classifier is trained on besides its subset; with the defaults nothing: the baseline."""

    aug: str | None = None
    """The GAN whose images are added; None for the baseline and for controls without generated images."""
    ratio: float = 0.0
    """Images added per real one."""
    control: ControlName | None = None
    synthetic_only: bool = False
    strict: bool = False
    select: str | None = None

    @property
    def name(self) -> str:
        """real, diffaug-x1, diffaug-x1-strict, diffaug-x1-shuffled, copies-x1."""
        added = self.aug or self.control
        if added is None:
            return "real"
        variants = ["only"] * self.synthetic_only + ["strict"] * self.strict + [self.select] * bool(self.select)
        variants += ["shuffled"] * (self.control == "shuffled")
        return "-".join([f"{added}-x{self.ratio:g}", *map(str, variants)])

    @classmethod
    def parse(cls, name: str) -> TrainingSet | None:
        """Return the training set of that name; None if it is not the name of one."""
        variants = r"(-only)?(-strict)?(?:-(confidence|distance))?(-shuffled)?"
        if name == "real":
            return cls()
        if match := re.fullmatch(r"(real|copies|classical)-x([\d.e+-]+)", name):
            return cls(None, float(match[2]), cast(ControlName, match[1]))
        if match := re.fullmatch(rf"(.+?)-x(\d[\d.]*(?:e[+-]\d+)?){variants}", name):
            control: ControlName | None = "shuffled" if match[6] else None
            return cls(match[1], float(match[2]), control, bool(match[3]), bool(match[4]), match[5])
        return None


BASELINE = TrainingSet()
SNAPSHOTS = "-snapshots"
"""Ends the name of the scores of a GAN's saved generators."""


class SubsetKey(NamedTuple):
    """Which training images: how many, and the seed of the draw."""

    n: int
    seed: int

    @property
    def name(self) -> str:
        """n100-s0."""
        return f"n{self.n}-s{self.seed}"

    @classmethod
    def parse(cls, name: str) -> SubsetKey | None:
        """Return the subset of that name; None if it is not the name of one."""
        match = re.fullmatch(r"n(\d+)-s(\d+)", name)
        return match and cls(int(match[1]), int(match[2]))


class GanKey(NamedTuple):
    """Which GAN, its images or its scores."""

    aug: str
    n: int
    seed: int

    @property
    def name(self) -> str:
        """diffaug-n100-s0."""
        return gan_name(self.aug, self.n, self.seed)

    @property
    def subset(self) -> SubsetKey:
        """The subset it was trained on."""
        return SubsetKey(self.n, self.seed)

    @classmethod
    def parse(cls, name: str) -> GanKey | None:
        """Return the GAN of that name; None if it is not the name of one (one fold's GAN has another)."""
        match = re.fullmatch(r"(.+)-n(\d+)-s(\d+)", name)
        return match and cls(match[1], int(match[2]), int(match[3]))

    @classmethod
    def parse_with_folds(cls, name: str) -> GanKey | None:
        """Return the GAN of that name, or the one that a fold's GAN of that name stands for."""
        return cls.parse(re.sub(r"-fold\d+of\d+$", "", name))

    @classmethod
    def parse_snapshots(cls, name: str) -> GanKey | None:
        """Return the GAN whose saved generators have scores of that name."""
        return cls.parse(name.removesuffix(SNAPSHOTS)) if name.endswith(SNAPSHOTS) else None


class SeedsKey(NamedTuple):
    """Which comparison over several seeds."""

    n: int
    seeds: tuple[int, ...]

    @property
    def name(self) -> str:
        """n100-s0+1+2."""
        return f"n{self.n}-s{'+'.join(map(str, self.seeds))}"

    @classmethod
    def parse(cls, name: str) -> SeedsKey | None:
        """Return the comparison of that name; None if it is not the name of one."""
        match = re.fullmatch(r"n(\d+)-s(\d+(?:\+\d+)+)", name)
        return match and cls(int(match[1]), _numbers(match[2]))


def _one_part(name: str) -> str:
    """Return an artefact's name as one part of a path: names of GANs and classes may come from elsewhere."""
    return folder_name(name, LONGEST_ARTEFACT)


class SplitsKey(NamedTuple):
    """Which comparison over several splits, each with the same seeds."""

    n: int
    seeds: tuple[int, ...]
    splits: tuple[int, ...]

    @property
    def name(self) -> str:
        """n100-s0+1-splits0+1+2."""
        return f"{SeedsKey(self.n, self.seeds).name}-splits{'+'.join(map(str, self.splits))}"

    @classmethod
    def parse(cls, name: str) -> SplitsKey | None:
        """Return the comparison of that name; None if it is not the name of one."""
        match = re.fullmatch(r"n(\d+)-s(\d+(?:\+\d+)*)-splits(\d+(?:\+\d+)+)", name)
        return match and cls(int(match[1]), _numbers(match[2]), _numbers(match[3]))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("+")))


SPLITS = "splits"
"""Folder of a study's further splits."""
PAGE = "index.html"
"""What one opens of a report."""


@dataclass(frozen=True)
class Workspace:
    """A folder with everything a study makes.

    Of several splits the first is the workspace's own; each further one is a workspace in its folder `splits`, named
    after its seed, in which every command works as ever: `--work work/splits/s1`.
    """

    root: Path

    @property
    def data(self) -> Path:
        """The prepared dataset."""
        return self.root / "data"

    @property
    def cache(self) -> Path:
        """Features of images, by content, one for all splits; may be deleted at any time."""
        return (self.root.parent.parent if self.root.parent.name == SPLITS else self.root) / "cache"

    def split(self, seed: int) -> Workspace:
        """Return the workspace of a further split."""
        return Workspace(self.root / SPLITS / f"s{seed}")

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.root / "report"

    @property
    def cards(self) -> Path:
        """Folder of the model cards and the dataset card."""
        return self.root / "cards"

    def external(self, name: str) -> Path:
        """Folder of an external test set."""
        return self.root / "external" / _one_part(name)

    def externals(self) -> list[Path]:
        """Return the folders of the external test sets that are there, by name."""
        place = self.root / "external"
        return [path for path in sorted(place.glob("[!.]*")) if _is_there(path, "[!.]*")]

    def subset(self, n: int, seed: int) -> Path:
        """List of the n training images drawn with `seed`."""
        return self.root / "subsets" / f"{SubsetKey(n, seed).name}.json"

    def gan(self, aug: str, n: int, seed: int, fold: FoldOf | None = None) -> Path:
        """Folder of a GAN; with `fold`, of one that never saw that fold's validation images."""
        return self.named_gan(gan_name(aug, n, seed, fold))

    def named_gan(self, name: str) -> Path:
        """Folder of the GAN called `name`."""
        return self.root / "gans" / _one_part(name)

    def synthetic(self, aug: str, n: int, seed: int, fold: FoldOf | None = None) -> Path:
        """Folder of a GAN's images."""
        return self.named_synthetic(gan_name(aug, n, seed, fold))

    def named_synthetic(self, name: str) -> Path:
        """Folder of the generated images called `name`."""
        return self.root / "synthetic" / _one_part(name)

    def score(self, name: str) -> Path:
        """Score of the generated images called `name`."""
        return self.root / "scores" / f"{_one_part(name)}.json"

    def picture(self, file: str) -> Path:
        """Return where the picture `file` is, a grid of generated images or the way between two."""
        return self.root / "pictures" / _one_part(file)

    def classifiers(self, n: int, seed: int) -> Path:
        """Folder of all classifiers trained on one subset."""
        return self.root / "classifiers" / SubsetKey(n, seed).name

    def classifier(self, n: int, seed: int, added: TrainingSet | None = None) -> Path:
        """Folder of a classifier; by default the baseline on real images alone."""
        return self.classifiers(n, seed) / _one_part((added or BASELINE).name)

    def ttest(self, n: int, seed: int, *more: int) -> Path:
        """Comparison of all classifiers trained on one subset, or on the subsets of several seeds: n100-s0+1.json."""
        return self.root / "ttests" / f"{SeedsKey(n, (seed, *more)).name}.json"

    def pooled(self, key: SplitsKey) -> Path:
        """Comparison of all classifiers over several splits."""
        return self.root / "ttests" / f"{key.name}.json"

    def place_of(self, path: Path) -> str | None:
        """Return where in the workspace something lies ("gans/ada-n100-s0"); None for what lies elsewhere.

        A link in the workspace lies in it, wherever it leads.
        """
        root, there = (Path(os.path.normpath(one.absolute())) for one in (self.root, path))
        if root not in there.parents:
            root, there = self.root.resolve(), path.resolve()
        return there.relative_to(root).as_posix() if root in there.parents else None

    def places(self, artefact: Path, inputs: Mapping[str, Path]) -> dict[str, str]:
        """Return where in the workspace the inputs of an artefact lie, by role; those that lie elsewhere are left out.

        None lies there for an artefact that is written elsewhere.
        """
        own = self.place_of(artefact)
        if own is None or own.partition("/")[0] not in ARTEFACTS:
            return {}
        found = {role: self.place_of(path) for role, path in inputs.items()}
        return {role: place for role, place in found.items() if place is not None}

    def listed(self, folder: str, parse: Callable[[str], K | None], suffix: str = "") -> dict[K, Path]:
        """Return the artefacts in a folder of the workspace ("gans") whose names `parse` understands."""
        place = self.root / folder
        paths = sorted(place.glob(f"[!.]*{suffix}")) if place.is_dir() else []
        keys = {path: parse(path.name.removesuffix(suffix)) for path in paths}
        return {key: path for path, key in keys.items() if key is not None}

    def artefacts(self) -> list[tuple[str, Path]]:
        """Return everything that is there, as (folder of the workspace, path), in the order in which it is made.

        A file is there by its JSON record, a folder if it is not empty.
        """
        found: list[tuple[str, Path]] = []
        for folder, pattern in ARTEFACTS.items():
            place = self.root / folder
            paths = sorted(place.glob(pattern)) if pattern else [place]
            found += [(folder, path) for path in paths if _is_there(path, pattern)]
        return found


ARTEFACTS = {
    "phantoms": "",
    "data": "",
    "external": "[!.]*",
    "subsets": "[!.]*.json",
    "gans": "[!.]*",
    "synthetic": "[!.]*",
    "scores": "[!.]*.json",
    "classifiers": "[!.]*/[!.]*",
    "ttests": "[!.]*.json",
    "pictures": "[!.]*.json",
    "report": "",
    "cards": "",
}
"""Where artefacts are in a workspace, in the order in which they are made; no pattern: the folder is the artefact."""


def _is_there(path: Path, pattern: str) -> bool:
    return path.is_file() if pattern.endswith(".json") else path.is_dir() and any(path.iterdir())
