"""`usgan train-gan` as one of several processes that a launcher such as torchrun has started."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from processes import usgan
from tiny_workspace import N, new_workspace

from usgan_cli.core.formats.generator import latest_state

SETTINGS = ["--preset", "tiny", "--kimg", "0.032", "--batch", "8", "--channel-base", "128", "--device", "cpu"]


def launch(work: Path, *options: str) -> list[tuple[int | None, str, str]]:
    """Start two processes with torchrun's variables; return exit status, output and messages of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = ["train-gan", "--aug", "ada", "--n", str(N), "--work", str(work), *SETTINGS, *options]
    processes = [usgan(*command, env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(2)]
    told = [process.communicate() for process in processes]
    return [(process.returncode, *said) for process, said in zip(processes, told, strict=True)]


@pytest.mark.slow
def test_one_of_the_processes_decides_writes_and_speaks(tmp_path: Path) -> None:
    work = new_workspace(tmp_path)
    (status, out, said), (other_status, other_out, other_said) = launch(work.root)
    folder = work.gan("ada", N, 0)
    assert (status, other_status) == (0, 0), said + other_said
    assert (out, other_out) == (f"{folder}\n", "")
    state = latest_state(folder / "checkpoint")
    assert state is not None
    assert state.images == 32
    assert json.loads((folder / "run.json").read_text())["run"]["command"] == "train-gan"

    (status, out, said), (other_status, other_out, _) = launch(work.root, "--lr", "1")
    assert (status, other_status, out, other_out) == (1, 0, "", "")
    assert "lr is 0.0025 there and 1.0 now" in said
