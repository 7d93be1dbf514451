"""The report's other tables: the data, the published values and protocol, and how everything was made."""

from __future__ import annotations

from collections.abc import Sequence

from usgan_cli.core.store.document import RunRecord
from usgan_cli.core.text import duration
from usgan_cli.report import paper
from usgan_cli.report.cells import count, spread, subset_title, words
from usgan_cli.report.protocol import Difference
from usgan_cli.report.quality_tables import published_quality
from usgan_cli.report.records import StudyRecords, label
from usgan_cli.report.table_model import Cell, Column, RowGroup, Table, empty


def data_table(records: StudyRecords) -> Table | None:
    """Return the images of each class in the split and in every subset, or None without a dataset."""
    data = records.data
    if data is None:
        return None
    columns = [Column("Images", ("part",), text=True), *(Column(c, (c,)) for c in [*data.classes, "All"])]
    train, test = data.class_counts("train"), data.class_counts("test")
    rows = [_counts("Training", train), _counts("Test", test)]
    rows.append(_counts("All", {name: train[name] + test[name] for name in data.classes}))
    groups, subsets = [RowGroup("", rows)], []
    for key, subset in sorted(records.subsets.items(), key=lambda item: (-item[0].n, item[0].seed)):
        if subset.data == data.content_digest():
            picked = subset.pick(data)
            counts = {name: sum(image.class_ == name for image in picked) for name in data.classes}
            subsets.append(_counts(subset_title(key, list(records.subsets)), counts))
    if subsets:
        groups.append(RowGroup("Subsets of the training images", subsets))
    return Table("data", "Images of each class.", columns, groups)


def _counts(title: str, counts: dict[str, int]) -> list[Cell]:
    return [words(title), *(count(value) for value in [*counts.values(), sum(counts.values())])]


def published_table() -> Table:
    """Return the published values, whole."""
    columns = [
        Column("n", ("n",), shown=False),
        Column("GAN", ("gan",), text=True),
        Column("FID", ("fid", "fid_sd")),
        Column("JS", ("js",)),
        Column("SSIM", ("ssim", "ssim_sd")),
        Column("F1 test, %", ("f1", "f1_sd")),
        Column("p", ("p",)),
    ]
    groups = []
    for n in paper.SIZES:
        baseline = spread(paper.BASELINES[n], 2)
        rows = [[count(n), words("Real images alone"), empty(2), empty(1), empty(2), baseline, empty(1)]]
        for aug in paper.AUGS:
            values = paper.GANS[n, aug]
            cells = [*published_quality(values, fid=True), spread(values.f1, 2), words(str(values.p))]
            rows.append([count(n), words(label(aug)), *cells])
        groups.append(RowGroup(f"n = {n}", rows))
    caption = (
        f"The values of {paper.CITATION} for BUSI at 256 × 256; F1 with 100 % synthetic images added to the real "
        "ones, p against real images alone."
    )
    return Table("published", caption, columns, groups)


def protocol_table(differences: Sequence[Difference]) -> Table | None:
    """Return what differs from the published protocol, or None where nothing does."""
    columns = [
        Column("Point", ("point",), text=True),
        Column(f"Published ({paper.CITATION})", ("published",), text=True),
        Column("This run", ("this_run",), text=True),
    ]
    rows = [[words(item.aspect), words(item.published), words(item.ours)] for item in differences if not item.same]
    caption = "What differs from the published protocol in this run."
    return Table("protocol", caption, columns, [RowGroup("", rows)], wordy=True) if rows else None


def runs_table(runs: Sequence[RunRecord]) -> Table | None:
    """Return how long the steps took and on what, or None where no run is known."""
    steps: dict[str, list[RunRecord]] = {}
    for run in runs:
        steps.setdefault(run.command, []).append(run)
    rows = []
    for command, found in steps.items():
        seconds, memory = sum(run.wall_s for run in found), max(run.peak_memory_mb for run in found)
        devices = "; ".join(dict.fromkeys(run.device for run in found))
        time = Cell(duration(seconds), (seconds,))
        rows.append([words(command), count(len(found)), time, Cell(f"{memory:.0f} MB", (memory,)), words(devices)])
    columns = [
        Column("Step", ("step",), text=True),
        Column("Runs", ("runs",)),
        Column("Time in all", ("wall_s",)),
        Column("Most memory", ("peak_memory_mb",)),
        Column("Device", ("device",), text=True),
    ]
    return Table("runs", "Time and memory of every step.", columns, [RowGroup("", rows)]) if rows else None
