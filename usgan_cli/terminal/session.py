"""One run of a command: where it works, what it reports to, and how its outcome is shown."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from usgan_cli.commands.common import InWorkspace, StepOptions
from usgan_cli.core.errors import MissingWeightsError, UsganError, in_workspace
from usgan_cli.core.machine.network import offline_if
from usgan_cli.core.options import options_of
from usgan_cli.core.progress import Progress
from usgan_cli.core.store.step import ADOPT_VARIABLE, STUDY_VARIABLE, Outcome, Request
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.core.table import Table
from usgan_cli.terminal import console

if TYPE_CHECKING:
    from rich.console import RenderableType

Run = Callable[[Any, "Session"], "Outcome | list[Outcome] | None"]
"""What carries a command out, from its options and a session."""


@dataclass(frozen=True)
class Session:
    """Where a command works and what it reports to."""

    workspace: Workspace
    progress: Progress
    force: bool = False
    refresh: bool = False
    dry_run: bool = False
    table: Callable[[str, Sequence[str], Sequence[Sequence[str]]], None] = lambda *_: None
    """Shows a table: title, head, rows."""
    show: Callable[[Sequence[RenderableType]], None] = lambda _: None
    """Shows anything that rich can draw."""
    explain: Callable[[Sequence[str]], None] = lambda _: None
    """Says what figures of the glossary are, where they are first shown."""
    quiet: bool = False
    """Whether `progress` shows only warnings and errors."""
    study: str | None = None
    """The study whose steps are carried out; `adopt` is as in `Request`."""
    adopt: bool = False

    @classmethod
    def of(cls, options: InWorkspace) -> Session:
        """Return the session that a command's options ask for, on the terminal."""
        shared = options if isinstance(options, StepOptions) else StepOptions(work=options.work)
        terminal = console.Terminal(quiet=shared.quiet)
        flags: dict[str, Any] = {name: getattr(shared, name) for name in ("force", "refresh", "dry_run", "quiet")}
        flags |= {"study": os.environ.get(STUDY_VARIABLE), "adopt": ADOPT_VARIABLE in os.environ}
        shows: dict[str, Any] = {"table": terminal.table, "show": terminal.show, "explain": terminal.explain}
        return cls(Workspace(shared.work), terminal, **shows, **flags)

    def show_table(self, table: Table) -> None:
        """Show a table on the terminal."""
        titles = [table.columns[i].title for i in table.shown]
        self.table(table.caption, titles, [[row[i].line for i in table.shown] for row in table.rows])

    @property
    def request(self) -> Request:
        """How artefacts are to be made."""
        how: dict[str, Any] = {name: getattr(self, name) for name in ("force", "refresh", "dry_run", "study", "adopt")}
        return Request(self.progress, **how)


def step_of(options: InWorkspace) -> Run:
    """Return what carries a command out: `run` in the module of `steps` that is called as its own in `commands`.

    The hints of its errors name the workspace that the command works in.
    """
    run: Run = import_module(type(options).__module__.replace(".commands.", ".steps.")).run

    def run_in_workspace(given: InWorkspace, session: Session) -> Outcome | list[Outcome] | None:
        try:
            return run(given, session)
        except MissingWeightsError as error:
            name, value = error.alternative or ("", "")
            if any(one.name == name for one in options_of(type(given))):
                line = shlex.join(["usgan", *given.replace(**{name: value}).words()])
                error.hint = f"{value} is on this machine. The same with it: {line}\nOr: {error.fetch}"
            raise
        except UsganError as error:
            if error.hint is not None:
                error.hint = in_workspace(error.hint, session.workspace.root)
            raise

    return run_in_workspace


def perform(options: InWorkspace, session: Session) -> Outcome | list[Outcome] | None:
    """Carry a command out, and return what came of it; with --offline nothing is fetched meanwhile."""
    with offline_if(isinstance(options, StepOptions) and options.offline):
        return step_of(options)(options, session)


def as_list(returned: Outcome | list[Outcome] | None) -> list[Outcome]:
    """Return what came of a command as a list."""
    return returned if isinstance(returned, list) else [] if returned is None else [returned]


def carry_out(options: InWorkspace) -> None:
    """Carry a command out on the terminal, and print the path of what was written, or with --json the result."""
    session = Session.of(options)
    if isinstance(options, StepOptions) and not options.dry_run and not options.READS_ONLY:
        _clear_leftovers(session)
    outcomes = as_list(perform(options, session))
    if options.json and outcomes:
        shown = [{"path": str(one.path), "status": one.status, "result": one.result} for one in outcomes]
        console.emit_json({"command": options.COMMAND, "artefacts": shown})
        return
    for outcome in outcomes:
        if outcome.status == "planned" and (rows := _plan_rows(outcome)):
            session.table(f"Would write {outcome.path}", ("setting", "value"), rows)
    console.emit_paths([outcome.path for outcome in outcomes])


def _clear_leftovers(session: Session) -> None:
    """Remove what killed processes left in the workspace."""
    from usgan_cli.core.store.leftovers import clear_leftovers

    for leftover in clear_leftovers(session.workspace.root):
        session.progress.note(f"Cleared {leftover.path}: {leftover.why}.")


def _plan_rows(outcome: Outcome) -> list[tuple[str, str]]:
    parts = (outcome.result.get(part, {}) for part in ("settings", "inputs"))
    return [(key, str(value)) for part in parts for key, value in part.items()]
