"""Simulated B-mode images of the breast, so that every step runs with nothing downloaded.

An examination is drawn (depth, focus, gain), then an anatomy: layers of the breast and perhaps a mass. `bmode`
computes the scanner's image of it. The phantoms have the look of the real thing, not its diagnostic content: results on
them say nothing about patients.

The masses follow the descriptors of BI-RADS Ultrasound (American College of Radiology, 5th edition, 2013): benign ones
are oval, parallel, circumscribed, with a thin capsule and posterior enhancement; malignant ones are irregular, not
parallel, spiculated or angular, with an echogenic halo and posterior shadowing. Shadows and enhancement are not
painted: a mass absorbs more or less than the time gain makes up for, and what lies below it shows that.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from usgan_cli.core.apportion import largest_remainder
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.machine.seeds import derive_seed, numpy_generator
from usgan_cli.core.machine.threads import available_cores
from usgan_cli.core.progress import Progress
from usgan_cli.data.bmode import Field, Scanner, centres, log_compress, receive

Kind = Literal["benign", "malignant", "normal"]
BUSI_COUNTS: dict[Kind, int] = {"benign": 437, "malignant": 210, "normal": 133}
"""Images of each class in BUSI; phantoms keep the proportions."""

_GRID = 256
"""Cells per side of the simulation at sizes up to this; smaller images are reduced from it, as real ones are."""


@dataclass(frozen=True, kw_only=True)
class PhantomConfig:
    """Settings of a folder of phantoms; the options of `usgan phantom` keep them in range."""

    count: int
    """Images in all, at least 6: two of each class."""
    size: int
    """Height and width, pixels, 16 to 1024."""
    seed: int

    def class_counts(self) -> dict[Kind, int]:
        """Return the number of images of each class: BUSI's proportions, and at least two of each."""
        spare = largest_remainder(list(BUSI_COUNTS.values()), self.count)
        counts = np.maximum(spare, 2)
        counts[0] -= counts.sum() - self.count
        return dict(zip(BUSI_COUNTS, counts.tolist(), strict=True))


ANGLES = np.linspace(-np.pi, np.pi, 720, endpoint=False)
"""Where the outline of a mass is sampled."""


def simulate(kind: Kind, seed: int, size: int = 256) -> Pixels:
    """Simulate one B-mode image [1, size, size]: the log-compressed envelope, whose anatomy depends on `seed` alone."""
    generator = numpy_generator(seed, "phantom", kind)
    canvas = Canvas(_draw_scanner(generator), max(_GRID, size), generator)
    draw_tissue(canvas)
    if kind == "benign":
        draw_benign(canvas)
    elif kind == "malignant":
        draw_malignant(canvas)
    decibels = receive(canvas.echo_db, canvas.loss_db_per_mm, canvas.scanner, generator)
    dynamic_range_db = canvas.uniform(50, 60)
    white_db = canvas.uniform(12, 22)
    return codec.fit(log_compress(decibels, white_db, dynamic_range_db), size)


def write_phantoms(
    config: PhantomConfig, target: Path, progress: Progress, workers: int | None = None
) -> dict[Kind, int]:
    """Write `target/<class>/<class>-0001.png` and so on, a source for `prepare`; return the number of each class.

    Each image has its own seed, derived from the configuration's, its class and its number, so that the result does
    not depend on the number of threads, `workers` (default: one per core).
    """
    counts = config.class_counts()

    def write(item: tuple[Kind, int]) -> None:
        kind, number = item
        pixels = simulate(kind, derive_seed(config.seed, "phantom", kind, number), config.size)
        codec.write_png(target / kind / f"{kind}-{number:04d}.png", pixels)

    items = [(kind, number) for kind, count in counts.items() for number in range(1, count + 1)]
    with (
        ThreadPoolExecutor(workers or available_cores()) as pool,
        progress.task("Simulating images", len(items), "images") as task,
    ):
        for _ in pool.map(write, items):
            task.advance()
    return counts


