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
from pathlib import Path
from typing import Literal

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.dataset import LeftOut
from usgan_cli.core.names import problem_of_class, shortened
from usgan_cli.core.text import on_one_line
from usgan_cli.data.source.contents import Side, SourceImage, SourceOptions, in_order
from usgan_cli.data.source.files import Listing
from usgan_cli.data.source.masks import find_masks
from usgan_cli.data.source.names import path_key, same_name, shown
from usgan_cli.data.source.trainer_labels import ABSENT, FILE, NO_LABEL, TrainerLabels

NOT_AN_IMAGE = "not an image file"
NO_CLASS = "not in a class folder"
NOT_CHOSEN = "its class was not chosen"

LAYOUT_HINT = "A source is a folder with one folder of images per class: SOURCE/benign/*.png, SOURCE/malignant/*.png."

_SPLIT_WORD = re.compile(
    r"(images?|imgs?|data)?((?P<train>train|training)|(?P<test>test|testing|holdout|eval|evaluation)"
    r"|(?P<val>val|valid|validation|dev))(set|data|dataset|images?|imgs?|split|cases?)?"
)
_SPLIT_HINT = (
    "Folders of a split hold the class folders, the same in each: SOURCE/train/benign/*.png, SOURCE/test/benign/*.png. "
    "Or name paths and labels in a CSV file."
)


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
    named_levels: tuple[int, ...] = ()
    """Which folders on an image's way, from 0, name its class or its side of a split."""


def split_word(word: str) -> Literal["train", "test", "val"] | None:
    """Return which side of a split a word means ("Training set", "test_images", "val2"), if any."""
    match = _SPLIT_WORD.fullmatch(re.sub(r"[\W\d_]+", "", word).casefold())
    if match is None:
        return None
    return "train" if match["train"] else "test" if match["test"] else "val"


def sides_of(words: Collection[str]) -> dict[str, Side] | None:
    """Return the side of the split that each word means, or None unless all are words for a split.

    Validation images belong to the training side, whose folds are drawn later; without a test side they are it.
    """
    plain = {word: split_word(word) for word in words}
    known = set(plain.values())
    if None in known or "train" not in known or len(known) < 2:
        return None
    test = "test" if "test" in known else "val"
    return {word: "test" if side == test else "train" for word, side in plain.items()}


def arrange(listing: Listing, images: Collection[str], top: Path, level: int | None, chosen: Sequence[str]) -> Layout:
    """Find the classes of a tree and put its images in order.

    `images` are those of the listing's files that are images, masks among them; `top` is the tree, for messages;
    `level` and `chosen` are `class_level` and `classes` of `SourceOptions`.
    """
    masks, mask_folders = find_masks(images)
    plain = sorted(set(images) - masks.keys())
    above_images, above_results = folders_of(plain), folders_of(listing.reserved)
    # Folders of masks are not classes, nor are those that only lead to the place of the results.
    folders = {
        folder
        for folder in listing.folders - (above_results - above_images)
        if mask_folders.isdisjoint([folder, *_ancestors(folder)])
    }
    root = enter(folders, plain)
    holder = top / root if root else top
    if not _below(folders, root):
        what = "holds images, but no class folders" if _below(plain, root) else "holds no class folders"
        raise DataError(f"{holder} {what}.", LAYOUT_HINT)
    inside = _below(plain, root)
    split = _own_split(inside, _below(folders, root), chosen, holder)
    depth = _class_depth(inside, level, split, holder)

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
            side = split.sides[parts[split.place]] if split else None
            arranged.append(SourceImage(root + name, shown(name), class_, side))
    left_out = {shown(name): reason for name, reason in rejected.items()}
    prefix = shown(root)
    left_out |= {
        item.source.removeprefix(prefix): item.reason for item in listing.left_out if item.source.startswith(prefix)
    }
    nested = sum(image.relative.count("/") > depth for image in arranged)
    levels = (depth - 1, *([split.place] if split else []))
    return Layout(root, classes, in_order(arranged, classes), _listed_in_order(left_out), nested, levels)


