"""The kind of device that an option means, its fastest precision, and what it cannot do.

A study is planned without loading torch, which takes seconds: torch is asked only where there may be a GPU.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path
from typing import Literal

from usgan_cli.core.errors import SettingsError

DeviceKind = Literal["cpu", "cuda"]
Precision = Literal["float32", "bf16", "fp16"]
CPU_FLAGS = Path("/proc/cpuinfo")
BF16_FLAGS = {"avx512_bf16", "amx_tile"}
WIDE_FLAGS = {"avx512f", "asimd"}


def device_kind(name: str) -> DeviceKind:
    """Return the kind of the device that `name` means; see `device.resolve_device`."""
    if name == "cpu" or (name == "auto" and "torch" not in sys.modules and not has_gpu_driver()):
        return "cpu"
    from usgan_cli.core.machine.device import resolve_device

    return "cpu" if resolve_device(name).type == "cpu" else "cuda"


@cache
def has_gpu_driver() -> bool:
    """Return whether the driver of a GPU can be loaded; without one torch finds no GPU."""
    if sys.platform == "darwin":
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()  # AMD's, which torch calls cuda too
    return True


def cpu_has_bf16() -> bool:
    """Return whether this processor multiplies bfloat16 numbers itself (AVX-512 BF16 or AMX).

    Linux says so in a file. Elsewhere torch does, in private functions only; without them the answer is False.
    """
    if CPU_FLAGS.is_file():
        return not BF16_FLAGS.isdisjoint(CPU_FLAGS.read_text(encoding="utf-8", errors="replace").split())
    import torch

    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, check, lambda: False)()) for check in checks)


def cpu_is_narrow() -> bool:
    """Return whether this is a processor without AVX-512, where Linux says so; one of Arm does not count as narrow."""
    if not CPU_FLAGS.is_file():
        return False
    return WIDE_FLAGS.isdisjoint(CPU_FLAGS.read_text(encoding="utf-8", errors="replace").split())


def resolve_precision(name: str, kind: str) -> Precision:
    """Return the precision of the fast layers on a device's kind: "auto" is the fastest that it computes itself."""
    if name == "auto":
        if kind == "cpu":
            return "bf16" if cpu_has_bf16() else "float32"
        import torch

        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if name == "fp16" and kind == "cpu":
        raise SettingsError("fp16 is not usable on a CPU.", "Use --precision bf16 or float32.")
    if name not in {"float32", "bf16", "fp16"}:
        raise SettingsError(f"{name!r} is not a precision.", "Use auto, float32, bf16 or fp16.")
    return name  # type: ignore[return-value]


def check_graphs(choice: str, kind: str) -> None:
    """Raise a `SettingsError` where CUDA graphs must be recorded ("on"), on a device of a kind that has none."""
    if choice == "on" and kind != "cuda":
        raise SettingsError(f"--cuda-graphs on needs a GPU; this training runs on {kind}.", "Use --cuda-graphs auto.")
