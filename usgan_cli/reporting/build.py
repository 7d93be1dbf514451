"""The report: one self-contained HTML page of a study's results, with its figures and tables as files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from usgan_cli.core.progress import Progress
from usgan_cli.core.store import files
from usgan_cli.core.store.workspace import PAGE, Workspace
from usgan_cli.core.table import Table
from usgan_cli.reporting import (
    classifier_tables,
    copying_tables,
    exchange,
    findings,
    first_screen,
    paper,
    result_charts,
    score_tables,
    tables,
    thumbnails,
    verdict,
)
from usgan_cli.reporting.cautions import Caution, cautions
from usgan_cli.reporting.charts import Plate
from usgan_cli.reporting.first_screen import Heading
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.page import Bitmaps, Block, Fold, Page, Section, Sentences, render
from usgan_cli.reporting.protocol import protocol_points
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.records import KINDS, Missing, ReportSummary
from usgan_cli.reporting.training_charts import training_chart
from usgan_cli.reporting.verdict import Analysis, Verdicts, judge_study


def build_report(
    workspace: Workspace,
    target: Path,
    progress: Progress,
    missing: Sequence[Missing] = (),
    analysis: Analysis = Analysis(),  # noqa: B008 (frozen)
    heading: Heading = Heading(),  # noqa: B008 (frozen)
) -> ReportSummary:
    """Write `index.html`, `figures/` and `tables/` of a study, or of the part of it that is done, into `target`.

    Equal records give equal files. `missing` are the steps of the study's plan that are not done; `progress` gets the
    warnings that the page shows; `analysis` is what the study declares, and `heading` what stands above its answer.
    """
    records = collect(workspace)
    study = Study.of(records)
    verdicts = judge_study(study, analysis)
    sections = [_verdicts_section(study, verdicts)]
    with progress.task("report", len(SECTIONS) + 1, "sections") as task:
        for make_section in SECTIONS:
            section = make_section(study)
            sections += [section] if section.blocks or section.problems else []
            task.advance()
        page = _page(study, verdicts, sections, missing, heading)
        summary = _write(study, verdicts, page, target)
        task.advance()
    for warning in summary.warnings:
        progress.warn(warning)
    if page.missing:
        absent = "; ".join(f"{kind}: {len(items)}" for kind, items in page.missing.items())
        progress.note(f"The study is not complete ({absent}); the report lists what is missing.")
    return summary


def _page(
    study: Study, verdicts: Verdicts, sections: Sequence[Section], missing: Sequence[Missing], heading: Heading
) -> Page:
    by_kind: dict[str, list[Missing]] = {}
    for item in missing:
        by_kind.setdefault(KINDS[item.command], []).append(item)
    unshown = [Caution("Pictures", text) for section in sections for text in section.problems]
    return Page(
        heading=heading,
        about=first_screen.about(study.records, heading),
        headline=verdict.headline(verdicts),
        finding=first_screen.size_of_effect(verdicts),
        effects=first_screen.effects(verdicts),
        facts=list(findings.facts(study, verdicts)),
        cautions=[*cautions(study, verdicts), *unshown],
        missing=by_kind,
        sections=[section for section in sections if section.blocks],
    )


def _write(study: Study, verdicts: Verdicts, page: Page, target: Path) -> ReportSummary:
    html = render(page)
    for chart in page.charts():
        files.write_bytes(target / "figures" / f"{chart.name}.svg", chart.svg)
        files.write_bytes(target / "figures" / f"{chart.name}.png", chart.png)
    for table in page.tables():
        for suffix, text in (("csv", table.to_csv()), ("md", table.to_markdown()), ("tex", table.to_latex())):
            files.write_text(target / "tables" / f"{table.name}.{suffix}", text)
    files.write_text(target / PAGE, html)
    records = study.records
    copying = {key.name: one.memorization.verdict for key, one in records.scores.items() if one.memorization}
    return ReportSummary(
        sizes=records.sizes(),
        gans=len(records.finished_gans()),
        scores=len(records.scores),
        classifiers=len(records.all_classifiers()),
        headline=page.headline,
        verdicts={one.name: one.word for one in verdicts.each},
        copying=[name for name, called in copying.items() if called == "copies"],
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


def _verdicts_section(study: Study, verdicts: Verdicts) -> Section:
    """Return every comparison; what the first screen leaves out of the words and the plot is here."""
    if not verdicts.each:
        return Section("verdicts", "Does it help?", [])
    worth: list[Block] = [Sentences(said)] if (said := list(exchange.sentences(study, verdicts))) else []
    rates = _filled(exchange.table(study), exchange.plate(study))
    worth += _fold("How many real images is that?", rates, open_=not study.crowded)
    plate = _filled(result_charts.verdicts_plate(verdicts))
    repeats = _fold("Every repeat", plate, open_=False)
    return Section(
        "verdicts",
        "Does it help?",
        [Sentences([verdict.summary(verdicts)]), *_filled(verdict.table(verdicts)), *worth, *repeats],
    )


def _run_section(study: Study) -> Section:
    text = " ".join(findings.what_was_run(study))
    return Section("run", "What was run", [Sentences([text])] if text else [])


def _data_section(study: Study) -> Section:
    data, subsets = study.records.data, study.records.subsets
    blocks: list[Block] = (
        [] if data is None else [tables.data_table(data, subsets), Sentences(list(findings.audit(data)))]
    )
    return Section("data", "Data", blocks)


def _samples_section(study: Study) -> Section:
    samples, problems = thumbnails.samples(study.records)
    return Section("samples", "Samples", [Bitmaps("samples", samples)] if samples else [], problems=problems)


def _quality_section(study: Study) -> Section:
    said = findings.quality_finding(study)
    blocks: list[Block] = [Sentences([said])] if said else []
    for group in study.scores:
        single = _filled(score_tables.quality_table(group), score_tables.enough_table(group))
        near = _filled(score_tables.nearness_table(group))
        more = _filled(score_tables.variety_table(group), score_tables.class_quality_table(group))
        blocks += _filled(result_charts.distance_plate(group), score_tables.seeds_quality_table(group))
        blocks += _fold("Distances of each GAN", single, open_=False) if study.crowded else single
        blocks += _fold("Distances with intervals, precision and recall", near, open_=False)
        blocks += _fold("Variety, and scores by class", more, open_=False)
    return Section("quality", "Image quality", blocks)


def _copies_section(study: Study) -> Section:
    blocks: list[Block] = []
    for group in study.scores:
        shares = _filled(copying_tables.copying_table(group))
        blocks += _fold("Shares of every GAN", shares, open_=False) if study.crowded else shares
    pairs, problems = thumbnails.pairs(study.records)
    suspects, others = ([one for one in pairs if one.suspect is suspect] for suspect in (True, False))
    blocks += [Bitmaps("pairs", suspects)] if suspects else []
    if others:
        title = "Closest pairs of the other GANs" if suspects else "Closest pairs of every GAN"
        blocks += _fold(title, [Bitmaps("pairs", others)], open_=not study.crowded and not suspects)
    return Section("copies", "Are they copies?", blocks, "Copies", problems)


def _classification_section(study: Study) -> Section:
    blocks: list[Block] = []
    for group in study.classifiers:
        classes = _filled(classifier_tables.class_table(group))
        every = _filled(classifier_tables.scores_table(group))
        blocks += _fold("Scores of every subset", every, open_=False) if study.crowded else every
        blocks += _fold("Classes", classes, open_=False)
    return Section("classification", "Classification", blocks)


def _own_analysis_section(study: Study) -> Section:
    """Return the published study's tests, which decide nothing here."""
    blocks: list[Block] = []
    for group in study.classifiers:
        over_seeds = _filled(result_charts.seeds_plate(group), classifier_tables.seeds_table(group))
        over_folds = _filled(classifier_tables.f1_table(group), result_charts.differences_plate(group))
        if study.crowded:
            title = "Every subset: F1, tests and differences by fold"
            over_folds = _fold(title, over_folds, open_=not over_seeds)
        tests = _filled(classifier_tables.tests_table(group))
        blocks += [*over_seeds, *over_folds, *_fold("Other tests", tests, open_=False)]
    said: list[Block] = [Sentences([verdict.FOLD_TESTS])]
    said += _fold("F1 and tests by fold and seed", blocks, open_=False)
    return Section("own-analysis", "The study’s own analysis", said if blocks else [])


