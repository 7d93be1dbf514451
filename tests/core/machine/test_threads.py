"""Threads are limited in every library, and their gain is measured without changing their number."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from usgan_cli.core.machine import device as devices
from usgan_cli.core.machine.threads import SPINS, sleep_soon

LIMITED = """
import numpy, torch
from threadpoolctl import threadpool_info
from usgan_cli.core.machine.threads import limit_threads
limit_threads(1)
import scipy.linalg
print(torch.get_num_threads(), {pool["num_threads"] for pool in threadpool_info()})
"""


def test_libraries_loaded_before_and_after_keep_to_the_threads() -> None:
    """Trap: a library that was loaded with all of the machine's threads gives other last digits."""
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", LIMITED], env=free, capture_output=True, text=True, check=True)
    assert done.stdout == "1 {1}\n"


@pytest.mark.parametrize(("count", "seconds", "speedup"), [(1, [], 1.0), (4, [1.0, 2.0, 1.5, 9.0, 6.0, 4.0], 4.0)])
def test_the_speedup_is_that_of_the_quickest_attempts(
    monkeypatch: pytest.MonkeyPatch, count: int, seconds: list[float], speedup: float
) -> None:
    numbers = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
    monkeypatch.setattr(torch, "set_num_threads", numbers.append)
    monkeypatch.setattr(devices, "_time_small_work", lambda: seconds.pop(0))
    assert devices.speedup_by_threads() == speedup
    assert numbers == ([] if count == 1 else [4, 1, 4])


@pytest.mark.parametrize(
    ("has", "spins"),
    [({}, SPINS), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
    ids=str,
)
def test_waiting_threads_soon_sleep_unless_the_user_said_how(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, str], spins: str | None
) -> None:
    monkeypatch.setattr(os, "environ", dict(has))
    sleep_soon()
    assert os.environ.get("GOMP_SPINCOUNT") == spins


def test_the_program_says_so_before_torch_is_loaded() -> None:
    """Trap: the library reads it once, when it is loaded."""
    script = "import sys\nfrom usgan_cli import cli\n"
    script += "cli.sleep_soon = lambda: sys.exit(7 if 'torch' not in sys.modules else 1)\n"
    script += "from usgan_cli.__main__ import main\nmain()\n"
    assert subprocess.run([sys.executable, "-c", script, "doctor"], check=False).returncode == 7
