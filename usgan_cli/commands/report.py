"""`usgan report`: one HTML file with the figures and tables of whatever has been done so far."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from usgan_cli import options
from usgan_cli.commands.session import Session

if TYPE_CHECKING:
    from usgan_cli.core.store.document import Document
    from usgan_cli.core.store.lifecycle import Outcome

REVISION = 3


def report(session: Session, out: options.Out = None) -> Outcome:
    """Write report/index.html: the study's figures and tables, from this workspace, beside the published values."""
    from usgan_cli.core.store import lifecycle
    from usgan_cli.report.records import collect

    target = out or session.workspace.report

    def work(folder: Path) -> Document:
        from usgan_cli.report.build import build_report

        return build_report(session.workspace, folder, session.progress)

    def summary(path: Path) -> dict[str, Any]:
        from usgan_cli.core.store.document import RunDocument

        return {"page": str(path / "index.html"), "content": RunDocument.read(path / "run.json").content}

    step = lifecycle.Step("report", REVISION, {}, collect(session.workspace).digests())
    outcome = lifecycle.make_folder(target, step, work, summary, session.request, on_new_inputs="redo")
    if outcome.status == "planned":
        return outcome
    return lifecycle.Outcome(target / "index.html", outcome.status, outcome.result)
