"""Triton's kernels without a GPU: its interpreter runs them on the processor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from usgan_cli.gan.kernels import choice


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute with Triton's kernels on the processor."""
    pytest.importorskip("triton", reason="Triton comes with torch on Linux alone")
    if torch.cuda.is_available():
        pytest.skip("with a GPU, scripts/gpu_check.py compares the kernels themselves")
    monkeypatch.setenv(choice.VARIABLE, "triton")
    choice.interpreted.cache_clear()
    choice.kernels_of.cache_clear()
    yield
    monkeypatch.undo()
    choice.interpreted.cache_clear()
    choice.kernels_of.cache_clear()


@pytest.fixture
def few_programs(interpreted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each program compute much at a time: the interpreter's time goes by programs, not by numbers."""
    from usgan_cli.gan.kernels import triton_activation, triton_filters, triton_synthesis

    for module in (triton_activation, triton_filters, triton_synthesis):
        monkeypatch.setattr(module, "TILE", 2**17)
