"""The life of an artefact: made once, skipped when nothing has changed, refused when something has.

Every command makes its artefacts through `make_file`, `make_folder` or `grow_folder`, so all of them skip, refuse,
redo, lock, plan and publish alike.
"""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from usgan_cli.core.errors import DataError, FormatError, SettingsError
from usgan_cli.core.machine import device as devices
from usgan_cli.core.machine.memory import process_peak_memory_mb
from usgan_cli.core.progress import Progress, Silent
from usgan_cli.core.store import files
from usgan_cli.core.store.document import Document, PlanDocument, RunDocument, RunRecord, read_run
from usgan_cli.core.store.provenance import package_versions

RUN_FILE = "run.json"
PLAN_FILE = "config.json"

INPUT = "its input"
"""How a difference begins that is of an input and not of a setting."""

Status = Literal["done", "skipped", "planned"]
OnNewInputs = Literal["refuse", "redo"]
Summary = Callable[[Path], dict[str, Any]]
Reached = Callable[[Path], Mapping[str, float]]


@dataclass(frozen=True)
class Step:
    """What an artefact is made from. Two equal steps make the same artefact.

    Attributes
    ----------
    command : str
    revision : int
        Number of the step's code version; raised when the same settings begin to give other results.
    settings : mapping
        Resolved settings that decide the result, JSON-able.
    inputs : mapping of str to str
        Content digest of each input.
    """

    command: str
    revision: int
    settings: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)

    def differences(self, other: Step) -> list[str]:
        """Return in words how what is on disk (`other`) differs from this step; empty if it does not."""
        if self.command != other.command:
            return [f"it was made by usgan {other.command}"]
        mine, theirs = _flat(self.settings), _flat(other.settings)
        found = [
            f"{name} is {theirs.get(name, 'unset')!r} there and {mine.get(name, 'unset')!r} now"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]
        found += [
            f"{INPUT} {name!r} has changed since"
            for name in sorted(self.inputs.keys() | other.inputs.keys())
            if self.inputs.get(name) != other.inputs.get(name)
        ]
        if self.revision != other.revision:
            found.append(f"it was made by revision {other.revision} of this step (now {self.revision})")
        return found


@dataclass(frozen=True)
class Request:
    """How a step is to be carried out, whatever it makes."""

    progress: Progress
    force: bool = False
    """Make it again whatever is there."""
    refresh: bool = False
    """Make it again where what is there was made otherwise (the default refuses); leave it where it is up to date."""
    dry_run: bool = False
    wait_s: float = 0


@dataclass(frozen=True)
class Outcome:
    """What came of a step.

    Attributes
    ----------
    path : Path
        The artefact.
    status : {"done", "skipped", "planned"}
    result : dict
        What `--json` shows: the artefact's main figures, or the plan.
    changes : tuple of str
        Where it is planned: how what is there differs from what is asked for.
    begun : bool
        Where it is planned: a part of it is there, from which the work goes on.
    """

    path: Path
    status: Status
    result: dict[str, Any]
    changes: tuple[str, ...] = ()
    begun: bool = False


Allowance = Callable[[Step, Step], str | None]
"""Says of (the step, the differing one on disk) why it may go ahead without being asked, or None if it may not."""


def _nothing(step: Step, there: Step) -> str | None:  # noqa: ARG001
    return None


def _new_inputs(step: Step, there: Step) -> str | None:
    same = not replace(step, inputs=there.inputs).differences(there)
    return "its inputs have changed" if same else None


def _within(path: Path, reached: Reached) -> Allowance:
    """Return the allowance for limits that what is there has not gone beyond: it is then a part of the new."""

    def allow(step: Step, there: Step) -> str | None:
        so_far = reached(path)
        before: dict[str, Any] = {name: there.settings.get(name) for name in so_far}
        if replace(step, settings={**step.settings, **before}).differences(there):
            return None
        changed = {name: step.settings.get(name) for name in so_far if before[name] != step.settings.get(name)}
        for name, limit in changed.items():
            if limit is None or (before[name] is not None and limit > before[name]):
                continue
            if limit < so_far[name]:
                return None
        steps = [f"{name} {_limit(before[name])} to {_limit(limit)}" for name, limit in changed.items()]
        return f"goes on from {' and '.join(steps)}"

    return allow


def _limit(value: float | None) -> str:
    return "unlimited" if value is None else f"{value:g}"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat


