"""The course of every training over the real images shown: distance, losses, r_t and p."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from usgan_cli.core.formats.generator import LogRow
from usgan_cli.core.formats.score import SnapshotsRecord
from usgan_cli.report.cells import distance_name, network_name, subset_title
from usgan_cli.report.charts import DASHED, DOTTED, Chart, colour, draw, marker
from usgan_cli.report.records import GanKey, GanRun, SubsetKey, label
from usgan_cli.report.table_model import number

P_LEAKS, R_T_TARGET = 0.8, 0.6
MOST_POINTS = 300
"""Points of a curve; more would not be seen, and make the page heavy."""

Panel = tuple[str, Callable[[Axes, GanRun], None]]


def training_chart(
    gans: Sequence[GanRun], snapshots: Mapping[GanKey, SnapshotsRecord], key: SubsetKey, keys: Sequence[SubsetKey]
) -> Chart:
    """Return the course of the trainings on one subset; of saved generators the distance to the test images, too."""
    logged = [gan for gan in gans if gan.log]
    scored = {gan.key: snapshots[gan.key] for gan in logged if gan.key in snapshots}
    panels = _panels(logged, scored)

    def plot(figure: Figure) -> None:
        all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (title, panel) in zip(all_axes, panels, strict=True):
            for gan in logged:
                panel(axes, gan)
            axes.set_title(title, fontsize=8.5)
            axes.grid(axis="y")
            axes.yaxis.set_major_locator(MaxNLocator(4))
            _bound(axes, title)
        all_axes[-1].set_xlabel("kimg (thousands of real images shown)")
        for aug in dict.fromkeys(gan.key.aug for gan in logged):
            all_axes[0].plot([], [], color=colour(aug), label=label(aug))
        figure.legend(loc="outside upper left", ncols=3)

    ends = "; ".join(f"{gan.key.name} ends at {gan.kimg:g} kimg, r_t {number(gan.log[-1].r_t, 2)}" for gan in logged)
    title = subset_title(key, keys)
    measured = any(row.fd is not None for gan in logged for row in gan.log)
    shown = title + ("" if measured or scored else " (the distance was not measured during training)")
    size = (4.8, 0.75 + 1.2 * len(panels))
    return draw(f"training-{key.name}", shown, f"Training, {title}. {ends}.", size, plot)


def _panels(logged: Sequence[GanRun], scored: Mapping[GanKey, SnapshotsRecord]) -> list[Panel]:
    extractors = dict.fromkeys(row.fd_extractor or "" for gan in logged for row in gan.log if row.fd is not None)
    panels: list[Panel] = [
        (f"{distance_name(name)} to the training images ({network_name(name)})", _logged_distance(name))
        for name in extractors
    ]
    panels += [
        (f"{distance_name(name)} of saved generators to test images ({network_name(name)})", _saved(scored, name))
        for name in dict.fromkeys(record.extractor for record in scored.values())
    ]
    panels.append(("Loss: generator (solid), discriminator (dotted)", _losses))
    panels.append((f"r_t, the discriminator's overfitting (ADA's target: {R_T_TARGET})", _value("r_t")))
    if any("ada" in gan.key.aug.split("+") for gan in logged):
        panels.append((f"p of ADA's augmentations (leaks above {P_LEAKS})", _value("p", only="ada")))
    return panels


def _bound(axes: Axes, title: str) -> None:
    if title.startswith(("FD", "FID")):
        axes.set_ylim(bottom=0)
    if title.startswith("r_t"):
        axes.axhline(R_T_TARGET, color="#888888", linewidth=0.8, linestyle=DASHED)
        axes.set_ylim(top=1.02)
    if title.startswith("p of"):
        axes.axhline(P_LEAKS, color="#888888", linewidth=0.8, linestyle=DASHED)
        axes.set_ylim(-0.02, 1.02)


def _logged_distance(extractor: str) -> Callable[[Axes, GanRun], None]:
    def plot(axes: Axes, gan: GanRun) -> None:
        rows = [row for row in gan.log if row.fd is not None and (row.fd_extractor or "") == extractor]
        _line(axes, gan, rows, lambda row: row.fd, marker=marker(gan.key.aug), markersize=3.5)

    return plot


def _saved(scored: Mapping[GanKey, SnapshotsRecord], extractor: str) -> Callable[[Axes, GanRun], None]:
    def plot(axes: Axes, gan: GanRun) -> None:
        record = scored.get(gan.key)
        if record is None or record.extractor != extractor:
            return
        values = [one.fd for one in record.snapshots]
        bounds = [one.fd_interval or (one.fd, one.fd) for one in record.snapshots]
        reach = [
            [max(value - low, 0.0) for value, (low, _) in zip(values, bounds, strict=True)],
            [max(high - value, 0.0) for value, (_, high) in zip(values, bounds, strict=True)],
        ]
        style: dict[str, Any] = {"linewidth": 1.2, "elinewidth": 0.7, "markersize": 3.5, "alpha": 0.85}
        axes.errorbar(
            [one.kimg for one in record.snapshots],
            values,
            yerr=reach,
            fmt=f"{marker(gan.key.aug)}-",
            color=colour(gan.key.aug),
            **style,
        )
        best = min(record.snapshots, key=lambda one: abs(one.kimg - record.best_kimg))
        axes.plot([best.kimg], [best.fd], marker="o", markersize=9, markerfacecolor="none", color=colour(gan.key.aug))

    return plot


def _losses(axes: Axes, gan: GanRun) -> None:
    _line(axes, gan, gan.log, lambda row: row.loss_g)
    _line(axes, gan, gan.log, lambda row: row.loss_d_real + row.loss_d_fake, linestyle=DOTTED)


def _value(name: str, only: str | None = None) -> Callable[[Axes, GanRun], None]:
    def plot(axes: Axes, gan: GanRun) -> None:
        if only is None or only in gan.key.aug.split("+"):
            _line(axes, gan, gan.log, lambda row: getattr(row, name))

    return plot


def _line(axes: Axes, gan: GanRun, rows: Sequence[LogRow], value: Callable[[LogRow], Any], **style: Any) -> None:
    shown = rows[:: -(-len(rows) // MOST_POINTS)] if rows else rows
    if rows and shown[-1] is not rows[-1]:
        shown = [*shown, rows[-1]]
    axes.plot(
        [row.kimg for row in shown],
        [value(row) for row in shown],
        color=colour(gan.key.aug),
        linewidth=1.2,
        alpha=0.85,
        **style,
    )
