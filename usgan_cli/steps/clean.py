"""`usgan clean`: what may be removed from a workspace, and with --yes its removal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from usgan_cli.commands.clean import Clean
from usgan_cli.core.errors import BusyError, FormatError, MissingError
from usgan_cli.core.store import files, folders
from usgan_cli.core.store.document import RunDocument, RunRecord, read_run
from usgan_cli.core.store.leftovers import Leftover, find_leftovers
from usgan_cli.core.store.step import Outcome
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.steps.inventory import Artefact, cache_files, further_splits, take_inventory
from usgan_cli.steps.outdated import find_outdated
from usgan_cli.terminal import console
from usgan_cli.terminal.session import Session


@dataclass(frozen=True)
class Item:
    """Something that may be removed."""

    kind: str
    path: Path
    why: str
    size: int
    """Bytes."""
    paths: list[Path] = field(default_factory=list)
    """What it consists of."""
    leftover: Leftover | None = None
    run: RunRecord | None = None
    """That made the artefact which was found to be out of date."""


def run(options: Clean, session: Session) -> list[Outcome]:
    """List what may be removed, and with --yes remove it."""
    workspace = Workspace(options.folder) if options.folder is not None else session.workspace
    if not workspace.root.is_dir():
        raise MissingError(f"There is no workspace {workspace.root}.", "Name another one: usgan clean WORK")
    items = [item for item in _items(workspace) if not options.only or item.kind in options.only]
    removed = [item for item in items if _remove(item, session)] if options.yes else []
    shown = removed if options.yes else items
    total = sum(item.size for item in shown)
    if options.json:
        rows = [
            {"kind": one.kind, "path": str(one.path), "why": one.why, "bytes": one.size, "removed": one in removed}
            for one in items
        ]
        all_removed = options.yes and len(removed) == len(items)
        console.emit_json({"workspace": str(workspace.root), "removed": all_removed, "items": rows})
        return []
    if shown:
        session.table(
            f"{workspace.root}: {'removed' if options.yes else 'may be removed'}",
            ("what", "where", "why", "MB"),
            [(one.kind, str(one.path), one.why, f"{one.size / 1e6:.2f}") for one in shown],
        )
    if not items:
        session.progress.note(f"{workspace.root}: there is nothing to remove.")
    elif options.yes:
        session.progress.note(f"Removed {len(removed)} of {len(items)}, {total / 1e6:.1f} MB.")
    else:
        session.progress.note(f"{total / 1e6:.1f} MB; remove all of it with --yes.")
    return [Outcome(workspace.root, "done", {})]


def _items(workspace: Workspace) -> list[Item]:
    items = []
    by_folder: dict[Path, list[Path]] = {}
    for path in cache_files(workspace):
        by_folder.setdefault(path.parent, []).append(path)
    for folder, paths in by_folder.items():
        items.append(Item("caches", folder, "features of images; computed again when needed", _size(paths), paths))
    items += [
        Item("leftovers", one.path, one.why, _size([one.path]), leftover=one) for one in find_leftovers(workspace.root)
    ]
    artefacts = [artefact for one in (workspace, *further_splits(workspace)) for artefact in take_inventory(one)]
    by_path = {artefact.path: artefact for artefact in artefacts}
    for finding in find_outdated(artefacts):
        artefact = by_path[finding.path]
        # What is damaged, or holds files that are not ours, is for a person to look at.
        if finding.state == "out of date" and not artefact.findings:
            paths = _paths_of(artefact)
            items.append(Item("outdated", finding.path, finding.why, _size(paths), paths, run=artefact.run))
    return items


def _paths_of(artefact: Artefact) -> list[Path]:
    beside = [] if artefact.document is None else list(artefact.document.beside())
    return [artefact.path, *(artefact.path.with_name(name) for name in beside)]


def _size(paths: list[Path]) -> int:
    inside = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in inside if file.is_file())


def _remove(item: Item, session: Session) -> bool:
    """Remove an item, unless another process is writing it or has made it again; return whether it is gone."""
    if item.leftover is not None:
        return item.leftover.remove()
    if item.kind == "caches":
        for path in item.paths:
            path.unlink(missing_ok=True)
        return True
    try:
        with files.locked(item.path):
            if _run_of(item.path) != item.run:
                session.progress.warn(f"{item.path} has changed since it was looked at, and stays.")
                return False
            for path in item.paths:
                folders.discard(path)
    except BusyError as error:
        session.progress.warn(error.message)
        return False
    return True


def _run_of(path: Path) -> RunRecord | None:
    """Return the run that made what is at an artefact's place now; None if that is nothing whole."""
    try:
        if path.is_dir():
            finished = RunDocument.find(path)
            return None if finished is None else finished.run
        return read_run(path)
    except (FormatError, MissingError):
        return None
