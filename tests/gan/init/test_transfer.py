"""Networks started from others: the same function where it can be the same, and words for what it could not."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_gan import CPU, config, projected, write_generator
from torch import Tensor, nn

from usgan_cli.core.errors import FormatError, MissingError, SettingsError
from usgan_cli.core.formats.generator import Architecture, TrainingState
from usgan_cli.core.formats.tensors import write_tensors
from usgan_cli.core.store.files import sha256_bytes
from usgan_cli.gan.init.transfer import (
    Source,
    apply_source,
    freezable_layers,
    freeze_discriminator,
    read_source,
    transfer,
)
from usgan_cli.gan.networks import Discriminator, DiscriminatorConfig, Generator
from usgan_cli.gan.state import Training

G16 = Architecture(
    resolution=16, img_channels=1, c_dim=2, z_dim=8, w_dim=6, mapping_layers=2, channel_base=128, channel_max=16
)
D16 = DiscriminatorConfig(resolution=16, img_channels=1, c_dim=2, mapping_layers=2, channel_base=128, channel_max=16)
Z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
GRAY = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def generator(seed: int, **changes: Any) -> Generator:
    network = Generator(G16.model_copy(update=changes), init=torch.Generator().manual_seed(seed))
    disturb(network, seed)
    return network


def discriminator(seed: int, **changes: Any) -> Discriminator:
    network = Discriminator(dataclasses.replace(D16, **changes), init=torch.Generator().manual_seed(seed))
    disturb(network, seed)
    return network


def disturb(network: nn.Module, seed: int) -> None:
    """Give biases, noise strengths and averages, which begin as zeros, values that show when they are lost."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(0.1 * torch.randn(value.shape, generator=draws))


def labels(classes: int, which: int = 0) -> Tensor:
    return torch.eye(classes)[[which] * len(Z)] if classes else torch.zeros(len(Z), 0)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def unchanged(network: nn.Module, before: dict[str, Tensor], layer: str) -> bool:
    after = network.state_dict()
    return all(torch.equal(after[name], before[name]) for name in before if name.startswith(f"{layer}."))


def test_the_same_architecture_is_taken_whole() -> None:
    source, target = generator(0), generator(1)
    loaded = transfer(target, source.state_dict() | {"synthesis.b8.resample_filter": torch.ones(4, 4)})
    assert not loaded.adapted and not loaded.fresh and not loaded.left
    assert loaded.describe() == f"{len(loaded.taken)} of {len(loaded.taken)} layers taken"
    assert torch.equal(target(Z, labels(2)), source(Z, labels(2)))
    critic, other = discriminator(0), discriminator(1)
    assert not transfer(other, critic.state_dict()).fresh
    assert torch.equal(other(GRAY, labels(2)), critic(GRAY, labels(2)))


def test_an_rgb_discriminator_says_of_a_gray_image_what_it_said_of_its_rgb_copy() -> None:
    source, target = discriminator(0, img_channels=3), discriminator(1)
    loaded = transfer(target, source.state_dict())
    assert loaded.adapted == {"b16.fromrgb": "from 3 image channels to 1"} and not loaded.fresh
    close(target(GRAY, labels(2)), source(GRAY.expand(-1, 3, -1, -1), labels(2)))
    wide = discriminator(2, img_channels=3)
    assert transfer(wide, discriminator(3).state_dict()).adapted == {"b16.fromrgb": "from 1 image channel to 3"}
    close(wide(GRAY.expand(-1, 3, -1, -1), labels(2)), discriminator(3)(GRAY, labels(2)))


def test_an_rgb_generator_makes_the_mean_of_its_channels() -> None:
    source, target = generator(0, img_channels=3), generator(1)
    loaded = transfer(target, source.state_dict())
    assert set(loaded.adapted) == {f"synthesis.b{r}.torgb" for r in (4, 8, 16)} and not loaded.fresh
    close(target(Z, labels(2)), source(Z, labels(2)).mean(dim=1, keepdim=True))
    wide = generator(2, img_channels=3)
    transfer(wide, generator(3).state_dict())
    close(wide(Z, labels(2)), generator(3)(Z, labels(2)).expand(-1, 3, -1, -1))


