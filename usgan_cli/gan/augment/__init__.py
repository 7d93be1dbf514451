"""Augmentation of what the discriminator is shown: the one seam at which the three GANs differ.

ADA (Karras et al. 2020), DiffAugment (Zhao et al. 2020), both, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.store.workspace import AugName
from usgan_cli.gan.augment.ada import AdaAugment
from usgan_cli.gan.augment.base import Augment, NoAugment
from usgan_cli.gan.augment.controller import AdaController
from usgan_cli.gan.augment.diffaug import DiffAugment
from usgan_cli.gan.augment.operations import AdaOperations
from usgan_cli.gan.augment.warp import Fill

__all__ = [
    "AUGMENTS",
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

AUGMENTS: tuple[AugName, ...] = get_args(AugName)


@dataclass(frozen=True)
class AdaDiffAugment(Augment):
    """ADA's pipe with its adaptive p, then DiffAug on every image.

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
        """Return images changed by ADA, then by DiffAug."""
        for prefix, step in (("ada/", self.ada), ("diffaug/", self.diffaug)):
            own = {name.removeprefix(prefix): rows for name, rows in drawn.items() if name.startswith(prefix)}
            images = step.apply(images, own)
        return images


def make_augment(
    name: str,
    *,
    operations: AdaOperations | str | Iterable[str] = "bg",
    ada_fill: Fill = "reflect",
    policy: tuple[str, ...] = ("translation", "cutout"),
    fill: float = 0.0,
    cutout: float = 0.5,
    adaptive: bool = False,
) -> Augment:
    """Return one of `AUGMENTS`: `operations` and `ada_fill` are for ADA, what follows them for DiffAug.

    Raises
    ------
    SettingsError
        If the name, or a setting that it uses, is unknown or out of range.
    """
    if name not in AUGMENTS:
        raise SettingsError(f"unknown augmentation: {name}", f"Choose from: {', '.join(AUGMENTS)}.")
    parts = name.split("+")
    ada = AdaAugment(operations, ada_fill) if "ada" in parts else None
    diffaug = DiffAugment(policy, fill, cutout_ratio=cutout, adaptive=adaptive) if "diffaug" in parts else None
    if ada and diffaug:
        return AdaDiffAugment(ada, diffaug)
    return ada or diffaug or NoAugment()
