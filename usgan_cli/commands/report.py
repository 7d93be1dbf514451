"""`usgan report`: one HTML file with the figures and tables of whatever has been done so far."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from usgan_cli import options
from usgan_cli.commands.session import Session

if TYPE_CHECKING:
    from usgan_cli.core.store.document import Document
    from usgan_cli.core.store.lifecycle import Outcome
    from usgan_cli.core.store.workspace import Workspace
    from usgan_cli.report.records import Missing

REVISION = 3


def report(session: Session, out: options.Out = None) -> Outcome:
    """Write report/index.html: the study's figures and tables, from this workspace, beside the published values."""
    from usgan_cli.core.store import files, lifecycle
    from usgan_cli.report.records import collect

    target = out or session.workspace.report

    def work(folder: Path) -> Document:
        from usgan_cli.report.build import build_report

        return build_report(session.workspace, folder, session.progress, missing)

    def summary(path: Path) -> dict[str, Any]:
        from usgan_cli.core.store.document import RunDocument

        return {"page": str(path / "index.html"), "content": RunDocument.read(path / "run.json").content}

    missing = _missing(session.workspace)
    inputs = collect(session.workspace).digests()
    if missing:
        inputs["missing"] = files.digest_json([item.line for item in missing])
    step = lifecycle.Step("report", REVISION, {}, inputs)
    outcome = lifecycle.make_folder(target, step, work, summary, session.request, on_new_inputs="redo")
    if outcome.status == "planned":
        return outcome
    return lifecycle.Outcome(target / "index.html", outcome.status, outcome.result)


def _missing(workspace: Workspace) -> list[Missing]:
    """Return what the workspace's study lacks; nothing where it was not begun as a study."""
    from usgan_cli.report import records
    from usgan_cli.study.document import read_study, study_file
    from usgan_cli.study.state import SHOWN, missing_steps

    if not study_file(workspace).is_file():
        return []
    steps = missing_steps(read_study(workspace), workspace)
    return [records.Missing(step.command, step.place(SHOWN), step.line(SHOWN)) for step in steps]
