"""A plan is carried out in order; after a failure nothing that needs what is missing is begun."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from usgan_cli.commands.common import StepOptions
from usgan_cli.commands.prepare import Prepare
from usgan_cli.commands.report import Report
from usgan_cli.commands.score import Score
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.errors import DataError, SettingsError, UsganError
from usgan_cli.core.options import option
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.study.plan import PlannedStep
from usgan_cli.study.run import StepFailedError, run_plan, select_steps
from usgan_cli.study.state import StepState

WORK = Workspace(Path("w"))
A, B, C, D = (Path(name) for name in "abcd")


class Make(StepOptions):
    COMMAND = "make"

    name: str = option("What is made.")


STEPS = [
    PlannedStep(Make(name="a", work=WORK.root), A),
    PlannedStep(Make(name="b", work=WORK.root), B, (A,)),
    PlannedStep(Make(name="c", work=WORK.root), C, (B,)),
    PlannedStep(Make(name="d", work=WORK.root), D, (A,)),
]
MISSING = [StepState("missing")] * 4


class Watching(Silent):
    """Keeps the events of the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.moves: list[tuple[int, str]] = []

    def moved(self, index: int, state: str, seconds: float = 0) -> None:
        assert seconds >= 0
        self.moves.append((index, state))


def maker(seen: list[str], broken: set[str], error: BaseException | None = None) -> Callable[[PlannedStep], None]:
    def make(step: PlannedStep) -> None:
        assert isinstance(step.options, Make)
        seen.append(step.options.name)
        if step.options.name in broken:
            raise error or DataError(f"no good: {step.options.name}", "the next move")

    return make


def test_steps_run_in_order_with_the_options_that_are_given() -> None:
    seen: list[str] = []
    watching = Watching()
    run_plan(STEPS, MISSING, maker(seen, set()), watching)
    assert seen == ["a", "b", "c", "d"]
    assert watching.notes[0] == "[1/4] usgan make --name a --work w"
    assert watching.moves == [(i, state) for i in range(4) for state in ("running", "done")]
    assert not watching.warnings


def test_what_is_done_or_not_asked_for_is_left_alone() -> None:
    seen: list[str] = []
    states = [StepState("done"), StepState("stale"), StepState("follows"), StepState("unfinished")]
    run_plan(STEPS, states, maker(seen, set()), Watching())
    assert seen == ["b", "c", "d"]
    seen.clear()
    run_plan(STEPS, states, maker(seen, set()), Watching(), chosen={0, 3})
    assert seen == ["d"]


def test_a_failure_ends_the_study_with_its_command_and_the_next_move() -> None:
    seen: list[str] = []
    watching = Watching()
    with pytest.raises(StepFailedError) as caught:
        run_plan(STEPS, MISSING, maker(seen, {"b"}), watching)
    assert seen == ["a", "b"]
    assert watching.moves[-1] == (1, "failed")
    for words in ("usgan make --name b --work w", "no good: b", "the next move"):
        assert words in str(caught.value)


def test_going_on_leaves_out_what_needs_the_missing() -> None:
    seen: list[str] = []
    watching = Watching()
    with pytest.raises(StepFailedError, match="no good: b"):
        run_plan(STEPS, MISSING, maker(seen, {"b"}), watching, keep_going=True)
    assert seen == ["a", "b", "d"]
    assert (2, "left out") in watching.moves
    assert "left out: usgan make --name c" in watching.warnings[-1]
    assert "it needs b" in watching.warnings[-1]


def test_what_is_missing_spreads_along_the_chain_and_the_first_failure_is_told() -> None:
    seen: list[str] = []
    watching = Watching()
    with pytest.raises(StepFailedError, match="no good: a"):
        run_plan(STEPS, MISSING, maker(seen, {"a", "b"}), watching, keep_going=True)
    assert seen == ["a"]
    assert len(watching.warnings) == 4


def test_a_failure_without_a_hint_gets_one() -> None:
    with pytest.raises(StepFailedError, match="run the same study again"):
        run_plan(STEPS, MISSING, maker([], {"a"}, UsganError("bare")), Watching())


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt()])
def test_bugs_and_interruptions_are_not_swallowed(error: BaseException) -> None:
    seen: list[str] = []
    with pytest.raises(type(error)):
        run_plan(STEPS, MISSING, maker(seen, {"b"}, error), Watching(), keep_going=True)
    assert len(seen) == 2


PLAN = [
    PlannedStep(Prepare(source=Path("s"), work=WORK.root), WORK.data),
    PlannedStep(TrainClassifier(n=100, work=WORK.root), WORK.classifier(100, 0), (WORK.data,)),
    PlannedStep(TrainGan(aug="ada", n=100, work=WORK.root), WORK.gan("ada", 100, 0), (WORK.data,)),
    PlannedStep(Score(work=WORK.root), WORK.score("ada-n100-s0"), (WORK.data,)),
    PlannedStep(TrainGan(aug="ada", n=50, work=WORK.root), WORK.gan("ada", 50, 0), (WORK.data,)),
    PlannedStep(Score(work=WORK.root), WORK.score("ada-n50-s0"), (WORK.data,)),
    PlannedStep(Report(work=WORK.root), WORK.report),
]


@pytest.mark.parametrize(
    ("only", "begin", "chosen"),
    [
        ([], None, {0, 1, 2, 3, 4, 5, 6}),
        (["score"], None, {3, 5}),
        (["ada-n100-s0"], None, {2, 3}),
        (["gans/ada-n100-s0"], None, {2}),
        (["*n50*", "report"], None, {4, 5, 6}),
        ([], "score", {1, 3, 5, 6}),  # a baseline is trained before the first GAN, and builds on nothing but data
        ([], "train-cls", {1, 6}),
        (["*n50*"], "score", {5}),
    ],
)
def test_steps_are_chosen_by_command_artefact_and_pattern(only: list[str], begin: str | None, chosen: set[int]) -> None:
    assert select_steps(PLAN, only, begin) == chosen


@pytest.mark.parametrize(
    ("only", "begin", "words"),
    [
        (["scor"], None, "No step of the study is called 'scor'"),
        ([], "scor", "no step 'scor' to begin from"),
        (["prepare"], "score", "Nothing is left"),
    ],
)
def test_a_choice_of_nothing_is_refused(only: list[str], begin: str | None, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        select_steps(PLAN, only, begin)
