"""`usgan report`: one HTML file with the figures and tables of all that has been done so far."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from usgan_cli.commands.report import DEFAULT_MARGIN, Report
from usgan_cli.core.errors import MissingError, SettingsError
from usgan_cli.core.store import files
from usgan_cli.core.store.document import RunDocument
from usgan_cli.core.store.lifecycle import making_folder
from usgan_cli.core.store.step import Outcome, Step
from usgan_cli.core.store.workspace import PAGE, Workspace
from usgan_cli.reporting.build import build_report
from usgan_cli.reporting.first_screen import Heading
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.records import Missing
from usgan_cli.reporting.verdict import Analysis
from usgan_cli.study.config import SHIPPED, StudyConfig, load_study, study_body
from usgan_cli.study.document import read_study, study_file
from usgan_cli.study.plan import plan_study, planned_comparisons
from usgan_cli.study.state import missing_steps
from usgan_cli.terminal.session import Session

REVISION = 6
AUDIT = "audit.html"
NOT_RECORDS = ("missing", "audit", "study")
"""Inputs of a report that are not the place of a record."""


def run(options: Report, session: Session) -> Outcome:
    """Write the report, if any record has changed."""
    records = collect(session.workspace)
    if records.is_empty():
        raise MissingError(
            f"There is nothing to report in {session.workspace.root}.", "Begin with: usgan prepare SOURCE"
        )
    target = options.out or session.workspace.report
    config = read_study(session.workspace) if study_file(session.workspace).is_file() else None
    missing = _missing(config, session.workspace)
    analysis = _analysis(options, config, session.workspace)
    inputs = dict(records.digests)
    if missing:
        inputs["missing"] = files.digest_json([item.line for item in missing])
    settings = options.recorded() | {"margin": analysis.margin, "primary": analysis.primary}
    heading = _heading(config, session.workspace, target)
    if config is not None:
        inputs["study"] = files.digest_json(heading.study)
    if heading.audit:
        inputs["audit"] = files.digest_json(heading.audit)
    step = Step("report", REVISION, settings, inputs)
    with making_folder(target, step, _summary, session.request, on_new_inputs="redo") as making:
        if making.needed:
            making.document = build_report(
                session.workspace, making.place, session.progress, missing, analysis, heading
            )
    outcome = making.outcome
    return outcome if outcome.status == "planned" else replace(outcome, path=target / PAGE)


def _heading(config: StudyConfig | None, workspace: Workspace, target: Path) -> Heading:
    """Return what the page says it is of; it links to the audit only where both are sent together."""
    audit, root = workspace.data / AUDIT, workspace.root.resolve()
    within = target.resolve().is_relative_to(root) and audit.is_file()
    link = Path(os.path.relpath(audit.resolve(), target.resolve())).as_posix() if within else ""
    name = "" if config is None else config.name
    return Heading(name, f"usgan study {name}" if config is not None and _is_shipped(config) else "usgan report", link)


def _is_shipped(config: StudyConfig) -> bool:
    """Return whether a study is a shipped one but for its images, rather than one edited under the same name."""
    if config.name not in SHIPPED:
        return False
    mine, shipped = study_body(config), study_body(load_study(config.name))
    return mine | {"data": mine["data"] | {"source": ""}} == shipped | {"data": shipped["data"] | {"source": ""}}


def _missing(config: StudyConfig | None, workspace: Workspace) -> list[Missing]:
    """Return what the workspace's study lacks; nothing if the workspace was not begun as a study."""
    steps = missing_steps(config, workspace) if config is not None else []
    return [Missing(step.command, step.place, step.line) for step in steps]


def _analysis(options: Report, config: StudyConfig | None, workspace: Workspace) -> Analysis:
    """Return what the study's file declares, or without a study the options."""
    if config is None:
        margin = DEFAULT_MARGIN if options.margin is None else options.margin
        return Analysis(margin / 100, options.primary)
    if options.margin is not None or options.primary is not None:
        raise SettingsError(
            "Margin and primary comparison belong to the study's file, which declares them before there are results.",
            "Leave --margin and --primary out, or set them in its table [analysis].",
        )
    return _analysis_of(config, workspace)


def declared_analysis(workspace: Workspace) -> Analysis:
    """Return what the workspace's study declares; without one what its report was made with, or else the defaults."""
    if study_file(workspace).is_file():
        return _analysis_of(read_study(workspace), workspace)
    made = RunDocument.find(workspace.report)
    settings = {} if made is None else made.run.settings
    return Analysis(settings.get("margin", DEFAULT_MARGIN / 100), settings.get("primary"))


def _analysis_of(config: StudyConfig, workspace: Workspace) -> Analysis:
    planned = planned_comparisons(plan_study(config, workspace))
    return Analysis(config.analysis.margin / 100, config.analysis.primary, tuple(planned))


def _summary(path: Path) -> dict[str, Any]:
    return {"page": str(path / PAGE), "content": RunDocument.read(path / RunDocument.FILE).content}
