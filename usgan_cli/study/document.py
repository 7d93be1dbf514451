"""`study.json`: which study a workspace belongs to, so that `usgan status` knows the whole of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from usgan_cli.core.errors import FormatError, MissingError, SettingsError
from usgan_cli.core.store.document import Document
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.study.config import StudyConfig, parse_study, study_body


class StudyDocument(Document):
    """The study that a workspace was made by."""

    FORMAT = "usgan/study"
    VERSION = 2

    study: dict[str, Any]
    """The tables of its TOML file, without what is default."""


def study_file(workspace: Workspace) -> Path:
    """Return where a workspace keeps its study."""
    return workspace.root / "study.json"


def read_study(workspace: Workspace) -> StudyConfig:
    """Return the study of a workspace."""
    path = study_file(workspace)
    if not path.is_file():
        raise MissingError(
            f"No study has been begun in {workspace.root}.", "Begin one: usgan study demo (or name another --work)."
        )
    return parse_study(_study_tables(path))


def _study_tables(path: Path) -> dict[str, Any]:
    try:
        return StudyDocument.read(path).study
    except FormatError as error:
        error.hint = f"Move {path} away: `usgan report` works without it, and `usgan study` writes it again."
        raise


def claim_workspace(workspace: Workspace, config: StudyConfig, *, force: bool) -> None:
    """Write down that the workspace belongs to this study, unless it belongs to one of another name."""
    path, body = study_file(workspace), study_body(config)
    if path.is_file() and not force:
        there = _study_tables(path)
        if there.get("name") != config.name:
            raise SettingsError(
                f"{workspace.root} belongs to the study {there.get('name')!r}; this one is {config.name!r}.",
                "Give each study a workspace of its own (--work DIR), or take this one over with --force, which makes "
                "everything again.",
            )
        if there == body:
            return
    StudyDocument(study=body).write(path)
