"""The records of a workspace: what a study has so far. See `reading` for how they are read and checked."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.comparison import (
    ArmEffect,
    ArmExchange,
    Comparison,
    SeedComparison,
    SeedsRecord,
    SplitsRecord,
    TTestRecord,
)
from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.core.formats.generator import GeneratorDocument, LogRow
from usgan_cli.core.formats.score import ScoreRecord, SnapshotsRecord
from usgan_cli.core.formats.synthetic import SyntheticManifest
from usgan_cli.core.store.document import Document, RunRecord
from usgan_cli.core.store.workspace import (
    ControlName,
    GanKey,
    SeedsKey,
    SplitsKey,
    SubsetKey,
    Workspace,
    gan_name,
)
from usgan_cli.core.text import GAN_NAMES

Key = SubsetKey | GanKey | SeedsKey | SplitsKey


class ReportSummary(Document):
    """What a report shows, in numbers."""

    FORMAT = "usgan/report"
    VERSION = 2

    sizes: list[int]
    gans: int
    """GANs whose training has finished."""
    scores: int
    classifiers: int
    headline: str
    verdicts: dict[str, str]
    """Of every comparison with a control ("ada-x1 n100"): helped, hurt, equivalent, undecided or (the GAN) too weak."""
    copying: list[str]
    """GANs whose images are called copies of training or test images."""
    unreadable: list[str]
    """Records that could not be read, each with the reason."""
    warnings: list[str]
    missing: list[str]
    figures: list[str]
    tables: list[str]
    html: str
    """SHA-256 of `index.html`."""


KINDS = {
    "phantom": "Phantoms",
    "prepare": "Dataset",
    "subsample": "Subsets",
    "train-gan": "GANs",
    "generate": "Generated images",
    "score": "Scores",
    "train-cls": "Classifiers",
    "ttest": "Comparisons",
}
"""What each command makes."""


@dataclass(frozen=True)
class Missing:
    """A step of the study that is not done."""

    command: str
    artefact: str
    """What it writes, relative to the workspace."""
    line: str
    """The whole command, `command` its name alone."""


def aug_order(aug: str) -> tuple[int, str]:
    """Return a key that sorts GANs as the published study lists them."""
    return (list(GAN_NAMES).index(aug) if aug in GAN_NAMES else len(GAN_NAMES), aug)


def order(key: Key) -> tuple[Any, ...]:
    """Return a key that sorts from many images to few, then by seed, then by GAN."""
    if isinstance(key, GanKey):
        return (-key.n, key.seed, *aug_order(key.aug))
    return (-key.n, *key[1:])


def subset_title(key: SubsetKey, keys: Sequence[SubsetKey]) -> str:
    """Return "n = 100", with the seed where a number of images was drawn with more than one."""
    repeated = sum(other.n == key.n for other in keys) > 1
    return f"n = {key.n}, seed {key.seed}" if repeated or key.seed else f"n = {key.n}"


def training_order(item: ClassifierRecord | Comparison | SeedComparison | ArmEffect | ArmExchange) -> tuple[Any, ...]:
    """Return a key that sorts training sets: real images alone, controls with copies, then by GAN and variant."""
    if item.aug is not None:
        return (*aug_order(item.aug), item.ratio, item.variant)
    controls = typing.get_args(ControlName)
    return (-1, "", -1, "") if item.control is None else (-1, "", controls.index(item.control), item.ratio)


@dataclass(frozen=True)
class GanRun:
    """A GAN's training, finished or not."""

    key: GanKey
    document: GeneratorDocument | None
    """None while the training is unfinished."""
    settings: dict[str, Any]
    """Settings of `config.json`; empty where there is none."""
    log: list[LogRow]
    sheet: Path | None
    """The last sheet of samples."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of its files by name, once it has finished."""
    best: str | None = None
    """Content digest of the best of its saved generators, where there is one."""

    @property
    def kimg(self) -> float:
        """Thousands of images shown so far."""
        if self.document is not None:
            return self.document.kimg
        return self.log[-1].kimg if self.log else 0.0

    def uses(self, aug: str) -> bool:
        """Return whether an augmentation ("ada") is part of this GAN's."""
        return aug in self.key.aug.split("+")

    @property
    def adapts(self) -> bool:
        """Whether the probability of its augmentations followed r_t."""
        return self.uses("ada") or self.settings.get("diffaug_p") == "adaptive"


