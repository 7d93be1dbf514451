"""The report's bitmaps: samples beside real images, sheets of trainings, and generated images beside their nearest.

Thumbnails are small and lossy, so that a page with dozens of GANs can still be sent by mail; the files of the samples
in `figures/` are lossless.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from usgan_cli.core.errors import DataError
from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.formats.score import NearestPair, ScoreRecord
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.generated import read_pixels
from usgan_cli.core.store import files
from usgan_cli.core.store.workspace import GanKey, SubsetKey
from usgan_cli.core.text import gan_label, number
from usgan_cli.reporting import charts
from usgan_cli.reporting.charts import Chart
from usgan_cli.reporting.records import GanRun, StudyRecords, subset_title

T = TypeVar("T")
THUMB_SIZE = 128
"""Side of a shown sample, pixels, where the images are larger."""
THUMB_COLUMNS = 3
SHEET_WIDTH = 640
PAIR_SIZE = 96
PAIRS = 5
"""Closest pairs shown of each GAN."""
QUALITY = 82


@dataclass(frozen=True)
class Picture:
    """A bitmap inside the page."""

    title: str
    alt: str
    data: bytes
    """A WebP file."""
    width: int
    height: int


@dataclass(frozen=True)
class Pairs:
    """The closest pairs of one GAN."""

    title: str
    pictures: list[Picture]
    suspect: bool


@dataclass(frozen=True)
class Panel:
    """Images of one origin: a row for each class of uint8 arrays [C, H, W]."""

    title: str
    rows: list[list[Pixels]]


@dataclass(frozen=True)
class Samples:
    """Images of every GAN trained on one subset, beside real ones."""

    title: str
    classes: list[str]
    pictures: list[Picture]
    chart: Chart


def encode(title: str, alt: str, pixels: Pixels, alpha: Pixels | None = None) -> Picture:
    """Return pixels [C, H, W] as a small bitmap; `alpha` [1, H, W] is 0 where it is transparent."""
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in pixels]
    image = Image.merge("RGB", planes * 3 if len(planes) == 1 else planes)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha[0]))
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=QUALITY, method=2)
    return Picture(title, alt, buffer.getvalue(), image.width, image.height)


class _Attempts:
    """Makes pictures, and keeps the reasons why some cannot be made: a changed file costs its own picture alone."""

    def __init__(self, records: StudyRecords) -> None:
        self.records = records
        self.problems: list[str] = []

    def make(self, name: str, make: Callable[[], T]) -> T | None:
        """Return what `make` makes, or None where its files are damaged."""
        try:
            return make()
        except DataError as error:
            # A report is sent to others, so it does not show where the workspace is on this machine.
            reason = error.message.replace(f"{self.records.workspace.root}/", "")
            self.problems.append(f"{name} cannot be shown: {reason}")
            return None


def samples(records: StudyRecords) -> tuple[list[Samples], list[str]]:
    """Return the first images of every GAN beside real ones, for the first seed of every n, and what is damaged."""
    data, attempts = records.data, _Attempts(records)
    shown: list[Samples] = []
    if data is None:
        return shown, []
    for n in dict.fromkeys(key.n for key in records.synthetic):
        subset = next(key.subset for key in records.synthetic if key.n == n)
        sources = {"Real training images": partial(_real_thumbs, records, data, subset)}
        for key in [key for key in records.synthetic if key.subset == subset]:
            sources[gan_label(key.aug)] = partial(_synthetic_thumbs, records, key, data.classes)
        made = [(title, attempts.make(f"Samples of {title}, n = {n},", thumbs)) for title, thumbs in sources.items()]
        panels = [Panel(title, rows) for title, rows in made if rows is not None]
        if panels:
            title = subset_title(subset, records.subset_keys())
            pictures = [_panel_picture(panel, title, data.classes) for panel in panels]
            chart = samples_chart(panels, data.classes, title, f"samples-{subset.name}")
            shown.append(Samples(title, data.classes, pictures, chart))
    return shown, attempts.problems


def _panel_picture(panel: Panel, title: str, classes: Sequence[str]) -> Picture:
    """Return the images as one sheet, transparent between them, so that it suits a light page and a dark one."""
    covered = codec.sheet([[np.full_like(image[:1], 255) for image in row] for row in panel.rows], background=0)
    alt = f"{panel.title}, {title}; rows {', '.join(classes)}."
    return encode(panel.title, alt, codec.sheet(panel.rows, background=128), covered)


def _real_thumbs(records: StudyRecords, data: DataManifest, subset: SubsetKey) -> list[list[Pixels]]:
    drawn, folder = records.subsets.get(subset), records.workspace.data
    picked = drawn.pick(data) if drawn is not None and drawn.data == data.content_digest() else data.of("train")
    rows = []
    for name in data.classes:
        chosen = [image for image in picked if image.class_ == name][:THUMB_COLUMNS]
        rows.append([codec.read_checked(folder / image.file, image.sha256, data.channels) for image in chosen])
    return _thumbs(rows, data.channels, data.size)


def _synthetic_thumbs(records: StudyRecords, key: GanKey, classes: Sequence[str]) -> list[list[Pixels]]:
    manifest = records.synthetic[key]
    places = {
        name: [i for i, image in enumerate(manifest.images) if image.class_ == name][:THUMB_COLUMNS] for name in classes
    }
    chosen = sorted(i for some in places.values() for i in some)
    at = {i: i for i in chosen}
    if manifest.form == "png":
        # Each image is a file of its own: the others need not be read.
        manifest = manifest.model_copy(update={"images": [manifest.images[i] for i in chosen]})
        at = {i: row for row, i in enumerate(chosen)}
    folder = records.workspace.synthetic(*key)
    pixels = read_pixels(folder, manifest, max(at.values()) + 1) if chosen else np.empty(0, np.uint8)
    return _thumbs([[pixels[at[i]] for i in places[name]] for name in classes], manifest.channels, manifest.size)


def _thumbs(rows: Sequence[Sequence[Pixels]], channels: int, size: int) -> list[list[Pixels]]:
    """Return images small enough to be shown; a class without any has a blank one."""
    side = min(size, THUMB_SIZE)
    blank = np.full((channels, side, side), 255, dtype=np.uint8)
    return [[codec.resize(image, side) for image in row] or [blank] for row in rows]


def samples_chart(panels: Sequence[Panel], classes: Sequence[str], title: str, name: str) -> Chart:
    """Return the study's figure 3: samples of every GAN beside real images, all on one gray scale."""
    alt = f"Samples, {title}: {', '.join(panel.title for panel in panels)}; rows {', '.join(classes)}."
    size = (0.7 + 2.4 * len(panels), 0.7 + 0.8 * len(classes))
    return charts.draw(name, title, alt, size, partial(_plot_samples, panels, classes, title))


