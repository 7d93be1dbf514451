"""Two studies side by side: what differs is named, and what must not be compared is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from study_records import write_study

from usgan_cli.cli import run
from usgan_cli.core.formats.score import ScoreRecord
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.records import collect
from usgan_cli.reporting.side_by_side import Side, quality_table, settings_table, verdicts_table
from usgan_cli.reporting.verdict import Analysis, judge_study


def side(name: str, workspace: Workspace) -> Side:
    study = Study.of(collect(workspace))
    return Side(name, study, judge_study(study, Analysis()))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A study of one size, whose scores were measured with other pairs."""
    workspace = write_study(tmp_path_factory.mktemp("other"), sizes=(40,))
    for path in (workspace.root / "scores").glob("*.json"):
        record = ScoreRecord.read(path)
        settings = record.settings.model_copy(update={"ssim_pairs": record.settings.ssim_pairs + 1})
        record.model_copy(update={"settings": settings}).write(path)
    return workspace


def test_a_study_beside_itself_has_no_setting_that_differs(study: Workspace) -> None:
    one = side("a", study)
    assert settings_table(one, one).rows == []
    assert "same settings" in settings_table(one, one).notes[0]
    assert not any("must not be compared" in note for note in quality_table(one, one).notes)
    for row in verdicts_table(one, one).to_records():
        assert row["difference_1"] == row["difference_2"]
        assert row["verdict_1"] == row["verdict_2"]


def test_what_only_one_study_has_leaves_the_other_s_place_empty(study: Workspace, other: Workspace) -> None:
    rows = {(row["n"], row["gan"]): row for row in quality_table(side("a", study), side("b", other)).to_records()}
    assert rows[100, "StyleGAN2 + ADA"]["fd_1"] is not None
    assert rows[100, "StyleGAN2 + ADA"]["fd_2"] is None
    assert rows[40, "StyleGAN2 + ADA"]["fd_2"] is not None


def test_scores_that_were_measured_in_different_ways_are_called_incomparable(
    study: Workspace, other: Workspace
) -> None:
    notes = " ".join(quality_table(side("a", study), side("b", other)).notes)
    assert "StyleGAN2 + ADA at n = 40 must not be compared: measured with ssim_pairs" in notes


def test_the_command_shows_writes_and_answers_in_json(
    study: Workspace, other: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "two.md"
    assert run(["compare", str(study.root), str(other.root), "--markdown", str(target)]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    assert "**Image quality**" in target.read_text()
    assert run(["compare", str(study.root), str(other.root), "--json"]) == 0
    (artefact,) = json.loads(capsys.readouterr().out)["artefacts"]
    assert {row["gan"] for row in artefact["result"]["quality"]} >= {"StyleGAN2 + ADA"}


@pytest.mark.parametrize("names", [("same", "same"), ("same", "absent")])
def test_one_workspace_twice_or_an_empty_one_is_refused(
    study: Workspace, names: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [str(study.root) if name == "same" else str(tmp_path / name) for name in names]
    assert run(["compare", *places]) == 1
    assert "Traceback" not in capsys.readouterr().err
