"""Per-image random draws of the augmentations: each strength, and whether an operation is applied at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from usgan_cli.core.machine.placement import to_device


@dataclass(frozen=True)
class StrengthSampler:
    """Draws the strengths of a batch's operations, in float64."""

    count: int
    """Number of images; each gets its own draws."""
    p: Tensor
    """Overall probability of an operation, a float64 scalar on `device`."""
    device: torch.device
    """Where the draws are used. They are made on the generator's own device and moved without waiting."""
    generator: torch.Generator | None = None
    """Source of the randomness; the device's default generator without one."""
    percentile: float | None = None
    """In (0, 1): replaces every draw by this percentile of its distribution (an error function's inverse, without the
    factor sqrt(2), for normal ones) and applies every operation, so that results can be compared."""

    @property
    def _source(self) -> torch.device:
        return self.device if self.generator is None else self.generator.device

    def _random(self, *shape: int) -> Tensor:
        size = (self.count, *shape)
        drawn = torch.rand(size, generator=self.generator, dtype=torch.float64, device=self._source)
        return to_device(drawn, self.device)

    def constant(self, value: float, *shape: int) -> Tensor:
        """Return `value` in a float64 tensor [count, *shape]."""
        return torch.full((self.count, *shape), value, dtype=torch.float64, device=self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Return draws from [0, 1) of shape [count, *shape]."""
        return self._random(*shape) if self.percentile is None else self.constant(self.percentile, *shape)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal draws of shape [count, *shape]."""
        if self.percentile is not None:
            return self.constant(2 * self.percentile - 1, *shape).erfinv()
        return self.noise(*shape, dtype=torch.float64)

    def noise(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return standard normal draws of shape [count, *shape], which a percentile does not replace."""
        size = (self.count, *shape)
        return to_device(torch.randn(size, generator=self.generator, dtype=dtype, device=self._source), self.device)

    def choose(self, values: Tensor, neutral: float, multiplier: float | Tensor) -> Tensor:
        """Keep each image's values [count, ...] with probability multiplier * p, else use the neutral value."""
        return self.choose_at(values, neutral, multiplier * self.p)

    def choose_at(self, values: Tensor, neutral: float, probability: Tensor) -> Tensor:
        """Keep each image's values [count, ...] with a scalar probability, always at 1 or above."""
        if self.percentile is not None:
            return values
        applied = self._random(*(1 for _ in values.shape[1:])) < probability
        return torch.where(applied, values, neutral)

    def flip(self, multiplier: float) -> Tensor:
        """Return [count]: -1 for half of the images that the operation is applied to, 1 for all others."""
        return 1 - 2 * self.choose((2 * self.uniform()).floor(), 0.0, multiplier)

    def factor(self, octaves: float, multiplier: float) -> Tensor:
        """Return factors [count] whose base-2 logarithm has the standard deviation `octaves`; 1 where not applied."""
        return self.choose((self.normal() * octaves).exp2(), 1.0, multiplier)

    def half_turns(self, largest: float, probability: Tensor) -> Tensor:
        """Return angles [count], radians, uniform within plus or minus `largest` half turns; 0 where not applied."""
        return self.choose_at((2 * self.uniform() - 1) * (math.pi * largest), 0.0, probability)
