"""The state of every step of a study: done, out of date, unfinished or missing, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from usgan_cli.core.errors import UsganError
from usgan_cli.core.store.document import RunDocument
from usgan_cli.core.store.lifecycle import find_existing
from usgan_cli.core.store.step import INPUT, Outcome
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.study.config import StudyConfig
from usgan_cli.study.plan import PlannedStep, plan_study

StateName = Literal["done", "stale", "follows", "unfinished", "missing", "impossible"]
SHOWN = Workspace(Path("work"))


@dataclass(frozen=True)
class StepState:
    """The state of a step."""

    name: StateName
    """"done"; "stale": what is there was made with other settings or from other inputs, and is made again;
    "follows": it is there, and will be made again if an input that is made again turns out different;
    "unfinished": a part is there, from which the work continues; "missing": nothing is there;
    "impossible": its command would refuse even after all steps before it."""
    why: str = ""
    """In words; empty where the name says it all."""

    @property
    def done(self) -> bool:
        """Whether there is nothing to do."""
        return self.name == "done"


Check = Callable[[PlannedStep], Outcome | StepState]
"""Returns what a step's own command would do, without doing it, or the step's state where the command cannot tell."""


def find_states(steps: Sequence[PlannedStep], check: Check) -> list[StepState]:
    """Return the state of each step of a plan, where a step comes after those whose artefacts it needs.

    `check` does a dry run of a step that may make again what is out of date.
    """
    states: dict[Path, StepState] = {}
    for step in steps:
        pending = [str(path) for path in step.needs if path in states and not states[path].done]
        states[step.writes] = _state(step, check, pending)
    return [states[step.writes] for step in steps]


def _state(step: PlannedStep, check: Check, pending: list[str]) -> StepState:
    """Return the state of a step; `pending` are the artefacts it needs that are still to be made."""
    try:
        there = find_existing(step.writes) is not None
    except UsganError as error:
        return StepState("impossible", _in_a_line(error))
    if pending and not there and not step.writes.exists():
        return StepState("missing")  # without its inputs the command knows no more
    follows = StepState("follows", f"{pending[0]} is still to be made") if pending and there else None
    try:
        outcome = check(step)
    except UsganError as error:
        # If an input is still to be made, the command cannot know more.
        return follows or (StepState("missing") if pending else StepState("impossible", _in_a_line(error)))
    if isinstance(outcome, StepState) or outcome.status != "planned":
        return follows or (outcome if isinstance(outcome, StepState) else StepState("done"))
    if follows and all(change.startswith(INPUT) for change in outcome.changes) and outcome.changes:
        return follows  # what it was made from is not there to compare with
    return _own_state(outcome, there)


def _own_state(outcome: Outcome, there: bool) -> StepState:
    """Return the state of a step by its own command's plan."""
    if outcome.changes:
        return StepState("stale", "; ".join(outcome.changes))
    if outcome.begun:
        return StepState("unfinished")
    return StepState("stale", "it is to be made again") if there else StepState("missing")


def _in_a_line(error: UsganError) -> str:
    return str(error).replace("\n", " ")


def to_do(states: Sequence[StepState]) -> dict[StateName, int]:
    """Return the number of steps in each state, in the order in which they are shown."""
    order: tuple[StateName, ...] = ("done", "unfinished", "stale", "follows", "missing", "impossible")
    counts = {name: sum(state.name == name for state in states) for name in order}
    return {name: count for name, count in counts.items() if count}


def missing_steps(config: StudyConfig, workspace: Workspace) -> list[PlannedStep]:
    """Return the steps of a study that are not finished in a workspace, except for its report.

    They are planned for the workspace `SHOWN`: a report is sent to others, so the commands that it shows do not say
    where the workspace is on this machine.
    """
    steps = [step for step in plan_study(config, SHOWN) if step.writes != SHOWN.report]
    places = [workspace.root / step.place for step in steps]
    return [
        step
        for step, place in zip(steps, places, strict=True)
        if not (place.is_file() or (place / RunDocument.FILE).is_file())
    ]
