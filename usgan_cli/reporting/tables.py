"""What the report's tables share, and the tables of the data, the published study and the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.core.store.document import RunRecord
from usgan_cli.core.store.workspace import GanKey, SubsetKey
from usgan_cli.core.table import Cell, Column, Spread, Table, Words
from usgan_cli.core.text import duration, gan_label
from usgan_cli.reporting import paper
from usgan_cli.reporting.paper import Published
from usgan_cli.reporting.protocol import Point
from usgan_cli.reporting.records import subset_title


class OfSubset(Protocol):
    """A table's row that belongs to a subset of the training images, or to all of them."""

    @property
    def subset(self) -> SubsetKey | None: ...  # noqa: D102


R = TypeVar("R", bound=OfSubset)
T = TypeVar("T")


@dataclass(frozen=True)
class GanRow(Generic[T]):
    """A GAN with one of its records."""

    key: GanKey
    record: T

    @property
    def subset(self) -> SubsetKey:
        """The subset it was trained on."""
        return self.key.subset


LEAD: list[Column[OfSubset]] = [
    Column("n", "n", lambda row: row.subset and row.subset.n, shown=False),
    Column("Seed", "seed", lambda row: row.subset and row.subset.seed, shown=False),
]


def by_subset(rows: Sequence[R], subsets: Sequence[SubsetKey] | None = None) -> list[tuple[str, list[R]]]:
    """Return rows under the names of their subsets, which are those of the rows where they are not given."""
    if subsets is None:
        subsets = [subset for subset in dict.fromkeys(row.subset for row in rows) if subset is not None]
    return [(subset_title(subset, subsets), [row for row in rows if row.subset == subset]) for subset in subsets]


def published_p(values: Published | None) -> Cell | None:
    """Return the cell of a published p-value."""
    return None if values is None or values.p is None else Cell(values.p, (values.p,))


@dataclass(frozen=True)
class _Counts:
    """How many images of each class some part of the dataset has."""

    title: str
    counts: Mapping[str, int]


def data_table(data: DataManifest, subsets: Mapping[SubsetKey, Subset]) -> Table:
    """Return the images of each class in the split and in every subset."""
    train, test = data.class_counts("train"), data.class_counts("test")
    columns: list[Column[_Counts]] = [
        Words("Images", "part", lambda row: row.title),
        *(_class_column(name) for name in data.classes),
        Column("All", "All", lambda row: sum(row.counts.values())),
    ]
    split = [
        _Counts("Training", train),
        _Counts("Test", test),
        _Counts("All", {name: train[name] + test[name] for name in data.classes}),
    ]
    drawn = [
        _Counts(subset_title(key, list(subsets)), subset.class_counts(data))
        for key, subset in subsets.items()
        if subset.data == data.content_digest()
    ]
    groups = [("", split), ("Subsets of the training images", drawn)]
    return Table.of("data", "Images of each class.", columns, groups)


def _class_column(name: str) -> Column[_Counts]:
    return Column(name, name, lambda row: row.counts[name])


PUBLISHED_COLUMNS: list[Column[Published]] = [
    Column("n", "n", lambda row: row.n, shown=False),
    Words("GAN", "gan", lambda row: "Real images alone" if row.aug is None else gan_label(row.aug)),
    Spread("FID", "fid", lambda row: row.fid, None),
    Column("JS", "js", lambda row: row.js, None),
    Spread("SSIM", "ssim", lambda row: row.ssim, None),
    Spread("F1 test, %", "f1", lambda row: row.f1, 2),
    Column("p", "p", published_p),
]


def published_table() -> Table:
    """Return the published values, whole."""
    caption = (
        f"The values of {paper.CITATION} for BUSI at 256 × 256; F1 with 100 % synthetic images added to the real "
        "ones, p against real images alone."
    )
    groups = [(f"n = {n}", [values for values in paper.VALUES if values.n == n]) for n in paper.SIZES]
    return Table.of("published", caption, PUBLISHED_COLUMNS, groups)


def protocol_table(points: Sequence[Point]) -> Table:
    """Return what differs from the published protocol, or is not stated there."""
    columns: list[Column[Point]] = [
        Words("Point", "point", lambda row: row.aspect),
        Words(paper.PUBLISHED, "published", lambda row: row.published),
        Words("This run", "this_run", lambda row: row.ours),
    ]
    caption = "What differs from the published protocol in this run, or is not stated in it."
    return Table.of("protocol", caption, columns, [("", [point for point in points if not point.same])], wordy=True)


RUN_COLUMNS: list[Column[list[RunRecord]]] = [
    Words("Step", "step", lambda runs: runs[0].command),
    Column("Runs", "runs", len),
    Column("Time in all", "wall_s", lambda runs: _time(sum(run.wall_s for run in runs))),
    Column("Most memory", "peak_memory_mb", lambda runs: _memory(max(run.peak_memory_mb for run in runs))),
    Words("Device", "device", lambda runs: "; ".join(dict.fromkeys(run.device for run in runs))),
]


def _time(seconds: float) -> Cell:
    return Cell(duration(seconds), (seconds,))


def _memory(megabytes: float) -> Cell:
    return Cell(f"{megabytes:.0f} MB", (megabytes,))


def runs_table(runs: Sequence[RunRecord]) -> Table:
    """Return how long the steps took and on what device."""
    steps: dict[str, list[RunRecord]] = {}
    for run in runs:
        steps.setdefault(run.command, []).append(run)
    return Table.of("runs", "Time and memory of every step.", RUN_COLUMNS, [("", steps.values())])
