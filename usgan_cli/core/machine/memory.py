"""Memory: how much a run has held, and how the C library keeps it."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def memory_mb(device: torch.device) -> float:
    """Return the most memory held so far, in units of 1e6 bytes: of the GPU where there is one, else of the process."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 1e6
    return process_peak_memory_mb()


def process_peak_memory_mb() -> float:
    """Return the largest resident size of this process so far, in units of 1e6 bytes."""
    with suppress(ImportError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
    return 0.0


def keep_freed_memory() -> bool:
    """Ask glibc to keep large freed blocks for the next tensor rather than return them to the system.

    By default every tensor over 32 MB is mapped, zeroed and unmapped anew; up to a third of a training step on
    a CPU goes to those page faults. Best effort: returns whether the C library took the settings.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    with suppress(OSError, AttributeError):
        # Large pages for large tensors, where the kernel grants them; torch reads this at its first such allocation.
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
        mallopt = ctypes.CDLL(None).mallopt
        trim_threshold, mmap_threshold, limit = -1, -3, 2**30
        return bool(mallopt(mmap_threshold, limit)) and bool(mallopt(trim_threshold, limit))
    return False
