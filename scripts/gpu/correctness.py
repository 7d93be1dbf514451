"""Whether the device computes what a processor computes in float64: networks, derivatives, augmentations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

from gpu.gan import CLASSES, KERNELS, free, use_kernels
from gpu.results import Check, Section
from usgan_cli.core.formats.generator import Architecture
from usgan_cli.core.machine.device import torch_dtype
from usgan_cli.gan import losses
from usgan_cli.gan.augment import AdaAugment, DiffAugment
from usgan_cli.gan.networks import Discriminator, DiscriminatorConfig, Generator

TOLERANCE = {"float64": 1e-10, "float32": 1e-4, "bf16": 0.15, "fp16": 0.05}
"""Largest norm of a difference, relative to the norm of what is right."""
AUGMENTS = {
    "ADA bg": AdaAugment("bg"),
    "ADA bgcfnc": AdaAugment("bgcfnc"),
    "DiffAug": DiffAugment(("color", "translation", "cutout")),
}
Quantities = dict[str, Tensor]


def correctness(check: Check, section: Section) -> None:
    """Compare networks and augmentations with float64 on the processor, with each kind of kernels."""
    resolution, batch = (16, 4) if check.small else (64, 8)
    precisions = ["float64", "float32", "bf16"] if check.small else list(TOLERANCE)
    if check.device == "cpu":
        precisions = [name for name in precisions if name != "fp16"]
    with _exact():
        right = _network_quantities("cpu", "float64", resolution, batch)
        for kernels in KERNELS:
            problem = use_kernels(kernels, check.device)
            if problem:
                section.row(f"kernels {kernels}", "not used", ok=None, why=problem)
                continue
            for precision in precisions:
                if kernels == "triton" and precision == "float64":  # they have none
                    continue
                computed = _network_quantities(check.device, precision, resolution, batch)
                _compare(section, f"{kernels} {precision}", computed, right, TOLERANCE[precision])
                free()
        for name in AUGMENTS:
            expected = _augmented("cpu", name, resolution)
            _compare(section, name, _augmented(check.device, name, resolution), expected, 1e-9)


@contextmanager
def _exact() -> Iterator[None]:
    """Keep float32 from being rounded to TF32."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def _compare(section: Section, prefix: str, computed: Quantities, right: Quantities, tolerance: float) -> None:
    for name, value in right.items():
        difference = float((computed[name] - value).norm() / value.norm())
        section.row(f"{prefix}: {name}", difference, "relative", ok=difference <= tolerance)


@cache
def _parameters(resolution: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return parameters of both networks, with noise strengths and biases that are not 0."""
    draws = torch.Generator().manual_seed(0)
    states = []
    for network in _networks(resolution):
        state = network.double().state_dict()
        for name, value in state.items():
            if name.endswith(("noise_strength", "bias")):
                state[name] = value + 0.2 * torch.randn(value.shape, generator=draws, dtype=torch.float64)
        states.append(state)
    return states[0], states[1]


def _networks(resolution: int) -> tuple[Generator, Discriminator]:
    shape = {"resolution": resolution, "img_channels": 1, "c_dim": CLASSES, "channel_base": 2048, "channel_max": 64}
    latent = {"z_dim": 64, "w_dim": 64, "mapping_layers": 2}
    draws = torch.Generator().manual_seed(1)
    return (
        Generator(Architecture(**shape, **latent), init=draws),
        Discriminator(DiscriminatorConfig(**shape), init=draws),
    )


def _network_quantities(device: str, precision: str, resolution: int, batch: int) -> Quantities:
    """Return images, logits, first and second derivatives, as the device computes them in a precision."""
    own = torch.float64 if precision == "float64" else torch.float32
    generator, discriminator = _networks(resolution)
    for network, state in zip((generator, discriminator), _parameters(resolution), strict=True):
        network.to(device=device, dtype=own).load_state_dict(state)
        network.compute_dtype = torch_dtype(precision)
    draws = torch.Generator().manual_seed(2)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draws, dtype=torch.float64).to(device=device, dtype=own)

    z, direction, real = (
        drawn(batch, 64),
        drawn(batch, 1, resolution, resolution),
        drawn(batch, 1, resolution, resolution),
    )
    labels = torch.eye(CLASSES, dtype=own, device=device)[torch.arange(batch, device=device) % CLASSES]
    planes = [drawn(*plane.shape) for plane in generator.synthesis.draw_noise(batch, torch.Generator(device=device))]
    ws = generator.mapping(z, labels)
    images = generator.synthesis(ws, planes)
    lengths = losses.path_lengths(images, ws, direction)
    computed = {"image": images, "path lengths": lengths}
    computed["path length's gradient"] = _gradient(lengths.square().mean(), generator)
    computed["generator's gradient"] = _gradient(
        losses.generator_loss(discriminator(generator.synthesis(generator.mapping(z, labels), planes), labels)).mean(),
        generator,
    )
    real = real.clamp(-1, 1).requires_grad_(True)
    logits = discriminator(real, labels)
    penalty = losses.r1_penalty(logits, real)
    computed |= {"logits": logits, "R1": penalty}
    computed["R1's gradient"] = _gradient(penalty.mean(), discriminator)
    loss = losses.discriminator_loss_real(discriminator(real.detach(), labels)).mean()
    computed["discriminator's gradient"] = _gradient(loss, discriminator)
    return {name: value.detach().double().cpu() for name, value in computed.items()}


def _gradient(loss: Tensor, network: torch.nn.Module) -> Tensor:
    """Return the gradient of all parameters as one row; 0 where they have no part in it."""
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    rows = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)]
    return torch.cat([row.flatten().double() for row in rows])


def _augmented(device: str, name: str, resolution: int) -> Quantities:
    """Return images augmented as drawn on the host, and the gradient and its gradient through the augmentation."""
    augment = AUGMENTS[name]
    draws = torch.Generator().manual_seed(3)
    shape = (8, 1, resolution, resolution)
    images = torch.rand(shape, generator=draws, dtype=torch.float64) * 2 - 1
    weights = torch.randn(shape, generator=draws, dtype=torch.float64).to(device)
    drawn = augment.draw(shape, 0.8, draws, torch.device("cpu"))
    placed = {key: value.to(device) for key, value in drawn.items()}
    images = images.to(device).requires_grad_(True)
    shown = augment.apply(images, placed)
    (first,) = torch.autograd.grad((shown**3 * weights).sum(), images, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), images)
    computed = {"images": shown, "gradient": first, "second gradient": second}
    return {key: value.detach().double().cpu() for key, value in computed.items()}
