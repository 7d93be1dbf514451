"""Labels as the original StyleGAN2-ADA trainers keep them: `dataset.json` at the top of a folder or archive.

It holds `{"labels": [["00000/img00000000.png", 0], ...]}`, or null for images without labels. The folders say nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from usgan_cli.core.errors import DataError, UndecodableError
from usgan_cli.data.source.files import Tree
from usgan_cli.data.source.names import shown

FILE = "dataset.json"
NO_LABEL = f"no label in {FILE}"
ABSENT = f"listed in {FILE}, but absent"

_NUMBERED_FOLDER = re.compile(r"\d{5}")
_HINT = "It is to hold a label for each image, as a whole number or one-hot, or to be moved away."


@dataclass(frozen=True)
class TrainerLabels:
    """The labels of the images of a tree."""

    root: str
    """The folder that holds the file ("a/b/"); empty for the top itself."""
    label_of: dict[str, str]
    """Class of each image that is there, by its name in the tree."""
    absent: tuple[str, ...]
    """Images that are listed in vain, relative to `root`."""

    def named(self, classes: Sequence[str]) -> TrainerLabels:
        """Return the labels as names: where they are numbers, and no classes are called so, they count from 0."""
        numbers = {str(i): name for i, name in enumerate(classes)}
        labels = set(self.label_of.values())
        if labels <= set(classes) or not labels <= numbers.keys():
            return self
        return replace(self, label_of={file: numbers[label] for file, label in self.label_of.items()})


def read_trainer_labels(tree: Tree, names: Collection[str], images: Collection[str]) -> TrainerLabels | None:
    """Return the labels that a tree comes with; None without such a file, or with one of another program.

    `names` are all files of the tree, and `images` those that are images.
    """
    found = min((name for name in names if name.rpartition("/")[2] == FILE), key=lambda n: n.count("/"), default=None)
    if found is None:
        return None
    place = f"{shown(str(tree.top / found))}"
    root = found.removesuffix(FILE)
    try:
        body = json.loads(tree.read(found).decode("utf-8-sig"))
    except UndecodableError as error:
        raise DataError(f"{place} cannot be read: {error.reason}.") from None
    except (ValueError, RecursionError):
        raise DataError(f"{place} is not valid JSON.", _HINT) from None
    if not isinstance(body, dict) or "labels" not in body:
        return None
    labels = body["labels"]
    inside = {name.removeprefix(root) for name in images if name.startswith(root)}
    if labels is None and inside and all(_NUMBERED_FOLDER.fullmatch(name.partition("/")[0]) for name in inside):
        raise DataError(f"{place} gives no labels to its images.", _HINT)
    pairs = list(labels.items()) if isinstance(labels, dict) else labels
    if not isinstance(pairs, list) or (isinstance(labels, dict) and inside.isdisjoint(labels)):
        return None  # as other programs name their classes
    label_of: dict[str, str] = {}
    absent: list[str] = []
    for i, pair in enumerate(pairs):
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)):
            raise DataError(f"{place}: entry {i} of its labels is not a file name with a label.", _HINT)
        name, label = pair[0].replace("\\", "/").removeprefix("./"), _class_of(pair[1])
        if label is None:
            raise DataError(f"{place}: entry {i} of its labels gives no class to {shown(name)!r}.", _HINT)
        if name not in inside:
            absent.append(name)
        elif label_of.setdefault(root + name, label) != label:
            raise DataError(f"{place} gives two labels to {shown(name)!r}.", _HINT)
    return TrainerLabels(root, label_of, tuple(absent))


def _class_of(label: Any) -> str | None:
    """Return the class that a label means: a whole number, its one-hot vector, or a name."""
    if isinstance(label, str):
        return label or None
    if isinstance(label, int) and not isinstance(label, bool):
        return str(label)
    if isinstance(label, list) and label.count(1) == 1 and label.count(0) == len(label) - 1:
        return str(label.index(1))
    return None
