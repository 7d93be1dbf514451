"""`usgan status`: a workspace's study at a glance."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from usgan_cli.commands.status import Status
from usgan_cli.core.errors import MissingError, UsganError
from usgan_cli.core.store import files
from usgan_cli.core.store.lifecycle import find_existing
from usgan_cli.core.store.step import Outcome
from usgan_cli.core.store.workspace import work_option
from usgan_cli.core.text import plural
from usgan_cli.steps.study import states_of
from usgan_cli.study.document import read_study, study_file
from usgan_cli.study.grid import MARKS, make_grid
from usgan_cli.study.plan import plan_study
from usgan_cli.terminal.live import grid_parts
from usgan_cli.terminal.session import Session


def run(options: Status, session: Session) -> Outcome:  # noqa: ARG001
    """Show the grid of the workspace's study, or without one the list of what is there."""
    if not study_file(session.workspace).is_file():
        return _list_artefacts(session)
    config = read_study(session.workspace)
    steps = plan_study(config, session.workspace)
    states = states_of(session, steps)
    holders = [None if state.done else files.holder_of(step.writes) for step, state in zip(steps, states, strict=True)]
    names = ["running" if holder else state.name for holder, state in zip(holders, states, strict=True)]
    session.show(grid_parts(make_grid(steps), names))
    entries = []
    for step, state, name, holder in zip(steps, states, names, holders, strict=True):
        why = f"by {holder}" if holder else state.why
        if why and name in {"done", "running", "stale", "impossible"}:
            session.progress.note(f"{MARKS[name]} {step.label}: {why}")
        entries.append({"command": step.line, "state": name, "why": why})
    result = {"name": config.name, "counts": dict(Counter(names)), "steps": entries}
    return Outcome(session.workspace.root, "done", result)


def _list_artefacts(session: Session) -> Outcome:
    """Show every artefact of a workspace that was not begun as a study, with its state."""
    workspace = session.workspace
    there = workspace.artefacts()
    if not there:
        work = work_option(workspace.root)
        raise MissingError(
            f"There is nothing in {workspace.root}: neither a study nor an artefact.",
            f"Begin with usgan prepare SOURCE{work}, or a study: usgan study demo{work}",
        )
    entries = [
        {"artefact": path.relative_to(workspace.root).as_posix(), "kind": folder, "state": _state_of(path)}
        for folder, path in there
    ]
    rows = [(entry["artefact"], entry["state"]) for entry in entries]
    session.table(f"{workspace.root}: no study, {plural(len(rows), 'artefact')}", ("artefact", "state"), rows)
    counts = Counter(entry["state"] for entry in entries)
    return Outcome(workspace.root, "done", {"name": None, "counts": dict(counts), "artefacts": entries})


def _state_of(path: Path) -> str:
    """Return whether an artefact is done, running or unfinished, or what is wrong with it."""
    if (holder := files.holder_of(path)) is not None:
        return f"running, by {holder}"
    try:
        existing = find_existing(path)
    except UsganError as error:
        return error.message
    return "done" if existing is not None and existing.finished else "unfinished"
