"""The terminal: results to standard output, everything else (progress, notes, warnings, tables) to standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from usgan_cli.core.glossary import explained
from usgan_cli.core.progress import EVEN, Pace
from usgan_cli.core.text import duration, on_one_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

PLAIN_INTERVAL_S = 30.0
"""Without a terminal, a line of progress is printed about this often."""
WORDS_WIDTH, GAP = 26, 2
"""Characters that a column of words asks for at most, and those between two columns."""


def emit_paths(paths: Sequence[object]) -> None:
    """Print the paths of what was written to standard output, one a line."""
    emit_text("".join(f"{path}\n" for path in paths))


def emit_text(text: str) -> None:
    """Print text to standard output as it is; a path that is not Unicode keeps its bytes, so that it can be opened."""
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode(errors="surrogateescape"))
    sys.stdout.flush()


def emit_json(value: dict[str, Any]) -> None:
    """Print one JSON object to standard output."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    emit_text(text.encode(errors="backslashreplace").decode())  # half a character as JSON writes it: \\udcff


def visible(text: str) -> str:
    r"""Return a message in which only line breaks are more than text: names may hold the terminal's commands."""
    return "\n".join(map(on_one_line, text.split("\n")))


class Terminal:
    """Progress on standard error: live bars on a terminal, a plain line now and then elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._console: Console | None = None
        self._explained: set[str] = set()

    @property
    def console(self) -> Console:
        """The console on standard error, made when first needed."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        return self._console

    def note(self, message: str) -> None:
        """Print something worth knowing."""
        if not self.quiet:
            self.console.print(visible(message), markup=False, emoji=False)

    def warn(self, message: str) -> None:
        """Print something that should change what the user believes or does."""
        self.console.print(f"Warning: {visible(message)}", style="yellow", markup=False, emoji=False)

    def fail(self, message: str) -> None:
        """Print why the command ends."""
        self.console.print(f"Error: {visible(message)}", style="red", markup=False, emoji=False)

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table; columns of figures are right-aligned.

        One that is wider than the terminal becomes several, each with the first column.
        """
        if self.quiet:
            return
        for number, columns in enumerate(_fitting(head, rows, self.console.width)):
            part = [[row[i] for i in columns] for row in rows]
            self._table("" if number else title, [head[i] for i in columns], part)

    def _table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        from rich.table import Table
        from rich.text import Text

        # Names stand in tables: as `Text` they are shown as they are, where rich would read [red] as a command.
        caption = Text(on_one_line(title), "table.title") if title else None
        table = Table(title=caption, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for i, (name, width) in enumerate(zip(head, _widths(head, rows, self.console.width), strict=True)):
            justify: Literal["right", "left"] = "right" if _are_figures(i, rows) else "left"
            table.add_column(Text(on_one_line(name)), justify=justify, overflow="fold", width=width)
        for row in rows:
            table.add_row(*(Text(on_one_line(cell)) for cell in row))
        self.console.print(table)

    def explain(self, names: Sequence[str]) -> None:
        """Say what these figures of the glossary are, each once."""
        from rich.text import Text

        if not self.quiet and (new := [name for name in names if name not in self._explained]):
            self._explained.update(new)
            self.console.print(Text(explained(new), "dim"), soft_wrap=False)

    def show(self, parts: Sequence[RenderableType]) -> None:
        """Show anything that rich can draw, one below the other."""
        if not self.quiet:
            self.console.print(*parts, sep="\n")

    @contextmanager
    def task(
        self, title: str, total: float, unit: str, done: float = 0, within: float = inf, pace: Pace = EVEN
    ) -> Iterator[BarTask | PlainTask]:
        """Begin work of `total` units, or of `within` seconds; an earlier run finished `done` of the units."""
        if self.console.is_terminal and not self.quiet:
            with make_bars(self.console) as bars:
                yield add_bar(bars, title, total, unit, done, within, pace)
        else:
            task = PlainTask(self, title, total, unit, done, within, pace)
            yield task
            task.finish()


def _fitting(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[list[int]]:
    """Return the columns of one table, or of several that fit; the first column is in each of them.

    Words may wrap, so that a column of them asks for `WORDS_WIDTH` at most.
    """
    asked = _asked(head, rows)
    parts: list[list[int]] = [[0]]
    for i in range(1, len(head)):
        if len(parts[-1]) > 1 and sum(asked[j] + GAP for j in [*parts[-1], i]) - GAP > width:
            parts.append([0])
        parts[-1].append(i)
    return parts


def _asked(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the characters that each column needs, with its title on several lines."""
    asked = []
    for i, name in enumerate(head):
        words = max((_length(word) for word in name.split()), default=0)
        cells = max((_length(row[i]) for row in rows), default=0)
        asked.append(max(words, cells) if _are_figures(i, rows) else min(max(words, cells), WORDS_WIDTH))
    return asked


