"""The augmentation pipe of adaptive discriminator augmentation (ADA).

Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020), appendix B: the operations, their
order and strengths. The controller of its probability is in `controller`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import reduce

import torch
from torch import Tensor

from usgan_cli.core.errors import SettingsError
from usgan_cli.gan.augment import color
from usgan_cli.gan.augment.draws import Draws
from usgan_cli.gan.augment.warp import warp

OPERATION_GROUPS: dict[str, tuple[str, ...]] = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
# The paper's cumulative names: each letter adds a group.
PIPES: dict[str, tuple[str, ...]] = {
    name: tuple(OPERATION_GROUPS)[: len(name)] for name in ("b", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc")
}


@dataclass(frozen=True)
class AdaOperations:
    """Which operations are on, and how strong they are. The defaults of strengths are the paper's.

    Parameters
    ----------
    xflip, rotate90, xint, scale, rotate, aniso, xfrac : float
        Geometric operations: multiplier of p, 0 is off. Mirror, quarter turns, whole-pixel translation, isotropic
        scale, rotation, anisotropic scale, fractional translation.
    brightness, contrast, lumaflip, hue, saturation, imgfilter, noise, cutout : float
        Colour and image-space operations: multiplier of p, 0 is off. Hue and saturation do nothing on one channel.
    xint_max : float
        Largest whole-pixel translation, as a part of the image's side.
    scale_std, aniso_std, contrast_std, saturation_std, imgfilter_std : float
        Standard deviation of the base-2 logarithm of the factor (octaves).
    rotate_max, hue_max : float
        Largest angle, as a part of half a turn.
    xfrac_std : float
        Standard deviation of the fractional translation, as a part of the image's side.
    brightness_std, noise_std : float
        Standard deviation in image units (the range is [-1, 1]).
    imgfilter_bands : tuple of float
        Multiplier of the filter's probability per octave band, lowest first.
    cutout_size : float
        Side of the square set to zero, as a part of the image's side.

    Raises
    ------
    SettingsError
        If a value is negative or not finite, or there are not four bands.
    """

    xflip: float = 0.0
    rotate90: float = 0.0
    xint: float = 0.0
    scale: float = 0.0
    rotate: float = 0.0
    aniso: float = 0.0
    xfrac: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    lumaflip: float = 0.0
    hue: float = 0.0
    saturation: float = 0.0
    imgfilter: float = 0.0
    noise: float = 0.0
    cutout: float = 0.0
    xint_max: float = 0.125
    scale_std: float = 0.2
    rotate_max: float = 1.0
    aniso_std: float = 0.2
    xfrac_std: float = 0.125
    brightness_std: float = 0.2
    contrast_std: float = 0.5
    hue_max: float = 1.0
    saturation_std: float = 1.0
    imgfilter_bands: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    imgfilter_std: float = 1.0
    noise_std: float = 0.1
    cutout_size: float = 0.5

    def __post_init__(self) -> None:
        if len(self.imgfilter_bands) != len(color.EXPECTED_POWER):
            raise SettingsError(f"imgfilter_bands needs {len(color.EXPECTED_POWER)} values: {self.imgfilter_bands}")
        for field in fields(self):
            value = getattr(self, field.name)
            for number in value if isinstance(value, tuple) else (value,):
                if not (math.isfinite(number) and number >= 0):
                    raise SettingsError(f"ADA's {field.name} must be finite and not negative: {number}")

    @classmethod
    def named(cls, names: str | Iterable[str], **strengths: float | tuple[float, ...]) -> AdaOperations:
        """Switch on operations by name, each at the full p.

        Parameters
        ----------
        names : str or iterable of str
            Pipes ("bg", ..., "bgcfnc"), groups ("blit", "geom", ...) and single operations ("xflip", ...). A name
            that is both ("noise", "cutout") means the same either way.
        **strengths : float or tuple of float
            Any field of the class.

        Raises
        ------
        SettingsError
            If a name or a field is unknown.
        """
        operations: set[str] = set()
        for name in (names,) if isinstance(names, str) else names:
            for group in PIPES.get(name, (name,)):
                operations.update(OPERATION_GROUPS.get(group, (group,)))
        known = {name for group in OPERATION_GROUPS.values() for name in group}
        if unknown := sorted(operations - known):
            choices = ", ".join([*PIPES, *OPERATION_GROUPS, *sorted(known - set(OPERATION_GROUPS))])
            raise SettingsError(f"unknown ADA operations: {', '.join(unknown)}", f"Choose from: {choices}.")
        if unknown := sorted(set(strengths) - {field.name for field in fields(cls)}):
            raise SettingsError(f"unknown ADA settings: {', '.join(unknown)}")
        return cls(**{**dict.fromkeys(operations, 1.0), **strengths})  # type: ignore[arg-type]


def _translation(x: Tensor, y: Tensor) -> Tensor:
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return torch.stack([one, zero, x, zero, one, y, zero, zero, one], dim=-1).view(-1, 3, 3)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], dim=-1))


def _rotation(angle: Tensor) -> Tensor:
    one, zero = torch.ones_like(angle), torch.zeros_like(angle)
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], dim=-1).view(-1, 3, 3)


def _draw_blits(ops: AdaOperations, draws: Draws, width: int, height: int) -> list[Tensor]:
    """Return the inverse transforms of the pixel blitting group, in the order in which they multiply."""
    factors = []
    if ops.xflip > 0:
        flip = draws.choose((2 * draws.uniform()).floor(), 0.0, ops.xflip * draws.p)
        factors.append(_scaling(1 - 2 * flip, torch.ones_like(flip)))
    if ops.rotate90 > 0:
        turns = draws.choose((4 * draws.uniform()).floor(), 0.0, ops.rotate90 * draws.p)
        factors.append(_rotation(turns * (math.pi / 2)))
    if ops.xint > 0:
        shift = draws.choose((2 * draws.uniform(2) - 1) * ops.xint_max, 0.0, ops.xint * draws.p)
        factors.append(_translation(-(shift[:, 0] * width).round(), -(shift[:, 1] * height).round()))
    return factors


def _draw_geometry(ops: AdaOperations, draws: Draws, width: int, height: int) -> list[Tensor]:
    """Return the inverse transforms of the general geometric group, in the order in which they multiply."""
    factors = []
    # Rotation comes before and after the anisotropic scale; p is that of at least one of the two.
    p_rot = 1 - (1 - ops.rotate * draws.p).clamp(0, 1).sqrt()

    def rotate() -> Tensor:
        angle = (2 * draws.uniform() - 1) * (math.pi * ops.rotate_max)
        return _rotation(draws.choose(angle, 0.0, p_rot))

    if ops.scale > 0:
        factor = draws.choose((draws.normal() * ops.scale_std).exp2(), 1.0, ops.scale * draws.p)
        factors.append(_scaling(1 / factor, 1 / factor))
    if ops.rotate > 0:
        factors.append(rotate())
    if ops.aniso > 0:
        factor = draws.choose((draws.normal() * ops.aniso_std).exp2(), 1.0, ops.aniso * draws.p)
        factors.append(_scaling(1 / factor, factor))
    if ops.rotate > 0 and draws.percentile is None:
        factors.append(rotate())
    if ops.xfrac > 0:
        shift = draws.choose(draws.normal(2) * ops.xfrac_std, 0.0, ops.xfrac * draws.p)
        factors.append(_translation(-shift[:, 0] * width, -shift[:, 1] * height))
    return factors


def _draw_colors(ops: AdaOperations, draws: Draws, channels: int) -> list[Tensor]:
    """Return the colour transforms, first one first."""
    factors = []
    one = torch.ones(draws.count, dtype=torch.float64, device=draws.device)
    if ops.brightness > 0:
        offset = draws.choose(draws.normal() * ops.brightness_std, 0.0, ops.brightness * draws.p)
        factors.append(color.affine_color(one, offset))
    if ops.contrast > 0:
        gain = draws.choose((draws.normal() * ops.contrast_std).exp2(), 1.0, ops.contrast * draws.p)
        factors.append(color.affine_color(gain, torch.zeros_like(gain)))
    if ops.lumaflip > 0:
        flip = draws.choose((2 * draws.uniform()).floor(), 0.0, ops.lumaflip * draws.p)
        factors.append(color.along_luma(1 - 2 * flip, one))
    if ops.hue > 0 and channels > 1:
        angle = (2 * draws.uniform() - 1) * (math.pi * ops.hue_max)
        factors.append(color.rotate_hue(draws.choose(angle, 0.0, ops.hue * draws.p)))
    if ops.saturation > 0 and channels > 1:
        gain = draws.choose((draws.normal() * ops.saturation_std).exp2(), 1.0, ops.saturation * draws.p)
        factors.append(color.along_luma(one, gain))
    return factors


def _draw_band_gains(ops: AdaOperations, draws: Draws) -> Tensor:
    """Return [N, 4]: the amplification of each octave band."""
    gains = []
    for strength in ops.imgfilter_bands:
        gain = torch.ones(draws.count, dtype=torch.float64, device=draws.device)
        if strength > 0:
            gain = (draws.normal() * ops.imgfilter_std).exp2()
            gain = draws.choose(gain, 1.0, ops.imgfilter * strength * draws.p)
        gains.append(gain)
    return color.normalised_gains(gains)


def _add_noise(images: Tensor, ops: AdaOperations, draws: Draws) -> Tensor:
    """Add white noise whose standard deviation is half-normal."""
    sigma = draws.choose(draws.normal().abs() * ops.noise_std, 0.0, ops.noise * draws.p)
    noise = torch.randn(images.shape, generator=draws.generator, dtype=images.dtype, device=draws.device)
    return images + noise.to(images.device) * sigma.to(images.device, images.dtype)[:, None, None, None]


def _cut_out(images: Tensor, ops: AdaOperations, draws: Draws) -> Tensor:
    """Set a square of each image to zero; its centre is uniform over the image."""
    size = torch.full((draws.count,), ops.cutout_size, dtype=torch.float64, device=draws.device)
    half = draws.choose(size, 0.0, ops.cutout * draws.p) / 2
    centre = draws.uniform(2)
    height, width = images.shape[2:]
    kept = []
    for axis, side in ((0, width), (1, height)):
        position = (torch.arange(side, dtype=torch.float64, device=draws.device) + 0.5) / side
        kept.append((position - centre[:, axis, None]).abs() >= half[:, None])
    mask = kept[0][:, None, None, :] | kept[1][:, None, :, None]
    return images * mask.to(images.device)


@dataclass(frozen=True)
class AdaAugment:
    """Apply the pipe's operations to images, each with probability p and per image.

    Parameters
    ----------
    operations : AdaOperations or str or iterable of str
        What to apply; names as in `AdaOperations.named`. "bg" is the paper's pixel blitting and general geometric
        transformations.

    Notes
    -----
    Karras et al. 2020, appendix B. Differentiable in the images to any order. Draws are made on the generator's
    device: with a CPU generator and a number for p nothing waits for an accelerator, and the draws are the same on
    every device. Products run in the precision that torch's matmul settings allow for float32.
    """

    operations: AdaOperations

    def __init__(self, operations: AdaOperations | str | Iterable[str] = "bg") -> None:
        named = operations if isinstance(operations, AdaOperations) else AdaOperations.named(operations)
        object.__setattr__(self, "operations", named)

    def __call__(
        self,
        images: Tensor,
        p: float | Tensor,
        generator: torch.Generator | None = None,
        percentile: float | None = None,
    ) -> Tensor:
        """Return augmented images.

        Parameters
        ----------
        images : Tensor
            Shape [N, C, H, W] with C 1 or 3, range [-1, 1]. Types below float32 are computed in float32.
        p : float or Tensor
            Probability in [0, 1], or a scalar tensor of it. At a 0 known on the host the images come back as they
            are.
        generator : torch.Generator, optional
            Source of every draw; the default generator of the images' device without one.
        percentile : float, optional
            In (0, 1): applies every operation at this percentile of its distribution, whatever p is (of the two
            rotations only the first), for comparing results. Noise itself stays random.

        Returns
        -------
        Tensor
            Shape and type of `images`; values may leave [-1, 1].

        Raises
        ------
        SettingsError
            If the number of channels is not 1 or 3, or p or percentile is out of range.
        """
        _check(images, p, percentile)
        if percentile is None and not (isinstance(p, Tensor) and p.device.type != "cpu") and float(p) == 0:
            return images
        device = images.device if generator is None else generator.device
        chance = (
            p.detach().to(device, torch.float64)
            if isinstance(p, Tensor)
            else torch.full((), p, dtype=torch.float64, device=device)
        )
        draws = Draws(len(images), chance, device, generator, percentile)
        with torch.autocast(images.device.type, enabled=False):
            wide = images if images.dtype in (torch.float32, torch.float64) else images.float()
            return self._augment(wide, draws).to(images.dtype)

    def _augment(self, images: Tensor, draws: Draws) -> Tensor:
        ops = self.operations
        channels, height, width = images.shape[1:]
        inverse = _draw_blits(ops, draws, width, height) + _draw_geometry(ops, draws, width, height)
        if inverse:
            images = warp(images, reduce(torch.matmul, inverse))
        if colors := _draw_colors(ops, draws, channels):
            # Later transforms multiply from the left.
            images = color.transform_color(images, reduce(torch.matmul, reversed(colors)))
        if ops.imgfilter > 0:
            images = color.filter_bands(images, _draw_band_gains(ops, draws))
        if ops.noise > 0:
            images = _add_noise(images, ops, draws)
        if ops.cutout > 0:
            images = _cut_out(images, ops, draws)
        return images


def _check(images: Tensor, p: float | Tensor, percentile: float | None) -> None:
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise SettingsError(f"ADA needs images [N, 1 or 3, H, W], got {list(images.shape)}")
    if isinstance(p, Tensor) and p.ndim != 0:
        raise SettingsError(f"ADA's p must be a scalar, got a tensor of shape {list(p.shape)}")
    if not isinstance(p, Tensor) and not 0 <= p <= 1:
        raise SettingsError(f"ADA's p must lie in [0, 1]: {p}")
    if percentile is not None and not 0 < percentile < 1:
        raise SettingsError(f"ADA's percentile must lie in (0, 1): {percentile}")
