"""Simulated B-mode images of the breast, so that every step runs with nothing downloaded.

An examination is drawn (depth, focus, gain), then an anatomy (`tissue`), and the scanner's image of it is computed
(`bmode`), compounded, and compressed to gray levels. The phantoms have the look of the real thing, not its diagnostic
content: results on them say nothing about patients.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from usgan_cli.core.apportion import largest_remainder
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.machine.seeds import derive_seed, numpy_generator
from usgan_cli.core.progress import Progress
from usgan_cli.data.bmode import Field, Scanner, envelope
from usgan_cli.data.tissue import Canvas, draw_benign, draw_malignant, draw_tissue

Kind = Literal["benign", "malignant", "normal"]
KINDS: tuple[Kind, ...] = get_args(Kind)

BUSI_COUNTS: dict[Kind, int] = {"benign": 437, "malignant": 210, "normal": 133}
"""Images of each class in BUSI; phantoms keep the proportions."""

_GRID = 256
"""Cells per side of the simulation at sizes up to this; smaller images are reduced from it, as real ones are."""
_AXIAL_OVERSAMPLING = 2
"""Rows of the speckle field per row of the tissue map: the pulse is shorter than the beam is wide."""
_LOOKS = 2
"""Envelopes averaged by spatial compounding."""


@dataclass(frozen=True)
class PhantomConfig:
    """Settings of a folder of phantoms.

    Attributes
    ----------
    count : int
        Images in all, at least 6; the classes are in BUSI's proportions (437 : 210 : 133).
    size : int
        Height and width, pixels, 16 to 1024.
    seed : int
        At least 0.
    """

    count: int = 780
    size: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 6:
            raise SettingsError(f"{self.count} phantoms are too few: two of each class need at least 6.")
        if not 16 <= self.size <= 1024:
            raise SettingsError(f"The size of a phantom is 16 to 1024 pixels, not {self.size}.")
        if self.seed < 0:
            raise SettingsError(f"A seed is at least 0, not {self.seed}.")

    def class_counts(self) -> dict[Kind, int]:
        """Return the number of images of each class: BUSI's proportions, and at least two of each."""
        spare = largest_remainder(list(BUSI_COUNTS.values()), self.count)
        counts = np.maximum(spare, 2)
        counts[0] -= counts.sum() - self.count
        return dict(zip(BUSI_COUNTS, counts.tolist(), strict=True))


def _draw_scanner(generator: np.random.Generator) -> Scanner:
    """Draw the settings of one examination."""
    depth = generator.uniform(28, 46)
    return Scanner(
        depth_mm=float(depth),
        width_mm=float(generator.uniform(34, 42)),
        pulse_mm=float(generator.uniform(0.07, 0.13)),
        beam_mm=float(generator.uniform(0.13, 0.26)),
        focus_mm=float(depth * generator.uniform(0.3, 0.6)),
        divergence=float(generator.uniform(0.006, 0.018)),
    )


def simulate(kind: Kind, seed: int, size: int = 256) -> Pixels:
    """Simulate one B-mode image.

    Parameters
    ----------
    kind : "benign", "malignant" or "normal"
    seed : int
        Decides everything about the image.
    size : int
        Height and width, pixels, 16 to 1024. The anatomy does not depend on it.

    Returns
    -------
    uint8 array [1, size, size]
        Log-compressed envelope, black at the lower end of the scanner's dynamic range.
    """
    generator = numpy_generator(seed, "phantom", kind)
    canvas = Canvas(_draw_scanner(generator), max(_GRID, size), generator)
    draw_tissue(canvas)
    if kind == "benign":
        draw_benign(canvas)
    elif kind == "malignant":
        draw_malignant(canvas)
    return codec.resize(_log_compress(canvas, _receive(canvas)), size)


def _receive(canvas: Canvas) -> Field:
    """Return the envelope of what the scanner receives, in decibels, with the noise of its electronics."""
    c = canvas
    step_mm = np.float32(c.scanner.depth_mm / c.cells)
    level_db = c.echo_db - np.cumsum(c.loss_db_per_mm, axis=0, dtype=np.float32) * step_mm
    fine = np.repeat(level_db, _AXIAL_OVERSAMPLING, axis=0)
    # Spatial compounding: looks from different angles have independent speckle, and their envelopes are averaged.
    looks = [envelope(fine, c.scanner, c.generator) for _ in range(_LOOKS)]
    received = np.mean(looks, axis=0).reshape(c.cells, _AXIAL_OVERSAMPLING, c.cells).mean(axis=1)
    # Time gain amplifies the noise as much as the echoes, so the floor rises with depth.
    floor_db = np.float32(c.uniform(-62, -50)) + 10 * c.z / np.float32(c.scanner.depth_mm)
    noise = np.abs(c.generator.standard_normal(received.shape, dtype=np.float32))
    decibels: Field = 20 * np.log10(received + noise * 10 ** (floor_db / 20))
    return decibels


def _log_compress(canvas: Canvas, decibels: Field) -> Pixels:
    """Map decibels to gray levels, shape [1, rows, columns], by the dynamic range and gain of the examination."""
    dynamic_range = canvas.uniform(50, 60)
    white_db = canvas.uniform(12, 22)
    gray = (decibels - np.float32(white_db)) / np.float32(dynamic_range) + 1
    pixels: Pixels = np.rint(np.clip(gray, 0, 1) * 255).astype(np.uint8)[None]
    return pixels


def write_phantoms(
    config: PhantomConfig, target: Path, progress: Progress, workers: int | None = None
) -> dict[Kind, int]:
    """Write `target/<class>/<class>-0001.png` and so on: a source folder that `prepare` understands.

    Each image has its own seed, derived from the configuration's, its class and its number.

    Parameters
    ----------
    config : PhantomConfig
    target : Path
        An empty folder, or one to be made.
    progress : Progress
    workers : int, optional
        Threads; the result does not depend on it. Default: one per core, up to 16.

    Returns
    -------
    dict of str to int
        Number of images of each class.
    """
    counts = config.class_counts()

    def write(item: tuple[Kind, int]) -> None:
        kind, number = item
        pixels = simulate(kind, derive_seed(config.seed, "phantom", kind, number), config.size)
        codec.write_png(target / kind / f"{kind}-{number:04d}.png", pixels)

    items = [(kind, number) for kind, count in counts.items() for number in range(1, count + 1)]
    with (
        ThreadPoolExecutor(workers or min(16, os.cpu_count() or 1)) as pool,
        progress.task("Simulating images", len(items), "images") as task,
    ):
        for _ in pool.map(write, items):
            task.advance()
    return counts
