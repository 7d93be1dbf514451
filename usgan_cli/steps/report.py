"""`usgan report`: one HTML file with the figures and tables of all that has been done so far."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from usgan_cli.commands.report import Report
from usgan_cli.core.store import files
from usgan_cli.core.store.document import RunDocument
from usgan_cli.core.store.lifecycle import making_folder
from usgan_cli.core.store.step import Outcome, Step
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.reporting.build import build_report
from usgan_cli.reporting.records import Missing, collect
from usgan_cli.study.document import read_study, study_file
from usgan_cli.study.state import missing_steps
from usgan_cli.terminal.session import Session

REVISION = 3
PAGE = "index.html"


def run(options: Report, session: Session) -> Outcome:
    """Write the report, if any record has changed."""
    target = options.out or session.workspace.report
    missing = _missing(session.workspace)
    inputs = collect(session.workspace).digests
    if missing:
        inputs["missing"] = files.digest_json([item.line for item in missing])
    step = Step("report", REVISION, options.recorded(), inputs)
    with making_folder(target, step, _summary, session.request, on_new_inputs="redo") as making:
        if making.needed:
            making.document = build_report(session.workspace, making.place, session.progress, missing)
    outcome = making.outcome
    return outcome if outcome.status == "planned" else replace(outcome, path=target / PAGE)


def _missing(workspace: Workspace) -> list[Missing]:
    """Return what the workspace's study lacks; nothing if the workspace was not begun as a study."""
    if not study_file(workspace).is_file():
        return []
    steps = missing_steps(read_study(workspace), workspace)
    return [Missing(step.command, step.place, step.line) for step in steps]


def _summary(path: Path) -> dict[str, Any]:
    return {"page": str(path / PAGE), "content": RunDocument.read(path / RunDocument.FILE).content}