def _draw_scanner(generator: np.random.Generator) -> Scanner:
    depth = generator.uniform(28, 46)
    return Scanner(
        depth_mm=float(depth),
        width_mm=float(generator.uniform(34, 42)),
        pulse_mm=float(generator.uniform(0.07, 0.13)),
        beam_mm=float(generator.uniform(0.13, 0.26)),
        focus_mm=float(depth * generator.uniform(0.3, 0.6)),
        divergence=float(generator.uniform(0.006, 0.018)),
    )


@dataclass(frozen=True)
class Lesion:
    """A mass, as fields of shape [rows, columns] in its own terms."""

    inside: Field
    """1 within, 0 outside, with the softness of its margin."""
    distance_mm: Field
    """Distance from the margin along the ray from the centre, negative within."""
    across: Field
    along: Field
    """Position relative to the centre, in half-widths and half-heights, along the image's axes."""


class Canvas:
    """The tissue map of one image while it is being drawn: echogenicity and attenuation over the field of view."""

    def __init__(self, scanner: Scanner, cells: int, generator: np.random.Generator) -> None:
        self.scanner, self.cells, self.generator = scanner, cells, generator
        self.z: Field = centres(cells, scanner.depth_mm)[:, None]
        self.x: Field = centres(cells, scanner.width_mm)[None, :]
        self.echo_db: Field = np.zeros((cells, cells), np.float32)
        self.loss_db_per_mm: Field = np.zeros((cells, cells), np.float32)
        """Two-way attenuation that the scanner's time gain does not make up for."""

    def uniform(self, low: float, high: float) -> float:
        """Return a number drawn evenly between `low` and `high`."""
        return float(self.generator.uniform(low, high))

    def noise(self, z_mm: float, x_mm: float) -> Field:
        """Return a smooth Gaussian field of unit variance with these correlation lengths."""
        along = self._kernels(self.z[:, 0], self.scanner.depth_mm, z_mm)
        across = self._kernels(self.x[0], self.scanner.width_mm, x_mm)
        weights: Field = self.generator.standard_normal((along.shape[1], across.shape[1]), dtype=np.float32)
        return np.asarray(along.dot(weights).dot(across.T))

    def curve(self, x_mm: float) -> Field:
        """Return a smooth Gaussian function of the lateral position, of unit variance, shape [1, columns]."""
        across = self._kernels(self.x[0], self.scanner.width_mm, x_mm)
        values: Field = across @ self.generator.standard_normal(across.shape[1], dtype=np.float32)
        return values[None, :]

    @staticmethod
    def _kernels(position: Field, length: float, scale: float) -> Field:
        """Return Gaussian bumps one `scale` apart, normalised so that independent unit weights give unit variance."""
        middles = np.arange(-2 * scale, length + 2 * scale, scale, dtype=np.float32)
        bumps = np.exp(-(((position[:, None] - middles) / np.float32(scale)) ** 2))
        return np.asarray(bumps / np.sqrt((bumps**2).sum(axis=1, keepdims=True)))


def _step(value: Field, width: float) -> Field:
    """Return a smooth step from 0 to 1 where `value` passes zero; `width` has the unit of `value`."""
    rise: Field = np.clip(value / np.float32(2 * width) + np.float32(0.5), 0, 1)
    return rise * rise * (3 - 2 * rise)


def _line(value: Field, width: float) -> Field:
    """Return a ridge of height 1 where `value` is zero."""
    return np.asarray(np.exp(-((value / np.float32(width)) ** 2)))


