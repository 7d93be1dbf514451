"""Devices and precisions resolve to what the machine has, or to an error that says what it has."""

from __future__ import annotations

import pytest
import torch

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.machine import device as devices

CPU = torch.device("cpu")


def test_auto_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.resolve_device("auto") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.resolve_device("auto").type == "cuda"


@pytest.mark.parametrize("name", ["cpu", "auto"])
def test_a_processor_keeps_freed_memory_from_then_on(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "keep_freed_memory", lambda: asked.append(True))
    devices.resolve_device(name)
    assert asked


def test_a_named_device_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.resolve_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.resolve_device("cuda:1").index == 1
    with pytest.raises(SettingsError, match="has 2 CUDA devices; 'cuda:2'"):
        devices.resolve_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SettingsError, match="has 0 CUDA devices"):
        devices.resolve_device("cuda")


@pytest.mark.parametrize(("name", "words"), [("gpu", "not a device"), ("cpu:x", "not a device"), ("meta", "supported")])
def test_other_devices_are_refused_with_what_to_use(name: str, words: str) -> None:
    with pytest.raises(SettingsError, match=rf"{words}[^$]*auto, cpu"):
        devices.resolve_device(name)


def test_types_and_descriptions() -> None:
    assert [devices.torch_dtype(p) for p in ("float32", "bf16", "fp16")] == [torch.float32, torch.bfloat16, torch.half]
    assert devices.describe(CPU) == f"cpu ({torch.get_num_threads()} threads)"


def test_what_a_training_sets_up_ends_with_it() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    with (
        pytest.raises(KeyboardInterrupt),
        devices.prepared(torch.device("cuda"), tuned=True),
    ):
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.benchmark
        raise KeyboardInterrupt
    after = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    assert after == before
