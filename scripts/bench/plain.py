"""StyleGAN2's networks written plainly in float32: what the fast ones are measured against.

    python scripts/bench/plain.py

The mathematics of Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN" (section 2.2 and config
F), one public operation after the other, as a fallback without custom kernels computes it: a weight for each sample
and one grouped convolution for the batch, resampling by inserting zeros and filtering, bias, activation, gain and
clamp one by one, and ordinary automatic differentiation throughout. The parameters are those of the networks in
`usgan_cli.gan.networks`, so both give the same numbers; run alone, the script says how nearly, in float64.

`per_sample_weights=False` scales the features before and after one ordinary convolution and makes the weights of each
sample for the demodulation alone: cheaper in training, where the weights need gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import resampling
import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.core.formats.generator import Architecture
from usgan_cli.gan import losses
from usgan_cli.gan.kernels.activation import bias_act
from usgan_cli.gan.kernels.filters import BINOMIAL
from usgan_cli.gan.layers import ConvLayer, FullyConnected, SynthesisLayer, ToRGB
from usgan_cli.gan.networks import (
    Discriminator,
    DiscriminatorConfig,
    DiscriminatorEpilogue,
    Generator,
    MappingNetwork,
)

EPS = 1e-8
TOLERANCE = 1e-9
"""Largest difference from the fast networks in float64, as a share of the largest value."""


def binomial(like: Tensor) -> Tensor:
    return resampling.setup_filter(BINOMIAL).to(like)


def fully_connected(layer: FullyConnected, x: Tensor) -> Tensor:
    y = x @ (layer.weight * layer.weight_gain).t()
    return bias_act(y, layer.bias * layer.bias_gain, activation=layer.activation)


def normalize(x: Tensor) -> Tensor:
    return x * (x.square().mean(dim=1, keepdim=True) + EPS).rsqrt()


def mapping(network: MappingNetwork, z: Tensor | None, c: Tensor) -> Tensor:
    """Return ws [N, num_ws, w_dim], or the class embedding [N, w_dim] of a network without z."""
    parts = [] if z is None else [normalize(z)]
    if network.c_dim > 0:
        parts.append(normalize(fully_connected(network.embed, c)))
    x = torch.cat(parts, dim=1)
    for i in range(network.layers):
        x = fully_connected(network.get_submodule(f"fc{i}"), x)  # type: ignore[arg-type]
    return x if network.num_ws is None else x[:, None].repeat(1, network.num_ws, 1)


def modulated_conv2d(
    x: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool, up: bool, per_sample_weights: bool
) -> Tensor:
    """Convolve x [N, I, H, W] with weight [O, I, k, k] modulated by styles [N, I], as its equations say."""
    n = len(x)
    modulated = weight[None] * styles[:, None, :, None, None]
    norms = (modulated.square().sum(dim=(2, 3, 4)) + EPS).rsqrt()
    if not per_sample_weights:
        y = convolve(x * styles[:, :, None, None], weight, up=up, groups=1)
        return y * norms[:, :, None, None] if demodulate else y
    if demodulate:
        modulated = modulated * norms[:, :, None, None, None]
    y = convolve(x.reshape(1, -1, *x.shape[2:]), modulated.flatten(0, 1), up=up, groups=n)
    return y.reshape(n, -1, *y.shape[2:])


def convolve(x: Tensor, weight: Tensor, *, up: bool, groups: int) -> Tensor:
    if not up:
        return F.conv2d(x, weight, padding=weight.shape[2] // 2, groups=groups)
    outputs, inputs, k, _ = weight.shape
    weight = weight.reshape(groups, outputs // groups, inputs, k, k).transpose(1, 2).flatten(0, 1)
    y = F.conv_transpose2d(x, weight, stride=2, groups=groups)
    return resampling.upfirdn2d(y, binomial(y), padding=1, gain=4)


def synthesis_layer(layer: SynthesisLayer, x: Tensor, w: Tensor, noise: Tensor | None, per_sample: bool) -> Tensor:
    styles = fully_connected(layer.affine, w)
    y = modulated_conv2d(x, layer.weight, styles, demodulate=True, up=layer.up, per_sample_weights=per_sample)
    if noise is not None:
        y = y + noise * layer.noise_strength
    return bias_act(y, layer.bias, clamp=layer.clamp)


def to_rgb(layer: ToRGB, x: Tensor, w: Tensor, per_sample: bool) -> Tensor:
    styles = fully_connected(layer.affine, w) * layer.weight_gain
    y = modulated_conv2d(x, layer.weight, styles, demodulate=False, up=False, per_sample_weights=per_sample)
    return bias_act(y, layer.bias, activation="linear", clamp=layer.clamp)


class PlainGenerator:
    """A generator's parameters, computed with plainly."""

    def __init__(self, generator: Generator, *, per_sample_weights: bool) -> None:
        self.fast = generator
        self.per_sample_weights = per_sample_weights

    def mapping(self, z: Tensor, c: Tensor) -> Tensor:
        """Return ws [N, num_ws, w_dim]."""
        return mapping(self.fast.mapping, z, c)

    def synthesis(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Return images from ws and one plane of noise for each convolution."""
        planes, styles = list(noise), list(ws.unbind(1))
        x = img = None
        for resolution in self.fast.synthesis.block_resolutions:
            block = self.fast.synthesis.get_submodule(f"b{resolution}")
            if x is None:
                x = block.const[None].repeat(len(ws), 1, 1, 1)
            else:
                x = synthesis_layer(block.conv0, x, styles.pop(0), planes.pop(0), self.per_sample_weights)
                img = resampling.upsample2d(img, binomial(img))
            x = synthesis_layer(block.conv1, x, styles.pop(0), planes.pop(0), self.per_sample_weights)
            share = to_rgb(block.torgb, x, styles[0], self.per_sample_weights)
            img = share if img is None else img + share
        return img


def conv_layer(layer: ConvLayer, x: Tensor) -> Tensor:
    weight = layer.weight * (1 / math.sqrt(layer.weight[0].numel()))
    gain = layer.weight_gain * math.sqrt(layer.weight[0].numel())
    if layer.down and layer.kernel == 1:
        x = F.conv2d(resampling.downsample2d(x, binomial(x)), weight)
    elif layer.down:
        x = F.conv2d(resampling.upfirdn2d(x, binomial(x), padding=2), weight, stride=2)
    else:
        x = F.conv2d(x, weight, padding=layer.kernel // 2)
    return bias_act(x, layer.bias, activation=layer.activation, gain=gain, clamp=layer.clamp)


def minibatch_std(x: Tensor, group_size: int) -> Tensor:
    n, channels, height, width = x.shape
    group = min(group_size, n)
    y = x.reshape(group, -1, channels, height, width)
    y = (y - y.mean(dim=0)).square().mean(dim=0)
    y = (y + EPS).sqrt().mean(dim=(1, 2, 3))
    return torch.cat([x, y.reshape(-1, 1, 1, 1).repeat(group, 1, height, width)], dim=1)


def epilogue(block: DiscriminatorEpilogue, x: Tensor, cmap: Tensor | None) -> Tensor:
    x = conv_layer(block.conv, minibatch_std(x, block.group_size))
    x = fully_connected(block.out, fully_connected(block.fc, x.flatten(1)))
    return x if cmap is None else (x * cmap).sum(dim=1, keepdim=True) * (1 / math.sqrt(block.cmap_dim))


class PlainDiscriminator:
    """A discriminator's parameters, computed with plainly."""

    def __init__(self, discriminator: Discriminator) -> None:
        self.fast = discriminator

    def __call__(self, img: Tensor, c: Tensor) -> Tensor:
        """Return logits [N, 1]."""
        x = img
        for resolution in self.fast.block_resolutions:
            block = self.fast.get_submodule(f"b{resolution}")
            if block.first:
                x = conv_layer(block.fromrgb, x)
            x = conv_layer(block.skip, x) + conv_layer(block.conv1, conv_layer(block.conv0, x))
        cmap = mapping(self.fast.mapping, None, c) if self.fast.config.c_dim > 0 else None
        return epilogue(self.fast.b4, x, cmap)


def check_agreement(resolution: int = 16) -> float:
    """Return the largest relative difference from the fast networks in float64, over images, logits and gradients.

    Raises
    ------
    ArithmeticError
        It is over `TOLERANCE`.
    """
    draws = torch.Generator().manual_seed(0)
    shape = {"resolution": resolution, "img_channels": 1, "c_dim": 3, "channel_base": 256, "channel_max": 16}
    generator = Generator(Architecture(z_dim=16, w_dim=16, mapping_layers=2, **shape), init=draws).double()
    discriminator = Discriminator(DiscriminatorConfig(**shape), init=draws).double()
    with torch.no_grad():
        for layer in generator.synthesis.layers:
            layer.noise_strength.fill_(0.3)
    z = torch.randn([4, 16], generator=draws, dtype=torch.float64)
    c = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0]]
    noise = generator.synthesis.draw_noise(4, draws)
    direction = torch.randn([4, 1, resolution, resolution], generator=draws, dtype=torch.float64)

    def outcome(make: Generator | PlainGenerator, judge: Discriminator | PlainDiscriminator) -> list[Tensor]:
        """Images, logits, and the gradients of the logits, of path lengths and of R1."""
        quantities = []
        ws = make.mapping(z, c)
        image = make.synthesis(ws, noise)
        logits = judge(image, c)
        penalties = losses.path_lengths(image, ws, direction).square() + losses.r1_penalty(logits, image)
        quantities += [image, logits, penalties]
        parameters = [*generator.parameters(), *discriminator.parameters()]
        for value in (logits, penalties):
            gradients = torch.autograd.grad(value.sum(), parameters, retain_graph=True, allow_unused=True)
            quantities += [torch.zeros(()) if gradient is None else gradient for gradient in gradients]
        return quantities

    fast = outcome(generator, discriminator)
    worst = 0.0
    for per_sample_weights in (True, False):
        plain = outcome(
            PlainGenerator(generator, per_sample_weights=per_sample_weights), PlainDiscriminator(discriminator)
        )
        for ours, theirs in zip(fast, plain, strict=True):
            scale = theirs.abs().max().clamp_min(1e-300)
            worst = max(worst, float((ours - theirs).detach().abs().max() / scale.detach()))
    if not worst <= TOLERANCE:
        raise ArithmeticError(f"the plain and the fast networks differ by {worst:.2g} in float64")
    return worst


if __name__ == "__main__":
    print(f"largest relative difference between plain and fast networks in float64: {check_agreement():.2g}")
