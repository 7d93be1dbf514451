"""Watching a training: when to report, the log, and warnings in words."""

from __future__ import annotations

import json
import math
from pathlib import Path

from usgan_cli.core.checkpoint import LogRow
from usgan_cli.core.errors import UsganError
from usgan_cli.core.progress import Progress, Task
from usgan_cli.gan.augment.controller import LEAK_THRESHOLD
from usgan_cli.gan.config import GanConfig

WINNING_R_T = 0.95


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


class Watch:
    """Says in words, once each, when a training goes wrong."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.said: set[str] = set()

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
    }
    figures |= {"r_t": row.r_t, "p": row.p}
    if row.fd is not None:
        figures["FD"] = row.fd
    task.advance(0, **figures)
