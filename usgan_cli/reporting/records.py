"""The records of a workspace, read and checked: what a study has so far."""

from __future__ import annotations

import errno
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from usgan_cli.core.errors import DamagedError, FormatError
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
from usgan_cli.core.formats.generator import BEST_FOLDER, SAMPLES_FOLDER, GeneratorDocument, Log, LogRow, read_log
from usgan_cli.core.formats.score import ScoreRecord, SnapshotsRecord
from usgan_cli.core.formats.synthetic import SyntheticManifest
from usgan_cli.core.store import files
from usgan_cli.core.store.document import Document, PlanDocument, RunDocument, RunRecord
from usgan_cli.core.store.remedy import remedy
from usgan_cli.core.store.workspace import (
    ControlName,
    GanKey,
    SeedsKey,
    SplitsKey,
    SubsetKey,
    Workspace,
    gan_name,
    work_option,
)
from usgan_cli.core.text import GAN_NAMES

Key = SubsetKey | GanKey | SeedsKey | SplitsKey
C = TypeVar("C", TTestRecord, SeedsRecord)
D = TypeVar("D", bound=Document)
K = TypeVar("K", bound=Key)
T = TypeVar("T")


MOST_DAMAGED = 5


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
    split_classifiers: dict[int, dict[SubsetKey, dict[str, ClassifierRecord]]] = field(default_factory=dict)
    """Classifiers of the further splits that these comparisons name, by the splits' seeds."""
    further: dict[int, StudyRecords] = field(default_factory=dict)
    """What the verdicts over several splits rest on in the further ones: scores, and what these are of."""
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


OF_THE_FILE = frozenset({errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP})
"""Errors that are of one file and stay: the report says that it cannot be read."""