def test_from_a_network_without_classes_every_class_begins_as_the_whole() -> None:
    source, target = generator(0, c_dim=0), generator(1, c_dim=3)
    loaded = transfer(target, source.state_dict())
    assert loaded.adapted == {"mapping.fc0": "from a network without classes"}
    assert loaded.fresh == {"mapping.embed": "not in the source"}
    for which in range(3):
        close(
            target(Z, labels(3, which), truncation_psi=0.5),
            source(Z, labels(0), truncation_psi=0.5),
        )
    target(Z, labels(3)).sum().backward()
    share = target.mapping.fc0.weight.grad
    assert share is not None and bool((share[:, 8:] != 0).any()), "the classes can be learnt"


def test_other_class_counts_keep_fresh_class_layers_and_say_so() -> None:
    source, target = generator(0, c_dim=2), generator(1, c_dim=3)
    before = copy.deepcopy(target.state_dict())
    loaded = transfer(target, source.state_dict())
    assert loaded.fresh == {
        "mapping.embed": "for another number of classes",
        "mapping.w_avg": "the mapping is not the source's",
    }
    assert unchanged(target, before, "mapping.embed"), "the embedding's bias stays with its weight"
    assert torch.equal(target.mapping.w_avg, before["mapping.w_avg"])
    theirs = source.state_dict()
    assert all(
        torch.equal(value, theirs[name]) for name, value in target.synthesis.state_dict(prefix="synthesis.").items()
    )
    assert "fresh (for another number of classes): mapping.embed" in loaded.describe()

    critic = discriminator(1, c_dim=2)
    loaded = transfer(critic, discriminator(0, c_dim=0).state_dict())
    assert set(loaded.fresh) == {"b4.out", "mapping.embed", "mapping.fc0", "mapping.fc1"}
    assert "b4.conv" in loaded.taken
    whole = generator(1, c_dim=0)
    loaded = transfer(whole, source.state_dict())
    assert "mapping.fc0" in loaded.fresh and "mapping.fc1" in loaded.taken and loaded.left == ("mapping.embed",)


def test_other_resolutions_share_their_lower_blocks() -> None:
    source, target = generator(0), generator(1, resolution=32)
    before = copy.deepcopy(target.state_dict())
    loaded = transfer(target, source.state_dict())
    assert set(loaded.fresh) == {f"synthesis.b32.{layer}" for layer in ("conv0", "conv1", "torgb")}
    assert all(unchanged(target, before, layer) for layer in loaded.fresh)
    small = generator(2, resolution=8)
    loaded = transfer(small, source.state_dict())
    assert not loaded.fresh and set(loaded.left) == {f"synthesis.b16.{layer}" for layer in ("conv0", "conv1", "torgb")}
    ws = source.mapping(Z, labels(2))
    close(small.mapping(Z, labels(2))[:, 0], ws[:, 0])


def test_a_discriminators_eyes_move_to_another_resolution_only_where_they_fit() -> None:
    source = discriminator(0)
    loaded = transfer(discriminator(1, resolution=32), source.state_dict())
    assert set(loaded.fresh) == {"b32.conv0", "b32.conv1", "b32.skip", "b32.fromrgb"}
    capped = discriminator(0, channel_max=4)
    target = discriminator(1, resolution=8, channel_max=4)
    loaded = transfer(target, capped.state_dict())
    assert loaded.adapted == {"b8.fromrgb": "from another resolution"} and not loaded.fresh
    assert torch.equal(target.state_dict()["b8.fromrgb.weight"], capped.state_dict()["b16.fromrgb.weight"])