def find_step(path: Path) -> tuple[Step, bool] | None:
    """Return the step behind an artefact and whether it was finished; None if there is nothing at `path`.

    Raises
    ------
    SettingsError
        Something is there that usgan did not make.
    """
    if path.is_dir():
        if (path / RUN_FILE).is_file():
            return _step_of(RunDocument.read(path / RUN_FILE).run), True
        if (path / PLAN_FILE).is_file():
            plan = PlanDocument.read(path / PLAN_FILE)
            return Step(plan.command, plan.revision, plan.settings, plan.inputs), False
        if not all(files.is_partial(entry) for entry in path.iterdir()):
            raise SettingsError(f"{path} exists and was not made by usgan.", "Choose another --out, or move it away.")
        return None
    if path.exists():
        try:
            return _step_of(read_run(path)), True
        except FormatError:
            if path.suffix == ".json":
                raise
            raise SettingsError(
                f"{path} exists and was not made by usgan.", "Choose another --out, or move it away."
            ) from None
    return None


def _step_of(run: RunRecord) -> Step:
    return Step(run.command, run.revision, run.settings, run.inputs)


def make_file(
    path: Path,
    step: Step,
    work: Callable[[], Document],
    summary: Summary,
    request: Request,
    *,
    on_new_inputs: OnNewInputs = "refuse",
) -> Outcome:
    """Make an artefact that is one JSON file.

    Parameters
    ----------
    path : Path
    step : Step
    work : callable
        Does the work and returns the document to write.
    summary : callable
        Reads the finished artefact and returns what `--json` shows.
    request : Request
    on_new_inputs : {"refuse", "redo"}
        What to do where only the inputs have changed: "redo" is for artefacts that are cheap to derive again.
    """

    def make() -> None:
        with _clock(step) as finish:
            document = work()
        document.model_copy(update={"run": finish()}).write(path)

    return _unless_settled(path, step, make, summary, request, _new_inputs if on_new_inputs == "redo" else _nothing)


def make_folder(
    path: Path,
    step: Step,
    work: Callable[[Path], Document],
    summary: Summary,
    request: Request,
    *,
    on_new_inputs: OnNewInputs = "refuse",
) -> Outcome:
    """Make an artefact that is a folder, built beside its final place and published whole.

    `work` fills the empty folder it is given and returns the folder's main document, whose content digest is
    recorded. Other parameters are those of `make_file`.
    """

    def make() -> None:
        with files.published_folder(path) as folder:
            _fill(folder, step, work)

    return _unless_settled(path, step, make, summary, request, _new_inputs if on_new_inputs == "redo" else _nothing)


def grow_folder(
    path: Path,
    step: Step,
    work: Callable[[Path], Document],
    summary: Summary,
    request: Request,
    *,
    reached: Reached | None = None,
) -> Outcome:
    """Make an artefact that takes so long that it grows in place and can be continued after an interruption.

    The folder holds `config.json` from the start and `run.json` only once it is finished; `work` writes every
    file whole, and finds in the folder what an earlier call has left, interrupted or with other limits.

    Parameters
    ----------
    path, step, work, summary, request
        As for `make_folder`.
    reached : callable, optional
        Returns, for each setting that limits the work (None for no limit), how far the folder has come. The work goes
        on from what is there when a limit is raised, or changed without having been passed.
    """

    def make() -> None:
        if path.exists() and (request.force or _is_other(path, step, allowed)):
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        files.clear_partial(path)
        settings, inputs = dict(step.settings), dict(step.inputs)
        plan = PlanDocument(command=step.command, revision=step.revision, settings=settings, inputs=inputs)
        plan.write(path / PLAN_FILE)
        (path / RUN_FILE).unlink(missing_ok=True)
        try:
            _fill(path, step, work)
        except BaseException:
            # Nothing was begun, so nothing should stand in the way of other settings.
            if [entry.name for entry in path.iterdir()] == [PLAN_FILE]:
                shutil.rmtree(path)
            raise

    allowed = _nothing if reached is None else _within(path, reached)
    return _unless_settled(path, step, make, summary, request, allowed)


def _is_other(path: Path, step: Step, allowed: Allowance) -> bool:
    """Return whether what is there is no part of what the step makes."""
    found = find_step(path)
    return found is not None and bool(step.differences(found[0])) and allowed(step, found[0]) is None


def _fill(folder: Path, step: Step, work: Callable[[Path], Document]) -> None:
    """Do the work in a folder, and say in `run.json` that it is finished."""
    with _clock(step) as finish:
        document = work(folder)
    RunDocument(content=document.content_digest(), run=finish()).write(folder / RUN_FILE)


