"""Freed memory is kept where the C library can, and nothing breaks where it cannot."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from usgan_cli.core.machine.memory import keep_freed_memory, memory_mb, process_peak_memory_mb

FAULTS = """
import ctypes, resource, sys
from usgan_cli.core.machine.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        block = ctypes.create_string_buffer(2**26)
        ctypes.memset(block, 1, 2**26)
        del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


def test_the_peak_grows_with_what_is_held() -> None:
    before = process_peak_memory_mb()
    block = torch.ones(int(before * 1.1e6) // 4)
    assert memory_mb(torch.device("cpu")) == process_peak_memory_mb() > before + block.nbytes / 2e6


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_a_block_that_was_freed_is_used_again_without_page_faults() -> None:
    faults = {
        kind: int(subprocess.run([sys.executable, "-c", FAULTS, kind], capture_output=True, check=True).stdout)
        for kind in ("keep", "free")
    }
    assert faults["keep"] < faults["free"] / 10


@pytest.mark.parametrize("missing", ["another C library", "no library to load", "no mallopt", "mallopt refuses"])
def test_where_memory_cannot_be_kept_nothing_happens(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    def load(name: None) -> SimpleNamespace:
        if missing == "no library to load":
            raise OSError
        return SimpleNamespace() if missing == "no mallopt" else SimpleNamespace(mallopt=lambda *_: 0)

    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl" if missing == "another C library" else "glibc", "2"))
    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "1")
    assert not keep_freed_memory()
