"""The report's bitmaps: samples beside real images, sheets of trainings, and generated images beside their nearest.

Thumbnails are small and lossy, so that a page with dozens of GANs can still be sent by mail; the files of the samples
in `figures/` are lossless.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from usgan_cli.core.errors import DataError
from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.formats.score import Memorization, NearestPair, distance_name
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.generated import read_pixels
from usgan_cli.core.store import files
from usgan_cli.core.store.workspace import GanKey, SubsetKey
from usgan_cli.core.text import gan_label, number
from usgan_cli.reporting import charts
from usgan_cli.reporting.charts import Chart
from usgan_cli.reporting.records import GanRun, StudyRecords, subset_title, without_root

Rows = list[list[Pixels]]
"""A row of images [C, H, W] for each class."""
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
class Samples:
    """Images of every GAN trained on one subset, beside real ones."""

    title: str
    classes: list[str]
    pictures: list[Picture]
    chart: Chart


def _image(pixels: Pixels) -> Image.Image:
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in pixels]
    return Image.merge("RGB", planes * 3 if len(planes) == 1 else planes)


def _encode(title: str, alt: str, image: Image.Image) -> Picture:
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=QUALITY, method=2)
    return Picture(title, alt, buffer.getvalue(), image.width, image.height)


@contextmanager
def _reporting(name: str, records: StudyRecords, problems: list[str]) -> Iterator[None]:
    """Add a damaged file to the problems instead of raising: it costs its own picture alone."""
    try:
        yield
    except DataError as error:
        problems.append(f"{name} cannot be shown: {without_root(error.message, records.workspace)}")


def samples(records: StudyRecords) -> tuple[list[Samples], list[str]]:
    """Return the first images of every GAN beside real ones, for the first seed of every n, and what is damaged."""
    shown: list[Samples] = []
    problems: list[str] = []
    if (data := records.data) is None:
        return shown, problems
    for n in dict.fromkeys(key.n for key in records.synthetic):
        subset = next(key.subset for key in records.synthetic if key.n == n)
        sources = {"Real training images": partial(_real_thumbs, records, data, subset)}
        for key in [key for key in records.synthetic if key.subset == subset]:
            sources[with_distance(records, key)] = partial(_synthetic_thumbs, records, key, data.classes)
        panels = {}
        for name, thumbs in sources.items():
            with _reporting(f"Samples of {name.partition(', ')[0]}, n = {n},", records, problems):
                panels[name] = thumbs()
        if panels:
            title = subset_title(subset, records.subset_keys())
            pictures = [_panel(name, f"{title}; rows {', '.join(data.classes)}", rows) for name, rows in panels.items()]
            chart = samples_chart(panels, data.classes, title, f"samples-{subset.name}")
            shown.append(Samples(title, data.classes, pictures, chart))
    return shown, problems


def with_distance(records: StudyRecords, key: GanKey) -> str:
    """Return a GAN's name with its distance to the test images, where it was scored: "StyleGAN2 + ADA, FD 100.6"."""
    score, name = records.scores.get(key), gan_label(key.aug)
    if score is None:
        return name
    weak = ", too weak to judge" if score.quality.weak else ""
    return f"{name}, {distance_name(score.settings.extractor)} {number(score.fake.fd, 1)}{weak}"


def _panel(name: str, about: str, rows: Rows) -> Picture:
    """Return the images as one sheet, transparent between them, so that it suits a light page and a dark one."""
    sheet = _image(codec.sheet(rows, background=128))
    covered = codec.sheet([[np.full_like(image[:1], 255) for image in row] for row in rows], background=0)
    sheet.putalpha(Image.fromarray(covered[0]))
    return _encode(name, f"{name}, {about}.", sheet)


def _real_thumbs(records: StudyRecords, data: DataManifest, subset: SubsetKey) -> Rows:
    drawn, folder = records.subsets.get(subset), records.workspace.data
    picked = drawn.pick(data) if drawn is not None and drawn.data == data.content_digest() else data.of("train")
    rows = []
    for name in data.classes:
        chosen = [image for image in picked if image.class_ == name][:THUMB_COLUMNS]
        rows.append([codec.read_checked(folder / image.file, image.sha256, data.channels) for image in chosen])
    return _thumbs(rows, data.channels, data.size)


def _synthetic_thumbs(records: StudyRecords, key: GanKey, classes: Sequence[str]) -> Rows:
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


def _thumbs(rows: Sequence[Sequence[Pixels]], channels: int, size: int) -> Rows:
    """Return images small enough to be shown; a class without any has a blank one."""
    side = min(size, THUMB_SIZE)
    blank = np.full((channels, side, side), 255, dtype=np.uint8)
    return [[codec.fit(image, side) for image in row] or [blank] for row in rows]


