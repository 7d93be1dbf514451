"""A table's columns say how a row becomes a cell; its writers say the same in CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import pytest

from usgan_cli.core.table import AdjustedP, Cell, Column, Interval, PValue, Spread, Table, Words, csv_text, plain_text


@dataclass
class Value:
    mean: float
    sd: float | None


@dataclass
class Row:
    name: str = "a & b"
    f1: Value | None = None
    gain: tuple[float | None, tuple[float, float] | None] | None = None
    p: float | None = None


COLUMNS: list[Column[Row]] = [
    Column("n", "n", lambda _: 7, shown=False),
    Words("Name", "name", lambda row: row.name),
    Spread("F1, %", "f1", lambda row: row.f1, 2, 100, group="Ours"),
    Interval("Δ", "gain", lambda row: row.gain, 1, 100, group="Ours", sign=True),
    PValue("p", "p", lambda row: row.p),
    AdjustedP("p, Holm", "p_holm", lambda row: row.p),
]
FULL = Row(f1=Value(0.81254, 0.0321), gain=(-0.0004, (-0.01, 0.012)), p=0.0004)


def table(*rows: Row) -> Table:
    return Table.of("t", "Caption, 5 %", COLUMNS, [("Empty", []), ("Under_line", rows)], ["A note."])


def cells(row: Row) -> list[str]:
    return [cell.line for cell in table(row).rows[0]]


def test_each_kind_of_column_shows_its_value() -> None:
    assert cells(FULL) == ["7", "a & b", "81.25 ± 3.21", "0.0 [−1.0, 1.2]", "< 0.001", "< 0.001 ***"]
    assert cells(Row(gain=(0.02, None), f1=Value(0.5, None), p=0.2))[2:] == ["50.00", "+2.0", "0.200", "0.200"]


def test_what_was_not_measured_is_a_dash_and_an_empty_value() -> None:
    for row in (Row(), Row(gain=(None, None))):
        assert cells(row)[2:] == ["–"] * 4
        assert table(row).rows[0][3].values == (None, None, None)


def test_csv_has_every_value_at_full_precision() -> None:
    (row,) = csv.DictReader(io.StringIO(table(FULL).to_csv()))
    assert list(row) == ["n", "name", "f1", "f1_sd", "gain", "gain_low", "gain_high", "p", "p_holm"]
    assert float(row["f1"]) == 100 * 0.81254 and float(row["gain_low"]) == -1.0 and row["p"] == "0.0004"
    (row,) = csv.DictReader(io.StringIO(table(Row()).to_csv()))
    assert [row[key] for key in ("f1", "f1_sd", "gain_low", "p")] == [""] * 4


def test_headings_without_rows_are_left_out() -> None:
    assert [group.title for group in table(FULL).groups] == ["Under_line"]
    assert table().groups == []


def test_a_cell_can_show_one_thing_and_hold_others() -> None:
    columns: list[Column[int]] = [
        Words("Set", "", lambda i: Cell("both", (i, i + 1)), endings=("first", "second")),
    ]
    assert Table.of("t", "", columns, [("", [3])]).to_csv() == "first,second\n3,4\n"


def test_markdown_and_latex_say_the_same() -> None:
    markdown, latex = table(FULL).to_markdown(), table(FULL).to_latex()
    assert "| n | Name | F1, %, ours | Δ, ours | p | p, Holm |\n|---:|---|---:|---:|---:|---:|\n" in markdown
    assert "| 7 | a & b | 81.25 ± 3.21 | 0.0 [−1.0, 1.2] | < 0.001 | < 0.001 *** |" in markdown
    assert r"\multicolumn{1}{c}{} & \multicolumn{2}{c}{Ours} & \multicolumn{2}{c}{} \\" in latex
    assert r"Name & F1, \% & $\Delta$ & p & p, Holm \\" in latex, "hidden columns are left out"
    assert r"a \& b & 81.25 $\pm$ 3.21 & 0.0 [$-$1.0, 1.2] & $<$ 0.001 & $<$ 0.001 *** \\" in latex
    assert r"\multicolumn{5}{l}{Under\_line}" in latex and r"\caption{Caption, 5 \%}" in latex


def test_brief_markdown_has_what_a_page_shows_under_its_headings() -> None:
    markdown = table(FULL).to_markdown(brief=True)
    assert "| **Under_line** | | | | |" in markdown
    assert "| a & b | 81.25 ± 3.21 |" in markdown and "| n |" not in markdown


HOSTILE = ["=1+1", "+1", "-1", "@x", "\t=1", "'=1", "''", "<b>x</b>", "&lt;", "`x`", "[x](y)", "*x*", "[red]"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_spreadsheet_computes_no_name(name: str) -> None:
    (row,) = csv.DictReader(io.StringIO(table(Row(name)).to_csv(), newline=""))
    assert not row["name"].startswith(tuple("=+-@\t\r"))
    assert plain_text(row["name"]) == name
    assert csv_text(f"\r{name}").startswith("'\r")


def test_negative_numbers_stay_numbers() -> None:
    (row,) = csv.DictReader(io.StringIO(table(Row(gain=(-0.5, None))).to_csv()))
    assert float(row["gain"]) == -50


@pytest.mark.parametrize(
    ("name", "markdown"),
    [
        ("<script>x</script>", r"\<script>x\</script>"),
        ("&lt;b", r"\&lt;b"),
        ("![x](http://y)", r"![x\](http://y)"),
        ("`x`", r"\`x\`"),
        ("***x***", r"\*\*\*x\*\*\*"),
        ("_x_ y_z", r"\_x\_ y_z"),
        ("a|b\nc", r"a\|b c"),
    ],
)
def test_markdown_reads_no_name_as_markup(name: str, markdown: str) -> None:
    assert f"| 7 | {markdown} |" in table(Row(name)).to_markdown()


@pytest.mark.parametrize(
    ("name", "latex"),
    [
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("$x$ & 50 %", r"\$x\$ \& 50 \%"),
        ("[red]", "{}[red]"),
        ("*", "{}*"),
        ("a > b | c", r"a $>$ b \textbar{} c"),
        ("^_~#", r"\textasciicircum{}\_\textasciitilde{}\#"),
        ("a\n\nb", "a  b"),
    ],
)
def test_latex_carries_out_no_name(name: str, latex: str) -> None:
    assert f"\\midrule\n\\multicolumn{{5}}{{l}}{{Under\\_line}} \\\\\n{latex} &" in table(Row(name)).to_latex()


def test_a_spreadsheet_computes_no_column_s_name() -> None:
    columns: list[Column[int]] = [Column(name, name, lambda i: i) for name in HOSTILE]
    head, _ = csv.reader(io.StringIO(Table.of("t", "", columns, [("", [3])]).to_csv()))
    assert [plain_text(cell) for cell in head] == HOSTILE
    assert not [cell for cell in head if cell.startswith(tuple("=+-@\t\r"))]


@pytest.mark.parametrize(
    ("group", "title"),
    [
        ("As close to a test image", "GAN, as close to a test image"),
        ("AUC", "GAN, AUC"),
        ("McNemar, by image", "GAN, McNemar, by image"),
        ("", "GAN"),
        ("GAN", "GAN"),
    ],
)
def test_a_heading_behind_a_title_begins_small_unless_it_is_a_name(group: str, title: str) -> None:
    assert Column("GAN", "gan", lambda _: 1.0, group=group).full_title == title
