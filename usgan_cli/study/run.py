"""Carrying out a study's plan in this process, one step after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from usgan_cli.core.errors import SettingsError, UsganError
from usgan_cli.core.progress import Progress
from usgan_cli.study.config import STEP_ORDER
from usgan_cli.study.plan import PlannedStep
from usgan_cli.study.state import StepState

Runner = Callable[[PlannedStep], object]
"""Carries out one step."""


class StepFailedError(UsganError):
    """A step of a study failed; the message names it and the reason."""


class Watcher(Progress, Protocol):
    """Progress that also shows how far the steps of a plan are."""

    def moved(self, index: int, state: str, seconds: float = 0) -> None:
        """Show the step at `index` as "running", "done", "failed" or "left out", after so many seconds."""


def select_steps(steps: Sequence[PlannedStep], only: Sequence[str] = (), begin: str | None = None) -> set[int]:
    """Return the places in the plan of the steps that are asked for.

    Parameters
    ----------
    only : sequence of str
        Commands ("score"), artefacts ("diffaug-n100-s0", "gans/diffaug-n100-s0") or patterns of them ("*n50*"); all
        steps where it is empty.
    begin : str, optional
        The command to begin with: steps of commands before it, in the order of `STEP_ORDER`, are left out.
    """
    present = {step.command for step in steps}
    commands = [command for command in STEP_ORDER if command in present]
    chosen = set(range(len(steps)))
    if begin is not None:
        if begin not in commands:
            raise SettingsError(f"The study has no step {begin!r} to begin from.", f"Steps: {', '.join(commands)}.")
        chosen = {i for i in chosen if commands.index(steps[i].command) >= commands.index(begin)}
    if only:
        matched: set[int] = set()
        for pattern in only:
            named = {i for i, step in enumerate(steps) if _is_called(step, pattern)}
            if not named:
                raise SettingsError(
                    f"No step of the study is called {pattern!r}.",
                    f"Use a command ({', '.join(commands)}) or an artefact, as --dry-run lists them.",
                )
            matched |= named
        chosen &= matched
    if not chosen:
        raise SettingsError("Nothing is left of the study by --only and --from together.")
    return chosen


def _is_called(step: PlannedStep, pattern: str) -> bool:
    names = (step.command, step.place, step.writes.name, step.writes.stem)
    return any(fnmatchcase(name, pattern) for name in names)


def run_plan(
    steps: Sequence[PlannedStep],
    states: Sequence[StepState],
    run: Runner,
    watcher: Watcher,
    *,
    chosen: Collection[int] | None = None,
    keep_going: bool = False,
) -> None:
    """Carry out, in order, the steps that are not done; of these only the places in `chosen`, if it is there.

    A step that fails ends in a `StepFailedError`: at once, or with `keep_going` after all steps that do not need it.
    """
    failed: set[Path] = set()
    first: tuple[PlannedStep, UsganError] | None = None
    for index, step in enumerate(steps):
        if states[index].done or (chosen is not None and index not in chosen):
            continue
        title = f"[{index + 1}/{len(steps)}]"
        if broken := [str(path) for path in step.needs if path in failed]:
            failed.add(step.writes)
            watcher.moved(index, "left out")
            watcher.warn(f"{title} left out: {step.line} (it needs {broken[0]})")
            continue
        watcher.note(f"{title} {step.line}")
        watcher.moved(index, "running")
        began = time.monotonic()
        try:
            run(step)
        except UsganError as error:
            failed.add(step.writes)
            first = first or (step, error)
            watcher.moved(index, "failed", time.monotonic() - began)
            if not keep_going:
                break
            watcher.warn(f"failed: {error}")
        else:
            watcher.moved(index, "done", time.monotonic() - began)
    if first is not None:
        stopped, cause = first
        raise StepFailedError(
            f"The step failed: {stopped.line}\n{cause.message}",
            cause.hint or "Solve the problem and run the same study again; what is done is skipped.",
        )
