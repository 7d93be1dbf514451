"""Changes to files of a finished workspace: with a digest that fits, as a program would write them, or without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from usgan_cli.core.store.document import Document, RunDocument, sealed


def edit(path: Path, **changes: Any) -> None:
    """Change fields of a JSON document as a person with an editor would: its digest no longer fits."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")


def rewrite(path: Path, document: Document) -> None:
    """Write a folder's main document with other contents, and record it in `run.json`, as the step would have."""
    document.write(path)
    if (run := RunDocument.find(path.parent)) is not None:
        run.model_copy(update={"content": document.content_digest()}).write(path.parent / RunDocument.FILE)


def write_sealed(path: Path, body: dict[str, Any]) -> None:
    """Write the fields of a document, which may be wrong, with their digest."""
    path.write_text(json.dumps(sealed(body)), encoding="utf-8")
