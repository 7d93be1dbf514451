"""A training's time is told from a few of its steps, whatever its batch."""

from __future__ import annotations

import time

import pytest
import torch

from usgan_cli.gan import calibrate
from usgan_cli.gan.config import GanConfig, make_config
from usgan_cli.gan.steps import Steps


def config(**changes: object) -> GanConfig:
    settings = {"preset": "tiny", "resolution": 16, "img_channels": 1, "c_dim": 3, "seed": 0, "precision": "float32"}
    return make_config(aug="ada", **{**settings, **changes})  # type: ignore[arg-type]


def test_a_large_batch_is_timed_by_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    step = Steps.generator_step

    def watched(self: Steps) -> None:
        drawn.append(self.config.batch)
        step(self)

    monkeypatch.setattr(Steps, "generator_step", watched)
    assert calibrate.seconds_per_kimg(config(batch=64), torch.device("cpu")) > 0
    assert set(drawn) == {calibrate.CPU_BATCH}


def test_regularisers_count_as_often_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every part taking one second: G and D each step, path length each fourth, R1 each sixteenth."""
    clock = iter(range(1000))
    monkeypatch.setattr(calibrate, "REPEATS", 1)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    found = calibrate.seconds_per_kimg(config(batch=4), torch.device("cpu"))
    assert found == pytest.approx((1 + 1 + 1 / 4 + 1 / 16 + 1) / 4 * 1000)
