"""A plan is carried out in order; after a failure nothing that needs what is missing is begun."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from usgan_cli.core.errors import DataError, UsganError
from usgan_cli.core.progress import Silent
from usgan_cli.core.workspace import Workspace
from usgan_cli.study.driver import StepFailedError, run_plan
from usgan_cli.study.plan import PlannedStep

WORK = Workspace(Path("w"))
A, B, C, D = (Path(name) for name in "abcd")
STEPS = [
    PlannedStep("make", {"name": "a", "left_out": None}, A),
    PlannedStep("make", {"name": "b"}, B, (A,)),
    PlannedStep("make", {"name": "c"}, C, (B,)),
    PlannedStep("make", {"name": "d"}, D, (A,)),
]


def maker(seen: list[dict[str, Any]], broken: set[str], error: Exception | None = None) -> Callable[..., None]:
    def make(**options: Any) -> None:
        seen.append(options)
        if options["name"] in broken:
            raise error or DataError(f"no good: {options['name']}", "mend it so")

    return make


def test_steps_run_in_order_with_the_options_that_are_given() -> None:
    seen: list[dict[str, Any]] = []
    progress = Silent()
    run_plan(STEPS, {"make": maker(seen, set())}, WORK, progress)
    assert seen == [{"name": name} for name in "abcd"]
    assert progress.notes[0] == "[1/4] usgan make --name a --work w"
    assert not progress.warnings


def test_a_failure_ends_the_study_with_its_command_and_the_next_move() -> None:
    seen: list[dict[str, Any]] = []
    with pytest.raises(StepFailedError) as caught:
        run_plan(STEPS, {"make": maker(seen, {"b"})}, WORK, Silent())
    assert [options["name"] for options in seen] == ["a", "b"]
    for words in ("usgan make --name b --work w", "no good: b", "mend it so"):
        assert words in str(caught.value)


def test_going_on_leaves_out_what_needs_the_missing() -> None:
    seen: list[dict[str, Any]] = []
    progress = Silent()
    with pytest.raises(StepFailedError, match="no good: b"):
        run_plan(STEPS, {"make": maker(seen, {"b"})}, WORK, progress, keep_going=True)
    assert [options["name"] for options in seen] == ["a", "b", "d"]
    assert "left out: usgan make --name c" in progress.warnings[-1]
    assert "it needs b" in progress.warnings[-1]


def test_what_is_missing_spreads_along_the_chain_and_the_first_failure_is_told() -> None:
    seen: list[dict[str, Any]] = []
    progress = Silent()
    with pytest.raises(StepFailedError, match="no good: a"):
        run_plan(STEPS, {"make": maker(seen, {"a", "b"})}, WORK, progress, keep_going=True)
    assert [options["name"] for options in seen] == ["a"]
    assert len(progress.warnings) == 4


def test_a_failure_without_a_hint_gets_one() -> None:
    with pytest.raises(StepFailedError, match="run the same study again"):
        run_plan(STEPS, {"make": maker([], {"a"}, UsganError("bare"))}, WORK, Silent())


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt()])
def test_bugs_and_interruptions_are_not_swallowed(error: Exception) -> None:
    seen: list[dict[str, Any]] = []
    with pytest.raises(type(error)):
        run_plan(STEPS, {"make": maker(seen, {"b"}, error)}, WORK, Silent(), keep_going=True)
    assert len(seen) == 2