def arrange_labelled(
    listing: Listing, images: Collection[str], top: Path, labels: TrainerLabels, options: SourceOptions
) -> Layout:
    """Put the images of a tree in order by the labels that it comes with (`options` choose among the classes)."""
    holder = top / labels.root if labels.root else top
    options.refuse_class_level(holder)
    classes = pick_classes(sorted(set(labels.label_of.values()), key=path_key), options.classes, str(holder), hint="")
    masks, _ = find_masks(images)
    rejected = dict.fromkeys(set(listing.files) - set(images), NOT_AN_IMAGE)
    arranged: list[SourceImage] = []
    for name in images:
        if not name.startswith(labels.root) or (label := labels.label_of.get(name)) is None:
            rejected[name] = masks.get(name, NO_LABEL)
        elif label in classes:
            arranged.append(SourceImage(name, shown(name.removeprefix(labels.root)), label))
        else:
            rejected[name] = NOT_CHOSEN
    left_out = {shown(name.removeprefix(labels.root)): reason for name, reason in rejected.items()}
    left_out |= dict.fromkeys(map(shown, labels.absent), ABSENT)
    left_out.pop(FILE, None)
    left_out |= {item.source: item.reason for item in listing.left_out}
    return Layout(labels.root, classes, in_order(arranged, classes), _listed_in_order(left_out), 0)


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


def folders_of(names: Collection[str]) -> set[str]:
    """Return all folders on the ways to some files."""
    return {folder for name in names for folder in _ancestors(name)}


def enter(folders: Collection[str], plain: Collection[str]) -> str:
    """Follow a chain of lone folders down to the one that holds the class folders: "" or "a/b/"."""
    direct = {name.rpartition("/")[0] for name in plain}
    children: dict[str, list[str]] = defaultdict(list)
    for folder in folders:
        children[folder.rpartition("/")[0]].append(folder)
    root = ""
    while len(children[root]) == 1 and root not in direct and children[root][0] not in direct:
        root = children[root][0]
    return f"{root}/" if root else ""


@dataclass(frozen=True)
class _OwnSplit:
    """A split that the source comes with."""

    place: Literal[0, 1]
    """Whether its folders are the outermost, or those in the class folders."""
    sides: dict[str, Side]
    """Of each folder's name."""


def _own_split(
    inside: Sequence[str], folders: Collection[str], chosen: Sequence[str], holder: Path
) -> _OwnSplit | None:
    """Return the source's own split: folders named train, test and the like above the classes or in all of them.

    Where only some of the outermost folders are named so, or hold no classes, the classes are unclear, which is an
    error that names the odd folder.
    """
    nested = [name for name in inside if "/" in name]
    outermost = {name.partition("/")[0] for name in nested}
    named = sorted(name for name in outermost | {f for f in folders if "/" not in f} if split_word(name))
    chosen_apart = bool(chosen) and set(chosen) <= {shown(name) for name in outermost - set(named)}
    if not named or chosen_apart:
        inner = {name.split("/")[1] for name in nested if name.count("/") > 1}
        sides = sides_of(inner) if all(name.count("/") > 1 for name in nested) else None
        return _OwnSplit(1, sides) if sides else None
    if odd := sorted(outermost - set(named)):
        raise DataError(
            f"{holder} holds {_some(named)}, named for a side of a split, beside {_some(odd)}, so it is unclear which "
            "folders are the classes.",
            f"{_SPLIT_HINT} --classes NAME,NAME takes only the folders that it names.",
        )
    for name in named:
        own = [image for image in nested if image.startswith(f"{name}/")]
        if not own or any(image.count("/") < 2 for image in own):
            what = "holds images beside or without class folders" if own else "holds no images"
            raise DataError(f"The folder {holder / name} is named for a side of a split, but {what}.", _SPLIT_HINT)
    if (sides := sides_of(named)) is None:
        raise DataError(f"{holder} has folders of a split, {_some(named)}, but not both sides of it.", _SPLIT_HINT)
    return _OwnSplit(0, sides)


def _class_depth(inside: Sequence[str], level: int | None, split: _OwnSplit | None, holder: Path) -> int:
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
    first = 2 if split and split.place == 0 else 1
    next_below = 2 if split and split.place == 1 else 1
    # A deeper level could be the classes just as well where each of its names occurs in more than one place.
    for deeper in range(first + next_below, min(depths) + 1):
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
    if not chosen and (odd := [name for name in names if split_word(name)]):
        raise SettingsError(
            f"{holder / odd[0]} is named for a side of a split, which is not a class.", "Choose another --class-level."
        )
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
