"""Reading a report back: the page's elements, words and tables, and the CSV files beside it."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser
from pathlib import Path

Tag = tuple[str, dict[str, str | None]]


class Page(HTMLParser):
    """The page as a reader finds it.

    Attributes
    ----------
    tags : list of (name, attributes)
    words : list of str
        Every piece of text.
    tables : dict of lists of rows
        The texts of every cell, by the table's name; headings over groups of rows have one cell.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.tags: list[Tag] = []
        self.words: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._table: str | None = None
        self.text = (folder / "index.html").read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag == "table":
            self._table = found["data-name"] or ""
            self.tables[self._table] = []
        elif self._table is not None and tag == "tr":
            self.tables[self._table].append([])
        elif self._table is not None and tag in {"td", "th"}:
            self.tables[self._table][-1].append("")
        elif self._table is not None and tag == "small":
            self.tables[self._table][-1][-1] += " "

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._table = None

    def handle_data(self, data: str) -> None:
        data = data.replace("\u00a0", " ")
        self.words.append(data.strip())
        if self._table is not None and data.strip():
            self.tables[self._table][-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    def row(self, table: str, group: str, first: str) -> list[str]:
        """Return the row of a table that begins with `first`, under the heading `group`."""
        heading = ""
        for cells in self.tables[table]:
            if len(cells) == 1:
                heading = cells[0]
            elif (heading, cells[0]) == (group, first):
                return cells
        raise AssertionError(f"there is not a row {first!r} under {group!r} in {table}")


def read_table(report: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    return list(csv.DictReader(io.StringIO((report / "tables" / f"{name}.csv").read_text(encoding="utf-8"))))