def _training_section(study: Study) -> Section:
    records, open_ = study.records, not study.crowded
    blocks: list[Block] = []
    for group in study.snapshots:
        saved = _filled(copying_tables.snapshots_table(group))
        blocks += _fold("Saved generators: the best and the last", saved, open_=open_)
    charts = []
    for key in records.subset_keys():
        gans = [gan for gan in records.logged_gans() if gan.key.subset == key]
        charts += [training_chart(gans, records.snapshots, key, records.subset_keys())] if gans else []
    caption = (
        "The course of the trainings, over the real images shown. A discriminator whose r_t nears 1 knows real images "
        "from generated ones without fail. Where generators were saved, bars are 95 % intervals and a ring marks "
        "the best."
    )
    blocks += _fold("Curves of every training", [Plate(caption, charts)] if charts else [], open_=open_)
    sheets, problems = thumbnails.last_sheets(records)
    blocks += _fold("Samples at the end of each training", [Bitmaps("sheets", sheets)] if sheets else [], open_=open_)
    return Section("training", "Training", blocks, problems=problems)


def _protocol_section(study: Study) -> Section:
    points = protocol_points(study)
    blocks = _fold("What differs from the published protocol", _filled(tables.protocol_table(points)), open_=False)
    same = dict.fromkeys(point.aspect for point in points if point.same)
    blocks += [Sentences([f"As published: {'; '.join(same)}."])] if same else []
    if paper.is_busi(study.records.data):
        blocks += _fold("The published values", [tables.published_table()], open_=False)
    return Section("protocol", "Against the published study", blocks, "Published study")


def _runs_section(study: Study) -> Section:
    runs = study.records.runs
    blocks = _filled(tables.runs_table(runs))
    versions = sorted({f"{name} {version}" for run in runs for name, version in run.packages.items()})
    blocks += [Sentences([f"With {', '.join(versions)}."])] if versions else []
    blocks += [Sentences([f"Versions: {', '.join(digests)}."])] if (digests := findings.digests(study)) else []
    return Section("made", "How it was made", blocks)


SECTIONS = (
    _run_section,
    _data_section,
    _samples_section,
    _quality_section,
    _copies_section,
    _classification_section,
    _training_section,
    _own_analysis_section,
    _protocol_section,
    _runs_section,
)
