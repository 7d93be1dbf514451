"""A table apart from what it is about: cells with the numbers behind them, written as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from usgan_cli.core.text import p_text

Value = float | int | str | None


@dataclass(frozen=True)
class Cell:
    """What one cell shows, and the values behind it, one for each of its column's keys.

    Attributes
    ----------
    text : str
    values : tuple of str, number or None
    small : str
        An interval, or what else the page shows below the text in smaller type.
    strong : bool
        Whether the page shows it in bold.
    """

    text: str
    values: tuple[Value, ...]
    small: str = ""
    strong: bool = False

    @property
    def line(self) -> str:
        """The whole cell in one line."""
        return f"{self.text} {self.small}".rstrip()


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    title : str
    keys : tuple of str
        Names of the values behind a cell: the CSV file's columns.
    group : str
        Heading over neighbouring columns; "" for none.
    text : bool
        Whether it holds words, not numbers.
    shown : bool
        Whether the page shows it; a CSV file always has it.
    """

    title: str
    keys: tuple[str, ...]
    group: str = ""
    text: bool = False
    shown: bool = True


@dataclass(frozen=True)
class RowGroup:
    """Rows under one heading."""

    title: str
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Table:
    """A table with its caption and notes."""

    name: str
    caption: str
    columns: list[Column]
    groups: list[RowGroup]
    notes: list[str] = field(default_factory=list)
    wordy: bool = False
    """Whether its cells are sentences, which the page lets wrap."""

    @property
    def rows(self) -> list[list[Cell]]:
        """All rows, whatever their heading."""
        return [row for group in self.groups for row in group.rows]

    @property
    def shown(self) -> list[int]:
        """Indices of the columns that the page shows."""
        return [i for i, column in enumerate(self.columns) if column.shown]

    @property
    def spans(self) -> list[tuple[str, int]]:
        """Headings over neighbouring shown columns, with the number of columns under each."""
        spans: list[tuple[str, int]] = []
        for i in self.shown:
            group = self.columns[i].group
            if spans and spans[-1][0] == group:
                spans[-1] = (group, spans[-1][1] + 1)
            else:
                spans.append((group, 1))
        return spans

    def to_csv(self) -> str:
        """Return the values as CSV, at full precision; what is absent is empty."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([key for column in self.columns for key in column.keys])
        for row in self.rows:
            writer.writerow(["" if value is None else value for cell in row for value in cell.values])
        return buffer.getvalue()

    def to_markdown(self) -> str:
        """Return the table as GitHub's Markdown, with its caption and notes."""
        titles = [_full_title(column) for column in self.columns]
        lines = [f"**{self.caption}**", "", _pipe(titles)]
        lines.append("|" + "|".join("---" if column.text else "---:" for column in self.columns) + "|")
        lines += [_pipe([cell.line for cell in row]) for row in self.rows]
        lines += [f"\n{note}" for note in self.notes]
        return "\n".join(lines) + "\n"

    def to_latex(self) -> str:
        """Return the table as a LaTeX table that needs the package booktabs."""
        align = "".join("l" if self.columns[i].text else "r" for i in self.shown)
        lines = [r"\begin{table}", rf"\caption{{{_tex(self.caption)}}}", rf"\begin{{tabular}}{{{align}}}", r"\toprule"]
        if len(self.spans) > 1:
            spans = [rf"\multicolumn{{{count}}}{{c}}{{{_tex(title)}}}" for title, count in self.spans]
            lines.append(" & ".join(spans) + r" \\")
        lines.append(" & ".join(_tex(self.columns[i].title) for i in self.shown) + r" \\")
        for group in self.groups:
            lines.append(r"\midrule")
            if group.title:
                lines.append(rf"\multicolumn{{{len(self.shown)}}}{{l}}{{{_tex(group.title)}}} \\")
            lines += [" & ".join(_tex(row[i].line) for i in self.shown) + r" \\" for row in group.rows]
        lines += [r"\bottomrule", r"\end{tabular}", *(rf"\par\small {_tex(note)}" for note in self.notes)]
        return "\n".join([*lines, r"\end{table}"]) + "\n"


def _full_title(column: Column) -> str:
    return f"{column.title}, {column.group[0].lower()}{column.group[1:]}" if column.group else column.title


def _pipe(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", r"\|") for text in texts) + " |"


def _tex(text: str) -> str:
    special = {
        **{sign: "\\" + sign for sign in "&%$#_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
        **{"±": r"$\pm$", "−": "$-$", "×": r"$\times$", "Δ": r"$\Delta$", "<": "$<$", "–": "--", "—": "---"},
        **{"ψ": r"$\psi$", "→": r"$\rightarrow$", "≥": r"$\geq$", "’": "'"},
    }
    return re.sub(r"[&%$#_{}\\~^±−×Δ<–—ψ→≥’]", lambda match: special[match[0]], text)


def number(value: float, digits: int, *, sign: bool = False) -> str:
    """Return a number for readers, with a true minus sign; a value that rounds to zero has no sign."""
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def p_value(value: float | None) -> str:
    """Return a p-value as text; a dash where there is none."""
    return p_text(value, "–")


def empty(keys: int) -> Cell:
    """Return a cell for something that was not measured."""
    return Cell("–", (None,) * keys)
