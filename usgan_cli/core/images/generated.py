"""Folders of generated images, written and read: PNG files by class, one zip, or one NumPy file.

`png`: `<class>/seed00000000.png`, the folders as `core.names` calls them. `zip`: `images.zip` with uncompressed members
`00000/img00000000.png` and `dataset.json`, `{"labels": [["00000/img00000000.png", 0], ...]}`, as the original
StyleGAN2-ADA trainers read it.
`npz`: `images.npz` with the arrays `images` (uint8, [N, H, W] or [N, H, W, 3]), `labels` (int64, [N]), `class_names`
and `seeds` (int64, [N]). Equal images give equal bytes.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from usgan_cli.core.errors import DamagedError
from usgan_cli.core.formats.synthetic import SyntheticFormat, SyntheticImage, SyntheticManifest
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.names import folder_names
from usgan_cli.core.store import files
from usgan_cli.core.store.remedy import remedy

ZIP, NPZ = "images.zip", "images.npz"
ZIP_DATE = (1980, 1, 1, 0, 0, 0)


class Writer(Protocol):
    """Writes generated images one by one."""

    def add(self, pixels: Pixels, label: int, seed: int) -> SyntheticImage:
        """Write pixels [C, H, W]; return their entry in the manifest."""


@contextmanager
def open_writer(
    folder: Path, form: SyntheticFormat, classes: Sequence[str], count: int, shape: tuple[int, int, int]
) -> Iterator[Writer]:
    """Yield a writer of `count` images of `shape` (C, H, W); the files are complete when the block has ended."""
    if form == "png":
        yield _PngWriter(folder, classes, folder_names(classes))
    elif form == "npz":
        arrays = _NpzWriter(classes, count, shape)
        yield arrays
        arrays.save(folder / NPZ)
    else:
        with zipfile.ZipFile(folder / ZIP, "w", zipfile.ZIP_STORED) as archive:
            members = _ZipWriter(archive, classes)
            yield members
            members.save_labels()


@dataclass(frozen=True)
class _PngWriter:
    folder: Path
    classes: Sequence[str]
    folders: dict[str, str]

    def add(self, pixels: Pixels, label: int, seed: int) -> SyntheticImage:
        name = self.classes[label]
        own = self.folders[name]
        file = f"{own}/seed{seed:08d}.png"
        data = codec.encode_png(pixels)
        (self.folder / own).mkdir(exist_ok=True)
        (self.folder / file).write_bytes(data)
        return _entry(file, name, seed, data)


@dataclass(frozen=True)
class _ZipWriter:
    archive: zipfile.ZipFile
    classes: Sequence[str]
    labels: list[tuple[str, int]] = field(default_factory=list)

    def add(self, pixels: Pixels, label: int, seed: int) -> SyntheticImage:
        number = f"{len(self.labels):08d}"
        file = f"{number[:5]}/img{number}.png"
        data = codec.encode_png(pixels)
        self.archive.writestr(zipfile.ZipInfo(file, ZIP_DATE), data)
        self.labels.append((file, label))
        return _entry(f"{ZIP}/{file}", self.classes[label], seed, data)

    def save_labels(self) -> None:
        self.archive.writestr(zipfile.ZipInfo("dataset.json", ZIP_DATE), json.dumps({"labels": self.labels}))


class _NpzWriter:
    def __init__(self, classes: Sequence[str], count: int, shape: tuple[int, int, int]) -> None:
        channels, height, width = shape
        self.classes = classes
        self.images = np.empty([count, height, width] if channels == 1 else [count, height, width, channels], np.uint8)
        self.labels: list[int] = []
        self.seeds: list[int] = []

    def add(self, pixels: Pixels, label: int, seed: int) -> SyntheticImage:
        index = len(self.labels)
        self.images[index] = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
        self.labels.append(label)
        self.seeds.append(seed)
        return _entry(f"{NPZ}/{index}", self.classes[label], seed, self.images[index].tobytes())

    def save(self, path: Path) -> None:
        arrays: dict[str, Any] = {
            "images": self.images,
            "labels": np.array(self.labels, dtype=np.int64),
            "class_names": np.array(self.classes, dtype=np.str_),
            "seeds": np.array(self.seeds, dtype=np.int64),
        }
        np.savez(path, **arrays)


def _entry(file: str, name: str, seed: int, data: bytes) -> SyntheticImage:
    return SyntheticImage.model_validate(
        {"file": file, "class": name, "seed": seed, "sha256": files.sha256_bytes(data)}
    )


def read_pixels(folder: Path, manifest: SyntheticManifest, count: int | None = None) -> Pixels:
    """Read the first `count` images of a folder in any format, [N, C, H, W], and check their digests."""
    listed = manifest.images[:count]
    if manifest.form == "png":
        return np.stack([codec.read_checked(folder / i.file, i.sha256, manifest.channels) for i in listed])
    path = folder / (ZIP if manifest.form == "zip" else NPZ)
    read = _read_zip if manifest.form == "zip" else _read_npz
    try:
        with files.naming(path):
            return read(path, manifest.channels, listed)
    except FileNotFoundError:
        raise DamagedError(f"{path} is missing, although its manifest is there.", remedy(path)) from None
    except DamagedError:
        raise
    except Exception as error:  # archives and arrays raise anything where they are damaged
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DamagedError(
            f"{path} cannot be read: {str(error).partition(chr(10))[0] or 'damaged'}.", remedy(path)
        ) from None


def _read_zip(path: Path, channels: int, listed: Sequence[SyntheticImage]) -> Pixels:
    with zipfile.ZipFile(path) as archive:
        members = [_checked(archive.read(image.file.removeprefix(f"{ZIP}/")), image, path) for image in listed]
    return np.stack([codec.decode_png(data, channels) for data in members])


def _read_npz(path: Path, channels: int, listed: Sequence[SyntheticImage]) -> Pixels:
    with np.load(path, allow_pickle=False) as arrays:
        pixels: Pixels = arrays["images"][: len(listed)]
    if len(pixels) < len(listed) or pixels.dtype != np.uint8:
        raise DamagedError(f"{path} does not hold what its manifest lists.", remedy(path))
    for row, image in zip(pixels, listed, strict=True):
        _checked(row.tobytes(), image, path)
    return pixels[:, None] if channels == 1 else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def _checked(data: bytes, image: SyntheticImage, path: Path) -> bytes:
    if files.sha256_bytes(data) != image.sha256:
        raise DamagedError(f"{path.parent / image.file} has changed since its manifest was written.", remedy(path))
    return data
