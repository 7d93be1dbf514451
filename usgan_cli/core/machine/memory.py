"""Memory: how much a run has held, and how the C library keeps what is freed."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`, from its malloc.h."""
KEPT_BYTES = 2**30


def memory_mb(device: torch.device) -> float:
    """Return the most memory held so far, in units of 1e6 bytes: a GPU's tensors, on a CPU the whole process."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 1e6
    return process_peak_memory_mb()


def process_peak_memory_mb() -> float:
    """Return the largest resident size of this process so far, in units of 1e6 bytes; 0 where it is unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def keep_freed_memory() -> bool:
    """Ask glibc to keep large freed blocks for the next tensor; return whether it will.

    By default every tensor over 32 MB is mapped, zeroed and unmapped again; on a CPU those page faults take up to a
    third of a training step. Other C libraries, and a glibc without `mallopt`, are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    # Large pages for large tensors, where the kernel grants them; torch reads this at its first such allocation.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)) and bool(mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))
    return False
