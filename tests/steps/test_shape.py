"""The house rules of commands and steps: declarations alone in one, no settings hidden in closures in the other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import usgan_cli

PACKAGE = Path(usgan_cli.__file__).parent


def functions(folder: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for path in sorted((PACKAGE / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                yield f"{folder}/{path.name}: {node.name}", node


def test_commands_hold_declarations_alone() -> None:
    assert [name for name, _ in functions("commands")] == []


LATER = {"usgan_cli.steps.timing", "usgan_cli.steps.study_run"}
"""Modules that load torch, which planning a study does without."""


def test_steps_have_no_functions_or_imports_inside_functions() -> None:
    inner = (ast.FunctionDef, ast.Import, ast.ImportFrom)
    found = [
        (name, node)
        for name, function in functions("steps")
        for node in ast.walk(function)
        if node is not function and isinstance(node, inner)
    ]
    assert not [name for name, node in found if not (isinstance(node, ast.ImportFrom) and node.module in LATER)]
    assert {node.module for _, node in found if isinstance(node, ast.ImportFrom)} == LATER
    assert len(list(functions("steps"))) > 50
