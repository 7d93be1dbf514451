"""The trained part of a projected discriminator: a small network for each scale, with spectral normalisation (Miyato
et al. 2018, "Spectral Normalization for Generative Adversarial Networks") and a class embedding (Miyato and Koyama
2018, "cGANs with Projection Discriminator").
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FIRST_POWER_ITERATIONS = 15
"""Iterations that start the estimate of the largest singular value; afterwards a step of training takes one."""
LEAST_SIZE = 4
"""Pixels a side to which a head reduces its map: each of the 16 places gives a logit."""
EMBEDDING_STD = 0.1


class SpectralConv(nn.Module):
    """A convolution whose weights, as a matrix [out, in * k * k], are divided by their largest singular value.

    The singular vectors are buffers that change in `power_iteration` alone, so the weights are the same however often,
    and on however many parts of a batch, they are used.
    """

    u: Tensor
    v: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, init: torch.Generator, *, stride: int = 1
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, (kernel - 1) // 2
        fan_in = in_channels * kernel**2
        bound = 1 / math.sqrt(fan_in)

        def uniform(*shape: int) -> nn.Parameter:
            return nn.Parameter((2 * torch.rand(shape, generator=init) - 1) * bound)

        self.weight = uniform(out_channels, in_channels, kernel, kernel)
        self.bias = uniform(out_channels)
        self.register_buffer("u", F.normalize(torch.randn(out_channels, generator=init), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(fan_in, generator=init), dim=0))
        for _ in range(FIRST_POWER_ITERATIONS):
            self.power_iteration()

    @torch.no_grad()
    def power_iteration(self) -> None:
        """Move the estimates of the first singular vectors one step."""
        matrix = self.weight.flatten(1)
        self.u.copy_(F.normalize(matrix @ self.v, dim=0, eps=1e-12))
        self.v.copy_(F.normalize(matrix.T @ self.u, dim=0, eps=1e-12))

    def normalised(self) -> Tensor:
        """Return the weights over their largest singular value; the gradient passes through both."""
        return self.weight / torch.dot(self.u, self.weight.flatten(1) @ self.v)

    def forward(self, x: Tensor) -> Tensor:
        """Return features [N, out, H / stride, W / stride] of x [N, in, H, W]."""
        return F.conv2d(x, self.normalised(), self.bias, self.stride, self.padding)


class Head(nn.Module):
    """Logits of the places of one scale: convolutions down to 4 x 4, one more, and a projection on the class."""

    def __init__(self, channels: int, size: int, c_dim: int, init: torch.Generator) -> None:
        super().__init__()
        self.down = nn.ModuleList()
        while size > LEAST_SIZE:
            self.down.append(SpectralConv(channels, channels, 4, init, stride=2))
            size //= 2
        self.conv = SpectralConv(channels, channels, 3, init)
        self.out = SpectralConv(channels, 1, 1, init)
        if c_dim > 0:
            self.embed = nn.Parameter(torch.randn([c_dim, channels], generator=init) * EMBEDDING_STD)
        self.c_dim = c_dim

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Return logits [N, places], positive for real, of a map [N, C, H, W] and one-hot c [N, c_dim]."""
        for layer in [*self.down, self.conv]:
            x = F.leaky_relu(layer(x), 0.2)
        logits: Tensor = self.out(x)
        if self.c_dim > 0:
            of_class = (c.to(x.dtype) @ self.embed)[:, :, None, None]
            logits = logits + (x * of_class).sum(dim=1, keepdim=True) / math.sqrt(x.shape[1])
        return logits.flatten(1)
