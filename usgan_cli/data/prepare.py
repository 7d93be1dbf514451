"""From a folder of images to the prepared dataset: one size, one number of channels, a split that can be trusted.

The split of the study this toolkit implements is 280 test images of BUSI's 780, stratified by class (Maack, Holstein,
Schlaefer, Current Directions in Biomedical Engineering 8(1), 2022, doi 10.1515/cdbme-2022-0005).
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core import images
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.manifest import DataImage, DataManifest, LeftOut
from usgan_cli.core.progress import Progress
from usgan_cli.data import sources
from usgan_cli.data.duplicates import Duplicates, find_duplicates, pixel_digest
from usgan_cli.data.sources import Source, SourceImage
from usgan_cli.data.split import largest_remainder, stratified_group_split

UNDECODABLE = "cannot be decoded as an image"

_NAMED_AT_MOST = 10
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class PrepareConfig:
    """Settings of the prepared dataset.

    Attributes
    ----------
    size : int
        Height and width, pixels: a power of two from 16 to 1024, as StyleGAN2 needs.
    channels : 1 or 3
    test : int or float
        Test images: a whole number is a count, a fraction between 0 and 1 is a share of all images.
    seed : int
        Seed of the split, at least 0.
    """

    size: int = 256
    channels: Literal[1, 3] = 1
    test: int | float = 280 / 780
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size not in {16, 32, 64, 128, 256, 512, 1024}:
            raise SettingsError(f"The size {self.size} is not a power of two from 16 to 1024.")
        if self.channels not in {1, 3}:
            raise SettingsError(f"The number of channels is 1 or 3, not {self.channels}.")
        if isinstance(self.test, int) and self.test < 1:
            raise SettingsError(f"The test side needs at least one image, not {self.test}.")
        if isinstance(self.test, float) and not 0 < self.test < 1:
            raise SettingsError(
                f"A share of test images lies between 0 and 1, not {self.test}; a count is a whole number."
            )
        if self.seed < 0:
            raise SettingsError(f"A seed is at least 0, not {self.seed}.")

    def test_count(self, total: int) -> int:
        """Return the number of test images among `total`."""
        return self.test if isinstance(self.test, int) else round(self.test * total)


@dataclass(frozen=True)
class _Decoded:
    """An image of the source that was written to the dataset."""

    source: SourceImage
    file: str
    sha256: str
    pixels: str
    """Digest of the pixels at their original size."""


def prepare(
    config: PrepareConfig, source: Path, target: Path, progress: Progress, workers: int | None = None
) -> DataManifest:
    """Write `target/images/<class>/*.png` and `target/manifest.json` from a folder of class folders.

    Images are decoded, made gray (or RGB) and stretched to a square with Lanczos' filter. Exact copies are found
    before resizing and kept on one side of the split.

    Parameters
    ----------
    config : PrepareConfig
    source : Path
        Class folders, or BUSI's release with masks (see `sources.scan`).
    target : Path
        An empty folder, or one to be made.
    progress : Progress
        Hears what was left out and which duplicates were found.
    workers : int, optional
        Threads; the result does not depend on it. Default: one per core, up to 16.

    Returns
    -------
    DataManifest

    Raises
    ------
    DataError
        The source can't be used (see `sources.scan`), no image of a class can be decoded, or a side of the split
        would lack a class.
    """
    found = sources.scan(source, exclude=target)
    decoded, undecodable = _decode_all(config, found, target, progress, workers)
    counts = np.array([sum(item.source.class_ == name for item in decoded) for name in found.classes])
    _check_classes(found, counts, undecodable)
    _tell_left_out(found, undecodable, progress)

    labels = np.array([found.classes.index(item.source.class_) for item in decoded], dtype=np.int64)
    duplicates = find_duplicates([item.pixels for item in decoded], labels.tolist())
    _tell_duplicates(duplicates, decoded, progress)

    wanted = config.test_count(len(decoded))
    in_test = stratified_group_split(labels, duplicates.groups, wanted, config.seed)
    _check_split(labels, in_test, wanted, found.classes, progress)

    manifest = DataManifest(
        classes=list(found.classes),
        size=config.size,
        channels=config.channels,
        layout=found.layout,
        resampling="lanczos",
        fit="stretch",
        test_share=wanted / len(decoded),
        seed=config.seed,
        images=[
            DataImage(
                file=item.file,
                class_=item.source.class_,
                split="test" if test else "train",
                group=int(group),
                sha256=item.sha256,
                source=item.source.relative,
            )
            for item, test, group in zip(decoded, in_test, duplicates.groups, strict=True)
        ],
        left_out=[*found.left_out, *undecodable],
        duplicates=[[decoded[i].file for i in group] for group in duplicates.repeated],
        conflicts=[[decoded[i].file for i in group] for group in duplicates.conflicts],
    )
    manifest.write(target / "manifest.json")
    return manifest


def safe_name(name: str) -> str:
    """Return `name` with nothing but ASCII letters, digits, `-`, `_` and `.`: `benign (1)` becomes `benign-1`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return _UNSAFE.sub("-", plain).strip("-.")[:100] or "image"


def unique_names(names: Iterable[str]) -> list[str]:
    """Return safe names, each different from the others even where case is ignored; later ones get `-2`, `-3`..."""
    taken: set[str] = set()
    result: list[str] = []
    for name in names:
        base = candidate = safe_name(name)
        number = 1
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{base}-{number}"
        taken.add(candidate.casefold())
        result.append(candidate)
    return result


