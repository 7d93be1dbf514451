"""What each section of the report shows, from the records."""

from __future__ import annotations

from collections.abc import Sequence

from usgan_cli.core.errors import DataError
from usgan_cli.report import classifier_tables, figures, findings, quality_tables, tables, thumbnails
from usgan_cli.report.charts import Chart, Plate
from usgan_cli.report.groups import ClassifierGroup, ScoreGroup, Study
from usgan_cli.report.page import (
    Block,
    Fold,
    GridsBlock,
    PairsBlock,
    PlateBlock,
    SamplesBlock,
    Section,
    TableBlock,
    Words,
)
from usgan_cli.report.protocol import protocol_differences
from usgan_cli.report.table_model import Table
from usgan_cli.report.training_figures import training_chart

CROWDED = 4
"""With more subsets than this, what is told of each one is folded away."""


def _shown(table: Table | None) -> list[Block]:
    return [] if table is None else [TableBlock(table)]


def _drawn(plate: Plate | None) -> list[Block]:
    return [] if plate is None else [PlateBlock(plate)]


def _fold(title: str, blocks: Sequence[Block], *, open_: bool) -> list[Block]:
    return [Fold(title, list(blocks), open_)] if blocks else []


def _suffix(groups: Sequence[object], i: int) -> str:
    return "" if len(groups) == 1 else f"-{i + 1}"


def _few(study: Study) -> bool:
    return len(study.records.subset_keys()) <= CROWDED


def run_section(study: Study, told: list[str]) -> Section | None:  # noqa: ARG001
    """Return what was run on what."""
    said = findings.what_was_run(study)
    return Section("run", "What was run", "What was run", [Words([said])]) if said else None


def data_section(study: Study, told: list[str]) -> Section | None:  # noqa: ARG001
    """Return the sizes of the split and the subsets, and the audit of the source."""
    data = study.records.data
    if data is None:
        return None
    blocks: list[Block] = [*_shown(tables.data_table(study.records)), Words(findings.audit(data))]
    return Section("data", "Data", "Data", blocks)


def samples_section(study: Study, told: list[str]) -> Section | None:
    """Return samples of every GAN beside real images."""
    found = thumbnails.samples(study.records, told)
    return Section("samples", "Samples", "Samples", [SamplesBlock(found)]) if found else None


def quality_section(study: Study, told: list[str]) -> Section | None:  # noqa: ARG001
    """Return the distance against n and the tables of image quality, one of each for equal settings."""
    blocks: list[Block] = []
    for i, group in enumerate(study.scores):
        blocks += _quality(group, _suffix(study.scores, i), few=_few(study))
    return Section("quality", "Image quality", "Image quality", blocks) if blocks else None


def _quality(group: ScoreGroup, suffix: str, *, few: bool) -> list[Block]:
    first = _shown(quality_tables.seeds_quality_table(group, f"quality-seeds{suffix}"))
    single: list[Block] = [
        TableBlock(quality_tables.quality_table(group, f"quality{suffix}")),
        TableBlock(quality_tables.nearness_table(group, f"nearness{suffix}")),
    ]
    more: list[Block] = [
        TableBlock(quality_tables.variety_table(group, f"variety{suffix}")),
        *_shown(quality_tables.class_quality_table(group, f"quality-by-class{suffix}")),
    ]
    plate: list[Block] = [PlateBlock(figures.distance_plate(group, f"distance{suffix}"))]
    middle = single if few else _fold("Distances of every GAN by itself", single, open_=False)
    return [*plate, *first, *middle, *_fold("Variety, and scores by class", more, open_=False)]


def copies_section(study: Study, told: list[str]) -> Section | None:
    """Return whether GANs store their training images, and the closest pairs."""
    blocks: list[Block] = []
    for i, group in enumerate(study.scores):
        table = quality_tables.copying_table(group, f"copies{_suffix(study.scores, i)}")
        shown = _shown(table)
        blocks += shown if _few(study) else _fold("Shares of every GAN", shown, open_=False)
    found = []
    for key, score in sorted(study.records.scores.items(), key=lambda item: item[0].order):
        try:
            pairs = thumbnails.pairs(study.records, key, score)
        except DataError as error:
            reason = thumbnails.without_place(study.records, error)
            told.append(f"The closest pairs of {key.name} cannot be shown: {reason}")
        else:
            found += [] if pairs is None else [pairs]
    suspects, others = ([pairs for pairs in found if pairs.suspect is suspect] for suspect in (True, False))
    if suspects:
        blocks.append(PairsBlock(suspects))
    if others:
        title = "Closest pairs of the other GANs" if suspects else "Closest pairs of every GAN"
        blocks += _fold(title, [PairsBlock(others)], open_=_few(study) and not suspects)
    return Section("copies", "Are they copies?", "Copies", blocks) if blocks else None


