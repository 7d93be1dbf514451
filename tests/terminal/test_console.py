"""Results go to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time

import pytest

from usgan_cli.core.progress import Pace
from usgan_cli.core.text import duration, on_one_line
from usgan_cli.terminal import console
from usgan_cli.terminal.console import Terminal


def test_paths_and_json_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit_paths(["work/ä", "b"])
    console.emit_json({"a": [1, None], "ä": "ü"})
    console.emit_text("name = 1\n")
    out, err = capsys.readouterr()
    assert out.startswith("work/ä\nb\n{")
    assert json.loads(out[out.index("{") : out.rindex("}") + 1]) == {"a": [1, None], "ä": "ü"}
    assert out.endswith("}\nname = 1\n")
    assert err == ""


def test_everything_else_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.note("a note")
    terminal.warn("a warning")
    terminal.fail("a failure")
    terminal.table("Title", ("name", "value"), [("count", "12"), ("share", "0.5")])
    with terminal.task("work", 3, "images") as task:
        task.advance(loss=0.5)
    out, err = capsys.readouterr()
    assert out == ""
    for words in ("a note\n", "Warning: a warning\n", "Error: a failure\n", "Title", "count", "0.5"):
        assert words in err


def test_no_figure_is_broken_at_80_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    head = ("classifier", "F1 %", "difference [95 %]", "sd seeds / folds", "p", "p Holm", "p corrected")
    row = ("diffaug-x1", "71.51 ± 6.51", "+12.10 [+10.20, +14.10]", "1.22 / 3.33", "< 0.001", "< 0.001 ***", "0.012")
    Terminal().table("Wide", head, [row, row])
    lines = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) <= 80
    for figure in row[1:]:
        assert sum(figure in line for line in lines) == 2 + 2 * (figure == "< 0.001")
    assert sum(line.startswith("diffaug-x1") for line in lines) == 4
    Terminal().table("Words", ("network", "", "needed for"), [("lite0", "here", "many words " * 9)])
    assert sum("lite0" in line for line in capsys.readouterr().err.splitlines()) == 1


def test_quiet_keeps_warnings_and_errors_alone(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(quiet=True)
    terminal.note("a note")
    terminal.table("Title", ("name",), [("x",)])
    with terminal.task("work", 1, "images") as task:
        task.advance()
    terminal.warn("a warning")
    terminal.fail("a failure")
    assert capsys.readouterr().err == "Warning: a warning\nError: a failure\n"


def test_text_is_never_taken_for_markup_or_broken_into_lines(capsys: pytest.CaptureFixture[str]) -> None:
    long = "work/[bold]/" + "very-long-name/" * 20 + "[/nothing]"
    Terminal().note(long)
    Terminal().fail(long)
    assert capsys.readouterr().err == f"{long}\nError: {long}\n"


def test_without_a_terminal_a_line_comes_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Terminal().task("train ada", 100, "kimg", done=20) as task:
        for _ in range(4):
            now[0] += 10
            task.advance(5, r_t=0.123456, where="cpu")
    lines = capsys.readouterr().err.splitlines()
    # After 30 s 15 of 80 kimg are done since the start (not 35): 2 s each, 65 left.
    assert lines[0] == "train ada: 35 of 100 kimg, 2 s each, 2 min 10 s left; r_t 0.123  where cpu"
    assert lines[1:] == ["train ada: 40 kimg in 40 s; r_t 0.123  where cpu"]


def test_the_time_left_is_said_once_a_rate_is_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Terminal().task("train ada", 100, "kimg", done=20) as task:
        now[0] += 40
        task.advance(0)
    assert capsys.readouterr().err.splitlines()[0] == "train ada: 20 of 100 kimg"


SLOWER = Pace(slower_from=60, factor=3)
"""Of 80 units the last 20 take three times as long: in these tests six seconds each, the others two."""


@pytest.mark.parametrize(("start", "done", "left"), [(0, 20, 200), (0, 70, 60), (65, 70, 60), (40, 60, 120)])
def test_the_time_left_counts_slower_units_more(
    start: int, done: int, left: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Terminal().task("train best", 80, "kimg", done=start, pace=SLOWER) as task:
        now[0] += 2 * (min(done, 60) - min(start, 60)) + 6 * (max(done, 60) - max(start, 60))
        task.advance(done - start)
    assert capsys.readouterr().err.splitlines()[0].endswith(f"{duration(left)} left")


@pytest.mark.parametrize(("done", "left"), [(20, 200), (70, 60), (80, None)])
def test_a_bar_counts_slower_units_more(
    done: int, left: int | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    now = [100.0]
    terminal = Terminal()
    terminal.console.get_time = lambda: now[0]  # type: ignore[method-assign, assignment]
    with terminal.task("train best", 80, "kimg", pace=SLOWER) as task:
        for unit in range(done):
            now[0] += 2 if unit < 60 else 6
            task.advance(1)
        capsys.readouterr()
    shown = re.findall(r"[\d ]*(?:min|s)[\d s]* left", capsys.readouterr().err)
    assert [text.strip() for text in shown[-1:]] == ([f"{duration(left)} left"] if left else [])


@pytest.mark.parametrize(("within", "left"), [(100, "1 min 00 s"), (1000, "2 min 40 s"), (10, "0 s")])
def test_the_time_left_is_the_lesser_of_that_by_rate_and_that_to_the_limit(
    within: float, left: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Terminal().task("train ada", 100, "kimg", within=within) as task:
        now[0] += 40
        task.advance(20)
    assert capsys.readouterr().err.splitlines()[0] == f"train ada: 20 of 100 kimg, 2 s each, {left} left"


def test_a_bar_says_the_time_to_the_limit_before_a_rate_is_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with Terminal().task("train ada", 100, "kimg", within=7384):
        pass
    assert "2 h 03 min left" in capsys.readouterr().err
    with Terminal().task("train ada", 100, "kimg"):
        pass
    assert "left" not in capsys.readouterr().err


def test_short_work_is_not_worth_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal().task("quick", 2, "images") as task:
        task.advance(2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (-3, "0 s"), (59.6, "1 min 00 s"), (61, "1 min 01 s"), (7384, "2 h 03 min")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


NAMES = ["[red]", "[/a]", "[bold]x[/bold]", ":smile:", "\x1b[31mred", "a\nb", "a\r\x1b[2Kb", "a\u202eb", "a\udcffb"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_name_is_shown_as_it_is_wherever_it_stands(
    name: str, is_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "200")
    terminal = Terminal()
    written = []
    for show in (
        lambda: terminal.table(f"of {name}", (name, "share"), [(name, "0.5")]),
        lambda: terminal.note(f"note {name}"),
        lambda: terminal.warn(f"warning {name}"),
        lambda: terminal.fail(f"failure {name}"),
    ):
        show()
        written.append(capsys.readouterr().err)
    shown = on_one_line(name)
    assert written[0].count(shown) == 3
    for text in written[1:]:
        lines = [on_one_line(line) for line in name.split("\n")]  # which a message may have
        assert all(line in text for line in lines)
    for text in written:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", text) if is_terminal else text
        assert plain.replace("\n", "").isprintable()
        assert name.count("\x1b") == 0 or "\x1b[2K" not in text


def test_a_bar_shows_a_name_as_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with Terminal().task("make [red] [/a]", 3, "[blue]") as task:
        task.advance(best="[/b]")
    err = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert "make [red] [/a]" in err
    assert "[blue]" in err


def test_a_path_that_is_not_unicode_keeps_its_bytes() -> None:
    code = "import os; from usgan_cli.terminal import console; path = os.fsdecode(b'M\\xfcller'); console.emit_{}"

    def written(call: str) -> bytes:
        return subprocess.run([sys.executable, "-c", code.format(call)], capture_output=True, check=True).stdout

    assert written("paths([path])") == b"M\xfcller\n"
    assert json.loads(written("json({'path': path})")) == {"path": os.fsdecode(b"M\xfcller")}
