"""The records of a workspace, collected and checked: what a study has made so far, and what it lacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from usgan_cli.core.errors import FormatError
from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.comparison import SeedsRecord, TTestRecord
from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.core.formats.generator import GeneratorDocument, LogRow, read_log
from usgan_cli.core.formats.score import ScoreRecord, SnapshotsRecord
from usgan_cli.core.formats.synthetic import SyntheticManifest
from usgan_cli.core.store import files
from usgan_cli.core.store.document import Document, PlanDocument, RunDocument, RunRecord
from usgan_cli.core.store.workspace import Workspace, gan_name, subset_name

AUG_ORDER = ("none", "ada", "diffaug", "ada+diffaug")
LABELS = {
    "none": "StyleGAN2",
    "ada": "StyleGAN2 + ADA",
    "diffaug": "StyleGAN2 + DiffAug",
    "ada+diffaug": "StyleGAN2 + ADA + DiffAug",
}
SUBSET_NAME = re.compile(r"n(\d+)-s(\d+)")
SEEDS_NAME = re.compile(r"n(\d+)-s(\d+(?:\+\d+)+)")
GAN_NAME = re.compile(r"(.+)-n(\d+)-s(\d+)")
SNAPSHOTS = "-snapshots"

D = TypeVar("D", bound=Document)
T = TypeVar("T")


class ReportSummary(Document):
    """What a report shows, in numbers."""

    FORMAT = "usgan/report"

    sizes: list[int]
    gans: int
    """GANs whose training has finished."""
    scores: int
    classifiers: int
    comparisons: int
    significant: int
    """Comparisons with p below 0.05 after Holm's correction."""
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


class SubsetKey(NamedTuple):
    """Which training images: their number and the seed of the draw."""

    n: int
    seed: int

    @property
    def name(self) -> str:
        """n100-s0."""
        return subset_name(self.n, self.seed)


class GanKey(NamedTuple):
    """Which GAN."""

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

    @property
    def order(self) -> tuple[int, int, int, str]:
        """Sorts from many images to few, then by seed, then in the study's order of GANs."""
        return (-self.n, self.seed, AUG_ORDER.index(self.aug) if self.aug in AUG_ORDER else 9, self.aug)


def label(aug: str) -> str:
    """Return a GAN's name for readers."""
    return LABELS.get(aug, aug)


class SeedsKey(NamedTuple):
    """Which comparison over several seeds."""

    n: int
    seeds: tuple[int, ...]

    @property
    def name(self) -> str:
        """n100-s0+1+2."""
        return f"n{self.n}-s{'+'.join(map(str, self.seeds))}"


@dataclass(frozen=True)
class GanRun:
    """A GAN's training, finished or not."""

    key: GanKey
    document: GeneratorDocument | None
    settings: dict[str, Any]
    """Settings of `config.json`; empty where there is none."""
    log: list[LogRow]
    grid: Path | None
    """The last sheet of samples."""
    run: RunRecord | None

    @property
    def kimg(self) -> float:
        """Thousands of images shown so far."""
        if self.document is not None:
            return self.document.kimg
        return self.log[-1].kimg if self.log else 0.0


