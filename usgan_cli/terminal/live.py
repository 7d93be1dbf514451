"""The display of a study at work: its grid of steps on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING

from usgan_cli.core.progress import EVEN, Pace
from usgan_cli.core.text import duration
from usgan_cli.study.estimate import Estimator
from usgan_cli.study.grid import MARKS, WORDS, Cell, Grid, make_grid
from usgan_cli.study.plan import PlannedStep
from usgan_cli.study.state import StepState
from usgan_cli.terminal import console

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.text import Text

STYLES = {
    "done": "green",
    "running": "bold cyan",
    "unfinished": "cyan",
    "stale": "yellow",
    "follows": "yellow",
    "failed": "bold red",
    "impossible": "bold red",
}


class StudyTerminal(console.Terminal):
    """A terminal that shows a study's grid while its steps report to it.

    The estimator learns from every step that was carried out from its beginning. `chosen` are the places in the plan of
    the steps to be carried out.
    """

    def __init__(
        self,
        name: str,
        steps: Sequence[PlannedStep],
        states: Sequence[StepState],
        estimator: Estimator,
        chosen: set[int],
        *,
        quiet: bool = False,
    ) -> None:
        super().__init__(quiet=quiet)
        self.name, self.steps, self.estimator, self.chosen = name, steps, estimator, chosen
        self.states: list[str] = [state.name for state in states]
        self.partial = {i for i, state in enumerate(states) if state.name == "unfinished"}
        """Places in the plan of steps whose time says nothing: they are continued, or turn out to be up to date."""
        self.grid = make_grid(steps)
        self.began = time.monotonic()
        self._live = False

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the grid for the length of the block, where there is a terminal."""
        if self.quiet or not self.console.is_terminal:
            yield
            return
        from rich.live import Live

        self.bars = console.make_bars(self.console)
        with Live(get_renderable=self._render, console=self.console, refresh_per_second=4):
            self._live = True
            try:
                yield
            finally:
                self._live = False

    def kept(self, step: PlannedStep) -> None:
        """Note that a step was up to date when its turn came."""
        self.partial.add(self.steps.index(step))

    def moved(self, index: int, state: str, seconds: float = 0) -> None:
        """Show how far a step is; without a terminal, print what is left."""
        self.states[index] = state
        if state == "done" and index not in self.partial:
            self.estimator.learn(self.steps[index], seconds)
        if state in {"done", "failed"} and not self._live:
            self.note(f"{state} in {duration(seconds)}; {self._summary()}")

    @contextmanager
    def task(
        self, title: str, total: float, unit: str, done: float = 0, within: float = inf, pace: Pace = EVEN
    ) -> Iterator[console.BarTask | console.PlainTask]:
        """Begin work of `total` units; its bar stands below the grid."""
        if not self._live:
            with super().task(title, total, unit, done, within, pace) as task:
                yield task
            return
        bar = console.add_bar(self.bars, title, total, unit, done, within, pace)
        try:
            yield bar
        finally:
            self.bars.remove_task(bar.id)

    def _summary(self) -> str:
        finished = sum(state == "done" for state in self.states)
        left = [self.steps[i] for i in sorted(self.chosen) if self.states[i] not in {"done", "failed", "left out"}]
        length = self.estimator.in_words(left)
        return f"{finished} of {len(self.steps)} steps done" + (f", {length} left" if length else "")

    def _render(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        spent = duration(time.monotonic() - self.began)
        head = Text.assemble((f"{self.name}  ", "bold"), f"{self._summary()}, {spent} so far")
        return Group(Text(), head, *grid_parts(self.grid, self.states), self.bars)


def grid_parts(grid: Grid, states: Sequence[str]) -> list[RenderableType]:
    """Return a study's grid for a terminal: shared steps, the table of subsets, and what the marks mean."""
    from rich.table import Table
    from rich.text import Text

    shared = Text()
    for name, cell in grid.shared:
        shared.append(f"{name} ").append_text(_marks(cell, states)).append("   ")
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for column in ("", *grid.columns):
        table.add_column(Text(column))
    for row in grid.rows:
        table.add_row(Text(row.name), *(_marks(cell, states) for cell in row.cells))
    seen = dict.fromkeys(states)
    means = "   ".join(f"{MARKS[state]} {WORDS[state]}" for state in MARKS if state in seen)
    order = f"A GAN's marks: {', '.join(grid.legend)}." if grid.legend else ""
    return [shared, table, Text(order, style="dim"), Text(means, style="dim")]


def _marks(cell: Cell, states: Sequence[str]) -> Text:
    from rich.text import Text

    text = Text()
    for index in cell:
        text.append(MARKS[states[index]], style=STYLES.get(states[index], ""))
    return text
