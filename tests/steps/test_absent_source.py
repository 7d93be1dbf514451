"""A study whose images are elsewhere, or no longer there, goes on with its prepared dataset."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from calls import prepare
from tiny_data import noise_folders

from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.steps.study import states_of
from usgan_cli.study.config import StudyConfig, parse_study
from usgan_cli.study.document import claim_workspace, read_study
from usgan_cli.study.plan import plan_study
from usgan_cli.study.state import StepState
from usgan_cli.terminal.session import Session

MADE: dict[str, Any] = {"size": 16, "test": 6}


def study(source: Path, **data: Any) -> StudyConfig:
    grid = {"sizes": [8], "gans": ["none"], "seeds": [0]}
    return parse_study({"name": "mine", "grid": grid, "data": {"source": str(source), **MADE, **data}})


def state_of_data(work: Workspace, config: StudyConfig, **session: Any) -> StepState:
    return states_of(Session(work, Silent(), **session), plan_study(config, work))[0]


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    """A workspace with a prepared dataset."""
    source = noise_folders(tmp_path / "scans", {"a": 10, "b": 10}, size=16)
    work = Workspace(tmp_path / "work")
    prepare(Session(work, Silent()), source=source, **MADE)
    return work


def test_a_dataset_is_done_without_its_source(work: Workspace, tmp_path: Path) -> None:
    config = study(tmp_path / "scans")
    assert state_of_data(work, config) == StepState("done")
    shutil.rmtree(tmp_path / "scans")
    state = state_of_data(work, config)
    assert state.done
    assert "scans is not there" in state.why
    assert state_of_data(work, config, force=True).name == "impossible"


@pytest.mark.parametrize(
    "changed",
    [
        {"size": 32},
        {"test": 8},
        {"seed": 1},
        {"fit": "pad"},
        {"groups": "folder"},
        {"split": "own"},
        {"format": "zip"},
        {"classes": "b,a"},
    ],
)
def test_a_dataset_with_other_settings_needs_its_source(
    work: Workspace, tmp_path: Path, changed: dict[str, Any]
) -> None:
    shutil.rmtree(tmp_path / "scans")
    assert state_of_data(work, study(tmp_path / "scans", **changed)).name == "impossible"


def test_a_datasets_own_split_is_kept_without_its_source(tmp_path: Path) -> None:
    source = noise_folders(tmp_path / "scans", dict.fromkeys(["train/a", "train/b", "test/a", "test/b"], 4), size=16)
    work = Workspace(tmp_path / "work")
    prepare(Session(work, Silent()), source=source, size=16)
    shutil.rmtree(source)
    grid = {"sizes": [8], "gans": ["none"], "seeds": [0]}
    own = {"name": "mine", "grid": grid, "data": {"source": str(source), "size": 16}}
    assert state_of_data(work, parse_study(own)).done
    new = own | {"data": {"source": str(source), "size": 16, "split": "new"}}
    assert state_of_data(work, parse_study(new)).name == "impossible"
    assert state_of_data(work, study(source)).name == "impossible", "--test contradicts the split"


def test_a_relative_source_means_the_same_from_another_folder(
    work: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = study(Path("scans"), external=["clinic=other/images"], groups="none")
    claim_workspace(Workspace(Path("work")), config, force=False)
    assert read_study(Workspace(Path("work"))) == config
    assert str(tmp_path) not in Path("work/study.json").read_text()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    there = read_study(work)
    assert there.data.source == Path("../scans")
    assert there.data.source.is_dir()
    assert there.data.external == ("clinic=images",)
    assert there.data.groups == "none"
