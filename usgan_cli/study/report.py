"""The report: one self-contained HTML page of what a study found, with its figures and tables as files beside it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from usgan_cli.core import files, images
from usgan_cli.core.documents import RunRecord
from usgan_cli.core.errors import DataError, MissingError
from usgan_cli.core.images import Pixels
from usgan_cli.core.manifest import DataManifest
from usgan_cli.core.progress import Progress
from usgan_cli.core.workspace import Workspace
from usgan_cli.study import figures, findings, published, tables
from usgan_cli.study.figures import Chart, Panel
from usgan_cli.study.findings import Difference
from usgan_cli.study.report_data import (
    GanKey,
    GanRun,
    Missing,
    ReportSummary,
    StudyRecords,
    SubsetKey,
    classifier_groups,
    collect,
    find_missing,
    label,
    score_groups,
    valid_ttest,
)
from usgan_cli.study.table_model import Cell, Column, RowGroup, Table
from usgan_cli.study.tables import subset_title

THUMB_SIZE = 128
"""Side of a shown image, pixels, where the images are larger."""
THUMB_COLUMNS = 3
GRID_WIDTH = 560


@dataclass(frozen=True)
class Picture:
    """A bitmap inside the page."""

    title: str
    alt: str
    png: bytes


@dataclass(frozen=True)
class Samples:
    """Images of every GAN trained on one subset, beside real ones."""

    title: str
    pictures: list[Picture]
    chart: Chart


@dataclass
class Page:
    """Everything that the template shows."""

    records: StudyRecords
    summary: str
    finding: str
    quality_finding: str
    facts: list[tuple[str, str]]
    warnings: list[str]
    missing: dict[str, list[Missing]]
    protocol: list[Difference]
    published: Table
    data_tables: list[Table] = field(default_factory=list)
    audit: list[str] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)
    distance: list[Chart] = field(default_factory=list)
    quality: list[Table] = field(default_factory=list)
    f1: list[Table] = field(default_factory=list)
    differences: list[Chart] = field(default_factory=list)
    by_class: list[Table] = field(default_factory=list)
    training: list[Chart] = field(default_factory=list)
    grids: list[Picture] = field(default_factory=list)
    runs: Table | None = None
    packages: list[str] = field(default_factory=list)

    def all_tables(self) -> list[Table]:
        """Return the tables in the page's order."""
        runs = [] if self.runs is None else [self.runs]
        return [*self.data_tables, *self.quality, *self.f1, *self.by_class, self.published, *runs]

    def all_charts(self) -> list[Chart]:
        """Return the figures in the page's order."""
        return [*(shown.chart for shown in self.samples), *self.distance, *self.differences, *self.training]


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
    page = _page(records)
    _add_data(page)
    parts = (_add_samples, _add_quality, _add_classifiers, _add_training, _add_runs)
    with progress.task("report", len(parts) + 1, "sections") as task:
        for add in parts:
            add(page)
            task.advance()
        summary = _write(page, target)
        task.advance()
    for warning in page.warnings:
        progress.warn(warning)
    if page.missing:
        absent = "; ".join(f"{kind}: {len(items)}" for kind, items in page.missing.items())
        progress.note(f"The study is not complete ({absent}); the report lists what is missing.")
    return summary


def _page(records: StudyRecords) -> Page:
    missing: dict[str, list[Missing]] = {}
    for item in find_missing(records):
        missing.setdefault(item.kind, []).append(item)
    return Page(
        records=records,
        summary=findings.what_was_run(records),
        finding=findings.main_finding(records),
        quality_finding=findings.quality_finding(records),
        facts=_facts(records),
        warnings=findings.warnings(records),
        missing=missing,
        protocol=findings.protocol_differences(records),
        published=tables.published_table("4"),
    )


