"""The networks against numbers computed by the original authors' public implementation in float64
(see the README beside the reference tensors), and properties that training and sampling rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_gan import load_published
from torch import Tensor

from usgan_cli.core.formats.generator import Architecture
from usgan_cli.gan import losses
from usgan_cli.gan.networks import (
    Discriminator,
    DiscriminatorConfig,
    Generator,
)

GENERATORS = ("generator_gray_conditional", "generator_rgb_unconditional")
DISCRIMINATORS = ("discriminator_gray_conditional", "discriminator_rgb_unconditional")


def settings(folder: Path, name: str) -> dict[str, int]:
    known = json.loads((folder / "configs.json").read_text())[name]
    return {key: value for key, value in known.items() if isinstance(value, int)}


def load_generator(folder: Path, name: str) -> tuple[Generator, dict[str, Tensor]]:
    reference = load_file(folder / f"{name}.safetensors")
    network = Generator(Architecture(**settings(folder, name))).double()
    load_published(network, under(reference, "param"))
    return network, double(reference)


def load_discriminator(folder: Path, name: str) -> tuple[Discriminator, dict[str, Tensor]]:
    reference = load_file(folder / f"{name}.safetensors")
    network = Discriminator(DiscriminatorConfig(**settings(folder, name))).double()
    load_published(network, under(reference, "param"))
    return network, double(reference)


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{prefix}/"): v for k, v in tensors.items() if k.startswith(f"{prefix}/")}


def double(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.double() for k, v in tensors.items()}


def labels(reference: dict[str, Tensor], count: int) -> Tensor:
    return reference.get("c", torch.zeros(count, 0, dtype=torch.float64))


def check_close(actual: Tensor, expected: Tensor, tolerance: float, name: str = "") -> None:
    """Every value within `tolerance` of the expected tensor's largest value."""
    assert actual.shape == expected.shape, name
    error = (actual.double() - expected.double()).abs().max() / expected.double().abs().max().clamp_min(1e-300)
    assert error <= tolerance, f"{name}: {error:.3g}"


def check_gradients(network: torch.nn.Module, expected: dict[str, Tensor], tolerance: float) -> None:
    found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    for name, value in expected.items():
        check_close(found[name], value, tolerance, name)
    for name in found.keys() - expected.keys():
        assert float(found[name].abs().max()) < 1e-12, f"{name} should have no gradient"


@pytest.mark.parametrize("name", GENERATORS)
def test_generator_forward_agrees(reference_dir: Path, name: str) -> None:
    network, ref = load_generator(reference_dir, name)
    z, c = ref["z"], labels(ref, len(ref["z"]))
    check_close(network.mapping(z, c), ref["ws"], 1e-6, "ws")
    check_close(network.mapping(z, c, truncation_psi=0.7), ref["ws_psi0.7"], 1e-6, "ws_psi0.7")
    cut = network.mapping(z, c, truncation_psi=0.5, truncation_cutoff=4)
    check_close(cut, ref["ws_psi0.5_cutoff4"], 1e-6, "ws_psi0.5_cutoff4")
    check_close(network.synthesis(ref["ws"], noise="const"), ref["image_noise_const"], 1e-6, "const")
    check_close(network.synthesis(ref["ws"], noise="none"), ref["image_noise_none"], 1e-6, "none")
    check_close(network(z, c, truncation_psi=0.7), ref["image_noise_const_psi0.7"], 1e-6, "psi0.7")


@pytest.mark.parametrize("name", GENERATORS)
def test_generator_float32_forward_agrees(reference_dir: Path, name: str) -> None:
    network, ref = load_generator(reference_dir, name)
    network.float()
    image = network(ref["z"].float(), labels(ref, len(ref["z"])).float())
    assert (image - ref["image_noise_const"]).abs().max() < 1e-4


@pytest.mark.parametrize("name", GENERATORS)
def test_path_length_and_its_gradient_agree(reference_dir: Path, name: str) -> None:
    network, ref = load_generator(reference_dir, name)
    ws = ref["ws"].requires_grad_(True)
    image = network.synthesis(ws, noise="const")
    scaled = ref["pl_noise"] / image.shape[2]
    (gradient,) = torch.autograd.grad((image * scaled).sum(), ws, retain_graph=True)
    check_close(gradient, ref["pl_grads"], 1e-6, "pl_grads")
    lengths = losses.path_lengths(image, ws, ref["pl_noise"])
    check_close(lengths, ref["pl_lengths"], 1e-6, "pl_lengths")
    lengths.square().mean().backward()
    check_gradients(network, under(ref, "grad_of_mean_square_pl_length"), 1e-6)


