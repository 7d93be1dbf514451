"""The report: one self-contained HTML page of what a study found, with its figures and tables as files beside it."""

from __future__ import annotations

from pathlib import Path

from usgan_cli.core.errors import MissingError
from usgan_cli.core.progress import Progress
from usgan_cli.core.store import files
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.report import findings
from usgan_cli.report.cautions import Caution, cautions
from usgan_cli.report.groups import Study
from usgan_cli.report.missing import Missing, find_missing
from usgan_cli.report.page import Page, render
from usgan_cli.report.records import ReportSummary, collect
from usgan_cli.report.sections import SECTIONS


def build_report(workspace: Workspace, target: Path, progress: Progress) -> ReportSummary:
    """Write `index.html`, `figures/` and `tables/` of a study, whatever part of it there is so far.

    Parameters
    ----------
    workspace : Workspace
    target : Path
        Folder of the report; equal records give equal files.
    progress : Progress
        Hears the warnings that the page shows.

    Returns
    -------
    ReportSummary

    Raises
    ------
    MissingError
        The workspace has no records at all.
    """
    records = collect(workspace)
    if records.is_empty():
        raise MissingError(f"There is nothing to report in {workspace.root}.", "Begin with: usgan prepare SOURCE")
    study = Study.of(records)
    page = _page(study)
    with progress.task("report", len(SECTIONS) + 1, "sections") as task:
        told: list[str] = []
        for make in SECTIONS:
            section = make(study, told)
            page.sections += [] if section is None else [section]
            task.advance()
        page.cautions += [Caution("Pictures", text) for text in told]
        summary = _write(study, page, target)
        task.advance()
    for warning in summary.warnings:
        progress.warn(warning)
    if page.missing:
        absent = "; ".join(f"{kind}: {len(items)}" for kind, items in page.missing.items())
        progress.note(f"The study is not complete ({absent}); the report lists what is missing.")
    return summary


def _page(study: Study) -> Page:
    missing: dict[str, list[Missing]] = {}
    for item in find_missing(study.records):
        missing.setdefault(item.kind, []).append(item)
    return Page(
        headline=findings.headline(study),
        finding=findings.main_finding(study),
        quality_finding=findings.quality_finding(study),
        facts=findings.facts(study),
        cautions=cautions(study),
        missing=missing,
    )


def _write(study: Study, page: Page, target: Path) -> ReportSummary:
    html = render(page)
    charts, tables = page.charts(), page.tables()
    for chart in charts:
        files.write_bytes(target / "figures" / f"{chart.name}.svg", chart.svg)
        files.write_bytes(target / "figures" / f"{chart.name}.png", chart.png)
    for table in tables:
        for suffix, text in (("csv", table.to_csv()), ("md", table.to_markdown()), ("tex", table.to_latex())):
            files.write_text(target / "tables" / f"{table.name}.{suffix}", text)
    files.write_text(target / "index.html", html)
    records, comparisons = study.records, study.comparisons
    verdicts = {key: score.memorization for key, score in records.scores.items() if score.memorization is not None}
    return ReportSummary(
        sizes=records.sizes(),
        gans=len(records.finished_gans()),
        scores=len(records.scores),
        classifiers=len(records.all_classifiers()),
        comparisons=len(comparisons),
        significant=sum(findings.below(item.p_holm) for _, item in comparisons),
        copying=[key.name for key in sorted(verdicts, key=lambda key: key.order) if verdicts[key].verdict == "copies"],
        unreadable=records.unreadable,
        warnings=[caution.text for caution in page.cautions],
        missing=[f"{item.kind}: {item.name}" for items in page.missing.values() for item in items],
        figures=[chart.name for chart in charts],
        tables=[table.name for table in tables],
        html=files.sha256_bytes(html.encode()),
    )
