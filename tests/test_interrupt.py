"""The program can be interrupted from its first moment on, while it still loads what it is made of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os, signal, sys
class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.{number})
sys.meta_path.insert(0, Interrupts())
sys.argv = ["usgan", "subsample", "--n", "4", "--work", {work!r}]
from usgan_cli.__main__ import main
sys.exit(main())
"""
MODULES = ["usgan_cli.cli", "typer", "usgan_cli.core.errors", "usgan_cli.steps.subsample", "numpy", "pydantic"]


@pytest.mark.parametrize(
    ("module", "number"),
    [*((module, "SIGINT") for module in MODULES), (MODULES[0], "SIGTERM"), (MODULES[-1], "SIGTERM")],
)
def test_an_interruption_while_loading_is_no_traceback(module: str, number: str, tmp_path: Path) -> None:
    code = CODE.format(module=module, number=number, work=str(tmp_path))
    words = [sys.executable, "-c", f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{code}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
