"""The life of an artefact: made once, skipped when nothing has changed, refused when something has.

Every step makes its artefact in a `with` block of `making_file`, `making_folder`, `growing_folder` or
`making_recorded_file`, which skip, refuse, redo, lock, plan and publish in the same way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from usgan_cli.core.errors import DataError, FormatError, SettingsError
from usgan_cli.core.progress import Silent
from usgan_cli.core.store import files
from usgan_cli.core.store.document import Document, PlanDocument, RunDocument, read_run
from usgan_cli.core.store.provenance import Clock
from usgan_cli.core.store.step import Outcome, Request, Step

OnNewInputs = Literal["refuse", "redo"]
Summary = Callable[[Path], dict[str, Any]]
"""Reads a finished artefact and returns what `--json` shows."""
Reached = Callable[[Path], Mapping[str, float]]
"""Returns how far the work in a folder has come, for each setting that limits it (None in a setting: unlimited)."""
Permission = Callable[[Step, Step], str | None]
"""Returns why (the step, the differing one on disk) may go ahead without --refresh; None if it may not."""


def _never(step: Step, made: Step) -> str | None:  # noqa: ARG001
    return None


def _new_inputs(step: Step, made: Step) -> str | None:
    same = not replace(step, inputs=made.inputs).differences(made)
    return "its inputs have changed" if same else None


def _within_limits(path: Path, reached: Reached) -> Permission:
    """Return the permission to change limits that the work on disk has not passed: it then continues."""

    def permit(step: Step, made: Step) -> str | None:
        so_far = reached(path)
        before: dict[str, Any] = {name: made.settings.get(name) for name in so_far}
        if replace(step, settings={**step.settings, **before}).differences(made):
            return None
        changed = {name: step.settings.get(name) for name in so_far if before[name] != step.settings.get(name)}
        for name, limit in changed.items():
            if limit is None or (before[name] is not None and limit > before[name]):
                continue
            if limit < so_far[name]:
                return None
        limits = [f"{name} {_limit(before[name])} to {_limit(limit)}" for name, limit in changed.items()]
        return f"goes on from {' and '.join(limits)}"

    return permit


def _limit(value: float | None) -> str:
    return "unlimited" if value is None else f"{value:g}"


def find_step(path: Path) -> tuple[Step, bool] | None:
    """Return the step that made an artefact and whether it has finished; None if `path` does not exist."""
    foreign = SettingsError(f"{path} exists and was not made by usgan.", "Choose another --out, or move it away.")
    if path.is_dir():
        if (finished := RunDocument.find(path)) is not None:
            return Step.of(finished.run), True
        if (path / PlanDocument.FILE).is_file():
            return Step.of(PlanDocument.read(path / PlanDocument.FILE)), False
        if not all(files.is_partial(entry) for entry in path.iterdir()):
            raise foreign
    elif path.exists():
        try:
            return Step.of(read_run(path)), True
        except FormatError:
            if path.suffix == ".json":
                raise
            raise foreign from None
    return None


@dataclass
class Making:
    """An artefact that a step makes in a `with` block where it is `needed`."""

    place: Path
    """What the work writes to: the artefact's own path, or a folder or file beside it that is published at the end."""
    document: Document | None = None
    """The artefact's main document, which the block must set where it is `needed`."""
    about: dict[str, Any] = field(default_factory=dict)
    """For a picture or a model: the contents of its record."""
    _outcome: Outcome | None = None

    @property
    def needed(self) -> bool:
        """Whether there is work to do."""
        return self._outcome is None

    @property
    def outcome(self) -> Outcome:
        """The result of the step, once the block has ended."""
        if self._outcome is None:
            raise RuntimeError(f"{self.place} is still being made")
        return self._outcome

    def result(self) -> Document:
        """Return the document that the block has set."""
        if self.document is None:
            raise RuntimeError(f"the work at {self.place} set no document")
        return self.document


@contextmanager
def making_file(
    path: Path, step: Step, summary: Summary, request: Request, *, on_new_inputs: OnNewInputs = "refuse"
) -> Iterator[Making]:
    """Make an artefact that is one JSON file, which the block sets as `making.document`.

    `on_new_inputs` says what to do if only inputs have changed: "redo" is for artefacts that are cheap to derive again.
    """
    with _settling(path, step, summary, request, _new_inputs if on_new_inputs == "redo" else _never) as making:
        clock = Clock(step)
        yield making
        if making.needed:
            making.result().model_copy(update={"run": clock.record()}).write(path)


@contextmanager
def making_folder(
    path: Path, step: Step, summary: Summary, request: Request, *, on_new_inputs: OnNewInputs = "refuse"
) -> Iterator[Making]:
    """Make an artefact that is a folder, built beside its final place and published whole.

    The block fills the empty folder `making.place` and sets the folder's main document, whose content digest is
    recorded. See `making_file` for `on_new_inputs`.
    """
    with _settling(path, step, summary, request, _new_inputs if on_new_inputs == "redo" else _never) as making:
        if not making.needed:
            yield making
            return
        with files.published_folder(path) as making.place:
            clock = Clock(step)
            yield making
            _finish(making, clock)


