"""Every step of a plan stands once in the grid, in the row of its subset and the column of its GAN."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from usgan_cli.core.store.workspace import Workspace
from usgan_cli.study.config import parse_study
from usgan_cli.study.estimate import Estimator
from usgan_cli.study.grid import MARKS, WORDS, make_grid
from usgan_cli.study.plan import plan_study
from usgan_cli.study.state import StepState
from usgan_cli.terminal.live import StudyTerminal, grid_parts

GRID = {"sizes": [20, 10], "gans": ["none", "ada"], "seeds": [0, 1], "ratios": [0.5, 1.0]}
CONFIG = parse_study({"name": "mine", "grid": GRID})
STEPS = plan_study(CONFIG, Workspace(Path("w")))


def test_every_step_stands_in_the_grid_once() -> None:
    grid = make_grid(STEPS)
    cells = [cell for row in grid.rows for cell in row.cells] + [cell for _, cell in grid.shared]
    assert sorted(i for cell in cells for i in cell) == list(range(len(STEPS)))
    assert grid.columns == ("real", "none", "ada", "t-test")
    assert [row.name for row in grid.rows] == ["n20-s0", "n10-s0", "n20-s1", "n10-s1"]
    assert [name for name, _ in grid.shared] == ["phantom", "prepare", "subsets", "over repeats", "report"]
    assert grid.legend == ("GAN", "images", "score", "F1 x0.5", "F1 x1", "F1 x1 shuffled")


def test_a_step_stands_with_its_own_subset_and_gan() -> None:
    grid = make_grid(STEPS)
    for row in grid.rows:
        for column, cell in zip(grid.columns, row.cells, strict=True):
            for i in cell:
                n, seed = STEPS[i].subset or (0, 0)
                assert row.name == f"n{n}-s{seed}"
                assert column in {STEPS[i].aug, "real" if STEPS[i].aug is None else "", "t-test"}


def test_marks_differ_without_colour() -> None:
    drawn = {MARKS[name] for name in MARKS if name != "impossible"}
    assert len(drawn) == len(MARKS) - 1
    assert set(WORDS) == set(MARKS)


def drawn(states: list[str]) -> str:
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(*grid_parts(make_grid(STEPS), states), sep="\n")
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_grid_is_drawn_with_its_legend() -> None:
    states = ["missing"] * len(STEPS)
    train = next(i for i, step in enumerate(STEPS) if step.command == "train-gan")
    states[train] = "running"
    text = drawn(states)
    (line,) = [line for line in text.splitlines() if line.startswith("n20-s0")]
    assert line.split() == ["n20-s0", "·····", "▶·····", "······", "·"]
    assert "▶ running" in text
    assert "· to make" in text
    assert "done" not in text


def test_without_a_terminal_each_step_is_followed_by_what_is_left(capsys) -> None:
    estimator = Estimator()
    terminal = StudyTerminal("mine", STEPS, [StepState("missing")] * len(STEPS), estimator, set(range(len(STEPS))))
    with terminal.shown():
        train = next(i for i, step in enumerate(STEPS) if step.command == "train-gan")
        terminal.moved(train, "running")
        terminal.moved(train, "done", 60)
    said = capsys.readouterr().err
    assert f"done in 1 min 00 s; 1 of {len(STEPS)} steps done\n" in said  # most of what is left is not known yet
    for i in range(train + 1, len(STEPS)):
        if STEPS[i].command != "train-gan":
            terminal.moved(i, "done", 1)
    trainings = sum(step.command == "train-gan" for step in STEPS)
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"about {trainings - 1} min 0" in said


def test_the_estimate_learns_from_whole_steps_alone() -> None:
    trainings = [i for i, step in enumerate(STEPS) if step.command == "train-gan"]
    states = [StepState("missing")] * len(STEPS)
    states[trainings[1]] = StepState("unfinished")
    estimator = Estimator()
    terminal = StudyTerminal("mine", STEPS, states, estimator, set(range(len(STEPS))))
    terminal.moved(trainings[0], "done", 3600)
    last = estimator.seconds(STEPS[trainings[-1]])
    assert last == pytest.approx(3600)
    terminal.moved(trainings[1], "done", 60)  # the rest of one that was begun before
    terminal.kept(STEPS[trainings[2]])
    terminal.moved(trainings[2], "done", 0.03)
    assert estimator.seconds(STEPS[trainings[-1]]) == last
