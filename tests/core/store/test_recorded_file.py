"""A binary file with its record beside it lives as every other artefact does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.recorded_file import FileRecord, making_recorded_file, record_path
from usgan_cli.core.store.step import Request, Step

STEP = Step("draw", 1, {"size": 4}, {"gan": "g"})


def make(path: Path, step: Step = STEP, text: str = "picture", **changes: Any) -> tuple[str, dict[str, Any]]:
    with making_recorded_file(path, step, Request(Silent(), **changes)) as making:
        if making.needed:
            making.place.write_text(text)
            making.about = {"length": len(text)}
    assert making.outcome.path == path
    return making.outcome.status, making.outcome.result


def test_it_is_made_once_and_says_how(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.png"
    assert make(path) == ("done", {"length": 7})
    record = FileRecord.read(record_path(path))
    assert (record.file, record.about) == ("a.png", {"length": 7})
    assert record.run is not None
    assert record.run.settings == {"size": 4}
    assert make(path, text="another") == ("skipped", {"length": 7})
    assert path.read_text() == "picture"
    assert sorted(p.name for p in path.parent.iterdir() if not p.name.endswith(".lock")) == ["a.png", "a.png.json"]


def test_other_settings_are_refused_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    make(path)
    other = Step("draw", 1, {"size": 5}, {"gan": "g"})
    with pytest.raises(SettingsError, match="size is 4 there and 5 now"):
        make(path, other)
    assert make(path, other, "new", force=True)[0] == "done"
    assert path.read_text() == "new"
    with pytest.raises(SettingsError, match="made by usgan draw"):
        make(path, Step("paint", 1, {}), force=True)


def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.png"
    assert make(path, dry_run=True)[0] == "planned"
    assert not path.parent.exists()


def test_what_usgan_did_not_make_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("mine")
    for force in (False, True):
        with pytest.raises(SettingsError, match="not made by usgan"):
            make(path, force=force)
    assert path.read_text() == "mine"
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(SettingsError, match="not made by usgan"):
        make(tmp_path / "folder.png")


def test_a_file_that_is_gone_is_made_again_and_a_changed_one_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    make(path)
    path.write_text("edited")
    with pytest.raises(DataError, match="is not the file that was recorded"):
        make(path)
    path.unlink()
    assert make(path)[0] == "done"
    assert path.read_text() == "picture"


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError), making_recorded_file(tmp_path / "a.png", STEP, Request(Silent())) as making:
        making.place.write_text("half")
        raise DataError("no")
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == []
