"""Augmentation of the classifier's training images: changes that an ultrasound image bears.

Mirroring left to right, small rotations, zooms and shifts, and small changes of gain: no mirroring top to
bottom and no large rotation, since attenuation and shadows run downward. The control `classical` changes images
more strongly, by TrivialAugment (Mueller and Hutter, "TrivialAugment: Tuning-free yet state-of-the-art data
augmentation", 2021) without what ultrasound does not bear.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from usgan_cli.classify.config import ClassifierConfig

Operation = Callable[[torch.Tensor, float], torch.Tensor]
"""Changes a uint8 image [C, H, W] with a strength from -1 to 1."""


def _warped(
    x: torch.Tensor, angle: float = 0, shear: tuple[float, float] = (0, 0), shift: tuple[float, float] = (0, 0)
) -> torch.Tensor:
    """Return an image rotated and sheared by degrees, and shifted by shares of its sides; black comes in."""
    pixels = [round(share * side) for share, side in zip(shift, (x.shape[2], x.shape[1]), strict=True)]
    warped: torch.Tensor = TF.affine(x, angle, pixels, 1.0, list(shear), InterpolationMode.BILINEAR, fill=[0.0])
    return warped


OPERATIONS: dict[str, Operation] = {
    "identity": lambda x, _: x,
    "shear across": lambda x, strength: _warped(x, shear=(17 * strength, 0)),
    "shear down": lambda x, strength: _warped(x, shear=(0, 17 * strength)),
    "shift across": lambda x, strength: _warped(x, shift=(strength / 8, 0)),
    "shift down": lambda x, strength: _warped(x, shift=(0, strength / 8)),
    "rotate": lambda x, strength: _warped(x, angle=20 * strength),
    "brightness": lambda x, strength: TF.adjust_brightness(x, 1 + 0.8 * strength),
    "contrast": lambda x, strength: TF.adjust_contrast(x, 1 + 0.8 * strength),
    "sharpness": lambda x, strength: TF.adjust_sharpness(x, 1 + 0.99 * strength),
    "autocontrast": lambda x, _: TF.autocontrast(x),
    "equalize": lambda x, _: TF.equalize(x),
}
"""Those of torchvision's TrivialAugmentWide, with shear and rotation of at most 17 and 20 degrees in place of 45 and
135 and gain that leaves something to see; without posterize, solarize and colour."""


def trivial_augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return each uint8 image [N, C, H, W] changed by one operation of a random kind and strength."""
    kinds = torch.randint(len(OPERATIONS), (len(images),), generator=generator).tolist()
    strengths = (torch.rand(len(images), generator=generator) * 2 - 1).tolist()
    operations = list(OPERATIONS.values())
    changed = [operations[kind](x, strength) for x, kind, strength in zip(images, kinds, strengths, strict=True)]
    return torch.stack(changed) if changed else images


def augment(images: torch.Tensor, config: ClassifierConfig, generator: torch.Generator) -> torch.Tensor:
    """Return each image of a batch [N, C, S, S] in [-1, 1] changed at random; its mirror image comes in from outside.

    The generator is on the CPU, so that a seed means the same on every device.
    """
    draws = torch.rand(7, len(images), generator=generator).to(images.device)
    uniform = draws * 2 - 1
    mirrored = (draws[0] < 0.5) & config.flip
    angle = uniform[1] * math.radians(config.rotate)
    zoom = torch.exp(uniform[2] * math.log1p(config.zoom))
    dx, dy = uniform[3] * 2 * config.shift, uniform[4] * 2 * config.shift  # the image is 2 wide in the grid's units
    across = torch.where(mirrored, -1.0, 1.0)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    theta = torch.stack([torch.stack([across * cos, -sin, dx], 1), torch.stack([across * sin, cos, dy], 1)], 1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    gain = torch.exp(uniform[5] * math.log1p(config.contrast)).view(-1, 1, 1, 1)
    offset = (uniform[6] * 2 * config.brightness).view(-1, 1, 1, 1)
    middle = moved.mean((1, 2, 3), keepdim=True)
    return ((moved - middle) * gain + middle + offset).clamp(-1, 1)
