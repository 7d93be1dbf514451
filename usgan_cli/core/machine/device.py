"""What a run computes with: a device, torch's settings for it, and its threads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.machine.memory import keep_freed_memory


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device called `name`: "auto" is the first GPU if there is one, otherwise the CPU.

    Whatever computes asks here first, so a CPU keeps freed memory from here on.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        name = "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SettingsError(f"{name!r} is not a device.", "Use auto, cpu, cuda or cuda:1.") from None
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise SettingsError(f"This machine has {count} CUDA devices; {name!r} is not one of them.", "Use cpu.")
    elif device.type == "cpu":
        keep_freed_memory()
    else:
        raise SettingsError(f"Devices of the type {device.type!r} are not supported.", "Use auto, cpu or cuda.")
    return device


def torch_dtype(precision: str) -> torch.dtype:
    """Return torch's type for a precision; float64, which no command offers, is for comparisons."""
    names = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "float64": torch.float64}
    return names[precision]


def describe(device: torch.device) -> str:
    """Return a GPU's name, or the CPU with its number of threads in use."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"


@contextmanager
def prepared(device: torch.device, *, tuned: bool = False) -> Iterator[None]:
    """Set a device up for training: a CPU keeps freed memory; a GPU computes float32 products as TF32.

    A GPU's settings are the process's own, so they are put back at the end: what runs next must not depend on what ran
    before. `tuned` lets cuDNN time its ways of computing each convolution: about 20 s, for a gain of about 1 %.
    """
    if device.type == "cpu":
        keep_freed_memory()
        yield
        return
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=tuned, allow_tf32=True):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def speedup_by_threads() -> float:
    """Measure how many times faster all CPU threads are than one on small work.

    On a busy machine threads wait for the slowest at every step, and this falls far below 1.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return 1.0
    seconds = {}
    try:
        for count in (threads, 1):
            torch.set_num_threads(count)
            seconds[count] = min(_time_small_work() for _ in range(3))
    finally:
        torch.set_num_threads(threads)
    return seconds[1] / seconds[threads]


def _time_small_work() -> float:
    x = torch.ones(512, 512)
    begin = time.perf_counter()
    for _ in range(40):
        x = torch.tanh(x)
    return time.perf_counter() - begin
