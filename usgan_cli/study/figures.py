"""The report's figures: the study's figure 2 (distance against n) and 3 (samples), fold differences, and training."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from PIL import Image

from usgan_cli.core import images
from usgan_cli.core.checkpoint import LogRow
from usgan_cli.core.images import Pixels
from usgan_cli.core.records import ScoreRecord, ScoreSettings, TTestRecord
from usgan_cli.study.report_data import GanKey, GanRun, Group, SubsetKey, label
from usgan_cli.study.table_model import number
from usgan_cli.study.tables import distance_name, is_fid, short_name, subset_title, training_label

# Okabe and Ito's colours, which the colour-blind can tell apart; markers differ too, for print.
COLOURS = {"none": "#0072B2", "ada": "#D55E00", "diffaug": "#009E73", "ada+diffaug": "#CC79A7"}
MARKERS = {"none": "o", "ada": "s", "diffaug": "D", "ada+diffaug": "^"}
OTHER_COLOUR, REAL_COLOUR = "#CC79A7", "#333333"
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "axes.linewidth": 0.7,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelcolor": "#333333",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "usgan",
    "svg.fonttype": "path",
}
P_LEAKS, R_T_TARGET = 0.8, 0.6


@dataclass(frozen=True)
class Chart:
    """A drawn figure.

    Attributes
    ----------
    name : str
        Stem of its files.
    caption, alt : str
    svg, png : bytes
    """

    name: str
    caption: str
    alt: str
    svg: bytes
    png: bytes


def _draw(name: str, caption: str, alt: str, size: tuple[float, float], plot: Callable[[Figure], None]) -> Chart:
    """Draw a figure of the given size, inches; equal input gives equal bytes."""
    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        plot(figure)
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        figure.savefig(png, format="png", dpi=200, metadata={"Software": None})
    return Chart(name, caption, alt, svg.getvalue(), png.getvalue())


def colour(aug: str) -> str:
    """Return a GAN's colour in every figure."""
    return COLOURS.get(aug, OTHER_COLOUR)


def distance_chart(group: Group[ScoreSettings, GanKey, ScoreRecord], name: str) -> Chart:
    """Return the study's figure 2: Fréchet distance against the number of training images."""
    extractor = group.settings.extractor
    what = distance_name(extractor)
    sizes = sorted({key.n for key, _ in group.items})
    augs = list(dict.fromkeys(key.aug for key, _ in sorted(group.items, key=lambda item: item[0].order)))
    floors = sorted({score.real.fd for _, score in group.items})
    own = {key.subset: score.subset.fd for key, score in group.items if score.subset is not None}

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        for i, aug in enumerate(augs):
            shift = 1.035 ** (i - (len(augs) - 1) / 2)
            members = [(key.n, score.fake) for key, score in group.items if key.aug == aug]
            means = [
                float(np.mean([fake.fd for n, fake in members if n == size])) for size in sizes if _has(members, size)
            ]
            at = [size * shift for size in sizes if _has(members, size)]
            axes.plot(at, means, color=colour(aug), linewidth=1.4, zorder=2)
            axes.errorbar(
                [n * shift for n, _ in members],
                [fake.fd for _, fake in members],
                yerr=[fake.fd_spread.sd for _, fake in members],
                fmt=MARKERS.get(aug, "v"),
                color=colour(aug),
                markersize=5,
                markeredgecolor="white",
                markeredgewidth=0.6,
                elinewidth=1,
                capsize=2.5,
                label=label(aug),
                zorder=3,
            )
        if own:
            at_own = sorted(own, key=lambda key: key.n)
            axes.plot(
                [key.n for key in at_own],
                [own[key] for key in at_own],
                linestyle="none",
                marker="_",
                markersize=13,
                markeredgewidth=1.4,
                color="#888888",
                label="Their own training images",
            )
        for floor in floors:
            axes.axhline(floor, color=REAL_COLOUR, linewidth=1, linestyle=(0, (5, 3)))
        axes.plot([], [], color=REAL_COLOUR, linewidth=1, linestyle=(0, (5, 3)), label="Real training images (floor)")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([str(size) for size in sizes])
        axes.set_xlim(min(sizes) / 1.25, max(sizes) * 1.25)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        axes.set_xlabel("Real training images, n")
        axes.set_ylabel(what if is_fid(extractor) else f"FD ({short_name(extractor).split('@')[0]})")
        handles, names = axes.get_legend_handles_labels()
        first = [names.index(label(aug)) for aug in augs]
        order = first + [i for i in range(len(names)) if i not in first]
        chosen = [handles[i] for i in order], [names[i] for i in order]
        figure.legend(*chosen, loc="outside upper left", ncols=2)

    values = "; ".join(
        f"{label(aug)}: "
        + ", ".join(f"{number(score.fake.fd, 1)} at n = {key.n}" for key, score in group.items if key.aug == aug)
        for aug in augs
    )
    real = " and ".join(number(floor, 1) for floor in floors)
    caption = (
        f"Figure 2. {what} of generated images to the real test images against the number of training images. Bars: "
        f"standard deviation over {group.settings.repeats} draws of half of the images. Dashed: real training images "
        "against the same test images, the floor; gray dashes: the images each GAN was trained on."
    )
    return _draw(name, caption, f"{what} against n. {values}. Real training images: {real}.", (4.8, 3.6), plot)


