"""What every augmentation offers: drawing for a batch, and applying what was drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class Augment(ABC):
    """Changes images on their way to the discriminator, differentiably.

    Drawing is apart from applying, so that the draws of a batch can be cut into parts (rows of every tensor) or copied
    into fixed buffers.
    """

    @abstractmethod
    def draw(
        self, shape: Sequence[int], p: float | Tensor, generator: torch.Generator | None, device: torch.device
    ) -> dict[str, Tensor]:
        """Draw what is done to each image of a batch of `shape` [N, C, H, W].

        Parameters
        ----------
        p : float or Tensor
            Probability of each operation, in [0, 1], or a scalar tensor of it; only what is adaptive looks at it.
        generator : torch.Generator or None
            Source of every draw; the default generator of `device` without one.

        Returns
        -------
        dict of str to Tensor
            Every tensor has N as its first dimension. Empty: leave the images as they are.
        """

    @abstractmethod
    def apply(self, images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        """Return images [N, C, H, W], range [-1, 1], changed as drawn, in their own type.

        `drawn` is what `draw` returned, or the same rows of each tensor in it, on any device; each image depends on
        its own row alone.
        """

    def __call__(self, images: Tensor, p: float | Tensor = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Return augmented images: what is drawn for them, applied."""
        return self.apply(images, self.draw(images.shape, p, generator, images.device))


class NoAugment(Augment):
    """Shows the discriminator the images as they are."""

    def draw(
        self,
        shape: Sequence[int],  # noqa: ARG002
        p: float | Tensor,  # noqa: ARG002
        generator: torch.Generator | None,  # noqa: ARG002
        device: torch.device,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def apply(self, images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG002
        """Return `images`."""
        return images
