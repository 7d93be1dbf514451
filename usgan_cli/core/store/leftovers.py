"""What killed processes left in a workspace: temporary files, half-built folders, names of dead holders of locks.

Only what certainly is ours is looked at: hidden names beside and inside the places of artefacts, temporary files that
carry the number of a process and its machine, and folders beside which that process' name still stands. Nothing of a
living process is touched: every leftover names the artefact that was being written, whose lock is held while it is
removed, and while somebody else holds that lock it is in use.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from usgan_cli.core.errors import UsganError
from usgan_cli.core.store import folders
from usgan_cli.core.store.files import PARTIAL, beside, claimed, holder_of, is_alive, these_processes
from usgan_cli.core.store.workspace import ARTEFACTS, SPLITS, Workspace

_HIDDEN = re.compile(r"\.(?P<name>.+)\.(?P<kind>partial|old|holder)")
_KINDS = {
    "partial": "a folder that was not finished",
    "old": "an artefact that has been replaced",
    "holder": "the number of a process that has ended",
}
_IN_ROOT = {"study.json", *(folder for folder, pattern in ARTEFACTS.items() if not pattern)}
"""What is written in the workspace's own folder, where a person may have anything."""
_FREE = ("snakemake",)
"""Folders of a workspace in which files are written without a lock, as are the features in the cache."""
FOREIGN_AGE_S = 3600
"""Age after which a temporary file is left over even if its process is on another machine or in another container."""


@dataclass(frozen=True)
class Leftover:
    """One file or folder that a killed process left."""

    path: Path
    why: str
    owners: tuple[Path, ...]
    """What was being written, or may have been: who works at it holds one of these locks."""

    def remove(self) -> bool:
        """Remove it, or give an artefact that was being replaced its name back; return whether that was done.

        It stays where somebody is at work, or has been meanwhile, and where one may not write.
        """
        try:
            with ExitStack() as held:
                for owner in self.owners:
                    held.enter_context(claimed(owner))
                return self._remove()
        except (UsganError, OSError):
            return False

    def _remove(self) -> bool:
        match = _HIDDEN.fullmatch(self.path.name)
        if _is_temporary(self.path):
            if _temporary(self.path, self.owners) is None:
                return False
            self.path.unlink()
        elif match is not None:
            (artefact,), kind = self.owners, match["kind"]
            if _hidden(self.path, artefact, kind) is None:
                return False
            if kind == "old":
                folders.make_room(artefact)
            elif kind == "partial" or not _is_needed(artefact):
                folders.discard(self.path)
        return not os.path.lexists(self.path)


def find_leftovers(root: Path) -> list[Leftover]:
    """Return what killed processes left in a workspace, in the order in which it is to be removed."""
    found: list[Leftover] = []
    for workspace in _workspaces(root):
        for folder, pattern in ARTEFACTS.items():
            place = workspace / folder
            if not pattern:
                found += _inside(place, place)
                continue
            for parent in place.glob(pattern.rpartition("/")[0]) if "/" in pattern else [place]:
                found += _beside(parent)
                if not pattern.endswith(".json"):
                    found += [one for artefact in _entries(parent) for one in _inside(artefact, artefact)]
        found += _beside(workspace, _IN_ROOT)
        for free in [*(workspace / name for name in _FREE), *([Workspace(root).cache] if workspace == root else [])]:
            found += _inside(free, None)
    return sorted(found, key=lambda one: (one.path.name.endswith(".holder"), one.path))


def clear_leftovers(root: Path) -> list[Leftover]:
    """Remove what killed processes left in a workspace, and return what is gone."""
    return [leftover for leftover in find_leftovers(root) if leftover.remove()]


def _workspaces(root: Path) -> list[Path]:
    splits = [path for path in _entries(root / SPLITS) if re.fullmatch(r"s\d+", path.name) and path.is_dir()]
    return [root, *splits]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # it is absent, no folder, or not to be read
        return []


def _beside(parent: Path, names: set[str] | None = None) -> Iterator[Leftover]:
    """Yield what was left beside artefacts in a folder: those called `names`, or any."""
    entries = _entries(parent)
    locks = [entry.name[1:-5] for entry in entries if entry.name.startswith(".") and entry.name.endswith(".lock")]
    for path in entries:
        if (match := PARTIAL.fullmatch(path.name)) is not None and _is_temporary(path):
            name = match["name"]
            # A file beside an artefact is written under that one's lock: the CSV of a JSON, the record of a picture.
            owners = {name, *(lock for lock in locks if name.startswith(lock.removesuffix(".json")))}
            leftover = _temporary(path, tuple(parent / owner for owner in sorted(owners)))
        elif (match := _HIDDEN.fullmatch(path.name)) is not None:
            name, leftover = match["name"], _hidden(path, parent / match["name"], match["kind"])
        else:
            continue
        if leftover is not None and (names is None or name in names):
            yield leftover


def _inside(folder: Path, artefact: Path | None) -> Iterator[Leftover]:
    """Yield the temporary files in a folder that is an artefact, or in which none needs a lock; no link is followed."""
    if folder.name.startswith(".") or folder.is_symlink():
        return
    for inner, inner_folders, names in os.walk(folder):
        inner_folders[:] = [name for name in inner_folders if not name.startswith(".")]
        for name in names:
            path = Path(inner, name)
            if PARTIAL.fullmatch(name):
                leftover = _temporary(path, () if artefact is None else (artefact,))
                yield from [] if leftover is None else [leftover]


def _is_temporary(path: Path) -> bool:
    return PARTIAL.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()


def _temporary(path: Path, owners: tuple[Path, ...]) -> Leftover | None:
    """Return what a temporary file is that a dead process, or long ago one that cannot be seen, has left."""
    match = PARTIAL.fullmatch(path.name)
    if match is None or match["machine"] is None or not _is_temporary(path):
        return None
    pid = int(match["pid"])
    dead = not is_alive(pid) and (match["machine"] == these_processes() or _is_old(path))
    if not dead or any(holder_of(owner) for owner in owners):
        return None
    return Leftover(path, f"a file that process {pid} did not finish", owners)


def _hidden(path: Path, artefact: Path, kind: str) -> Leftover | None:
    """Return what a folder, or the name of a holder, is that a dead process has left beside an artefact."""
    if not _is_holder(beside(artefact, "holder")) or holder_of(artefact) is not None:
        return None
    if kind == "old" and folders.can_come_back(artefact):
        why = "an artefact whose replacement was cut short; it gets its name back"
        return Leftover(path, why, (artefact,))
    sure = {
        "holder": path.is_file(),
        "partial": path.is_dir() and not path.is_symlink(),
        "old": path.is_symlink() or (path.is_dir() and folders.is_set_aside(path)),
    }
    return Leftover(path, _KINDS[kind], (artefact,)) if sure[kind] else None


def _is_holder(path: Path) -> bool:
    """Return whether a file is the name of a lock's holder: whole, or cut short beside the lock's own file."""
    if not path.is_file() or path.is_symlink():
        return False
    try:
        holder = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return path.with_name(path.name.removesuffix("holder") + "lock").is_file()
    return isinstance(holder, dict) and {"pid", "machine"} <= holder.keys()


def _is_needed(artefact: Path) -> bool:
    """Return whether the name of a dead holder still shows whose the folders beside it are."""
    return any(_hidden(beside(artefact, kind), artefact, kind) is not None for kind in ("partial", "old"))


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > FOREIGN_AGE_S
    except OSError:  # it has just gone
        return False
