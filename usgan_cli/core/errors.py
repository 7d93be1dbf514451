"""Errors a user can mend: what is wrong, where, and the next move."""

from __future__ import annotations


class UsganError(Exception):
    """A problem with data, files or settings that ends a command with exit status 1.

    Parameters
    ----------
    message : str
        What is wrong and where, in one sentence.
    hint : str, optional
        The next move: usually the command that mends it.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n{self.hint}"


class DataError(UsganError):
    """Images, folders or labels that cannot be used as they are."""


class SettingsError(UsganError):
    """Settings that are impossible, contradict one another, or differ from those of what is on disk."""


class MissingError(UsganError):
    """An artefact that an earlier step should have made is not there."""


class FormatError(UsganError):
    """A file that is not what its name says: unknown version, missing field, wrong type."""


class WeightsError(UsganError):
    """Pretrained weights that are absent or not the ones expected."""


class BusyError(UsganError):
    """Another process is working on the same artefact."""
