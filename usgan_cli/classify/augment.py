"""Mild augmentation of the classifier's training images: changes that an ultrasound image bears.

Mirroring left to right, small rotations, zooms and shifts, and small changes of gain: no mirroring top to
bottom and no large rotation, since attenuation and shadows run downward.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from usgan_cli.classify.config import ClassifierConfig


def augment(images: torch.Tensor, config: ClassifierConfig, generator: torch.Generator) -> torch.Tensor:
    """Return each image changed at random.

    Parameters
    ----------
    images : float tensor [N, C, S, S]
        In [-1, 1].
    config : ClassifierConfig
        Its `flip`, `rotate`, `zoom`, `shift`, `brightness` and `contrast`.
    generator : torch.Generator
        On the CPU, so that a seed means the same on every device.

    Returns
    -------
    float tensor [N, C, S, S]
        In [-1, 1]. What comes in from outside an image is its mirror image.
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
