"""Settings of a score."""

from __future__ import annotations

import math
from dataclasses import dataclass

from usgan_cli.core.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """How a set of generated images is scored."""

    extractor: str
    """Feature extractor of the Fréchet distance."""
    count: int | None
    """Number of generated images, the first of their fixed order; None takes all. Use the same for every GAN of a
    table: the Fréchet distance falls as the count grows."""
    ssim_pairs: int
    """Number of random pairs (real test image, generated image), and of pairs of generated images."""
    ms_ssim_pairs: int = 200
    """The same for MS-SSIM, which takes several times as long."""
    js_bins: int
    """Bins of the gray-value histograms over 0 to 256."""
    js_log_base: float
    """Base of the logarithm in the Jensen-Shannon distance."""
    repeats: int
    """Draws of half of the images behind every interval."""
    seed: int = 0
    """Seed of the pairs, of the draws and of the choice among more real images than `count`."""

    def __post_init__(self) -> None:
        least = {"count": 2, "ssim_pairs": 1, "ms_ssim_pairs": 1, "js_bins": 2, "repeats": 2}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise SettingsError(f"The setting {name} is {value}; it should be at least {bound}.")
        if not self.js_log_base > 1 or not math.isfinite(self.js_log_base):
            raise SettingsError(f"The setting js_log_base is {self.js_log_base}; it should be above 1.")
