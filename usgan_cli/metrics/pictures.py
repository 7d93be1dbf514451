"""Pictures of a score: gray values and nearest distances as curves, and the Fréchet distance over training."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from usgan_cli.core.formats.score import SnapshotsRecord
from usgan_cli.core.images.codec import Pixels
from usgan_cli.metrics.memorization import COPYING_SHARE

GENERATED, REAL, LIMIT = "#c1440e", "#1f4e79", "#555555"


def gray_values(test: Pixels, fake: Pixels, js: float) -> bytes:
    """Return a PNG file with the gray-value distributions of real test images and of generated ones [N, C, H, W].

    `js` is their Jensen-Shannon distance, for the title.
    """
    figure = _figure()
    axes = figure.subplots()
    for pixels, colour, label in ((test, REAL, "real test images"), (fake, GENERATED, "generated images")):
        shares = np.bincount(pixels.ravel(), minlength=256) / pixels.size
        axes.plot(np.arange(256), shares, color=colour, linewidth=1.2, label=label)
    axes.set(xlabel="gray value", ylabel="share of pixels", yscale="log", title=f"Gray values (JS {js:.3f})")
    axes.legend()
    return _png(figure)


def nearest_distances(distances: dict[str, tuple[NDArray[np.float64], NDArray[np.float64], float]]) -> bytes:
    """Return a PNG file with the distributions of the distances to the nearest training image.

    By measure: those of generated images, those of held-out test images, and the threshold of a copy.
    """
    figure = _figure(width=9.0)
    panels = figure.subplots(1, len(distances), squeeze=False)[0]
    for axes, (measure, (fake, test, threshold)) in zip(panels, distances.items(), strict=True):
        for values, colour, label in ((test, REAL, "held-out real images"), (fake, GENERATED, "generated images")):
            order = np.sort(values)
            axes.step(order, np.arange(1, len(order) + 1) / len(order), color=colour, where="post", label=label)
        axes.axvline(threshold, color=LIMIT, linestyle="--", linewidth=1, label="close as a copy")
        axes.set(xlabel=f"distance to the nearest training image, by {measure}", ylabel="share of images")
    panels[0].legend()
    return _png(figure)


def snapshot_curve(record: SnapshotsRecord, distance: str) -> bytes:
    """Return a PNG file with the Fréchet distance over training, whose name is `distance`, and the share of copies."""
    copies = [(score.kimg, 100 * score.copies) for score in record.snapshots if score.copies is not None]
    figure = _figure()
    heights = (2, 1) if copies else (1,)
    axes, *below = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    kimg = [score.kimg for score in record.snapshots]
    fd = np.array([score.fd for score in record.snapshots])
    bounds = [score.fd_interval or (score.fd, score.fd) for score in record.snapshots]
    reach = np.abs(np.array(bounds).T - fd)
    axes.errorbar(kimg, fd, yerr=reach, color=REAL, marker="o", capsize=3, label="to the test images")
    if record.best_by == "fd_train":
        own = [score.fd_train or 0.0 for score in record.snapshots]
        axes.plot(kimg, own, color=GENERATED, marker="s", label="to its training images")
    axes.axvline(record.best_kimg, color=LIMIT, linestyle="--", linewidth=1, label="best")
    axes.set(ylabel=distance, title=record.name)
    axes.legend()
    for share in below:
        share.plot(*zip(*copies, strict=True), color=GENERATED, marker="o")
        share.axhline(100 * COPYING_SHARE, color=LIMIT, linestyle=":", linewidth=1)
        share.set(ylabel="copies, %")
        share.set_ylim(bottom=0)
    (below or [axes])[-1].set_xlabel("kimg")
    return _png(figure)


def _figure(width: float = 6.0) -> Figure:
    figure = Figure(figsize=(width, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
