"""The augmentation pipe of adaptive discriminator augmentation (ADA).

Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020), appendix B: the operations, their
order and strengths. The controller of its probability is in `controller`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.machine.placement import to_device
from usgan_cli.gan.augment import color
from usgan_cli.gan.augment.base import Augment
from usgan_cli.gan.augment.operations import AdaOperations
from usgan_cli.gan.augment.sampler import StrengthSampler
from usgan_cli.gan.augment.warp import Fill, fitted_window, warp


def _translation(x: Tensor, y: Tensor) -> Tensor:
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return torch.stack([one, zero, x, zero, one, y, zero, zero, one], dim=-1).view(-1, 3, 3)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], dim=-1))


def _rotation(angle: Tensor) -> Tensor:
    one, zero = torch.ones_like(angle), torch.zeros_like(angle)
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], dim=-1).view(-1, 3, 3)


def draw_transforms(ops: AdaOperations, sampler: StrengthSampler, width: int, height: int) -> Tensor | None:
    """Draw the geometric operations: transforms [N, 3, 3] from output to source positions; None if all are off."""
    inverse = _draw_blits(ops, sampler, width, height) + _draw_geometry(ops, sampler, width, height)
    return reduce(torch.matmul, inverse) if inverse else None


def _draw_blits(ops: AdaOperations, sampler: StrengthSampler, width: int, height: int) -> list[Tensor]:
    """Return the inverse transforms of the pixel blitting group, in the order in which they multiply."""
    factors = []
    if ops.xflip > 0:
        flip = sampler.flip(ops.xflip)
        factors.append(_scaling(flip, torch.ones_like(flip)))
    if ops.rotate90 > 0:
        turns = sampler.choose((4 * sampler.uniform()).floor(), 0.0, ops.rotate90)
        factors.append(_rotation(turns * (math.pi / 2)))
    if ops.xint > 0:
        shift = sampler.choose((2 * sampler.uniform(2) - 1) * ops.xint_max, 0.0, ops.xint)
        factors.append(_translation(-(shift[:, 0] * width).round(), -(shift[:, 1] * height).round()))
    return factors


def _draw_geometry(ops: AdaOperations, sampler: StrengthSampler, width: int, height: int) -> list[Tensor]:
    """Return the inverse transforms of the general geometric group, in the order in which they multiply."""
    factors = []
    # Rotation comes before and after the anisotropic scale; p is that of at least one of the two.
    p_rot = 1 - (1 - ops.rotate * sampler.p).clamp(0, 1).sqrt()
    if ops.scale > 0:
        factor = sampler.factor(ops.scale_std, ops.scale)
        factors.append(_scaling(1 / factor, 1 / factor))
    if ops.rotate > 0:
        factors.append(_rotation(sampler.half_turns(ops.rotate_max, p_rot)))
    if ops.aniso > 0:
        factor = sampler.factor(ops.aniso_std, ops.aniso)
        factors.append(_scaling(1 / factor, factor))
    if ops.rotate > 0 and sampler.percentile is None:
        factors.append(_rotation(sampler.half_turns(ops.rotate_max, p_rot)))
    if ops.xfrac > 0:
        shift = sampler.choose(sampler.normal(2) * ops.xfrac_std, 0.0, ops.xfrac)
        factors.append(_translation(-shift[:, 0] * width, -shift[:, 1] * height))
    return factors


def _draw_colors(ops: AdaOperations, sampler: StrengthSampler, channels: int) -> list[Tensor]:
    """Return the colour transforms, first one first."""
    factors = []
    one = sampler.constant(1.0)
    if ops.brightness > 0:
        offset = sampler.choose(sampler.normal() * ops.brightness_std, 0.0, ops.brightness)
        factors.append(color.affine_color(one, offset))
    if ops.contrast > 0:
        factors.append(color.affine_color(sampler.factor(ops.contrast_std, ops.contrast), sampler.constant(0.0)))
    if ops.lumaflip > 0:
        factors.append(color.along_luma(sampler.flip(ops.lumaflip), one))
    if ops.hue > 0 and channels > 1:
        factors.append(color.rotate_hue(sampler.half_turns(ops.hue_max, ops.hue * sampler.p)))
    if ops.saturation > 0 and channels > 1:
        factors.append(color.along_luma(one, sampler.factor(ops.saturation_std, ops.saturation)))
    return factors


def _draw_band_taps(ops: AdaOperations, sampler: StrengthSampler) -> Tensor:
    """Return [N, 43]: the taps of a filter that amplifies each octave band on its own."""
    gains = [
        sampler.factor(ops.imgfilter_std, ops.imgfilter * band) if band > 0 else sampler.constant(1.0)
        for band in ops.imgfilter_bands
    ]
    return color.band_taps(color.normalised_gains(gains))


def _draw_cutout(ops: AdaOperations, sampler: StrengthSampler) -> Tensor:
    """Return [N, 3]: x and y of a square's centre, uniform over the image, and half its side, in image sides."""
    half = sampler.choose(sampler.constant(ops.cutout_size), 0.0, ops.cutout) / 2
    return torch.cat([sampler.uniform(2), half[:, None]], dim=1)


def _cut_out(images: Tensor, cutout: Tensor) -> Tensor:
    """Set a square of each image to zero."""
    height, width = images.shape[2:]
    kept = []
    for axis, side in ((0, width), (1, height)):
        position = (torch.arange(side, dtype=torch.float64, device=cutout.device) + 0.5) / side
        kept.append((position - cutout[:, axis, None]).abs() >= cutout[:, 2:])
    mask = kept[0][:, None, None, :] | kept[1][:, None, :, None]
    return images * to_device(mask, images.device)


