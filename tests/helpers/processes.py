"""Programs started by tests, with the signals that a terminal would give them."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from typing import IO, Any

USGAN = (sys.executable, "-m", "usgan_cli")


class Forked:
    """A process that is forked from the tests' own, which has loaded what it needs: to load it anew takes seconds.

    It runs `work`, whose result is its exit status, with Ctrl-C as in a terminal and a process group of its own. The
    methods are those of `subprocess.Popen`. Several threads must not be running: keep to one thread of torch.
    """

    def __init__(self, work: Callable[[], int], env: Mapping[str, str] | None = None) -> None:
        self.files: list[IO[bytes]] = [tempfile.TemporaryFile() for _ in "oe"]  # noqa: SIM115 (read at the end)
        self.returncode: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._be(work, env or {})

    def _be(self, work: Callable[[], int], env: Mapping[str, str]) -> None:
        code = 70
        try:
            os.setsid()
            os.environ.update(env)
            for number, file in enumerate(self.files, start=1):
                os.dup2(file.fileno(), number)
            sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), write_through=True)
            sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), write_through=True)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            code = work()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc(file=sys.stderr)
            code = 1
        finally:
            os._exit(code)

    def poll(self) -> int | None:
        """Return the exit status, or minus the number of the signal that ended it; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float = 240) -> int:
        """Wait for the end."""
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("a forked process", timeout)
            time.sleep(0.01)
        return code

    def communicate(self, timeout: float = 240) -> tuple[str, str]:
        """Wait for the end, and return what was printed and what was said."""
        self.wait(timeout)
        printed = []
        for file in self.files:
            with file:
                file.seek(0)
                printed.append(file.read().decode())
        return printed[0], printed[1]

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def usgan(*words: str, env: Mapping[str, str] | None = None) -> Forked:
    """Start a command in a forked process."""

    def work() -> int:
        from usgan_cli import cli

        return cli.run(list(words))

    return Forked(work, env)


def start(*words: str, **options: Any) -> subprocess.Popen[str]:
    """Start a program whose Ctrl-C works: the background jobs of a shell, and all they start, ignore SIGINT."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    finally:
        signal.signal(signal.SIGINT, handler)


def wait_until(ready: Callable[[], object], process: subprocess.Popen[str] | Forked, timeout_s: float = 120) -> None:
    """Wait for something that a process does; it must not end before."""
    end = time.monotonic() + timeout_s
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"ended early or took too long:\n{out}\n{err}")
        time.sleep(0.02)
