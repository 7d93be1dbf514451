"""Augmentation of what the discriminator is shown: the one seam at which the three GANs differ.

ADA (Karras et al. 2020), DiffAugment (Zhao et al. 2020), or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor

from usgan_cli.core.errors import SettingsError
from usgan_cli.gan.augment.ada import AdaAugment, AdaOperations
from usgan_cli.gan.augment.controller import LEAK_THRESHOLD, AdaController
from usgan_cli.gan.augment.diffaug import DiffAugment

__all__ = [
    "AUGMENTS",
    "LEAK_THRESHOLD",
    "AdaAugment",
    "AdaController",
    "AdaOperations",
    "Augment",
    "DiffAugment",
    "NoAugment",
    "make_augment",
]

AUGMENTS = ("none", "ada", "diffaug")


class Augment(Protocol):
    """Changes images on their way to the discriminator, differentiably."""

    def __call__(self, images: Tensor, p: float | Tensor, generator: torch.Generator | None) -> Tensor:
        """Return augmented images.

        Parameters
        ----------
        images : Tensor
            Shape [N, C, H, W], range [-1, 1].
        p : float or Tensor
            Probability of each operation, in [0, 1]; only ADA looks at it.
        generator : torch.Generator or None
            Source of every draw.

        Returns
        -------
        Tensor
            Shape and type of `images`.
        """


class NoAugment:
    """Shows the discriminator the images as they are."""

    def __call__(
        self,
        images: Tensor,
        p: float | Tensor = 0.0,  # noqa: ARG002
        generator: torch.Generator | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Return `images`."""
        return images


def make_augment(
    name: str,
    *,
    operations: AdaOperations | str | Iterable[str] = "bg",
    policy: tuple[str, ...] = ("translation", "cutout"),
    fill: float = 0.0,
    translation_ratio: float = 1 / 8,
    cutout_ratio: float = 1 / 2,
) -> Augment:
    """Return an augmentation by name.

    Parameters
    ----------
    name : str
        "none", "ada" or "diffaug".
    operations : AdaOperations or str or iterable of str
        For "ada"; see `AdaAugment`.
    policy, fill, translation_ratio, cutout_ratio
        For "diffaug"; see `DiffAugment`.

    Raises
    ------
    SettingsError
        If the name or a setting is unknown or out of range.
    """
    match name:
        case "none":
            return NoAugment()
        case "ada":
            return AdaAugment(operations)
        case "diffaug":
            return DiffAugment(policy, fill, translation_ratio, cutout_ratio)
        case _:
            raise SettingsError(f"unknown augmentation: {name}", f"Choose from: {', '.join(AUGMENTS)}.")
