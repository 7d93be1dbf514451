"""What a source folder holds: its classes, its images in a stable order, and what is left out and why.

Two layouts are understood. In class folders each folder inside the source is a class. BUSI's own release (Al-Dhabyani
et al., Data in Brief 28, 104863, 2020) is the same with the lesion masks beside the images: `benign (1).png`,
`benign (1)_mask.png`, `benign (1)_mask_1.png`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from usgan_cli.core.errors import DataError
from usgan_cli.core.images import IMAGE_SUFFIXES
from usgan_cli.core.manifest import LeftOut

Layout = Literal["class folders", "BUSI with masks", "phantoms"]

PHANTOMS = "phantoms.json"
"""What `usgan phantom` leaves beside the class folders of its images."""

_OWN_RECORDS = frozenset({PHANTOMS, "run.json"})

MASK = "mask"
MASK_WITHOUT_IMAGE = "named like a mask, but its image is absent"
NOT_AN_IMAGE = "not an image file"
HIDDEN = "hidden file"
NESTED = "folder inside a class folder"
NO_CLASS = "not in a class folder"

_MASK_STEM = re.compile(r"(?P<image>.+)_mask(_\d+)?", re.IGNORECASE)
_ARCHIVE_DEBRIS = frozenset({"__MACOSX"})
_LAYOUT_HINT = "A source is a folder with one folder of images per class: SOURCE/benign/*.png, SOURCE/malignant/*.png."


@dataclass(frozen=True)
class SourceImage:
    """One image of the source."""

    path: Path
    relative: str
    """Path relative to the source's root, with forward slashes."""
    class_: str


@dataclass(frozen=True)
class Source:
    """What was found in a source folder.

    Attributes
    ----------
    root : Path
        The folder whose folders are the classes: the one given, or the only folder inside it.
    layout : str
    classes : tuple of str
        Names of the class folders, sorted.
    images : tuple of SourceImage
        By class, then in natural order of the file names.
    left_out : tuple of LeftOut
    """

    root: Path
    layout: Layout
    classes: tuple[str, ...]
    images: tuple[SourceImage, ...]
    left_out: tuple[LeftOut, ...]

    def count_left_out(self, reason: str) -> int:
        """Return how many files were left out for `reason`."""
        return sum(item.reason == reason for item in self.left_out)


def natural_key(name: str) -> tuple[list[int | str], str]:
    """Return a sort key that puts `benign (2)` before `benign (10)`; names equal but for case keep one order."""
    pieces = re.split(r"(\d+)", name)
    return [int(piece) if i % 2 else piece.casefold() for i, piece in enumerate(pieces)], name


def scan(source: Path, exclude: Path | None = None) -> Source:
    """Find the classes and images of a source folder.

    Parameters
    ----------
    source : Path
        A folder of class folders, or a folder whose only folder is one.
    exclude : Path, optional
        A path that may lie inside the source without belonging to it (where the result is written).

    Returns
    -------
    Source

    Raises
    ------
    DataError
        There is no such folder, it is not laid out as classes, it has fewer than two of them, or one is empty.
    """
    root = _enter(_existing_folder(source), exclude)
    folders, left_out = _class_folders(root, exclude)
    images: list[SourceImage] = []
    for folder in folders:
        found, rejected = _scan_class(folder)
        images += found
        left_out += rejected
    layout: Layout = "class folders"
    if (root / PHANTOMS).is_file():
        layout = "phantoms"
    elif any(item.reason == MASK for item in left_out):
        layout = "BUSI with masks"
    return Source(
        root,
        layout,
        tuple(folder.name for folder in folders),
        tuple(images),
        tuple(left_out),
    )


def _existing_folder(source: Path) -> Path:
    if not source.exists():
        raise DataError(f"There is no folder {source}.", _LAYOUT_HINT)
    if not source.is_dir():
        hint = "Unpack it first, then name the folder." if source.suffix in {".zip", ".tar", ".gz"} else _LAYOUT_HINT
        raise DataError(f"{source} is a file, not a folder.", hint)
    return source


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name in _ARCHIVE_DEBRIS


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not _is_hidden(path) and path.is_file()