@dataclass
class StudyRecords:
    """Everything a workspace says about its study."""

    workspace: Workspace
    data: DataManifest | None = None
    subsets: dict[SubsetKey, Subset] = field(default_factory=dict)
    gans: dict[GanKey, GanRun] = field(default_factory=dict)
    synthetic: dict[GanKey, SyntheticManifest] = field(default_factory=dict)
    scores: dict[GanKey, ScoreRecord] = field(default_factory=dict)
    classifiers: dict[SubsetKey, dict[str, ClassifierRecord]] = field(default_factory=dict)
    ttests: dict[SubsetKey, TTestRecord] = field(default_factory=dict)
    snapshots: dict[GanKey, SnapshotsRecord] = field(default_factory=dict)
    seeds: dict[SeedsKey, SeedsRecord] = field(default_factory=dict)
    runs: list[RunRecord] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Records that could not be read, each with the reason."""

    def subset_keys(self) -> list[SubsetKey]:
        """Return every subset that anything was made for, from many images to few."""
        found = set(self.subsets) | set(self.classifiers) | set(self.ttests)
        found |= {key.subset for key in [*self.gans, *self.synthetic, *self.scores]}
        return sorted(found, key=lambda key: (-key.n, key.seed))

    def sizes(self) -> list[int]:
        """Return the numbers of training images, from many to few."""
        return sorted({key.n for key in self.subset_keys()}, reverse=True)

    def augs(self) -> list[str]:
        """Return the GANs' augmentations in the study's order."""
        found = {key.aug for key in [*self.gans, *self.synthetic, *self.scores]}
        found |= {record.aug for _, record in self.all_classifiers() if record.aug is not None}
        return sorted(found, key=lambda aug: GanKey(aug, 0, 0).order)

    def all_classifiers(self) -> list[tuple[SubsetKey, ClassifierRecord]]:
        """Return every classifier: by subset, the baseline first, then by GAN and ratio."""
        found = [(key, record) for key, group in self.classifiers.items() for record in group.values()]
        return sorted(
            found,
            key=lambda item: (-item[0].n, item[0].seed, setting_order(item[1].aug, item[1].ratio), item[1].variant),
        )

    def finished_gans(self) -> list[GanRun]:
        """Return the GANs whose training has finished."""
        return [gan for gan in self.gans.values() if gan.document is not None]

    def is_empty(self) -> bool:
        """Return whether there is nothing to report."""
        return self.data is None and not self.subset_keys() and not self.unreadable

    def digests(self) -> dict[str, str]:
        """Return the content digest of every record, by its name: what a report depends on."""
        found = {} if self.data is None else {"data": self.data.content_digest()}
        kinds: dict[str, dict[Any, Any]] = {
            "subset": self.subsets,
            "synthetic": self.synthetic,
            "score": self.scores,
            "ttest": self.ttests,
            "snapshots": self.snapshots,
            "seeds": self.seeds,
        }
        for kind, records in kinds.items():
            found |= {f"{kind} {key.name}": record.content_digest() for key, record in records.items()}
        for key, record in self.all_classifiers():
            found[f"classifier {key.name} {record.name}"] = record.content_digest()
        for gan_key, gan in self.gans.items():
            content = None if gan.document is None else gan.document.content_digest()
            found[f"gan {gan_key.name}"] = files.digest_json([content, [row.model_dump() for row in gan.log]])
        return found | {f"unreadable {i}": files.digest_json(text) for i, text in enumerate(self.unreadable)}


def setting_order(aug: str | None, ratio: float) -> tuple[int, str, float]:
    """Return a key that sorts training sets: the baseline, then by GAN and ratio."""
    if aug is None:
        return (-1, "", 0.0)
    return (AUG_ORDER.index(aug) if aug in AUG_ORDER else 9, aug, ratio)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def _subset_key(name: str) -> SubsetKey | None:
    match = SUBSET_NAME.fullmatch(name)
    return None if match is None else SubsetKey(int(match[1]), int(match[2]))


def _gan_key(name: str) -> GanKey | None:
    match = GAN_NAME.fullmatch(name)
    return None if match is None else GanKey(match[1], int(match[2]), int(match[3]))


def _snapshots_key(name: str) -> GanKey | None:
    return _gan_key(name.removesuffix(SNAPSHOTS)) if name.endswith(SNAPSHOTS) else None


def _seeds_key(name: str) -> SeedsKey | None:
    match = SEEDS_NAME.fullmatch(name)
    return None if match is None else SeedsKey(int(match[1]), tuple(map(int, match[2].split("+"))))


class _Collector:
    def __init__(self, workspace: Workspace) -> None:
        self.found = StudyRecords(workspace)

    def read(self, read: Callable[[], T]) -> T | None:
        """Return what `read` reads, or keep the reason why it cannot be read."""
        try:
            return read()
        except FormatError as error:
            reason = error.message
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}."
        # A report is sent to others: the place of the workspace on this machine is left out.
        self.found.unreadable.append(reason.replace(f"{self.found.workspace.root}/", ""))
        return None

    def file(self, path: Path, kind: type[D]) -> D | None:
        """Read a record that may be absent."""
        return self.read(lambda: kind.read(path)) if path.is_file() else None

    def single(self, folder: Path, kind: type[D], key_of: Callable[[str], T | None]) -> Iterator[tuple[T, D]]:
        """Read a folder of artefacts that are one JSON file each; their own `run` joins the list of runs."""
        for path in _visible(folder):
            if path.suffix == ".json" and (key := key_of(path.stem)) is not None:
                record = self.file(path, kind)
                if record is not None:
                    self.add_run(record.run)
                    yield key, record

    def add_run(self, run: RunRecord | None) -> None:
        if run is not None:
            self.found.runs.append(run)

    def folder_run(self, folder: Path) -> RunRecord | None:
        document = self.file(folder / "run.json", RunDocument)
        run = None if document is None else document.run
        self.add_run(run)
        return run

    def gan(self, folder: Path, key: GanKey) -> GanRun:
        plan = self.file(folder / "config.json", PlanDocument)
        sheets = [path for path in _visible(folder / "samples") if path.suffix == ".png"]
        return GanRun(
            key,
            self.file(folder / "generator.json", GeneratorDocument),
            {} if plan is None else plan.settings,
            self.read(lambda: read_log(folder)) or [],
            sheets[-1] if sheets else None,
            self.folder_run(folder),
        )


def collect(workspace: Workspace) -> StudyRecords:
    """Read every record of a workspace.

    Parameters
    ----------
    workspace : Workspace
        May be incomplete, or empty.

    Returns
    -------
    StudyRecords
        With the records that cannot be read listed in `unreadable`; nothing is raised for them.
    """
    root, collector = workspace.root, _Collector(workspace)
    found = collector.found
    found.data = collector.file(workspace.data / "manifest.json", DataManifest)
    collector.folder_run(workspace.data)
    found.subsets.update(collector.single(root / "subsets", Subset, _subset_key))
    for folder in _visible(root / "gans"):
        key = _gan_key(folder.name)
        if key is not None and folder.is_dir():
            found.gans[key] = collector.gan(folder, key)
    for folder in _visible(root / "synthetic"):
        key = _gan_key(folder.name)
        manifest = collector.file(folder / "manifest.json", SyntheticManifest)
        if key is not None and manifest is not None:
            found.synthetic[key] = manifest
            collector.folder_run(folder)
    found.scores.update(collector.single(root / "scores", ScoreRecord, _gan_key))
    for folder in _visible(root / "classifiers"):
        subset = _subset_key(folder.name)
        for inner in _visible(folder) if subset is not None else []:
            record = collector.file(inner / "result.json", ClassifierRecord)
            if subset is not None and record is not None:
                found.classifiers.setdefault(subset, {})[record.name] = record
                collector.folder_run(inner)
    scored = collector.single(root / "scores", SnapshotsRecord, _snapshots_key)
    found.snapshots.update((key, record) for key, record in scored if record.snapshots)
    found.ttests.update(collector.single(root / "ttests", TTestRecord, _subset_key))
    found.seeds.update(collector.single(root / "ttests", SeedsRecord, _seeds_key))
    return found