def _facts(records: StudyRecords) -> list[tuple[str, str]]:
    facts = [("Dataset", findings.dataset_name(records))]
    if records.subset_keys():
        facts.append(("Training images, n", ", ".join(map(str, records.sizes()))))
    if records.augs():
        facts.append(("GANs", f"{len(records.finished_gans())} trained"))
    lengths = sorted({round(gan.kimg, 3) for gan in records.finished_gans()})
    if lengths:
        facts.append(("Training", f"{' / '.join(f'{value:g}' for value in lengths)} kimg"))
    comparisons = findings.valid_comparisons(records)
    if comparisons:
        significant = sum(item.p_holm is not None and item.p_holm < findings.ALPHA for _, item in comparisons)
        facts.append(("Significant after correction", f"{significant} of {len(comparisons)}"))
    return facts


def _add_data(page: Page) -> None:
    """Add the sizes of the split and of the subsets, and the audit of the source."""
    data = page.records.data
    if data is None:
        return
    columns = [Column("Images", ("part",), text=True), *(Column(c, (c,)) for c in [*data.classes, "All"])]
    train, test = data.class_counts("train"), data.class_counts("test")
    rows = [_counts("Training", train), _counts("Test", test)]
    rows.append(_counts("All", {name: train[name] + test[name] for name in data.classes}))
    groups = [RowGroup("", rows)]
    subsets = []
    for key, subset in sorted(page.records.subsets.items(), key=lambda item: (-item[0].n, item[0].seed)):
        if subset.data == data.content_digest():
            picked = subset.pick(data)
            counts = {name: sum(image.class_ == name for image in picked) for name in data.classes}
            subsets.append(_counts(subset_title(key, list(page.records.subsets)), counts))
    if subsets:
        groups.append(RowGroup("Subsets of the training images", subsets))
    page.data_tables.append(Table("data", "Images of each class.", columns, groups))
    page.audit = _audit(data)


def _counts(title: str, counts: dict[str, int]) -> list[Cell]:
    total = sum(counts.values())
    return [Cell(title, (title,)), *(Cell(str(value), (value,)) for value in [*counts.values(), total])]


def _audit(data: DataManifest) -> list[str]:
    copies = sum(len(group) for group in data.duplicates)
    found = []
    if data.duplicates:
        groups = findings.plural(len(data.duplicates), "group")
        found.append(f"{copies} files are copies of one another, exact or near, in {groups}.")
    else:
        found.append("No two files show the same picture.")
    if data.conflicts:
        named = "; ".join(" = ".join(group) for group in data.conflicts[:10])
        more = f"; and {len(data.conflicts) - 10} more" if len(data.conflicts) > 10 else ""
        found.append(f"Under more than one class: {findings.plural(len(data.conflicts), 'group')} ({named}{more}).")
    if data.left_out:
        reasons: dict[str, int] = {}
        for item in data.left_out:
            reasons[item.reason] = reasons.get(item.reason, 0) + 1
        told = "; ".join(f"{reason} ({count})" for reason, count in sorted(reasons.items(), key=lambda r: -r[1])[:10])
        found.append(f"{findings.plural(len(data.left_out), 'file')} of the source left out: {told}.")
    else:
        found.append("No file of the source was left out.")
    return found


def _add_samples(page: Page) -> None:
    """Add samples of every GAN beside real images, for the first seed of every n."""
    records = page.records
    data = records.data
    if data is None:
        return
    for n in records.sizes():
        keys = sorted((key for key in records.synthetic if key.n == n), key=lambda key: key.order)
        if not keys:
            continue
        subset = keys[0].subset
        # The functions are called here, so that one folder with changed files costs its own panel alone.
        sources = [("Real training images", partial(_real_thumbs, records, data, subset))]
        sources += [(label(key.aug), partial(_synthetic_thumbs, records, key)) for key in keys if key.subset == subset]
        panels: list[Panel] = []
        for title, thumbs in sources:
            try:
                panels.append(Panel(title, thumbs()))
            except DataError as error:
                reason = error.message.replace(f"{records.workspace.root}/", "")
                page.warnings.append(f"Samples of {title}, n = {n}, cannot be shown: {reason}")
        title = subset_title(subset, records.subset_keys())
        rows = f"rows {', '.join(data.classes)}"
        shown = [Picture(panel.title, f"{panel.title}, {title}; {rows}.", panel.png()) for panel in panels]
        if panels:
            chart = figures.samples_chart(panels, data.classes, title, f"samples-{subset.name}")
            page.samples.append(Samples(title, shown, chart))


