"""Differentiable augmentation (DiffAugment): translation, cutout and colour.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training" (2020), section 3.2 and appendix A.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.core.errors import SettingsError

POLICIES = ("color", "translation", "cutout")


@dataclass(frozen=True)
class DiffAugment:
    """Apply the policies in the order given, with draws of its own for each image.

    Parameters
    ----------
    policy : tuple of str
        Among "color", "translation", "cutout".
    fill : float
        Value, in [-1, 1] image units, of what translation uncovers and cutout covers. The paper's 0 is mid-gray;
        -1 is black.
    translation_ratio : float
        Largest translation along an axis, as a part of that side, in [0, 1]; whole pixels, both ends included.
    cutout_ratio : float
        Side of the cut-out rectangle as a part of the image's sides, in [0, 1].

    Raises
    ------
    SettingsError
        If a policy is unknown or a number out of range.
    """

    policy: tuple[str, ...] = ("translation", "cutout")
    fill: float = 0.0
    translation_ratio: float = 1 / 8
    cutout_ratio: float = 1 / 2

    def __post_init__(self) -> None:
        if unknown := [name for name in self.policy if name not in POLICIES]:
            raise SettingsError(
                f"unknown DiffAug policies: {', '.join(unknown)}", f"Choose from: {', '.join(POLICIES)}."
            )
        for name, ratio in (("translation", self.translation_ratio), ("cutout", self.cutout_ratio)):
            if not 0 <= ratio <= 1:
                raise SettingsError(f"DiffAug's {name}_ratio must lie in [0, 1]: {ratio}")
        if not math.isfinite(self.fill):
            raise SettingsError(f"DiffAug's fill must be finite: {self.fill}")

    def __call__(
        self,
        images: Tensor,
        p: float | Tensor = 1.0,  # noqa: ARG002  # the seam's argument; the paper augments every image
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return augmented images.

        Parameters
        ----------
        images : Tensor
            Shape [N, C, H, W], range [-1, 1].
        p : float or Tensor
            Ignored: the paper augments every image.
        generator : torch.Generator, optional
            Source of every draw; the default generator of the images' device without one.

        Returns
        -------
        Tensor
            Shape and type of `images`.
        """
        steps: dict[str, Callable[[Tensor, torch.Generator | None], Tensor]] = {
            "color": _shift_color,
            "translation": self._translate,
            "cutout": self._cut_out,
        }
        for name in self.policy:
            images = steps[name](images, generator)
        return images

    def _translate(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        return translate(images, draw_translations(images, self.translation_ratio, generator), self.fill)

    def _cut_out(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        sides = [_rounded_part(side, self.cutout_ratio) for side in images.shape[2:]]
        starts = draw_cutouts(images, self.cutout_ratio, generator).to(images.device)
        covered = []
        for axis, (size, side) in enumerate(zip(images.shape[2:], sides, strict=True)):
            offset = torch.arange(size, device=images.device) - starts[:, axis, None]
            covered.append((offset >= 0) & (offset < side))
        mask = covered[0][:, None, :, None] & covered[1][:, None, None, :]
        return images.masked_fill(mask, self.fill)


def _rounded_part(size: int, ratio: float) -> int:
    """Return the nearest whole number of pixels to a part of a side, halves up."""
    return math.floor(size * ratio + 0.5)


def _randint(images: Tensor, low: int, high: int, generator: torch.Generator | None) -> Tensor:
    """Return [N] whole numbers, uniform in [low, high], on the generator's device."""
    device = images.device if generator is None else generator.device
    return torch.randint(low, high + 1, (len(images),), generator=generator, device=device)


def draw_translations(images: Tensor, ratio: float, generator: torch.Generator | None) -> Tensor:
    """Return [N, 2] whole-pixel shifts (down, right), uniform in plus or minus round(side * ratio)."""
    limits = [_rounded_part(size, ratio) for size in images.shape[2:]]
    return torch.stack([_randint(images, -limit, limit, generator) for limit in limits], dim=1)


def draw_cutouts(images: Tensor, ratio: float, generator: torch.Generator | None) -> Tensor:
    """Return [N, 2], the first row and column of each cutout; they may lie outside the image.

    The centre is uniform over the image: over the size + 1 pixel edges where the cutout's side is even, over the
    pixel centres where it is odd.
    """
    starts = []
    for size in images.shape[2:]:
        side = _rounded_part(size, ratio)
        starts.append(_randint(images, 0, size - side % 2, generator) - side // 2)
    return torch.stack(starts, dim=1)


def translate(images: Tensor, shifts: Tensor, fill: float) -> Tensor:
    """Shift each image by whole pixels.

    Parameters
    ----------
    images : Tensor
        Shape [N, C, H, W].
    shifts : Tensor
        Shape [N, 2], integer: down and right.
    fill : float
        Value of what the shift uncovers.

    Returns
    -------
    Tensor
        Shape [N, C, H, W].
    """
    if images.device.type == "cpu":
        # Slices are some fifty times faster than gathering on a CPU.
        moved = [
            F.pad(image, (right, -right, down, -down), value=fill)
            for image, (down, right) in zip(images.unbind(), shifts.tolist(), strict=True)
        ]
        return torch.stack(moved)
    return _translate_by_gathering(images, shifts.to(images.device), fill)


def _translate_by_gathering(images: Tensor, shifts: Tensor, fill: float) -> Tensor:
    """Shift each image without asking the device by how much."""
    count, channels, height, width = images.shape
    rows = torch.arange(height, device=images.device) - shifts[:, :1]
    columns = torch.arange(width, device=images.device) - shifts[:, 1:]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    source = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
    index = source.view(count, 1, -1).expand(count, channels, -1)
    return images.flatten(2).gather(2, index).view(images.shape).masked_fill(~inside[:, None], fill)


def _shift_color(images: Tensor, generator: torch.Generator | None) -> Tensor:
    """Change brightness (plus or minus 0.5), saturation (0 to 2 times) and contrast (0.5 to 1.5 times)."""
    device = images.device if generator is None else generator.device
    draws = torch.rand(3, len(images), 1, 1, 1, generator=generator, device=device)
    brightness, saturation, contrast = draws.to(images.device, images.dtype)
    images = images + (brightness - 0.5)
    gray = images.mean(dim=1, keepdim=True)
    images = (images - gray) * (2 * saturation) + gray
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    contrasted: Tensor = (images - level) * (contrast + 0.5) + level
    return contrasted
