"""Programs started by tests, with the signals that a terminal would give them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

USGAN = (sys.executable, "-m", "usgan_cli")


def start(*words: str, **options: Any) -> subprocess.Popen[str]:
    """Start a program whose Ctrl-C works: the background jobs of a shell, and all they start, ignore SIGINT."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    finally:
        signal.signal(signal.SIGINT, handler)


def wait_until(ready: Callable[[], object], process: subprocess.Popen[str], timeout_s: float = 120) -> None:
    """Wait for something that a process does; it must not end before."""
    end = time.monotonic() + timeout_s
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"ended early or took too long:\n{out}\n{err}")
        time.sleep(0.02)
