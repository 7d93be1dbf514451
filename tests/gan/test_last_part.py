"""What changes in the last part of a training: learning rates decay, and a projected discriminator looks closer."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_gan import CPU, config, images, projected, run

from usgan_cli import cli
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.generator import latest_state, read_log
from usgan_cli.core.formats.tensors import read_tensors
from usgan_cli.core.progress import Silent
from usgan_cli.gan import train as loop
from usgan_cli.gan.augment import NoAugment
from usgan_cli.gan.batches import Batch, TrainingImages
from usgan_cli.gan.config import GanConfig, settings_of
from usgan_cli.gan.cuda_graph import Graphs
from usgan_cli.gan.distributed import World
from usgan_cli.gan.launch import Job, Local
from usgan_cli.gan.outputs import GanRun
from usgan_cli.gan.projected.discriminator import ProjectedDiscriminator
from usgan_cli.gan.projected.features import FeatureNetwork
from usgan_cli.gan.state import Training
from usgan_cli.gan.steps import Steps
from usgan_cli.gan.stop import Limits, StopSignals
from usgan_cli.gan.train import iterate


def make_steps(settings: GanConfig, **how: object) -> Steps:
    training = Training.start(settings, CPU)
    return Steps(settings, training, TrainingImages(images(), settings, CPU), NoAugment(), CPU, **how)  # type: ignore[arg-type]


# Learning rates


def test_the_rate_is_that_of_torchs_linear_schedule() -> None:
    """Of ten iterations the last four decay: torch's LinearLR, started at the sixth."""
    settings = config(kimg=0.04, lr_decay=0.4)
    adam = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.LinearLR(adam, start_factor=1.0, end_factor=1e-12, total_iters=4)
    for iteration in range(10):
        assert settings.rate_at(iteration / 10) == pytest.approx(adam.param_groups[0]["lr"], abs=1e-9)
        if iteration >= 6:
            adam.step()
            schedule.step()
    assert settings.rate_at(1.0) == 0


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_rate_is_whole_before_the_decay_and_never_rises(share: float) -> None:
    settings = config(lr_decay=share)
    rates = [settings.rate_at(step / 200) for step in range(200)]
    assert all(rate == 1 for rate in rates[: round(200 * (1 - share))])
    assert all(earlier >= later > 0 for earlier, later in itertools.pairwise(rates))
    assert (rates[-1] < 1) == (share > 0)


@pytest.mark.parametrize("name", ["lr_decay", "enlarge_last"])
def test_a_share_is_checked_and_recorded_where_there_is_one(name: str) -> None:
    for share in (-0.1, 1.5, float("nan")):
        with pytest.raises(SettingsError, match=f"(?s){name} is a share.*--{name.replace('_', '-')}"):
            projected(**{name: share})
    assert name not in settings_of(projected(**{name: 0.0}))
    assert settings_of(projected(**{name: 0.25}))[name] == 0.25


def parameters(folder: Path) -> dict[str, torch.Tensor]:
    state = latest_state(folder / "checkpoint")
    assert state is not None
    return read_tensors(state.tensor_file(folder / "checkpoint"))


def test_until_the_decay_begins_the_training_is_that_of_a_constant_rate(tmp_path: Path) -> None:
    run(tmp_path / "constant", config(kimg=0.024), keep=9)
    run(tmp_path / "decays", config(kimg=0.024, lr_decay=1 / 3), keep=9)
    states = [sorted((tmp_path / name / "checkpoint").glob("*.json")) for name in ("constant", "decays")]
    assert [path.name for path in states[0]] == ["kimg00000.016.json", "kimg00000.024.json"]
    tensors = [
        sorted((tmp_path / name / "checkpoint").glob("*.safetensors"), key=lambda path: path.name)
        for name in ("constant", "decays")
    ]
    same = {path.name for path in tensors[0]} & {path.name for path in tensors[1]}
    assert len(same) == 1, "named by digest: one state is the same, the later one is not"
    assert [row.rate for row in read_log(tmp_path / "constant")] == [None, None]
    assert [row.rate for row in read_log(tmp_path / "decays")] == [1, pytest.approx(0.5)]


