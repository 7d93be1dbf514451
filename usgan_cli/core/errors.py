"""Errors that the user can fix: what is wrong, where, and the next move."""

from __future__ import annotations


class UsganError(Exception):
    """A problem with data, files or settings that ends a command with exit status 1.

    The message says in one sentence what is wrong and where; the hint is the next move, usually a command.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n{self.hint}"


class DataError(UsganError):
    """Images, folders or labels that cannot be used as they are."""


class UndecodableError(DataError):
    """A file that is not an image, or a broken one; `reason` says why without naming the file."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The file cannot be decoded as an image: {reason}.")
        self.reason = reason


class SettingsError(UsganError):
    """Settings that are impossible, contradict each other, or differ from those on disk."""


class MissingError(UsganError):
    """An artefact that an earlier step makes is missing."""


class FormatError(UsganError):
    """A file that does not follow its format: unknown version, missing field, wrong type."""


class WeightsError(UsganError):
    """Pretrained weights that are absent or differ from those expected."""


class BusyError(UsganError):
    """Another process is working on the same artefact."""
