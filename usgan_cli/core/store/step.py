"""A step of a command: what an artefact is made from, how that is asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from usgan_cli.core.progress import Progress

INPUT = "its input"
"""How a difference begins that is of an input and not of a setting."""

Status = Literal["done", "skipped", "planned"]


@dataclass(frozen=True)
class Step:
    """What an artefact is made from. Two equal steps make the same artefact.

    Attributes
    ----------
    command : str
    revision : int
        Number of the step's code version; raised when the same settings begin to give other results.
    settings : mapping
        Resolved settings that decide the result, JSON-able.
    inputs : mapping of str to str
        Content digest of each input.
    """

    command: str
    revision: int
    settings: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)

    def differences(self, other: Step) -> list[str]:
        """Return in words how what is on disk (`other`) differs from this step; empty if it does not."""
        if self.command != other.command:
            return [f"it was made by usgan {other.command}"]
        mine, theirs = _flat(self.settings), _flat(other.settings)
        found = [
            f"{name} is {theirs.get(name, 'unset')!r} there and {mine.get(name, 'unset')!r} now"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]
        found += [
            f"{INPUT} {name!r} has changed since"
            for name in sorted(self.inputs.keys() | other.inputs.keys())
            if self.inputs.get(name) != other.inputs.get(name)
        ]
        if self.revision != other.revision:
            found.append(f"it was made by revision {other.revision} of this step (now {self.revision})")
        return found


@dataclass(frozen=True)
class Request:
    """How a step is to be carried out, whatever it makes."""

    progress: Progress
    force: bool = False
    """Make it again whatever is there."""
    refresh: bool = False
    """Make it again where what is there was made otherwise (the default refuses); leave it where it is up to date."""
    dry_run: bool = False
    wait_s: float = 0


@dataclass(frozen=True)
class Outcome:
    """What came of a step.

    Attributes
    ----------
    path : Path
        The artefact.
    status : {"done", "skipped", "planned"}
    result : dict
        What `--json` shows: the artefact's main figures, or the plan.
    changes : tuple of str
        Where it is planned: how what is there differs from what is asked for.
    begun : bool
        Where it is planned: a part of it is there, from which the work goes on.
    """

    path: Path
    status: Status
    result: dict[str, Any]
    changes: tuple[str, ...] = ()
    begun: bool = False


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat
