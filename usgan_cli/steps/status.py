"""`usgan status`: a workspace's study at a glance."""

from __future__ import annotations

from collections import Counter

from usgan_cli.commands.status import Status
from usgan_cli.core.store import files
from usgan_cli.core.store.step import Outcome
from usgan_cli.steps.study import states_of
from usgan_cli.study.document import read_study
from usgan_cli.study.grid import MARKS, make_grid
from usgan_cli.study.plan import plan_study
from usgan_cli.terminal.live import grid_parts
from usgan_cli.terminal.session import Session


def run(options: Status, session: Session) -> Outcome:  # noqa: ARG001
    """Show the grid of the workspace's study."""
    config = read_study(session.workspace)
    steps = plan_study(config, session.workspace)
    states = states_of(session, steps)
    holders = [None if state.done else files.holder_of(step.writes) for step, state in zip(steps, states, strict=True)]
    names = ["running" if holder else state.name for holder, state in zip(holders, states, strict=True)]
    session.show(grid_parts(make_grid(steps), names))
    entries = []
    for step, state, name, holder in zip(steps, states, names, holders, strict=True):
        why = f"by {holder}" if holder else state.why
        if why and name in {"running", "stale", "impossible"}:
            session.progress.note(f"{MARKS[name]} {step.label}: {why}")
        entries.append({"command": step.line, "state": name, "why": why})
    result = {"name": config.name, "counts": dict(Counter(names)), "steps": entries}
    return Outcome(session.workspace.root, "done", result)