def _unless_settled(
    path: Path,
    step: Step,
    make: Callable[[], None],
    summary: Summary,
    request: Request,
    allowed: Allowance,
) -> Outcome:
    """Make the artefact, holding its lock, unless there is nothing to do; look again once the lock is held."""
    first = Silent()
    if (outcome := _settled(path, step, summary, replace(request, progress=first), allowed)) is not None:
        for note in first.notes:
            request.progress.note(note)
        return outcome
    with files.locked(path, wait_s=request.wait_s):
        if (outcome := _settled(path, step, summary, request, allowed)) is not None:
            return outcome
        make()
    return Outcome(path, "done", summary(path))


def _settled(
    path: Path,
    step: Step,
    summary: Summary,
    request: Request,
    allowed: Allowance,
) -> Outcome | None:
    """Return the outcome if there is nothing to do, None if there is work, or raise if what is there differs."""
    found = find_step(path)
    changes: tuple[str, ...] = ()
    if found is not None:
        there, finished = found
        if there.command != step.command and (request.force or request.refresh):
            raise SettingsError(
                f"{path} was made by usgan {there.command}; usgan {step.command} does not replace it.",
                "Choose another --out, or move it away.",
            )
        changes = tuple(step.differences(there))
        if changes and not request.force:
            changes = _allowed_changes(path, step, there, changes, request, allowed)
        elif finished and not request.force:
            request.progress.note(f"{path} is up to date; nothing to do.")
            return Outcome(path, "skipped", summary(path))
    if request.dry_run:
        plan = {"settings": dict(step.settings), "inputs": dict(step.inputs)}
        return Outcome(path, "planned", plan, changes, begun=found is not None and not found[1] and not changes)
    return None


def _allowed_changes(
    path: Path, step: Step, there: Step, changes: tuple[str, ...], request: Request, allowed: Allowance
) -> tuple[str, ...]:
    """Return in words what changes at the artefact, having said so, or raise if it may not be made again unasked."""
    why = allowed(step, there)
    if why is not None:
        request.progress.note(f"{path}: {why}.")
        return (why,)
    if not request.refresh:
        raise SettingsError(
            f"{path} exists and differs: {'; '.join(changes)}.",
            "Make it again with --refresh, or choose another --out.",
        )
    request.progress.note(f"{path} is out of date ({'; '.join(changes)}); making it again.")
    return changes


@contextmanager
def _clock(step: Step) -> Iterator[Callable[[], RunRecord]]:
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    begin = time.perf_counter()

    def finish() -> RunRecord:
        wall = time.perf_counter() - begin
        return RunRecord(
            command=step.command,
            revision=step.revision,
            settings=dict(step.settings),
            inputs=dict(step.inputs),
            packages=package_versions(),
            device=devices.describe_current(),
            started=started,
            wall_s=round(wall, 3),
            peak_memory_mb=round(process_peak_memory_mb(), 1),
        )

    yield finish


class FileRecord(Document):
    """`NAME.png.json`, `NAME.onnx.json`: what the file beside it is, and the run that made it."""

    FORMAT = "usgan/file"

    file: str
    sha256: str
    about: dict[str, Any]
    """What the maker says of it."""


def record_path(path: Path) -> Path:
    """Return where the record of a file is."""
    return path.with_name(f"{path.name}.json")


def make_recorded_file(path: Path, step: Step, work: Callable[[Path], dict[str, Any]], request: Request) -> Outcome:
    """Make an artefact that is one binary file; it is skipped, refused, redone and planned as every other.

    Parameters
    ----------
    path : Path
    step : Step
    work : callable
        Writes the file to the path that it is given, and returns what its record says of it.
    request : Request

    Raises
    ------
    SettingsError
        A file is there that usgan did not make, or that was made with other settings.
    DataError
        What is there has changed since it was made.
    """
    record = record_path(path)
    if path.is_dir() or (path.exists() and not record.exists()):
        raise SettingsError(f"{path} exists and was not made by usgan.", "Choose another place, or move it away.")

    def make() -> FileRecord:
        with files.atomic_path(path) as temporary:
            about = work(temporary)
            sha256 = files.sha256_file(temporary)
        return FileRecord(file=path.name, sha256=sha256, about=about)

    def summary(found: Path) -> dict[str, Any]:
        told = FileRecord.read(found)
        if files.sha256_file(path) != told.sha256:
            raise DataError(f"{path} has changed since it was made.", "Make it again with --force.")
        return told.about

    if record.exists() and not path.exists():
        request = replace(request, force=True)
    outcome = make_file(record, step, make, summary, request)
    return Outcome(path, outcome.status, outcome.result)
