"""The course of every training over the real images shown: distance, losses, r_t and p."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from usgan_cli.core.formats.generator import ADA_TARGET, LEAK_THRESHOLD, LogRow
from usgan_cli.core.formats.score import SnapshotsRecord, distance_name, network_name
from usgan_cli.core.store.workspace import GanKey, SubsetKey
from usgan_cli.core.text import gan_label, joined, number
from usgan_cli.reporting import charts
from usgan_cli.reporting.charts import DASHED, DOTTED, Chart, colour, marker, plot_bars, reach
from usgan_cli.reporting.records import GanRun, subset_title

MOST_POINTS = 300
"""Points of a curve; more would not be seen, and make the page heavy."""

Snapshots = Mapping[GanKey, SnapshotsRecord]


@dataclass(frozen=True)
class Panel:
    """What one pair of axes shows of every training, its limits, and the levels that dashed lines mark."""

    title: str
    plot: Callable[[Axes, GanRun], None]
    bottom: float | None = None
    top: float | None = None
    levels: Sequence[float] = ()


def training_chart(gans: Sequence[GanRun], snapshots: Snapshots, key: SubsetKey, keys: Sequence[SubsetKey]) -> Chart:
    """Return the course of the trainings on one subset; of saved generators the distance to the test images, too."""
    scored = {gan.key: snapshots[gan.key] for gan in gans if gan.key in snapshots}
    panels = _panels(gans, scored)
    ends = "; ".join(f"{gan.key.name} ends at {gan.kimg:g} kimg, r_t {number(gan.log[-1].r_t, 2)}" for gan in gans)
    title = subset_title(key, keys)
    measured = any(row.fd is not None for gan in gans for row in gan.log)
    shown = title + ("" if measured or scored else " (the distance was not measured during training)")
    size = (4.8, 0.75 + 1.2 * len(panels))
    return charts.draw(f"training-{key.name}", shown, f"Training, {title}. {ends}.", size, partial(_plot, gans, panels))


def _plot(gans: Sequence[GanRun], panels: Sequence[Panel], figure: Figure) -> None:
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(all_axes, panels, strict=True):
        for gan in gans:
            panel.plot(axes, gan)
        axes.set_title(panel.title, fontsize=8.5)
        axes.grid(axis="y")
        axes.yaxis.set_major_locator(MaxNLocator(4))
        for level in panel.levels:
            axes.axhline(level, color="#888888", linewidth=0.8, linestyle=DASHED)
        axes.set_ylim(panel.bottom, panel.top)
    all_axes[-1].set_xlabel("kimg (thousands of real images shown)")
    for aug in dict.fromkeys(gan.key.aug for gan in gans):
        all_axes[0].plot([], [], color=colour(aug), label=gan_label(aug))
    figure.legend(loc="outside upper left", ncols=3)


def _panels(gans: Sequence[GanRun], scored: Snapshots) -> list[Panel]:
    panels = []
    for name in dict.fromkeys(row.fd_extractor or "" for gan in gans for row in gan.log if row.fd is not None):
        title = f"{distance_name(name)} to the training images ({network_name(name)})"
        panels.append(Panel(title, partial(_plot_logged, name), bottom=0))
    for name in dict.fromkeys(record.extractor for record in scored.values()):
        title = f"{distance_name(name)} of saved generators to test images ({network_name(name)})"
        panels.append(Panel(title, partial(_plot_saved, scored, name), bottom=0))
    if any(one.copies is not None for record in scored.values() for one in record.snapshots):
        panels.append(
            Panel(
                "Copies of training images among saved generators' images, %", partial(_plot_copies, scored), bottom=0
            )
        )
    adaptive = [gan for gan in gans if gan.adapts]
    targets = sorted({gan.settings.get("ada_target", ADA_TARGET) for gan in adaptive} or {ADA_TARGET})
    overfitting = f"r_t, the discriminator's overfitting (target of adaptive p: {joined(targets)})"
    panels += [
        Panel("Loss: generator (solid), discriminator (dotted)", _plot_losses),
        Panel(overfitting, partial(_plot_log, value=lambda row: row.r_t), top=1.02, levels=targets),
    ]
    if adaptive:
        title = f"Adaptive p of augmentations (ADA's leak above {LEAK_THRESHOLD})"
        panels.append(Panel(title, _plot_p, bottom=-0.02, top=1.02, levels=[LEAK_THRESHOLD]))
    return panels


def _plot_logged(extractor: str, axes: Axes, gan: GanRun) -> None:
    def distance(row: LogRow) -> float | None:
        return row.fd if (row.fd_extractor or "") == extractor else None

    _plot_log(axes, gan, distance, marker=marker(gan.key.aug), markersize=3.5)


def _plot_saved(scored: Snapshots, extractor: str, axes: Axes, gan: GanRun) -> None:
    record = scored.get(gan.key)
    if record is None or record.extractor != extractor:
        return
    style: dict[str, Any] = {"linewidth": 1.2, "elinewidth": 0.7, "markersize": 3.5, "alpha": 0.85}
    kimg, values = [one.kimg for one in record.snapshots], [one.fd for one in record.snapshots]
    bars = [reach(one.fd, one.fd_interval) for one in record.snapshots]
    plot_bars(axes, gan.key.aug, kimg, values, bars, **style)
    ring: dict[str, Any] = {"marker": "o", "markersize": 9, "markerfacecolor": "none"}
    axes.plot([record.best.kimg], [record.best.fd], color=colour(gan.key.aug), **ring)


def _plot_copies(scored: Snapshots, axes: Axes, gan: GanRun) -> None:
    known = [one for one in (scored[gan.key].snapshots if gan.key in scored else []) if one.copies is not None]
    style: dict[str, Any] = {"linewidth": 1.2, "markersize": 3.5, "marker": marker(gan.key.aug), "alpha": 0.85}
    shares = [100 * one.copies for one in known if one.copies is not None]
    axes.plot([one.kimg for one in known], shares, color=colour(gan.key.aug), **style)


def _plot_losses(axes: Axes, gan: GanRun) -> None:
    _plot_log(axes, gan, lambda row: row.loss_g)
    _plot_log(axes, gan, lambda row: row.loss_d_real + row.loss_d_fake, linestyle=DOTTED)


def _plot_p(axes: Axes, gan: GanRun) -> None:
    if gan.adapts:
        _plot_log(axes, gan, lambda row: row.p)


def _plot_log(axes: Axes, gan: GanRun, value: Callable[[LogRow], float | None], **style: Any) -> None:
    """Plot one of the log's values where it was measured; the last always."""
    points = [(row.kimg, value(row)) for row in gan.log if value(row) is not None]
    if points:
        shown = points[: -1 : -(-len(points) // MOST_POINTS)] + points[-1:]
        axes.plot(*zip(*shown, strict=True), color=colour(gan.key.aug), linewidth=1.2, alpha=0.85, **style)