def _subfolders(folder: Path, exclude: Path | None) -> list[Path]:
    """Return the folders inside that may mean something, sorted by name."""
    found = sorted(
        (entry for entry in folder.iterdir() if entry.is_dir() and not _is_hidden(entry)), key=lambda p: p.name
    )
    if exclude is None:
        return found
    for entry in found:
        if exclude.resolve().is_relative_to(entry.resolve()) and _has_images(entry):
            raise DataError(
                f"{exclude} lies in the class folder {entry}.", "Choose a --work or --out outside the images."
            )
    return [entry for entry in found if not exclude.resolve().is_relative_to(entry.resolve())]


def _has_images(folder: Path) -> bool:
    return any(_is_image(entry) for entry in folder.iterdir())


def _enter(folder: Path, exclude: Path | None) -> Path:
    """Follow a chain of only folders down to the one that holds the class folders, as archives often unpack."""
    inside = _subfolders(folder, exclude)
    while len(inside) == 1 and not _has_images(folder) and not _has_images(inside[0]):
        folder = inside[0]
        inside = _subfolders(folder, exclude)
    return folder


def _class_folders(root: Path, exclude: Path | None) -> tuple[list[Path], list[LeftOut]]:
    """Return the class folders, checked, and the files beside them."""
    folders = _subfolders(root, exclude)
    if not folders:
        what = "holds images, but no class folders" if _has_images(root) else "holds no class folders"
        raise DataError(f"{root} {what}.", _LAYOUT_HINT)
    for folder in folders:
        if _has_images(folder):
            continue
        if any(_has_images(inner) for inner in _subfolders(folder, None)):
            raise DataError(
                f"The folder {folder} holds folders of images, not images.",
                "If these are train and test folders, name a single folder of classes: usgan makes its own split.",
            )
        raise DataError(
            f"The class folder {folder} holds no images.", "Put images in it, or move it out of the source."
        )
    if len(folders) < 2:
        raise DataError(f"{root} has one class, {folders[0].name!r}; two or more are needed.", _LAYOUT_HINT)
    own = _OWN_RECORDS if (root / PHANTOMS).is_file() else frozenset()
    files = (entry for entry in root.iterdir() if entry.is_file() and entry.name not in own)
    beside = sorted(files, key=lambda path: natural_key(path.name))
    return folders, [LeftOut(source=entry.name, reason=HIDDEN if _is_hidden(entry) else NO_CLASS) for entry in beside]


def _scan_class(folder: Path) -> tuple[list[SourceImage], list[LeftOut]]:
    """Return the images of one class folder in natural order, and what is in it besides."""
    entries = sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
    stems = {entry.stem for entry in entries if _is_image(entry)}
    images: list[SourceImage] = []
    left_out: list[LeftOut] = []
    for entry in entries:
        relative = f"{folder.name}/{entry.name}"
        reason = _reason_to_leave_out(entry, stems)
        if reason is None:
            images.append(SourceImage(entry, relative, folder.name))
        else:
            left_out.append(LeftOut(source=relative, reason=reason))
    if not images:
        raise DataError(
            f"The class folder {folder} holds masks, but no images.",
            "Put the images beside their masks, or move the folder out of the source.",
        )
    return images, left_out


def _reason_to_leave_out(entry: Path, stems: set[str]) -> str | None:
    if _is_hidden(entry):
        return HIDDEN
    if entry.is_dir():
        return NESTED
    if not _is_image(entry):
        return NOT_AN_IMAGE
    mask = _MASK_STEM.fullmatch(entry.stem)
    if mask is None:
        return None
    return MASK if mask["image"] in stems else MASK_WITHOUT_IMAGE
