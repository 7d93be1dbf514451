"""MedMNIST's .npz files (Yang et al., Scientific Data 10, 41, 2023): arrays of images with labels and a split.

`train_images`, `val_images` and `test_images` are uint8 of shape [N, H, W] or [N, H, W, 3] at any size, the labels
integers of shape [N, 1]. Class names come from the table of the `medmnist` package where it is installed. Images are
read from the archive one after another, so that memory does not grow with their number.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.errors import DataError
from usgan_cli.core.formats.dataset import LeftOut
from usgan_cli.core.images.codec import MAX_PIXELS, Pixels
from usgan_cli.data.source.classes import NOT_CHOSEN, pick_classes, sides_of
from usgan_cli.data.source.contents import ImageSource, SourceImage, SourceOptions, in_order

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")

_HINT = "A MedMNIST file holds train_images, train_labels and the same for val and test."
_NAME = re.compile(r"(?P<dataset>[a-z0-9]+mnist(3d)?)(_\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Arrays:
    """What a file holds, without the pixels."""

    path: Path
    labels: dict[Part, NDArray[np.int64]]
    """Labels [N] of the images of each part in the file."""
    names: dict[int, str]
    """Name of each label that occurs."""


def looks_like(path: Path) -> bool:
    """Return whether a file is an archive of arrays with training images."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "train_images.npy" in archive.namelist()
    except (zipfile.BadZipFile, OSError, UnicodeDecodeError, NotImplementedError):
        return False


def scan(path: Path, options: SourceOptions) -> ImageSource:
    """List the images of a file of arrays (see `scan.scan`)."""
    options.refuse_class_level(path)
    arrays = open_arrays(path)
    classes = pick_classes(list(arrays.names.values()), options.classes, str(path), hint="")
    sides = sides_of(arrays.labels) or {}
    images: list[SourceImage] = []
    left_out: list[LeftOut] = []
    for part, labels in arrays.labels.items():
        for i, label in enumerate(labels.tolist()):
            name = f"{part}/{i}"
            if (class_ := arrays.names[label]) in classes:
                images.append(SourceImage(name, name, class_, sides.get(part)))
            else:
                left_out.append(LeftOut(source=name, reason=NOT_CHOSEN))
    ordered = in_order(images, classes)
    read = partial(iterate, arrays)
    return ImageSource(path, "medmnist", "MedMNIST", classes, ordered, tuple(left_out), archive=path, arrays=read)


def open_arrays(path: Path) -> Arrays:
    """Read the labels of a file and check the shapes of its images: no volumes, one label each."""
    labels: dict[Part, NDArray[np.int64]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
            for part in PARTS:
                images_in, labels_in = f"{part}_images.npy", f"{part}_labels.npy"
                if images_in not in members and labels_in not in members:
                    continue
                if images_in not in members or labels_in not in members:
                    raise DataError(f"{path} has one of {part}_images and {part}_labels, but not the other.", _HINT)
                with archive.open(images_in) as member:
                    shape = _check_images(path, part, member)
                with archive.open(labels_in) as member:
                    array = np.lib.format.read_array(member, allow_pickle=False)
                    labels[part] = _check_labels(path, part, array, shape)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError):
        raise DataError(f"{path} cannot be read as an .npz file of arrays.", _HINT) from None
    if "train" not in labels:
        raise DataError(f"{path} has no train_images.", _HINT)
    present = sorted({int(label) for values in labels.values() for label in np.unique(values)})
    known = _known_names(path.stem)
    return Arrays(path, labels, {label: known.get(label, str(label)) for label in present})


def iterate(arrays: Arrays) -> Iterator[tuple[str, Pixels]]:
    """Yield the name ("train/0") and the pixels ([H, W] or [H, W, 3]) of every image in the file's order."""
    try:
        with zipfile.ZipFile(arrays.path) as archive:
            for part in arrays.labels:
                with archive.open(f"{part}_images.npy") as member:
                    shape, fortran, dtype = _header(member)
                    if fortran:
                        rows = np.frombuffer(member.read(), dtype).reshape(shape, order="F")
                        yield from ((f"{part}/{i}", np.ascontiguousarray(row)) for i, row in enumerate(rows))
                        continue
                    size = int(np.prod(shape[1:]))
                    for i in range(shape[0]):
                        row = np.frombuffer(member.read(size), dtype)
                        yield f"{part}/{i}", row.reshape(shape[1:])
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError):
        raise DataError(f"{arrays.path} is damaged or cut short.", "Check that it was downloaded whole.") from None


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(member)
    return shape, fortran, dtype


def _check_images(path: Path, part: Part, member: IO[bytes]) -> tuple[int, ...]:
    shape, _, dtype = _header(member)
    if dtype != np.uint8:
        raise DataError(f"{path}: {part}_images is of type {dtype}, not uint8.", _HINT)
    if len(shape) == 4 and shape[3] not in {1, 3}:
        raise DataError(f"{path}: {part}_images holds volumes (shape {shape}); images are needed.")
    if len(shape) not in {3, 4} or 0 in shape[1:]:
        raise DataError(f"{path}: {part}_images has the shape {shape}, not [N, H, W] or [N, H, W, 3].", _HINT)
    if shape[1] * shape[2] > MAX_PIXELS:
        raise DataError(
            f"{path}: the images of {part}_images are {shape[1]} x {shape[2]} pixels, too large to be real."
        )
    return shape


def _check_labels(path: Path, part: Part, labels: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.int64]:
    if labels.ndim == 2 and labels.shape[1] != 1:
        raise DataError(f"{path}: an image of {part} has {labels.shape[1]} labels; usgan needs one class per image.")
    if labels.dtype.kind not in "iub" or labels.size != shape[0] or labels.ndim > 2:
        raise DataError(f"{path}: {part}_labels is not one whole number for each of the {shape[0]} images.", _HINT)
    return labels.reshape(-1).astype(np.int64)


def _known_names(stem: str) -> dict[int, str]:
    """Return the class names of a dataset by label; empty for an unknown file name or without the package."""
    name = _NAME.match(stem)
    table = _package_table()
    if name is None or table is None:
        return {}
    labels = table.get(name["dataset"].casefold(), {}).get("label", {})
    return {int(number): str(name) for number, name in labels.items()}


def _package_table() -> dict[str, dict[str, dict[str, str]]] | None:
    # The table alone is loaded: the package around it would load torch, and prints where something is missing.
    package = importlib.util.find_spec("medmnist")
    if package is None or not package.submodule_search_locations:
        return None
    path = Path(package.submodule_search_locations[0]) / "info.py"
    spec = importlib.util.spec_from_file_location("medmnist.info", path)
    if not path.is_file() or spec is None or spec.loader is None:
        return None
    module: ModuleType = sys.modules.get("medmnist.info") or importlib.util.module_from_spec(spec)
    if not hasattr(module, "INFO"):
        spec.loader.exec_module(module)
    table: dict[str, dict[str, dict[str, str]]] = module.INFO
    return table
