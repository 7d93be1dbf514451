"""Which class each file of a tree belongs to, decided from the names of its folders.

The class is the name of a folder: of the outermost one, below a chain of lone folders as archives often unpack them.
Folders named train, test and val above the classes are the source's own split. Where the deeper folders could be the
classes just as well, because each of their names occurs in several places (`site 1/benign`, `site 2/benign`), the user
must say which are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.dataset import LeftOut
from usgan_cli.core.names import problem_of_class, shortened
from usgan_cli.core.text import on_one_line
from usgan_cli.data.source.contents import Side, SourceImage, in_order
from usgan_cli.data.source.files import Listing
from usgan_cli.data.source.names import path_key, same_name, shown

MASK = "mask"
MASK_WITHOUT_IMAGE = "named like a mask, but its image is absent"
NOT_AN_IMAGE = "not an image file"
NO_CLASS = "not in a class folder"
NOT_CHOSEN = "its class was not chosen"

LAYOUT_HINT = "A source is a folder with one folder of images per class: SOURCE/benign/*.png, SOURCE/malignant/*.png."

_MASK_STEM = re.compile(r"(?P<image>.+)_mask(_\d+)?", re.IGNORECASE)
_MASK_FOLDERS = frozenset({"mask", "masks"})
_IMAGE_FOLDERS = frozenset({"image", "images", "img", "imgs"})
_TRAIN_WORDS = frozenset({"train", "training"})
_TEST_WORDS = frozenset({"test", "testing"})
_VALIDATION_WORDS = frozenset({"val", "valid", "validation"})


@dataclass(frozen=True)
class Layout:
    """The files of a tree by class."""

    root: str
    """The folder that holds the classes, relative to the tree's top ("a/b/"); empty for the top itself."""
    classes: tuple[str, ...]
    images: tuple[SourceImage, ...]
    left_out: tuple[LeftOut, ...]
    nested: int
    """How many of the images lie in folders inside their class folder."""


def sides_of(words: Collection[str]) -> dict[str, Side] | None:
    """Return the side of the split that each word means, or None unless all are words for a split.

    Validation images belong to the training side, whose folds are drawn later; without a test side they are it.
    """
    plain = {word: word.strip().casefold() for word in words}
    known = set(plain.values())
    if not known <= _TRAIN_WORDS | _TEST_WORDS | _VALIDATION_WORDS or not known & _TRAIN_WORDS or len(known) < 2:
        return None
    test = known & _TEST_WORDS or known & _VALIDATION_WORDS
    return {word: "test" if bare in test else "train" for word, bare in plain.items()}


def arrange(listing: Listing, images: Collection[str], top: Path, level: int | None, chosen: Sequence[str]) -> Layout:
    """Find the classes of a tree and put its images in order.

    `images` are those of the listing's files that are images, masks among them; `top` is the tree, for messages;
    `level` and `chosen` are `class_level` and `classes` of `SourceOptions`.
    """
    masks, mask_folders = _find_masks(images)
    plain = sorted(set(images) - masks.keys())
    above_images = {folder for name in plain for folder in _ancestors(name)}
    above_results = {folder for name in listing.reserved for folder in _ancestors(name)}
    # Folders of masks are not classes, nor are those that only lead to the place of the results.
    folders = {
        folder
        for folder in listing.folders - (above_results - above_images)
        if mask_folders.isdisjoint([folder, *_ancestors(folder)])
    }
    root = _enter(folders, plain)
    holder = top / root if root else top
    if not _below(folders, root):
        what = "holds images, but no class folders" if _below(plain, root) else "holds no class folders"
        raise DataError(f"{holder} {what}.", LAYOUT_HINT)
    inside = _below(plain, root)
    split = _own_split(inside) if level in {None, 2, 3} else None
    depth = _class_depth(inside, level, split is not None, holder)

    candidates = {folder for folder in _below(folders, root) if folder.count("/") == depth - 1}
    for folder in sorted(candidates):
        if root + folder in above_results:
            raise DataError(
                f"The place of the result lies in the class folder {holder / folder}.",
                "Choose a --work or --out outside the images.",
            )
    classes = _choose(candidates, inside, chosen, holder, masked={name.removeprefix(root) for name in masks})
    arranged: list[SourceImage] = []
    rejected = dict.fromkeys(_below(set(listing.files) - set(images), root), NOT_AN_IMAGE)
    rejected |= {name.removeprefix(root): reason for name, reason in masks.items() if name.startswith(root)}
    rejected |= {name: NO_CLASS for name in rejected if "/" not in name}
    for name in inside:
        parts = name.split("/")
        if len(parts) <= depth:
            rejected[name] = NO_CLASS
        elif (class_ := shown(parts[depth - 1])) not in classes:
            rejected[name] = NOT_CHOSEN
        else:
            arranged.append(SourceImage(root + name, shown(name), class_, split[parts[0]] if split else None))
    left_out = {shown(name): reason for name, reason in rejected.items()}
    prefix = shown(root)
    left_out |= {
        item.source.removeprefix(prefix): item.reason for item in listing.left_out if item.source.startswith(prefix)
    }
    nested = sum(image.relative.count("/") > depth for image in arranged)
    return Layout(root, classes, in_order(arranged, classes), _listed_in_order(left_out), nested)


