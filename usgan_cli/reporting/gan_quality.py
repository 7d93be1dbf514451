"""Whether the GANs behind a comparison are good enough to be judged by it (see `usgan_cli.metrics.quality`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from usgan_cli.core.formats.comparison import ArmEffect
from usgan_cli.core.formats.score import ScoreRecord
from usgan_cli.core.store.workspace import GanKey
from usgan_cli.reporting.outdated import current_scores
from usgan_cli.reporting.records import StudyRecords


@dataclass(frozen=True)
class GanQuality:
    """What is known about the GANs of a comparison, one for each repeat of each split."""

    weak: tuple[str, ...] = ()
    """Those whose images are too weak to judge."""
    unknown: tuple[str, ...] = ()
    """Those without a score of the images that they have now."""
    repeats: int = 0
    reasons: tuple[str, ...] = ()
    """What counts against the first of the weak ones."""

    @property
    def too_weak(self) -> bool:
        """Whether the comparison says nothing about good images: of half of the repeats or more they are too weak."""
        return bool(self.weak) and 2 * len(self.weak) >= self.repeats


@dataclass(frozen=True)
class CurrentScores:
    """The scores of the images that are there now, of a workspace and of its further splits."""

    own: dict[GanKey, ScoreRecord]
    further: dict[int, dict[GanKey, ScoreRecord]]
    """By the splits' seeds."""

    @classmethod
    def of(cls, records: StudyRecords) -> CurrentScores:
        """Select them."""
        further = {split: current_scores(one) for split, one in records.further.items()}
        return cls(current_scores(records), further)

    def of_gans(self, keys: Sequence[GanKey], splits: Sequence[int]) -> dict[str, ScoreRecord | None]:
        """Return the score of every GAN in every split by its name, None where there is none.

        `splits` begins with the workspace's own split, and is empty where there is one only.
        """
        if not splits:
            return {key.name: self.own.get(key) for key in keys}
        homes = {split: self.further.get(split, {}) for split in splits} | {splits[0]: self.own}
        return {f"{key.name} of split {split}": scores.get(key) for split, scores in homes.items() for key in keys}


def gan_quality(
    current: CurrentScores, effect: ArmEffect, n: int, seeds: Sequence[int], splits: Sequence[int] = ()
) -> GanQuality:
    """Return what the scores say about a comparison's GANs; nothing where it is of a control."""
    if effect.aug is None or effect.control is not None:
        return GanQuality()
    scores = current.of_gans([GanKey(effect.aug, n, seed) for seed in seeds], splits)
    weak = {name: score.quality for name, score in scores.items() if score is not None and score.quality.weak}
    reasons = next((tuple(quality.reasons) for quality in weak.values()), ())
    unknown = tuple(name for name, score in scores.items() if score is None)
    return GanQuality(tuple(weak), unknown, len(scores), reasons)
