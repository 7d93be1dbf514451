"""Sets of images in memory, loaded by their manifest and checked against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.errors import DataError
from usgan_cli.core.formats.dataset import DataImage, DataManifest, read_manifest
from usgan_cli.core.formats.external import ExternalImage, ExternalManifest, read_external
from usgan_cli.core.formats.synthetic import read_synthetic_manifest
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.generated import read_pixels


@dataclass(frozen=True)
class ImageSet:
    """Images with labels."""

    name: str
    """For messages and records ("test", "diffaug-n100-s0")."""
    pixels: Pixels
    """Of shape [N, C, H, W]."""
    labels: NDArray[np.int64]
    """Index into `classes` of each image, shape [N]."""
    classes: tuple[str, ...]
    files: tuple[str, ...]
    """Path of each image relative to its folder."""
    groups: NDArray[np.int64]
    """Images of one group must stay on one side of every split; every generated image has its own group. Shape [N]."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64], name: str | None = None) -> ImageSet:
        """Return the images at `indices`, in that order."""
        return ImageSet(
            name or self.name,
            self.pixels[indices],
            self.labels[indices],
            self.classes,
            tuple(self.files[i] for i in indices),
            self.groups[indices],
        )

    def class_counts(self) -> dict[str, int]:
        """Return the number of images of each class."""
        return {name: int((self.labels == i).sum()) for i, name in enumerate(self.classes)}


def load_listed(folder: Path, manifest: DataManifest, listed: Sequence[DataImage], name: str) -> ImageSet:
    """Load images that the manifest of a prepared dataset lists, and check their digests."""
    if not listed:
        raise DataError(f"The set {name!r} of {folder} has no images.")
    return _load(folder, manifest, listed, name, [image.group for image in listed])


def _load(
    folder: Path,
    manifest: DataManifest | ExternalManifest,
    listed: Sequence[DataImage | ExternalImage],
    name: str,
    groups: Sequence[int],
) -> ImageSet:
    return ImageSet(
        name,
        np.stack([codec.read_checked(folder / i.file, i.sha256, manifest.channels) for i in listed]),
        np.array([manifest.classes.index(i.class_) for i in listed], dtype=np.int64),
        tuple(manifest.classes),
        tuple(i.file for i in listed),
        np.array(groups, dtype=np.int64),
    )


def load_split(folder: Path, split: Literal["train", "test"]) -> ImageSet:
    """Load one side of the split of a prepared dataset."""
    manifest = read_manifest(folder)
    return load_listed(folder, manifest, manifest.of(split), split)


def load_external(folder: Path, manifest: ExternalManifest | None = None) -> ImageSet:
    """Load an external test set, named as it is; by default by the manifest in its folder."""
    manifest = manifest or read_external(folder)
    return _load(folder, manifest, manifest.images, manifest.name, range(len(manifest.images)))


def load_synthetic(folder: Path, count: int | None = None) -> ImageSet:
    """Load generated images, the first `count` in their fixed order."""
    manifest = read_synthetic_manifest(folder)
    if count is not None and count > len(manifest.images):
        raise DataError(
            f"{folder} holds {len(manifest.images)} generated images; {count} are needed.",
            f"Make more: usgan generate --count {count} --force (with the same --aug --n --seed)",
        )
    listed = manifest.images[:count]
    return ImageSet(
        manifest.gan_name,
        read_pixels(folder, manifest, count),
        np.array([manifest.classes.index(i.class_) for i in listed], dtype=np.int64),
        tuple(manifest.classes),
        tuple(i.file for i in listed),
        np.arange(len(listed), dtype=np.int64),
    )