def draw_tissue(canvas: Canvas) -> None:
    """Draw skin, subcutaneous fat with Cooper's ligaments, fibroglandular tissue, and the pectoral muscle."""
    c, z = canvas, canvas.z
    depth = c.scanner.depth_mm
    skin = c.uniform(0.8, 2.0) + 0.15 * c.curve(12)
    fat = skin + depth * c.uniform(0.08, 0.26) + c.uniform(0.8, 2.2) * c.curve(6)
    gland = depth * c.uniform(0.55, 0.85) + c.uniform(0.5, 2.0) * c.curve(14)
    muscle = gland + depth * c.uniform(0.12, 0.25) + 0.6 * c.curve(16)
    in_fat, in_gland = _step(z - skin, 0.2), _step(z - fat, 0.5)
    in_muscle, below = _step(z - gland, 0.3), _step(z - muscle, 0.4)

    # Everything below the skin follows the layers: textures are bent along the border of fat and gland.
    tilt = c.uniform(-0.2, 0.2)
    bend = tilt * (c.x - c.scanner.width_mm / 2) + c.uniform(0.4, 1.4) * c.curve(9)
    streaks = _bent(c, c.noise(c.uniform(0.28, 0.5), c.uniform(1.8, 3.2)), bend)
    lobules = c.noise(2.4, 5.5)
    septa = _line(lobules, 0.08) * _facing(lobules) * _step(c.noise(2.5, 3.5) + 0.6, 0.8)

    fat_db = c.uniform(-17, -9) + 2 * streaks + c.uniform(10, 22) * septa
    density = c.uniform(-1, 1)
    gland_db = (
        c.uniform(-9, -2)
        + c.uniform(2.0, 4.5) * streaks
        + c.uniform(3, 9) * _step(streaks - 0.9, 0.5)
        + c.uniform(1.5, 4) * c.noise(3, 5)
        - c.uniform(6, 12) * _step(c.noise(2.2, 4) - 0.9 + 0.4 * density, 0.4)  # lobules of fat between the glands
        + c.uniform(2, 12) * _line(_bent(c, c.noise(1.6, 7), bend), 0.14)
    )
    fibres = c.noise(0.35, 5)
    muscle_db = c.uniform(-18, -9) + 4 * fibres + 6 * _step(fibres - 1.3, 0.4)
    deep_db = c.uniform(-24, -12) + 3 * c.noise(1.5, 6)

    echo = c.uniform(-8, 4) + 2 * c.curve(6) + 0 * z
    for inside, level in ((in_fat, fat_db), (in_gland, gland_db), (in_muscle, muscle_db), (below, deep_db)):
        echo = echo + inside * (level - echo)
    fascia = c.uniform(6, 14) * _line(z - gland, 0.35) * _step(c.curve(6) + 0.7, 1.0)
    second = c.uniform(3, 12) * _line(z - muscle, 0.4) * _step(c.curve(6) + 0.4, 1.0)
    surface = c.uniform(4, 12) * _line(z - skin, 0.22)
    c.echo_db = (echo + fascia + second + surface).astype(np.float32)

    # The time gain fits the average breast; this one absorbs more or less, and unevenly.
    loss = c.uniform(0.2, 1.5) * _step(z - c.uniform(0.1, 0.5) * depth, 6)
    patchy = c.uniform(0.0, 0.8) * np.clip(c.curve(3.5) - 0.2, 0, None) * _step(z - fat, 2)
    c.loss_db_per_mm = (loss + patchy + 0.3 * in_muscle).astype(np.float32)


def _facing(texture: Field) -> Field:
    """Return how squarely the level lines of a texture face the beam: 1 where they are level, 0 where upright."""
    down, across = np.gradient(texture)
    return np.asarray(down**2 / np.maximum(down**2 + across**2, 1e-12))


def _bent(canvas: Canvas, texture: Field, bend_mm: Field) -> Field:
    """Shift each column of a texture by `bend_mm`, so that it follows a layer."""
    shift = np.rint(bend_mm * canvas.cells / canvas.scanner.depth_mm).astype(np.int64)
    row = (np.arange(canvas.cells)[:, None] - shift) % canvas.cells
    return np.take_along_axis(texture, row, axis=0)


def _outline(canvas: Canvas, half_width: float, half_height: float, outline: Field, softness: float) -> Lesion:
    """Place an ellipse whose radius is multiplied by `outline`, a function sampled at `ANGLES`."""
    c = canvas
    scanner = c.scanner
    x0 = c.uniform(0.25, 0.75) * scanner.width_mm
    z0 = min(c.uniform(0.28, 0.5) * scanner.depth_mm, 0.85 * scanner.depth_mm - half_height)
    angle = np.deg2rad(c.uniform(-14, 14))
    dx, dz = c.x - np.float32(x0), c.z - np.float32(z0)
    u = (dx * np.cos(angle) + dz * np.sin(angle)).astype(np.float32)
    v = (-dx * np.sin(angle) + dz * np.cos(angle)).astype(np.float32)
    theta = np.arctan2(v / half_height, u / half_width)
    radius = outline[np.floor((theta + np.pi) * (len(outline) / (2 * np.pi))).astype(np.int64) % len(outline)]
    length = np.hypot(u, v)
    relative = np.hypot(u / half_width, v / half_height)
    distance = length - length * radius / np.maximum(relative, 1e-3)
    inside = 1 - _step(distance, softness)
    return Lesion(inside, distance, dx / np.float32(half_width), dz / np.float32(half_height))


