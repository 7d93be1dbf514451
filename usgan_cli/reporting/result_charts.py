"""The figures of results: distance against n (the study's figure 2), and differences by fold and over seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from usgan_cli.core.formats.comparison import Comparison, SeedComparison
from usgan_cli.core.formats.score import distance_name, is_fid, network_name
from usgan_cli.core.text import gan_label, joined, number, p_value, stars, training_label
from usgan_cli.reporting import charts, paper, verdict
from usgan_cli.reporting.charts import DASHED, INK, Plate, colour, marker, reach
from usgan_cli.reporting.groups import ClassifierGroup, ScoreGroup
from usgan_cli.reporting.records import aug_order, subset_title
from usgan_cli.reporting.verdict import Verdicts


@dataclass(frozen=True)
class _Line:
    """One GAN's distances against the number of training images."""

    aug: str
    points: list[tuple[int, float]]
    """Every training: n and its distance."""
    means: list[tuple[int, float, tuple[float, float]]]
    """For each n the mean distance, and the length of its error bars below and above."""

    @property
    def repeated(self) -> bool:
        """Whether there is more than one training for an n."""
        return len(self.points) > len(self.means)

    @classmethod
    def of(cls, group: ScoreGroup, aug: str, *, repeated: bool) -> _Line:
        """Return a GAN's line. Bars: standard deviation over several seeds, or, with one of each, the interval.

        `repeated`: some GAN of the figure has several seeds. Then one of a single seed has no bar, which would be of
        another kind.
        """
        members = [(key.n, score) for key, score in group.items if key.aug == aug]
        sizes = sorted({n for n, _ in members})
        means = []
        for n in sizes:
            scores = [score for other, score in members if other == n]
            values = [score.fake.fd for score in scores]
            bars = (0.0, 0.0) if repeated else reach(values[0], scores[0].fake.intervals.get("fd"))
            if len(values) > 1:
                bars = (float(np.std(values, ddof=1)),) * 2
            means.append((n, float(np.mean(values)), bars))
        return cls(aug, [(n, score.fake.fd) for n, score in members], means)


def distance_plate(group: ScoreGroup) -> Plate:
    """Return the study's figure 2: Fréchet distance against the number of training images."""
    what, fid = distance_name(group.settings.extractor), is_fid(group.settings.extractor)
    counts = Counter((key.aug, key.n) for key, _ in group.items)
    repeated = max(counts.values()) > 1
    augs = sorted({key.aug for key, _ in group.items}, key=aug_order)
    lines = [_Line.of(group, aug, repeated=repeated) for aug in augs]
    floors = sorted({score.real.fd for _, score in group.items})
    bars = "standard deviation between seeds, faint marks: each seed" if repeated else "95 % interval over images"
    own = any(score.subset is not None for _, score in group.items)
    caption = (
        f"{what} of generated images to the real test images against the number of training images; lower is nearer. "
        f"Bars: {bars}. Dashed: real training images against the same test images, the floor"
        f"{'; gray dashes: the images each GAN was trained on.' if own else '.'}"
        f"{'' if fid or not group.busi else ' The published FIDs are of another network and would mean nothing here.'}"
    )
    values = "; ".join(
        f"{gan_label(line.aug)}: " + ", ".join(f"{number(mean, 1)} at n = {n}" for n, mean, _ in line.means)
        for line in lines
    )
    alt = f"{what} against n. {values}. Real training images: {joined(number(floor, 1) for floor in floors)}."
    return Plate(
        caption,
        [charts.draw(f"distance{group.suffix}", "", alt, (5.0, 3.7), partial(_plot_distance, group, lines, floors))],
    )


def _plot_distance(group: ScoreGroup, lines: Sequence[_Line], floors: Sequence[float], figure: Figure) -> None:
    axes = figure.subplots()
    sizes = sorted({key.n for key, _ in group.items})
    fid = is_fid(group.settings.extractor)
    for i, line in enumerate(lines):
        # Lines are set apart a little, so that their error bars do not hide each other.
        shift = 1.035 ** (i - (len(lines) - 1) / 2)
        _plot_line(axes, line, shift)
        if fid and group.busi:
            _plot_published(axes, line.aug, sizes, shift)
    _plot_yardsticks(axes, group, floors)
    _scale_by_size(axes, sizes)
    axes.set_ylabel("FID" if fid else f"FD ({network_name(group.settings.extractor)})")
    if fid and group.busi and set(sizes) & set(paper.SIZES):
        style: dict[str, Any] = {"color": INK, "markerfacecolor": "white", "linestyle": "none", "alpha": 0.7}
        axes.plot([], [], marker="o", label=f"Hollow: published ({paper.CITATION})", **style)
    handles, names = axes.get_legend_handles_labels()
    gans = {gan_label(line.aug) for line in lines}
    order = sorted(range(len(names)), key=lambda i: names[i] not in gans)
    figure.legend([handles[i] for i in order], [names[i] for i in order], loc="outside upper left", ncols=2)