@pytest.mark.parametrize("name", GENERATORS)
def test_generator_gradients_agree(reference_dir: Path, name: str) -> None:
    network, ref = load_generator(reference_dir, name)
    image = network(ref["z"], labels(ref, len(ref["z"])))
    (image * ref["pl_noise"]).mean().backward()
    check_gradients(network, under(ref, "grad_of_mean_image_times_pl_noise"), 1e-6)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminator_agrees(reference_dir: Path, name: str) -> None:
    network, ref = load_discriminator(reference_dir, name)
    c = labels(ref, len(ref["image"]))
    logits = network(ref["image"], c)
    check_close(logits, ref["logits"], 1e-6, "logits")
    losses.discriminator_loss_fake(logits).mean().backward()
    check_gradients(network, under(ref, "grad_of_mean_softplus_logits"), 1e-6)
    network.float()
    assert (network(ref["image"].float(), c.float()) - ref["logits"]).abs().max() < 1e-4


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_r1_and_its_gradient_agree(reference_dir: Path, name: str) -> None:
    network, ref = load_discriminator(reference_dir, name)
    image = ref["image"].requires_grad_(True)
    penalty = losses.r1_penalty(network(image, labels(ref, len(image))), image)
    check_close(penalty, ref["r1_penalty"], 1e-6, "r1_penalty")
    penalty.mean().backward()
    check_gradients(network, under(ref, "grad_of_mean_r1_penalty"), 1e-6)


def small_networks(seed: int = 0) -> tuple[Generator, Discriminator]:
    draws = torch.Generator().manual_seed(seed)
    shape = {"resolution": 32, "img_channels": 1, "c_dim": 3, "channel_base": 512, "channel_max": 32}
    generator = Generator(Architecture(z_dim=32, w_dim=32, mapping_layers=2, **shape), init=draws)
    return generator, Discriminator(DiscriminatorConfig(**shape), init=draws)