def _plot_samples(panels: Sequence[Panel], classes: Sequence[str], title: str, figure: Figure) -> None:
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for i, (axes, panel) in enumerate(zip(all_axes, panels, strict=True)):
        sheet = codec.sheet(panel.rows)
        shown = sheet[0] if sheet.shape[0] == 1 else sheet.transpose(1, 2, 0)
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(panel.title)
        axes.set_xticks([])
        axes.spines[:].set_visible(False)
        height = sheet.shape[1] / len(classes)
        places = [(row + 0.5) * height for row in range(len(classes))]
        axes.set_yticks(places, list(classes) if i == 0 else [""] * len(classes))
        axes.tick_params(length=0)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)


def last_sheets(records: StudyRecords) -> tuple[list[Picture], list[str]]:
    """Return every training's last sheet of samples, narrow enough for the page, and what is damaged."""
    attempts = _Attempts(records)
    gans = [gan for gan in records.gans.values() if gan.sheet is not None]
    sheets = [attempts.make(f"The last samples of {gan.key.name}", partial(_last_sheet, gan)) for gan in gans]
    return [sheet for sheet in sheets if sheet is not None], attempts.problems


def _last_sheet(gan: GanRun) -> Picture:
    assert gan.sheet is not None  # last_sheets asks for no other
    channels: Literal[1, 3] = 1 if gan.document is None or gan.document.architecture.img_channels == 1 else 3
    pixels = codec.decode(gan.sheet, channels)
    sheet = Image.fromarray(pixels[0] if channels == 1 else pixels.transpose(1, 2, 0))
    sheet.thumbnail((SHEET_WIDTH, 4 * SHEET_WIDTH), Image.Resampling.LANCZOS)
    small = np.asarray(sheet, dtype=np.uint8)
    classes = "" if gan.document is None else f"; rows {', '.join(gan.document.classes)}"
    title = f"{gan.key.name}, {gan.kimg:g} kimg" + ("" if gan.document is not None else ", unfinished")
    alt = f"Samples of {gan.key.name} during training, up to {gan.kimg:g} kimg{classes}."
    return encode(title, alt, small[None] if channels == 1 else small.transpose(2, 0, 1))


def pairs(records: StudyRecords) -> tuple[list[Pairs], list[str]]:
    """Return every GAN's closest pairs of a generated and a training image, and what is damaged."""
    attempts = _Attempts(records)
    made = [
        attempts.make(f"The closest pairs of {key.name}", partial(_pairs, records, key, score))
        for key, score in records.scores.items()
    ]
    return [one for one in made if one is not None], attempts.problems


def _pairs(records: StudyRecords, key: GanKey, score: ScoreRecord) -> Pairs | None:
    copying, name = score.memorization, f"{score.name}-nearest.png"
    if copying is None or not copying.closest or name not in score.pictures:
        return None
    path = records.workspace.score(score.name).with_name(name)
    if not path.is_file() or files.sha256_file(path) != score.pictures[name]:
        raise DataError(f"{path} is not there, or not the picture that was recorded.")
    limits = {"features": copying.train_features.threshold, "pixels": copying.train_pixels.threshold}
    sheet = codec.decode(path, 3)
    size = (sheet.shape[1] - 2) // 2
    if sheet.shape[2] != len(copying.closest) * (size + 2) - 2:
        raise DataError(f"{path} does not hold the {len(copying.closest)} pairs of its record.")
    pictures = [
        _pair(pair, limits[pair.nearest_by], sheet[:, :, i * (size + 2) : i * (size + 2) + size], size)
        for i, pair in enumerate(copying.closest[:PAIRS])
    ]
    title = f"{gan_label(key.aug)}, {subset_title(key.subset, records.subset_keys())}"
    return Pairs(title, pictures, copying.verdict != "none")


def _pair(pair: NearestPair, limit: float, column: Pixels, size: int) -> Picture:
    """Return the upper and the lower image of a column side by side."""
    side = min(size, PAIR_SIZE)
    both = [codec.resize(column[:, top : top + size], side) for top in (0, size + 2)]
    digits = 2 if limit < 10 else 1
    title = f"{number(pair.distance, digits)} by {pair.nearest_by} (limit {number(limit, digits)})"
    alt = f"Generated image {pair.generated} beside its nearest training image {pair.train}, distance {title}."
    return encode(title, alt, codec.sheet([both], background=128))
