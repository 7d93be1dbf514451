"""The augmentation pipe of adaptive discriminator augmentation (ADA).

Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020), appendix B: the operations, their
order and strengths. The controller of its probability is in `controller`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce

import torch
from torch import Tensor

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.machine.placement import to_device
from usgan_cli.gan.augment import color
from usgan_cli.gan.augment.draws import Draws
from usgan_cli.gan.augment.warp import Fill, fitted_window, warp

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
# What a B-mode image bears, with its own strengths; see `AdaOperations.named`.
ULTRASOUND = ("xflip", "xint", "scale", "rotate", "aniso", "xfrac", "brightness", "contrast")
ULTRASOUND_STRENGTHS = {"rotate_max": 5 / 180, "brightness_std": 0.1, "contrast_std": 0.25}


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
            Pipes ("bg", ..., "bgcfnc"), "ultrasound", groups ("blit", "geom", ...) and single operations ("xflip",
            ...); one text can join them ("blit+color", "xflip,xint"). A name that is both ("noise", "cutout") means
            the same either way.
        **strengths : float or tuple of float
            Any field of the class.

        Raises
        ------
        SettingsError
            If a name or a field is unknown.

        Notes
        -----
        "ultrasound" is for B-mode images, where the probe is on top and depth runs down: mirror, translations, scales,
        rotation, brightness and contrast. Quarter turns, large rotations and negatives (lumaflip) are left out: they
        put shadows and enhancement beside or above what casts them, and make fluid bright. Each of the two rotations
        is at most 5 degrees, so that both together stay within about 10, the tilt of a probe that still looks at the
        same plane. In log-compressed images gain adds to the gray value and dynamic range multiplies it: brightness
        has a standard deviation of 0.1, which is 3 dB where 60 dB are shown, and contrast one of 0.25 octaves; the
        paper's are twice that. These three strengths hold for the whole pipe when other names are joined to it.
        """
        texts = [names] if isinstance(names, str) else list(names)
        wanted = [name.strip() for text in texts for name in text.replace("+", ",").split(",")]
        operations: set[str] = set()
        for name in wanted:
            for group in ULTRASOUND if name == "ultrasound" else PIPES.get(name, (name,)):
                operations.update(OPERATION_GROUPS.get(group, (group,)))
        known = {name for group in OPERATION_GROUPS.values() for name in group}
        if unknown := sorted(operations - known):
            choices = ", ".join([*PIPES, "ultrasound", *OPERATION_GROUPS, *sorted(known - set(OPERATION_GROUPS))])
            raise SettingsError(
                f"unknown ADA operations: {', '.join(map(repr, unknown))}",
                f"Choose from: {choices}; join several with +.",
            )
        if unknown := sorted(set(strengths) - {field.name for field in fields(cls)}):
            raise SettingsError(f"unknown ADA settings: {', '.join(unknown)}")
        own = ULTRASOUND_STRENGTHS if "ultrasound" in wanted else {}
        return cls(**{**dict.fromkeys(operations, 1.0), **own, **strengths})  # type: ignore[arg-type]


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


def _draw_band_taps(ops: AdaOperations, draws: Draws) -> Tensor:
    """Return [N, 43]: the taps of a filter that amplifies each octave band on its own."""
    gains = []
    for strength in ops.imgfilter_bands:
        gain = torch.ones(draws.count, dtype=torch.float64, device=draws.device)
        if strength > 0:
            gain = (draws.normal() * ops.imgfilter_std).exp2()
            gain = draws.choose(gain, 1.0, ops.imgfilter * strength * draws.p)
        gains.append(gain)
    return color.band_taps(color.normalised_gains(gains))


def _draw_noise(ops: AdaOperations, draws: Draws, shape: Sequence[int]) -> dict[str, Tensor]:
    """Return white noise and its half-normal standard deviation."""
    sigma = draws.choose(draws.normal().abs() * ops.noise_std, 0.0, ops.noise * draws.p)
    return {"noise_sigma": sigma, "noise": draws.noise(*shape[1:])}


def _add_noise(images: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    noise, sigma = to_device(noise, images.device, images.dtype), to_device(sigma, images.device, images.dtype)
    return images + noise * sigma[:, None, None, None]


def _draw_cutout(ops: AdaOperations, draws: Draws) -> Tensor:
    """Return [N, 3]: x and y of a square's centre, uniform over the image, and half its side, in image sides."""
    size = torch.full((draws.count,), ops.cutout_size, dtype=torch.float64, device=draws.device)
    half = draws.choose(size, 0.0, ops.cutout * draws.p) / 2
    return torch.cat([draws.uniform(2), half[:, None]], dim=1)


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
class AdaAugment:
    """Apply the pipe's operations to images, each with probability p and per image.

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

    Notes
    -----
    Karras et al. 2020, appendix B. Differentiable in the images to any order. With a CPU generator the random numbers
    are the same on every device. Products run in the precision that torch's matmul settings allow for float32.
    """

    operations: AdaOperations
    fill: Fill

    def __init__(self, operations: AdaOperations | str | Iterable[str] = "bg", fill: Fill = "reflect") -> None:
        if fill != "reflect" and not (isinstance(fill, float | int) and -1 <= fill <= 1):
            raise SettingsError(
                f"ADA cannot fill with {fill}", "Use reflect, or a number from -1 (black) to 1 (white)."
            )
        named = operations if isinstance(operations, AdaOperations) else AdaOperations.named(operations)
        object.__setattr__(self, "operations", named)
        object.__setattr__(self, "fill", fill)

    def draw(
        self,
        shape: Sequence[int],
        p: float | Tensor,
        generator: torch.Generator | None,
        device: torch.device,
        percentile: float | None = None,
    ) -> dict[str, Tensor]:
        """Draw what is done to each image.

        Parameters
        ----------
        shape : sequence of int
            Of the images: [N, C, H, W] with C 1 or 3.
        p : float or Tensor
            Probability in [0, 1], or a scalar tensor of it.
        generator : torch.Generator or None
            Source of every draw; the default generator of `device` without one.
        device : torch.device
            Where draws are made without a generator.
        percentile : float, optional
            In (0, 1): applies every operation at this percentile of its distribution, whatever p is (of the two
            rotations only the first), for comparing results. Noise itself stays random.

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
            chance = p.detach().to(torch.float64)
        elif percentile is None and float(p) == 0:
            return {}
        else:
            chance = torch.full((), float(p), dtype=torch.float64, device=source)
        return self._draw(shape, Draws(shape[0], chance, chance.device, generator, percentile))

    def _draw(self, shape: Sequence[int], draws: Draws) -> dict[str, Tensor]:
        ops = self.operations
        channels, height, width = shape[1:]
        drawn: dict[str, Tensor] = {}
        if inverse := _draw_blits(ops, draws, width, height) + _draw_geometry(ops, draws, width, height):
            transform = reduce(torch.matmul, inverse)
            drawn["transform"] = transform
            if transform.device.type == "cpu":
                drawn["window"] = fitted_window(transform, height, width, self.fill).repeat(draws.count, 1)
        if colors := _draw_colors(ops, draws, channels):
            # Later transforms multiply from the left.
            drawn["color"] = reduce(torch.matmul, reversed(colors))
        if ops.imgfilter > 0:
            drawn["filter"] = _draw_band_taps(ops, draws)
        if ops.noise > 0:
            drawn.update(_draw_noise(ops, draws, shape))
        if ops.cutout > 0:
            drawn["cutout"] = _draw_cutout(ops, draws)
        return drawn

    def apply(self, images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        """Return images changed as drawn.

        Parameters
        ----------
        images : Tensor
            Shape [N, C, H, W] with C 1 or 3, range [-1, 1]. Types below float32 are computed in float32.
        drawn : mapping of str to Tensor
            What `draw` returned, or the same rows of each tensor in it; on any device. Where "window" is not on the
            CPU the warp covers all it could reach, so that its shapes are fixed and nothing is waited for.

        Returns
        -------
        Tensor
            Shape and type of `images`; values may leave [-1, 1]. Each image depends on its own row alone.
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
            images = _add_noise(images, drawn["noise"], drawn["noise_sigma"])
        if "cutout" in drawn:
            images = _cut_out(images, drawn["cutout"])
        return images

    def __call__(self, images: Tensor, p: float | Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return augmented images: what is drawn for them, applied."""
        return self.apply(images, self.draw(images.shape, p, generator, images.device))


def _check(shape: Sequence[int], p: float | Tensor, percentile: float | None) -> None:
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise SettingsError(f"ADA needs images [N, 1 or 3, H, W], got {list(shape)}")
    if isinstance(p, Tensor) and p.ndim != 0:
        raise SettingsError(f"ADA's p must be a scalar, got a tensor of shape {list(p.shape)}")
    if not isinstance(p, Tensor) and not 0 <= p <= 1:
        raise SettingsError(f"ADA's p must lie in [0, 1]: {p}")
    if percentile is not None and not 0 < percentile < 1:
        raise SettingsError(f"ADA's percentile must lie in (0, 1): {percentile}")
