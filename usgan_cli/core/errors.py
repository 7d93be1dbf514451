"""Errors that the user can fix: what is wrong, where, and the next move."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

_COMMAND = re.compile(
    r"(?<!same )(?<!`)\busgan "
    r"(prepare|subsample|train-gan|generate|score|export|train-cls|ttest|report|status)(?![\w`-])"
    r"(?: --(?:force|refresh|strict|freeze)(?![\w-])"  # which take no value
    r"| --?[\w-]+(?: (?!-)(?:'[^']*'|\"[^\"]*\"|[^\s()'\"])+)?"
    r"| [A-Z]{3,}\b)*"
)
"""A command to run, as hints write it: its options and placeholders; words about a command stand in backticks."""


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


class DamagedError(FormatError, DataError):
    """A file that was changed or damaged after it was written: its content does not match the recorded digest."""


class VersionError(FormatError):
    """A file of another version of its format than this program reads."""

    def __init__(self, message: str, hint: str, *, older: bool) -> None:
        super().__init__(message, hint)
        self.older = older


class UnsealedError(DamagedError):
    """A file without the digest of its content, as old versions of the program wrote them; or someone removed it."""


class WeightsError(UsganError):
    """Pretrained weights that are absent or differ from those expected."""


class MissingWeightsError(WeightsError):
    """Pretrained weights that are not on this machine.

    `fetch` says how to get them; `alternative` is an option, by its name, and a value that needs only what is here.
    """

    def __init__(self, message: str, hint: str, fetch: str, alternative: tuple[str, str] | None) -> None:
        super().__init__(message, hint)
        self.fetch, self.alternative = fetch, alternative


class BusyError(UsganError):
    """Another process is working on the same artefact."""


def in_workspace(hint: str, work: Path) -> str:
    """Return a hint whose commands work in the workspace `work`, where that is not the default one."""
    if work == Path("work") or "--work" in hint:
        return hint

    def with_work(found: re.Match[str]) -> str:
        command = found[0].rstrip(".,;")
        return f"{command} --work {shlex.quote(str(work))}{found[0][len(command) :]}"

    return _COMMAND.sub(with_work, hint)
