"""What every command shares: its common options, its session, and how its outcome is shown.

A command is a plain function `command(session, ...) -> Outcome | list[Outcome]` whose parameters carry their
option's help; it can be called from Python as it is. `step_command` gives it the options that every command has.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from usgan_cli import console, options
from usgan_cli.core.progress import Progress
from usgan_cli.core.store.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import RenderableType

    from usgan_cli.core.store.lifecycle import Outcome, Request


@dataclass(frozen=True)
class Session:
    """Where a command works and how.

    Attributes
    ----------
    workspace : Workspace
    progress : Progress
    force, refresh, dry_run : bool
    table : callable
        Shows a table: title, head, rows.
    show : callable
        Shows anything that rich can draw.
    quiet : bool
        Whether progress says only warnings and errors.
    """

    workspace: Workspace
    progress: Progress
    force: bool = False
    refresh: bool = False
    dry_run: bool = False
    table: Callable[[str, Sequence[str], Sequence[Sequence[str]]], None] = lambda *_: None
    show: Callable[[Sequence[RenderableType]], None] = lambda _: None
    quiet: bool = False

    @property
    def request(self) -> Request:
        """How artefacts are to be made."""
        from usgan_cli.core.store.lifecycle import Request

        return Request(self.progress, force=self.force, refresh=self.refresh, dry_run=self.dry_run)


Command = Callable[..., "Outcome | list[Outcome]"]


def step_command(function: Command) -> Callable[..., None]:
    """Return the function as Typer wants it: with the shared options, showing what it returns."""
    # Outcome is imported for type checkers alone, so that help stays quick; only parameters matter here.
    hints = typing.get_type_hints(function, localns={"Outcome": Any}, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "session"
    ]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, annotation, default in (
            ("work", options.Work, Path("work")),
            ("force", options.Force, False),
            ("refresh", options.Refresh, False),
            ("dry_run", options.DryRun, False),
            ("json", options.Json, False),
            ("quiet", options.Quiet, False),
        )
    ]

    @functools.wraps(function)
    def run(*, work: Path, force: bool, refresh: bool, dry_run: bool, json: bool, quiet: bool, **settings: Any) -> None:
        terminal = console.Terminal(quiet=quiet)
        session = Session(Workspace(work), terminal, force, refresh, dry_run, terminal.table, terminal.show, quiet)
        returned = function(session, **settings)
        outcomes = returned if isinstance(returned, list) else [returned]
        _show(function.__name__.replace("_", "-"), outcomes, terminal, as_json=json)

    run.__signature__ = inspect.Signature(own + shared)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in own + shared}
    return run


def _show(name: str, outcomes: list[Outcome], terminal: console.Terminal, *, as_json: bool) -> None:
    if not outcomes:  # one of several processes, of which another speaks
        return
    if as_json:
        shown = [{"path": str(o.path), "status": o.status, "result": o.result} for o in outcomes]
        console.emit_json({"command": name, "artefacts": shown})
        return
    for outcome in outcomes:
        if outcome.status == "planned":
            rows = [
                (key, str(value))
                for part in ("settings", "inputs")
                for key, value in outcome.result.get(part, {}).items()
            ]
            if rows:
                terminal.table(f"Would write {outcome.path}", ("setting", "value"), rows)
    console.emit_paths([outcome.path for outcome in outcomes])
