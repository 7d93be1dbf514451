"""What `usgan doctor` says of training on this machine, with its reasons."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from pretend_gpu import pretend_gpu

from usgan_cli import cli
from usgan_cli.core.machine import precision
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.kernels.choice import Kernels
from usgan_cli.steps import doctor


def test_what_a_processor_lacks_is_said_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: False)
    assert doctor._training(torch.device("cpu")) == {
        "kernels": "torch, because Triton's need a CUDA device",
        "precision": "float32, because this processor does not multiply bf16 numbers itself",
        "CUDA graphs": "off, because they need a CUDA device",
    }


def test_what_a_gpu_would_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretend_gpu():
        assert doctor._training(torch.device("cuda")) == {
            "kernels": "torch, because USGAN_KERNELS asks for them",
            "precision": "bf16",
            "CUDA graphs": "on, if they can be recorded at the first step",
        }
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
        monkeypatch.setattr(doctor, "kernels_of", lambda _: Kernels("torch", "building them failed"))
        monkeypatch.setenv("USGAN_KERNELS", "auto")
        old = doctor._training(torch.device("cuda"))
    assert old["kernels"] == "torch, because building them failed"
    assert old["precision"] == "fp16, because this GPU does not compute in bf16"


def test_measured_speeds_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fake(config: GanConfig, device: torch.device) -> float:
        return {64: 20.5, 256: 711.0}[config.resolution] * (10 if config.preset == "auto" else 1)

    monkeypatch.setattr(doctor, "seconds_per_kimg", fake)
    assert cli.run(["doctor", "--work", str(tmp_path), "--measure", "--json"]) == 0
    speeds = json.loads(capsys.readouterr().out)["seconds per kimg"]
    assert speeds == {"small, 64 pixels, ADA": 20.5, "auto, 64 pixels, ADA": 205.0}
    assert cli.run(["doctor", "--work", str(tmp_path), "--measure"]) == 0
    assert "20.5 s per kimg" in capsys.readouterr().err
    assert cli.run(["doctor", "--work", str(tmp_path)]) == 0
    assert "s per kimg" not in capsys.readouterr().err
    assert list(doctor._speeds(torch.device("cuda"))) == ["auto, 64 pixels, ADA", "auto, 256 pixels, ADA"]


class _Properties:
    total_memory = 8 * 2**30


def test_the_recipe_suits_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)  # type: ignore[attr-defined]
    assert doctor.recipe(torch.device("cpu"))["study"] == "laptop, because: no GPU"
    assert doctor.recipe(torch.device("cpu"))["a file to edit"] == "usgan study --print laptop > my.toml"
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: _Properties)
    assert doctor.recipe(torch.device("cuda"))["study"].startswith("workstation, because: a GPU with 8 GB; with so")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/sbatch" if name == "sbatch" else None)  # type: ignore[attr-defined]
    assert doctor.recipe(torch.device("cuda"))["study"].startswith("cluster, because: sbatch")
