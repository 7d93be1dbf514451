"""The report: one self-contained HTML page of a study's results, with its figures and tables as files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from usgan_cli.core.errors import DataError, MissingError
from usgan_cli.core.progress import Progress
from usgan_cli.core.store import files
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.core.table import Table
from usgan_cli.reporting import classifier_tables, findings, result_charts, score_tables, tables, thumbnails
from usgan_cli.reporting.cautions import Caution, cautions
from usgan_cli.reporting.charts import Plate
from usgan_cli.reporting.groups import ClassifierGroup, ScoreGroup, Study
from usgan_cli.reporting.page import (
    Block,
    Fold,
    Page,
    PairsPlate,
    SamplesPlate,
    Section,
    Sentences,
    Sheets,
    render,
)
from usgan_cli.reporting.protocol import protocol_points
from usgan_cli.reporting.records import KINDS, Missing, ReportSummary, collect
from usgan_cli.reporting.training_charts import training_chart

CROWDED = 4
"""With more subsets than this, what belongs to each one is folded away."""


def build_report(
    workspace: Workspace, target: Path, progress: Progress, missing: Sequence[Missing] = ()
) -> ReportSummary:
    """Write `index.html`, `figures/` and `tables/` of a study, or of the part of it that is done.

    Parameters
    ----------
    workspace : Workspace
    target : Path
        Folder of the report; equal records give equal files.
    progress : Progress
        Gets the warnings that the page shows.
    missing : sequence of Missing
        Steps of the study's plan that are not done.

    Raises
    ------
    MissingError
        The workspace has no records at all.
    """
    records = collect(workspace)
    if records.is_empty():
        raise MissingError(f"There is nothing to report in {workspace.root}.", "Begin with: usgan prepare SOURCE")
    study = Study.of(records)
    sections = []
    with progress.task("report", len(SECTIONS) + 1, "sections") as task:
        for make_section in SECTIONS:
            section = make_section(study)
            sections += [section] if section.blocks or section.problems else []
            task.advance()
        page = _page(study, sections, missing)
        summary = _write(study, page, target)
        task.advance()
    for warning in summary.warnings:
        progress.warn(warning)
    if page.missing:
        absent = "; ".join(f"{kind}: {len(items)}" for kind, items in page.missing.items())
        progress.note(f"The study is not complete ({absent}); the report lists what is missing.")
    return summary


def _page(study: Study, sections: Sequence[Section], missing: Sequence[Missing]) -> Page:
    by_kind: dict[str, list[Missing]] = {}
    for item in missing:
        by_kind.setdefault(KINDS[item.command], []).append(item)
    unshown = [Caution("Pictures", text) for section in sections for text in section.problems]
    return Page(
        headline=findings.headline(study),
        finding=findings.main_finding(study),
        quality_finding=findings.quality_finding(study),
        facts=findings.facts(study),
        cautions=[*cautions(study), *unshown],
        missing=by_kind,
        sections=[section for section in sections if section.blocks],
    )


def _write(study: Study, page: Page, target: Path) -> ReportSummary:
    html = render(page)
    for chart in page.charts():
        files.write_bytes(target / "figures" / f"{chart.name}.svg", chart.svg)
        files.write_bytes(target / "figures" / f"{chart.name}.png", chart.png)
    for table in page.tables():
        for suffix, text in (("csv", table.to_csv()), ("md", table.to_markdown()), ("tex", table.to_latex())):
            files.write_text(target / "tables" / f"{table.name}.{suffix}", text)
    files.write_text(target / "index.html", html)
    records, comparisons = study.records, study.comparisons
    verdicts = {key.name: one.memorization.verdict for key, one in records.scores.items() if one.memorization}
    return ReportSummary(
        sizes=records.sizes(),
        gans=len(records.finished_gans()),
        scores=len(records.scores),
        classifiers=len(records.all_classifiers()),
        comparisons=len(comparisons),
        significant=sum(findings.below(item.p_holm) for _, item in comparisons),
        copying=[name for name, verdict in verdicts.items() if verdict == "copies"],
        unreadable=records.unreadable,
        warnings=[caution.text for caution in page.cautions],
        missing=[f"{kind}: {item.artefact}" for kind, items in page.missing.items() for item in items],
        figures=[chart.name for chart in page.charts()],
        tables=[table.name for table in page.tables()],
        html=files.sha256_bytes(html.encode()),
    )


def _filled(*blocks: Table | Plate | None) -> list[Block]:
    """Return the blocks that there are; tables without rows are left out."""
    return [block for block in blocks if block is not None and not (isinstance(block, Table) and not block.groups)]


def _fold(title: str, blocks: Sequence[Block], *, open_: bool) -> list[Block]:
    return [Fold(title, list(blocks), open_)] if blocks else []


def _suffix(groups: Sequence[object], i: int) -> str:
    return "" if len(groups) == 1 else f"-{i + 1}"


def _few(study: Study) -> bool:
    return len(study.records.subset_keys()) <= CROWDED


def run_section(study: Study) -> Section:
    """Return what was run on what."""
    text = findings.what_was_run(study)
    return Section("run", "What was run", [Sentences([text])] if text else [])


def data_section(study: Study) -> Section:
    """Return the sizes of the split and the subsets, and the audit of the source."""
    data = study.records.data
    blocks: list[Block] = []
    if data is not None:
        blocks = [tables.data_table(data, study.records.subsets), Sentences(findings.audit(data))]
    return Section("data", "Data", blocks)


def samples_section(study: Study) -> Section:
    """Return samples of every GAN beside real images."""
    samples, problems = thumbnails.samples(study.records)
    return Section("samples", "Samples", [SamplesPlate(samples)] if samples else [], problems=problems)


def quality_section(study: Study) -> Section:
    """Return the distance against n and the tables of image quality, one of each for equal settings."""
    blocks: list[Block] = []
    for i, group in enumerate(study.scores):
        blocks += _quality(group, _suffix(study.scores, i), few=_few(study))
    return Section("quality", "Image quality", blocks)


def _quality(group: ScoreGroup, suffix: str, *, few: bool) -> list[Block]:
    single = _filled(
        score_tables.quality_table(group, f"quality{suffix}"), score_tables.nearness_table(group, f"nearness{suffix}")
    )
    more = _filled(
        score_tables.variety_table(group, f"variety{suffix}"),
        score_tables.class_quality_table(group, f"quality-by-class{suffix}"),
    )
    return [
        result_charts.distance_plate(group, f"distance{suffix}"),
        *_filled(score_tables.seeds_quality_table(group, f"quality-seeds{suffix}")),
        *(single if few else _fold("Distances of each GAN", single, open_=False)),
        *_fold("Variety, and scores by class", more, open_=False),
    ]


def copies_section(study: Study) -> Section:
    """Return whether GANs store their training images, and the closest pairs."""
    blocks: list[Block] = []
    for i, group in enumerate(study.scores):
        shares = _filled(score_tables.copying_table(group, f"copies{_suffix(study.scores, i)}"))
        blocks += shares if _few(study) else _fold("Shares of every GAN", shares, open_=False)
    all_pairs, problems = [], []
    for key, score in study.records.scores.items():
        try:
            all_pairs.append(thumbnails.pairs(study.records, key, score))
        except DataError as error:
            reason = thumbnails.without_place(study.records, error)
            problems.append(f"The closest pairs of {key.name} cannot be shown: {reason}")
    suspects = [pairs for pairs in all_pairs if pairs is not None and pairs.suspect]
    others = [pairs for pairs in all_pairs if pairs is not None and not pairs.suspect]
    if suspects:
        blocks.append(PairsPlate(suspects))
    if others:
        title = "Closest pairs of the other GANs" if suspects else "Closest pairs of every GAN"
        blocks += _fold(title, [PairsPlate(others)], open_=_few(study) and not suspects)
    return Section("copies", "Are they copies?", blocks, "Copies", problems)


def classification_section(study: Study) -> Section:
    """Return the tables of F1 and the differences from the baseline, one of each for equal settings."""
    blocks: list[Block] = []
    for i, group in enumerate(study.classifiers):
        blocks += _classification(group, _suffix(study.classifiers, i), few=_few(study))
    return Section("classification", "Classification", blocks)


def _classification(group: ClassifierGroup, suffix: str, *, few: bool) -> list[Block]:
    over_seeds = _filled(
        result_charts.seeds_plate(group, f"seeds{suffix}"), classifier_tables.seeds_table(group, f"f1-seeds{suffix}")
    )
    over_folds = _filled(
        classifier_tables.f1_table(group, f"f1{suffix}"),
        result_charts.differences_plate(group, f"differences{suffix}"),
    )
    if not few:
        title = "Every subset: F1, tests and differences by fold"
        over_folds = _fold(title, over_folds, open_=not over_seeds)
    more = _filled(
        classifier_tables.tests_table(group, f"tests{suffix}"),
        classifier_tables.scores_table(group, f"scores{suffix}"),
        classifier_tables.class_table(group, f"f1-by-class{suffix}"),
    )
    return [*over_seeds, *over_folds, *_fold("Other tests, other scores, and classes", more, open_=False)]


def training_section(study: Study) -> Section:
    """Return the course of every training, its saved generators, and its last sheet of samples."""
    records, few = study.records, _few(study)
    blocks: list[Block] = []
    for i, group in enumerate(study.snapshots):
        table = score_tables.snapshots_table(group, f"snapshots{_suffix(study.snapshots, i)}")
        blocks += _fold("Saved generators: the best and the last", _filled(table), open_=few)
    charts = []
    for key in records.subset_keys():
        gans = [gan for gan in records.logged_gans() if gan.key.subset == key]
        charts += [training_chart(gans, records.snapshots, key, records.subset_keys())] if gans else []
    caption = (
        "The course of the trainings, over the real images shown. A discriminator whose r_t nears 1 knows real images "
        "from generated ones without fail. Where generators were saved, bars are 95 % intervals and a ring marks "
        "the best."
    )
    if charts:
        blocks += _fold("Curves of every training", [Plate(caption, charts)], open_=few)
    sheets, problems = [], []
    for gan in records.gans.values():
        try:
            sheets.append(thumbnails.last_sheet(gan))
        except DataError as error:
            reason = thumbnails.without_place(records, error)
            problems.append(f"The last samples of {gan.key.name} cannot be shown: {reason}")
    if pictures := [sheet for sheet in sheets if sheet is not None]:
        blocks += _fold("Samples at the end of each training", [Sheets(pictures)], open_=few)
    return Section("training", "Training", blocks, problems=problems)


def protocol_section(study: Study) -> Section:
    """Return what differs from the published study, and its values."""
    points = protocol_points(study)
    blocks = _filled(tables.protocol_table(points))
    same = dict.fromkeys(point.aspect for point in points if point.same)
    blocks += [Sentences([f"As published: {'; '.join(same)}."])] if same else []
    return Section("protocol", "Against the published study", [*blocks, tables.published_table()], "Published study")


def runs_section(study: Study) -> Section:
    """Return how long the steps took and on what device."""
    runs = study.records.runs
    blocks = _filled(tables.runs_table(runs))
    versions = sorted({f"{name} {version}" for run in runs for name, version in run.packages.items()})
    blocks += [Sentences([f"With {', '.join(versions)}."])] if versions else []
    return Section("made", "How it was made", blocks)


SECTIONS = (
    run_section,
    data_section,
    samples_section,
    quality_section,
    copies_section,
    classification_section,
    training_section,
    protocol_section,
    runs_section,
)
