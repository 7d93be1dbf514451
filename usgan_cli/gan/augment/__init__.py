"""Augmentation of what the discriminator is shown: the one seam at which the three GANs differ.

ADA (Karras et al. 2020), DiffAugment (Zhao et al. 2020), both, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.generator import LEAK_THRESHOLD
from usgan_cli.gan.augment.ada import AdaAugment, AdaOperations
from usgan_cli.gan.augment.controller import AdaController
from usgan_cli.gan.augment.diffaug import DiffAugment
from usgan_cli.gan.augment.warp import Fill

__all__ = [
    "AUGMENTS",
    "LEAK_THRESHOLD",
    "AdaAugment",
    "AdaController",
    "AdaDiffAugment",
    "AdaOperations",
    "Augment",
    "DiffAugment",
    "Fill",
    "NoAugment",
    "make_augment",
]

AUGMENTS = ("none", "ada", "diffaug", "ada+diffaug")


class Augment(Protocol):
    """Changes images on their way to the discriminator, differentiably.

    Drawing is apart from applying, so that the draws of a batch can be cut into parts (rows of every tensor) or copied
    into fixed buffers.
    """

    def draw(
        self, shape: Sequence[int], p: float | Tensor, generator: torch.Generator | None, device: torch.device
    ) -> dict[str, Tensor]:
        """Draw what is done to each image of a batch.

        Parameters
        ----------
        shape : sequence of int
            Of the images: [N, C, H, W].
        p : float or Tensor
            Probability of each operation, in [0, 1], or a scalar tensor of it; only ADA looks at it.
        generator : torch.Generator or None
            Source of every draw; the default generator of `device` without one.
        device : torch.device
            Where draws are made without a generator.

        Returns
        -------
        dict of str to Tensor
            Every tensor has N as its first dimension. Empty: leave the images as they are.
        """

    def apply(self, images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        """Return images changed as drawn.

        Parameters
        ----------
        images : Tensor
            Shape [N, C, H, W], range [-1, 1].
        drawn : mapping of str to Tensor
            What `draw` returned for these images: each image depends on its own row alone.

        Returns
        -------
        Tensor
            Shape and type of `images`.
        """

    def __call__(self, images: Tensor, p: float | Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return augmented images: what is drawn for them, applied."""


class NoAugment:
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

    def __call__(
        self,
        images: Tensor,
        p: float | Tensor = 0.0,  # noqa: ARG002
        generator: torch.Generator | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Return `images`."""
        return images


@dataclass(frozen=True)
class AdaDiffAugment:
    """ADA's pipe with its adaptive p, then DiffAug on every image.

    Parameters
    ----------
    ada : AdaAugment
        What changes the whole image.
    diffaug : DiffAugment
        What hides parts of the result.

    Notes
    -----
    In this order what DiffAug covers or uncovers has its own value and straight borders, and covers the same share of
    every image. The other way round ADA's warp would turn, scale and blur the cut-out rectangles and reflect them at
    the borders, so that one cutout hides another share of the image, or none, or appears twice.
    """

    ada: AdaAugment
    diffaug: DiffAugment

    def draw(
        self, shape: Sequence[int], p: float | Tensor, generator: torch.Generator | None, device: torch.device
    ) -> dict[str, Tensor]:
        """Draw for ADA, then for DiffAug; the names begin with "ada/" and "diffaug/"."""
        ada = self.ada.draw(shape, p, generator, device)
        diffaug = self.diffaug.draw(shape, p, generator, device)
        return {f"ada/{name}": rows for name, rows in ada.items()} | {
            f"diffaug/{name}": rows for name, rows in diffaug.items()
        }

    def apply(self, images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        """Return images changed as drawn, by ADA and then by DiffAug."""
        for prefix, step in (("ada/", self.ada), ("diffaug/", self.diffaug)):
            own = {name.removeprefix(prefix): rows for name, rows in drawn.items() if name.startswith(prefix)}
            images = step.apply(images, own)
        return images

    def __call__(self, images: Tensor, p: float | Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return augmented images: what is drawn for them, applied."""
        return self.apply(images, self.draw(images.shape, p, generator, images.device))


def make_augment(
    name: str,
    *,
    operations: AdaOperations | str | Iterable[str] = "bg",
    ada_fill: Fill = "reflect",
    policy: tuple[str, ...] = ("translation", "cutout"),
    fill: float = 0.0,
    translation_ratio: float = 1 / 8,
    cutout_ratio: float = 1 / 2,
) -> Augment:
    """Return an augmentation by name.

    Parameters
    ----------
    name : str
        "none", "ada", "diffaug" or "ada+diffaug".
    operations : AdaOperations or str or iterable of str
        For ADA; see `AdaAugment`.
    ada_fill : "reflect" or float
        For ADA: the `fill` of `AdaAugment`.
    policy, fill, translation_ratio, cutout_ratio
        For DiffAug; see `DiffAugment`.

    Raises
    ------
    SettingsError
        If the name or a setting is unknown or out of range.
    """
    match name:
        case "none":
            return NoAugment()
        case "ada":
            return AdaAugment(operations, ada_fill)
        case "diffaug":
            return DiffAugment(policy, fill, translation_ratio, cutout_ratio)
        case "ada+diffaug":
            return AdaDiffAugment(
                AdaAugment(operations, ada_fill), DiffAugment(policy, fill, translation_ratio, cutout_ratio)
            )
        case _:
            raise SettingsError(f"unknown augmentation: {name}", f"Choose from: {', '.join(AUGMENTS)}.")
