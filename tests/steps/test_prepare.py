"""`usgan prepare` without a terminal: options to settings, skipping, and what contradicts itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from calls import prepare
from tiny_data import noise_folders

from usgan_cli.cli import run
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.images import codec
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.terminal.session import Session


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(Workspace(tmp_path / "work"), Silent())


def settings(session: Session) -> dict[str, object]:
    found: dict[str, object] = json.loads((session.workspace.data / "run.json").read_text())["run"]["settings"]
    return found


def test_made_once_and_skipped(session: Session, tmp_path: Path) -> None:
    source = noise_folders(tmp_path / "source", dict.fromkeys(["a", "b, c"], 6))
    assert prepare(session, source=source, size=16, test=4).status == "done"
    assert prepare(session, source=source, size=16, test=4).status == "skipped"
    assert (settings(session)["split"], settings(session)["test"], settings(session)["format"]) == ("new", 4, "folders")
    with pytest.raises(SettingsError, match="fit is 'stretch' there and 'crop' now"):
        prepare(session, source=source, size=16, test=4, fit="crop")
    with pytest.raises(SettingsError, match="classes"):
        prepare(session, source=source, size=16, test=4, classes='"b, c", a')
    codec.write_png(source / "a" / "7.png", np.zeros((1, 24, 24), np.uint8))
    with pytest.raises(SettingsError, match="input 'source' has changed"):
        prepare(session, source=source, size=16, test=4)


def test_the_workspace_may_lie_in_the_source(tmp_path: Path) -> None:
    source = noise_folders(tmp_path / "source", dict.fromkeys(["a", "b"], 6))
    inside = Session(Workspace(source / "work"), Silent())
    assert prepare(inside, source=source, size=16, test=4).status == "done"
    noise_folders(source / "work" / "synthetic", dict.fromkeys(["a"], 6))
    assert prepare(inside, source=source, size=16, test=4).status == "skipped"


def test_the_own_split_and_a_test_size_contradict_each_other(session: Session, tmp_path: Path) -> None:
    source = noise_folders(tmp_path / "source", dict.fromkeys(["train/a", "train/b", "test/a", "test/b"], 3))
    with pytest.raises(SettingsError, match="comes with its own split") as caught:
        prepare(session, source=source, size=16, test=4)
    assert "--split new" in str(caught.value.hint)
    done = prepare(session, source=source, size=16)
    assert done.result["test"] == {"a": 3, "b": 3}
    assert (settings(session)["split"], settings(session)["test"]) == ("own", None)
    assert prepare(session, source=source, size=16, seed=5).status == "skipped"  # the seed decides nothing
    again = prepare(session, source=source, size=16, test=4, split="new", out=tmp_path / "new")
    assert again.result["test"] == {"a": 2, "b": 2}
    with pytest.raises(SettingsError, match="comes with no split"):
        prepare(session, source=noise_folders(tmp_path / "plain", dict.fromkeys(["a", "b"], 6)), split="own")


def test_groups_are_an_input(session: Session, tmp_path: Path) -> None:
    source = noise_folders(tmp_path / "source", dict.fromkeys(["a", "b"], 6))
    groups = tmp_path / "groups.csv"
    groups.write_text("path,group\n" + "".join(f"{c}/{i}.png,{c}{i // 2}\n" for c in "ab" for i in range(6)))
    assert prepare(session, source=source, size=16, test=4, groups=str(groups)).status == "done"
    assert prepare(session, source=source, size=16, test=4, groups=str(groups)).status == "skipped"
    groups.write_text(groups.read_text().replace("a/1.png,a0", "a/1.png,a1"))
    with pytest.raises(SettingsError, match="input 'groups' has changed"):
        prepare(session, source=source, size=16, test=4, groups=str(groups))


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": 2},
        {"test": "many"},
        {"fit": "squash"},
        {"split": "old"},
        {"frames": "last"},
        {"format": "tar"},
        {"classes": "a,,b"},
        {"classes": "a,d"},
        {"class_level": 3},
        {"groups": "folder"},
    ],
)
def test_impossible_options_are_refused(session: Session, tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        prepare(session, source=noise_folders(tmp_path / "source", dict.fromkeys(["a", "b"], 6)), **wrong)
    assert not session.workspace.data.exists()


@pytest.mark.parametrize("content", [b"", b"x", None])
def test_simulated_images_that_are_not_as_they_were_made_are_refused(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phantoms, work = tmp_path / "phantoms", ["--work", str(tmp_path / "work")]
    assert run(["phantom", str(phantoms), "--count", "12", "--size", "16", *work]) == 0
    image = sorted(phantoms.glob("benign/*.png"))[0]
    image.unlink()
    if content is not None:
        image.write_bytes(content)
    capsys.readouterr()
    assert run(["prepare", str(phantoms), "--size", "16", "--test", "4", *work]) == 1
    assert image.name in " ".join(capsys.readouterr().err.split())