def _real_thumbs(records: StudyRecords, data: DataManifest, subset: SubsetKey) -> list[list[Pixels]]:
    drawn = records.subsets.get(subset)
    known = drawn is not None and drawn.data == data.content_digest()
    picked = drawn.pick(data) if drawn is not None and known else data.of("train")
    chosen = [[(i.file, i.sha256) for i in picked if i.class_ == name] for name in data.classes]
    return _thumbs(records.workspace.data, data.channels, data.size, chosen)


def _synthetic_thumbs(records: StudyRecords, key: GanKey) -> list[list[Pixels]]:
    manifest = records.synthetic[key]
    classes = manifest.classes if records.data is None else records.data.classes
    chosen = [[(i.file, i.sha256) for i in manifest.images if i.class_ == name] for name in classes]
    return _thumbs(records.workspace.synthetic(*key), manifest.channels, manifest.size, chosen)


def _thumbs(folder: Path, channels: int, size: int, chosen: list[list[tuple[str, str]]]) -> list[list[Pixels]]:
    """Return the first images of every class, small enough to be shown; a class without any has a blank one."""
    shown = min(size, THUMB_SIZE)
    blank = np.full((channels, shown, shown), 255, dtype=np.uint8)
    return [
        [images.resize(images.read_checked(folder / file, sha, channels), shown) for file, sha in row[:THUMB_COLUMNS]]
        or [blank]
        for row in chosen
    ]


def _numbered(base: str, index: int, count: int) -> str:
    return base if count == 1 else f"{base}{chr(ord('a') + index)}"


def _add_quality(page: Page) -> None:
    """Add the distance against n and the table of image quality, one of each for equal settings."""
    groups = score_groups(page.records)
    for i, group in enumerate(groups):
        suffix = "" if len(groups) == 1 else f"-{i + 1}"
        page.distance.append(figures.distance_chart(group, f"distance{suffix}"))
        page.quality.append(tables.quality_table(group, _numbered("1", i, len(groups)), f"quality{suffix}"))


def _add_classifiers(page: Page) -> None:
    """Add the tables of F1 and the fold differences, one of each for equal settings."""
    records, groups = page.records, classifier_groups(page.records)
    for i, group in enumerate(groups):
        suffix = "" if len(groups) == 1 else f"-{i + 1}"
        page.f1.append(tables.f1_table(records, group, _numbered("2", i, len(groups)), f"f1{suffix}"))
        page.by_class.append(tables.class_table(group, _numbered("3", i, len(groups)), f"f1-by-class{suffix}"))
        subsets = list(dict.fromkeys(key for key, _ in group.items))
        for key in subsets:
            ttest, _ = valid_ttest(records, key, group)
            if ttest is not None and ttest.comparisons:
                name = f"differences-{key.name}{suffix}"
                page.differences.append(figures.differences_chart(ttest, key, subsets, name))


def _add_training(page: Page) -> None:
    """Add the course of every training, and the last sheet of samples that it left."""
    records = page.records
    gans = sorted(records.gans.values(), key=lambda gan: gan.key.order)
    for n in records.sizes():
        logged = [gan for gan in gans if gan.key.n == n and gan.log]
        if logged:
            page.training.append(figures.training_chart(logged, n, f"training-n{n}"))
    for gan in gans:
        if gan.grid is not None:
            try:
                page.grids.append(_grid(gan, gan.grid))
            except DataError as error:
                reason = error.message.replace(f"{records.workspace.root}/", "")
                page.warnings.append(f"The last samples of {gan.key.name} cannot be shown: {reason}")


