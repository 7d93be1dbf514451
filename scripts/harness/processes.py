"""Commands in processes of their own, forked from one that has loaded everything, which takes no time."""

from __future__ import annotations

import fcntl
import importlib
import importlib.util
import io
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # a process with threads must not fork
TIMEOUT_S = 900
CPU_S = 120
PIPE_BYTES = 1 << 20


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    """Exit status, or minus the number of the signal that ended it."""
    out: str
    err: str

    @property
    def traceback(self) -> bool:
        """Whether it ended in an error that nobody caught, or hid one."""
        return "Traceback (most recent call last)" in self.err or "Exception ignored" in self.err


def load_everything() -> None:
    """Import what commands import, once."""
    import usgan_cli

    for part in ("commands", "core", "data", "gan", "metrics", "classify", "stats", "study", "reporting", "steps"):
        for module in pkgutil.walk_packages([str(Path(usgan_cli.__path__[0]) / part)], f"usgan_cli.{part}."):
            if "triton" not in module.name:
                importlib.import_module(module.name)
    for name in ("matplotlib.pyplot", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg",
                 "scipy.stats", "sklearn.linear_model", "torchvision.transforms.v2", "PIL.GifImagePlugin",
                 "rich.console", "rich.table", "rich.progress", "safetensors.torch", "safetensors.numpy"):  # fmt: skip
        importlib.import_module(name)
    for name in ("onnx", "onnxscript", "onnxruntime", "torch.onnx"):
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name)
    import torch

    torch.set_num_threads(1)


class Child:
    """A forked process that runs `work`; what it prints comes through pipes, which no limit on files concerns."""

    def __init__(self, work: Callable[[], int]) -> None:
        pipes = [os.pipe(), os.pipe()]
        self.streams = [read for read, _ in pipes]
        for read, _ in pipes:
            fcntl.fcntl(read, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.began = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._be(work, [write for _, write in pipes])
        for _, write in pipes:
            os.close(write)

    def _be(self, work: Callable[[], int], streams: list[int]) -> None:
        code = 70
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number, stream in zip((1, 2), streams, strict=True):
                os.dup2(stream, number)
            sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), write_through=True)
            sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), write_through=True)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
            code = work()
        except BaseException:
            traceback.print_exc(file=sys.stderr)
            code = 1
        finally:
            os._exit(code)

    def poll(self) -> bool:
        """Whether it has ended (`wait` must still be called)."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self) -> Ended:
        """Wait for the end; after TIMEOUT_S, or CPU_S of computing, the process is killed."""
        while not self.poll():
            if time.monotonic() - self.began > TIMEOUT_S:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.005)
        _, status = os.waitpid(self.pid, 0)
        printed = []
        for stream in self.streams:
            os.set_blocking(stream, False)  # a grandchild may hold the other end
            with io.FileIO(stream, "r") as file:
                printed.append((file.read(PIPE_BYTES) or b"").decode(errors="replace"))
        return Ended(os.waitstatus_to_exitcode(status), printed[0], printed[1])


def limit_file_size(size: int) -> None:
    """Let the kernel refuse to make any file longer than `size` bytes (EFBIG)."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