@dataclass(frozen=True)
class AdaAugment(Augment):
    """Apply the pipe's operations to images, each with probability p and per image.

    Differentiable in the images to any order. With a CPU generator the random numbers are the same on every device.
    Products run in the precision that torch's matmul settings allow for float32.

    Parameters
    ----------
    operations : AdaOperations or str or iterable of str
        What to apply; names as in `AdaOperations.named`. "bg" is the paper's pixel blitting and general geometric
        transformations.
    fill : "reflect" or float
        What the geometric operations find outside an image: its reflection, as published, or one value in [-1, 1],
        such as -1 for the black surroundings of ultrasound images. Colour operations act on it as on the image.

    Raises
    ------
    SettingsError
        If an operation is unknown or the fill is neither.
    """

    operations: AdaOperations
    fill: Fill

    def __init__(self, operations: AdaOperations | str | Iterable[str] = "bg", fill: Fill = "reflect") -> None:
        if fill != "reflect" and not (isinstance(fill, float | int) and -1 <= fill <= 1):
            raise SettingsError(
                f"ADA cannot fill with {fill}", "Use reflect, or a number from -1 (black) to 1 (white)."
            )
        if not isinstance(operations, AdaOperations):
            operations = AdaOperations.named(operations)
        object.__setattr__(self, "operations", operations)
        object.__setattr__(self, "fill", fill)

    def draw(
        self,
        shape: Sequence[int],
        p: float | Tensor,
        generator: torch.Generator | None,
        device: torch.device,
        percentile: float | None = None,
    ) -> dict[str, Tensor]:
        """Draw what is done to each image of a batch [N, C, H, W] with C 1 or 3.

        Parameters
        ----------
        percentile : float, optional
            In (0, 1): applies every operation at this percentile of its distribution, for any p (of the two rotations
            only the first), for comparing results. Noise itself stays random.

        Returns
        -------
        dict of str to Tensor
            On the generator's device, but on the device of a p that lies on an accelerator; nothing waits for one.
            Empty at a p of 0 known on the host. Otherwise, as far as the operations need them: "transform"
            ([N, 3, 3]), with "window" ([N, 2]) on the CPU alone; "color" ([N, 4, 4]); "filter" ([N, 43]); "noise"
            ([N, C, H, W]) and "noise_sigma" ([N]); "cutout" ([N, 3]).

        Raises
        ------
        SettingsError
            If the number of channels is not 1 or 3, or p or percentile is out of range.
        """
        _check(shape, p, percentile)
        source = device if generator is None else generator.device
        if isinstance(p, Tensor) and p.device.type != "cpu":
            probability = p.detach().to(torch.float64)
        elif percentile is None and float(p) == 0:
            return {}
        else:
            probability = torch.full((), float(p), dtype=torch.float64, device=source)
        return self._draw(shape, StrengthSampler(shape[0], probability, probability.device, generator, percentile))

    def _draw(self, shape: Sequence[int], sampler: StrengthSampler) -> dict[str, Tensor]:
        ops = self.operations
        channels, height, width = shape[1:]
        drawn: dict[str, Tensor] = {}
        if (transform := draw_transforms(ops, sampler, width, height)) is not None:
            drawn["transform"] = transform
            if transform.device.type == "cpu":
                drawn["window"] = fitted_window(transform, height, width, self.fill).repeat(sampler.count, 1)
        if colors := _draw_colors(ops, sampler, channels):
            # Later transforms multiply from the left.
            drawn["color"] = reduce(torch.matmul, reversed(colors))
        if ops.imgfilter > 0:
            drawn["filter"] = _draw_band_taps(ops, sampler)
        if ops.noise > 0:
            # White noise of half-normal standard deviation.
            drawn["noise_sigma"] = sampler.choose(sampler.normal().abs() * ops.noise_std, 0.0, ops.noise)
            drawn["noise"] = sampler.noise(*shape[1:])
        if ops.cutout > 0:
            drawn["cutout"] = _draw_cutout(ops, sampler)
        return drawn

    def apply(self, images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        """Return images changed as drawn; values may leave [-1, 1].

        Types below float32 are computed in float32. Where "window" is not on the CPU the warp covers all it could
        reach, so that its shapes are fixed and nothing is waited for.
        """
        if not drawn:
            return images
        wide = images if images.dtype in (torch.float32, torch.float64) else images.float()
        return self._apply(wide, drawn).to(images.dtype)

    def _apply(self, images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        if "transform" in drawn:
            # All rows of a batch have its one window: an image's bits do not depend on how the batch is cut.
            windows = drawn.get("window")
            window = None if windows is None or windows.device.type != "cpu" else windows[0]
            images = warp(images, drawn["transform"], window=window, fill=self.fill)
        if "color" in drawn:
            images = color.transform_color(images, drawn["color"])
        if "filter" in drawn:
            images = color.filter_images(images, drawn["filter"])
        if "noise" in drawn:
            noise, sigma = (to_device(drawn[name], images.device, images.dtype) for name in ("noise", "noise_sigma"))
            images = images + noise * sigma[:, None, None, None]
        if "cutout" in drawn:
            images = _cut_out(images, drawn["cutout"])
        return images


def _check(shape: Sequence[int], p: float | Tensor, percentile: float | None) -> None:
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise SettingsError(f"ADA needs images [N, 1 or 3, H, W], got {list(shape)}")
    if isinstance(p, Tensor) and p.ndim != 0:
        raise SettingsError(f"ADA's p must be a scalar, got a tensor of shape {list(p.shape)}")
    if not isinstance(p, Tensor) and not 0 <= p <= 1:
        raise SettingsError(f"ADA's p must lie in [0, 1]: {p}")
    if percentile is not None and not 0 < percentile < 1:
        raise SettingsError(f"ADA's percentile must lie in (0, 1): {percentile}")
