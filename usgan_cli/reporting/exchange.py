"""The exchange rate: how many real images alone do as well as each training setting (`usgan_cli.stats.exchange`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from usgan_cli.core.formats.comparison import ArmExchange, Exchange, RealImages, TTestRecord
from usgan_cli.core.table import Cell, Column, Table, Words
from usgan_cli.core.text import number, training_label
from usgan_cli.reporting import charts, paper
from usgan_cli.reporting.charts import DOTTED, INK, MUTED, Plate
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.records import training_order
from usgan_cli.reporting.verdict import Verdicts, compared, comparison_name

ONE_REPEAT = (
    "How many real images generated ones are worth cannot be told from one repeat: it takes two or more seeds under "
    "[grid], and three or more sizes."
)


@dataclass(frozen=True)
class _Row:
    """A training setting of one size."""

    n: int
    arm: ArmExchange

    @property
    def training(self) -> str:
        """The training set for readers."""
        return _label(self.arm)

    @property
    def of_gan(self) -> bool:
        """Whether it has a GAN's images under their own labels."""
        return self.arm.aug is not None and self.arm.control is None


def _label(arm: ArmExchange) -> str:
    return training_label(arm.aug, arm.ratio, arm.variant, arm.control)


def exchanges(study: Study) -> dict[int, Exchange]:
    """Return the exchange rates of each size that was compared over several repeats."""
    records = [(key.n, record) for key, record in compared(study) if not isinstance(record, TTestRecord)]
    return {n: record.exchange for n, record in records if record.exchange is not None}


def _rows(rates: dict[int, Exchange]) -> list[tuple[str, list[_Row]]]:
    return [(f"n = {n}", [_Row(n, arm) for arm in sorted(rate.arms, key=training_order)]) for n, rate in rates.items()]


def sentences(study: Study, verdicts: Verdicts) -> Iterator[str]:
    """Yield what generated images are worth, of the primary comparison or else of all; or why that cannot be told."""
    rates = exchanges(study)
    lacking = [ONE_REPEAT for _, record in compared(study) if isinstance(record, TTestRecord)]
    yield from dict.fromkeys([*lacking, *(rate.lacking for rate in rates.values() if rate.lacking)])
    primary = next((one.name for one in verdicts.each if one.primary), None)
    for _, rows in _rows(rates):
        gans = [row for row in rows if row.of_gan]
        named = [row for row in gans if comparison_name(row.arm.name, row.n) == primary]
        if named:
            yield _primary(named[0], rows)
        elif gans and primary is None:
            gans.sort(key=lambda row: (row.arm.real.low, row.arm.real.high, row.arm.real.above))
            ends = dict.fromkeys(row.arm.real.words() for row in (gans[0], gans[-1]))
            yield (
                f"{gans[0].n} real images with generated ones do as well as {' to '.join(ends)} real images alone; the "
                "table has the intervals."
            )


def _primary(row: _Row, rows: Sequence[_Row]) -> str:
    arm = row.arm
    text = f"{row.n} real images {_label(arm)} do as well as {arm.real.words()} real images alone"
    text += f" (95 % interval: {arm.interval.words()})"
    copies = next((one.arm for one in rows if (one.arm.control, one.arm.ratio) == ("copies", arm.ratio)), None)
    if copies is not None:
        text += f"; {_label(copies)} as {copies.real.words()} ({copies.interval.words()})"
    return f"{text}."


def table(study: Study) -> Table:
    """Return every training setting's exchange rate, where it can be told."""
    rates = exchanges(study)
    columns: list[Column[_Row]] = [
        Column("n", "n", lambda row: row.n, shown=False),
        Words("Name", "name", lambda row: row.arm.name, shown=False),
        Words("Training images", "training", lambda row: row.training),
        Column("Accuracy, %", "accuracy", lambda row: row.arm.accuracy, 1, 100),
        Column("Real images alone", "real", _numbers, endings=("_low", "_high", "_interval_low", "_interval_high")),
        Words("Beyond n", "beyond", lambda row: Cell(row.arm.real.words(row.n), (), _small(row, row.n)), endings=()),
    ]
    curves = dict.fromkeys(_curve(rate) for rate in rates.values() if rate.arms)
    notes = [
        "Real images alone: how many do as well as this training set, on the monotone curve of their accuracy over n, "
        "with the 95 % interval over repeats and test images, not adjusted for several comparisons; beyond n: less the "
        "real images in the set. Nothing is extrapolated: the curve ends at its smallest and largest size. A range "
        "stands where the curve is flat. A GAN's gain is what it is worth beyond the copies.",
        *(f"The curve of real images alone: {curve}." for curve in curves),
    ]
    caption = "How many real images is that? Each training set beside the curve of real images alone."
    return Table.of("exchange", caption, columns, _rows(rates), notes)


