"""The house rules of commands and steps: declarations alone in one, no settings hidden in closures in the other."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from calls import prepare, subsample
from tiny_data import noise_folders

import usgan_cli
from usgan_cli import cli
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.terminal.session import Session

PACKAGE = Path(usgan_cli.__file__).parent
MOST_FRAMES = 6
"""Of the program's own, between the shell and the training loop."""


def functions(folder: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for path in sorted((PACKAGE / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                yield f"{folder}/{path.name}: {node.name}", node


def test_commands_hold_declarations_alone() -> None:
    assert [name for name, _ in functions("commands")] == []


def test_steps_have_no_functions_or_imports_inside_functions() -> None:
    inner = (ast.FunctionDef, ast.Lambda, ast.Import, ast.ImportFrom)
    wrong = [
        name
        for name, function in functions("steps")
        for node in ast.walk(function)
        if node is not function and isinstance(node, inner)
    ]
    assert not wrong
    assert len(list(functions("steps"))) > 50


def test_the_training_loop_is_a_few_calls_from_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(Workspace(tmp_path / "work"), Silent())
    prepare(session, source=noise_folders(tmp_path / "source", dict.fromkeys(["a", "b"], 8)), size=16, test=4)
    subsample(session, n=[6])
    stacks: list[list[str]] = []

    def look(*_: object) -> None:
        own = [f for f in traceback.extract_stack() if Path(f.filename).is_relative_to(PACKAGE)]
        stacks.append([f"{Path(f.filename).name}: {f.name}" for f in own])
        raise KeyboardInterrupt

    monkeypatch.setattr("usgan_cli.gan.train.iterate", look)
    words = ["train-gan", "--aug", "none", "--n", "6", "--preset", "tiny", "--batch", "4", "--device", "cpu", "--quiet"]
    assert cli.run([*words, "--work", str(session.workspace.root)]) == 130
    *way, loop = stacks[0]
    assert loop == "train.py: train"
    assert way[0] == "cli.py: run"
    assert len(way) <= MOST_FRAMES, way
