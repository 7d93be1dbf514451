"""Which kernels serve a device, and what is said where Triton's do not work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_gan
import torch

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.progress import Silent
from usgan_cli.gan import kernels, train
from usgan_cli.gan.kernels import choice

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what was chosen before, and a GPU's generation that this machine may lack."""
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(choice, "interpreted", lambda: False)
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    choice.kernels_of.cache_clear()
    yield
    choice.kernels_of.cache_clear()


def pretend_probe(monkeypatch: pytest.MonkeyPatch, error: float | Exception) -> None:
    def largest_error(_: torch.device) -> float:
        if isinstance(error, Exception):
            raise error
        return error

    probe = SimpleNamespace(largest_error=largest_error)
    monkeypatch.setitem(sys.modules, "usgan_cli.gan.kernels.probe", probe)  # type: ignore[arg-type]
    monkeypatch.setattr(kernels, "probe", probe, raising=False)


def test_a_gpu_has_tritons_kernels_and_a_processor_the_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_probe(monkeypatch, 1e-7)
    assert choice.kernels_of(GPU).name == "triton"
    assert choice.kernels_of(CPU) == choice.Kernels("torch")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("PTXAS error: no compiler\nmore"), "building them failed (PTXAS error: no compiler)"),
        (ValueError(""), "building them failed (ValueError)"),
        (0.3, "differ from the library's results by 0.3"),
    ],
)
def test_where_they_do_not_work_the_library_serves_and_the_reason_is_kept(
    error: float | Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_probe(monkeypatch, error)
    chosen = choice.kernels_of(GPU)
    assert chosen.name == "torch"
    assert said in chosen.problem
    monkeypatch.setenv(choice.VARIABLE, "triton")
    choice.kernels_of.cache_clear()
    with pytest.raises(SettingsError, match="do not work here"):
        choice.kernels_of(GPU)


def test_an_old_gpu_and_a_missing_triton_are_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (6, 1))
    assert "older" in choice.kernels_of(GPU).problem
    choice.kernels_of.cache_clear()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setitem(sys.modules, "usgan_cli.gan.kernels.probe", None)  # type: ignore[arg-type]
    monkeypatch.delattr(kernels, "probe", raising=False)
    assert "cannot be loaded" in choice.kernels_of(GPU).problem


def test_kernels_in_python_do_not_serve_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_probe(monkeypatch, 1e-7)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert "TRITON_INTERPRET is set" in choice.kernels_of(GPU).problem


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_probe(monkeypatch, 1e-7)
    monkeypatch.setenv(choice.VARIABLE, "torch")
    assert choice.kernels_of(GPU) == choice.Kernels("torch")
    monkeypatch.setenv(choice.VARIABLE, "triton")
    with pytest.raises(SettingsError, match="need a CUDA device"):
        choice.kernels_of(CPU)
    monkeypatch.setenv(choice.VARIABLE, "fast")
    with pytest.raises(SettingsError, match="auto, triton, torch"):
        choice.requested()


def test_a_training_says_once_why_it_is_slower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "kernels_of", lambda _: choice.Kernels("torch", "building them failed (x)"))
    progress = Silent()
    tiny_gan.run(tmp_path / "g", tiny_gan.config(kimg=0.032), progress=progress)
    assert [text for text in progress.warnings if "Triton" in text] == [
        "Training is slower than it could be: Triton's kernels are not used, since building them failed (x)."
    ]