@pytest.mark.parametrize("resolution", [16, 8])
def test_a_discriminator_of_pixels_is_stylegan2s_whichever_stands_beside_it(resolution: int) -> None:
    """From StyleGAN2's alone to one beside a projected discriminator, back, and between two of them."""
    alone, both = config(channel_max=4), projected(pixel_weight=1.0, channel_max=4)
    sources = [Training.start(settings, CPU).discriminator.state_dict() for settings in (alone, both)]
    for i, source in enumerate(sources):
        for j, settings in enumerate((alone, both)):
            training = Training.start(dataclasses.replace(settings, resolution=resolution, seed=1), CPU)
            start = Source(training.generator.state_dict(), source, None, "source", "digest")
            said = apply_source(start, training.generator, training.discriminator, training.average)
            judge = training.discriminator if j == 0 else training.discriminator.pixels
            assert isinstance(judge, Discriminator)
            taken, there = judge.state_dict(), {name.removeprefix("pixels."): value for name, value in source.items()}
            assert torch.equal(taken["b4.conv.weight"], there["b4.conv.weight"])
            assert torch.equal(taken[f"b{resolution}.fromrgb.weight"], there["b16.fromrgb.weight"])
            assert ("fresh (not in the source)" in said) == (j > i), "only the heads may be new"


def test_other_widths_keep_a_layers_parameters_together() -> None:
    source, target = generator(0), generator(1, channel_base=64)
    before = copy.deepcopy(target.state_dict())
    loaded = transfer(target, source.state_dict())
    assert set(loaded.taken) >= {"synthesis.b4.const", "synthesis.b4.conv1", "mapping.fc0"}
    assert loaded.fresh["synthesis.b16.conv0"] == "of another shape"
    for layer in loaded.fresh:
        assert unchanged(target, before, layer), layer


@pytest.mark.parametrize(("ours", "theirs"), [(2, 4), (4, 2)])
def test_another_number_of_mapping_layers(ours: int, theirs: int) -> None:
    source, target = generator(0, mapping_layers=theirs), generator(1, mapping_layers=ours)
    loaded = transfer(target, source.state_dict())
    assert {"mapping.fc0", "mapping.fc1"} <= set(loaded.taken)
    assert "mapping.w_avg" in loaded.fresh
    assert {"mapping.fc2", "mapping.fc3"} <= set(loaded.fresh if ours > theirs else loaded.left)


def test_double_and_half_sources_are_taken_in_the_targets_type() -> None:
    target = generator(1)
    transfer(target, {name: value.double() for name, value in generator(0).state_dict().items()})
    assert all(value.dtype == torch.float32 for value in target.state_dict().values())
    assert torch.equal(target(Z, labels(2)), generator(0)(Z, labels(2)))


def save_training(folder: Path, images: int, seed: int) -> TrainingState:
    named = {"path_length_mean": torch.zeros(())}
    for prefix, network in (("g", generator(seed)), ("d", discriminator(seed)), ("ema", generator(seed + 1))):
        named |= {f"{prefix}/{name}": value for name, value in network.state_dict().items()}
    digest = write_tensors(folder / "checkpoint" / "new", named)
    (folder / "checkpoint" / "new").rename(folder / "checkpoint" / f"{digest}.safetensors")
    fields: dict[str, Any] = dict.fromkeys(TrainingState.model_fields, 0)
    fields |= {"run": None, "augment": {}, "samples": {}, "best": None, "tensors": digest, "images": images}
    fields["log_sha256"] = sha256_bytes(b"")  # there is no log
    state = TrainingState(**fields)
    state.write(folder / "checkpoint" / f"kimg{images / 1000:09.3f}.json")
    return state


def save_generator(folder: Path, seed: int) -> None:
    write_generator(folder, generator(seed))


def started(source: Source) -> tuple[Generator, Discriminator, Generator, str]:
    g, d = generator(10), discriminator(10)
    average = copy.deepcopy(g)
    return g, d, average, apply_source(source, g, d, average)


