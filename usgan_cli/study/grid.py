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


Cell = tuple[int, ...]
"""Steps shown together: their places in the plan."""


@dataclass(frozen=True)
class Row:
    """One subset, with a cell for each column."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """The steps of a study in rows and columns."""

    columns: tuple[str, ...]
    """Heads of the columns after the row's name."""
    rows: tuple[Row, ...]
    shared: tuple[tuple[str, Cell], ...]
    """Steps that belong to the study as a whole, by command."""
    legend: tuple[str, ...]
    """Meaning of the marks of a GAN's cell, in order."""


def make_grid(steps: Sequence[PlannedStep]) -> Grid:
    """Return the grid of a plan."""
    augs = list(dict.fromkeys(step.aug for step in steps if step.aug is not None))
    columns = ("real", *augs, "t-test")
    cells: dict[str, dict[str, list[int]]] = {}
    shared: dict[str, list[int]] = {}
    for index, step in enumerate(steps):
        if step.subset is None or step.command == "subsample":
            name = {"subsample": "subsets", "ttest": "over repeats"}.get(step.command, step.command)
            shared.setdefault(name, []).append(index)
        else:
            column = "t-test" if step.command == "ttest" else step.aug or "real"
            row = (
                SubsetKey(*step.subset).name
                if step.split is None
                else f"split {step.split} {SubsetKey(*step.subset).name}"
            )
            cells.setdefault(row, {}).setdefault(column, []).append(index)
    rows = tuple(
        Row(row, tuple(tuple(columns_of.get(column, ())) for column in columns)) for row, columns_of in cells.items()
    )
    of_a_gan = next((cell for row in rows for cell in row.cells[1:-1] if cell), ())
    legend = tuple(_short(steps[i]) for i in of_a_gan)
    return Grid(columns, rows, tuple((name, tuple(places)) for name, places in shared.items()), legend)


def _short(step: PlannedStep) -> str:
    options = step.options
    if isinstance(options, TrainClassifier):
        ratio = "" if options.ratio is None else f" x{options.ratio:g}"
        return f"F1{ratio}{'' if options.control is None else f' {options.control}'}"
    if isinstance(options, TrainGan) and options.fold is not None:
        return f"GAN without fold {options.fold}"
    return {"train-gan": "GAN", "generate": "images"}.get(step.command, step.command)
