"""Colour transforms and band filtering of the augmentation pipe.

Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020), appendix B.2.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from usgan_cli.core.machine.placement import constant, to_device
from usgan_cli.gan.augment.warp import reflecting_matrix
from usgan_cli.gan.augment.wavelets import band_bank

# Share of an image's power per octave band, lowest first, under a 1/f spectrum.
EXPECTED_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)


def luma_projection(device: torch.device) -> Tensor:
    """Return the [4, 4] projection onto the luma axis (1, 1, 1)/sqrt(3), in homogeneous colour coordinates."""
    axis = torch.ones(4, dtype=torch.float64, device=device) / 3**0.5
    axis[3] = 0
    return torch.outer(axis, axis)


def affine_color(scale: Tensor, offset: Tensor) -> Tensor:
    """Return [N, 4, 4] transforms that multiply every channel by `scale` ([N]) and add `offset` ([N])."""
    matrix = torch.diag_embed(torch.stack([scale, scale, scale, torch.ones_like(scale)], dim=-1))
    matrix[:, :3, 3] = offset[:, None]
    return matrix


def along_luma(parallel: Tensor, across: Tensor) -> Tensor:
    """Return [N, 4, 4] transforms that scale the luma axis by `parallel` ([N]) and all across it by `across`."""
    luma = luma_projection(parallel.device)
    return (
        luma * parallel[:, None, None]
        + (torch.eye(4, dtype=luma.dtype, device=luma.device) - luma) * (across[:, None, None])
    )


def rotate_hue(angle: Tensor) -> Tensor:
    """Return [N, 4, 4] rotations about the luma axis by `angle` ([N], radians), by Rodrigues' formula."""
    luma = luma_projection(angle.device)[:3, :3]
    identity = torch.eye(3, dtype=luma.dtype, device=luma.device)
    # Cross product with the axis: row i is axis x (unit vector), transposed.
    cross = torch.cross(luma[0].expand(3, 3) * 3**0.5, identity, dim=1).mT
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    rotation = luma + (identity - luma) * cosine + cross * sine
    matrix = torch.zeros(len(angle), 4, 4, dtype=luma.dtype, device=luma.device)
    matrix[:, :3, :3] = rotation
    matrix[:, 3, 3] = 1
    return matrix


def transform_color(images: Tensor, transforms: Tensor) -> Tensor:
    """Apply each image's affine colour transform: images [N, C, H, W] with C 1 or 3, transforms [N, 4, 4], homogeneous.

    On one channel the 3 x 3 part acts through the mean over its rows of its row sums, plus the mean offset.
    """
    transforms = to_device(transforms, images.device, images.dtype)
    if images.shape[1] == 1:
        mean = transforms[:, :3].mean(dim=1)
        return images * mean[:, :3].sum(dim=1)[:, None, None, None] + mean[:, 3, None, None, None]
    mixed = torch.baddbmm(transforms[:, :3, 3:], transforms[:, :3, :3], images.flatten(2))
    return mixed.view(images.shape)


def normalised_gains(gains: list[Tensor]) -> Tensor:
    """Return [N, bands]: the product of per-band gain vectors, each scaled to keep the expected power.

    `gains` are the amplifications [N] of each band, drawn independently.
    """
    power = constant(EXPECTED_POWER, gains[0].device, gains[0].dtype)
    vectors = []
    for band, gain in enumerate(gains):
        vector = torch.ones(len(gain), len(gains), dtype=gain.dtype, device=gain.device)
        vector[:, band] = gain
        vectors.append(vector / (power * vector.square()).sum(dim=1, keepdim=True).sqrt())
    return reduce(torch.mul, vectors)


def band_taps(gains: Tensor) -> Tensor:
    """Return the taps ([N, 43], float64) of the filter that amplifies octave bands by `gains` ([N, 4], float64)."""
    bank = constant(tuple(band_bank().flatten().tolist()), gains.device, gains.dtype)
    return gains @ bank.view(gains.shape[1], -1)


def filter_images(images: Tensor, taps: Tensor) -> Tensor:
    """Filter each image [N, C, H, W] along both axes by its own centred taps [N, T], T odd, with reflection padding."""
    taps = to_device(taps, images.device, images.dtype)
    across, down = (_filter_matrix(taps, size)[:, None] for size in (images.shape[3], images.shape[2]))
    return down @ images @ across.mT


def _filter_matrix(taps: Tensor, size: int) -> Tensor:
    """Return [N, size, size]: correlation of a reflected line with each image's taps ([N, T])."""
    count = taps.shape[1]
    offsets = torch.arange(count, device=taps.device) - count // 2
    positions = torch.arange(size, device=taps.device)[:, None] + offsets
    return reflecting_matrix(positions.expand(len(taps), -1, -1), taps[:, None, :], size)
