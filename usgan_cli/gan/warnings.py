"""Signs that a training goes wrong: losses that are not finite, a discriminator that wins, leaks, mode collapse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from usgan_cli.core.errors import UsganError
from usgan_cli.core.formats.generator import LEAK_THRESHOLD, WINNING_R_T, LogRow
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.progress import Progress, Silent
from usgan_cli.gan.config import GanConfig

COLLAPSED_SHARE = 0.5
"""Diversity under this share of real images' and of its own best is a warning sign."""
DIVERSITY_SIZE = 16
"""Images are compared at this many pixels a side, so that noise and sharpness count for little."""


class DivergedError(UsganError):
    """Losses became infinite or undefined."""


def check_finite(means: Mapping[str, float]) -> None:
    """Raise DivergedError if a mean of losses and penalties is not a finite number."""
    for name, mean in means.items():
        if not math.isfinite(mean):
            raise DivergedError(
                f"Training diverged: {name} is {mean}.",
                "Try --precision float32, a larger --r1-gamma or a lower --lr; the last good state is kept.",
            )


def diversity(classes: Sequence[Sequence[Pixels]]) -> float | None:
    """Return how far apart images [C, H, W] of one class lie, in gray levels, or None if no class has two.

    That is the root mean square distance between two images of a class, each reduced to 16 x 16 pixels by averaging;
    the mean over the classes with at least two images.
    """
    spreads = [_spread(np.stack(list(images))) for images in classes if len(images) > 1]
    return float(np.mean(spreads)) if spreads else None


def _spread(images: Pixels) -> float:
    n, channels, height, width = images.shape
    small = min(DIVERSITY_SIZE, height)
    cells = images.reshape(n, channels, small, height // small, small, width // small).astype(np.float64)
    # The mean squared distance of two draws is twice their variance.
    return float(np.sqrt(2 * cells.mean(axis=(3, 5)).var(axis=0, ddof=1).mean()))


def real_diversity(data: ImageSet) -> float | None:
    """Return the diversity of the training images themselves."""
    return diversity([data.pixels[data.labels == label] for label in range(len(data.classes))])


class Warnings:
    """Warns once of each problem; `rows` are the lines logged before this run.

    A projected discriminator tells real images from generated ones within the first few kimg, while the generator goes
    on learning: there r_t is no sign of overfitting. DiffAug was
    published with every image augmented: a high p is nothing unusual there.
    """

    def __init__(self, progress: Progress, config: GanConfig, rows: Sequence[LogRow] = ()) -> None:
        self.progress = progress
        self.may_leak = config.uses("ada")
        self.may_win = config.discriminator != "projected"
        self.warned: dict[str, str] = {}
        self.most_diverse = max((row.diversity for row in rows if row.diversity is not None), default=0.0)

    def check(self, row: LogRow) -> None:
        """Warn of problems that a line of the log shows."""
        if row.p > LEAK_THRESHOLD and self.may_leak:
            self._once(
                f"At {row.kimg:g} kimg ADA's p is {row.p:.2f}: over {LEAK_THRESHOLD} its augmentations begin to "
                "show in the generated images. More training images or fewer kimg are the remedy.",
                "leak",
            )
        if row.r_t > WINNING_R_T and self.may_win:
            self._once(
                f"At {row.kimg:g} kimg the discriminator knows its training images (r_t {row.r_t:.2f}, near 1): "
                "it overfits, and the generator learns little more.",
                "winning",
            )
        if row.diversity is not None:
            self._check_diversity(row.kimg, row.diversity)

    def _check_diversity(self, kimg: float, now: float) -> None:
        self.most_diverse = max(self.most_diverse, now)
        if now < COLLAPSED_SHARE * min(self.most_diverse, 1.0):
            self._once(
                f"At {kimg:g} kimg samples of one class differ {now:.2f} times as much as real images do (it was "
                f"{self.most_diverse:.2f}): the generator makes fewer and fewer kinds of image (mode collapse). "
                "Compare the sheets in samples/; an earlier snapshot may be the better one.",
                "collapse",
            )

    def _once(self, message: str, kind: str) -> None:
        if kind not in self.warned:
            self.warned[kind] = message
            self.progress.warn(message)


def warnings_of(config: GanConfig, rows: Sequence[LogRow]) -> list[str]:
    """Return what a training has warned of, in words, from its whole log."""
    replayed = Warnings(Silent(), config)
    for row in rows:
        replayed.check(row)
    return list(replayed.warned.values())
