"""Quick forms of scripts/fuzz.py and scripts/faults.py; the long ones are run by hand before a release."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import pytest
from harness.examples import document_classes
from harness.readers import Reader, all_readers, changed, run_one

CORPUS = Path(__file__).resolve().parent / "corpus"
CASES = 40
"""Changed files for each reader; every run has the same."""


@cache
def readers() -> dict[str, Reader]:
    return {reader.name.replace("/", "-").replace(" ", "-"): reader for reader in all_readers()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", readers())
def test_a_changed_file_is_read_or_refused_with_a_message(name: str, tmp_path: Path) -> None:
    reader, draws = readers()[name], random.Random(name)
    kept = [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
    for data in [*reader.seeds, *kept, *(changed(reader, draws) for _ in range(CASES))]:
        if (error := run_one(reader, tmp_path / "case", data)) is not None:
            raise error


def test_every_kept_file_belongs_to_a_reader() -> None:
    assert {place.name for place in CORPUS.iterdir()} <= readers().keys()


def test_every_format_has_a_reader() -> None:
    assert {cls.FORMAT.replace("/", "-") for cls in document_classes()} <= readers().keys()