class _Reader:
    """Reads records, and keeps the reasons why some cannot be read."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.runs: list[RunRecord] = []
        self.made_by: dict[Path, RunRecord] = {}
        self.digests: dict[str, str] = {}
        self.unreadable: list[str] = []
        self.damaged: list[DamagedError] = []

    def read(self, read: Callable[[Path], T], path: Path) -> T | None:
        """Return what `read` reads, or None where it cannot be read."""
        try:
            return read(path)
        except DamagedError as error:
            self.damaged.append(error)
            return None
        except FormatError as error:
            reason = error.message
        except OSError as error:
            if error.errno not in OF_THE_FILE:
                raise  # a disk's error goes away, and with it the report's would be another
            reason = f"{error.filename}: {error.strerror}."
        self.unreadable.append(without_root(reason, self.workspace))
        self._note(path, files.digest_json(reason))
        return None

    def file(self, path: Path, kind: type[D]) -> D | None:
        """Return a record, or None where there is none or it cannot be read."""
        record = self.read(kind.read, path) if path.is_file() else None
        if record is not None:
            self._note(path, record.content_digest())
        return record

    def _note(self, path: Path, digest: str) -> None:
        self.digests[path.relative_to(self.workspace.root).as_posix()] = digest

    def paths(self, folder: str, parse: Callable[[str], K | None]) -> list[tuple[K, Path]]:
        """Return the artefacts in a folder of the workspace in the order of their keys."""
        return _sorted(self.workspace.listed(folder, parse))

    def documents(
        self, folder: str, parse: Callable[[str], K | None], kind: type[D], workspace: Workspace | None = None
    ) -> dict[K, D]:
        """Return the artefacts that are one JSON file each, of a further split's workspace if one is given."""
        records = {}
        for key, path in _sorted((workspace or self.workspace).listed(folder, parse, ".json")):
            if (record := self.file(path, kind)) is not None:
                self.check_key(path, key, vars(record))
                records[key] = record
                self.runs += [] if record.run is None else [record.run]
        return records

    def folder(self, path: Path, name: str, kind: type[D]) -> D | None:
        """Return the main document of an artefact that is a folder."""
        record = self.file(path / name, kind)
        run = self.file(path / RunDocument.FILE, RunDocument)
        if run is not None:
            self.runs.append(run.run)
            self.made_by[path] = run.run
        if record is not None and run is not None:
            self.keep_damage(lambda: run.check(path, record, name))
        return record

    def keep_damage(self, check: Callable[[], None]) -> None:
        """Keep what a check raises about a damaged or missing file."""
        try:
            check()
        except DamagedError as error:
            self.damaged.append(error)

    def check_key(self, path: Path, key: Key, fields: Mapping[str, Any]) -> None:
        """Keep the damage of a record that is not the one its file is named after."""
        expected = key._asdict() | {"name": key.name}
        expected = {name: list(value) if isinstance(value, tuple) else value for name, value in expected.items()}
        for name, value in expected.items():
            if (recorded := fields.get(name, value)) != value:
                text = f"{path} is the record of another artefact: its {name} is {recorded!r}."
                self.damaged.append(DamagedError(text, remedy(path)))
                return

    def raise_damage(self) -> None:
        """Raise one error for all damaged records: a report without them would say something else."""
        if not self.damaged:
            return
        first = self.damaged[0]
        if len(self.damaged) == 1:
            raise first
        more = "\n".join(f"{error}" for error in self.damaged[:MOST_DAMAGED])
        work = work_option(self.workspace.root)
        raise DamagedError(f"{len(self.damaged)} records are damaged.\n{more}", f"See all of them: usgan verify{work}")

    def gan(self, key: GanKey, path: Path) -> GanRun:
        """Return a GAN's training."""
        plan = self.file(path / PlanDocument.FILE, PlanDocument)
        if plan is not None:
            self.check_key(path / PlanDocument.FILE, key, plan.settings)
        document = self.folder(path, GeneratorDocument.FILE, GeneratorDocument)
        if document is not None:
            self.check_key(path / GeneratorDocument.FILE, key, vars(document))
        log = self.read(read_log, path) or []
        self._note(path / Log.FILE, files.digest_json([row.model_dump() for row in log]))
        sheet = max((path / SAMPLES_FOLDER).glob("[!.]*.png"), default=None)
        run = self.read(RunDocument.find, path)
        if sheet is not None and run is not None:
            name = sheet.relative_to(path).as_posix()
            self.keep_damage(lambda: run.check_file(path, name))
        digests = {} if run is None else run.files
        return GanRun(key, document, {} if plan is None else plan.settings, log, sheet, digests, self.best(path))

    def best(self, path: Path) -> str | None:
        """Return the content digest of the best generator that a GAN's training saved."""
        document = self.file(path / BEST_FOLDER / GeneratorDocument.FILE, GeneratorDocument)
        return None if document is None else document.content_digest()

    def split(self, workspace: Workspace) -> StudyRecords:
        """Return the classifiers of a further split, and its scores with what these are of."""

        def folders(folder: str, kind: type[D]) -> dict[GanKey, D]:
            paths = _sorted(workspace.listed(folder, GanKey.parse))
            read = {key: self.folder(path, kind.FILE, kind) for key, path in paths if path.is_dir()}
            return {key: document for key, document in read.items() if document is not None}

        gans = folders("gans", GeneratorDocument)
        subsets = workspace.listed("classifiers", SubsetKey.parse)
        return StudyRecords(
            workspace,
            self.folder(workspace.data, DataManifest.FILE, DataManifest),
            self.documents("subsets", SubsetKey.parse, Subset, workspace),
            {
                key: GanRun(key, document, {}, [], None, best=self.best(workspace.gan(*key)))
                for key, document in gans.items()
            },
            folders("synthetic", SyntheticManifest),
            self.documents("scores", GanKey.parse, ScoreRecord, workspace),
            {key: self.classifiers(path) for key, path in subsets.items()},
            made_by=self.made_by,
        )

    def classifiers(self, path: Path) -> dict[str, ClassifierRecord]:
        """Return the classifiers of one subset by name."""
        folders = [inner.parent for inner in sorted(path.glob(f"[!.]*/{ClassifierRecord.FILE}"))]
        read = [self.folder(folder, ClassifierRecord.FILE, ClassifierRecord) for folder in folders]
        return {record.name: record for record in sorted(filter(None, read), key=training_order)}

    def fold_images(self, key: SubsetKey, record: ClassifierRecord) -> dict[str, SyntheticManifest]:
        """Return the images that are there of the GANs which each leave out a fold of a strict classifier, by name."""
        names = fold_gans(key, record)
        paths = {name: self.workspace.named_synthetic(name) / SyntheticManifest.FILE for name in names}
        read = {name: self.file(path, SyntheticManifest) for name, path in paths.items()}
        return {name: manifest for name, manifest in read.items() if manifest is not None}


