"""In continuous integration a skipped test fails the run, unless the list of allowed skips has its reason."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
EXPECTED = 'import pytest\n\ndef test_it() -> None:\n    pytest.skip("no browser on PATH (looked for chromium)")\n'
UNEXPECTED = EXPECTED.replace("no browser on PATH", "no time today")
MODULE = 'import pytest\n\npytest.importorskip("no_such_module")\n'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "ci", "passes"),
    [(EXPECTED, "true", True), (UNEXPECTED, "true", False), (UNEXPECTED, "", True), (MODULE, "true", False)],
)
def test_an_unexpected_skip_fails_the_run(tmp_path: Path, source: str, ci: str, passes: bool) -> None:
    for name in ("conftest.py", "allowed_skips.txt"):
        shutil.copy(TESTS / name, tmp_path / name)
    (tmp_path / "test_it.py").write_text(source)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"CI": ci}, capture_output=True, text=True, check=False
    )
    assert done.returncode == (0 if passes else 1), done.stdout + done.stderr
    assert ("does not list" in done.stdout) == (not passes)