def _grid(gan: GanRun, path: Path) -> Picture:
    """Return a training's sheet of samples, made narrow enough for the page."""
    channels: Literal[1, 3] = 1 if gan.document is None or gan.document.architecture.img_channels == 1 else 3
    pixels = images.decode(path, channels)
    sheet = Image.fromarray(pixels[0] if channels == 1 else pixels.transpose(1, 2, 0))
    sheet.thumbnail((GRID_WIDTH, 4 * GRID_WIDTH), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    at = f"{gan.kimg:g} kimg"
    classes = "" if gan.document is None else f"; rows {', '.join(gan.document.classes)}"
    title = f"{gan.key.name}, {at}" + ("" if gan.document is not None else ", unfinished")
    return Picture(title, f"Samples of {gan.key.name} during training, up to {at}{classes}.", buffer.getvalue())


def duration(seconds: float) -> str:
    """Return a time as 45 s, 12 min or 3 h 20 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _add_runs(page: Page) -> None:
    """Add how long the steps took and on what."""
    steps: dict[str, list[RunRecord]] = {}
    for run in page.records.runs:
        steps.setdefault(run.command, []).append(run)
    rows = []
    for command, runs in steps.items():
        seconds, memory = sum(run.wall_s for run in runs), max(run.peak_memory_mb for run in runs)
        devices = "; ".join(dict.fromkeys(run.device for run in runs))
        rows.append(
            [
                Cell(command, (command,)),
                Cell(str(len(runs)), (len(runs),)),
                Cell(duration(seconds), (seconds,)),
                Cell(f"{memory:.0f} MB", (memory,)),
                Cell(devices, (devices,)),
            ]
        )
    if rows:
        columns = [
            Column("Step", ("step",), text=True),
            Column("Runs", ("runs",)),
            Column("Time in all", ("wall_s",)),
            Column("Most memory", ("peak_memory_mb",)),
            Column("Device", ("device",), text=True),
        ]
        page.runs = Table("runs", "Time and memory of every step.", columns, [RowGroup("", rows)])
    versions = {(name, version) for run in page.records.runs for name, version in run.packages.items()}
    page.packages = [f"{name} {version}" for name, version in sorted(versions)]


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def render(page: Page) -> str:
    """Return the page as HTML that needs no other file."""
    environment = Environment(
        loader=PackageLoader("usgan_cli.study"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["data_uri"] = _data_uri
    return environment.get_template("report.html").render(page=page, citation=published.CITATION, doi=published.DOI)


def _write(page: Page, target: Path) -> ReportSummary:
    html = render(page)
    charts, shown_tables = page.all_charts(), page.all_tables()
    for chart in charts:
        files.write_bytes(target / "figures" / f"{chart.name}.svg", chart.svg)
        files.write_bytes(target / "figures" / f"{chart.name}.png", chart.png)
    for table in shown_tables:
        for suffix, text in (("csv", table.to_csv()), ("md", table.to_markdown()), ("tex", table.to_latex())):
            files.write_text(target / "tables" / f"{table.name}.{suffix}", text)
    files.write_text(target / "index.html", html)
    comparisons = findings.valid_comparisons(page.records)
    return ReportSummary(
        sizes=page.records.sizes(),
        gans=len(page.records.finished_gans()),
        scores=len(page.records.scores),
        classifiers=len(page.records.all_classifiers()),
        comparisons=len(comparisons),
        significant=sum(item.p_holm is not None and item.p_holm < findings.ALPHA for _, item in comparisons),
        warnings=page.warnings,
        missing=[f"{item.kind}: {item.name}" for items in page.missing.values() for item in items],
        figures=[chart.name for chart in charts],
        tables=[table.name for table in shown_tables],
        html=files.sha256_bytes(html.encode()),
    )
