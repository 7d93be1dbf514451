"""Settings of a score."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """How a set of generated images is scored; most settings are options of `usgan score`, which checks them."""

    extractor: str
    count: int | None
    """Number of generated images, the first of their fixed order; None takes all. Use the same for every GAN of a
    table: the Fréchet distance falls as the count grows."""
    ssim_pairs: int
    ms_ssim_pairs: int = 200
    """As `ssim_pairs`; one takes several times as long."""
    js_bins: int
    js_log_base: float
    repeats: int
    seed: int = 0
    """Seed of the pairs, of the draws and of the choice among more real images than `count`."""
