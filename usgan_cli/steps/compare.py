"""`usgan compare`: two studies side by side."""

from __future__ import annotations

from pathlib import Path

from usgan_cli.commands.compare import Compare
from usgan_cli.core.errors import MissingError, SettingsError
from usgan_cli.core.store import files
from usgan_cli.core.store.step import Outcome
from usgan_cli.core.store.workspace import Workspace, work_option
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.side_by_side import Side, side_by_side
from usgan_cli.reporting.verdict import judge_study
from usgan_cli.steps.report import declared_analysis
from usgan_cli.terminal.session import Session


def run(options: Compare, session: Session) -> list[Outcome]:
    """Show the tables, and write them where that is asked for."""
    first, second = options.first, options.second
    if first.resolve() == second.resolve():
        raise SettingsError(f"{first} and {second} are the same workspace.", "Name two.")
    names = (first.name, second.name) if first.name != second.name else (str(first), str(second))
    tables = side_by_side(_side(first, names[0]), _side(second, names[1]))
    for table in tables:
        session.show_table(table)
        for note in table.notes:
            session.progress.note(note)
    result = {table.name: table.to_records() for table in tables}
    if options.markdown is None:
        return [Outcome(second, "done", result)] if options.json else []
    files.write_text(options.markdown, "\n".join(table.to_markdown() for table in tables))
    return [Outcome(options.markdown, "done", result)]


def _side(root: Path, name: str) -> Side:
    workspace = Workspace(root)
    records = collect(workspace)
    if records.is_empty():
        raise MissingError(
            f"There is nothing to compare in {root}.", f"Begin there: usgan study demo{work_option(root)}"
        )
    study = Study.of(records)
    return Side(name, study, judge_study(study, declared_analysis(workspace)))