def _plot_line(axes: Axes, line: _Line, shift: float) -> None:
    edge: dict[str, Any] = {"markersize": 5.5, "markeredgecolor": "white", "markeredgewidth": 0.6}
    style: dict[str, Any] = {"linewidth": 1.4, "elinewidth": 1, "capsize": 2.5, "zorder": 3, **edge}
    sizes, means, bars = zip(*line.means, strict=True)
    charts.plot_bars(axes, line.aug, [n * shift for n in sizes], means, bars, label=gan_label(line.aug), **style)
    if line.repeated:
        faint: dict[str, Any] = {"linestyle": "none", "marker": marker(line.aug), "markersize": 3, "alpha": 0.35}
        points = [n * shift for n, _ in line.points], [fd for _, fd in line.points]
        axes.plot(*points, color=colour(line.aug), zorder=2, **faint)


def _plot_published(axes: Axes, aug: str, sizes: Sequence[int], shift: float) -> None:
    known = {n: values.fid for n in sizes if (values := paper.values_at(n, aug)) and values.fid is not None}
    if known:
        hollow: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "white", "markersize": 5.5, "alpha": 0.7}
        style: dict[str, Any] = {"elinewidth": 0.8, "capsize": 2, "zorder": 2, **hollow}
        means, bars = [fid.mean for fid in known.values()], [(fid.sd or 0, fid.sd or 0) for fid in known.values()]
        charts.plot_bars(axes, aug, [n * shift * 1.06 for n in known], means, bars, **style)


def _plot_yardsticks(axes: Axes, group: ScoreGroup, floors: Sequence[float]) -> None:
    own = sorted({(key.n, score.subset.fd) for key, score in group.items if score.subset is not None})
    if own:
        style: dict[str, Any] = {"linestyle": "none", "marker": "_", "markersize": 13, "markeredgewidth": 1.4}
        points = [n for n, _ in own], [fd for _, fd in own]
        axes.plot(*points, color="#888888", label="Their own training images", **style)
    for i, floor in enumerate(floors):
        name = "Real training images (floor)" if i == 0 else None
        axes.axhline(floor, color=INK, linewidth=1, linestyle=DASHED, label=name)


def _scale_by_size(axes: Axes, sizes: Sequence[int]) -> None:
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
    """The GAN, or the control."""
    label: str
    points: list[float]
    mean: float
    interval: tuple[float, float]
    mark: str
    """On the right: the adjusted p-value, or the verdict."""

    @classmethod
    def of(cls, item: Comparison | SeedComparison, baseline: Sequence[float], ours: Sequence[float]) -> _Dots:
        """Return a comparison's differences by fold or seed."""
        points = [100 * (a - b) for a, b in zip(ours, baseline, strict=True)]
        low, high = item.interval
        name = training_label(item.aug, item.ratio, item.variant, item.control)
        mark = f"{p_value(item.p_holm)}{stars(item.p_holm)}"
        return cls(item.aug or str(item.control), name, points, 100 * item.difference, (100 * low, 100 * high), mark)


def verdicts_plate(verdicts: Verdicts) -> Plate | None:
    """Return every repeat's difference to the control, with the mean and its 95 % interval, a chart for each n."""
    rows: dict[tuple[str, str], list[_Dots]] = {}
    for one in verdicts.each:
        effect, names = one.effect, (f"verdicts-n{one.n}-s{'-'.join(map(str, one.seeds))}", verdict.place(one))
        if one.splits:
            names = (f"{names[0]}-splits{'-'.join(map(str, one.splits))}", names[1])
        trainings = [value for values in effect.trainings for value in values] or effect.by_repeat
        points = [100 * value for value in trainings]
        low, high = effect.interval
        dots = _Dots(
            effect.aug or str(effect.control),
            one.training,
            points,
            100 * effect.difference,
            (100 * low, 100 * high),
            f"within ± {100 * one.finding.margin:g}" if one.word == "equivalent" else one.word,
        )
        rows.setdefault(names, []).append(dots)
    caption = (
        "Difference of accuracy to the control, in points. Each dot is one training (its mean over folds), so that the "
        "dots show the spread between trainings; the large mark is their mean, the bar its 95 % interval over repeats "
        "and test images, not adjusted for several comparisons; on the right the verdict, which is."
    )
    return _dots_plate(caption, "Differences to the control by repeat", "", "verdict", rows)