def test_a_training_starts_from_the_newest_state_of_another(tmp_path: Path) -> None:
    save_training(tmp_path, 1000, seed=0)
    newest = save_training(tmp_path, 2000, seed=20)
    source = read_source(tmp_path)
    assert source.digest == newest.tensors and "2 kimg" in source.description
    g, d, average, loaded = started(source)
    assert torch.equal(g(Z, labels(2)), generator(20)(Z, labels(2)))
    assert torch.equal(d(GRAY, labels(2)), discriminator(20)(GRAY, labels(2)))
    assert torch.equal(average(Z, labels(2)), generator(21)(Z, labels(2)))
    assert loaded.count("layers taken") == 2

    save_generator(tmp_path, seed=30)
    finished = read_source(tmp_path)
    assert finished.digest not in (source.digest, newest.tensors)
    g, d, average, _ = started(finished)
    assert torch.equal(g(Z, labels(2)), generator(20)(Z, labels(2)))
    assert torch.equal(average(Z, labels(2)), generator(30)(Z, labels(2)))


@pytest.mark.parametrize("bare", [False, True])
def test_a_finished_generator_alone_starts_generator_and_average(tmp_path: Path, bare: bool) -> None:
    save_generator(tmp_path, seed=0)
    g, d, average, loaded = started(read_source(tmp_path / "generator.safetensors" if bare else tmp_path))
    for network in (g, average):
        assert torch.equal(network(Z, labels(2)), generator(0)(Z, labels(2)))
    assert torch.equal(d(GRAY, labels(2)), discriminator(10)(GRAY, labels(2)))
    assert "Discriminator: fresh" in loaded


def test_layers_that_stay_fresh_are_the_same_in_generator_and_average(tmp_path: Path) -> None:
    save_training(tmp_path, 1000, seed=0)
    g = generator(10, resolution=32)
    d, average = discriminator(10, resolution=32), copy.deepcopy(g)
    apply_source(read_source(tmp_path), g, d, average)
    for name, value in g.state_dict().items():
        if name.startswith("synthesis.b32."):
            assert torch.equal(value, average.state_dict()[name])


def test_what_no_training_starts_from_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="does not exist"):
        read_source(tmp_path / "absent")
    with pytest.raises(MissingError, match="no generator"):
        read_source(tmp_path)
    (tmp_path / "x.pt").write_bytes(b"x")
    with pytest.raises(FormatError, match=r"generator\.safetensors, or a published"):
        read_source(tmp_path / "x.pt")
    (tmp_path / "x.pkl").write_bytes(b"cos\nsystem\n.")
    with pytest.raises(FormatError, match=r"os\.system"):
        read_source(tmp_path / "x.pkl")
    save_file({"conv1.weight": torch.ones(1)}, tmp_path / "resnet.safetensors")
    with pytest.raises(FormatError, match="does not hold StyleGAN2 networks"):
        read_source(tmp_path / "resnet.safetensors")
    broken = generator(0).state_dict() | {"synthesis.b8.conv0.bias": torch.tensor([float("nan")])}
    write_tensors(tmp_path / "nan.safetensors", broken)
    with pytest.raises(FormatError, match=r"not finite, in synthesis\.b8\.conv0\.bias"):
        read_source(tmp_path / "nan.safetensors")


def test_a_source_of_which_nothing_fits_is_refused() -> None:
    wide = generator(0, channel_max=64, channel_base=512, w_dim=12).state_dict()
    with pytest.raises(SettingsError, match="Nothing of it fits this generator: 0 of"):
        started(Source(wide, None, None, "it", "0" * 64))


def test_freezing_counts_layers_from_the_image_inwards() -> None:
    network = discriminator(0)
    order = ["b16.fromrgb", "b16.conv0", "b16.conv1", "b16.skip", "b8.conv0", "b8.conv1", "b8.skip"]
    assert freezable_layers(network) == order
    assert freeze_discriminator(network, 0) == []
    frozen = freeze_discriminator(network, 4)
    assert frozen == [
        "b16.fromrgb.weight",
        "b16.fromrgb.bias",
        "b16.conv0.weight",
        "b16.conv0.bias",
        "b16.conv1.weight",
        "b16.conv1.bias",
        "b16.skip.weight",
    ]
    assert {name for name, p in network.named_parameters() if not p.requires_grad} == set(frozen)
    assert len(freeze_discriminator(discriminator(0), len(order))) == 12
    for wrong in (-1, len(order) + 1):
        with pytest.raises(SettingsError, match="it has 7 convolutions"):
            freeze_discriminator(network, wrong)
