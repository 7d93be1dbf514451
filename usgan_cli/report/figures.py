"""The figures of results: distance against n (the study's figure 2), and differences by fold and over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from usgan_cli.core.formats.comparison import SeedsRecord, TTestRecord
from usgan_cli.core.formats.score import ScoreRecord
from usgan_cli.core.text import stars
from usgan_cli.report import paper
from usgan_cli.report.cells import distance_name, is_fid, network_name, subset_title, training_label
from usgan_cli.report.charts import DASHED, INK, Chart, Plate, colour, draw, marker
from usgan_cli.report.groups import ClassifierGroup, ScoreGroup, in_order
from usgan_cli.report.records import SeedsKey, SubsetKey, label
from usgan_cli.report.table_model import number, p_value


def distance_plate(group: ScoreGroup, name: str) -> Plate:
    """Return the study's figure 2: Fréchet distance against the number of training images."""
    extractor = group.settings.extractor
    what, fid = distance_name(extractor), is_fid(extractor)
    sizes = sorted({key.n for key, _ in group.items})
    augs = list(dict.fromkeys(key.aug for key, _ in sorted(group.items, key=lambda item: item[0].order[2:])))
    lines = [_Line.of(group, aug) for aug in augs]
    floors = sorted({score.real.fd for _, score in group.items})
    repeated = any(line.repeated for line in lines)

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        for i, line in enumerate(lines):
            _draw_line(axes, line, 1.035 ** (i - (len(lines) - 1) / 2))
            if fid:
                _draw_published(axes, line.aug, sizes, 1.035 ** (i - (len(lines) - 1) / 2))
        _draw_yardsticks(axes, group, floors)
        _by_size(axes, sizes)
        axes.set_ylabel(what if fid else f"FD ({network_name(extractor)})")
        if fid:
            style: dict[str, Any] = {
                "color": INK,
                "markerfacecolor": "white",
                "linestyle": "none",
                "marker": "o",
                "alpha": 0.7,
            }
            axes.plot([], [], label=f"Hollow: published ({paper.CITATION})", **style)
        handles, names = axes.get_legend_handles_labels()
        first = [names.index(label(aug)) for aug in augs]
        order = first + [i for i in range(len(names)) if i not in first]
        figure.legend([handles[i] for i in order], [names[i] for i in order], loc="outside upper left", ncols=2)

    values = "; ".join(
        f"{label(line.aug)}: " + ", ".join(f"{number(mean, 1)} at n = {n}" for n, mean, _ in line.means)
        for line in lines
    )
    real = " and ".join(number(floor, 1) for floor in floors)
    bars = "standard deviation between seeds, faint marks: each seed" if repeated else "95 % interval over images"
    caption = (
        f"{what} of generated images to the real test images against the number of training images; lower is nearer. "
        f"Bars: {bars}. Dashed: real training images against the same test images, the floor"
    )
    own = any(score.subset is not None for _, score in group.items)
    caption += "; gray dashes: the images each GAN was trained on." if own else "."
    if not fid:
        caption += " The published FIDs are of another network and would mean nothing here."
    alt = f"{what} against n. {values}. Real training images: {real}."
    return Plate(caption, [draw(name, "", alt, (5.0, 3.7), plot)])


@dataclass(frozen=True)
class _Line:
    """One GAN's distances.

    Attributes
    ----------
    aug : str
    points : list of (n, distance)
        Every training.
    means : list of (n, mean, (below, above))
        For each n, with the length of its error bars.
    """

    aug: str
    points: list[tuple[int, float]]
    means: list[tuple[int, float, tuple[float, float]]]

    @property
    def repeated(self) -> bool:
        """Whether there is more than one training for an n."""
        return len(self.points) > len(self.means)

    @classmethod
    def of(cls, group: ScoreGroup, aug: str) -> _Line:
        """Return a GAN's line: over several seeds their standard deviation, of one the interval over images."""
        members = [(key.n, score) for key, score in group.items if key.aug == aug]
        repeated = len({n for n, _ in members}) < len(members)
        means = []
        for n in sorted({n for n, _ in members}):
            found = [score for other, score in members if other == n]
            values = [score.fake.fd for score in found]
            reach = _image_reach(found[0]) if not repeated else (0.0, 0.0)
            if len(values) > 1:
                reach = (float(np.std(values, ddof=1)),) * 2
            means.append((n, float(np.mean(values)), reach))
        return cls(aug, [(n, score.fake.fd) for n, score in members], means)


