"""Per-image random draws of the augmentations: each strength, and whether an operation is applied at all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from usgan_cli.core.machine.placement import to_device


@dataclass(frozen=True)
class Draws:
    """The source of every draw for one batch, in float64.

    Parameters
    ----------
    count : int
        Number of images; each gets its own draws.
    p : Tensor
        Overall probability, a float64 scalar on `device`.
    device : torch.device
        Where the draws are used. They are made on the generator's own device and moved without waiting.
    generator : torch.Generator, optional
        Source of the randomness; the device's default generator without one.
    percentile : float, optional
        In (0, 1): replaces every draw by this percentile of its distribution (an error function's inverse, without
        the factor sqrt(2), for normal ones) and applies every operation, so that results can be compared.
    """

    count: int
    p: Tensor
    device: torch.device
    generator: torch.Generator | None = None
    percentile: float | None = None

    @property
    def source(self) -> torch.device:
        """Where the draws are made."""
        return self.device if self.generator is None else self.generator.device

    def _random(self, *shape: int) -> Tensor:
        size = (self.count, *shape)
        drawn = torch.rand(size, generator=self.generator, dtype=torch.float64, device=self.source)
        return to_device(drawn, self.device)

    def _constant(self, value: float, *shape: int) -> Tensor:
        return torch.full((self.count, *shape), value, dtype=torch.float64, device=self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Return draws from [0, 1) of shape [count, *shape]."""
        return self._random(*shape) if self.percentile is None else self._constant(self.percentile, *shape)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal draws of shape [count, *shape]."""
        if self.percentile is not None:
            return self._constant(2 * self.percentile - 1, *shape).erfinv()
        return self.noise(*shape, dtype=torch.float64)

    def noise(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return standard normal draws of shape [count, *shape], whatever the percentile."""
        size = (self.count, *shape)
        return to_device(torch.randn(size, generator=self.generator, dtype=dtype, device=self.source), self.device)

    def choose(self, values: Tensor, neutral: float, probability: Tensor) -> Tensor:
        """Keep each image's values with the given probability, else put the neutral value in their place.

        Parameters
        ----------
        values : Tensor
            Shape [count, ...].
        neutral : float
            The value that leaves an image as it is.
        probability : Tensor
            Scalar; at or above 1 always applies.
        """
        if self.percentile is not None:
            return values
        applied = self._random(*(1 for _ in values.shape[1:])) < probability
        return torch.where(applied, values, neutral)
