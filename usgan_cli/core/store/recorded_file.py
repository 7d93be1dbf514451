"""An artefact that is one binary file, such as a picture or an exported network, with its record beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.store import files
from usgan_cli.core.store.document import Document
from usgan_cli.core.store.lifecycle import Making, never, settling
from usgan_cli.core.store.provenance import Clock
from usgan_cli.core.store.step import Request, Step


class FileRecord(Document):
    """`NAME.png.json`, `NAME.onnx.json`: the record of the file beside it."""

    FORMAT = "usgan/file"

    file: str
    sha256: str
    about: dict[str, Any]

    def beside(self) -> dict[str, str]:
        """Return the digest of the file."""
        return {self.file: self.sha256}


def record_path(path: Path) -> Path:
    """Return the path of a file's record."""
    return path.with_name(f"{path.name}.json")


@contextmanager
def making_recorded_file(path: Path, step: Step, request: Request) -> Iterator[Making]:
    """Make an artefact that is one binary file: the block writes it to `making.place` and fills `making.about`."""
    record = record_path(path)
    if path.is_dir() or (path.exists() and not record.exists()):
        raise SettingsError(f"{path} exists and was not made by usgan.", "Choose another place, or move it away.")
    if record.exists() and not path.exists():
        # An earlier run was interrupted between its record and its file (see below).
        request = replace(request, force=True)
    with settling(record, step, _about, request, never) as making:
        if not making.needed:
            yield making
        else:
            files.clear_temporary(path)
            clock = Clock(step, request.study)
            with files.atomic_path(path) as making.place:
                yield making
                sha256 = files.sha256_file(making.place)
                # Whenever this is interrupted, a record without its file stays: it is made again.
                path.unlink(missing_ok=True)
                about = FileRecord(file=path.name, sha256=sha256, about=making.about, run=clock.record())
                about.write(record)
    making._outcome = replace(making.outcome, path=path)


def _about(record: Path) -> dict[str, Any]:
    """Return the contents of a file's record, and check that the file is still the same."""
    document = FileRecord.read(record)
    document.check_beside(record)
    return document.about
