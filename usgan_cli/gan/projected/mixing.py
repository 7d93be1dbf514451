"""Random projections that mix features across channels and across scales and are never trained (Sauer et al. 2021,
"Projected GANs Converge Faster", section 3.2).

A discriminator on the features themselves looks at the few channels that tell images apart most easily; behind a random
projection it has to use all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FrozenConv(nn.Module):
    """A convolution with random weights that no optimiser sees: normal, with the variance of He et al. (2015)."""

    weight: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel: int, init: torch.Generator) -> None:
        super().__init__()
        std = math.sqrt(2 / (in_channels * kernel**2))
        self.register_buffer("weight", torch.randn([out_channels, in_channels, kernel, kernel], generator=init) * std)

    def forward(self, x: Tensor) -> Tensor:
        """Return features [N, out, H, W] in the type of x [N, in, H, W]."""
        weight = self.weight.to(dtype=x.dtype, memory_format=torch.channels_last)
        return F.conv2d(x, weight, padding=self.weight.shape[2] // 2)


class RandomMixing(nn.Module):
    """Mixes feature maps across channels (1 x 1), then from the smallest scale upwards across scales (3 x 3).

    The weights are buffers: they are drawn from `init`, saved with the discriminator, and taken from another one's.
    """

    def __init__(self, channels: Sequence[int], width: int, init: torch.Generator) -> None:
        super().__init__()
        self.across_channels = nn.ModuleList(FrozenConv(count, width, 1, init) for count in channels)
        self.across_scales = nn.ModuleList(FrozenConv(width, width, 3, init) for _ in pairwise(channels))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return mixed maps [N, width, h, w] of the same sizes, the largest first."""
        mixed = [mix(one) for mix, one in zip(self.across_channels, maps, strict=True)]
        results = [mixed[-1]]
        for own, mix in zip(mixed[-2::-1], reversed(list(self.across_scales)), strict=True):
            above = F.interpolate(results[-1], own.shape[2:], mode="bilinear", align_corners=False)
            results.append(mix(own + above) / math.sqrt(2))
        return results[::-1]
