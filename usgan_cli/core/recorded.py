"""Artefacts that are one binary file (a picture, an exported model), with their record beside them as NAME.json."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from usgan_cli.core import artefact, files
from usgan_cli.core.documents import Document
from usgan_cli.core.errors import DataError, SettingsError


class FileRecord(Document):
    """`NAME.png.json`, `NAME.onnx.json`: what the file beside it is, and the run that made it."""

    FORMAT = "usgan/file"

    file: str
    sha256: str
    about: dict[str, Any]
    """What the maker says of it."""


def record_path(path: Path) -> Path:
    """Return where the record of a file is."""
    return path.with_name(f"{path.name}.json")


def make_recorded_file(
    path: Path, step: artefact.Step, work: Callable[[Path], dict[str, Any]], request: artefact.Request
) -> artefact.Outcome:
    """Make an artefact that is one binary file; it is skipped, refused, redone and planned as every other.

    Parameters
    ----------
    path : Path
    step : Step
    work : callable
        Writes the file to the path that it is given, and returns what its record says of it.
    request : Request

    Raises
    ------
    SettingsError
        A file is there that usgan did not make, or that was made with other settings.
    DataError
        What is there has changed since it was made.
    """
    record = record_path(path)
    if path.is_dir() or (path.exists() and not record.exists()):
        raise SettingsError(f"{path} exists and was not made by usgan.", "Choose another place, or move it away.")

    def make() -> FileRecord:
        with files.atomic_path(path) as temporary:
            about = work(temporary)
            sha256 = files.sha256_file(temporary)
        return FileRecord(file=path.name, sha256=sha256, about=about)

    def summary(found: Path) -> dict[str, Any]:
        told = FileRecord.read(found)
        if files.sha256_file(path) != told.sha256:
            raise DataError(f"{path} has changed since it was made.", "Make it again with --force.")
        return told.about

    if record.exists() and not path.exists():
        request = replace(request, force=True)
    outcome = artefact.make_file(record, step, make, summary, request)
    return artefact.Outcome(path, outcome.status, outcome.result)
