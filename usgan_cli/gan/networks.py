"""StyleGAN2's generator and discriminator (Karras et al. 2020, "Analyzing and Improving the Image Quality of
StyleGAN", config F), conditional on a class by embedding (projection in the discriminator, Miyato and Koyama 2018).

Parameters and buffers have the names of the published checkpoints. The `half_resolutions` highest resolutions are
computed in `compute_dtype`; everything that is small or delicate (mapping, styles, demodulation, the running image,
minibatch standard deviation, the last block, logits) stays in the parameters' own type.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from usgan_cli.core.formats.generator import Architecture
from usgan_cli.gan.grays import apply_curve
from usgan_cli.gan.kernels.filters import binomial_upsample
from usgan_cli.gan.kernels.types import HALF_TYPES
from usgan_cli.gan.layers import (
    ConvLayer,
    FullyConnected,
    SynthesisLayer,
    ToRGB,
    laid_out,
    minibatch_std,
    normal,
    normalize_second_moment,
)

MAPPING_LR_MULTIPLIER = 0.01
GRAY_CURVE = "synthesis.gray_curve"
"""Name of a finished generator's curve of gray levels among its tensors, where it has one."""
SPREAD = "mapping.spread"
"""Name of how many times as far as in training a finished generator's w lies from its average, where it is not 1."""

Noise = Sequence[Tensor] | Literal["const", "none"]
"""What is added after the generator's convolutions: drawn planes in order of use, constant ones, or nothing."""


def resolutions(resolution: int) -> list[int]:
    """Return 4, 8, ... up to the image's own size."""
    return [2**i for i in range(2, int(math.log2(resolution)) + 1)]


