"""The command that makes a damaged or missing file again, by the file's place in its workspace."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from usgan_cli.core.store.workspace import (
    GanKey,
    SeedsKey,
    SplitsKey,
    SubsetKey,
    TrainingSet,
    generator_words,
    work_option,
)

_PART = re.compile(r"(?P<gan>.+)-fold(?P<fold>\d+)of(?P<folds>\d+)")
_Words = Callable[[Path, str], "list[str] | None"]
"""Returns the command of an artefact, from its workspace and its name there; None for a name of no artefact."""


def remedy(path: Path) -> str:
    """Return the sentence that says how to make again what `path` is, or belongs to.

    The commands have `--force`, which makes the artefact anew from its inputs and does not look at what is there.
    """
    located = locate(path)
    if located is None:
        return "Make it again with the command that made it, and --force; or put back an undamaged copy."
    root, words, exact = located
    if path == root / "study.json":
        return f"Move {shlex.quote(str(path))} away: usgan report works without it, and usgan study writes it again."
    line = shlex.join(["usgan", *words, "--force"]) + work_option(root)
    return f"Make it again{'' if exact else ', with the options it was made with'}: {line}"


def locate(path: Path) -> tuple[Path, list[str], bool] | None:
    """Return the workspace of a file, the words of the command that makes it, and whether these are all its options.

    None for a path that is not the place of an artefact in a workspace.
    """
    if path.name == "study.json" and is_workspace(path.parent):
        return path.parent, ["study"], False
    parts = path.parts
    for at in reversed(range(len(parts))):
        kind = _KINDS.get(parts[at])
        if kind is None:
            continue
        depth, make, exact = kind
        if at + depth >= len(parts):
            continue
        root, name = Path(*parts[:at]), "/".join(parts[at + 1 : at + 1 + depth])
        if is_workspace(root) and (words := make(root, name)) is not None:
            return root, words, exact
    return None


def is_workspace(folder: Path) -> bool:
    """Return whether a folder looks like a workspace: it has a study, a prepared dataset or subsets."""
    return any((folder / place).exists() for place in ("study.json", "data/manifest.json", "data/run.json", "subsets"))


def _of_gan(key: GanKey) -> list[str]:
    return ["--aug", key.aug, "--n", str(key.n), "--seed", str(key.seed)]


def _of_subset(key: SubsetKey) -> list[str]:
    return ["--n", str(key.n), "--seed", str(key.seed)]


def _data(root: Path, name: str) -> list[str]:  # noqa: ARG001
    return ["prepare", "SOURCE"]


def _external(root: Path, name: str) -> list[str]:  # noqa: ARG001
    return ["prepare", "--external", f"{name}=DIR"]


def _report(root: Path, name: str) -> list[str]:  # noqa: ARG001
    return ["report"]


def _cards(root: Path, name: str) -> list[str]:  # noqa: ARG001
    return ["card"]


def _phantoms(root: Path, name: str) -> list[str]:  # noqa: ARG001
    return ["phantom", str(root / "phantoms")]


def _subset(root: Path, name: str) -> list[str] | None:  # noqa: ARG001
    key = SubsetKey.parse(name.removesuffix(".json"))
    return key and ["subsample", *_of_subset(key)]


def _gan(root: Path, name: str) -> list[str] | None:  # noqa: ARG001
    part = _PART.fullmatch(name)
    key = GanKey.parse(part["gan"] if part else name)
    return key and ["train-gan", *_of_gan(key), *(["--fold", part["fold"], "--folds", part["folds"]] if part else [])]


def _synthetic(root: Path, name: str) -> list[str] | None:
    if (key := GanKey.parse(name)) is not None:
        return ["generate", *_of_gan(key)]
    if _PART.fullmatch(name):
        return ["generate", "--gan", str(root / "gans" / name)]
    return ["generate", "--out", str(root / "synthetic" / name)]


def _score(root: Path, name: str) -> list[str]:
    stem = re.sub(r"(-nearest|-grays|-distances)?\.(json|png)$", "", name)
    if (key := GanKey.parse_snapshots(stem)) is not None:
        return ["score", "--snapshots", *_of_gan(key)]
    if (key := GanKey.parse(stem)) is not None:
        return ["score", *generator_words(key.aug), *_of_subset(key.subset)]
    return ["score", "--synthetic", str(root / "synthetic" / stem)]


def _classifier(root: Path, name: str) -> list[str] | None:
    subset, _, training = name.partition("/")
    key, added = SubsetKey.parse(subset), TrainingSet.parse(training)
    if key is None or added is None:
        return None
    words = ["train-cls", *_of_subset(key)]
    if added.aug is not None:
        option, which = generator_words(added.aug)
        folder = root / "synthetic" / which
        words += [option, str(folder) if option == "--synthetic" and folder.is_dir() else which]
    words += [] if added.control is None else ["--control", added.control]
    words += [] if added.aug is None and added.control is None else ["--ratio", f"{added.ratio:g}"]
    words += ["--synthetic-only"] * added.synthetic_only + ["--strict"] * added.strict
    return words + ([] if added.select is None else ["--select", added.select])


def _ttest(root: Path, name: str) -> list[str] | None:  # noqa: ARG001
    stem = re.sub(r"\.(json|csv|tex)$", "", name)
    if (key := SubsetKey.parse(stem)) is not None:
        return ["ttest", *_of_subset(key)]
    if (splits := SplitsKey.parse(stem)) is not None:
        several = [*_each("--seeds", splits.seeds), *_each("--splits", splits.splits)]
        return ["ttest", "--n", str(splits.n), *several]
    seeds = SeedsKey.parse(stem)
    return seeds and ["ttest", "--n", str(seeds.n), *_each("--seeds", seeds.seeds)]


def _each(option: str, values: tuple[int, ...]) -> list[str]:
    return [word for value in values for word in (option, str(value))]


def _picture(root: Path, name: str) -> list[str]:
    path = root / "pictures" / name.removesuffix(".json")
    return ["generate", "--out", str(path)]


_KINDS: dict[str, tuple[int, _Words, bool]] = {
    "data": (0, _data, False),
    "external": (1, _external, False),
    "phantoms": (0, _phantoms, False),
    "subsets": (1, _subset, True),
    "gans": (1, _gan, False),
    "synthetic": (1, _synthetic, False),
    "scores": (1, _score, False),
    "classifiers": (2, _classifier, False),
    "ttests": (1, _ttest, True),
    "pictures": (1, _picture, False),
    "report": (0, _report, True),
    "cards": (0, _cards, False),
}
"""Folders of a workspace: the parts of an artefact's name, its command, and whether that has all of its options."""
