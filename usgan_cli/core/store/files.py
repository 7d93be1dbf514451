"""Files that are whole or absent: digests, atomic writes and locks."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from usgan_cli.core.errors import BusyError

PARTIAL = re.compile(r"\.(?P<name>.+)\.(?:(?P<machine>[0-9a-f]{8})-)?(?P<pid>\d+)\.partial")
"""Names of the temporary files of `atomic_path`: the final name, `these_processes`, the number of the writing one."""
MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
PROCESSES = Path("/proc/self/ns/pid")
"""On Linux a link whose end names the processes whose numbers can be seen."""
RANDOM_ADDRESS = 1 << 40
"""Bit of a network card's address that `uuid.getnode` sets where it found none: then each process draws another."""

CLEARING_S = 10
"""How long to wait for a lock whose holder does not say who it is."""


def sha256_bytes(data: bytes | memoryview) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let failures of the operating system name the file, which reading, writing and closing leave out."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes; any failure names the file."""
    with naming(path):
        return path.read_bytes()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with naming(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_json(value: Any) -> str:
    """Return the SHA-256 of a JSON-able value; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return sha256_bytes(text.encode())


def beside(path: Path, suffix: str) -> Path:
    """Return the hidden path that something for `path` has beside it."""
    return path.with_name(f".{path.name}.{suffix}")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the final name on success and is removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(path, f"{these_processes()}-{os.getpid()}.partial")
    try:
        with naming(path):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_partial(path: Path) -> bool:
    """Return whether `path` is named like a temporary file of `atomic_path`."""
    return PARTIAL.fullmatch(path.name) is not None


def clear_temporary(path: Path) -> None:
    """Remove what killed processes left of `atomic_path(path)`; the caller holds a lock that keeps others from it."""
    for leftover in path.parent.glob(".*.partial"):
        if (match := PARTIAL.fullmatch(leftover.name)) and match["name"] == path.name:
            leftover.unlink(missing_ok=True)


def clear_partial(folder: Path) -> None:
    """Remove the temporary files of killed processes from `folder`, whose lock the caller holds."""
    for leftover in [entry for entry in folder.rglob(".*.partial") if is_partial(entry)]:
        leftover.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that is never seen half-written."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file that is never seen half-written."""
    # Half a character, as in a path that is not Unicode, is written as JSON writes it: \\udcff.
    write_bytes(path, text.encode(errors="backslashreplace"))


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Hold the lock on `path` for as long as clearing up takes, if nobody holds it.

    Raises
    ------
    BusyError
        Somebody holds it.
    """
    lock = FileLock(beside(path, "lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(f"{path} is being written.", "Wait until it has finished.") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def locked(path: Path, *, wait_s: float = 0) -> Iterator[None]:
    """Hold the lock on `path`, a hidden file beside it, for the block; remove temporary files of killed processes.

    `wait_s` is how many seconds to wait while another process holds it (a negative number waits forever) before a
    `BusyError` names that process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = beside(path, "holder")
    lock = FileLock(beside(path, "lock"))
    if not _acquire(lock, path, wait_s):
        raise BusyError(
            f"{path} is being written by {holder_of(path) or 'another process'}.",
            "Wait until it has finished, then run the same command again (it will be skipped), or use another place.",
        )
    try:
        clear_temporary(path)
        holder.write_text(json.dumps({"pid": os.getpid(), "machine": this_machine()}))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: FileLock, path: Path, wait_s: float) -> bool:
    """Take a lock, and return whether that was possible.

    While no living process says that it holds the lock, it may be `claimed` for a moment: that is waited for.
    """
    end = time.monotonic() + CLEARING_S
    while True:
        try:
            lock.acquire(timeout=wait_s)
        except Timeout:
            if holder_of(path) is not None or time.monotonic() > end:
                return False
            time.sleep(0.05)
        else:
            return True


def holder_of(path: Path) -> str | None:
    """Return the process that holds the lock on `path`, in words; None if it is free.

    A dead process on this machine holds no lock; for other machines we cannot know.
    """
    try:
        holder = json.loads(beside(path, "holder").read_text())
        pid, machine = int(holder["pid"]), holder["machine"]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    if machine != this_machine():
        return f"process {pid} of another machine"
    return f"process {pid}" if is_alive(pid) else None


def this_machine() -> str:
    """Return eight hexadecimal digits that stand for this machine: of its name, salted so that it cannot be guessed."""
    return sha256_bytes(f"{_salt()}/{socket.gethostname()}".encode())[:8]


def these_processes() -> str:
    """Return eight hexadecimal digits that stand for the processes whose numbers can be seen from this one.

    These are the machine's, or those of a container, which may have the machine's name.
    """
    try:
        space = PROCESSES.readlink()
    except OSError:
        return this_machine()
    return sha256_bytes(f"{this_machine()}/{space}".encode())[:8]


def _salt() -> str:
    """Return what only this machine knows and keeps: the system's identifier, or else the network card's address."""
    for path in MACHINE_IDS:
        try:
            if text := path.read_text().strip():
                return text
        except (OSError, ValueError):
            continue
    address = uuid.getnode()
    return "" if address & RANDOM_ADDRESS else f"{address:x}"


def is_alive(pid: int) -> bool:
    """Return whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's process
        return True
    return True
