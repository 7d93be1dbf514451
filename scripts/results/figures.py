"""The figures of a study on the page of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from usgan_cli.core.formats.score import distance_name, network_name
from usgan_cli.core.text import gan_label
from usgan_cli.reporting import charts, paper
from usgan_cli.reporting.groups import ScoreGroup, Study
from usgan_cli.reporting.records import aug_order
from usgan_cli.reporting.result_charts import verdicts_plate
from usgan_cli.reporting.verdict import Verdicts

Points = Mapping[str, Mapping[int, Sequence[float]]]
"""Of each GAN the distances at each n, one for each repeat."""

TITLES = {
    "differences": "Differences of accuracy with their intervals, each training set against its control",
    "figure-2": "Distance to the test images over the number of training images, beside the paper's figure 2",
}
"""What is drawn of each study, by the name of its file."""


def draw(study: Study, verdicts: Verdicts) -> dict[str, bytes]:
    """Return the figures as PNG files, by name."""
    drawn = {}
    if (plate := verdicts_plate(verdicts)) is not None:
        drawn["differences"] = plate.charts[0].png
    if study.scores:
        plot = partial(_beside_published, study.scores[0])
        drawn["figure-2"] = charts.draw("figure-2", "", TITLES["figure-2"], (7.2, 3.4), plot).png
    return drawn


def _beside_published(group: ScoreGroup, figure: Figure) -> None:
    """Draw our distances on the left and the published ones on the right: other features have another scale."""
    ours: dict[str, dict[int, list[float]]] = {}
    for key, score in sorted(group.items, key=lambda item: aug_order(item[0].aug)):
        ours.setdefault(key.aug, {}).setdefault(key.n, []).append(score.fake.fd)
    own: dict[int, list[float]] = {}
    for key, score in group.items:
        own.setdefault(key.n, []).extend([score.subset.fd] if score.subset is not None else [])
    theirs: dict[str, dict[int, paper.MeanSd]] = {}
    for one in paper.VALUES:
        if one.aug is not None and one.fid is not None:
            theirs.setdefault(one.aug, {})[one.n] = one.fid
    left, right = figure.subplots(1, 2)
    features = network_name(group.settings.extractor)
    _plot(left, ours, f"Here: {distance_name(group.settings.extractor)}, {features}")
    floor = {"linestyle": "none", "marker": "_", "markersize": 13, "markeredgewidth": 1.4, "color": charts.MUTED}
    known = {n: float(np.mean(values)) for n, values in own.items() if values}
    left.plot(list(known), list(known.values()), label="Their own training images", **floor)
    means = {aug: {n: [fid.mean] for n, fid in of_n.items()} for aug, of_n in theirs.items()}
    _plot(right, means, f"{paper.PUBLISHED}: FID")
    for aug, of_n in theirs.items():
        for n, fid in of_n.items():
            right.errorbar([n], [fid.mean], yerr=[fid.sd or 0], color=charts.colour(aug), capsize=2.5, elinewidth=1)
    for axes in (left, right):
        axes.set_ylim(bottom=0)
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=3)


def _plot(axes: Axes, distances: Points, title: str) -> None:
    sizes = sorted({n for of_n in distances.values() for n in of_n} | set(paper.SIZES))
    for aug, of_n in distances.items():
        look: dict[str, Any] = {"color": charts.colour(aug), "marker": charts.marker(aug)}
        order = sorted(of_n)
        means = [float(np.mean(of_n[n])) for n in order]
        axes.plot(order, means, label=gan_label(aug), linewidth=1.4, markersize=5.5, **look)
        for n in order:
            if len(of_n[n]) > 1:
                axes.plot([n] * len(of_n[n]), of_n[n], linestyle="none", markersize=3, alpha=0.35, **look)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([float(size) for size in sizes]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([str(size) for size in sizes])
    axes.set_xlim(min(sizes) / 1.25, max(sizes) * 1.25)
    axes.grid(axis="y")
    axes.set_xlabel("Real training images, n")
    axes.set_title(title)
