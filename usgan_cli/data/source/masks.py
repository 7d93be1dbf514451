"""Which images are masks of others: by their names, by the images beside them, and by their gray values.

Datasets of lesions come with their outlines as images: `benign (1)_mask.png` (BUSI), `case001_tumor.png` (BrEaST),
`000_HC_Annotation.png` (HC18), a folder `masks` beside a folder `images`. A word alone proves nothing, so words other
than mask need an image of the name before them and gray values like a mask's; and an image of two gray values among
others of its size is a mask whatever its name is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from usgan_cli.core.images.codec import Pixels

MASK = "mask"
MASK_WITHOUT_IMAGE = "named like a mask, but its image is absent"
MASK_BY_CONTENT = "a mask, by its two gray values"

IMAGE_FOLDERS = frozenset({"image", "images", "img", "imgs"})
_MASK_FOLDERS = frozenset({"mask", "masks"})

_NAMED_MASK = re.compile(r".+_mask(_\d+)?", re.IGNORECASE)
_OUTLINE_WORDS = (
    "segs?|segm|segmentations?|segmented|labels?|gts?|ground[ _-]?truths?|annotations?|annotated|annots?|annos?|rois?|"
    "contours?|outlines?|delineations?"
)
_OTHER_WORDS = f"tumou?rs?|lesions?|other|{_OUTLINE_WORDS}"
_NUMBER = r"(?:[ _-]?\(?\d+\)?)?"
_MASK_WORD = re.compile(rf"masks?{_NUMBER}", re.IGNORECASE)
_AFTER = re.compile(rf"(?P<image>.+)[ _.-](?P<word>masks?|{_OTHER_WORDS}){_NUMBER}", re.IGNORECASE)
_BEFORE = re.compile(rf"(?P<word>masks?|{_OTHER_WORDS})[ _.-](?P<image>.+)", re.IGNORECASE)
_OUTLINE_FOLDER = re.compile(_OUTLINE_WORDS, re.IGNORECASE)
_AFTER_FOLDER = re.compile(rf"(?P<image>.+)[ _.-](masks?|{_OUTLINE_WORDS})", re.IGNORECASE)
"""Without tumour and lesion, which may be a class beside another: `breast`, `breast_tumor`."""

Tones = Literal["one", "two", "nearly two", "few", "many"]
_FEW = 8
_NEAR, _FAR, _ALMOST_ALL = 24, 128, 0.9
"""Levels that compression moves a mask's values, levels between the two, and the share of pixels at them."""


def find_masks(images: Collection[str]) -> tuple[dict[str, str], set[str]]:
    """Return the masks that names alone prove, each with the reason to leave it out, and the folders of masks."""
    stems: dict[str, set[str]] = defaultdict(set)
    for name in images:
        stems[_folder(name)].add(_stem(name))
    folders = _mask_folders(images, stems)
    masks: dict[str, str] = {}
    for name in images:
        stem, beside = _stem(name), stems[_folder(name)]
        in_folder = not folders.isdisjoint(_ancestors(name))
        if in_folder or any(word == "mask" and image in beside for word, image in _images_of(stem)):
            masks[name] = MASK
        elif _NAMED_MASK.fullmatch(stem):
            masks[name] = MASK_WITHOUT_IMAGE
    return masks, folders


def _mask_folders(images: Collection[str], stems: dict[str, set[str]]) -> set[str]:
    """Return the folders of nothing but masks.

    They are named masks and lie beside images or a folder of them, or they are named so in another word, or after a
    folder beside them (`benign_masks`), and most of their files are named as those there.
    """
    below: dict[str, set[str]] = defaultdict(set)
    for name in images:
        for folder in _ancestors(name):
            below[folder].add(_stem(name))
    image_folders = {folder for folder in below if _last(folder) in IMAGE_FOLDERS}
    beside_images = {_folder(folder) for folder in image_folders} | set(stems)
    found = {folder for folder in below if _last(folder) in _MASK_FOLDERS and _folder(folder) in beside_images}
    for folder in below.keys() - found - image_folders:
        parent, _, last = folder.rpartition("/")
        above = f"{parent}/" if parent else ""
        others = [f"{above}{match['image']}"] if (match := _AFTER_FOLDER.fullmatch(last)) else []
        if _OUTLINE_FOLDER.fullmatch(last):
            others += [f for f in image_folders if f.rpartition("/")[0] == parent]
            others += [parent] if stems.get(parent) else []
        for other in others:
            named = stems[parent] if other == parent else below.get(other, set())
            alike = sum(s in named or any(image in named for _, image in _images_of(s)) for s in below[folder])
            if named and 2 * alike > len(below[folder]):
                found.add(folder)
    return found


def _images_of(stem: str) -> Iterator[tuple[Literal["mask", "other"], str]]:
    """Yield the images that a mask of this name may belong to, with the kind of word that says so."""
    rest, kind = stem, ""
    while match := _AFTER.fullmatch(rest):
        rest = match["image"].rstrip(" _.-")
        kind = "mask" if kind == "mask" or _MASK_WORD.fullmatch(match["word"]) else "other"
        yield ("mask" if kind == "mask" else "other"), rest.casefold()
    if match := _BEFORE.fullmatch(stem):
        yield ("mask" if _MASK_WORD.fullmatch(match["word"]) else "other"), match["image"].casefold()


@dataclass(frozen=True)
class Look:
    """What one decoded image looks like."""

    name: str
    """Its path, with forward slashes."""
    size: tuple[int, int]
    tones: Tones


def tones(pixels: Pixels) -> Tones:
    """Return how many gray values an image of shape [C, H, W] has."""
    counts = np.bincount(pixels.max(axis=0).ravel(), minlength=256)
    present = np.flatnonzero(counts)
    if len(present) <= _FEW:
        return "one" if len(present) == 1 else "two" if len(present) == 2 else "few"
    low, high = int(present[0]), int(present[-1])
    at_ends = counts[: low + _NEAR + 1].sum() + counts[high - _NEAR :].sum()
    return "nearly two" if high - low >= _FAR and at_ends >= _ALMOST_ALL * counts.sum() else "many"


def masks_by_content(looks: Sequence[Look]) -> dict[int, str]:
    """Return which images are masks by what they look like, each with the reason to leave it out.

    Those of two gray values are, if they have the size of an image in their folder or are named after one; those with
    few others besides (painted in several colours, compressed, empty) only if they have both.
    """
    sizes: dict[str, set[tuple[int, int]]] = defaultdict(set)
    named: dict[tuple[str, str], set[tuple[int, int]]] = defaultdict(set)
    for look in looks:
        if look.tones == "many":
            sizes[_folder(look.name)].add(look.size)
            named[_folder(look.name), _stem(look.name)].add(look.size)
    masks: dict[int, str] = {}
    for i, look in enumerate(looks):
        if look.tones == "many":
            continue
        folder, stem = _folder(look.name), _stem(look.name)
        of_image = {size for _, image in [("", stem), *_images_of(stem)] for size in named.get((folder, image), ())}
        if look.size in of_image or (of_image and look.tones == "two"):
            masks[i] = MASK
        elif look.tones == "two" and look.size in sizes[folder]:
            masks[i] = MASK_BY_CONTENT
    return masks


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _stem(name: str) -> str:
    return PurePosixPath(name.rpartition("/")[2]).stem.casefold()


def _last(folder: str) -> str:
    return folder.rpartition("/")[2].casefold()


def _ancestors(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]