def _target_files(found: Source) -> list[str]:
    """Return where each image of the source goes, relative to the dataset's folder."""
    folders = dict(zip(found.classes, unique_names(found.classes), strict=True))
    files: list[str] = []
    for name in found.classes:
        stems = unique_names(PurePosixPath(image.relative).stem for image in found.images if image.class_ == name)
        files += [f"images/{folders[name]}/{stem}.png" for stem in stems]
    return files


def _decode_all(
    config: PrepareConfig, found: Source, target: Path, progress: Progress, workers: int | None
) -> tuple[list[_Decoded], list[LeftOut]]:
    """Write every image that can be decoded; return those, in the source's order, and the others."""

    def convert(item: tuple[SourceImage, str]) -> _Decoded | LeftOut:
        image, file = item
        try:
            pixels = images.decode(image.path, config.channels)
        except DataError:
            return LeftOut(source=image.relative, reason=UNDECODABLE)
        sha256 = images.write_png(target / file, images.resize(pixels, config.size))
        return _Decoded(image, file, sha256, pixel_digest(pixels))

    decoded: list[_Decoded] = []
    undecodable: list[LeftOut] = []
    workers = workers or min(16, os.cpu_count() or 1)
    items = list(zip(found.images, _target_files(found), strict=True))
    with (
        ThreadPoolExecutor(workers) as pool,
        progress.task("Preparing images", len(items), "images") as task,
    ):
        for result in pool.map(convert, items):
            if isinstance(result, LeftOut):
                undecodable.append(result)
            else:
                decoded.append(result)
            task.advance()
    return decoded, undecodable


def _check_classes(found: Source, counts: NDArray[np.int64], undecodable: Sequence[LeftOut]) -> None:
    for name, count in zip(found.classes, counts, strict=True):
        if count == 0:
            bad = next(item.source for item in undecodable if item.source.startswith(f"{name}/"))
            raise DataError(
                f"No image of the class {name!r} in {found.root} can be decoded (the first: {bad}).",
                "Check that the files are whole images, not pointers or broken downloads.",
            )


def _tell_left_out(found: Source, undecodable: Sequence[LeftOut], progress: Progress) -> None:
    masks = found.count_left_out(sources.MASK)
    if masks:
        progress.note(f"Left out {_plural(masks, 'mask')} found beside the images.")
    others = [item for item in found.left_out if item.reason not in {sources.MASK, sources.HIDDEN}]
    for reason in dict.fromkeys(item.reason for item in others):
        files = [item.source for item in others if item.reason == reason]
        # Someone may believe these to be in the dataset; a text file they will not.
        tell = progress.note if reason == sources.NOT_AN_IMAGE else progress.warn
        tell(f"Left out {_plural(len(files), 'entry', 'entries')} ({reason}): {_listed(files)}.")
    if undecodable:
        files = [item.source for item in undecodable]
        progress.warn(f"Left out {_plural(len(files), 'file')} that cannot be decoded: {_listed(files)}.")


def _tell_duplicates(duplicates: Duplicates, decoded: Sequence[_Decoded], progress: Progress) -> None:
    if not duplicates.repeated:
        return
    files = sum(len(group) for group in duplicates.repeated)
    pictures = _plural(len(duplicates.repeated), "picture occurs", "pictures occur")
    progress.warn(
        f"{pictures} more than once ({files} files with exactly the same pixels). "
        "The copies were kept on one side of the split."
    )
    if duplicates.conflicts:
        named = _listed([" = ".join(decoded[i].source.relative for i in group) for group in duplicates.conflicts], "; ")
        stand = _plural(len(duplicates.conflicts), "of these stands", "of these stand")
        progress.warn(f"{stand} under more than one class, so a label is wrong: {named}.")


def _check_split(
    labels: NDArray[np.int64],
    in_test: NDArray[np.bool_],
    wanted: int,
    classes: Sequence[str],
    progress: Progress,
) -> None:
    """Say how the images were split; warn where groups prevented exact shares; refuse a side without a class."""
    total = np.bincount(labels, minlength=len(classes))
    test = np.bincount(labels[in_test], minlength=len(classes))
    for name, n_test, n_train in zip(classes, test, total - test, strict=True):
        if n_test == 0 or n_train == 0:
            side = "test" if n_test == 0 else "training"
            raise DataError(
                f"With {wanted} of {len(labels)} images for testing, the {side} side has none of the class {name!r}.",
                "Choose another number of test images, or give the class more images.",
            )
    share = ", ".join(f"{name} {a}/{b}" for name, a, b in zip(classes, total - test, test, strict=True))
    progress.note(
        f"{_plural(len(labels), 'image')}: {len(labels) - test.sum()} for training, {test.sum()} for testing ({share})."
    )
    exact = largest_remainder(total, wanted)
    if (test != exact).any():
        got, meant = (", ".join(f"{name} {n}" for name, n in zip(classes, x, strict=True)) for x in (test, exact))
        progress.warn(
            f"Copies that must stay together prevent the exact split: the test side has {got} instead of {meant}."
        )


def _plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _listed(names: Sequence[str], separator: str = ", ") -> str:
    shown = separator.join(names[:_NAMED_AT_MOST])
    return shown if len(names) <= _NAMED_AT_MOST else f"{shown}{separator}and {len(names) - _NAMED_AT_MOST} more"
