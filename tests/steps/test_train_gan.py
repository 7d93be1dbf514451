"""The way from the command to the training loop."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from usgan_cli import cli
from usgan_cli.gan import train


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
