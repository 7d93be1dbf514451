"""The projected discriminator (Sauer et al. 2021, "Projected GANs Converge Faster"): frozen features of a pretrained
network, frozen random mixing, and a small trained head for each scale. StyleGAN2's discriminator may judge beside it
(Kumari et al. 2022, "Ensembling Off-the-shelf Models for GAN Training").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from usgan_cli.gan.networks import Discriminator, DiscriminatorConfig
from usgan_cli.gan.projected.features import FeatureNetwork
from usgan_cli.gan.projected.heads import Head, SpectralConv
from usgan_cli.gan.projected.mixing import RandomMixing


@dataclass(frozen=True)
class ProjectedConfig:
    """What a projected discriminator is built from."""

    network: str
    """Name of the feature network; see `FeatureNetwork`."""
    size: int
    """Pixels to which images are enlarged for it."""
    channels: int
    """Width of mixed features and heads."""
    c_dim: int
    weights: str | Path = "auto"
    digest: str | None = None
    pixels: DiscriminatorConfig | None = None
    """The discriminator that judges the images' pixels beside the features, if there is one."""


class ProjectedDiscriminator(nn.Module):
    """Judges images by their features at several scales; of these parts only the heads are trained.

    State and parameters do not include the feature network, which is found again by its digest.
    """

    def __init__(
        self, config: ProjectedConfig, init: torch.Generator, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()

        def network_at(size: int) -> FeatureNetwork:
            return FeatureNetwork(config.network, size, config.weights, config.digest, device, dtype)

        network = network_at(config.size)
        self._network_at = network_at
        self._network = (network,)  # in a tuple, so that torch does not count it among the trained and saved parts
        self.mixing = RandomMixing([channels for channels, _ in network.shapes], config.channels, init)
        self.heads = nn.ModuleList(Head(config.channels, size, config.c_dim, init) for _, size in network.shapes)
        self.pixels: Discriminator | None = None
        if config.pixels is not None:
            self.pixels = Discriminator(config.pixels, init)
            self.pixels.compute_dtype = dtype
        self.to(device)

    def look_at(self, size: int) -> bool:
        """From now on enlarge images to so many pixels; return whether that is a change.

        The heads are convolutions and stay as they are: of larger maps they judge more places.
        """
        if size == self._network[0].size:
            return False
        self._network = (self._network_at(size),)
        return True

    def features(self, images: Tensor) -> list[Tensor]:
        """Return mixed features [N, channels, h, w] of images [N, C, H, W] in [-1, 1], the largest scale first."""
        own = next(self.heads.parameters()).dtype
        return [one.to(own) for one in self.mixing(self._network[0](images))]

    def judge(self, features: Sequence[Tensor], c: Tensor) -> list[Tensor]:
        """Return each head's logits [N, places], positive for real, of mixed features and one-hot c [N, c_dim]."""
        return [head(one, c) for head, one in zip(self.heads, features, strict=True)]

    def forward(self, img: Tensor, c: Tensor) -> list[Tensor]:
        """Return each head's logits [N, places], positive for real, of images in [-1, 1] and one-hot c.

        Where there is a discriminator of pixels, its logits [N, 1] come last.
        """
        logits = self.judge(self.features(img), c)
        return logits if self.pixels is None else [*logits, self.pixels(img, c)]

    def update_norms(self) -> None:
        """Follow the heads' weights with the estimates of their largest singular values."""
        for module in self.heads.modules():
            if isinstance(module, SpectralConv):
                module.power_iteration()
