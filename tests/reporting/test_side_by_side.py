"""Two studies side by side: what differs is named, and what must not be compared is said."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from damage import rewrite
from study_records import write_study

from usgan_cli.cli import run
from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.score import ScoreRecord
from usgan_cli.core.store.document import PlanDocument
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.reading import collect
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


def test_settings_of_trainings_that_differ_are_named(study: Workspace, tmp_path: Path) -> None:
    """Also those that no published protocol mentions."""
    changed = write_study(tmp_path / "changed")
    for path in changed.root.glob("classifiers/*/*/result.json"):
        record = ClassifierRecord.read(path)
        settings = record.settings.model_copy(update={"epochs": 99, "training": record.settings.training | {"lr": 0.5}})
        rewrite(path, record.model_copy(update={"settings": settings}))
    for path in changed.root.glob("gans/ada-*/config.json"):
        plan = PlanDocument.read(path)
        plan.model_copy(update={"settings": plan.settings | {"ada_target": 0.123}}).write(path)
    rows = {row["setting"]: row for row in settings_table(side("a", study), side("b", changed)).to_records()}
    assert rows["classifiers: epochs"]["second"] == "99"
    assert rows["classifiers: lr"]["second"] == "0.5"
    assert rows["StyleGAN2 + ADA: ada_target"]["second"] == "0.123"


def test_comparisons_with_another_control_do_not_stand_beside_one_another(study: Workspace) -> None:
    one, two = side("a", study), side("b", study)
    first, *rest = two.verdicts.each
    another = dataclasses.replace(first, effect=first.effect.model_copy(update={"against": "classical-x1"}))
    other = dataclasses.replace(two.verdicts, each=[another, *rest])
    rows = [
        row
        for row in verdicts_table(one, dataclasses.replace(two, verdicts=other)).to_records()
        if row["n"] == first.n and row["training"] == first.training
    ]
    assert sorted((row["against"], row["verdict_1"] is None, row["verdict_2"] is None) for row in rows) == sorted(
        [(first.against, False, True), (another.against, True, False)]
    )


def test_what_only_one_study_has_leaves_the_other_s_place_empty(study: Workspace, other: Workspace) -> None:
    rows = {(row["n"], row["gan"]): row for row in quality_table(side("a", study), side("b", other)).to_records()}
    assert rows[100, "StyleGAN2 + ADA"]["fd_1"] is not None
    assert rows[100, "StyleGAN2 + ADA"]["fd_2"] is None
    assert rows[40, "StyleGAN2 + ADA"]["fd_1"] is not None


def test_scores_that_were_measured_in_different_ways_are_called_incomparable(
    study: Workspace, other: Workspace
) -> None:
    table = quality_table(side("a", study), side("b", other))
    notes = " ".join(table.notes)
    assert "StyleGAN2 + ADA at n = 40 must not be compared, so that of b is left out: measured with ssim_pairs" in notes
    row = next(one for one in table.to_records() if (one["n"], one["gan"]) == (40, "StyleGAN2 + ADA"))
    assert row["fd_1"] is not None
    assert row["fd_2"] is None


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