def samples_chart(panels: Mapping[str, Rows], classes: Sequence[str], title: str, name: str) -> Chart:
    """Return the study's figure 3: samples of every GAN beside real images, all on one gray scale."""
    alt = f"Samples, {title}: {', '.join(panels)}; rows {', '.join(classes)}."
    size = (0.7 + 2.4 * len(panels), 0.7 + 0.8 * len(classes))
    return charts.draw(name, title, alt, size, partial(_plot_samples, panels, classes, title))


def _plot_samples(panels: Mapping[str, Rows], classes: Sequence[str], title: str, figure: Figure) -> None:
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for i, (axes, (name, rows)) in enumerate(zip(all_axes, panels.items(), strict=True)):
        sheet = codec.sheet(rows)
        shown = sheet[0] if sheet.shape[0] == 1 else sheet.transpose(1, 2, 0)
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(name.replace(", ", "\n", 1))  # what was measured stands below: panels are narrow
        axes.set_xticks([])
        axes.spines[:].set_visible(False)
        height = sheet.shape[1] / len(classes)
        places = [(row + 0.5) * height for row in range(len(classes))]
        axes.set_yticks(places, list(classes) if i == 0 else [""] * len(classes))
        axes.tick_params(length=0)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)


def last_sheets(records: StudyRecords) -> tuple[list[Picture], list[str]]:
    """Return every training's last sheet of samples, narrow enough for the page, and what is damaged."""
    sheets: list[Picture] = []
    problems: list[str] = []
    for gan in records.gans.values():
        if gan.sheet is not None:
            with _reporting(f"The last samples of {gan.key.name}", records, problems):
                sheets.append(_last_sheet(gan, gan.sheet, subset_title(gan.key.subset, records.subset_keys())))
    return sheets, problems


def _last_sheet(gan: GanRun, path: Path, place: str) -> Picture:
    gray = gan.document is None or gan.document.architecture.img_channels == 1
    sheet = _image(codec.decode(path, 1 if gray else 3))
    sheet.thumbnail((SHEET_WIDTH, 4 * SHEET_WIDTH), Image.Resampling.LANCZOS)
    classes = "" if gan.document is None else f"; rows {', '.join(gan.document.classes)}"
    title = f"{gan_label(gan.key.aug)}, {place}, {gan.kimg:g} kimg"
    title += f"{classes}" if gan.document is not None else ", unfinished"
    alt = f"Samples of {gan.key.name} during training, up to {gan.kimg:g} kimg{classes}."
    return _encode(title, alt, sheet)


def pairs(records: StudyRecords) -> tuple[list[Pairs], list[str]]:
    """Return every GAN's closest pairs of a generated and a training image, and what is damaged."""
    shown: list[Pairs] = []
    problems: list[str] = []
    for key, score in records.scores.items():
        name = f"{score.name}-nearest.png"
        if score.memorization is not None and score.memorization.closest and name in score.pictures:
            with _reporting(f"The closest pairs of {key.name}", records, problems):
                pictures = _pairs(
                    records.workspace.score(score.name).parent / name, score.pictures[name], score.memorization
                )
                title = f"{gan_label(key.aug)}, {subset_title(key.subset, records.subset_keys())}"
                shown.append(Pairs(title, pictures, score.memorization.verdict != "none"))
    return shown, problems


def _pairs(path: Path, sha256: str, copying: Memorization) -> list[Picture]:
    if not path.is_file() or files.sha256_file(path) != sha256:
        raise DataError(f"{path} is not there, or not the picture that was recorded.")
    limits = {"features": copying.train_features.threshold, "pixels": copying.train_pixels.threshold}
    sheet = codec.decode(path, 3)
    size = (sheet.shape[1] - 2) // 2
    if sheet.shape[2] != len(copying.closest) * (size + 2) - 2:
        raise DataError(f"{path} does not hold the {len(copying.closest)} pairs of its record.")
    columns = [sheet[:, :, i * (size + 2) :][:, :, :size] for i in range(PAIRS)]
    return [
        _pair(pair, limits[pair.nearest_by], column, size)
        for pair, column in zip(copying.closest, columns, strict=False)
    ]


def _pair(pair: NearestPair, limit: float, column: Pixels, size: int) -> Picture:
    """Return the upper and the lower image of a column side by side."""
    side = min(size, PAIR_SIZE)
    both = [codec.fit(column[:, top : top + size], side) for top in (0, size + 2)]
    digits = 2 if limit < 10 else 1
    title = f"{number(pair.distance, digits)} by {pair.nearest_by} (limit {number(limit, digits)})"
    alt = f"Generated image {pair.generated} beside its nearest training image {pair.train}, distance {title}."
    return _encode(title, alt, _image(codec.sheet([both], background=128)))
