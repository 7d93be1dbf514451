"""Kinds of devices and precisions are found without torch where there can be no GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.machine import precision


def test_auto_precision_is_the_fast_one_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: False)
    assert precision.resolve_precision("auto", "cpu") == "float32"
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)
    assert precision.resolve_precision("auto", "cpu") == "bf16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert precision.resolve_precision("auto", "cuda") == "fp16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert precision.resolve_precision("auto", "cuda") == "bf16"


def test_a_precision_that_is_of_no_use_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"fp16 is not usable on a CPU[^$]*bf16"):
        precision.resolve_precision("fp16", "cpu")
    with pytest.raises(SettingsError, match=r"'half' is not a precision[^$]*float32"):
        precision.resolve_precision("half", "cpu")
    assert precision.resolve_precision("bf16", "cpu") == "bf16"
    assert precision.resolve_precision("fp16", "cuda") == "fp16"


def test_without_torchs_private_checks_a_processor_counts_as_one_without_bf16(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(precision, "CPU_FLAGS", tmp_path / "none")
    for check in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, check, raising=False)
    assert not precision.cpu_has_bf16()
    assert precision.resolve_precision("auto", "cpu") == "float32"


@pytest.mark.parametrize(
    ("flags", "expected"), [("fpu sse2 avx512f", False), ("fpu avx512_bf16", True), ("amx_tile amx_bf16", True)]
)
def test_linux_says_in_a_file_what_a_processor_can_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, expected: bool
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"model name\t: some\nflags\t\t: {flags}\n")
    monkeypatch.setattr(precision, "CPU_FLAGS", file)
    assert precision.cpu_has_bf16() is expected


@pytest.mark.parametrize(("flags", "expected"), [("fpu avx2 fma", True), ("avx2 avx512f", False), ("asimd", False)])
def test_a_processor_without_avx512_is_narrow_where_linux_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, expected: bool
) -> None:
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "CPU_FLAGS", file)
    assert not precision.cpu_is_narrow()
    file.write_text(f"flags\t\t: {flags}\n")
    assert precision.cpu_is_narrow() is expected


def test_torch_where_it_is_loaded_says_which_device_auto_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert precision.device_kind("auto") == "cuda"
    assert precision.device_kind("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert precision.device_kind("auto") == "cpu"
    with pytest.raises(SettingsError, match="not a device"):
        precision.device_kind("gpu")


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="Linux has the file")
def test_the_file_and_torch_agree() -> None:
    expected = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert precision.cpu_has_bf16() == expected
