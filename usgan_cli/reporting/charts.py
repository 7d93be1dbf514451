"""What every figure of the report has in common: style, colours, and drawing the same bytes for the same input."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart; markers differ too, for print.
COLOURS = {"none": "#0072B2", "ada": "#D55E00", "diffaug": "#009E73", "ada+diffaug": "#CC79A7", "best": "#56B4E9"}
MARKERS = {"none": "o", "ada": "s", "diffaug": "D", "ada+diffaug": "^", "best": "P"}
OTHER_COLOUR, OTHER_MARKER = "#B8860B", "v"
INK, MUTED = "#333333", "#777777"
DASHED, DOTTED = (0, (5, 3)), (0, (1, 1.2))
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.titlesize": 9,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "usgan",
    "svg.fonttype": "path",
    "path.simplify": True,
    "text.parse_math": False,  # names of classes may hold dollars
}
PNG_DPI = 160
PIXELS_PER_INCH = 105
"""Size on the page: text of 9 points comes out as large as the page's small print."""


@dataclass(frozen=True)
class Chart:
    """A drawn figure."""

    name: str
    """Stem of its files."""
    title: str
    """Its name among the other figures on the same plate; "" where it is the only one."""
    alt: str
    width: int
    """Natural width on the page, pixels."""
    svg: bytes
    png: bytes


@dataclass(frozen=True)
class Plate:
    """Figures under one caption."""

    caption: str
    charts: list[Chart]


def draw(name: str, title: str, alt: str, size: tuple[float, float], plot: Callable[[Figure], None]) -> Chart:
    """Draw a figure of the given size, inches; equal input gives equal bytes."""
    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained", facecolor="white", dpi=PNG_DPI)
        plot(figure)
        # Laid out once for both files, which are written without the trial drawing that savefig makes for each.
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
        figure.set_layout_engine("none")
        png, svg = io.BytesIO(), io.BytesIO()
        FigureCanvasAgg(figure).print_png(png, metadata={"Software": None}, pil_kwargs={"compress_level": 4})
        figure.set_facecolor("none")
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
    return Chart(name, title, alt, round(size[0] * PIXELS_PER_INCH), svg.getvalue(), png.getvalue())


def reach(value: float, interval: tuple[float, float] | None) -> tuple[float, float]:
    """Return the lengths of an error bar below and above its value."""
    low, high = interval or (value, value)
    return max(value - low, 0.0), max(high - value, 0.0)


def plot_bars(
    axes: Axes, aug: str, x: Sequence[float], y: Sequence[float], bars: Sequence[tuple[float, float]], **style: Any
) -> None:
    """Plot values with error bars (lengths below and above) in a GAN's colour and marker."""
    axes.errorbar(x, y, yerr=np.array(bars).T, marker=marker(aug), color=colour(aug), **style)


def colour(aug: str) -> str:
    """Return a GAN's colour in every figure."""
    return COLOURS.get(aug, OTHER_COLOUR)


def marker(aug: str) -> str:
    """Return a GAN's marker in every figure."""
    return MARKERS.get(aug, OTHER_MARKER)
