"""`usgan clean` removes what it has shown to be out of date, and nothing that has become current meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from calls import call
from tiny_data import noise_folders

from usgan_cli import cli
from usgan_cli.core.progress import Silent
from usgan_cli.core.store import files
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.terminal.session import Session

N = 12


def run(workspace: Workspace, command: str, **options: Any) -> Any:
    return call(command, Session(workspace, Silent(), refresh=True), **options)


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    """A workspace with a subset of a dataset that has been replaced."""
    source = noise_folders(tmp_path / "source", {"a": 14, "b": 14})
    workspace = Workspace(tmp_path / "work")
    run(workspace, "prepare", source=source, size=16, test=10)
    run(workspace, "subsample", n=(N,))
    run(workspace, "prepare", source=source, size=16, test=12)
    return workspace


def clean(work: Workspace, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert cli.run(["clean", str(work.root), "--only", "outdated", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_is_out_of_date_goes(work: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    shown = clean(work, capsys)
    assert (shown["removed"], [one["removed"] for one in shown["items"]]) == (False, [False])
    assert work.subset(N, 0).exists()
    shown = clean(work, capsys, "--yes")
    assert (shown["removed"], [one["removed"] for one in shown["items"]]) == (True, [True])
    assert not work.subset(N, 0).exists()


def test_what_is_out_of_date_in_a_further_split_goes_too(
    work: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split, source = work.split(1), tmp_path / "source"
    run(split, "prepare", source=source, size=16, test=10, seed=1)
    run(split, "subsample", n=(N,))
    assert len(clean(work, capsys)["items"]) == 1
    run(split, "prepare", source=source, size=16, test=12, seed=1)
    shown = clean(work, capsys, "--yes")
    assert {one["path"] for one in shown["items"]} == {str(one.subset(N, 0)) for one in (work, split)}
    assert not split.subset(N, 0).exists()


def test_what_was_made_again_while_the_list_was_made_stays(
    work: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = files.locked

    def late(path: Path, *, wait_s: float = 0) -> Any:
        monkeypatch.setattr(files, "locked", locked)
        run(work, "subsample", n=(N,))
        return locked(path, wait_s=wait_s)

    monkeypatch.setattr(files, "locked", late)
    shown = clean(work, capsys, "--yes")
    assert (shown["removed"], [one["removed"] for one in shown["items"]]) == (False, [False])
    assert work.subset(N, 0).exists()
    assert clean(work, capsys)["items"] == []


def test_what_somebody_is_writing_is_not_called_removed(work: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    with files.locked(work.subset(N, 0)):
        shown = clean(work, capsys, "--yes")
    assert (shown["removed"], [one["removed"] for one in shown["items"]]) == (False, [False])
    assert work.subset(N, 0).exists()


def test_of_an_artefact_that_is_a_link_the_link_goes(
    work: Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = tmp_path / "elsewhere.json"
    work.subset(N, 0).rename(target)
    work.subset(N, 0).symlink_to(target)
    assert clean(work, capsys, "--yes")["removed"]
    assert target.exists() and not work.subset(N, 0).is_symlink()