def _listed_in_order(left_out: dict[str, str]) -> tuple[LeftOut, ...]:
    """Sort as a person would read it: files beside the class folders first, then folder by folder."""

    def key(name: str) -> tuple[str, list[tuple[list[int | str], str]]]:
        first, slash, rest = name.partition("/")
        return (first, path_key(rest)) if slash else ("", path_key(first))

    return tuple(LeftOut(source=name, reason=left_out[name]) for name in sorted(left_out, key=key))


def _ancestors(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]


def _below(names: Collection[str], root: str) -> list[str]:
    """Return those names that lie below the folder `root` ("" or "a/b/"), relative to it."""
    return [name.removeprefix(root) for name in names if name.startswith(root)]


def _find_masks(images: Collection[str]) -> tuple[dict[str, str], set[str]]:
    """Return the masks among the images with the reason to leave each out, and the folders of nothing but masks.

    A mask is named after its image (`benign (1)_mask.png`), or lies in a folder named masks beside its images.
    """
    stems: dict[str, set[str]] = defaultdict(set)
    for name in images:
        folder, _, file = name.rpartition("/")
        stems[folder].add(PurePosixPath(file).stem)
    holders = {folder for name in images for folder in _ancestors(name)}
    beside = set(stems) | {folder.rpartition("/")[0] for folder in holders if _last(folder) in _IMAGE_FOLDERS}
    mask_folders = {f for f in holders if _last(f) in _MASK_FOLDERS and f.rpartition("/")[0] in beside}
    masks: dict[str, str] = {}
    for name in images:
        folder, _, file = name.rpartition("/")
        if mask_folders and not mask_folders.isdisjoint(_ancestors(name)):
            masks[name] = MASK
        elif (mask := _MASK_STEM.fullmatch(PurePosixPath(file).stem)) is not None:
            masks[name] = MASK if mask["image"] in stems[folder] else MASK_WITHOUT_IMAGE
    return masks, mask_folders


def _last(folder: str) -> str:
    return folder.rpartition("/")[2].casefold()


def _enter(folders: Collection[str], plain: Collection[str]) -> str:
    """Follow a chain of lone folders down to the one that holds the class folders: "" or "a/b/"."""
    direct = {name.rpartition("/")[0] for name in plain}
    children: dict[str, list[str]] = defaultdict(list)
    for folder in folders:
        children[folder.rpartition("/")[0]].append(folder)
    root = ""
    while len(children[root]) == 1 and root not in direct and children[root][0] not in direct:
        root = children[root][0]
    return f"{root}/" if root else ""


def _own_split(inside: Sequence[str]) -> dict[str, Side] | None:
    """Return the side that each outermost folder means where all of them are named train, test and the like."""
    nested = [name for name in inside if "/" in name]
    if not nested or any(name.count("/") < 2 for name in nested):
        return None
    return sides_of({name.partition("/")[0] for name in nested})