def _widths(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the characters of each column: titles and words share what figures leave of the terminal's width."""
    widths = _asked(head, rows)
    left = width - sum(widths) - GAP * (len(head) - 1)
    for i, name in enumerate(head):
        if left > 0:
            change = min(max(_length(name), *(_length(row[i]) for row in rows), 0) - widths[i], left)
        else:
            change = 0 if _are_figures(i, rows) else max(left, 1 - widths[i])
        widths[i] += change
        left -= change
    return [max(one, 1) for one in widths]


def _length(text: str) -> int:
    """Return the characters' places in a line: some take two."""
    from rich.cells import cell_len

    return cell_len(on_one_line(text))


def _are_figures(i: int, rows: Sequence[Sequence[str]]) -> bool:
    return i > 0 and all(not row[i] or row[i][0] in "+−–-±<0123456789" for row in rows)


def make_bars(console: Console) -> RichProgress:
    """Return progress bars for a terminal, not yet shown."""
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
    from rich.text import Text

    class Left(ProgressColumn):
        """The time left, once a rate is known."""

        def render(self, task: Task) -> Text:
            by_rate = inf
            if task.time_remaining is not None and task.remaining:
                pace: Pace = task.fields["pace"]
                costs = pace.cost(task.total or 0) - pace.cost(task.completed)
                by_rate = task.time_remaining * costs / (task.remaining * pace.at(task.completed))
            left = min(by_rate, task.fields["within"] - (task.elapsed or 0))
            known = left < inf and not task.finished
            return Text(f"{duration(left)} left" if known else "", "progress.remaining")

    class WithFigures(Progress):
        """Bars with a line of figures below each, which wraps where the terminal is narrow."""

        def get_renderables(self) -> Iterator[RenderableType]:
            for task in self.tasks:
                yield self.make_tasks_table([task])
                if task.fields["figures"]:
                    yield Text(f"  {task.fields['figures']}", style="dim", overflow="fold", no_wrap=False)

    return WithFigures(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:g}/{task.total:g} {task.fields[unit]}", markup=False),
        TimeElapsedColumn(),
        Left(),
        console=console,
        transient=True,
    )


def add_bar(bars: RichProgress, title: str, total: float, unit: str, done: float, within: float, pace: Pace) -> BarTask:
    """Add a bar for work of `total` units, or of `within` seconds, and return what moves it on."""
    bar = bars.add_task(on_one_line(title), total=total, unit=unit, within=within, pace=pace, figures="")
    bars.update(bar, completed=done)
    return BarTask(bars, bar)


def _figures(figures: dict[str, float | str]) -> str:
    shown = ((name, value if isinstance(value, str) else f"{value:.3g}") for name, value in figures.items())
    return "  ".join(on_one_line(f"{name} {value}") for name, value in shown)


class BarTask:
    """A bar on the terminal."""

    def __init__(self, bars: RichProgress, task: TaskID) -> None:
        self.bars = bars
        self.id = task

    def advance(self, amount: float = 1, **figures: float | str) -> None:
        """Move the bar on, and show the figures until newer ones come."""
        if figures:
            self.bars.update(self.id, advance=amount, figures=_figures(figures))
        else:
            self.bars.update(self.id, advance=amount)


class PlainTask:
    """A plain line now and then."""

    def __init__(
        self, terminal: Terminal, title: str, total: float, unit: str, done: float, within: float, pace: Pace
    ) -> None:
        self.terminal = terminal
        self.title, self.total, self.unit, self.within, self.pace = title, total, unit, within, pace
        self.first = self.done = done
        self.begin = self.last_line = time.monotonic()
        self.figures = ""

    def advance(self, amount: float = 1, **figures: float | str) -> None:
        """Count on, and print a line if the last one was printed a while ago."""
        self.done += amount
        if figures:
            self.figures = "; " + _figures(figures)
        now = time.monotonic()
        if now - self.last_line >= PLAIN_INTERVAL_S:
            self.last_line = now
            line = f"{self.title}: {self.done:.4g} of {self.total:g} {self.unit}"
            if self.done > self.first:  # before that no rate is known
                spent = now - self.begin
                first, done, total = (self.pace.cost(units) for units in (self.first, self.done, self.total))
                left = min((total - done) * spent / (done - first), self.within - spent)
                line += f", {spent / (self.done - self.first):.3g} s each, {duration(left)} left"
            self.terminal.note(line + self.figures)

    def finish(self) -> None:
        """Print how long it took, unless that was less than a second."""
        spent = time.monotonic() - self.begin
        if spent >= 1:
            self.terminal.note(f"{self.title}: {self.done:.4g} {self.unit} in {duration(spent)}{self.figures}")
