"""Watching a training: when to report, the log, how varied its samples are, and warnings in words."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from usgan_cli.core.errors import MissingError, UsganError
from usgan_cli.core.formats.generator import LogRow
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.progress import Progress, Task
from usgan_cli.gan.augment.controller import LEAK_THRESHOLD
from usgan_cli.gan.config import GanConfig

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

WINNING_R_T = 0.95
COLLAPSED_SHARE = 0.5
"""Diversity under this share of real images' and of its own best is a warning sign."""
DIVERSITY_SIZE = 16
"""Images are compared at this many pixels a side, so that noise and sharpness count for little."""


class DivergedError(UsganError):
    """Losses became infinite or undefined."""


class Due:
    """Which images counts call for a line in the log, a saved state and a score."""

    def __init__(self, config: GanConfig, score_kimg: float, images_now: int) -> None:
        self.intervals = {"tick": config.tick_kimg, "save": config.save_kimg, "score": score_kimg}
        self.last = {name: self._count(name, images_now) for name in self.intervals}

    def _count(self, name: str, images_now: int) -> int:
        interval = self.intervals[name]
        return int(images_now / 1000 / interval + 1e-9) if interval > 0 else 0

    def _due(self, name: str, images_now: int) -> bool:
        now = self._count(name, images_now)
        due = now > self.last[name]
        self.last[name] = now
        return due

    def tick(self, images_now: int) -> bool:
        """Return whether a line of the log is due."""
        return self._due("tick", images_now)

    def save(self, images_now: int) -> bool:
        """Return whether the state is to be saved."""
        return self._due("save", images_now)

    def score(self, images_now: int, finished: bool) -> bool:
        """Return whether the generator is to be measured."""
        return self._due("score", images_now) or finished


class Log:
    """`log.jsonl`: one line a report, appended whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def size(self) -> int:
        """Return the length in bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def truncate(self, length: int) -> None:
        """Forget lines written after the state that training continues from."""
        if self.size() > length:
            with self.path.open("rb+") as file:
                file.truncate(length)

    def append(self, row: LogRow) -> None:
        """Add a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row.model_dump(exclude_none=True)) + "\n")


class Board:
    """The log's figures and sample grids as TensorBoard reads them.

    Raises
    ------
    MissingError
        TensorBoard is not installed.
    """

    def __init__(self, folder: Path, images_now: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            hint = "Install it: pip install 'usgan[tensorboard]'"
            raise MissingError("--tensorboard needs TensorBoard.", hint) from None
        self.writer: SummaryWriter = SummaryWriter(str(folder), purge_step=images_now + 1)

    def row(self, row: LogRow) -> None:
        """Add a line of the log; steps are images shown."""
        for name, value in row.model_dump(exclude_none=True, exclude={"kimg", "fd_extractor"}).items():
            self.writer.add_scalar(name, value, round(row.kimg * 1000))

    def grid(self, kimg: float, sheet: Pixels) -> None:
        """Add a sheet of samples, pixels [C, H, W]."""
        self.writer.add_image("samples", sheet, round(kimg * 1000))
        self.writer.flush()


def diversity(classes: Sequence[Sequence[Pixels]]) -> float | None:
    """Return how far apart images of one class lie, in gray levels.

    Parameters
    ----------
    classes : sequence of sequences of uint8 arrays [C, H, W]

    Returns
    -------
    float or None
        Root mean square distance between two images of a class, each reduced to 16 x 16 pixels by averaging; the
        mean over classes of two images and more. None where there is no such class.
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


class Watch:
    """Says in words, once each, when a training goes wrong.

    Parameters
    ----------
    progress : Progress
    rows : sequence of LogRow
        What was logged before.
    """

    def __init__(self, progress: Progress, rows: Sequence[LogRow] = ()) -> None:
        self.progress = progress
        self.said: set[str] = set()
        self.most_diverse = max((row.diversity for row in rows if row.diversity is not None), default=0.0)

    def look(self, row: LogRow) -> None:
        """Warn about what the row shows."""
        if row.p > LEAK_THRESHOLD:
            self._once(
                f"At {row.kimg:g} kimg ADA's p is {row.p:.2f}: over {LEAK_THRESHOLD} its augmentations begin to "
                "show in the generated images. More training images or fewer kimg are the remedy.",
                "leak",
            )
        if row.r_t > WINNING_R_T:
            self._once(
                f"At {row.kimg:g} kimg the discriminator knows its training images (r_t {row.r_t:.2f}, near 1): "
                "it overfits, and the generator learns little more.",
                "winning",
            )
        if row.diversity is not None:
            self._look_at_diversity(row.kimg, row.diversity)

    def _look_at_diversity(self, kimg: float, now: float) -> None:
        self.most_diverse = max(self.most_diverse, now)
        if now < COLLAPSED_SHARE * min(self.most_diverse, 1.0):
            self._once(
                f"At {kimg:g} kimg samples of one class differ {now:.2f} times as much as real images do (it was "
                f"{self.most_diverse:.2f}): the generator makes fewer and fewer kinds of image (mode collapse). "
                "Compare the sheets in samples/; an earlier snapshot may be the better one.",
                "collapse",
            )

    def _once(self, message: str, kind: str) -> None:
        if kind not in self.said:
            self.said.add(kind)
            self.progress.warn(message)


def check_finite(row: dict[str, float]) -> None:
    """Raise if a loss is no longer a number.

    Raises
    ------
    DivergedError
    """
    for name in ("loss_g", "loss_d_real", "loss_d_fake"):
        if not math.isfinite(row[name]):
            raise DivergedError(
                f"Training diverged: {name} is {row[name]}.",
                "Try --precision float32, a larger --r1-gamma or a lower --lr; the last good state is kept.",
            )


def show(task: Task, row: LogRow) -> None:
    """Show the figures that matter."""
    figures: dict[str, float | str] = {
        "s/kimg": row.s_per_kimg,
        "G": row.loss_g,
        "D": row.loss_d_real + row.loss_d_fake,
        "r_t": row.r_t,
        "p": row.p,
        "path": row.path_length,
        "|grad G|": row.grad_g,
        "|grad D|": row.grad_d,
        "memory": f"{row.memory_mb / 1000:.2g} GB",
    }
    if row.fd is not None:
        figures["FD"] = row.fd
    task.advance(0, **figures)
