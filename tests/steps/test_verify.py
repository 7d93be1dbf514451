"""`usgan verify` looks at every split of a study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from calls import prepare, subsample
from tiny_data import noise_folders

from usgan_cli.cli import run
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.terminal.session import Session


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    """A workspace with a further split."""
    source = noise_folders(tmp_path / "source", {"a": 10, "b": 10}, size=16)
    work = Workspace(tmp_path / "work")
    for seed, one in enumerate((work, work.split(1))):
        prepare(Session(one, Silent()), source=source, size=16, test=8, seed=seed)
        subsample(Session(one, Silent()), n=[8])
    return work


def test_the_artefacts_of_further_splits_are_checked_and_counted(
    work: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", str(work.root)]) == 0
    assert "4 artefacts (2 in 1 further split), nothing damaged" in " ".join(capsys.readouterr().err.split())
    image = sorted((work.split(1).data / "images").rglob("*.png"))[0]
    image.write_bytes(b"another")
    assert run(["verify", str(work.root)]) == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert "1 damaged of 4 artefacts (2 in 1 further split)" in shown
    assert run(["verify", str(work.root), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(one["state"], Path(one["path"])) for one in found["findings"]] == [("damaged", image)]


def test_what_is_out_of_date_in_a_further_split_is_found(
    work: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = Session(work.split(1), Silent(), force=True)
    prepare(split, source=tmp_path / "source", size=16, test=6, seed=1)
    assert run(["verify", str(work.root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["state"], Path(one["path"])) for one in found["findings"]] == [
        ("out of date", work.split(1).subset(8, 0))
    ]


def test_a_further_splits_artefacts_are_named_once(work: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    subset = work.split(1).subset(8, 0)
    subset.write_text(subset.read_text().replace('"n": 8', '"n": 9'))
    assert run(["verify", str(work.root), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [one["path"] for one in found["findings"]] == [str(subset)]
    assert found["artefacts"] == 4
