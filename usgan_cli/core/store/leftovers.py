"""What killed processes left in a workspace: temporary files, half-built folders, names of dead holders of locks.

Nothing of a living process is touched: every leftover names the artefact that was being written, and while somebody
holds that artefact's lock it is in use.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from usgan_cli.core.store.files import PARTIAL, holder_of, is_alive, this_machine

_FOLDERS = re.compile(r"\.(?P<name>.+)\.(?P<kind>partial|old|holder)")
_KINDS = {
    "partial": "a folder that was not finished",
    "old": "an artefact that has been replaced",
    "holder": "the number of a process that has ended",
}
FOREIGN_AGE_S = 3600
"""Age after which a temporary file is left over even if its process is on another machine, or not known."""


@dataclass(frozen=True)
class Leftover:
    """One file or folder that a killed process left."""

    path: Path
    why: str
    restores: Path | None = None
    """The artefact that was being replaced, where the replacement was cut short: it gets its name back."""

    def remove(self) -> None:
        """Remove it, or give an artefact that was being replaced its name back."""
        if self.restores is not None and not self.restores.exists():
            self.path.rename(self.restores)
        elif self.path.is_dir():
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            self.path.unlink(missing_ok=True)


def find_leftovers(root: Path) -> list[Leftover]:
    """Return what killed processes left in a workspace, outermost first."""
    if not root.is_dir():
        return []
    found = [leftover for path in _hidden(root) if (leftover := _leftover(path)) is not None]
    return sorted(found, key=lambda leftover: leftover.path)


def _hidden(root: Path) -> Iterator[Path]:
    """Yield the hidden files and folders of a workspace, but not what is inside such a folder."""
    for folder, folders, names in os.walk(root):
        yield from (Path(folder, name) for name in [*folders, *names] if name.startswith("."))
        folders[:] = [name for name in folders if not name.startswith(".")]


def _leftover(path: Path) -> Leftover | None:
    if (match := PARTIAL.fullmatch(path.name)) and path.is_file():
        pid = int(match["pid"])
        dead = not is_alive(pid) and (match["machine"] == this_machine() or _is_old(path))
        free = holder_of(path.with_name(match["name"])) is None
        return Leftover(path, f"a file that process {pid} did not finish") if dead and free else None
    match = _FOLDERS.fullmatch(path.name)
    if match is None or path.is_dir() == (match["kind"] == "holder"):
        return None
    artefact = path.with_name(match["name"])
    if holder_of(artefact) is not None:
        return None
    if match["kind"] == "old" and not artefact.exists():
        return Leftover(path, "an artefact whose replacement was cut short; it gets its name back", artefact)
    return Leftover(path, _KINDS[match["kind"]])


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > FOREIGN_AGE_S
    except OSError:  # it has just gone
        return False


def clear_leftovers(root: Path) -> list[Leftover]:
    """Remove what killed processes left in a workspace, and return it."""
    found = find_leftovers(root)
    for leftover in found:
        leftover.remove()
    return found
