"""The interface through which work reports its progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from math import inf
from typing import Protocol


@dataclass(frozen=True)
class Pace:
    """How long units of work take beside each other: from `slower_from` units on, `factor` times as long as before."""

    slower_from: float = inf
    factor: float = 1.0

    def cost(self, done: float) -> float:
        """Return how long the first `done` units take, in units of the first part."""
        return done + (self.factor - 1) * max(done - self.slower_from, 0.0)

    def at(self, done: float) -> float:
        """Return how long the next unit takes after `done` of them, in units of the first part."""
        return self.factor if done >= self.slower_from else 1.0


EVEN = Pace()
"""All units take equally long."""


class Task(Protocol):
    """Work of a known amount."""

    def advance(self, amount: float = 1, **figures: float | str) -> None:
        """Report that `amount` more is done, with the figures to show beside it."""


class Progress(Protocol):
    """Receives reports: the console shows them, `Silent` keeps them."""

    def task(
        self, title: str, total: float, unit: str, done: float = 0, within: float = inf, pace: Pace = EVEN
    ) -> AbstractContextManager[Task]:
        """Begin work of `total` units, or of `within` seconds; an earlier run has finished `done` of the units."""

    def note(self, message: str) -> None:
        """Report something worth knowing."""

    def warn(self, message: str) -> None:
        """Report something that should change what the user believes or does."""


class _SilentTask:
    def advance(self, amount: float = 1, **figures: float | str) -> None:
        pass


class Silent:
    """Progress that shows nothing and keeps notes and warnings."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    @contextmanager
    def task(
        self,
        title: str,  # noqa: ARG002
        total: float,  # noqa: ARG002
        unit: str,  # noqa: ARG002
        done: float = 0,  # noqa: ARG002
        within: float = inf,  # noqa: ARG002
        pace: Pace = EVEN,  # noqa: ARG002
    ) -> Iterator[Task]:
        """Yield a task that ignores every report."""
        yield _SilentTask()

    def note(self, message: str) -> None:
        """Keep the note."""
        self.notes.append(message)

    def warn(self, message: str) -> None:
        """Keep the warning."""
        self.warnings.append(message)