def _has(members: Sequence[tuple[int, Any]], size: int) -> bool:
    return any(n == size for n, _ in members)


def differences_chart(ttest: TTestRecord, key: SubsetKey, keys: Sequence[SubsetKey], name: str) -> Chart:
    """Return every fold's difference from the baseline, with the mean and its 95 % interval."""
    rows = list(reversed(ttest.comparisons))
    title = subset_title(key, keys)

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(0, color=REAL_COLOUR, linewidth=0.9)
        for y, item in enumerate(rows):
            points = 100 * (np.array(item.folds) - np.array(ttest.baseline_folds))
            # Equal differences would hide one another, so folds are set apart a little.
            lift = np.linspace(-0.16, 0.16, len(points)) if len(points) > 1 else np.zeros(1)
            axes.plot(
                points, y + lift, linestyle="none", marker="o", markersize=3.6, color=colour(item.aug), alpha=0.45
            )
            low, high = (100 * value for value in item.interval)
            axes.plot([low, high], [y, y], color=colour(item.aug), linewidth=1.8, solid_capstyle="butt")
            axes.plot(
                [100 * item.difference],
                [y],
                marker=MARKERS.get(item.aug, "v"),
                markersize=7,
                color=colour(item.aug),
                markeredgecolor="white",
            )
        axes.set_yticks(range(len(rows)), [training_label(item.aug, item.ratio, item.variant) for item in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.set_title(title)
        axes.set_xlabel("Difference of F1 from real images alone, points")

    parts = "; ".join(
        f"{training_label(item.aug, item.ratio, item.variant)} {number(100 * item.difference, 2, sign=True)} points"
        for item in ttest.comparisons
    )
    return _draw(
        name,
        title,
        f"Differences of F1 from the baseline by fold, {title}. Means: {parts}.",
        (4.4, 0.9 + 0.34 * len(rows)),
        plot,
    )


def training_chart(gans: Sequence[GanRun], n: int, name: str) -> Chart:
    """Return the course of the trainings on n images: distance where logged, losses, r_t and p over kimg."""
    logged = [gan for gan in gans if gan.log]
    extractors = list(dict.fromkeys(row.fd_extractor or "" for gan in logged for row in gan.log if row.fd is not None))
    panels: list[tuple[str, Callable[[Any, GanRun], None]]] = [
        (f"{distance_name(name)} to the training images ({short_name(name)})", _distance_panel(name))
        for name in extractors
    ]
    panels.append(("Loss: generator (solid), discriminator (dotted)", _loss_panel))
    panels.append((f"r_t, the discriminator's overfitting (ADA's target: {R_T_TARGET})", _line_panel("r_t")))
    if any(gan.key.aug == "ada" for gan in logged):
        panels.append((f"p of ADA's augmentations (leaks above {P_LEAKS})", _line_panel("p", only="ada")))

    def plot(figure: Figure) -> None:
        all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (title, panel) in zip(all_axes, panels, strict=True):
            for gan in logged:
                panel(axes, gan)
            axes.set_title(title, fontweight="normal")
            axes.grid(axis="y")
            axes.yaxis.set_major_locator(MaxNLocator(4))
            if title.startswith(("FD", "FID")):
                axes.set_ylim(bottom=0)
            if title.startswith("r_t"):
                axes.axhline(R_T_TARGET, color="#888888", linewidth=0.8, linestyle=(0, (5, 3)))
                axes.set_ylim(top=1.02)
            if title.startswith("p of"):
                axes.axhline(P_LEAKS, color="#888888", linewidth=0.8, linestyle=(0, (5, 3)))
                axes.set_ylim(-0.02, 1.02)
        all_axes[-1].set_xlabel("kimg (thousands of real images shown)")
        for aug in dict.fromkeys(gan.key.aug for gan in logged):
            all_axes[0].plot([], [], color=colour(aug), label=label(aug))
        figure.legend(loc="outside upper left", ncols=3)

    ends = "; ".join(f"{gan.key.name} ends at {gan.kimg:g} kimg, r_t {number(gan.log[-1].r_t, 2)}" for gan in logged)
    without = "" if extractors else " (the distance was not measured during training)"
    return _draw(name, f"n = {n}{without}", f"Training on n = {n}. {ends}.", (4.4, 0.8 + 1.3 * len(panels)), plot)


def _distance_panel(extractor: str) -> Callable[[Any, GanRun], None]:
    def draw(axes: Any, gan: GanRun) -> None:
        rows = [row for row in gan.log if row.fd is not None and (row.fd_extractor or "") == extractor]
        _line(axes, gan, rows, lambda row: row.fd, marker=MARKERS.get(gan.key.aug, "v"), markersize=3.5)

    return draw


def _loss_panel(axes: Any, gan: GanRun) -> None:
    _line(axes, gan, gan.log, lambda row: row.loss_g)
    _line(axes, gan, gan.log, lambda row: row.loss_d_real + row.loss_d_fake, linestyle=(0, (1, 1.2)))


def _line_panel(value: str, only: str | None = None) -> Callable[[Any, GanRun], None]:
    def draw(axes: Any, gan: GanRun) -> None:
        if only is None or gan.key.aug == only:
            _line(axes, gan, gan.log, lambda row: getattr(row, value))

    return draw


def _line(axes: Any, gan: GanRun, rows: Sequence[LogRow], value: Callable[[LogRow], Any], **style: Any) -> None:
    axes.plot(
        [row.kimg for row in rows],
        [value(row) for row in rows],
        color=colour(gan.key.aug),
        linewidth=1.2,
        alpha=0.85,
        **style,
    )


@dataclass(frozen=True)
class Panel:
    """Images of one origin: one row a class.

    Attributes
    ----------
    title : str
    rows : list of list of uint8 array [C, H, W]
    """

    title: str
    rows: list[list[Pixels]]

    def png(self) -> bytes:
        """Return the images as one sheet, transparent between them, so that it suits a light page and a dark one."""
        sheet = images.sheet(self.rows)
        covered = images.sheet([[np.full_like(image[:1], 255) for image in row] for row in self.rows], background=0)
        planes = [Image.fromarray(plane) for plane in [*sheet, covered[0]]]
        buffer = io.BytesIO()
        Image.merge("LA" if len(planes) == 2 else "RGBA", planes).save(buffer, format="PNG")
        return buffer.getvalue()


def samples_chart(panels: Sequence[Panel], classes: Sequence[str], title: str, name: str) -> Chart:
    """Return the study's figure 3: samples of every GAN beside real images, all on one gray scale."""

    def plot(figure: Figure) -> None:
        all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for i, (axes, panel) in enumerate(zip(all_axes, panels, strict=True)):
            sheet = images.sheet(panel.rows)
            shown = sheet[0] if sheet.shape[0] == 1 else sheet.transpose(1, 2, 0)
            axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_title(panel.title, fontweight="normal")
            axes.set_xticks([])
            axes.spines[:].set_visible(False)
            height = sheet.shape[1] / len(classes)
            places = [(row + 0.5) * height for row in range(len(classes))]
            axes.set_yticks(places, list(classes) if i == 0 else [""] * len(classes))
            axes.tick_params(length=0)
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)

    alt = f"Samples, {title}: {', '.join(panel.title for panel in panels)}; rows {', '.join(classes)}."
    size = (0.7 + 2.4 * len(panels), 0.7 + 0.8 * len(classes))
    return _draw(name, title, alt, size, plot)
