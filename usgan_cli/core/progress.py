"""The one interface through which domain functions tell how they are getting on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """A piece of work with a known amount to do."""

    def advance(self, amount: float = 1, **figures: float | str) -> None:
        """Say that `amount` more is done, and show the figures that matter just now."""


class Progress(Protocol):
    """Where work reports to. The console implements it; tests use `Silent`."""

    def task(self, title: str, total: float, unit: str, done: float = 0) -> AbstractContextManager[Task]:
        """Begin work of `total` units, `done` of which were finished by an earlier run."""

    def note(self, message: str) -> None:
        """Say something worth knowing."""

    def warn(self, message: str) -> None:
        """Say something that should change what the user believes or does."""


class _SilentTask:
    def advance(self, amount: float = 1, **figures: float | str) -> None:
        pass


class Silent:
    """Progress that says nothing and keeps its warnings for whoever asks."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    @contextmanager
    def task(self, title: str, total: float, unit: str, done: float = 0) -> Iterator[Task]:  # noqa: ARG002
        """Yield a task that ignores what it is told."""
        yield _SilentTask()

    def note(self, message: str) -> None:
        """Keep the note."""
        self.notes.append(message)

    def warn(self, message: str) -> None:
        """Keep the warning."""
        self.warnings.append(message)
