"""Reading and checking the records of a workspace."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from usgan_cli.core.errors import DamagedError, FormatError
from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.comparison import (
    SeedsRecord,
    SplitsRecord,
    TTestRecord,
)
from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.core.formats.generator import BEST_FOLDER, SAMPLES_FOLDER, GeneratorDocument, Log, read_log
from usgan_cli.core.formats.score import ScoreRecord, SnapshotsRecord
from usgan_cli.core.formats.synthetic import SyntheticManifest
from usgan_cli.core.store import files
from usgan_cli.core.store.document import Document, PlanDocument, RunDocument, RunRecord
from usgan_cli.core.store.remedy import remedy
from usgan_cli.core.store.workspace import (
    GanKey,
    SeedsKey,
    SplitsKey,
    SubsetKey,
    Workspace,
    work_option,
)
from usgan_cli.reporting.records import GanRun, Key, StudyRecords, fold_gans, order, training_order, without_root

C = TypeVar("C", TTestRecord, SeedsRecord)
D = TypeVar("D", bound=Document)
K = TypeVar("K", bound=Key)
T = TypeVar("T")

MOST_DAMAGED = 5
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
    further = {split: reader.split(workspace.split(split)) for split in sorted(named)}
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
        further=further,
        fold_images=fold_images,
        runs=reader.runs,
        made_by=reader.made_by,
        digests=reader.digests,
        unreadable=reader.unreadable,
    )
