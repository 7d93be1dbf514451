"""`study.json`: which study a workspace belongs to, so that `usgan status` knows the whole of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from usgan_cli.core.errors import FormatError, MissingError, SettingsError
from usgan_cli.core.store.document import Document
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.study.config import PHANTOM, Data, StudyConfig, parse_study, study_body


class StudyDocument(Document):
    """The study that a workspace was made by."""

    FORMAT = "usgan/study"
    VERSION = 2

    study: dict[str, Any]
    """The tables of its TOML file, without what is default."""
    folder: str | None = Field(default=None, exclude_if=lambda folder: folder is None)
    """Where the paths in the tables start from, relative to the workspace; older records do not have it."""


def study_file(workspace: Workspace) -> Path:
    """Return where a workspace keeps its study."""
    return workspace.root / "study.json"


def read_study(workspace: Workspace) -> StudyConfig:
    """Return the study of a workspace, with the paths of its images as they are from the current folder."""
    path = study_file(workspace)
    if not path.is_file():
        raise MissingError(
            f"No study has been begun in {workspace.root}.", "Begin one: usgan study demo (or name another --work)."
        )
    document = _read(path)
    config = parse_study(document.study)
    if document.folder is None or (start := workspace.root / document.folder).resolve() == Path.cwd():
        return config
    return replace(config, data=_from_here(config.data, start))


def _from_here(data: Data, start: Path) -> Data:
    """Return where the images are for a process of the current folder, by paths that start from another one."""

    def moved(path: Path | str) -> str:
        return str(path) if Path(path).is_absolute() else _relative(start / path, Path.cwd())

    external = [(name, sign, moved(path)) for name, sign, path in (one.partition("=") for one in data.external)]
    changes: dict[str, Any] = {"external": tuple("".join(one) for one in external)}
    if data.source != PHANTOM:
        changes["source"] = Path(moved(data.source))
    if data.groups not in {None, "folder", "none"}:
        changes["groups"] = moved(data.groups or "")
    return data.replace(**changes)


def _relative(path: Path, start: Path) -> str:
    """Return a path as it is from the folder `start`; whole where no way leads there (another drive)."""
    try:
        return os.path.relpath(path.resolve(), start.resolve())
    except ValueError:
        return str(path.resolve())


def _read(path: Path) -> StudyDocument:
    try:
        return StudyDocument.read(path)
    except FormatError as error:
        error.hint = f"Move {path} away: `usgan report` works without it, and `usgan study` writes it again."
        raise


def claim_workspace(workspace: Workspace, config: StudyConfig, *, force: bool) -> None:
    """Write down that the workspace belongs to this study, unless it belongs to one of another name."""
    path, body = study_file(workspace), study_body(config)
    folder = _relative(Path.cwd(), workspace.root)
    if path.is_file() and not force:
        there = _read(path)
        if there.study.get("name") != config.name:
            raise SettingsError(
                f"{workspace.root} belongs to the study {there.study.get('name')!r}; this one is {config.name!r}.",
                "Give each study a workspace of its own (--work DIR), or take this one over with --force, which makes "
                "everything again.",
            )
        if (there.study, there.folder) == (body, folder):
            return
    StudyDocument(study=body, folder=folder).write(path)
