"""The life of an artefact: made once, skipped when nothing has changed, refused when something has.

Every step makes its artefacts through `making_file`, `making_folder` or `growing_folder`, so all of them skip, refuse,
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
from usgan_cli.core.progress import Silent
from usgan_cli.core.store import files
from usgan_cli.core.store.document import Document, PlanDocument, RunDocument, RunRecord, read_run
from usgan_cli.core.store.provenance import package_versions
from usgan_cli.core.store.step import Outcome, Request, Step

RUN_FILE = "run.json"
PLAN_FILE = "config.json"

OnNewInputs = Literal["refuse", "redo"]
Summary = Callable[[Path], dict[str, Any]]
Reached = Callable[[Path], Mapping[str, float]]
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


@dataclass
class Making:
    """An artefact that a step makes inside a `with` block, unless there is nothing to do.

    Attributes
    ----------
    place : Path
        Where the work writes: the artefact's own path, or a folder or file beside it that is published at the end.
    document : Document, optional
        The artefact's main document, which the block must set where `needed`.
    about : dict
        Of a picture or a model: what its record says of it.
    """

    place: Path
    document: Document | None = None
    about: dict[str, Any] = field(default_factory=dict)
    _outcome: Outcome | None = None

    @property
    def needed(self) -> bool:
        """Whether there is work to do."""
        return self._outcome is None

    @property
    def outcome(self) -> Outcome:
        """What came of the step, once the block is left."""
        if self._outcome is None:
            raise RuntimeError(f"{self.place} is still being made")
        return self._outcome

    def result(self) -> Document:
        """Return the document that the work has left."""
        if self.document is None:
            raise RuntimeError(f"the work at {self.place} left no document")
        return self.document


@contextmanager
def making_file(
    path: Path, step: Step, summary: Summary, request: Request, *, on_new_inputs: OnNewInputs = "refuse"
) -> Iterator[Making]:
    """Make an artefact that is one JSON file, which the block sets as `making.document`.

    Parameters
    ----------
    path : Path
    step : Step
    summary : callable
        Reads the finished artefact and returns what `--json` shows.
    request : Request
    on_new_inputs : {"refuse", "redo"}
        What to do where only the inputs have changed: "redo" is for artefacts that are cheap to derive again.
    """
    with _settling(path, step, summary, request, _allowed_inputs(on_new_inputs)) as making:
        clock = _Clock(step)
        yield making
        if making.needed:
            making.result().model_copy(update={"run": clock.record()}).write(path)


@contextmanager
def making_folder(
    path: Path, step: Step, summary: Summary, request: Request, *, on_new_inputs: OnNewInputs = "refuse"
) -> Iterator[Making]:
    """Make an artefact that is a folder, built beside its final place and published whole.

    The block fills the empty folder `making.place` and sets the folder's main document, whose content digest is
    recorded. Parameters are those of `making_file`.
    """
    with _settling(path, step, summary, request, _allowed_inputs(on_new_inputs)) as making:
        if not making.needed:
            yield making
            return
        with files.published_folder(path) as making.place:
            clock = _Clock(step)
            yield making
            _finish(making, clock)


@contextmanager
def growing_folder(
    path: Path, step: Step, summary: Summary, request: Request, *, reached: Reached | None = None
) -> Iterator[Making]:
    """Make an artefact that takes so long that it grows in place and can be continued after an interruption.

    The folder holds `config.json` from the start and `run.json` only once it is finished; the block writes every
    file whole, and finds in the folder what an earlier run has left, interrupted or with other limits.

    Parameters
    ----------
    path, step, summary, request
        As for `making_file`.
    reached : callable, optional
        Returns, for each setting that limits the work (None for no limit), how far the folder has come. The work goes
        on from what is there when a limit is raised, or changed without having been passed.
    """
    allowed = _nothing if reached is None else _within(path, reached)
    with _settling(path, step, summary, request, allowed) as making:
        if not making.needed:
            yield making
            return
        if path.exists() and (request.force or _is_other(path, step, allowed)):
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        files.clear_partial(path)
        settings, inputs = dict(step.settings), dict(step.inputs)
        plan = PlanDocument(command=step.command, revision=step.revision, settings=settings, inputs=inputs)
        plan.write(path / PLAN_FILE)
        (path / RUN_FILE).unlink(missing_ok=True)
        try:
            clock = _Clock(step)
            yield making
            _finish(making, clock)
        except BaseException:
            # Nothing was begun, so nothing should stand in the way of other settings.
            if [entry.name for entry in path.iterdir()] == [PLAN_FILE]:
                shutil.rmtree(path)
            raise


def grow_folder(
    path: Path,
    step: Step,
    work: Callable[[Path], Document],
    summary: Summary,
    request: Request,
    *,
    reached: Reached | None = None,
) -> Outcome:
    """As `growing_folder`, for work that is a function."""
    with growing_folder(path, step, summary, request, reached=reached) as making:
        if making.needed:
            making.document = work(path)
    return making.outcome


def _is_other(path: Path, step: Step, allowed: Allowance) -> bool:
    """Return whether what is there is no part of what the step makes."""
    found = find_step(path)
    return found is not None and bool(step.differences(found[0])) and allowed(step, found[0]) is None


def _allowed_inputs(on_new_inputs: OnNewInputs) -> Allowance:
    return _new_inputs if on_new_inputs == "redo" else _nothing


def _finish(making: Making, clock: _Clock) -> None:
    """Mark the folder as finished, in `run.json`."""
    content = making.result().content_digest()
    RunDocument(content=content, run=clock.record()).write(making.place / RUN_FILE)


@contextmanager
def _settling(path: Path, step: Step, summary: Summary, request: Request, allowed: Allowance) -> Iterator[Making]:
    """Hold the artefact's lock for the block, unless there is nothing to do; look again once the lock is held."""
    making, first = Making(path), Silent()
    making._outcome = _settled(path, step, summary, replace(request, progress=first), allowed)
    if not making.needed:
        for note in first.notes:
            request.progress.note(note)
        yield making
        return
    with files.locked(path, wait_s=request.wait_s):
        making._outcome = _settled(path, step, summary, request, allowed)
        yield making
    if making.needed:
        making._outcome = Outcome(path, "done", summary(path))


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


