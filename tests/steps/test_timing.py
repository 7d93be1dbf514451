"""What is timed is the training that the step would carry out, and the estimate is of the whole of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from calls import prepare, subsample, train_gan
from configs import classifier_config, make_config
from tiny_data import noise_folders

from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.gan.config import GanConfig, settings_of
from usgan_cli.gan.steps import Steps
from usgan_cli.steps import timing
from usgan_cli.steps.timing import Timing, seconds_per_kimg
from usgan_cli.study.config import parse_study
from usgan_cli.study.estimate import work_units
from usgan_cli.study.plan import PlannedStep, plan_study
from usgan_cli.terminal.session import Session

CPU = torch.device("cpu")
GAN = {"preset": "tiny", "kimg": 12, "batch": 4, "channel_base": 128, "lr": 0.001, "mirror": True, "device": "cpu"}


def step_of(workspace: Workspace, command: str, **tables: Any) -> tuple[Timing, PlannedStep]:
    """Return a study's timing and its first step of a command."""
    grid = {"sizes": [6], "gans": ["ada"]}
    study = parse_study({"name": "mine", "grid": grid, "data": {"size": 16}} | tables)
    step = next(step for step in plan_study(study, workspace) if step.command == command)
    return Timing(study, Session(workspace, Silent())), step


def test_the_timed_configuration_is_the_training_s(tmp_path: Path) -> None:
    session = Session(Workspace(tmp_path / "work"), Silent())
    prepare(session, source=noise_folders(tmp_path / "source", dict.fromkeys(["a", "b"], 8)), size=16, test=4)
    subsample(session, n=[6])
    timer, step = step_of(session.workspace, "train-gan", gan=GAN)
    assert isinstance(step.options, TrainGan)
    planned = train_gan(
        Session(session.workspace, Silent(), dry_run=True), aug="ada", n=6, policy="translation,cutout", **GAN
    ).result["settings"]
    assert {"n": 6, **settings_of(timer.gan_config(step.options, CPU))} == planned
    assert (planned["kimg"], planned["batch"], planned["c_dim"]) == (12, 4, 2)


@pytest.mark.parametrize(("gan", "expected"), [({}, 5 * 12), ({"minutes": 0.5}, 30), ({"minutes": 2}, 60)])
def test_the_whole_length_is_foretold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gan: dict[str, float], expected: float
) -> None:
    timed: list[GanConfig] = []

    def fake(config: GanConfig, device: torch.device) -> float:
        timed.append(config)
        return 5.0

    monkeypatch.setattr(timing, "seconds_per_kimg", fake)
    timer, step = step_of(Workspace(tmp_path), "train-gan", gan=GAN | gan)
    assert isinstance(step.options, TrainGan)
    assert (timer(step) or 0) * work_units(step) == pytest.approx(expected)
    assert timed == [timer.gan_config(step.options, CPU)]


def test_fine_tuning_is_timed_over_all_epochs_folds_and_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "seconds_per_image", lambda config: 0.01)
    timer, step = step_of(Workspace(tmp_path), "train-cls", classifier={"epochs": 7, "folds": 3, "budget": "epochs"})
    assert isinstance(step.options, TrainClassifier)
    assert (timer(step) or 0) * work_units(step) == pytest.approx(0.01 * 6 * 7 * 2)
    timer, step = step_of(Workspace(tmp_path), "train-cls", classifier={"updates": 40, "folds": 3, "batch": 8})
    assert (timer(step) or 0) * work_units(step) == pytest.approx(0.01 * 40 * 8 * 3)
    timer, step = step_of(Workspace(tmp_path), "train-cls", classifier={"freeze": True})
    assert timer(step) is None


def config(**changes: Any) -> GanConfig:
    settings = {"preset": "tiny", "resolution": 16, "img_channels": 1, "c_dim": 3, "seed": 0, "precision": "float32"}
    return make_config(**{"aug": "ada", **settings, **changes})


@pytest.mark.parametrize(("tick", "batches"), [(10.0, [4]), (1e-6, [4, 8])])
def test_a_large_batch_is_timed_by_a_small_one_if_that_is_slow(
    monkeypatch: pytest.MonkeyPatch, tick: float, batches: list[int]
) -> None:
    drawn: list[int] = []
    step = Steps.generator_step

    def watched(self: Steps) -> None:
        drawn.append(self.config.batch)
        step(self)

    clock = iter(range(1000))
    monkeypatch.setattr(Steps, "generator_step", watched)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock) * tick)
    seconds_per_kimg(config(batch=8), CPU)
    assert list(dict.fromkeys(drawn)) == batches


def test_regularisers_count_as_often_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every part taking one second: G and D each step, path length each fourth, R1 each sixteenth."""
    clock = iter(range(1000))
    monkeypatch.setattr(timing, "REPEATS", 1)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    seconds = seconds_per_kimg(config(batch=4), CPU)
    assert seconds == pytest.approx((1 + 1 + 1 / 4 + 1 / 16 + 1) / 4 * 1000)


def test_the_last_part_counts_by_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    per_image = {32: 0.001, 64: 0.003}
    monkeypatch.setattr(timing, "_seconds_per_image", lambda config, device: per_image[config.feature_size])
    settings = config(aug="best", feature_network="timm:test_efficientnet", feature_weights="none", feature_size=32)
    assert seconds_per_kimg(replace(settings, enlarge_last=0.25), CPU) == pytest.approx(0.75 * 1 + 0.25 * 3)
    assert seconds_per_kimg(replace(settings, enlarge_last=0.0), CPU) == pytest.approx(1)


def test_fine_tuning_takes_time_in_proportion_to_nothing_but_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a step of a second: the seconds of an image are the reciprocal of the batch."""
    clock = iter(range(1000))
    monkeypatch.setattr(timing, "REPEATS", 1)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    config = classifier_config(backbone="test_efficientnet", size=32, batch=5, device="cpu")
    assert timing.seconds_per_image(config) == pytest.approx(1 / 5)


def test_a_part_that_takes_long_is_timed_once_and_others_after_a_first(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, calls = [5.0, 1.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: sum(calls))
    assert timing._timed(lambda: calls.append(seconds[0]), CPU) == pytest.approx(5)
    assert len(calls) == 1
    assert timing._timed(lambda: calls.append(seconds[1]), CPU) == pytest.approx(1)
    assert len(calls) == 1 + 1 + timing.REPEATS


def test_after_a_while_nothing_more_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "seconds_per_kimg", lambda config, device: 5.0)
    timer, step = step_of(Workspace(tmp_path), "train-gan", gan=GAN)
    assert timer(step) is not None
    late = Timing(timer.study, timer.session, began=time.monotonic() - timing.ENOUGH_S - 1)
    assert late(step) is None
