"""Folders that are replaced whole: the old one is set aside, and comes back unless the new one takes its place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from usgan_cli.core.errors import SettingsError, UsganError
from usgan_cli.core.store.document import FORMATS, PlanDocument, RunDocument
from usgan_cli.core.store.files import beside, claimed, holder_of, is_partial


def discard(path: Path) -> None:
    """Remove a file, a folder, or a link but never what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def place_of(path: Path) -> Path:
    """Return where an artefact's folder is: where a link in its place leads, so that the link stays."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def is_blank(folder: Path) -> bool:
    """Return whether a folder holds nothing but what a killed process did not finish."""
    return all(is_partial(entry) for entry in folder.iterdir())


def is_unbegun(folder: Path) -> bool:
    """Return whether a folder that grows holds nothing but its plan."""
    return all(entry.name == PlanDocument.FILE or is_partial(entry) for entry in folder.iterdir())


def is_record(path: Path) -> bool:
    """Return whether a file begins like a document of ours, damaged or not."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return f'"format": "{FORMATS}'.encode() in file.read(100)


def is_set_aside(old: Path) -> bool:
    """Return whether a folder can be an artefact that was set aside; a person may have one of such a name."""
    return old.is_dir() and (
        is_blank(old) or any(is_record(old / name) for name in (RunDocument.FILE, PlanDocument.FILE))
    )


def can_come_back(path: Path) -> bool:
    """Return whether an artefact was set aside and no other has taken its place."""
    place = place_of(path)
    free = is_blank(place) if place.is_dir() else not os.path.lexists(place)
    return free and is_set_aside(beside(place, "old"))


def put_back(path: Path) -> None:
    """Give an artefact whose replacement was cut short its name back; the caller holds its lock."""
    if can_come_back(path):
        if place_of(path).is_dir():
            shutil.rmtree(place_of(path))
        give_back(path)


def make_room(path: Path) -> None:
    """Remove an artefact that was set aside and has been replaced; the caller holds the lock.

    Raises
    ------
    SettingsError
        Something of its name is there that is not an artefact.
    """
    put_back(path)
    old = beside(place_of(path), "old")
    if os.path.lexists(old) and not (old.is_symlink() or is_set_aside(old)):
        raise SettingsError(f"{old} is in the way, and was not made by usgan.", "Move it away.")
    _drop(old, beside(place_of(path), "partial"))


def clear_beside(path: Path) -> None:
    """Remove what a killed process left beside an artefact that is whole, if the name of that process shows it."""
    holder = beside(path, "holder")
    if not holder.is_file() or holder_of(path) is not None:
        return
    try:
        with claimed(path):
            make_room(path)
            discard(beside(place_of(path), "partial"))
            holder.unlink(missing_ok=True)
    except (UsganError, OSError):  # somebody is at work there, or one may not write there
        return


def set_aside(path: Path) -> None:
    """Rename a folder that is about to be replaced, for which there is room."""
    place = place_of(path)
    place.rename(beside(place, "old"))


def give_back(path: Path) -> None:
    """Give the folder that this process has set aside its name back, unless a new one has it."""
    place = place_of(path)
    old = beside(place, "old")
    if os.path.lexists(old) and not os.path.lexists(place):
        old.rename(place)


def drop_old(path: Path) -> None:
    """Remove the folder that this process has set aside, if a new one has taken its place and is begun."""
    place = place_of(path)
    if os.path.lexists(place) and not is_unbegun(place):
        _drop(beside(place, "old"), beside(place, "partial"))


def _drop(old: Path, temporary: Path) -> None:
    """Remove a folder that was set aside, under a name by which half of it is not taken for a whole artefact."""
    if os.path.lexists(old):
        discard(temporary)
        old.rename(temporary)
        discard(temporary)


@contextmanager
def published_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; on success it takes the final name and replaces what was there.

    What an interrupted call has left is cleared first, so the caller should hold `locked(path)`. What a link leads to
    is replaced, and the link stays.
    """
    place = place_of(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    make_room(path)
    temporary = beside(place, "partial")
    discard(temporary)
    temporary.mkdir()
    try:
        yield temporary
        try:
            if place.exists():
                set_aside(path)
            temporary.rename(place)
        except BaseException:  # an interruption too must not leave the place empty
            give_back(path)
            raise
    finally:
        discard(temporary)
        drop_old(path)