def _small(row: _Row, beyond: int = 0) -> str:
    return f"[{row.arm.interval.words(beyond)}]"


def _numbers(row: _Row) -> Cell:
    values = [end for one in (row.arm.real, row.arm.interval) for end in _ends(one)]
    return Cell(row.arm.real.words(), tuple(values), _small(row))


def _ends(images: RealImages) -> tuple[float | None, float | None]:
    """Return both ends; None for one that is open."""
    return None if images.below else images.low, None if images.above else images.high


def _curve(rate: Exchange) -> str:
    """Return the curve in words: "60.0 % at n = 50, 67.5 % at n = 100 (measured 68.0 %)"."""
    points = []
    for point in rate.curve:
        measured, fitted = number(100 * float(np.mean(point.by_repeat)), 1), number(100 * point.fitted, 1)
        points.append(f"{fitted} % at n = {point.n}" + f" (measured {measured} %)" * (measured != fitted))
    return ", ".join(points)


def plate(study: Study) -> Plate | None:
    """Return the curve of real images alone with the training sets that it is set beside, a chart for each curve."""
    told = {n: rate for n, rate in exchanges(study).items() if rate.arms}
    by_curve: dict[str, dict[int, Exchange]] = {}
    for n, rate in told.items():
        by_curve.setdefault(_curve(rate), {})[n] = rate
    drawn = []
    for i, (curve, rates) in enumerate(by_curve.items()):
        rows = [row for _, some in _rows(rates) for row in _shown(some)]
        values = "; ".join(f"n = {row.n}, {row.training}: {row.arm.real.words()}" for row in rows)
        alt = f"Accuracy of real images alone over n: {curve}. Real images that do as well: {values}."
        plot = partial(_plot, next(iter(rates.values())), rows)
        drawn.append(charts.draw(f"exchange{f'-{i + 1}' if i else ''}", "", alt, (5.0, 3.6), plot))
    caption = (
        "Accuracy over the number of real images. Line: real images alone, monotone fit; small dots: each repeat. "
        "Marks: training sets with generated images or copies; dotted: to where real images alone do as well."
    )
    return Plate(caption, drawn) if drawn else None


def _shown(rows: Sequence[_Row]) -> list[_Row]:
    """Return the GANs' sets and the copies of one ratio: that of the published study, or else the largest."""
    ratios = {row.arm.ratio for row in rows if row.of_gan}
    ratio = paper.RATIO if paper.RATIO in ratios else max(ratios, default=0.0)
    return [row for row in rows if row.arm.ratio == ratio and (row.of_gan or row.arm.control == "copies")]


def _plot(rate: Exchange, rows: Sequence[_Row], figure: Figure) -> None:
    axes = figure.subplots()
    sizes = [point.n for point in rate.curve]
    axes.plot(sizes, [100 * point.fitted for point in rate.curve], color=INK, linewidth=1.4, label="Real images alone")
    dots: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 3, "alpha": 0.35, "color": INK}
    for point in rate.curve:
        axes.plot([point.n] * len(point.by_repeat), [100 * value for value in point.by_repeat], **dots)
    named: set[str] = set()
    for row in rows:
        _plot_row(axes, row, named)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([float(size) for size in sizes]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([str(size) for size in sizes])
    axes.set_xlim(sizes[0] / 1.2, sizes[-1] * 1.2)
    axes.set_xlabel("Real training images, n")
    axes.set_ylabel("Accuracy, %")
    axes.grid(axis="y")
    figure.legend(loc="outside upper left", ncols=2)


def _plot_row(axes: Axes, row: _Row, named: set[str]) -> None:
    arm, y = row.arm, 100 * row.arm.accuracy
    colour, mark = (charts.colour(arm.aug), charts.marker(arm.aug)) if arm.aug is not None else (MUTED, "X")
    axes.plot([row.n, arm.real.low, arm.real.high], [y] * 3, color=colour, linestyle=DOTTED, linewidth=1)
    label = None if row.training in named else row.training
    named.add(row.training)
    edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.6, "markersize": 6, "linestyle": "none"}
    axes.plot([row.n], [y], marker=mark, color=colour, label=label, zorder=3, **edge)