@dataclass(frozen=True)
class StudyRecords:
    """Everything a workspace says about its study; every dict is in the order of `order`."""

    workspace: Workspace
    data: DataManifest | None = None
    subsets: dict[SubsetKey, Subset] = field(default_factory=dict)
    gans: dict[GanKey, GanRun] = field(default_factory=dict)
    synthetic: dict[GanKey, SyntheticManifest] = field(default_factory=dict)
    scores: dict[GanKey, ScoreRecord] = field(default_factory=dict)
    classifiers: dict[SubsetKey, dict[str, ClassifierRecord]] = field(default_factory=dict)
    """By name, in the order of `training_order`."""
    snapshots: dict[GanKey, SnapshotsRecord] = field(default_factory=dict)
    ttests: dict[SubsetKey, TTestRecord] = field(default_factory=dict)
    seeds: dict[SeedsKey, SeedsRecord] = field(default_factory=dict)
    splits: dict[SplitsKey, SplitsRecord] = field(default_factory=dict)
    """Comparisons over several splits; all else here is of the first split."""
    further: dict[int, StudyRecords] = field(default_factory=dict)
    """By its seed, what of each further split the comparisons over several rest on: classifiers, and scores with what
    these are of."""
    fold_images: dict[str, SyntheticManifest] = field(default_factory=dict)
    """Images of the GANs that each leave out a fold of a strict classifier here, by name."""
    runs: list[RunRecord] = field(default_factory=list)
    made_by: dict[Path, RunRecord] = field(default_factory=dict)
    """The run that made each artefact that is a folder."""
    digests: dict[str, str] = field(default_factory=dict)
    """Digests of everything that was read, by its place in the workspace: what a report depends on."""
    unreadable: list[str] = field(default_factory=list)
    """Records that could not be read, each with the reason."""

    def subset_keys(self) -> list[SubsetKey]:
        """Return every subset that anything was made for."""
        keys = {*self.subsets, *self.classifiers, *self.ttests}
        return sorted(keys | {key.subset for key in [*self.gans, *self.synthetic, *self.scores]}, key=order)

    def place_of_input(self, artefact: Path, role: str, by_name: Path) -> str | None:
        """Return where in the workspace an artefact's input lies; by its name, where an older record does not say."""
        run = self.made_by.get(artefact)
        if run is None or run.places is None:
            return self.workspace.place_of(by_name)
        return run.places.get(role)

    def sizes(self) -> list[int]:
        """Return the numbers of training images, from many to few."""
        return list(dict.fromkeys(key.n for key in self.subset_keys()))

    def all_classifiers(self) -> list[tuple[SubsetKey, ClassifierRecord]]:
        """Return every classifier with its subset."""
        return [(key, record) for key, records in self.classifiers.items() for record in records.values()]

    def finished_gans(self) -> list[GanRun]:
        """Return the GANs whose training has finished."""
        return [gan for gan in self.gans.values() if gan.document is not None]

    def logged_gans(self) -> list[GanRun]:
        """Return the trainings with a log."""
        return [gan for gan in self.gans.values() if gan.log]

    def is_empty(self) -> bool:
        """Return whether there is nothing to report."""
        return self.data is None and not self.subset_keys() and not self.unreadable


def without_root(message: str, workspace: Workspace) -> str:
    """Return a message with paths relative to the workspace: a report is sent to others."""
    return message.replace(f"{workspace.root}/", "")


def fold_gans(key: SubsetKey, record: ClassifierRecord) -> list[str]:
    """Return the names of the GANs that each leave out a fold of a strict classifier, in the order of its folds."""
    if record.aug is None or record.protocol != "strict":
        return []
    return [gan_name(record.aug, *key, (fold.fold, len(record.folds))) for fold in record.folds]
