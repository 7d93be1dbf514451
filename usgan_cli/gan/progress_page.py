"""`progress.html` of a training: samples under real images, curves, how long it will take, and warnings in words.

The page holds its pictures, loads nothing, and asks the browser to read it again every minute until the training has
ended. It is for looking at: no number of it is read again.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from usgan_cli.core.formats.generator import SAMPLES_FOLDER, LogRow
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.store import files
from usgan_cli.core.text import duration, number
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.warnings import warnings_of

FILE = "progress.html"
REFRESH_S = 60
CHART = (640, 150)
"""Width and height of a curve's drawing area, pixels."""
ADAPTIVE_P = "Adaptive p"
CURVES: tuple[tuple[str, str, Callable[[LogRow], float | None]], ...] = (
    ("Distance to the training images", "lower is better", lambda row: row.fd),
    ("Discriminator on real images, r_t", "near 1 it knows them all", lambda row: row.r_t),
    (ADAPTIVE_P, "how likely augmentations are; ADA's leak above 0.8", lambda row: row.p),
    ("Diversity within a class", "1 is that of real images", lambda row: row.diversity),
    ("Generator's loss", "", lambda row: row.loss_g),
    ("Discriminator's loss", "", lambda row: row.loss_d_real + row.loss_d_fake),
)
"""Title, how to read it, and the value of a line of the log; curves without two values are left out."""
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1rem; margin: 1.6rem 0 0.4rem; }
.state { font-size: 1.1rem; margin: 0.3rem 0 1rem; } .note { color: #777; font-size: 0.85rem; margin: 0; }
.warning { border-left: 4px solid #c2410c; padding: 0.2rem 0.8rem; margin: 0.6rem 0; }
img { max-width: 100%; height: auto; display: block; image-rendering: pixelated; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 0.4rem 2rem; }
svg { width: 100%; height: auto; overflow: visible; }
svg text { font-size: 13px; fill: currentColor; }
"""


def write_page(
    folder: Path,
    name: str,
    config: GanConfig,
    data: ImageSet,
    rows: Sequence[LogRow],
    *,
    ended: bool,
) -> None:
    """Write the page from the lines of the log so far and the newest sheet of samples.

    Parameters
    ----------
    folder : Path
        The GAN's folder.
    rows : sequence of LogRow
        The whole log, not empty.
    ended : bool
        Whether the training is finished, so that the page need not be read again.
    """
    last = rows[-1]
    sheets = sorted((folder / SAMPLES_FOLDER).glob("kimg*.png"))
    pictures = _figure("Real training images", codec.encode_png(real_sheet(data)), data.classes)
    if sheets:
        kimg = float(sheets[-1].stem.removeprefix("kimg"))
        pictures += _figure(f"Generated, {kimg:g} kimg", sheets[-1].read_bytes(), data.classes)
    refresh = "" if ended else f'<meta http-equiv="refresh" content="{REFRESH_S}">'
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8">{refresh}',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(name)}: {last.kimg:g} kimg</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(name)}</h1>",
        f'<p class="state">{escape(state(config, last, ended=ended))}</p>',
        *(f'<p class="warning">{escape(message)}</p>' for message in warnings_of(config, rows)),
        f'<div class="pictures">{pictures}</div>',
        f'<div class="curves">{"".join(_curves(rows))}</div>',
        "</body></html>",
    ]
    files.write_text(folder / FILE, "\n".join(parts) + "\n")


def state(config: GanConfig, last: LogRow, *, ended: bool) -> str:
    """Return how far the training is, how fast, and how long it will take, where that is known."""
    done = f"{last.kimg:g}" + ("" if config.kimg is None else f" of {config.kimg:g}")
    if ended:
        return f"Finished: {last.kimg:g} kimg in {duration(last.seconds)}."
    text = f"{done} kimg, {number(last.s_per_kimg, 1)} s per kimg"
    left = [config.minutes * 60 - last.seconds] if config.minutes is not None else []
    if config.kimg is not None and last.s_per_kimg > 0:
        left.append((config.kimg - last.kimg) * last.s_per_kimg)
    return f"{text}, about {duration(min(left))} left." if left else f"{text}."


def real_sheet(data: ImageSet, columns: int = 8) -> Pixels:
    """Return the first real images of each class, a row a class, laid out as the samples are."""
    first = [np.flatnonzero(data.labels == label)[:columns] for label in range(len(data.classes))]
    rows = [[data.pixels[i] for i in places] for places in first]
    return codec.sheet([row or [np.zeros_like(data.pixels[0])] for row in rows])


def _figure(title: str, png: bytes, classes: Sequence[str]) -> str:
    names = ", ".join(escape(name) for name in classes)
    uri = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return (
        f"<figure style='margin:0'><h2>{escape(title)}</h2><p class='note'>Rows: {names}</p>"
        f"<img src='{uri}' alt='{escape(title)}'></figure>"
    )


def _curves(rows: Sequence[LogRow]) -> list[str]:
    drawn = []
    for title, how, value in CURVES:
        points = [(row.kimg, found) for row in rows if (found := value(row)) is not None and np.isfinite(found)]
        if len(points) > 1 and not (title == ADAPTIVE_P and max(p for _, p in points) == 0):
            drawn.append(
                f"<div><h2>{escape(title)}: {number(points[-1][1], 3)}</h2>"
                f'<p class="note">{escape(how)}</p>{_curve(title, points)}</div>'
            )
    return drawn


def _curve(title: str, points: Sequence[tuple[float, float]]) -> str:
    """Return a line of values over kimg as SVG."""
    width, height = CHART
    x, y = np.array(points, dtype=np.float64).T
    low, high = float(y.min()), float(y.max())
    across = (x - x[0]) / ((x[-1] - x[0]) or 1) * width
    down = height - (y - low) / ((high - low) or 1) * height
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down, strict=True))
    label = f"{title}: from {number(float(y[0]), 3)} at {x[0]:g} kimg to {number(float(y[-1]), 3)} at {x[-1]:g} kimg"
    return (
        f'<svg viewBox="-60 -8 {width + 70} {height + 34}" role="img" aria-label="{escape(label)}">'
        f'<polyline points="{path}" fill="none" stroke="#0f766e" stroke-width="2"/>'
        f'<text x="-8" y="4" text-anchor="end">{number(high, 2)}</text>'
        f'<text x="-8" y="{height}" text-anchor="end">{number(low, 2)}</text>'
        f'<text x="0" y="{height + 22}">{x[0]:g}</text>'
        f'<text x="{width}" y="{height + 22}" text-anchor="end">{x[-1]:g} kimg</text></svg>'
    )
