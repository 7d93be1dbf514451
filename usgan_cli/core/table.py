"""A table declared once, by its columns, and written as CSV, Markdown, LaTeX or (by a template) HTML."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Generic, TypeVar

from usgan_cli.core.text import DASH, number, p_value, stars

Value = float | int | str | None
FORMULA = tuple("=+-@\t\r'")
"""Beginnings of a text that a spreadsheet would compute, and of one that is marked not to be."""
R_contra = TypeVar("R_contra", contravariant=True)

TEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {
        "±": r"$\pm$",
        "−": "$-$",
        "×": r"$\times$",
        "Δ": r"$\Delta$",
        "<": "$<$",
        ">": "$>$",
        "|": r"\textbar{}",
        "–": "--",
        "—": "---",
    }
    | {"ψ": r"$\psi$", "→": r"$\rightarrow$", "≥": r"$\geq$", "’": "'"}
)
"""LaTeX for signs that it reads as commands, or lacks."""


_MARKDOWN = re.compile(
    r"[`\\]|~~|\*+(?=[^\s*])|(?<=[^\s*])\*+"  # code, struck out, emphasis
    r"|(?<![^\W_])_|_(?![^\W_])|<(?=[A-Za-z/!?])|&(?=[#\w]+;)|\](?=[(\[])"  # emphasis, HTML, links
)


@dataclass(frozen=True)
class Cell:
    """What one cell shows, and the values behind it."""

    text: str
    values: tuple[Value, ...]
    small: str = ""
    """Shown below the text in smaller type: an interval."""
    strong: bool = False

    @property
    def line(self) -> str:
        """The whole cell in one line."""
        return f"{self.text} {self.small}".rstrip()


@dataclass(frozen=True)
class Column(Generic[R_contra]):
    """A column of numbers, and the base of the other kinds of column."""

    title: str
    key: str
    """Name of its values in CSV files, before the endings."""
    value: Callable[[R_contra], Any]
    """Takes a row and returns what the kind of column holds, None where it was not measured, or a ready `Cell`."""
    digits: int | None = 0
    """Decimals shown; None for as few as the number needs. CSV files have full precision."""
    scale: float = 1
    """Factor from the record's unit to the table's: 100 for percent."""
    _: KW_ONLY
    group: str = ""
    """Heading over neighbouring columns."""
    shown: bool = True
    """Whether the page and LaTeX show it; CSV and Markdown always do."""
    endings: tuple[str, ...] = ("",)
    """One CSV column a value: `key` + ending."""
    text: ClassVar[bool] = False

    @property
    def full_title(self) -> str:
        """The title with the heading over it."""
        if self.group in {"", self.title}:
            return self.title
        word = self.group.partition(" ")[0]
        # FID, AUC and McNemar stay as they are.
        within = self.group if word[1:] != word[1:].lower() else f"{self.group[0].lower()}{self.group[1:]}"
        return f"{self.title}, {within}"

    def cell(self, row: R_contra) -> Cell:
        """Return the cell of a row; a dash where nothing was measured."""
        value = self.value(row)
        if value is None:
            return Cell(DASH, (None,) * len(self.endings))
        return value if isinstance(value, Cell) else self._format(value)

    def _format(self, value: Any) -> Cell:
        return Cell(number(self.scale * value, self.digits), (self.scale * value,))


@dataclass(frozen=True)
class Words(Column[R_contra]):
    """A column of text."""

    text: ClassVar[bool] = True

    def _format(self, value: Any) -> Cell:
        return Cell(str(value), (value,))


@dataclass(frozen=True)
class Spread(Column[R_contra]):
    """A column of means with standard deviations: values have `mean` and `sd`, which may be None."""

    endings: tuple[str, ...] = ("", "_sd")

    def _format(self, value: Any) -> Cell:
        if value.sd is None:
            return Cell(number(self.scale * value.mean, self.digits), (self.scale * value.mean, None))
        mean, sd = self.scale * value.mean, self.scale * value.sd
        return Cell(f"{number(mean, self.digits)} ± {number(sd, self.digits)}", (mean, sd))


@dataclass(frozen=True)
class Interval(Column[R_contra]):
    """A column of numbers with their intervals: values are (number or None, (low, high) or None)."""

    endings: tuple[str, ...] = ("", "_low", "_high")
    sign: bool = False
    """Whether a plus sign is shown."""

    def _format(self, value: Any) -> Cell:
        middle, bounds = value
        if middle is None:
            return Cell(DASH, (None,) * 3)
        text = number(self.scale * middle, self.digits, sign=self.sign)
        if bounds is None:
            return Cell(text, (self.scale * middle, None, None))
        low, high = (self.scale * bound for bound in bounds)
        small = f"[{number(low, self.digits)}, {number(high, self.digits)}]"
        return Cell(text, (self.scale * middle, low, high), small)


@dataclass(frozen=True)
class PValue(Column[R_contra]):
    """A column of p-values as they are."""

    def _format(self, value: Any) -> Cell:
        return Cell(p_value(value), (value,))


@dataclass(frozen=True)
class AdjustedP(Column[R_contra]):
    """A column of adjusted p-values, the only ones with stars."""

    def _format(self, value: Any) -> Cell:
        mark = stars(value)
        return Cell(f"{p_value(value)} {mark}".rstrip(), (value,), strong=bool(mark))


@dataclass(frozen=True)
class RowGroup:
    """Rows under one heading; "" for none."""

    title: str
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Table:
    """A table with its caption and notes."""

    name: str
    caption: str
    columns: Sequence[Column[Any]]
    groups: list[RowGroup]
    notes: list[str]
    wordy: bool = False
    """Whether its cells are sentences, which the page lets wrap."""

    @classmethod
    def of(
        cls,
        name: str,
        caption: str,
        columns: Sequence[Column[R_contra]],
        groups: Iterable[tuple[str, Iterable[R_contra]]],
        notes: Iterable[str] = (),
        *,
        wordy: bool = False,
    ) -> Table:
        """Return the table of some rows under their headings; headings without rows are left out."""
        filled = [RowGroup(title, [[column.cell(row) for column in columns] for row in rows]) for title, rows in groups]
        return cls(name, caption, columns, [group for group in filled if group.rows], list(notes), wordy)

    @property
    def rows(self) -> list[list[Cell]]:
        """All rows."""
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

    @property
    def keys(self) -> list[str]:
        """Names of all values, in the order of CSV files."""
        return [column.key + ending for column in self.columns for ending in column.endings]

    def to_records(self) -> list[dict[str, Any]]:
        """Return the values of each row by name, at full precision."""
        values = ([value for cell in row for value in cell.values] for row in self.rows)
        return [dict(zip(self.keys, row, strict=True)) for row in values]

    def to_csv(self) -> str:
        """Return the values as CSV, at full precision; what is absent is empty."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(map(csv_text, self.keys))  # classes may be columns
        for row in self.rows:
            values = ("" if value is None else value for cell in row for value in cell.values)
            writer.writerow([csv_text(value) if isinstance(value, str) else value for value in values])
        return buffer.getvalue()

    def to_markdown(self, *, brief: bool = False) -> str:
        """Return the table as GitHub's Markdown, with its caption and notes; `brief` has what a page shows alone."""
        places = list(self.shown if brief else range(len(self.columns)))
        columns = [self.columns[i] for i in places]
        lines = [f"**{_markdown(self.caption)}**", "", _pipe([column.full_title for column in columns])]
        lines.append("|" + "|".join("---" if column.text else "---:" for column in columns) + "|")
        for group in self.groups:
            if brief and group.title:
                lines.append(f"| **{_markdown(group.title)}** |{' |' * (len(columns) - 1)}")
            lines += [_pipe([row[i].line for i in places]) for row in group.rows]
        lines += [f"\n{_markdown(note)}" for note in self.notes]
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


def csv_text(text: str) -> str:
    """Return a text as a spreadsheet shows it: an apostrophe before what it would take for a formula.

    An apostrophe gets one too, so that `plain_text` can take away the first.
    """
    return f"'{text}" if text.startswith(FORMULA) else text


def plain_text(cell: str) -> str:
    """Return the text that `csv_text` has written."""
    return cell.removeprefix("'")


def _pipe(texts: Sequence[str]) -> str:
    return "| " + " | ".join(_markdown(text).replace("|", r"\|") for text in texts) + " |"


def _markdown(text: str) -> str:
    """Return text without what Markdown reads as HTML, code, a link or a picture."""
    # Stars between spaces, as behind a p-value, are only stars.
    text = _MARKDOWN.sub(lambda found: "".join(f"\\{sign}" for sign in found[0]), text)
    return " ".join(text.splitlines())


def _tex(text: str) -> str:
    # What follows \\ in brackets is the height of a gap, and a star there forbids a page break.
    return ("{}" if text.startswith(("[", "*")) else "") + " ".join(text.translate(TEX).splitlines())
