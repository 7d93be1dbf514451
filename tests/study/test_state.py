"""Where steps stand follows from what their own commands would do, and from the steps before them."""

from __future__ import annotations

from pathlib import Path

from usgan_cli.commands.common import StepOptions
from usgan_cli.core.errors import MissingError, SettingsError, UsganError
from usgan_cli.core.store.document import PlanDocument
from usgan_cli.core.store.step import Outcome
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.study.config import parse_study
from usgan_cli.study.plan import PlannedStep, plan_study
from usgan_cli.study.state import StepState, find_states, missing_steps, to_do


class Make(StepOptions):
    COMMAND = "make"


def planned(path: Path, *changes: str, begun: bool = False) -> Outcome:
    return Outcome(path, "planned", {}, changes, begun)


def states(tmp_path: Path, answers: dict[str, Outcome | UsganError], there: set[str]) -> list[StepState]:
    """A chain a <- b <- c, and d; each answers its dry run with the given outcome."""
    for name in there:
        (tmp_path / name).mkdir()
    a, b, c, d = (tmp_path / name for name in "abcd")
    steps = [
        PlannedStep(Make(), a),
        PlannedStep(Make(), b, (a,)),
        PlannedStep(Make(), c, (b,)),
        PlannedStep(Make(), d),
    ]

    def check(step: PlannedStep) -> Outcome:
        answer = answers[step.writes.name]
        if isinstance(answer, UsganError):
            raise answer
        return answer

    for name in there:
        PlanDocument(command="make", revision=1, settings={}, inputs={}).write(tmp_path / name / PlanDocument.FILE)
    return find_states(steps, check)


def skipped(name: str) -> Outcome:
    return Outcome(Path(name), "skipped", {})


def test_everything_up_to_date_is_done(tmp_path: Path) -> None:
    found = states(tmp_path, {name: skipped(name) for name in "abcd"}, set("abcd"))
    assert [state.name for state in found] == ["done"] * 4
    assert to_do(found) == {"done": 4}


def test_a_changed_setting_is_stale_and_what_needs_it_follows(tmp_path: Path) -> None:
    answers = {name: skipped(name) for name in "abcd"} | {"a": planned(tmp_path / "a", "lr is 1 there and 2 now")}
    found = states(tmp_path, answers, set("abcd"))
    assert [state.name for state in found] == ["stale", "follows", "follows", "done"]
    assert found[0].why == "lr is 1 there and 2 now"
    assert "a is still to be made" in found[1].why
    assert to_do(found) == {"done": 1, "stale": 1, "follows": 2}


def test_a_step_with_changes_of_its_own_is_stale_whatever_comes_before_it(tmp_path: Path) -> None:
    answers = {name: skipped(name) for name in "abcd"}
    answers |= {"a": planned(tmp_path / "a", "x"), "c": planned(tmp_path / "c", "y")}
    assert [state.name for state in states(tmp_path, answers, set("abcd"))] == ["stale", "follows", "stale", "done"]


def test_an_input_that_is_still_to_be_made_is_no_change_yet(tmp_path: Path) -> None:
    answers = {name: skipped(name) for name in "abcd"} | {"a": planned(tmp_path / "a")}
    answers["b"] = planned(tmp_path / "b", "its input 'a' has changed since")
    answers["c"] = planned(tmp_path / "c", "its input 'b' has changed since", "lr is 1 there and 2 now")
    assert [state.name for state in states(tmp_path, answers, set("bcd"))] == ["missing", "follows", "stale", "done"]


def test_what_is_not_there_is_missing_and_what_was_begun_unfinished(tmp_path: Path) -> None:
    answers: dict[str, Outcome | UsganError] = {
        "a": planned(tmp_path / "a", begun=True),
        "b": MissingError("there is no a"),
        "c": MissingError("there is no b"),
        "d": planned(tmp_path / "d"),
    }
    assert [state.name for state in states(tmp_path, answers, {"a"})] == ["unfinished", "missing", "missing", "missing"]


def test_a_deleted_artefact_in_the_middle_leaves_what_came_after_it(tmp_path: Path) -> None:
    answers: dict[str, Outcome | UsganError] = {
        "a": skipped("a"),
        "b": planned(tmp_path / "b"),
        "c": MissingError("there is no b"),
        "d": skipped("d"),
    }
    assert [state.name for state in states(tmp_path, answers, set("acd"))] == ["done", "missing", "follows", "done"]


def test_a_refusal_that_no_other_step_can_mend_is_told_at_once(tmp_path: Path) -> None:
    answers: dict[str, Outcome | UsganError] = {name: skipped(name) for name in "abc"}
    answers["d"] = SettingsError("lr must be greater than 0.", "Raise it.")
    found = states(tmp_path, answers, set("abc"))
    assert found[3] == StepState("impossible", "lr must be greater than 0. Raise it.")


def test_an_unreadable_artefact_is_named(tmp_path: Path) -> None:
    answers: dict[str, Outcome | UsganError] = {name: skipped(name) for name in "abcd"}
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "run.json").write_text('{"format": "usgan/run", "version": 99}')
    found = states(tmp_path, answers, set("abc"))
    assert found[3].name == "impossible"
    assert "version 99" in found[3].why


def test_asking_anew_makes_again_what_is_there(tmp_path: Path) -> None:
    answers = {name: planned(tmp_path / name) for name in "abcd"}
    assert [state.name for state in states(tmp_path, answers, set("abcd"))] == ["stale"] * 4


def test_what_a_study_lacks_is_named_without_the_place_of_its_workspace(tmp_path: Path) -> None:
    config = parse_study(
        {"name": "mine", "grid": {"sizes": [8], "gans": ["ada"], "seeds": [0]}, "classifier": {"controls": []}}
    )
    workspace = Workspace(tmp_path)
    everything = missing_steps(config, workspace)
    assert [step.command for step in everything] == [step.command for step in plan_study(config, workspace)[:-1]]
    assert not any(str(tmp_path) in step.line for step in everything)
    workspace.subset(8, 0).parent.mkdir()
    workspace.subset(8, 0).write_text("{}")
    for name in ("run.json", "config.json"):
        folder = workspace.gan("ada", 8, 0) if name == "run.json" else workspace.classifier(8, 0)
        folder.mkdir(parents=True)
        (folder / name).write_text("{}")
    lacking = [step.command for step in missing_steps(config, workspace)]
    assert "subsample" not in lacking and "train-gan" not in lacking, "the folder has a run.json: it is finished"
    assert lacking.count("train-cls") == 2, "one was begun, the other not"