def channels_at(resolution: int, channel_base: int, channel_max: int) -> int:
    """Return the number of feature channels at a resolution."""
    return min(channel_base // resolution, channel_max)


@dataclass(frozen=True)
class DiscriminatorConfig:
    """What a discriminator is built from."""

    resolution: int
    img_channels: int
    c_dim: int
    mapping_layers: int = 8
    channel_base: int = 16384
    channel_max: int = 512
    mbstd_group_size: int = 4
    half_resolutions: int = 4
    clamp: float | None = 256


class MappingNetwork(nn.Module):
    """From a latent z and a class c to an intermediate latent w; without z it only embeds the class."""

    w_avg: Tensor
    spread: Tensor | None
    """Scalar by which every distance to `w_avg` is multiplied, also a truncated one."""

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        layers: int,
        *,
        num_ws: int | None = None,
        init: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.layers, self.num_ws = z_dim, c_dim, layers, num_ws
        if c_dim > 0:
            self.embed = FullyConnected(c_dim, w_dim, init=init)
        features = z_dim + (w_dim if c_dim > 0 else 0)
        for i in range(layers):
            layer = FullyConnected(features, w_dim, activation="lrelu", lr_multiplier=MAPPING_LR_MULTIPLIER, init=init)
            self.add_module(f"fc{i}", layer)
            features = w_dim
        if num_ws is not None:
            self.register_buffer("w_avg", torch.zeros([w_dim]))
        # As a curve of gray levels, only a finished generator may have one.
        self.register_buffer("spread", None)

    def forward(
        self, z: Tensor | None, c: Tensor, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> Tensor:
        """Map z [N, z_dim] and one-hot c [N, c_dim] to ws [N, num_ws, w_dim], or to [N, w_dim] without `num_ws`.

        `truncation_psi` says how far w may stray from its average, in the first `truncation_cutoff` layers or in all.
        """
        dtype = next(self.parameters()).dtype
        parts = []
        if z is not None:
            parts.append(normalize_second_moment(z.to(dtype)))
        if self.c_dim > 0:
            parts.append(normalize_second_moment(self.embed(c.to(dtype))))
        x = torch.cat(parts, dim=1)
        for i in range(self.layers):
            x = self.get_submodule(f"fc{i}")(x)
        if self.num_ws is None:
            return x
        ws = x[:, None, :].expand(-1, self.num_ws, -1)
        if truncation_psi != 1:
            cut = self.num_ws if truncation_cutoff is None else truncation_cutoff
            ws = torch.cat([self.w_avg.lerp(ws[:, :cut], truncation_psi), ws[:, cut:]], dim=1)
        return ws if self.spread is None else torch.lerp(self.w_avg, ws, self.spread)


class SynthesisBlock(nn.Module):
    """One resolution of the generator: one or two convolutions, and their share of the image."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        architecture: Architecture,
        resolution: int,
        clamp: float | None,
        init: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.first = in_channels == 0
        w_dim = architecture.w_dim
        if self.first:
            self.const = normal((out_channels, resolution, resolution), init)
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, w_dim, resolution, up=True, clamp=clamp, init=init)
        self.conv1 = SynthesisLayer(out_channels, out_channels, w_dim, resolution, up=False, clamp=clamp, init=init)
        self.torgb = ToRGB(out_channels, architecture.img_channels, w_dim, clamp=clamp, init=init)

    @property
    def convolutions(self) -> list[SynthesisLayer]:
        """The convolutions in order of use; the image's share uses the w after theirs."""
        return [self.conv1] if self.first else [self.conv0, self.conv1]


class SynthesisNetwork(nn.Module):
    """From intermediate latents to an image, resolution by resolution."""

    gray_curve: Tensor | None
    """Curve of gray levels [LEVELS] that the image goes through at the end; see `usgan_cli.gan.grays`."""

    def __init__(
        self, architecture: Architecture, init: torch.Generator | None, half_resolutions: int, clamp: float | None
    ) -> None:
        super().__init__()
        self.half_resolutions = half_resolutions
        self.compute_dtype = torch.float32
        # Only a finished generator may have one, and only then is it among its tensors.
        self.register_buffer("gray_curve", None)
        self.block_resolutions = resolutions(architecture.resolution)
        previous = 0
        for resolution in self.block_resolutions:
            channels = channels_at(resolution, architecture.channel_base, architecture.channel_max)
            block = SynthesisBlock(previous, channels, architecture, resolution, clamp, init)
            self.add_module(f"b{resolution}", block)
            previous = channels

    @property
    def num_ws(self) -> int:
        """Number of ws the network takes."""
        return 2 * len(self.block_resolutions)

    @property
    def layers(self) -> list[SynthesisLayer]:
        """The convolutions that noise is added to, in order of use."""
        return [layer for block in self.blocks for layer in block.convolutions]

    @property
    def blocks(self) -> list[SynthesisBlock]:
        """The resolutions from 4 pixels upwards."""
        return [getattr(self, f"b{resolution}") for resolution in self.block_resolutions]

    def draw_noise(self, count: int, generator: torch.Generator | None = None) -> list[Tensor]:
        """Draw the noise of `count` images: standard normal [count, 1, r, r] for each convolution in order of use.

        It is drawn where `generator` is, and returned where the parameters are, in their type.
        """
        const = self.blocks[0].const
        device = const.device if generator is None else generator.device
        sizes = [layer.resolution for layer in self.layers]
        return [torch.randn([count, 1, r, r], generator=generator, device=device).to(const) for r in sizes]

    def forward(self, ws: Tensor, noise: Noise = "const") -> Tensor:
        """Make images [N, img_channels, resolution, resolution], about in [-1, 1], from ws [N, num_ws, w_dim].

        The noise is what `draw_noise` returns, "const" for the same planes in every image, or "none".

        Raises
        ------
        ValueError
            The noise is not one plane for each convolution.
        """
        planes, layers, blocks = self._planes(noise), self.layers, self.blocks
        of_layer = [block for block in blocks for _ in block.convolutions]
        dtypes = [_block_dtype(self, block.resolution, ws.dtype) for block in of_layer]
        styles = [layer.styles(ws[:, i], dtypes[i]) for i, layer in enumerate(layers)]
        const = laid_out(blocks[0].const[None].expand(len(ws), -1, -1, -1), dtypes[0])
        scaled: Tensor | None = const * styles[0].to(dtypes[0])[:, :, None, None]
        img: Tensor | None = None
        for i, (layer, block) in enumerate(zip(layers, of_layer, strict=True)):
            # A layer hands over its features scaled by the next layer's styles, which saves a pass over them.
            following = (styles[i + 1], dtypes[i + 1]) if i + 1 < len(layers) else None
            last = layer is block.conv1
            features, scaled = layer(scaled, styles[i], planes[i], plain=last, following=following)
            if last:
                share = block.torgb(features, ws[:, i + 1])
                img = share if img is None else binomial_upsample(img) + share
        if img is None:
            raise ValueError("a generator has at least one block")
        return img if self.gray_curve is None else apply_curve(img, self.gray_curve)

    def _planes(self, noise: Noise) -> Sequence[Tensor | None]:
        layers = self.layers
        if noise == "none":
            return [None] * len(layers)
        if noise == "const":
            return [layer.noise_const for layer in layers]
        if isinstance(noise, str) or len(noise) != len(layers):
            raise ValueError(f"noise must be {len(layers)} tensors, 'const' or 'none'")
        return noise


class Generator(nn.Module):
    """StyleGAN2's generator: `mapping` then `synthesis`.

    Parameters
    ----------
    init : torch.Generator, optional
        Source of the initial parameters; torch's own without it.
    half_resolutions : int
        Number of resolutions, from the highest, that compute in `compute_dtype`.
    clamp : float or None
        Largest size of an activation.
    """

    def __init__(
        self,
        architecture: Architecture,
        init: torch.Generator | None = None,
        *,
        half_resolutions: int = 4,
        clamp: float | None = 256,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.synthesis = SynthesisNetwork(architecture, init, half_resolutions, clamp)
        self.mapping = MappingNetwork(
            architecture.z_dim,
            architecture.c_dim,
            architecture.w_dim,
            architecture.mapping_layers,
            num_ws=self.synthesis.num_ws,
            init=init,
        )

    @property
    def compute_dtype(self) -> torch.dtype:
        """Type of the highest resolutions; float32 means the parameters' own."""
        return self.synthesis.compute_dtype

    @compute_dtype.setter
    def compute_dtype(self, dtype: torch.dtype) -> None:
        self.synthesis.compute_dtype = dtype

    @torch.no_grad()
    def update_w_avg(self, ws: Tensor, decay: float = 0.995) -> None:
        """Let the average w follow the mean of ws [N, num_ws, w_dim]."""
        mean = ws[:, 0].detach().mean(dim=0)
        self.mapping.w_avg.copy_(mean.lerp(self.mapping.w_avg, decay))

    def forward(self, z: Tensor, c: Tensor, truncation_psi: float = 1.0, noise: Noise = "const") -> Tensor:
        """Make images [N, img_channels, resolution, resolution] from z [N, z_dim] and one-hot c [N, c_dim]."""
        ws = self.mapping(z, c, truncation_psi=truncation_psi)
        images: Tensor = self.synthesis(ws, noise)
        return images


class DiscriminatorBlock(nn.Module):
    """One resolution of the residual discriminator; the first one also reads the image."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        config: DiscriminatorConfig,
        *,
        first: bool,
        init: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        clamp = config.clamp
        if first:
            self.fromrgb = ConvLayer(config.img_channels, in_channels, 1, clamp=clamp, init=init)
        self.first = first
        self.conv0 = ConvLayer(in_channels, in_channels, 3, clamp=clamp, init=init)
        self.conv1 = ConvLayer(in_channels, out_channels, 3, down=True, gain=math.sqrt(0.5), clamp=clamp, init=init)
        self.skip = ConvLayer(
            in_channels, out_channels, 1, activation="linear", bias=False, down=True, gain=math.sqrt(0.5), init=init
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features at half the resolution."""
        if self.first:
            x = self.fromrgb(x)
        y: Tensor = self.conv1(self.conv0(x), rest=self.skip(x))
        return y


class DiscriminatorEpilogue(nn.Module):
    """The last block: minibatch standard deviation, and logits by projection on the class embedding."""

    def __init__(
        self, channels: int, config: DiscriminatorConfig, cmap_dim: int, init: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.group_size = config.mbstd_group_size
        self.cmap_dim = cmap_dim
        self.conv = ConvLayer(channels + 1, channels, 3, clamp=config.clamp, init=init)
        self.fc = FullyConnected(channels * 16, channels, activation="lrelu", init=init)
        self.out = FullyConnected(channels, cmap_dim or 1, init=init)

    def forward(self, x: Tensor, cmap: Tensor | None) -> Tensor:
        """Return logits [N, 1] from features [N, C, 4, 4]."""
        x = self.conv(minibatch_std(x, self.group_size))
        x = self.out(self.fc(x.flatten(1)))
        if cmap is None:
            return x
        return (x * cmap).sum(dim=1, keepdim=True) / math.sqrt(self.cmap_dim)


class Discriminator(nn.Module):
    """StyleGAN2's discriminator; its initial parameters are drawn from `init`."""

    def __init__(self, config: DiscriminatorConfig, init: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.half_resolutions = config.half_resolutions
        self.compute_dtype = torch.float32
        self.block_resolutions = resolutions(config.resolution)[:0:-1]
        width = {r: channels_at(r, config.channel_base, config.channel_max) for r in resolutions(config.resolution)}
        for resolution in self.block_resolutions:
            block = DiscriminatorBlock(
                width[resolution], width[resolution // 2], config, first=resolution == config.resolution, init=init
            )
            self.add_module(f"b{resolution}", block)
        cmap_dim = width[4] if config.c_dim > 0 else 0
        if cmap_dim:
            self.mapping = MappingNetwork(0, config.c_dim, cmap_dim, config.mapping_layers, init=init)
        self.b4 = DiscriminatorEpilogue(width[4], config, cmap_dim, init)

    def forward(self, img: Tensor, c: Tensor) -> Tensor:
        """Return logits [N, 1], positive for real, from images [N, C, H, W] in [-1, 1] and one-hot c [N, c_dim]."""
        own = self.b4.out.weight.dtype
        x = img.to(own)
        for resolution in self.block_resolutions:
            x = laid_out(x, _block_dtype(self, resolution, own))
            x = self.get_submodule(f"b{resolution}")(x)
        cmap = self.mapping(None, c) if self.config.c_dim > 0 else None
        logits: Tensor = self.b4(x.to(dtype=own, memory_format=torch.contiguous_format), cmap)
        return logits


def _block_dtype(network: SynthesisNetwork | Discriminator, resolution: int, own: torch.dtype) -> torch.dtype:
    """Return the type that a block computes in: the fast one at the highest resolutions, the parameters' own below."""
    lowest = max(2 * max(network.block_resolutions) // 2**network.half_resolutions, 8)
    fast = network.compute_dtype in HALF_TYPES and resolution >= lowest
    return network.compute_dtype if fast else own