def test_initial_parameters_depend_on_the_generator_of_draws_alone() -> None:
    first, second, other = small_networks(0), small_networks(0), small_networks(1)
    for a, b in zip(first, second, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    assert not torch.equal(first[0].synthesis.b4.const, other[0].synthesis.b4.const)


TOLERANCES = {torch.float32: 2e-5, torch.float16: 0.04, torch.bfloat16: 0.1}
"""Largest error of the fast paths against the reference in float64: of outputs as a share of their largest value, of
all gradients together as a share of their norm."""


WAYS = [*(("torch", dtype) for dtype in TOLERANCES), ("triton", torch.float32)]
"""Triton's interpreter is slow, and cuts bfloat16 off where a GPU rounds it: a GPU's check has the half types."""


def check_together(network: torch.nn.Module, expected: dict[str, Tensor], tolerance: float) -> None:
    found = dict(network.named_parameters())
    error = sum(float((found[name].grad - value).square().sum()) for name, value in expected.items())
    size = sum(float(value.square().sum()) for value in expected.values())
    assert (error / size) ** 0.5 <= tolerance
    network.zero_grad(set_to_none=True)


@pytest.mark.parametrize(("kernels", "dtype"), WAYS)
@pytest.mark.parametrize("name", GENERATORS)
def test_fast_generator_agrees(
    reference_dir: Path, name: str, dtype: torch.dtype, kernels: str, request: pytest.FixtureRequest
) -> None:
    if kernels == "triton":
        request.getfixturevalue("few_programs")
    network, ref = load_generator(reference_dir, name)
    network.float().compute_dtype = dtype
    tolerance = TOLERANCES[dtype]
    c = labels(ref, len(ref["z"])).float()
    image = network(ref["z"].float(), c)
    assert image.dtype == torch.float32
    check_close(image.detach(), ref["image_noise_const"], tolerance, "image")
    (image * ref["pl_noise"].float()).mean().backward()
    check_together(network, under(ref, "grad_of_mean_image_times_pl_noise"), tolerance)
    ws = ref["ws"].float().requires_grad_(True)
    lengths = losses.path_lengths(network.synthesis(ws), ws, ref["pl_noise"].float())
    check_close(lengths.detach(), ref["pl_lengths"], tolerance, "pl_lengths")
    lengths.square().mean().backward()
    check_together(network, under(ref, "grad_of_mean_square_pl_length"), tolerance)


@pytest.mark.parametrize(("kernels", "dtype"), WAYS)
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_fast_discriminator_agrees(
    reference_dir: Path, name: str, dtype: torch.dtype, kernels: str, request: pytest.FixtureRequest
) -> None:
    if kernels == "triton":
        request.getfixturevalue("few_programs")
    network, ref = load_discriminator(reference_dir, name)
    network.float().compute_dtype = dtype
    tolerance = TOLERANCES[dtype]
    c = labels(ref, len(ref["image"])).float()
    image = ref["image"].float().requires_grad_(True)
    logits = network(image, c)
    check_close(logits.detach(), ref["logits"], tolerance, "logits")
    losses.discriminator_loss_fake(logits).mean().backward()
    check_together(network, under(ref, "grad_of_mean_softplus_logits"), tolerance)
    penalty = losses.r1_penalty(network(image, c), image)
    check_close(penalty.detach(), ref["r1_penalty"], tolerance, "r1_penalty")
    penalty.mean().backward()
    check_together(network, under(ref, "grad_of_mean_r1_penalty"), tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_lie_in_memory_as_their_parameters_do(dtype: torch.dtype) -> None:
    # A fused optimiser walks through both as they lie; a gradient that has to be turned round costs a slow copy.
    networks = generator, discriminator = small_networks()
    generator.compute_dtype = discriminator.compute_dtype = dtype
    ws = generator.mapping(torch.randn(2, 32), torch.eye(3)[:2])
    image = generator.synthesis(ws)
    lengths = losses.path_lengths(image, ws, torch.randn_like(image))
    logits = discriminator(image, torch.eye(3)[:2])
    (lengths.sum() + losses.r1_penalty(logits, image).sum() + logits.sum()).backward()
    for network in networks:
        for name, parameter in network.named_parameters():
            layout = torch.channels_last if parameter.ndim == 4 else torch.contiguous_format
            assert parameter.is_contiguous(memory_format=layout), name
            assert parameter.grad is not None
            assert parameter.grad.is_contiguous(memory_format=layout), name


def test_large_styles_do_not_overflow_half_precision() -> None:
    generator, _ = small_networks()
    generator.compute_dtype = torch.float16
    with torch.no_grad():
        for module in generator.modules():
            if hasattr(module, "affine"):
                module.affine.bias.mul_(1e4)
        image = generator(torch.randn(2, 32), torch.eye(3)[:2])
    assert torch.isfinite(image).all()


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    generator, _ = small_networks()
    z = torch.randn(8, 32, generator=torch.Generator().manual_seed(2))
    c = torch.eye(3)[[0, 1, 2, 0, 1, 2, 0, 1]]
    with torch.no_grad():
        together = generator(z, c)
        shuffled = generator(z.flip(0), c.flip(0)).flip(0)
    assert torch.allclose(together, shuffled, atol=1e-5)


def test_average_w_follows_the_mean() -> None:
    generator, _ = small_networks()
    ws = torch.ones(4, generator.synthesis.num_ws, 32)
    generator.update_w_avg(ws)
    assert torch.allclose(generator.mapping.w_avg, torch.full([32], 0.005))
    generator.update_w_avg(ws)
    assert torch.allclose(generator.mapping.w_avg, torch.full([32], 0.005 * (1 + 0.995)))


def test_noise_is_drawn_layer_by_layer() -> None:
    generator, _ = small_networks()
    synthesis = generator.synthesis
    sizes = [4, 8, 8, 16, 16, 32, 32]
    draws = torch.Generator().manual_seed(5)
    for plane, size in zip(synthesis.draw_noise(3, torch.Generator().manual_seed(5)), sizes, strict=True):
        assert torch.equal(plane, torch.randn([3, 1, size, size], generator=draws))
    double = synthesis.double().draw_noise(1)
    assert {plane.dtype for plane in double} == {torch.float64}


def test_drawn_noise_equal_to_the_constant_planes_gives_the_same_image() -> None:
    generator, _ = small_networks()
    synthesis = generator.synthesis
    with torch.no_grad():
        for layer in synthesis.layers:
            layer.noise_strength.fill_(0.5)
        ws = generator.mapping(torch.randn(2, 32), torch.eye(3)[:2])
        planes = [layer.noise_const.expand(2, 1, -1, -1) for layer in synthesis.layers]
        fixed = synthesis(ws, "const")
        assert torch.equal(synthesis(ws, planes), fixed)
        assert not torch.allclose(synthesis(ws, synthesis.draw_noise(2)), fixed, atol=1e-3)
        assert not torch.allclose(synthesis(ws, "none"), fixed, atol=1e-3)
    with pytest.raises(ValueError, match="7 tensors"):
        synthesis(ws, planes[1:])
    with pytest.raises(ValueError, match="'const' or 'none'"):
        synthesis(ws, "random")


@pytest.mark.gpu
@pytest.mark.parametrize("name", GENERATORS)
def test_generator_agrees_on_a_gpu(reference_dir: Path, name: str) -> None:
    network, ref = load_generator(reference_dir, name)
    network.cuda()
    ws, direction = ref["ws"].cuda().requires_grad_(True), ref["pl_noise"].cuda()
    image = network.synthesis(ws, noise="const")
    check_close(image.detach().cpu(), ref["image_noise_const"], 1e-6, "const")
    lengths = losses.path_lengths(image, ws, direction)
    check_close(lengths.detach().cpu(), ref["pl_lengths"], 1e-6, "pl_lengths")


@pytest.mark.gpu
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminator_agrees_on_a_gpu(reference_dir: Path, name: str) -> None:
    network, ref = load_discriminator(reference_dir, name)
    network.cuda()
    image = ref["image"].cuda().requires_grad_(True)
    logits = network(image, labels(ref, len(image)).cuda())
    check_close(logits.detach().cpu(), ref["logits"], 1e-6, "logits")
    penalty = losses.r1_penalty(logits, image)
    check_close(penalty.detach().cpu(), ref["r1_penalty"], 1e-6, "r1_penalty")
