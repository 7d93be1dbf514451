"""Settings of a score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.methods import LITES, TIMM

EXTRACTORS = ("inception", *LITES)
"""Feature extractors with a name of their own."""


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


def check_extractor(name: str, weights: str | Path | None) -> None:
    """Raise a `SettingsError` for a name that no feature extractor has, or one without pretrained weights."""
    if str(weights) == "none":
        raise SettingsError(
            f"The feature extractor {name} means nothing without its pretrained weights.", "Use --weights auto."
        )
    if name not in EXTRACTORS and not name.startswith(TIMM):
        hint = f"Choose one of {', '.join(EXTRACTORS)}, or {TIMM}NAME with a model of timm."
        raise SettingsError(f"There is no feature extractor {name!r}.", hint)
