"""The documents for developers name files that exist, and link to documents that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [*sorted((ROOT / "docs").glob("*.md")), ROOT / ".github" / "CONTRIBUTING.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_and_folders_named_in_a_document_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"`([\w./]+(?:\.py|\.sh|\.txt|\.toml|/))", text)
    named = [name for name in named if name.upper() != name and "NAME" not in name]
    linked = re.findall(r"\]\(([^)#:]+)\)", text)
    assert named or linked or document.name not in ("architecture.md", "CONTRIBUTING.md")
    absent = [name for name in named if not any((top / name).exists() for top in (ROOT, ROOT / "usgan_cli"))]
    absent += [name for name in linked if not (document.parent / name).exists()]
    assert absent == []


def test_every_part_of_the_package_is_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    parts = {path.parent.name for path in (ROOT / "usgan_cli").glob("*/__init__.py")}
    assert {part for part in parts if f"| `{part}/` |" not in text} == set()
