"""Differentiable augmentation (DiffAugment): translation, cutout and colour.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training" (2020), section 3.2 and appendix A.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.machine.placement import to_device
from usgan_cli.gan.augment.base import Augment
from usgan_cli.gan.presets import check_policies


@dataclass(frozen=True)
class DiffAugment(Augment):
    """Apply the policies in the order given, with draws of its own for each image.

    Raises
    ------
    SettingsError
        If a policy is unknown or a number out of range.
    """

    policy: tuple[str, ...] = ("translation", "cutout")
    fill: float = 0.0
    """Value, in image units, of what translation uncovers and cutout covers. The paper's 0 is mid-gray; -1 is black."""
    translation_ratio: float = 1 / 8
    """Largest translation along an axis, as a part of that side, in [0, 1]; whole pixels, both ends included."""
    cutout_ratio: float = 1 / 2
    """Side of the cut-out rectangle as a part of the image's sides, in [0, 1]."""
    adaptive: bool = False
    """Apply each policy to each image with probability p, as ADA does. The paper applies them always."""

    def __post_init__(self) -> None:
        check_policies(self.policy)
        for name, ratio in (("translation", self.translation_ratio), ("cutout", self.cutout_ratio)):
            if not 0 <= ratio <= 1:
                raise SettingsError(f"DiffAug's {name}_ratio must lie in [0, 1]: {ratio}")
        if not math.isfinite(self.fill):
            raise SettingsError(f"DiffAug's fill must be finite: {self.fill}")

    def draw(
        self,
        shape: Sequence[int],
        p: float | Tensor,
        generator: torch.Generator | None,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """Draw what is done to each image, on the generator's device, by policy.

        Color is [N, 3], uniform in [0, 1) (brightness, saturation, contrast); for "translation" and "cutout" see
        `_draw_translations` and `_draw_cutouts`, [N, 2] each. Where an adaptive policy is not applied, its row is one
        that changes nothing.
        """
        device = device if generator is None else generator.device

        def integers(low: int, high: int) -> Tensor:
            """Return [N], uniform in [low, high]."""
            return torch.randint(low, high + 1, (shape[0],), generator=generator, device=device)

        drawn = {}
        for name in self.policy:
            if name == "color":
                drawn[name] = torch.rand(3, shape[0], generator=generator, device=device).T.contiguous()
            elif name == "translation":
                drawn[name] = _draw_translations(shape, self.translation_ratio, integers)
            else:
                drawn[name] = _draw_cutouts(shape, self.cutout_ratio, integers)
        if self.adaptive:
            neutral = {"color": 0.5, "translation": 0, "cutout": max(shape[2:])}
            probability = to_device(p, device) if isinstance(p, Tensor) else p
            for name, rows in drawn.items():
                applied = torch.rand(shape[0], generator=generator, device=device) < probability
                drawn[name] = rows.where(applied[:, None], torch.full_like(rows, neutral[name]))
        return drawn

    def apply(self, images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        """Return images changed as drawn, policy after policy."""
        steps: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "color": shift_color,
            "translation": lambda images, shifts: translate(images, shifts, self.fill),
            "cutout": self._cut_out,
        }
        for name in self.policy if drawn else ():
            images = steps[name](images, drawn[name])
        return images

    def _cut_out(self, images: Tensor, starts: Tensor) -> Tensor:
        starts = to_device(starts, images.device)
        covered = []
        for axis, size in enumerate(images.shape[2:]):
            offset = torch.arange(size, device=images.device) - starts[:, axis, None]
            covered.append((offset >= 0) & (offset < _rounded_part(size, self.cutout_ratio)))
        mask = covered[0][:, None, :, None] & covered[1][:, None, None, :]
        return images.masked_fill(mask, self.fill)


def _rounded_part(size: int, ratio: float) -> int:
    """Return the nearest whole number of pixels to a part of a side, halves up."""
    return math.floor(size * ratio + 0.5)


def _draw_translations(shape: Sequence[int], ratio: float, integers: Callable[[int, int], Tensor]) -> Tensor:
    """Return [N, 2] whole-pixel shifts (down, right), uniform in plus or minus round(side * ratio)."""
    limits = [_rounded_part(size, ratio) for size in shape[2:]]
    return torch.stack([integers(-limit, limit) for limit in limits], dim=1)


def _draw_cutouts(shape: Sequence[int], ratio: float, integers: Callable[[int, int], Tensor]) -> Tensor:
    """Return [N, 2], the first row and column of each cutout; they may lie outside the image.

    The centre is uniform over the image: over the size + 1 pixel edges where the cutout's side is even, over the
    pixel centres where it is odd.
    """
    starts = []
    for size in shape[2:]:
        side = _rounded_part(size, ratio)
        starts.append(integers(0, size - side % 2) - side // 2)
    return torch.stack(starts, dim=1)


def translate(images: Tensor, shifts: Tensor, fill: float) -> Tensor:
    """Shift each image [N, C, H, W] by whole pixels [N, 2], down and right; what that uncovers has the value `fill`."""
    if images.device.type == "cpu":
        # Slices are some fifty times faster than gathering on a CPU.
        moved = [
            F.pad(image, (right, -right, down, -down), value=fill)
            for image, (down, right) in zip(images.unbind(), shifts.tolist(), strict=True)
        ]
        return torch.stack(moved)
    return _translate_by_gathering(images, to_device(shifts, images.device), fill)


def _translate_by_gathering(images: Tensor, shifts: Tensor, fill: float) -> Tensor:
    """Shift each image without asking the device by how much."""
    count, channels, height, width = images.shape
    rows = torch.arange(height, device=images.device) - shifts[:, :1]
    columns = torch.arange(width, device=images.device) - shifts[:, 1:]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    source = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
    index = source.view(count, 1, -1).expand(count, channels, -1)
    return images.flatten(2).gather(2, index).view(images.shape).masked_fill(~inside[:, None], fill)


def shift_color(images: Tensor, strengths: Tensor) -> Tensor:
    """Change brightness (plus or minus 0.5), saturation (0 to 2 times) and contrast (0.5 to 1.5 times).

    The strengths of each are [N, 3], in [0, 1].
    """
    placed = to_device(strengths, images.device, images.dtype)
    brightness, saturation, contrast = placed[:, :, None, None, None].unbind(1)
    images = images + (brightness - 0.5)
    gray = images.mean(dim=1, keepdim=True)
    images = (images - gray) * (2 * saturation) + gray
    # Row by row first: the sum over one whole image would be split over threads, and round otherwise than in a batch.
    level = images.mean(dim=(1, 3), keepdim=True).mean(dim=2, keepdim=True)
    contrasted: Tensor = (images - level) * (contrast + 0.5) + level
    return contrasted
