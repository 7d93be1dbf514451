"""The interface through which work reports its progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from math import inf
from typing import Protocol


class Task(Protocol):
    """Work of a known amount."""

    def advance(self, amount: float = 1, **figures: float | str) -> None:
        """Report that `amount` more is done, with the figures to show beside it."""


class Progress(Protocol):
    """Receives reports: the console shows them, `Silent` keeps them."""

    def task(
        self, title: str, total: float, unit: str, done: float = 0, within: float = inf
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
    ) -> Iterator[Task]:
        """Yield a task that ignores every report."""
        yield _SilentTask()

    def note(self, message: str) -> None:
        """Keep the note."""
        self.notes.append(message)

    def warn(self, message: str) -> None:
        """Keep the warning."""
        self.warnings.append(message)
