"""A step of a command: what its artefact is made from, how it is requested, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from usgan_cli.core.progress import Progress

if TYPE_CHECKING:
    from usgan_cli.core.store.document import PlanDocument, RunRecord

INPUT = "its input"
"""Beginning of a difference in an input, as opposed to a setting."""

STUDY_VARIABLE, ADOPT_VARIABLE = "USGAN_STUDY", "USGAN_ADOPT"
"""Environment variables by which the jobs of a study know its name, and whether it was given --adopt."""
Status = Literal["done", "skipped", "planned"]
_ELSEWHERE = {
    "phantom": "another folder",
    "export": "another --onnx",
    "subsample": "another --work",
}
"""How commands that have no --out are given another place."""


@dataclass(frozen=True)
class Step:
    """What an artefact is made from. Two equal steps make the same artefact."""

    command: str
    revision: int
    """Version of the step's code; raised when the same settings begin to give other results."""
    settings: Mapping[str, Any]
    """Resolved settings that decide the result, JSON-able."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Content digest of each input, by role."""
    places: Mapping[str, str] | None = field(default=None, compare=False)
    """As in `RunRecord`. The same input may lie anywhere, so this is no difference between steps."""

    @classmethod
    def of(cls, record: RunRecord | PlanDocument) -> Step:
        """Return the step that an artefact's record describes."""
        return cls(record.command, record.revision, record.settings, record.inputs)

    @property
    def elsewhere(self) -> str:
        """What a person may choose to have the artefact somewhere else, in words."""
        return _ELSEWHERE.get(self.command, "another --out")

    def differences(self, other: Step) -> list[str]:
        """Return how the step that made the artefact on disk (`other`) differs from this one, in words."""
        if self.command != other.command:
            return [f"it was made by usgan {other.command}"]
        mine, theirs = _flat(self.settings), _flat(other.settings)
        differences = [
            f"{name} is {theirs.get(name, 'unset')!r} there and {mine.get(name, 'unset')!r} now"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]
        differences += [
            f"{INPUT} {name!r} {_change(name in other.inputs, name in self.inputs)}"
            for name in sorted(self.inputs.keys() | other.inputs.keys())
            if self.inputs.get(name) != other.inputs.get(name)
        ]
        if self.revision != other.revision:
            differences.append(f"it was made by revision {other.revision} of this step (now {self.revision})")
        return differences


@dataclass(frozen=True)
class Request:
    """How a step is to be carried out."""

    progress: Progress
    force: bool = False
    refresh: bool = False
    """Make the artefact again if it was made differently (the default refuses); keep it if it is up to date."""
    dry_run: bool = False
    wait_s: float = 0
    study: str | None = None
    """The study that the step is carried out for. A study makes again only what it made itself ..."""
    adopt: bool = False
    """... unless it may take over what was made by hand."""


@dataclass(frozen=True)
class Outcome:
    """The result of a step."""

    path: Path
    status: Status
    result: dict[str, Any]
    """What `--json` shows: the artefact's main figures, or the plan."""
    changes: tuple[str, ...] = ()
    """For a plan: how the artefact on disk differs from the one requested."""
    begun: bool = False
    """For a plan: the work is partly done and will continue."""


def _change(before: bool, now: bool) -> str:
    """Return how an input has changed, by whether it was there when the artefact was made, and is now."""
    if before and now:
        return "has changed since"
    return "was not there when it was made" if now else "is gone"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat
