"""The life of an artefact: made once, skipped when nothing has changed, refused when something has.

Every step makes its artefact in a `with` block of `making_file`, `making_folder`, `growing_folder` or
`making_recorded_file` (`recorded_file.py`), which skip, refuse, redo, lock, plan and publish in the same way.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from usgan_cli.core.errors import FormatError, SettingsError
from usgan_cli.core.progress import Silent
from usgan_cli.core.store import files, folders
from usgan_cli.core.store.document import Document, PlanDocument, RunDocument, read_run
from usgan_cli.core.store.provenance import Clock
from usgan_cli.core.store.remedy import locate
from usgan_cli.core.store.step import Outcome, Request, Step

OnNewInputs = Literal["refuse", "redo"]
Summary = Callable[[Path], dict[str, Any]]
"""Reads a finished artefact and returns what `--json` shows."""
Reached = Callable[[Path], Mapping[str, float]]
"""Returns how far the work in a folder has come, for each setting that limits it (None in a setting: unlimited)."""


@dataclass(frozen=True)
class Growth:
    """Under which other limits work that grows may go on."""

    reached: Reached
    open_until: float = math.inf
    """Share of a limit from which it may not be changed, where what is done depends on how far the end is."""
    closed: str = ""
    """What is said, beside the differences, where it may not."""


@dataclass(frozen=True)
class Permit:
    """Whether a step may go ahead where another one has been, without --refresh."""

    why: str | None = None
    """Why it may; None if it may not."""
    why_not: str = ""
    """What explains a refusal, if anything does beside the differences."""


Permission = Callable[[Step, Step], Permit]
"""Decides about the step and the differing one on disk."""


def never(step: Step, made: Step) -> Permit:  # noqa: ARG001
    """Permit no difference."""
    return Permit()


def _new_inputs(step: Step, made: Step) -> Permit:
    same = not replace(step, inputs=made.inputs).differences(made)
    return Permit("its inputs have changed" if same else None)


def _within_limits(path: Path, growth: Growth) -> Permission:
    """Return the permission to change limits that the work on disk has not passed: it then continues."""

    def permit(step: Step, made: Step) -> Permit:
        so_far = growth.reached(path)
        before: dict[str, Any] = {name: made.settings.get(name) for name in so_far}
        if replace(step, settings={**step.settings, **before}).differences(made):
            return Permit()
        changed = {name: step.settings.get(name) for name in so_far if before[name] != step.settings.get(name)}
        for name, limit in changed.items():
            ends = [end for end in (before[name], limit) if end is not None]
            if any(so_far[name] > growth.open_until * end for end in ends):
                return Permit(why_not=growth.closed)
            if limit is None or (before[name] is not None and limit > before[name]):
                continue
            if limit < so_far[name]:
                return Permit()
        limits = [f"{name} {_limit(before[name])} to {_limit(limit)}" for name, limit in changed.items()]
        return Permit(f"goes on from {' and '.join(limits)}")

    return permit


def _limit(value: float | None) -> str:
    return "unlimited" if value is None else f"{value:g}"


@dataclass(frozen=True)
class Existing:
    """What is at an artefact's place."""

    step: Step
    """That made it, or began to."""
    finished: bool
    study: str | None
    """The study that it is a part of; None if a person gave the command."""


def find_existing(path: Path) -> Existing | None:
    """Return what is at an artefact's place; None if nothing is."""
    if path.is_dir():
        if (finished := RunDocument.find(path)) is not None:
            return Existing(Step.of(finished.run), True, finished.run.study)
        if (path / PlanDocument.FILE).is_file():
            plan = PlanDocument.read(path / PlanDocument.FILE)
            return Existing(Step.of(plan), False, plan.study)
        if not all(files.is_partial(entry) for entry in path.iterdir()):
            raise _foreign(path)
    elif path.exists():
        try:
            run = read_run(path)
        except FormatError:
            if path.suffix == ".json":
                raise
            raise _foreign(path) from None
        return Existing(Step.of(run), True, run.study)
    return None


def _foreign(path: Path) -> SettingsError:
    return SettingsError(f"{path} exists and was not made by usgan.", "Choose another place, or move it away.")


def _is_ours(path: Path) -> bool:
    """Return whether something unreadable is an artefact nevertheless: by its place, its record or how it begins."""
    if locate(path) is not None:
        return True
    if path.is_dir():
        return any((path / name).is_file() for name in (RunDocument.FILE, PlanDocument.FILE))
    return folders.is_record(path)


@dataclass
class Making:
    """An artefact that a step makes in a `with` block where it is `needed`."""

    place: Path
    """What the work writes to: the artefact's own path, or a folder or file beside it that is published at the end."""
    document: Document | None = None
    """The artefact's main document, which the block must set where it is `needed`."""
    about: dict[str, Any] = field(default_factory=dict)
    """For a picture or a model: the contents of its record."""
    beside: dict[str, bytes] = field(default_factory=dict)
    """For a JSON file: files that are written beside it, by name."""
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

    def put_beside(self, name: str, data: bytes) -> str:
        """Have a file written beside the artefact's JSON file; return its SHA-256, which the document must record."""
        self.beside[name] = data
        return files.sha256_bytes(data)

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
    with settling(path, step, summary, request, _new_inputs if on_new_inputs == "redo" else never) as making:
        clock = Clock(step, request.study)
        yield making
        if making.needed:
            document = making.result().model_copy(update={"run": clock.record()})
            if making.beside:
                # Whenever this is interrupted, there is no record: it is made again.
                path.unlink(missing_ok=True)
            for name, data in making.beside.items():
                files.write_bytes(path.with_name(name), data)
            document.write(path)


@contextmanager
def making_folder(
    path: Path, step: Step, summary: Summary, request: Request, *, on_new_inputs: OnNewInputs = "refuse"
) -> Iterator[Making]:
    """Make an artefact that is a folder, built beside its final place and published whole.

    The block fills the empty folder `making.place` and sets the folder's main document, whose content digest is
    recorded. See `making_file` for `on_new_inputs`.
    """
    with settling(path, step, summary, request, _new_inputs if on_new_inputs == "redo" else never) as making:
        if not making.needed:
            yield making
            return
        with folders.published_folder(path) as making.place:
            clock = Clock(step, request.study)
            yield making
            _finish(making, clock)


@contextmanager
def growing_folder(
    path: Path, step: Step, summary: Summary, request: Request, *, growth: Growth | None = None
) -> Iterator[Making]:
    """Make an artefact that takes so long that it grows in place and continues after an interruption.

    The folder holds `config.json` from the start and `run.json` once it is finished; the block writes every file whole
    and continues from the files of an earlier run, which was interrupted or had other limits: with `growth`, the work
    continues when a limit is raised, or changed without having been passed.
    """
    permission = never if growth is None else _within_limits(path, growth)
    with settling(path, step, summary, request, permission) as making:
        if not making.needed:
            yield making
            return
        place = folders.place_of(path)
        replaces = path.exists() and (request.force or _is_other(path, step, permission))
        if replaces:
            folders.make_room(path)
        plan = PlanDocument(
            command=step.command,
            revision=step.revision,
            settings=dict(step.settings),
            inputs=dict(step.inputs),
            study=request.study,
        )
        try:
            if replaces:
                folders.set_aside(path)
            place.mkdir(parents=True, exist_ok=True)
            files.clear_partial(path)
            plan.write(path / PlanDocument.FILE)
            (path / RunDocument.FILE).unlink(missing_ok=True)
            clock = Clock(step, request.study)
            yield making
            _finish(making, clock)
        except BaseException:
            # Nothing was begun: leave nothing that would refuse other settings, and what was there before.
            if place.is_dir() and folders.is_unbegun(place):
                shutil.rmtree(place)
            if replaces:
                folders.give_back(path)
            raise
        finally:
            if replaces:
                folders.drop_old(path)


def _is_other(path: Path, step: Step, permission: Permission) -> bool:
    """Return whether the work on disk cannot be continued."""
    existing = find_existing(path)
    if existing is None or not step.differences(existing.step):
        return False
    return permission(step, existing.step).why is None


def _finish(making: Making, clock: Clock) -> None:
    """Mark the folder as finished, in `run.json`, with the digest of every file that its document does not list."""
    document = making.result()
    listed = document.file_digests()
    others = {name: path for name, path in folder_files(making.place).items() if name not in listed}
    digests = {name: files.sha256_file(path) for name, path in others.items()}
    run = RunDocument(content=document.content_digest(), files=digests, run=clock.record())
    run.write(making.place / RunDocument.FILE)


UNRECORDED = ("tensorboard", PlanDocument.FILE, RunDocument.FILE)
"""What `run.json` has no digest of: TensorBoard's writer is not ours, and the other two have their own."""


def folder_files(folder: Path) -> dict[str, Path]:
    """Return the files of an artefact whose digests are recorded, by their place in its folder."""
    names = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name.as_posix(): path
        for name, path in names.items()
        if name.parts[0] not in UNRECORDED and not any(part.startswith(".") for part in name.parts)
    }


@contextmanager
def settling(path: Path, step: Step, summary: Summary, request: Request, permission: Permission) -> Iterator[Making]:
    """Hold the artefact's lock for the block, unless there is nothing to do; check again once the lock is held."""
    making, quiet = Making(path), Silent()
    making._outcome = _settled(path, step, summary, replace(request, progress=quiet), permission)
    if not making.needed:
        for note in quiet.notes:
            request.progress.note(note)
        if not request.dry_run:
            folders.clear_beside(path)
        yield making
        return
    with files.naming(path), files.locked(path, wait_s=request.wait_s):
        folders.put_back(path)
        making._outcome = _settled(path, step, summary, request, permission)
        yield making
    if making.needed:
        making._outcome = Outcome(path, "done", summary(path))


def _settled(path: Path, step: Step, summary: Summary, request: Request, permission: Permission) -> Outcome | None:
    """Return the outcome if there is nothing to do, None if there is work; raise if the artefact differs."""
    try:
        existing = find_existing(path)
    except FormatError:
        if not (request.force and _is_ours(path)):
            raise
        existing = None
    changes: tuple[str, ...] = ()
    if existing is not None:
        made = existing.step
        if made.command != step.command:
            raise SettingsError(
                f"{path} was made by usgan {made.command}; usgan {step.command} does not replace it.",
                f"Choose {step.elsewhere}, or move it away.",
            )
        changes = tuple(step.differences(made))
        if changes and not request.force:
            changes = _permitted_changes(path, step, existing, request, permission)
        elif existing.finished and not request.force:
            request.progress.note(f"{path} is up to date; nothing to do.")
            return Outcome(path, "skipped", summary(path))
    if request.dry_run:
        plan = {"settings": dict(step.settings), "inputs": dict(step.inputs)}
        return Outcome(path, "planned", plan, changes, begun=_begun(existing) and not changes)
    return None


def _begun(existing: Existing | None) -> bool:
    return existing is not None and not existing.finished


def _permitted_changes(
    path: Path, step: Step, existing: Existing, request: Request, permission: Permission
) -> tuple[str, ...]:
    """Report the changes to the artefact and return them in words; raise if it may not be made again."""
    made = existing.step
    permit = permission(step, made)
    if permit.why is not None:
        request.progress.note(f"{path}: {permit.why}.")
        return (permit.why,)
    changes = tuple(step.differences(made))
    if not request.refresh:
        raise SettingsError(
            f"{path} exists and differs: {'; '.join(changes)}. {permit.why_not}".rstrip(),
            f"Make it again with --refresh, or choose {step.elsewhere}.",
        )
    if request.study is not None and existing.study != request.study and not request.adopt:
        owner = "by hand" if existing.study is None else f"by the study {existing.study!r}"
        raise SettingsError(
            f"{path} was made {owner} and differs from what the study needs: {'; '.join(changes)}.",
            "Give the study another workspace (--work DIR), or let it make this again with --adopt.",
        )
    request.progress.note(f"{path} is out of date ({'; '.join(changes)}); making it again.")
    return changes