def test_both_networks_move_by_the_rate() -> None:
    """Adam's first step is the learning rate times a sign, whatever the gradient."""
    moved = []
    for rate in (1.0, 0.25):
        training = Training.start(config(precision="float64"), CPU)
        before = {name: value.clone() for name, value in training.tensors().items()}
        training.set_rate(0.5)
        training.set_rate(rate)  # of the rate at the beginning, not of the one before
        for network, adam in ((training.generator, training.adam_g), (training.discriminator, training.adam_d)):
            for parameter in network.parameters():
                parameter.grad = torch.ones_like(parameter)
            adam.step()
        after = training.tensors()
        moved.append({name: before[name] - after[name] for name in before if name.startswith(("g/", "d/"))})
    for name, step in moved[0].items():
        torch.testing.assert_close(moved[1][name], step / 4, rtol=1e-3, atol=1e-6)
    assert sum(float(step.abs().sum()) for step in moved[0].values()) > 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The digest of what a training that nothing disturbs ends in, made once for each of its settings."""

    @functools.cache
    def digest(**changes: float) -> str:
        return run(tmp_path_factory.mktemp("undisturbed"), ends(**changes))

    return digest


def ends(**changes: float) -> GanConfig:
    """Settings of ten iterations, saved after every second; what a last part changes is off where it isn't named."""
    return projected(**{"save_kimg": 0.008, "lr_decay": 0.0, "enlarge_last": 0.0, **changes})


@pytest.mark.parametrize("stops_at", [3, 8])
@pytest.mark.parametrize("changes", [{"lr_decay": 0.5}, {"enlarge_last": 0.5}], ids=str)
def test_an_interrupted_training_ends_in_the_same_bytes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: Callable[..., str],
    changes: dict[str, float],
    stops_at: int,
) -> None:
    average_step = Steps.average_step

    def dies(steps: Steps) -> None:
        if steps.training.step == stops_at:
            raise InterruptedError
        average_step(steps)

    with monkeypatch.context() as patched, pytest.raises(InterruptedError):
        patched.setattr(Steps, "average_step", dies)
        run(tmp_path, ends(**changes))
    assert run(tmp_path, ends(**changes)) == undisturbed(**changes) != undisturbed()


def test_minutes_make_it_decay_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: next(looks) / 100))
    run(tmp_path / "g", config(kimg=None, minutes=0.05, lr_decay=0.5, tick_kimg=0.004, ada_kimg=1.0))
    rows = read_log(tmp_path / "g")
    rates = [row.rate for row in rows if row.rate is not None]
    assert len(rates) == len(rows) > 8
    assert rates[0] == 1
    assert 0 < rates[-1] < 0.2
    assert rates == sorted(rates, reverse=True)


class Told(World):
    """The second of two processes, to which the main one's figures are told."""

    def greatest(self, values: Sequence[int], device: torch.device) -> list[int]:
        assert values[2] == 0, "its own time does not count"
        return [values[0], 3, 45_000]


def test_all_processes_go_by_the_main_ones_clock() -> None:
    training = Training.start(config(minutes=1.0, kimg=1.0), CPU)
    limits = Limits(
        config(minutes=1.0, kimg=1.0, lr_decay=0.5), training, lambda: 7.0, StopSignals(Silent()), Told(1, 2), CPU
    )
    assert limits.progress() == 0
    assert limits.ending() is None
    assert limits.progress() == 0.75, "of its minutes"
    training.images = 900
    assert limits.progress() == 0.9, "of its images, which are more"


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    shape = {"batch": 8, "precision": "float64", "kimg": 0.064}
    settings = projected(lr_decay=0.5, enlarge_last=0.25, **shape)
    run(tmp_path / "one", settings)
    (tmp_path / "two").mkdir()
    Local(2, CPU).train(Job(settings, images(), tmp_path / "two", GanRun("toy", 12, CPU)))
    one, two = parameters(tmp_path / "one"), parameters(tmp_path / "two")
    for name, value in one.items():
        if name.startswith(("g/", "d/", "ema/")):
            assert torch.allclose(value, two[name], rtol=1e-6, atol=1e-8), name
    run(tmp_path / "constant", projected(lr_decay=0.0, enlarge_last=0.0, **shape))
    assert any(not torch.equal(value, one[name]) for name, value in parameters(tmp_path / "constant").items())


# Features


