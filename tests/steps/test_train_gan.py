"""The way from the command to the training loop."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
from calls import phantom, prepare, subsample, train_gan

from usgan_cli import cli
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.generator import read_log
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.document import PlanDocument
from usgan_cli.core.store.files import sha256_file
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.gan import train
from usgan_cli.terminal.session import Session


class InTheLoopError(Exception):
    """Raised in place of an iteration."""


def test_the_loop_is_few_calls_below_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = ["--work", str(tmp_path), "--quiet"]
    for words in (
        ["phantom", str(tmp_path / "phantoms"), "--count", "24", "--size", "16"],
        ["prepare", str(tmp_path / "phantoms"), "--size", "16"],
        ["subsample", "--n", "12"],
    ):
        assert cli.run([*words, *work]) == 0

    def iterate(*_: object) -> None:
        raise InTheLoopError

    monkeypatch.setattr(train, "iterate", iterate)
    with pytest.raises(InTheLoopError) as caught:
        cli.run(["train-gan", "--aug", "none", "--n", "12", "--preset", "tiny", "--device", "cpu", *work])
    package = str(Path(cli.__file__).parent)
    ours = [frame.name for frame in traceback.extract_tb(caught.tb) if frame.filename.startswith(package)]
    assert ours[-1] == "train"
    assert len(ours) <= 6, ours


ADA = {"aug": "ada", "n": 12, "preset": "tiny", "batch": 4, "precision": "float32", "device": "cpu"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("ada") / "work")
    session = Session(workspace, Silent())
    phantom(session, out=workspace.root / "phantoms", count=24, size=16)
    prepare(session, source=workspace.root / "phantoms", size=16)
    subsample(session, n=[12])
    return workspace


def trained(workspace: Workspace, name: str, session: Session | None = None, **options: Any) -> dict[str, Any]:
    """Train into a folder of its own; return the settings it recorded and its networks' digest."""
    session = session or Session(workspace, Silent())
    out = workspace.root / name
    train_gan(session, out=out, **(ADA | options))
    return dict(PlanDocument.read(out / "config.json").settings) | {
        "generator": sha256_file(out / "generator.safetensors")
    }


def test_a_longer_training_keeps_adas_speed_and_comes_to_the_same_bytes(prepared: Workspace) -> None:
    progress = Silent()
    first = trained(prepared, "raised", Session(prepared, progress), kimg=0.032)
    assert (first["ada_kimg"], first["ada_kimg_auto"]) == (0.008, True)
    assert any("p can reach 1 by the end at 0.032 kimg" in note for note in progress.notes)

    # Raised twice, so that what was kept is kept again.
    progress = Silent()
    trained(prepared, "raised", Session(prepared, progress), kimg=0.048)
    raised = trained(prepared, "raised", Session(prepared, progress), kimg=0.064)
    assert (raised["kimg"], raised["ada_kimg"], raised["ada_kimg_auto"]) == (0.064, 0.008, True)
    assert any("keeps the speed at which this training began: --ada-kimg 0.008" in note for note in progress.notes)

    in_one_go = trained(prepared, "one", kimg=0.064, ada_kimg=0.008)
    assert raised["generator"] == in_one_go["generator"]
    assert trained(prepared, "fresh", kimg=0.064)["ada_kimg"] == 0.016


def test_another_training_has_a_speed_of_its_own(prepared: Workspace) -> None:
    trained(prepared, "other", kimg=0.016)
    with pytest.raises(SettingsError, match="ada_target"):
        trained(prepared, "other", kimg=0.032, ada_target=0.5)
    refreshed = Session(prepared, Silent(), refresh=True)
    assert trained(prepared, "other", refreshed, kimg=0.032, ada_target=0.5)["ada_kimg"] == 0.008
    forced = Session(prepared, Silent(), force=True)
    assert trained(prepared, "other", forced, kimg=0.016, ada_target=0.5)["ada_kimg"] == 0.004


def test_a_speed_that_was_given_is_not_taken_for_an_automatic_one(prepared: Workspace) -> None:
    trained(prepared, "given", kimg=0.016, ada_kimg=0.01)
    with pytest.raises(SettingsError, match=r"ada_kimg is 0.01 there"):
        trained(prepared, "given", kimg=0.032)


def test_the_start_says_how_far_p_can_go(prepared: Workspace) -> None:
    progress = Silent()
    trained(prepared, "slow", Session(prepared, progress), kimg=0.016, ada_kimg=0.064)
    assert any("p can reach 0.25 by the end at 0.016 kimg" in note for note in progress.notes)
    p = read_log(prepared.root / "slow")[-1].p
    trained(prepared, "slow", Session(prepared, progress), kimg=0.032, ada_kimg=0.064)
    assert any(f"p can reach {p + 0.25:.2g} by the end at 0.032 kimg" in note for note in progress.notes)


def test_a_training_from_other_networks_has_the_published_faster_ada(prepared: Workspace) -> None:
    trained(prepared, "source", kimg=0.016)
    tuned = trained(prepared, "tuned", kimg=0.016, init=prepared.root / "source", preset="tiny")
    assert (tuned["ada_kimg"], tuned["ema_rampup"]) == (0.004, None)
