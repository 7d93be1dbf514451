"""Whether the GANs behind a comparison are good enough to be judged by it (see `usgan_cli.metrics.quality`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from usgan_cli.core.formats.comparison import ArmEffect
from usgan_cli.core.formats.score import ScoreRecord
from usgan_cli.core.store.workspace import GanKey


@dataclass(frozen=True)
class GanQuality:
    """What is known about the GANs of a comparison, one for each repeat."""

    weak: tuple[GanKey, ...] = ()
    """Those whose images are too weak to judge."""
    unknown: tuple[GanKey, ...] = ()
    """Those without a score of the images that they have now."""
    repeats: int = 0
    reasons: tuple[str, ...] = ()
    """What counts against the first of the weak ones."""

    @property
    def too_weak(self) -> bool:
        """Whether the comparison says nothing about good images: of half of the repeats or more they are too weak."""
        return bool(self.weak) and 2 * len(self.weak) >= self.repeats


def gan_quality(current: Mapping[GanKey, ScoreRecord], effect: ArmEffect, n: int, seeds: Sequence[int]) -> GanQuality:
    """Return what the scores of the present images say about a comparison's GANs; nothing where it is of a control."""
    if effect.aug is None or effect.control is not None:
        return GanQuality()
    scores = {key: current.get(key) for key in (GanKey(effect.aug, n, seed) for seed in seeds)}
    weak = {key: score.quality for key, score in scores.items() if score is not None and score.quality.weak}
    reasons = next((tuple(quality.reasons) for quality in weak.values()), ())
    unknown = tuple(key for key, score in scores.items() if score is None)
    return GanQuality(tuple(weak), unknown, len(scores), reasons)