def test_enlarged_images_are_judged_by_the_same_heads_in_more_places() -> None:
    training = Training.start(projected(), CPU)
    discriminator = training.discriminator
    assert isinstance(discriminator, ProjectedDiscriminator)
    before = {name: value.clone() for name, value in discriminator.state_dict().items()}
    shown, labels = torch.rand(2, 1, 16, 16) * 2 - 1, torch.eye(3)[:2]
    places = [logits.shape[1] for logits in discriminator(shown, labels)]
    assert not discriminator.look_at(32)
    assert discriminator.look_at(64)
    assert [logits.shape[1] for logits in discriminator(shown, labels)] == [4 * count for count in places]
    assert all(torch.equal(value, before[name]) for name, value in discriminator.state_dict().items())
    features = FeatureNetwork("timm:test_efficientnet", 64, "none", None, CPU, torch.float32)
    for one, other in zip(discriminator.features(shown), discriminator.mixing(features(shown)), strict=True):
        torch.testing.assert_close(one, other)
    assert discriminator.look_at(32), "and back"
    assert [logits.shape[1] for logits in discriminator(shown, labels)] == places


def test_only_the_last_part_sees_enlarged_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    forward = FeatureNetwork.forward

    def watched(network: FeatureNetwork, shown: torch.Tensor) -> list[torch.Tensor]:
        seen.append(network.size)
        return forward(network, shown)

    monkeypatch.setattr(FeatureNetwork, "forward", watched)
    notes = Silent()
    run(tmp_path / "g", projected(kimg=0.032, enlarge_last=0.25), progress=notes)
    trained = [size for size, again in itertools.groupby(seen) if len(list(again)) > 1]
    assert trained == [32, 64]
    assert [note for note in notes.notes if "64 pixels" in note]
    seen.clear()
    run(tmp_path / "plain", projected(kimg=0.032, enlarge_last=0.0))
    assert set(seen) == {32}


def test_features_of_another_size_are_for_a_projected_discriminator() -> None:
    with pytest.raises(SettingsError, match="projected"):
        config(aug="ada", enlarge_last=0.25)


def test_what_was_recorded_at_the_former_size_is_not_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a CUDA graph does: it goes on computing with the network that it was recorded with."""
    recorded: list[int] = []

    def recorder(compute: Callable[[], Batch], kept: Sequence[torch.Tensor]) -> tuple[Callable[[], None], Batch]:
        network = discriminator._network
        recorded.append(network[0].size)
        before = [value.clone() for value in kept]
        results = compute()
        for value, old in zip(kept, before, strict=True):
            value.copy_(old)

        def replay() -> None:
            now, discriminator._network = discriminator._network, network
            for name, value in compute().items():
                results[name].copy_(value)
            discriminator._network = now

        return replay, results

    monkeypatch.setattr(Graphs, "_record", lambda _, compute, kept: recorder(compute, kept))
    settings = projected(enlarge_last=0.5)
    eager, replayed = make_steps(settings), make_steps(settings, graphs="on")
    discriminator = replayed.training.discriminator
    assert isinstance(discriminator, ProjectedDiscriminator)
    for progress in (0.0, 0.4, 0.6, 0.8):
        for steps in (eager, replayed):
            steps.follow(progress)
            iterate(settings, steps.training, steps)
    assert sorted(set(recorded)) == [32, 64]
    others = replayed.training.tensors()
    for name, value in eager.training.tensors().items():
        torch.testing.assert_close(value, others[name], rtol=1e-5, atol=1e-6)


# What may still be changed


def test_a_training_that_has_begun_to_decay_keeps_its_length(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*words: str) -> int:
        return cli.run([*words, "--work", str(tmp_path), "--quiet"])

    for words in (
        ("phantom", str(tmp_path / "phantoms"), "--count", "24", "--size", "16"),
        ("prepare", str(tmp_path / "phantoms"), "--size", "16"),
        ("subsample", "--n", "12"),
    ):
        assert command(*words) == 0
    train = ["train-gan", "--aug", "none", "--n", "12", "--preset", "tiny", "--batch", "8", "--channel-base", "128"]
    train += ["--device", "cpu", "--threads", "1", "--precision", "float32"]
    decays, constant = [*train, "--lr-decay", "0.5"], [*train, "--lr-decay", "0", "--out", str(tmp_path / "constant")]
    assert command(*decays, "--kimg", "0.032") == 0
    assert command(*constant, "--kimg", "0.032") == 0
    assert command(*constant, "--kimg", "0.048") == 0, "a constant rate does not know its end"
    capsys.readouterr()
    assert command(*decays, "--kimg", "0.048") == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "kimg" in said
    assert "has begun, which fixes its length" in said
    assert "--refresh" in said
    assert command(*decays, "--kimg", "0.048", "--refresh") == 0
    state = latest_state(tmp_path / "gans" / "none-n12-s0" / "checkpoint")
    assert state is not None
    assert state.images == 48