@contextmanager
def growing_folder(
    path: Path, step: Step, summary: Summary, request: Request, *, reached: Reached | None = None
) -> Iterator[Making]:
    """Make an artefact that takes so long that it grows in place and continues after an interruption.

    The folder holds `config.json` from the start and `run.json` once it is finished; the block writes every file whole
    and continues from the files of an earlier run, which was interrupted or had other limits: with `reached`, the work
    continues when a limit is raised, or changed without having been passed.
    """
    permission = _never if reached is None else _within_limits(path, reached)
    with _settling(path, step, summary, request, permission) as making:
        if not making.needed:
            yield making
            return
        if (existing := find_step(path)) is not None:
            made, _ = existing
            if request.force or (step.differences(made) and permission(step, made) is None):
                shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        files.clear_partial(path)
        PlanDocument(**vars(step)).write(path / PlanDocument.FILE)
        (path / RunDocument.FILE).unlink(missing_ok=True)
        try:
            clock = Clock(step)
            yield making
            _finish(making, clock)
        except BaseException:
            # Nothing was begun: leave nothing that would refuse other settings.
            if [entry.name for entry in path.iterdir()] == [PlanDocument.FILE]:
                shutil.rmtree(path)
            raise


def _finish(making: Making, clock: Clock) -> None:
    """Mark the folder as finished, in `run.json`."""
    content = making.result().content_digest()
    RunDocument(content=content, run=clock.record()).write(making.place / RunDocument.FILE)


@contextmanager
def _settling(path: Path, step: Step, summary: Summary, request: Request, permission: Permission) -> Iterator[Making]:
    """Hold the artefact's lock for the block, unless there is nothing to do; check again once the lock is held."""
    making, quiet = Making(path), Silent()
    making._outcome = _settled(path, step, summary, replace(request, progress=quiet), permission)
    if not making.needed:
        for note in quiet.notes:
            request.progress.note(note)
        yield making
        return
    with files.naming(path), files.locked(path, wait_s=request.wait_s):
        making._outcome = _settled(path, step, summary, request, permission)
        yield making
    if making.needed:
        making._outcome = Outcome(path, "done", summary(path))


def _settled(path: Path, step: Step, summary: Summary, request: Request, permission: Permission) -> Outcome | None:
    """Return the outcome if there is nothing to do, None if there is work; raise if the artefact differs."""
    existing = find_step(path)
    changes: tuple[str, ...] = ()
    if existing is not None:
        made, finished = existing
        if made.command != step.command and (request.force or request.refresh):
            raise SettingsError(
                f"{path} was made by usgan {made.command}; usgan {step.command} does not replace it.",
                "Choose another --out, or move it away.",
            )
        changes = tuple(step.differences(made))
        if changes and not request.force:
            changes = _permitted_changes(path, step, made, request, permission)
        elif finished and not request.force:
            request.progress.note(f"{path} is up to date; nothing to do.")
            return Outcome(path, "skipped", summary(path))
    if request.dry_run:
        plan = {"settings": dict(step.settings), "inputs": dict(step.inputs)}
        return Outcome(path, "planned", plan, changes, begun=existing is not None and not existing[1] and not changes)
    return None


def _permitted_changes(path: Path, step: Step, made: Step, request: Request, permission: Permission) -> tuple[str, ...]:
    """Report the changes to the artefact and return them in words; raise if it may not be made again."""
    reason = permission(step, made)
    if reason is not None:
        request.progress.note(f"{path}: {reason}.")
        return (reason,)
    changes = tuple(step.differences(made))
    if not request.refresh:
        raise SettingsError(
            f"{path} exists and differs: {'; '.join(changes)}.",
            "Make it again with --refresh, or choose another --out.",
        )
    request.progress.note(f"{path} is out of date ({'; '.join(changes)}); making it again.")
    return changes


class FileRecord(Document):
    """`NAME.png.json`, `NAME.onnx.json`: the record of the file beside it."""

    FORMAT = "usgan/file"

    file: str
    sha256: str
    about: dict[str, Any]


def record_path(path: Path) -> Path:
    """Return the path of a file's record."""
    return path.with_name(f"{path.name}.json")


@contextmanager
def making_recorded_file(path: Path, step: Step, request: Request) -> Iterator[Making]:
    """Make an artefact that is one binary file: the block writes it to `making.place` and fills `making.about`."""
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
    """Return the contents of a file's record, and check that the file is still the same."""
    document, path = FileRecord.read(record), record.with_suffix("")
    if files.sha256_file(path) != document.sha256:
        raise DataError(f"{path} has changed since it was made.", "Make it again with --force.")
    return document.about
