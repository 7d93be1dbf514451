"""A study as a grid at a glance: a row for each subset, a column for each GAN, a mark for each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.store.workspace import SubsetKey
from usgan_cli.study.plan import PlannedStep

MARKS = {
    "done": "✓",
    "running": "▶",
    "unfinished": "…",
    "stale": "↻",
    "follows": "?",
    "missing": "·",
    "failed": "✗",
    "impossible": "✗",
    "left out": "-",
}
"""How each state is drawn; they differ in shape, not in colour alone."""
WORDS = {
    "done": "done",
    "running": "running",
    "unfinished": "unfinished",
    "stale": "to make again",
    "follows": "made again if its inputs change",
    "missing": "to make",
    "failed": "failed",
    "impossible": "impossible as set",
    "left out": "left out",
}


@dataclass(frozen=True)
class Cell:
    """Steps shown together: their places in the plan, and a short name for each."""

    steps: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One subset, with a cell for each column."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """The steps of a study in rows and columns.

    Attributes
    ----------
    columns : tuple of str
        Heads of the columns after the row's name.
    rows : tuple of Row
    shared : tuple of (str, Cell)
        Steps that belong to the study as a whole, by command.
    legend : tuple of str
        Meaning of the marks of a GAN's cell, in order.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    shared: tuple[tuple[str, Cell], ...]
    legend: tuple[str, ...]


def make_grid(steps: Sequence[PlannedStep]) -> Grid:
    """Return the grid of a plan."""
    augs = list(dict.fromkeys(step.aug for step in steps if step.aug is not None))
    columns = ("real", *augs, "t-test")
    cells: dict[tuple[int, int], dict[str, list[int]]] = {}
    shared: dict[str, list[int]] = {}
    for index, step in enumerate(steps):
        if step.subset is None or step.command == "subsample":
            shared.setdefault(_shared_name(step), []).append(index)
        else:
            cells.setdefault(step.subset, {}).setdefault(_column(step), []).append(index)

    def cell(indices: Sequence[int]) -> Cell:
        return Cell(tuple(indices), tuple(_short(steps[i]) for i in indices))

    rows = tuple(
        Row(SubsetKey(*subset).name, tuple(cell(columns_of.get(column, [])) for column in columns))
        for subset, columns_of in cells.items()
    )
    legend = next((c.names for row in rows for c in row.cells[1:-1] if c.names), ())
    return Grid(columns, rows, tuple((name, cell(indices)) for name, indices in shared.items()), legend)


def _shared_name(step: PlannedStep) -> str:
    return {"subsample": "subsets", "ttest": "over seeds"}.get(step.command, step.command)


def _column(step: PlannedStep) -> str:
    return "t-test" if step.command == "ttest" else step.aug or "real"


def _short(step: PlannedStep) -> str:
    options = step.options
    if isinstance(options, TrainClassifier):
        ratio = "" if options.ratio is None else f" x{options.ratio:g}"
        return f"F1{ratio}{'' if options.control is None else f' {options.control}'}"
    if isinstance(options, TrainGan) and options.fold is not None:
        return f"GAN without fold {options.fold}"
    return {"train-gan": "GAN", "generate": "images"}.get(step.command, step.command)
