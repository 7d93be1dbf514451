"""The course of every training over the real images shown: distance, losses, r_t and p."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from usgan_cli.core.formats.generator import LEAK_THRESHOLD, LogRow
from usgan_cli.core.formats.score import SnapshotsRecord, distance_name, network_name
from usgan_cli.core.store.workspace import GanKey, SubsetKey
from usgan_cli.core.text import gan_label, number
from usgan_cli.reporting import charts
from usgan_cli.reporting.charts import DASHED, DOTTED, Chart, colour, marker
from usgan_cli.reporting.records import GanRun, subset_title

R_T_TARGET = 0.6
MOST_POINTS = 300
"""Points of a curve; more would not be seen, and make the page heavy."""

Panel = tuple[str, Callable[[Axes, GanRun], None]]
Snapshots = Mapping[GanKey, SnapshotsRecord]


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
    for axes, (title, plot_one) in zip(all_axes, panels, strict=True):
        for gan in gans:
            plot_one(axes, gan)
        axes.set_title(title, fontsize=8.5)
        axes.grid(axis="y")
        axes.yaxis.set_major_locator(MaxNLocator(4))
        _set_limits(axes, title)
    all_axes[-1].set_xlabel("kimg (thousands of real images shown)")
    for aug in dict.fromkeys(gan.key.aug for gan in gans):
        all_axes[0].plot([], [], color=colour(aug), label=gan_label(aug))
    figure.legend(loc="outside upper left", ncols=3)


def _panels(gans: Sequence[GanRun], scored: Snapshots) -> list[Panel]:
    extractors = dict.fromkeys(row.fd_extractor or "" for gan in gans for row in gan.log if row.fd is not None)
    panels: list[Panel] = [
        (f"{distance_name(name)} to the training images ({network_name(name)})", partial(_plot_logged, name))
        for name in extractors
    ]
    panels += [
        (
            f"{distance_name(name)} of saved generators to test images ({network_name(name)})",
            partial(_plot_saved, scored, name),
        )
        for name in dict.fromkeys(record.extractor for record in scored.values())
    ]
    panels.append(("Loss: generator (solid), discriminator (dotted)", _plot_losses))
    panels.append((f"r_t, the discriminator's overfitting (ADA's target: {R_T_TARGET})", _plot_r_t))
    if any(gan.uses("ada") for gan in gans):
        panels.append((f"p of ADA's augmentations (leaks above {LEAK_THRESHOLD})", _plot_p))
    return panels


def _set_limits(axes: Axes, title: str) -> None:
    if title.startswith(("FD", "FID")):
        axes.set_ylim(bottom=0)
    if title.startswith("r_t"):
        axes.axhline(R_T_TARGET, color="#888888", linewidth=0.8, linestyle=DASHED)
        axes.set_ylim(top=1.02)
    if title.startswith("p of"):
        axes.axhline(LEAK_THRESHOLD, color="#888888", linewidth=0.8, linestyle=DASHED)
        axes.set_ylim(-0.02, 1.02)


def _plot_logged(extractor: str, axes: Axes, gan: GanRun) -> None:
    rows = [row for row in gan.log if row.fd is not None and (row.fd_extractor or "") == extractor]
    _plot_line(axes, gan, rows, lambda row: row.fd, marker=marker(gan.key.aug), markersize=3.5)


def _plot_saved(scored: Snapshots, extractor: str, axes: Axes, gan: GanRun) -> None:
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
    kimg, shade = [one.kimg for one in record.snapshots], colour(gan.key.aug)
    axes.errorbar(kimg, values, yerr=reach, fmt=f"{marker(gan.key.aug)}-", color=shade, **style)
    axes.plot([record.best.kimg], [record.best.fd], marker="o", markersize=9, markerfacecolor="none", color=shade)


def _plot_losses(axes: Axes, gan: GanRun) -> None:
    _plot_line(axes, gan, gan.log, lambda row: row.loss_g)
    _plot_line(axes, gan, gan.log, lambda row: row.loss_d_real + row.loss_d_fake, linestyle=DOTTED)


def _plot_r_t(axes: Axes, gan: GanRun) -> None:
    _plot_line(axes, gan, gan.log, lambda row: row.r_t)


def _plot_p(axes: Axes, gan: GanRun) -> None:
    if gan.uses("ada"):
        _plot_line(axes, gan, gan.log, lambda row: row.p)


def _plot_line(axes: Axes, gan: GanRun, rows: Sequence[LogRow], value: Callable[[LogRow], Any], **style: Any) -> None:
    shown = rows[:: -(-len(rows) // MOST_POINTS)] if rows else rows
    if rows and shown[-1] is not rows[-1]:
        shown = [*shown, rows[-1]]
    kimg, values = [row.kimg for row in shown], [value(row) for row in shown]
    axes.plot(kimg, values, color=colour(gan.key.aug), linewidth=1.2, alpha=0.85, **style)