class _Clock:
    """Measures a step from now on."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.begin = time.perf_counter()

    def record(self) -> RunRecord:
        """Return the record of the step up to now."""
        wall = time.perf_counter() - self.begin
        return RunRecord(
            command=self.step.command,
            revision=self.step.revision,
            settings=dict(self.step.settings),
            inputs=dict(self.step.inputs),
            packages=package_versions(),
            device=devices.describe_current(),
            started=self.started,
            wall_s=round(wall, 3),
            peak_memory_mb=round(process_peak_memory_mb(), 1),
        )


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


@contextmanager
def making_recorded_file(path: Path, step: Step, request: Request) -> Iterator[Making]:
    """Make an artefact that is one binary file; it is skipped, refused, redone and planned as every other.

    The block writes the file to `making.place`, and sets in `making.about` what its record says of it.

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
    if record.exists() and not path.exists():
        request = replace(request, force=True)
    with making_file(record, step, _about, request) as making:
        if making.needed:
            with files.atomic_path(path) as making.place:
                yield making
                sha256 = files.sha256_file(making.place)
            making.document = FileRecord(file=path.name, sha256=sha256, about=making.about)
        else:
            yield making
    making._outcome = replace(making.outcome, path=path)


def _about(record: Path) -> dict[str, Any]:
    """Return what a record says of its file, which must still be the one that was made."""
    document, path = FileRecord.read(record), record.with_suffix("")
    if files.sha256_file(path) != document.sha256:
        raise DataError(f"{path} has changed since it was made.", "Make it again with --force.")
    return document.about
