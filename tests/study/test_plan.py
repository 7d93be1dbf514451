"""A study's plan is the commands a person would type, each after those whose artefacts it needs."""

from __future__ import annotations

import inspect
import shlex
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer

from usgan_cli import cli
from usgan_cli.commands.study import STEPS
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.study.config import (
    SHIPPED,
    ClassifierTable,
    DataTable,
    GanTable,
    GenerateTable,
    ScoreTable,
    StudyConfig,
    load_study,
)
from usgan_cli.study.plan import PlannedStep, plan_study

WORK = Workspace(Path("some work"))
SHARED = {"force", "refresh", "dry_run", "json", "quiet"}


def study(**changes: Any) -> StudyConfig:
    body: dict[str, Any] = {
        "name": "mine",
        "grid": {"sizes": [20, 10], "gans": ["none", "ada"], "seeds": [0, 1], "ratios": [0.5, 1.0]},
    }
    return StudyConfig.model_validate(body | changes)


@pytest.mark.parametrize("config", [study(), *(load_study(name) for name in SHIPPED)], ids=lambda config: config.name)
def test_every_step_finds_what_it_needs(config: StudyConfig) -> None:
    made: set[Path] = set()
    for step in plan_study(config, WORK):
        assert set(step.needs) <= made, step
        assert step.writes not in made, step
        made.add(step.writes)


def test_the_grid_is_crossed_in_full() -> None:
    steps = plan_study(study(), WORK)
    count = {name: sum(step.command == name for step in steps) for name in STEPS}
    assert count == {
        "phantom": 1,
        "prepare": 1,
        "subsample": 4,
        "train-gan": 8,
        "generate": 8,
        "score": 8,
        "train-cls": 4 * (1 + 2 * 2),
        "ttest": 4 + 2,
        "report": 1,
    }
    assert [steps[0].command, steps[1].command, steps[-1].command] == ["phantom", "prepare", "report"]


def test_a_comparison_needs_the_classifiers_of_its_subset_alone() -> None:
    steps = plan_study(study(), WORK)
    ttest = next(s for s in steps if s.command == "ttest" and s.options == {"n": 10, "seed": 1})
    names = ["ada-x0.5", "ada-x1", "none-x0.5", "none-x1", "real"]
    assert sorted(path.name for path in ttest.needs) == names
    assert {path.parent.name for path in ttest.needs} == {"n10-s1"}


def test_every_size_gets_as_many_generated_images_as_it_is_scored_on() -> None:
    config = study(score={"count": 15}, grid={"sizes": [20, 10, 4], "gans": ["ada"], "ratios": [0.5, 1.5]})
    counts = {s.options["n"]: s.options["count"] for s in plan_study(config, WORK) if s.command == "generate"}
    assert counts == {20: 30, 10: 15, 4: 15}


def test_real_images_take_the_place_of_phantoms() -> None:
    steps = plan_study(study(data={"source": "my images", "test": 7}), WORK)
    assert steps[0].command == "prepare"
    assert "phantom" not in {step.command for step in steps}
    line = steps[0].line(WORK)
    assert line.startswith("usgan prepare 'my images' ")
    assert "--test 7 " in line


@pytest.mark.parametrize("config", [study(), *(load_study(name) for name in SHIPPED)], ids=lambda config: config.name)
def test_a_line_typed_in_a_shell_gives_the_options_of_the_step(config: StudyConfig) -> None:
    group: Any = typer.main.get_command(cli.app)
    for step in plan_study(config, WORK):
        program, name, *words = shlex.split(step.line(WORK))
        assert program == "usgan"
        parsed = group.commands[name].make_context(name, words).params
        assert Path(parsed.pop("work")) == WORK.root
        parameters = inspect.signature(STEPS[name]).parameters
        for option, value in step.options.items():
            assert option in parameters, f"{name} has no option {option}"
            if value is not None:
                wanted = Path(value) if isinstance(parsed[option], Path) else value
                found = list(parsed[option]) if isinstance(value, list) else parsed[option]
                assert found == wanted, f"{name} {option}"
        # What the study leaves out has the command's own default.
        for option in parsed.keys() - step.options.keys() - SHARED:
            default = parameters[option].default
            # An option that may be given several times is an empty tuple where it is not given.
            assert (parsed[option] or None) in (default or None, None), option


@pytest.mark.parametrize(
    ("table", "command"),
    [
        (DataTable, "prepare"),
        (GanTable, "train-gan"),
        (GenerateTable, "generate"),
        (ScoreTable, "score"),
        (ClassifierTable, "train-cls"),
    ],
)
def test_a_setting_that_is_left_out_of_the_file_has_the_command_s_default(table: type[Any], command: str) -> None:
    parameters = inspect.signature(STEPS[command]).parameters
    for name, field in table.model_fields.items():
        if name in {"source", "phantom_count", "test", "count"}:  # always on the command line
            continue
        assert name in parameters, f"{command} has no option {name}"
        default = parameters[name].default
        # None in the file leaves the option out; any other value there must be what leaving the option out means.
        assert field.default in (None, default), name


@pytest.mark.parametrize("command", STEPS)
def test_a_default_is_written_as_the_command_line_reads_it(command: str) -> None:
    """Trap: a whole number where a fraction is meant gives other bytes when called from Python."""
    function = STEPS[command]
    kinds = get_type_hints(function, localns={"Outcome": Any})
    for name, parameter in inspect.signature(function).parameters.items():
        if kinds[name] in (float, float | None) and parameter.default not in (inspect.Parameter.empty, None):
            assert type(parameter.default) is float, name


def test_repeats_are_also_compared_together() -> None:
    steps = [s for s in plan_study(study(), WORK) if s.command == "ttest" and "seeds" in s.options]
    assert [s.options for s in steps] == [{"n": 20, "seeds": [0, 1]}, {"n": 10, "seeds": [0, 1]}]
    assert steps[0].writes == WORK.ttest(20, 0, 1)
    assert len(steps[0].needs) == 2 * (1 + 2 * 2)
    assert "--seeds 0 --seeds 1" in steps[0].line(WORK)


def test_numbers_come_back_exactly() -> None:
    step = PlannedStep("train-gan", {"lr": 0.00123456789, "kimg": 25000.0, "fd_every": 0.0, "ratio": 0.5}, Path("x"))
    words = step.arguments(WORK)
    assert words == [
        *("train-gan", "--lr", "0.00123456789", "--kimg", "25000", "--fd-every", "0", "--ratio", "0.5"),
        *("--work", "some work"),
    ]


def test_flags_and_absent_options() -> None:
    step = PlannedStep("train-cls", {"n": 5, "aug": None, "freeze": True, "mirror": False}, Path("x"))
    assert step.arguments(WORK) == ["train-cls", "--n", "5", "--freeze", "--work", "some work"]
