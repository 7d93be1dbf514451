"""The scripts follow the package: each can be loaded, so that a renamed module or function is noticed."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
FILES = sorted(path for path in SCRIPTS.rglob("*.py") if path.name != "__init__.py")


def test_there_are_scripts() -> None:
    assert {"update_docs.py", "gpu_check.py", "null_rates.py"} <= {path.name for path in FILES}


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SCRIPTS).as_posix())
def test_a_script_loads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(path.parent), str(SCRIPTS), *sys.path])
    assert runpy.run_path(str(path))["__doc__"]