def _sorted(paths: dict[K, Path]) -> list[tuple[K, Path]]:
    return sorted(paths.items(), key=lambda item: order(item[0]))


def fold_gans(key: SubsetKey, record: ClassifierRecord) -> list[str]:
    """Return the names of the GANs that each leave out a fold of a strict classifier, in the order of its folds."""
    if record.aug is None or record.protocol != "strict":
        return []
    return [gan_name(record.aug, *key, (fold.fold, len(record.folds))) for fold in record.folds]


def _in_order(record: C) -> C:
    """Return a record with its comparisons by GAN and ratio, as every table and figure shows them."""
    return record.model_copy(update={"comparisons": sorted(record.comparisons, key=training_order)})


def collect(workspace: Workspace) -> StudyRecords:
    """Read every record of a workspace, which may be incomplete.

    Records of another version are listed in `unreadable`. Damaged ones are a `DamagedError`.
    """
    reader = _Reader(workspace)
    data = reader.folder(workspace.data, DataManifest.FILE, DataManifest)
    subsets = reader.documents("subsets", SubsetKey.parse, Subset)
    gans = {key: reader.gan(key, path) for key, path in reader.paths("gans", GanKey.parse) if path.is_dir()}
    synthetic = {
        key: reader.folder(path, SyntheticManifest.FILE, SyntheticManifest)
        for key, path in reader.paths("synthetic", GanKey.parse)
    }
    scores = reader.documents("scores", GanKey.parse, ScoreRecord)
    classifiers = {key: reader.classifiers(path) for key, path in reader.paths("classifiers", SubsetKey.parse)}
    fold_images = {
        name: manifest
        for key, records in classifiers.items()
        for record in records.values()
        for name, manifest in reader.fold_images(key, record).items()
    }
    snapshots = reader.documents("scores", GanKey.parse_snapshots, SnapshotsRecord)
    ttests = reader.documents("ttests", SubsetKey.parse, TTestRecord)
    seeds = reader.documents("ttests", SeedsKey.parse, SeedsRecord)
    splits = reader.documents("ttests", SplitsKey.parse, SplitsRecord)
    named = {split for key in splits for split in key.splits[1:]}
    splits_records = {split: reader.split(workspace.split(split)) for split in sorted(named)}
    reader.raise_damage()
    return StudyRecords(
        workspace,
        data,
        subsets,
        gans,
        {key: manifest for key, manifest in synthetic.items() if manifest is not None},
        scores,
        {key: records for key, records in classifiers.items() if records},
        {key: record for key, record in snapshots.items() if record.snapshots},
        ttests={key: _in_order(record) for key, record in ttests.items()},
        seeds={key: _in_order(record) for key, record in seeds.items()},
        splits=splits,
        split_classifiers={split: one.classifiers for split, one in splits_records.items()},
        further=splits_records,
        fold_images=fold_images,
        runs=reader.runs,
        made_by=reader.made_by,
        digests=reader.digests,
        unreadable=reader.unreadable,
    )
