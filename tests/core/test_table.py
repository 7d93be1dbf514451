"""One declaration of columns gives every form of a table."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from usgan_cli.core.formats.measured import Measured
from usgan_cli.core.table import AdjustedP, Cell, Column, Interval, PValue, Spread, Table, Words


@dataclass(frozen=True)
class Row:
    name: str
    f1: Measured | None
    gain: float | None
    bounds: tuple[float, float] | None
    p: float | None


COLUMNS = [
    Words[Row]("Set", "set", lambda row: row.name),
    Spread[Row]("F1 %", "f1", lambda row: row.f1, 1, 100, group="Score"),
    Interval[Row]("Gain", "gain", lambda row: (row.gain, row.bounds), 1, 100, group="Score", sign=True),
    PValue[Row]("p", "p", lambda row: row.p, shown=False),
    AdjustedP[Row]("p (Holm)", "p_holm", lambda row: row.p),
    Column[Row]("Seeds", "seeds", lambda row: Cell("two & more", (2,))),
]
FULL = Row("50 % | ada", Measured(mean=0.5, sd=0.015, count=5), 0.04, (-0.012, 0.1), 0.004)
ABSENT = Row("real", None, None, None, None)
TABLE = Table.of("t", "A & B", COLUMNS, [("n = 100", [FULL]), ("n = 50", []), ("", [ABSENT])], ["A note."])


def test_a_heading_without_rows_is_left_out() -> None:
    assert [(group.title, len(group.rows)) for group in TABLE.groups] == [("n = 100", 1), ("", 1)]


def test_csv_has_every_value_at_full_precision() -> None:
    first, second = csv.DictReader(io.StringIO(TABLE.to_csv()))
    assert first == {
        "set": "50 % | ada",
        "f1": "50.0",
        "f1_sd": "1.5",
        "gain": "4.0",
        "gain_low": "-1.2",
        "gain_high": "10.0",
        "p": "0.004",
        "p_holm": "0.004",
        "seeds": "2",
    }
    assert {key for key, value in second.items() if value == ""} == set(first) - {"set", "seeds"}


def test_markdown_shows_every_column_and_escapes_bars() -> None:
    lines = TABLE.to_markdown().splitlines()
    assert lines[2] == "| Set | F1 %, score | Gain, score | p | p (Holm) | Seeds |"
    assert lines[3] == "|---|---:|---:|---:|---:|---:|"
    assert lines[4] == r"| 50 % \| ada | 50.0 ± 1.5 | +4.0 [−1.2, 10.0] | 0.004 | 0.004 ** | two & more |"
    assert lines[5] == "| real | – | – | – | – | two & more |"
    assert lines[-1] == "A note."


def test_latex_shows_what_the_page_shows_with_headings_over_columns() -> None:
    text = TABLE.to_latex()
    assert TABLE.spans == [("", 1), ("Score", 2), ("", 2)]
    assert r"\caption{A \& B}" in text
    assert r"\begin{tabular}{lrrrr}" in text
    assert r"\multicolumn{1}{c}{} & \multicolumn{2}{c}{Score} & \multicolumn{2}{c}{} \\" in text
    assert r"50 \% | ada & 50.0 $\pm$ 1.5 & +4.0 [$-$1.2, 10.0] & 0.004 ** & two \& more \\" in text