def classification_section(study: Study, told: list[str]) -> Section | None:  # noqa: ARG001
    """Return the tables of F1 and the differences from the baseline, one of each for equal settings."""
    blocks: list[Block] = []
    for i, group in enumerate(study.classifiers):
        blocks += _classification(group, _suffix(study.classifiers, i), few=_few(study))
    return Section("classification", "Classification", "Classification", blocks) if blocks else None


def _classification(group: ClassifierGroup, suffix: str, *, few: bool) -> list[Block]:
    over = [
        *_drawn(figures.seeds_plate(group, f"seeds{suffix}")),
        *_shown(classifier_tables.seeds_table(group, f"f1-seeds{suffix}")),
    ]
    folds: list[Block] = [
        TableBlock(classifier_tables.f1_table(group, f"f1{suffix}")),
        *_drawn(figures.differences_plate(group, f"differences{suffix}")),
    ]
    more: list[Block] = [
        *_shown(classifier_tables.tests_table(group, f"tests{suffix}")),
        TableBlock(classifier_tables.scores_table(group, f"scores{suffix}")),
        TableBlock(classifier_tables.class_table(group, f"f1-by-class{suffix}")),
    ]
    if few:
        return [*over, *folds, *_fold("Other tests, other scores, and classes", more, open_=False)]
    title = "Every subset by itself: F1, tests and differences by fold"
    return [
        *over,
        *_fold(title, folds, open_=not over),
        *_fold("Other tests, other scores, and classes", more, open_=False),
    ]


def training_section(study: Study, told: list[str]) -> Section | None:
    """Return the course of every training, its saved generators, and the last sheet of samples that it left."""
    records, blocks = study.records, []
    for i, group in enumerate(study.snapshots):
        table = quality_tables.snapshots_table(group, f"snapshots{_suffix(study.snapshots, i)}")
        blocks += _fold("Saved generators: the best and the last", _shown(table), open_=_few(study))
    gans = sorted(records.gans.values(), key=lambda gan: gan.key.order)
    charts: list[Chart] = []
    for key in records.subset_keys():
        logged = [gan for gan in gans if gan.key.subset == key and gan.log]
        if logged:
            charts.append(training_chart(logged, records.snapshots, key, records.subset_keys()))
    caption = (
        "The course of the trainings, over the real images shown. A discriminator whose r_t nears 1 knows real images "
        "from generated ones without fail. Where generators were saved, bars are 95 % intervals and a ring marks "
        "the best."
    )
    if charts:
        blocks += _fold("Curves of every training", [PlateBlock(Plate(caption, charts))], open_=_few(study))
    grids = []
    for gan in gans:
        if gan.grid is not None:
            try:
                grids.append(thumbnails.grid(gan, gan.grid))
            except DataError as error:
                reason = thumbnails.without_place(records, error)
                told.append(f"The last samples of {gan.key.name} cannot be shown: {reason}")
    blocks += _fold("Samples at the end of each training", [GridsBlock(grids)] if grids else [], open_=_few(study))
    return Section("training", "Training", "Training", blocks) if blocks else None


def protocol_section(study: Study, told: list[str]) -> Section | None:  # noqa: ARG001
    """Return what differs from the published study, and its values."""
    points = protocol_differences(study)
    blocks = _shown(tables.protocol_table(points))
    same = list(dict.fromkeys(point.aspect for point in points if point.same))
    if same:
        blocks.append(Words([f"As published: {'; '.join(same)}."]))
    blocks.append(TableBlock(tables.published_table()))
    return Section("protocol", "Against the published study", "Published study", blocks)


def runs_section(study: Study, told: list[str]) -> Section | None:  # noqa: ARG001
    """Return how long the steps took and on what."""
    runs = study.records.runs
    blocks = _shown(tables.runs_table(runs))
    versions = sorted({(name, version) for run in runs for name, version in run.packages.items()})
    if versions:
        blocks.append(Words([f"With {', '.join(f'{name} {version}' for name, version in versions)}."]))
    return Section("made", "How it was made", "How it was made", blocks) if blocks else None


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
"""The page's sections in order: each takes the study and a list that it tells of what cannot be shown."""