def _image_reach(score: ScoreRecord) -> tuple[float, float]:
    low, high = score.fake.intervals.get("fd", (score.fake.fd, score.fake.fd))
    return max(score.fake.fd - low, 0.0), max(high - score.fake.fd, 0.0)


def _draw_line(axes: Axes, line: _Line, shift: float) -> None:
    at, means = [n * shift for n, _, _ in line.means], [mean for _, mean, _ in line.means]
    axes.errorbar(
        at,
        means,
        yerr=np.array([reach for _, _, reach in line.means]).T,
        fmt=marker(line.aug) + "-",
        color=colour(line.aug),
        linewidth=1.4,
        markersize=5.5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        elinewidth=1,
        capsize=2.5,
        label=label(line.aug),
        zorder=3,
    )
    if line.repeated:
        style: dict[str, Any] = {
            "linestyle": "none",
            "marker": marker(line.aug),
            "markersize": 3,
            "alpha": 0.35,
            "zorder": 2,
        }
        axes.plot([n * shift for n, _ in line.points], [fd for _, fd in line.points], color=colour(line.aug), **style)


def _draw_published(axes: Axes, aug: str, sizes: Sequence[int], shift: float) -> None:
    known = {n: paper.GANS[n, aug].fid for n in sizes if (n, aug) in paper.GANS}
    found = [(n, fid) for n, fid in known.items() if fid is not None]
    if found:
        axes.errorbar(
            [n * shift * 1.06 for n, _ in found],
            [fid.mean for _, fid in found],
            yerr=[fid.sd for _, fid in found],
            fmt=marker(aug),
            color=colour(aug),
            markerfacecolor="white",
            markersize=5.5,
            elinewidth=0.8,
            capsize=2,
            alpha=0.7,
            zorder=2,
        )


def _draw_yardsticks(axes: Axes, group: ScoreGroup, floors: Sequence[float]) -> None:
    own = sorted({(key.n, score.subset.fd) for key, score in group.items if score.subset is not None})
    if own:
        style: dict[str, Any] = {
            "linestyle": "none",
            "marker": "_",
            "markersize": 13,
            "markeredgewidth": 1.4,
            "color": "#888888",
        }
        axes.plot([n for n, _ in own], [fd for _, fd in own], label="Their own training images", **style)
    for i, floor in enumerate(floors):
        name = "Real training images (floor)" if i == 0 else None
        axes.axhline(floor, color=INK, linewidth=1, linestyle=DASHED, label=name)


