"""A thin layer between a command and its file system that fails, or stops the process, at a chosen event.

The events are what Python reports to audit hooks (files opened, renamed, removed, folders made and listed), each write
of a file and each `fsync`, wherever the path lies in the workspace. The package itself is not changed; a shim cannot be
taken out again, so it is installed in a process of its own (`harness.processes`).
"""

from __future__ import annotations

import builtins
import datetime
import errno
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

AUDITED = {
    "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.utime",
    "os.listdir", "os.scandir", "os.chmod", "shutil.rmtree", "shutil.copyfile", "shutil.move",
}  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
FAULTS = (*SIGNALS, "disk full", "EIO", "size limit", "removed", "clock")
START = 1_750_000_000.0
"""The time that all disturbed and undisturbed commands see, so that what they write can be compared byte by byte."""


class Event(NamedTuple):
    """Something that happens to a file or folder of the workspace."""

    name: str
    path: str
    writes: bool


Action = Callable[["Shim", Event], None]


@dataclass
class Shim:
    """Counts a workspace's events, and acts on the n-th."""

    root: Path
    act: Action = lambda *_: None
    """Called from the n-th event on."""
    at: int = 0
    """The event to act on, from 1; 0 for none."""
    count: int = 0
    busy: bool = False

    def event(self, name: str, path: Any, *, writes: bool) -> None:
        """Count an event, and act if it is time."""
        if self.busy or not self.inside(path):
            return
        self.count += 1
        if self.at and self.count >= self.at:
            self.busy = True
            try:
                self.act(self, Event(name, os.fsdecode(path), writes))
            finally:
                self.busy = False

    def inside(self, path: Any) -> bool:
        """Whether a path lies in the workspace."""
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        whole = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  (pathlib would call hooks)
        return whole == str(self.root) or whole.startswith(f"{self.root}{os.sep}")

    def audit(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Receive what Python reports to audit hooks."""
        if name not in AUDITED or not arguments:
            return
        writes = True
        if name == "open":
            mode, flags = arguments[1], arguments[2]
            writes = bool(flags & WRITES) if isinstance(flags, int) else any(c in (mode or "") for c in "wax+")
        elif name in ("os.listdir", "os.scandir"):
            writes = False
        self.event(name, arguments[0], writes=writes)

    def install(self) -> None:
        """Watch this process from now on."""
        shim, real_open = self, io.open

        class Raw(io.FileIO):
            def write(self, data: Any) -> int | None:
                shim.event("write", self.name, writes=True)
                return super().write(data)

        def watched_open(
            file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None, errors: str | None = None,
            newline: str | None = None, closefd: bool = True, opener: Any = None,
        ) -> Any:  # fmt: skip
            if not set(mode) & set("wax+") or not shim.inside(file):
                return real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
            raw = Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
            if buffering == 0:
                return raw
            binary: Any = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
            if "b" in mode:
                return binary
            return io.TextIOWrapper(binary, encoding, errors, newline, line_buffering=buffering == 1)

        def watched_fsync(fd: Any) -> None:
            number = fd if isinstance(fd, int) else fd.fileno()
            # Never to the disk: many commands run, and no power cut is simulated.
            shim.event("fsync", os.readlink(f"/proc/self/fd/{number}"), writes=True)  # noqa: PTH115

        io.open = builtins.open = watched_open  # type: ignore[assignment]
        os.fsync = watched_fsync
        _watch_safetensors(self)
        sys.addaudithook(self.audit)


def _watch_safetensors(shim: Shim) -> None:
    """Files of tensors are written outside Python: fail as that library does, with part of the file written."""
    import safetensors
    import safetensors.numpy
    import safetensors.torch

    for module in (safetensors.numpy, safetensors.torch):
        real = module.serialize_file

        def watched(tensors: Any, filename: Any, metadata: Any = None, _real: Any = real, **more: Any) -> None:
            try:
                shim.event("write", filename, writes=True)
            except OSError as error:
                Path(filename).write_bytes(b"\x10\0\0\0\0\0\0\0{")
                reason = f"Error while serializing: I/O error: {error.strerror} (os error {error.errno})"
                raise safetensors.SafetensorError(reason) from None
            _real(tensors, filename, metadata, **more)

        module.serialize_file = watched


def still_clock() -> Callable[[float], None]:
    """Stop the clocks of this process, and its memory's measure; return what moves the time of day by some seconds."""
    moved = [0.0]
    real = datetime.datetime

    class Frozen(real):  # type: ignore[valid-type,misc]
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            # What a run records as its beginning does not move, or no two runs could be compared.
            return real.fromtimestamp(START, tz)

    datetime.datetime = Frozen  # type: ignore[misc]
    running = SimpleNamespace(**vars(time))
    for name, module in list(sys.modules.items()):
        if name.startswith("filelock") and hasattr(module, "time"):
            module.time = running  # type: ignore[attr-defined]  # locks are waited for by the clock
    time.time = lambda: START + moved[0]
    time.time_ns = lambda: int((START + moved[0]) * 1e9)
    time.perf_counter = lambda: 1000.0
    time.monotonic = lambda: 1000.0

    for name, module in list(sys.modules.items()):
        if name.startswith("usgan_cli") and hasattr(module, "process_peak_memory_mb"):
            module.process_peak_memory_mb = lambda: 100.0

    def move(seconds: float) -> None:
        moved[0] += seconds

    return move


def _signal(number: signal.Signals) -> Action:
    def act(shim: Shim, _event: Event) -> None:
        if shim.count == shim.at:
            os.kill(os.getpid(), number)

    return act


def _full(_shim: Shim, event: Event) -> None:
    if event.writes and event.name in ("open", "write", "os.mkdir"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), event.path)


def _broken(shim: Shim, event: Event) -> None:
    if shim.count == shim.at:
        raise OSError(errno.EIO, os.strerror(errno.EIO), event.path)


def removed_place(root: Path) -> Path:
    """Where a workspace goes that is removed while a command works in it."""
    return root.with_name(f"{root.name}.removed")


def _removed(shim: Shim, _event: Event) -> None:
    if shim.count == shim.at:
        shim.root.rename(removed_place(shim.root))


def fault_action(fault: str, move: Callable[[float], None], amount: float) -> Action:
    """Return what a fault does at its event; `amount` moves the clock, seconds."""

    def jump(shim: Shim, _event: Event) -> None:
        if shim.count == shim.at:
            move(amount)

    table = {"disk full": _full, "EIO": _broken, "removed": _removed, "clock": jump}
    return _signal(SIGNALS[fault]) if fault in SIGNALS else table[fault]
