"""StyleGAN2's discriminator beside a projected one: what it sees, what it adds to losses, and what R1 regularises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_gan import CPU, config, images, projected, run
from torch import Tensor

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.generator import read_log
from usgan_cli.core.progress import EVEN, Pace
from usgan_cli.gan.batches import TrainingImages
from usgan_cli.gan.config import GanConfig, augmentation, settings_of
from usgan_cli.gan.init.transfer import apply_source, read_source
from usgan_cli.gan.losses import Hinge, HingeAndLogistic, Logistic, loss_of
from usgan_cli.gan.networks import Discriminator
from usgan_cli.gan.projected.discriminator import ProjectedDiscriminator
from usgan_cli.gan.state import Training, discriminator_config
from usgan_cli.gan.steps import Steps
from usgan_cli.gan.train import _pace


def beside(**changes: object) -> GanConfig:
    return projected(**{"pixel_weight": 1.0} | changes)


def make_steps(settings: GanConfig) -> Steps:
    training = Training.start(settings, CPU)
    return Steps(settings, training, TrainingImages(images(), settings, CPU), augmentation(settings), CPU)


def judge_of(steps: Steps) -> ProjectedDiscriminator:
    judge = steps.training.discriminator
    assert isinstance(judge, ProjectedDiscriminator)
    return judge


def pixels_of(steps: Steps) -> Discriminator:
    pixels = judge_of(steps).pixels
    assert pixels is not None
    return pixels


def some_logits() -> list[Tensor]:
    draws = torch.Generator().manual_seed(0)
    return [2 * torch.randn(3, places, generator=draws) for places in (16, 16, 4, 1)]


# Losses


def test_the_losses_are_the_heads_and_the_pixels_and_the_opinion_is_the_heads() -> None:
    logits = some_logits()
    both, heads, pixels = HingeAndLogistic(0.5), Hinge(), Logistic()
    torch.testing.assert_close(both.real(logits), heads.real(logits[:3]) + pixels.real(logits[3])[:, 0])
    torch.testing.assert_close(both.fake(logits), heads.fake(logits[:3]) + pixels.fake(logits[3])[:, 0])
    torch.testing.assert_close(
        both.generator(logits), heads.generator(logits[:3]) + 0.5 * pixels.generator(logits[3])[:, 0]
    )
    assert torch.equal(both.opinion(logits), heads.opinion(logits[:3]))
    changed = [*logits[:3], -logits[3]]
    assert torch.equal(both.opinion(changed), both.opinion(logits)), "ADA and LeCam watch the heads"


def test_each_discriminator_has_its_own_loss() -> None:
    assert isinstance(loss_of("stylegan2", 0.0), Logistic)
    assert isinstance(loss_of("projected", 0.0), Hinge)
    assert isinstance(loss_of("projected", 0.5), HingeAndLogistic)


# Judging


def test_its_logits_come_last_and_are_those_of_stylegan2s_discriminator() -> None:
    steps = make_steps(beside())
    alone = Discriminator(discriminator_config(steps.config))
    alone.load_state_dict(pixels_of(steps).state_dict())
    shown, labels = torch.rand(4, 1, 16, 16), torch.eye(3)[[0, 1, 2, 0]]
    logits = judge_of(steps)(shown, labels)
    assert len(logits) == len(judge_of(steps).heads) + 1
    torch.testing.assert_close(logits[-1], alone(shown, labels))


def test_without_it_everything_is_as_before() -> None:
    names = make_steps(projected()).training.tensors()
    assert not any("pixels" in name for name in names)
    assert "pixel_weight" not in settings_of(projected(feature_digest="x@1"))
    assert settings_of(beside(feature_digest="x@1"))["pixel_weight"] == 1.0


def test_it_has_the_presets_r1_and_minibatch_statistics() -> None:
    own, alone, both = config(), projected(pixel_weight=0.0), beside()
    assert (alone.r1_gamma, alone.mbstd_group_size) == (0.0, 1)
    assert (both.r1_gamma, both.mbstd_group_size) == (own.r1_gamma, own.mbstd_group_size)
    assert own.r1_gamma > 0
    assert own.mbstd_group_size > 1
    assert beside(r1_gamma=0.7).r1_gamma == 0.7


# Training


def test_each_step_moves_heads_and_pixels_and_nothing_frozen() -> None:
    steps = make_steps(beside())
    before = {name: value.clone() for name, value in steps.training.tensors().items()}
    steps.discriminator_step()
    after = steps.training.tensors()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert {name for name in moved if name.startswith("g/")} <= {"g/mapping.w_avg"}
    assert not any("mixing" in name for name in moved)
    weights = {name for name in before if name.startswith(("d/heads", "d/pixels")) and name.endswith("weight")}
    assert weights <= moved


def test_r1_moves_the_pixels_alone_by_the_gradient_of_their_own_logits() -> None:
    settings = beside(aug="none", discriminator="projected", precision="float64", mirror=False)
    steps = make_steps(settings)
    pixels = pixels_of(steps)
    drawn = steps.data.draw(steps.training.step)
    real = steps.data.images(drawn).double().requires_grad_(True)
    (gradient,) = torch.autograd.grad(pixels(real, drawn["labels"]).sum(), real)
    before = {name: value.clone() for name, value in steps.training.tensors().items()}
    steps.r1_step()
    assert steps.means.take()["r1"] == pytest.approx(float(gradient.square().sum(dim=(1, 2, 3)).mean()), rel=1e-6)
    after = steps.training.tensors()
    moved = {name for name, value in before.items() if name.startswith("d/") and not torch.equal(value, after[name])}
    assert moved
    assert all(name.startswith("d/pixels") for name in moved)


def test_every_trained_parameter_takes_part_in_each_update_so_that_both_devices_agree() -> None:
    """On a GPU, where gradients lie in one block, all do; on a processor one without a gradient would be left out."""
    steps = make_steps(beside())
    steps.discriminator_step()
    steps.r1_step()
    adam = steps.training.adam_d
    counts = {float(adam.state[parameter]["step"]) for parameter in steps.d_gradients.parameters}
    assert counts == {2.0}


def test_the_generator_follows_the_pixels_by_their_weight() -> None:
    moves = []
    for weight in (1e-9, 1.0, 100.0):
        steps = make_steps(beside(aug="none", discriminator="projected", precision="float64", pixel_weight=weight))
        steps.generator_step()
        moves.append(float(steps.grad_g))
    assert moves[0] != moves[1]
    assert moves[2] > 5 * moves[0]


def test_a_training_with_it_is_logged_and_can_begin_another(tmp_path: Path) -> None:
    run(tmp_path / "first", beside(r1_interval=2))
    assert read_log(tmp_path / "first")[-1].r1 > 0
    training = Training.start(beside(seed=5), CPU)
    words = apply_source(read_source(tmp_path / "first"), training.generator, training.discriminator, training.average)
    assert "fresh" not in words, words


def test_the_time_left_knows_that_pixels_are_not_enlarged() -> None:
    """One thread: 36.8 s after 18.8, and beside StyleGAN2's discriminator 47.5 after 29.9."""
    settings = beside(kimg=80.0, enlarge_last=0.25)
    assert _pace(replace(settings, pixel_weight=0.0), 80.0) == Pace(60.0, 1.9)
    assert _pace(settings, 80.0).slower_from == 60
    assert _pace(settings, 80.0).factor == pytest.approx(47.5 / 29.9, rel=0.05)
    assert _pace(replace(settings, enlarge_last=0.0), 80.0) is EVEN


@pytest.mark.parametrize("changes", [{"aug": "ada"}, {"aug": "none", "discriminator": "stylegan2"}])
def test_it_is_for_a_projected_discriminator(changes: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="--pixel-weight is for a projected discriminator"):
        config(pixel_weight=1.0, **changes)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(SettingsError, match="pixel_weight must not be negative"):
        beside(pixel_weight=-1.0)