def _class_depth(inside: Sequence[str], level: int | None, has_split: bool, holder: Path) -> int:
    """Return how many folders down the class folders are, 1 for the outermost."""
    depths = {name.count("/") for name in inside} - {0} or {1}
    if level is not None:
        depth = level if level > 0 else max(depths) + level + 1
        if level < 0 and len(depths) > 1:
            raise SettingsError(
                f"--class-level {level} counts from the innermost folder, but the images in {holder} lie at different "
                "depths.",
                "Count from the outermost: --class-level 1.",
            )
        if level == 0 or not 1 <= depth <= max(depths):
            raise SettingsError(f"--class-level is 1 to {max(depths)} for the images in {holder}, not {level}.")
        return depth
    first = 2 if has_split else 1
    # A deeper level could be the classes just as well where each of its names occurs in more than one place.
    for deeper in range(first + 1, min(depths) + 1):
        places: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for name in inside:
            parts = name.split("/")
            if len(parts) > deeper:
                places[parts[deeper - 1]].add(tuple(parts[first - 1 : deeper - 1]))
        if len(places) > 1 and all(len(above) > 1 for above in places.values()):
            outer = sorted({name.split("/")[first - 1] for name in inside if name.count("/") >= first})
            raise SettingsError(
                f"The images in {holder} lie in folders inside folders, and either could be the classes: "
                f"{_some(outer)}, or {_some(sorted(places))}.",
                f"Say which: --class-level {first} or --class-level {deeper}.",
            )
    return first


def _some(names: Sequence[str]) -> str:
    few = ", ".join(on_one_line(shown(name)) for name in names[:3])
    return few if len(names) <= 3 else f"{few} ... ({len(names)} names)"


def _choose(
    candidates: Collection[str], inside: Sequence[str], chosen: Sequence[str], holder: Path, masked: Collection[str]
) -> tuple[str, ...]:
    """Return the classes in order, having checked that each holds images."""
    full = {folder for name in inside for folder in _ancestors(name)}
    names = sorted({folder.rpartition("/")[2] for folder in candidates})
    classes = pick_classes([shown(name) for name in names], chosen, str(holder))
    for name in names:
        own = sorted(folder for folder in candidates if folder.rpartition("/")[2] == name)
        if shown(name) not in classes or not full.isdisjoint(own):
            continue
        if any(folder in _ancestors(mask) for mask in masked for folder in own):
            raise DataError(
                f"The class folder {holder / own[0]} holds masks, but no images.",
                "Put the images beside their masks, or move the folder out of the source.",
            )
        raise DataError(
            f"The class folder {holder / own[0]} holds no images.", "Put images in it, or move it out of the source."
        )
    return classes


def pick_classes(
    names: Sequence[str], chosen: Sequence[str], holder: str, *, hint: str = LAYOUT_HINT
) -> tuple[str, ...]:
    """Return the `chosen` classes in their order, or all of `names` where none is chosen; at least two, and distinct.

    Names that differ only in case or accents are refused.
    """
    if missing := [name for name in chosen if name not in names]:
        raise SettingsError(
            f"{holder} has no class {missing[0]!r}; its classes are {', '.join(map(repr, names))}.",
            "Name them as they are written there, with commas between; a name with a comma goes in double quotes.",
        )
    if len(set(chosen)) < len(chosen):
        raise SettingsError(f"--classes names a class twice: {', '.join(chosen)}.")
    classes = tuple(chosen or names)
    for name in classes:
        if (problem := problem_of_class(name)) is not None:
            raise DataError(f"{holder} has the class {shortened(name)!r}, whose name {problem}.", "Rename it.")
    first_with: dict[str, str] = {}
    for name in classes:
        if (other := first_with.setdefault(same_name(name), name)) != name:
            raise DataError(
                f"{holder} has two classes whose names differ only in case or accents: {other!r} and {name!r}.",
                "Give both the same name if they are one class, or choose with --classes.",
            )
    if len(classes) < 2:
        count = f"one class, {classes[0]!r}" if classes else "no class"
        raise DataError(f"{holder} has {count}; two or more are needed.", hint)
    return classes
