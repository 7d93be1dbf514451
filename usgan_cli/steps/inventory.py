"""What is in a workspace and whether it is whole: each artefact read and checked against what was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from usgan_cli.core.errors import (
    DamagedError,
    DataError,
    FormatError,
    MissingError,
    UnsealedError,
    UsganError,
    VersionError,
)
from usgan_cli.core.formats.classifier import ClassifierRecord, FoldRecord
from usgan_cli.core.formats.comparison import SeedsRecord, SplitsRecord, TTestRecord
from usgan_cli.core.formats.dataset import DataManifest, Phantoms, Subset
from usgan_cli.core.formats.external import ExternalManifest
from usgan_cli.core.formats.generator import (
    CHECKPOINT_FOLDER,
    GeneratorDocument,
    TrainingState,
    latest_state,
    read_log,
)
from usgan_cli.core.formats.score import ScoreRecord, SnapshotsRecord
from usgan_cli.core.formats.synthetic import SyntheticManifest
from usgan_cli.core.formats.tensors import is_intact
from usgan_cli.core.store import files
from usgan_cli.core.store.document import Document, PlanDocument, RunDocument, RunRecord, read_sealed
from usgan_cli.core.store.lifecycle import find_existing, folder_files
from usgan_cli.core.store.recorded_file import FileRecord
from usgan_cli.core.store.remedy import remedy
from usgan_cli.core.store.workspace import SNAPSHOTS, SPLITS, SeedsKey, SplitsKey, SubsetKey, Workspace, work_option
from usgan_cli.reporting.cards import CardsSummary

State = Literal["damaged", "missing", "older version", "newer version", "out of date", "orphaned", "leftover"]
MAIN: dict[str, type[Document]] = {
    "phantoms": Phantoms,
    "data": DataManifest,
    "external": ExternalManifest,
    "gans": GeneratorDocument,
    "synthetic": SyntheticManifest,
    "classifiers": ClassifierRecord,
    "cards": CardsSummary,
}
"""Main document of the artefacts that are folders; the report has none."""
GROWING = ("gans", "classifiers")
"""Artefacts that grow in place: they have a plan."""
WHOSE = ("aug", "n", "seed", "ratio", "control")
"""Settings that say which artefact of its kind one is."""
SINGLE: dict[str, type[Document]] = {
    kind.FORMAT: kind
    for kind in (Subset, ScoreRecord, SnapshotsRecord, TTestRecord, SeedsRecord, SplitsRecord, FileRecord)
}
"""Artefacts that are one JSON file each, by format."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be."""

    state: State
    path: Path
    why: str
    mend: str
    """The command that mends it, or what to do."""


@dataclass
class Artefact:
    """One artefact of a workspace, read and checked."""

    folder: str
    """Of the workspace: "gans"."""
    path: Path
    document: Document | None = None
    """None where it is damaged or unfinished."""
    run: RunRecord | None = None
    """None while it is unfinished."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is called: n100-s0/real for a classifier, n100-s0 for a subset."""
        own = self.path.name.removesuffix(".json")
        return f"{self.path.parent.name}/{own}" if self.folder == "classifiers" else own

    def note(self, error: UsganError, path: Path | None = None) -> None:
        """Keep what is wrong."""
        where = path or self.path
        self.findings.append(Finding(state_of(error), where, error.message, error.hint or remedy(where)))


def state_of(error: UsganError) -> State:
    """Return what a file is that cannot be read."""
    if isinstance(error, VersionError):
        return "older version" if error.older else "newer version"
    if isinstance(error, UnsealedError):
        return "older version"
    return "missing" if isinstance(error, MissingError) else "damaged"


def take_inventory(workspace: Workspace) -> list[Artefact]:
    """Read and check every artefact of a workspace, in the order in which they are made."""
    return [check_artefact(folder, path) for folder, path in workspace.artefacts()]


def further_splits(workspace: Workspace) -> list[Workspace]:
    """Return the workspaces of a study's further splits, each of which has artefacts of its own."""
    return [Workspace(path) for path in sorted((workspace.root / SPLITS).glob("s*")) if path.is_dir()]


def check_artefact(folder: str, path: Path) -> Artefact:
    """Read one artefact, and check every file of it against the digests that were recorded."""
    artefact = Artefact(folder, path)
    try:
        if path.is_file():
            _check_file(artefact)
        elif (existing := find_existing(path)) is not None:
            (_check_folder if existing.finished else _check_unfinished)(artefact)
    except (FormatError, DataError, MissingError) as error:
        artefact.note(error)
    except UsganError as error:  # there, and not ours
        artefact.findings.append(Finding("orphaned", path, error.message, error.hint or "Move it away."))
    return artefact