def draw_benign(canvas: Canvas) -> None:
    """Draw an oval, parallel, circumscribed mass that lets more sound through than the tissue around it."""
    c = canvas
    half_height = c.uniform(1.6, 5.0)
    half_width = half_height * c.uniform(1.15, 2.1)
    outline = np.ones_like(ANGLES)
    for order in (2, 3, 4):
        outline += c.uniform(0, 0.05) * np.cos(order * ANGLES + c.uniform(0, 2 * np.pi))
    lesion = _outline(c, half_width, half_height, outline.astype(np.float32), softness=0.25)

    cystic = c.uniform(0, 1) < 0.3
    level = c.uniform(-44, -32) if cystic else c.uniform(-27, -17)
    level_db = level + c.uniform(0.5, 1.5) * c.noise(1.5, 2.5)
    c.echo_db += lesion.inside * (level_db - c.echo_db)
    # The capsule reflects most where it is perpendicular to the beam.
    facing = np.abs(lesion.along) / np.maximum(np.hypot(lesion.along, lesion.across), 1e-3)
    c.echo_db += c.uniform(3, 11) * facing * _line(lesion.distance_mm - 0.25, 0.3)
    gain = c.uniform(0.9, 1.6) if cystic else c.uniform(0.1, 1.1)
    c.loss_db_per_mm -= gain * lesion.inside * min(1.0, 4.0 / half_height)
    # Refraction at the steep sides takes sound away below them.
    sides = _line(np.abs(lesion.across) - 1, 0.1) * _line(lesion.along, 0.7)
    c.loss_db_per_mm += c.uniform(0.0, 1.4) * sides


def draw_malignant(canvas: Canvas) -> None:
    """Draw an irregular mass, taller than wide, with spicules or angles, a bright halo, and a shadow below."""
    c = canvas
    half_height = c.uniform(2.8, 6.5)
    half_width = half_height * c.uniform(0.55, 1.05)
    outline = np.ones_like(ANGLES)
    for order in range(2, 9):
        outline += c.uniform(0, 0.24) / np.sqrt(order) * np.cos(order * ANGLES + c.uniform(0, 2 * np.pi))
    for _ in range(int(c.generator.integers(4, 13))):
        away = np.angle(np.exp(1j * (ANGLES - c.uniform(-np.pi, np.pi))))
        outline += c.uniform(0.1, 0.7) * np.exp(-np.abs(away) / c.uniform(0.04, 0.12))
    outline = np.clip(outline, 0.45, 2.2)
    lesion = _outline(c, half_width, half_height, outline.astype(np.float32), softness=c.uniform(0.5, 1.6))

    level_db = c.uniform(-30, -18) + c.uniform(2, 5) * c.noise(0.9, 1.2)
    c.echo_db += lesion.inside * (level_db - c.echo_db)
    halo = np.exp(-np.clip(lesion.distance_mm, 0, None) / np.float32(c.uniform(0.7, 2.2))) * (1 - lesion.inside)
    c.echo_db += c.uniform(0, 9) * halo
    if c.uniform(0, 1) < 0.3:
        _draw_calcifications(c, lesion)
    c.loss_db_per_mm += c.uniform(0.2, 2.6) * lesion.inside * min(1.0, 5.0 / half_height)


def _draw_calcifications(canvas: Canvas, lesion: Lesion) -> None:
    """Add a few bright specks within the mass."""
    rows, columns = np.nonzero(lesion.inside > 0.9)
    if len(rows) == 0:
        return
    for pick in canvas.generator.integers(0, len(rows), int(canvas.generator.integers(3, 10))):
        near = _line(np.hypot(canvas.z - canvas.z[rows[pick]], canvas.x - canvas.x[0, columns[pick]]), 0.22)
        canvas.echo_db += canvas.uniform(14, 26) * near
