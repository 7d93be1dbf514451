"""Folders of images without a manifest: one subfolder per class, or all images in one folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from usgan_cli.core.errors import DataError, MissingError
from usgan_cli.core.images.codec import IMAGE_SUFFIXES, Picture, read_picture
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.store import files

NAMED_FILES = 5


def load_folders(folders: Sequence[Path]) -> list[ImageSet]:
    """Load folders of images to be compared, each in the order of its paths.

    If any image is coloured, all become colour, otherwise all become gray. An image's class is the first folder on the
    way to it; images in the folder itself form one class. All images of a folder must have one size.
    """
    paths = [_paths(folder) for folder in folders]
    pictures = [[read_picture(path, 1) for path in listed] for listed in paths]
    if any(picture.coloured for group in pictures for picture in group):
        pictures = [[read_picture(path, 3) for path in listed] for listed in paths]
    return [_image_set(folder, listed, group) for folder, listed, group in zip(folders, paths, pictures, strict=True)]


def content_digest(images: ImageSet) -> str:
    """Return the SHA-256 of a set's pixels, classes and file names."""
    labels = [images.classes[label] for label in images.labels]
    pixels = files.sha256_bytes(images.pixels.tobytes())
    return files.digest_json([list(images.pixels.shape), pixels, labels, list(images.files)])


def _paths(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise MissingError(f"The folder {folder} does not exist.")
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not paths:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(f"The folder {folder} holds no images ({kinds}).")
    return paths


def _image_set(folder: Path, paths: list[Path], pictures: list[Picture]) -> ImageSet:
    sizes = [picture.pixels.shape[1:] for picture in pictures]
    (usual, _), *others = Counter(sizes).most_common()
    if others:
        odd = [path for path, size in zip(paths, sizes, strict=True) if size != usual]
        examples = ", ".join(str(path.relative_to(folder)) for path in odd[:NAMED_FILES])
        more = f" and {len(odd) - NAMED_FILES} more" if len(odd) > NAMED_FILES else ""
        raise DataError(
            f"Sizes differ in {folder}: most images have {usual[0]} x {usual[1]} pixels (rows x columns), but not "
            f"{examples}{more}.",
            "Bring them to one size first, all in the same way, as `usgan prepare` does.",
        )
    names = [path.relative_to(folder) for path in paths]
    of_image = [name.parts[0] if len(name.parts) > 1 else "all" for name in names]
    classes = tuple(sorted(set(of_image)))
    return ImageSet(
        folder.resolve().name,
        np.stack([picture.pixels for picture in pictures]),
        np.array([classes.index(name) for name in of_image], dtype=np.int64),
        classes,
        tuple(name.as_posix() for name in names),
        np.arange(len(paths), dtype=np.int64),
    )
