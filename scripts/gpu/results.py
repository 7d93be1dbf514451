"""What a check has come to, on disk after every row, so that nothing is lost when it is cut off."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Check:
    """What is checked.

    Attributes
    ----------
    device : {"cuda", "cpu"}
    small : bool
        Networks and batches of a few seconds, to check the check itself.
    minutes : float
        For everything together.
    ends : float
        When it has to end, as `time.time` counts.
    out : Path
    data : Path or None
        Images for the training: a prepared dataset, or a folder of class folders.
    """

    device: str
    small: bool
    minutes: float
    ends: float
    out: Path
    data: Path | None


class Results:
    """Rows of every section, read from and written to one JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.document: dict[str, Any] = {"sections": {}}
        if path.is_file():
            self.document = json.loads(path.read_text())

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        """Sections by name, in the order in which they began."""
        sections: dict[str, dict[str, Any]] = self.document["sections"]
        return sections

    def write(self) -> None:
        """Write all rows, whole or not at all."""
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.document, indent=1))
        partial.replace(self.path)

    def value(self, section: str, what: str) -> Any:
        """Return a value from an earlier section, or None."""
        rows = self.sections.get(section, {}).get("rows", [])
        return next((row["value"] for row in rows if row["what"] == what), None)


class Section:
    """One section while it runs.

    Parameters
    ----------
    results : Results
    name : str
    seconds : float
        How long it may take: it looks at `left` before each part of its work.
    """

    def __init__(self, results: Results, name: str, seconds: float) -> None:
        self.results, self.name, self.ends = results, name, time.time() + seconds
        self.entry: dict[str, Any] = {"status": "running", "began": time.time(), "rows": []}
        results.sections[name] = self.entry
        results.write()

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.ends - time.time()

    def row(self, what: str, value: Any, unit: str = "", *, ok: bool | None = None, **more: Any) -> None:
        """Keep one finding, and print it; `ok` is False where it is wrong."""
        self.entry["rows"].append({"what": what, "value": value, "unit": unit, "ok": ok, **more})
        self.results.write()
        print(line(self.entry["rows"][-1]), flush=True)

    def end(self, status: str, error: str = "") -> None:
        """Note how the section ended."""
        self.entry.update(status=status, seconds=round(time.time() - self.entry["began"], 1), error=error)
        self.results.write()


def line(row: dict[str, Any]) -> str:
    value = row["value"]
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    more = ", ".join(f"{name} {_short(row[name])}" for name in row if name not in {"what", "value", "unit", "ok"})
    verdict = {True: "ok", False: "WRONG", None: ""}[row["ok"]]
    return f"  {row['what']:58s}{shown:>12s} {row['unit']:10s}{verdict:6s}{more}".rstrip()


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def table(results: Results) -> str:
    """Return all rows as one text."""
    lines = []
    for name, section in results.sections.items():
        lines.append(f"{name}: {section['status']}, {section.get('seconds', 0):.0f} s")
        lines += [line(row) for row in section["rows"]]
        if section.get("error"):
            lines.append("  " + section["error"].strip().replace("\n", "\n  "))
    return "\n".join(lines)


def wrong(results: Results) -> list[str]:
    """Return what is not as it should be: rows that are wrong, and sections that failed or were cut off."""
    sections = results.sections.items()
    ended = [f"{name}: {section['status']}" for name, section in sections if section["status"] != "done"]
    rows = [f"{name}: {row['what']}" for name, section in sections for row in section["rows"] if row["ok"] is False]
    return ended + rows
