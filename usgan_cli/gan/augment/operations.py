"""The operations of adaptive discriminator augmentation: which are on, how strong they are, and their names.

Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020), appendix B.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from usgan_cli.core.errors import SettingsError
from usgan_cli.gan.augment import color
from usgan_cli.gan.presets import operations_of, split_names

ULTRASOUND_STRENGTHS = {"rotate_max": 5 / 180, "brightness_std": 0.1, "contrast_std": 0.25}
"""What `ULTRASOUND` has in place of the paper's; see `AdaOperations.named`."""


@dataclass(frozen=True)
class AdaOperations:
    """Multipliers of p, where 0 is off, and the strengths of operations, whose defaults are the paper's.

    Lengths are parts of the image's side, angles parts of half a turn, octaves standard deviations of a factor's base-2
    logarithm, and other standard deviations are in image units (the range is [-1, 1]).

    Raises
    ------
    SettingsError
        If a value is negative or not finite, or there are not four bands.
    """

    xflip: float = 0.0
    """Mirror."""
    rotate90: float = 0.0
    """Quarter turns."""
    xint: float = 0.0
    """Translation by whole pixels."""
    scale: float = 0.0
    rotate: float = 0.0
    aniso: float = 0.0
    """Anisotropic scale."""
    xfrac: float = 0.0
    """Translation by fractions of pixels."""
    brightness: float = 0.0
    contrast: float = 0.0
    lumaflip: float = 0.0
    """Negative: luma turned over."""
    hue: float = 0.0
    """Does nothing on one channel, nor does saturation."""
    saturation: float = 0.0
    imgfilter: float = 0.0
    noise: float = 0.0
    cutout: float = 0.0

    xint_max: float = 0.125
    scale_std: float = 0.2
    """Octaves, as are those of aniso, contrast, saturation and imgfilter."""
    rotate_max: float = 1.0
    aniso_std: float = 0.2
    xfrac_std: float = 0.125
    brightness_std: float = 0.2
    contrast_std: float = 0.5
    hue_max: float = 1.0
    saturation_std: float = 1.0
    imgfilter_bands: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    """Multiplier of the filter's probability per octave band, lowest first."""
    imgfilter_std: float = 1.0
    noise_std: float = 0.1
    cutout_size: float = 0.5
    """Side of the square set to zero."""

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
        """Switch on operations by name, each at the full p; `strengths` sets any field of the class.

        Names are pipes ("bg", ..., "bgcfnc"), "ultrasound", groups ("blit", "geom", ...) and single operations
        ("xflip", ...); one text can join them ("blit+color", "xflip,xint"). A name that is both ("noise", "cutout")
        means the same either way.

        "ultrasound" is for B-mode images, where the probe is on top and depth runs down: mirror, translations, scales,
        rotation, brightness and contrast. Quarter turns, large rotations and negatives (lumaflip) are left out: they
        put shadows and enhancement beside or above what casts them, and make fluid bright. Each of the two rotations
        is at most 5 degrees, so that both together stay within about 10, the tilt of a probe that still looks at the
        same plane. In log-compressed images gain adds to the gray value and dynamic range multiplies it: brightness
        has a standard deviation of 0.1, which is 3 dB where 60 dB are shown, and contrast one of 0.25 octaves; the
        paper's are twice that. These three strengths hold for the whole pipe when other names are joined to it.

        Raises
        ------
        SettingsError
            If a name or a field is unknown.
        """
        parts = split_names(names)
        operations = operations_of(parts)
        if unknown := sorted(set(strengths) - {field.name for field in fields(cls)}):
            raise SettingsError(f"unknown ADA settings: {', '.join(unknown)}")
        own = ULTRASOUND_STRENGTHS if "ultrasound" in parts else {}
        return cls(**{**dict.fromkeys(operations, 1.0), **own, **strengths})  # type: ignore[arg-type]