def _check_file(artefact: Artefact) -> None:
    path = artefact.path
    kind = SINGLE.get(read_sealed(path)["format"])
    if kind is None:
        artefact.findings.append(
            Finding("orphaned", path, f"{path} is of no format that belongs here.", "Move it away.")
        )
        return
    document = kind.read(path)
    artefact.document, artefact.run = document, document.run
    expected = _name_of(document)
    if expected is not None and expected != artefact.name:
        text = f"{path} is the record of {expected}, not of {artefact.name}."
        artefact.findings.append(Finding("damaged", path, text, remedy(path)))
    _check_digests(artefact, path.parent, document.beside())


def _name_of(document: Document) -> str | None:
    """Return what a single-file artefact says that it is called; None where it does not say."""
    if isinstance(document, ScoreRecord):
        return document.name
    if isinstance(document, SnapshotsRecord):
        return document.name + SNAPSHOTS
    if isinstance(document, Subset | TTestRecord):
        return SubsetKey(document.n, document.seed).name
    if isinstance(document, SeedsRecord):
        return SeedsKey(document.n, tuple(document.seeds)).name
    if isinstance(document, SplitsRecord):
        return SplitsKey(document.n, tuple(document.seeds), tuple(document.splits)).name
    return None


def _check_folder(artefact: Artefact) -> None:
    path = artefact.path
    run = RunDocument.read(path / RunDocument.FILE)
    artefact.run = run.run
    if artefact.folder in GROWING:
        try:
            planned, made = PlanDocument.read(path / PlanDocument.FILE).settings, run.run.settings
            if any(planned.get(name) != made.get(name) for name in WHOSE):
                raise DamagedError(f"{path / PlanDocument.FILE} is the plan of another artefact.", remedy(path))
        except (FormatError, MissingError) as error:
            artefact.note(error, path / PlanDocument.FILE)
    kind, listed = MAIN.get(artefact.folder), dict(run.files)
    if kind is not None:
        try:
            document = kind.read(path / kind.FILE)
            run.check(path, document, kind.FILE)
        except (FormatError, MissingError) as error:
            artefact.note(error, path / kind.FILE)
        else:
            artefact.document = document
            listed |= document.file_digests()
        listed.pop(kind.FILE, None)
    _check_digests(artefact, path, listed)
    if artefact.document is not None and run.files:
        known = {*listed, *([] if kind is None else [kind.FILE])}
        for name, extra in folder_files(path).items():
            if name not in known:
                text = f"{extra} was not there when the artefact was made."
                artefact.findings.append(Finding("orphaned", extra, text, "Move it away."))


def _check_digests(artefact: Artefact, folder: Path, digests: Mapping[str, str]) -> None:
    for name, sha256 in digests.items():
        path = folder / name
        if not path.is_file():
            artefact.findings.append(Finding("missing", path, f"{path} does not exist.", remedy(path)))
        elif files.sha256_file(path) != sha256:
            text = f"{path} is not the file that was recorded when it was made."
            artefact.findings.append(Finding("damaged", path, text, remedy(path)))


def _check_unfinished(artefact: Artefact) -> None:
    """Check what a training, or a cross-validation, has saved so far."""
    path = artefact.path
    if artefact.folder == "gans":
        read_log(path)
        if (state := latest_state(path / CHECKPOINT_FOLDER)) is not None:
            tensors = state.tensor_file(path / CHECKPOINT_FOLDER).relative_to(path).as_posix()
            _check_digests(artefact, path, {tensors: state.tensors})
        for one in sorted((path / CHECKPOINT_FOLDER).glob("kimg*.json")):
            TrainingState.read(one)
    for record in sorted(path.glob("folds/fold*.json")):
        fold = FoldRecord.read(record)
        _check_digests(artefact, path, {f"folds/{record.stem}.csv": fold.predictions})
        if fold.external is not None:
            _check_digests(artefact, path, {f"folds/{record.stem}-external.csv": fold.external})
    for tensors_file in [*path.glob("folds/*.safetensors"), *path.glob("snapshots/*.safetensors")]:
        if not is_intact(tensors_file.read_bytes()):
            text = f"{tensors_file} was changed or damaged after it was written."
            artefact.findings.append(Finding("damaged", tensors_file, text, remedy(tensors_file)))


def damaged_caches(workspace: Workspace) -> Iterator[Finding]:
    """Yield the cached features that are damaged: they are computed again when they are needed."""
    clear = f"usgan clean --only caches --yes{work_option(workspace.root)}"
    for path in cache_files(workspace):
        if not is_intact(path.read_bytes()):
            yield Finding("leftover", path, f"{path} is damaged; it is computed again.", clear)


def cache_files(workspace: Workspace) -> list[Path]:
    """Return the files of cached features."""
    return sorted(workspace.cache.rglob("*.safetensors")) if workspace.cache.is_dir() else []