def differences_plate(group: ClassifierGroup) -> Plate | None:
    """Return every fold's difference from the baseline, with the mean and its 95 % interval, by subset."""
    rows = {
        (f"differences{group.suffix}-{key.name}", subset_title(key, group.subsets)): [
            _Dots.of(item, ttest.baseline_folds, item.folds) for item in ttest.comparisons
        ]
        for key, ttest in group.ttests.items()
    }
    caption = (
        "Difference of F1 from real images alone. Each dot is one fold, the large mark their mean, the bar its 95 % "
        "interval (Student’s t over folds, not corrected for several comparisons); on the right the p-value after "
        "Holm’s correction. A bar across the line in the middle is compatible with no difference."
    )
    return _dots_plate(caption, "Differences of F1 from the baseline by fold", "p, Holm", "adjusted p", rows)


def seeds_plate(group: ClassifierGroup) -> Plate | None:
    """Return every seed's mean difference from the baseline, a chart for each n."""
    rows = {
        (f"seeds{group.suffix}-{key.name.replace('+', '-')}", f"n = {key.n}, {len(key.seeds)} seeds"): [
            _Dots.of(item, item.baseline_by_seed, item.by_seed) for item in record.comparisons
        ]
        for key, record in group.seeds.items()
    }
    caption = (
        "Difference of F1 from real images alone over seeds. Each dot is one seed’s mean over folds, the large mark "
        "their mean, the bar its 95 % interval (Student’s t over seeds); on the right the p-value after Holm’s "
        "correction."
    )
    return _dots_plate(caption, "Differences of F1 from the baseline by seed", "p, Holm", "adjusted p", rows)


def _dots_plate(
    caption: str, what: str, mark_title: str, mark: str, rows: dict[tuple[str, str], list[_Dots]]
) -> Plate | None:
    """Return a chart for each name and title that has rows, all on one scale.

    `what` begins the words for a chart, in which `mark` says what stands on the right, under `mark_title`.
    """
    limits = _limits([dots for some in rows.values() for dots in some])
    drawn = []
    for (name, title), dots in rows.items():
        means = [f"{one.label} {number(one.mean, 2, sign=True)} points, {mark} {one.mark}" for one in dots]
        alt = f"{what}, {title}. Means: {'; '.join(means)}."
        plot = partial(_plot_dots, list(reversed(dots)), limits, mark_title)
        drawn += [charts.draw(name, title, alt, (4.6, 0.75 + 0.27 * len(dots)), plot)] if dots else []
    return Plate(caption, drawn) if drawn else None


def _limits(rows: Sequence[_Dots]) -> tuple[float, float]:
    """Return the ends of an axis that all charts of a plate share; very wide intervals run out of it."""
    points = [value for dots in rows for value in dots.points] + [0.0]
    bounds = [bound for dots in rows for bound in dots.interval]
    reach = max(abs(value) for value in points) or 1.0
    low, high = max(min(points + bounds), -2 * reach), min(max(points + bounds), 2 * reach)
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


def _plot_dots(rows: Sequence[_Dots], limits: tuple[float, float], mark_title: str, figure: Figure) -> None:
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=0.9)
    for y, item in enumerate(rows):
        # Equal differences would hide each other, so they are set apart a little.
        lift = np.linspace(-0.16, 0.16, len(item.points)) if len(item.points) > 1 else np.zeros(1)
        dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 3.6, "alpha": 0.45}
        axes.plot(item.points, y + lift, color=colour(item.aug), **dot)
        axes.plot(item.interval, [y, y], color=colour(item.aug), linewidth=1.8, solid_capstyle="butt")
        mean: dict[str, Any] = {"marker": marker(item.aug), "markersize": 7, "markeredgecolor": "white"}
        axes.plot([item.mean], [y], color=colour(item.aug), **mean)
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
    right.set_yticks(range(len(rows)), [item.mark for item in rows])
    right.tick_params(axis="y", length=0)
    right.spines[:].set_visible(False)
    axes.set_title(mark_title, loc="right", fontsize=8, color="#555555")
