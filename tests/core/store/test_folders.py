"""A folder is replaced whole: at every moment the old artefact or the new one is there, or comes back."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.store import folders
from usgan_cli.core.store.document import PlanDocument


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def record(folder: Path) -> Path:
    """Put the record of an artefact into a folder."""
    PlanDocument(command="score", revision=1, settings={}, inputs={}).write(folder / PlanDocument.FILE)
    return folder


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "made"
    with folders.published_folder(path) as folder:
        (folder / "a").write_text("1")
        assert not path.exists()
    with folders.published_folder(path) as folder:
        assert names(folder) == []
        (folder / "b").write_text("2")
        assert names(path) == ["a"]
    assert names(path) == ["b"]
    assert names(tmp_path) == ["made"]


def test_a_folder_that_fails_leaves_the_old_one_and_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "made"
    with folders.published_folder(path) as folder:
        (folder / "a").write_text("1")
    with pytest.raises(KeyboardInterrupt), folders.published_folder(path) as folder:
        (folder / "b").write_text("2")
        raise KeyboardInterrupt
    assert names(path) == ["a"]
    assert names(tmp_path) == ["made"]


def test_a_folder_that_cannot_take_its_name_gives_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "made"
    with folders.published_folder(path) as folder:
        (folder / "a").write_text("1")
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise PermissionError(13, "Permission denied", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError), folders.published_folder(path) as folder:
        (folder / "b").write_text("2")
    assert names(path) == ["a"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), SystemExit(143), OSError(errno.ENOSPC, "No space left")])
def test_an_interruption_between_the_two_renames_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    path = tmp_path / "made"
    with folders.published_folder(path) as folder:
        (folder / "a").write_text("1")
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        renamed = rename(self, target)
        if self == path:
            raise failure
        return renamed

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(type(failure)), folders.published_folder(path) as folder:
        (folder / "b").write_text("2")
    assert names(path) == ["a"]
    assert names(tmp_path) == ["made"]


def test_what_a_killed_process_set_aside_comes_back_and_what_it_half_made_goes(tmp_path: Path) -> None:
    path = tmp_path / "made"
    (tmp_path / ".made.partial").mkdir()
    (tmp_path / ".made.partial" / "junk").write_text("junk")
    record(tmp_path / ".made.old")
    with pytest.raises(KeyboardInterrupt), folders.published_folder(path) as folder:
        assert names(folder) == []
        raise KeyboardInterrupt
    assert names(path) == [PlanDocument.FILE]
    assert names(tmp_path) == ["made"]


def test_what_was_replaced_goes(tmp_path: Path) -> None:
    path = tmp_path / "made"
    record(tmp_path / ".made.old")
    path.mkdir()
    (path / "a").write_text("1")
    with folders.published_folder(path) as folder:
        (folder / "b").write_text("2")
    assert names(path) == ["b"]
    assert names(tmp_path) == ["made"]


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_of_a_person_is_not_taken_for_one_that_was_set_aside(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "made"
    if there:
        path.mkdir()
    (tmp_path / ".made.old").mkdir()
    (tmp_path / ".made.old" / "notes.txt").write_text("mine")
    with pytest.raises(SettingsError, match=r"\.made\.old is in the way"), folders.published_folder(path):
        pass
    folders.put_back(path)
    assert names(tmp_path / ".made.old") == ["notes.txt"]
    assert path.exists() == there


def test_removing_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "a").write_text("1")
    (tmp_path / "link").symlink_to(tmp_path / "big")
    folders.discard(tmp_path / "link")
    folders.discard(tmp_path / "absent")
    assert names(tmp_path) == ["big"]
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "link").symlink_to(tmp_path / "big")
    folders.discard(tmp_path / "made")
    assert names(tmp_path / "big") == ["a"]