def _by_size(axes: Axes, sizes: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([float(size) for size in sizes]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([str(size) for size in sizes])
    axes.set_xlim(min(sizes) / 1.25, max(sizes) * 1.25)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    axes.set_xlabel("Real training images, n")


@dataclass(frozen=True)
class _Dots:
    """One comparison: its differences in points of F1, their mean, and its 95 % interval."""

    aug: str
    label: str
    points: list[float]
    mean: float
    interval: tuple[float, float]
    p_holm: float | None


def differences_plate(group: ClassifierGroup, name: str) -> Plate | None:
    """Return every fold's difference from the baseline, with the mean and its 95 % interval, by subset."""
    found: dict[SubsetKey, list[_Dots]] = {key: _by_fold(ttest) for key, ttest in group.ttests.items()}
    limits = _limits([dots for rows in found.values() for dots in rows])
    subsets = group.subsets
    charts = [
        _dots_chart(rows, f"{name}-{key.name}", subset_title(key, subsets), "fold", limits)
        for key, rows in found.items()
        if rows
    ]
    caption = (
        "Difference of F1 from real images alone. Each dot is one fold, the large mark their mean, the bar its 95 % "
        "interval (Student’s t over folds, not corrected for several comparisons); on the right the p-value after "
        "Holm’s correction. A bar across the line in the middle is compatible with no difference."
    )
    return Plate(caption, charts) if charts else None


def _by_fold(ttest: TTestRecord) -> list[_Dots]:
    found = []
    for item in in_order(ttest.comparisons):
        points = [100 * (a - b) for a, b in zip(item.folds, ttest.baseline_folds, strict=True)]
        low, high = item.interval
        name = training_label(item.aug, item.ratio, item.variant)
        found.append(_Dots(item.aug, name, points, 100 * item.difference, (100 * low, 100 * high), item.p_holm))
    return found


def seeds_plate(group: ClassifierGroup, name: str) -> Plate | None:
    """Return every seed's mean difference from the baseline, a chart for each n."""
    found = {key: _by_seed(record) for key, record in group.seeds.items()}
    limits = _limits([dots for rows in found.values() for dots in rows])
    charts = [
        _dots_chart(rows, f"{name}-{key.name.replace('+', '-')}", _seeds_title(key), "seed", limits)
        for key, rows in found.items()
    ]
    caption = (
        "Difference of F1 from real images alone over seeds. Each dot is one seed’s mean over folds, the large mark "
        "their mean, the bar its 95 % interval (Student’s t over seeds); on the right the p-value after Holm’s "
        "correction."
    )
    return Plate(caption, charts) if charts else None


def _seeds_title(key: SeedsKey) -> str:
    return f"n = {key.n}, {len(key.seeds)} seeds"


def _by_seed(record: SeedsRecord) -> list[_Dots]:
    found = []
    for item in in_order(record.comparisons):
        points = [100 * (a - b) for a, b in zip(item.by_seed, item.baseline_by_seed, strict=True)]
        low, high = item.interval
        name = training_label(item.aug, item.ratio, item.variant)
        found.append(_Dots(item.aug, name, points, 100 * item.difference, (100 * low, 100 * high), item.p_holm))
    return found


def _limits(rows: Sequence[_Dots]) -> tuple[float, float]:
    """Return the ends of an axis that all charts of a plate share; very wide intervals run out of it."""
    if not rows:
        return -1.0, 1.0
    points = [value for dots in rows for value in dots.points] + [0.0]
    bounds = [bound for dots in rows for bound in dots.interval]
    reach = max(abs(value) for value in points) or 1.0
    low, high = max(min(points + bounds), -2 * reach), min(max(points + bounds), 2 * reach)
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


def _dots_chart(dots: Sequence[_Dots], name: str, title: str, unit: str, limits: tuple[float, float]) -> Chart:
    rows = list(reversed(dots))

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=0.9)
        for y, item in enumerate(rows):
            # Equal differences would hide one another, so they are set apart a little.
            lift = np.linspace(-0.16, 0.16, len(item.points)) if len(item.points) > 1 else np.zeros(1)
            style: dict[str, Any] = {
                "linestyle": "none",
                "marker": "o",
                "markersize": 3.6,
                "alpha": 0.45,
                "color": colour(item.aug),
            }
            axes.plot(item.points, y + lift, **style)
            axes.plot(item.interval, [y, y], color=colour(item.aug), linewidth=1.8, solid_capstyle="butt")
            mean: dict[str, Any] = {
                "marker": marker(item.aug),
                "markersize": 7,
                "markeredgecolor": "white",
                "color": colour(item.aug),
            }
            axes.plot([item.mean], [y], **mean)
        axes.set_yticks(range(len(rows)), [item.label for item in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlim(limits)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.set_xlabel("Difference of F1, points")
        right = axes.secondary_yaxis("right")
        right.set_yticks(range(len(rows)), [f"{p_value(item.p_holm)}{stars(item.p_holm)}" for item in rows])
        right.tick_params(axis="y", length=0)
        right.spines[:].set_visible(False)
        axes.set_title("p, Holm", loc="right", fontsize=8, color="#555555")

    parts = "; ".join(
        f"{item.label} {number(item.mean, 2, sign=True)} points, adjusted p {p_value(item.p_holm)}" for item in dots
    )
    alt = f"Differences of F1 from the baseline by {unit}, {title}. Means: {parts}."
    return draw(name, title, alt, (4.6, 0.75 + 0.27 * len(rows)), plot)
