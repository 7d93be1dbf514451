"""Carrying out a study's plan in this process, one step after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from usgan_cli.core.errors import UsganError
from usgan_cli.core.progress import Progress
from usgan_cli.core.workspace import Workspace
from usgan_cli.study.plan import PlannedStep

Runner = Callable[..., Any]


class StepFailedError(UsganError):
    """A step of a study failed; the message says which and why."""


def run_plan(
    steps: Sequence[PlannedStep],
    runners: Mapping[str, Runner],
    workspace: Workspace,
    progress: Progress,
    *,
    keep_going: bool = False,
) -> None:
    """Carry out the steps in order. Steps that are done already skip themselves.

    Parameters
    ----------
    steps : sequence of PlannedStep
    runners : mapping
        What carries out each command, called with the step's options.
    workspace : Workspace
    progress : Progress
    keep_going : bool
        After a failure go on with the steps that do not need what is missing.

    Raises
    ------
    StepFailedError
        A step failed; with `keep_going`, after everything else was done.
    """
    failed: dict[Path, UsganError] = {}
    first: tuple[PlannedStep, UsganError] | None = None
    for number, step in enumerate(steps, start=1):
        missing = [str(path) for path in step.needs if path in failed]
        if missing:
            failed[step.writes] = UsganError(f"it needs {missing[0]}")
            progress.warn(f"[{number}/{len(steps)}] left out: {step.line(workspace)} (it needs {missing[0]})")
            continue
        progress.note(f"[{number}/{len(steps)}] {step.line(workspace)}")
        try:
            runners[step.command](**{name: value for name, value in step.options.items() if value is not None})
        except UsganError as error:
            failed[step.writes] = error
            first = first or (step, error)
            if not keep_going:
                break
            progress.warn(f"failed: {error}")
    if first is not None:
        broken, cause = first
        raise StepFailedError(
            f"The step failed: {broken.line(workspace)}\n{cause.message}",
            cause.hint or "Mend it and run the same study again; what is done is skipped.",
        )
