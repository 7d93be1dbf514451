"""`usgan status`: a workspace's study at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usgan_cli.commands.session import Session

if TYPE_CHECKING:
    from usgan_cli.core.artefact import Outcome


def status(session: Session) -> list[Outcome]:
    """Show the grid of the workspace's study: what is done, out of date, unfinished and missing."""
    from usgan_cli.commands.live import grid_parts
    from usgan_cli.commands.study import find_states_of
    from usgan_cli.core.artefact import Outcome
    from usgan_cli.study.document import read_study
    from usgan_cli.study.grid import make_grid
    from usgan_cli.study.plan import plan_study
    from usgan_cli.study.state import to_do

    config = read_study(session.workspace)
    steps = plan_study(config, session.workspace)
    states = find_states_of(session, steps)
    session.show(grid_parts(make_grid(steps), [state.name for state in states]))
    for step, state in zip(steps, states, strict=True):
        if state.why and state.name in {"stale", "impossible"}:
            session.progress.note(f"{step.label(session.workspace)}: {state.why}")
    result = {
        "name": config.name,
        "counts": dict(to_do(states)),
        "steps": [
            {"command": step.line(session.workspace), "state": state.name, "why": state.why}
            for step, state in zip(steps, states, strict=True)
        ],
    }
    return [Outcome(session.workspace.root, "done", result)]
