"""The README says what the program does: every command, every option, and examples that parse."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
import typer

from usgan_cli.cli import app

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def examples() -> list[str]:
    """Every `usgan ...` in a code block or span, pipes taken apart."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    spans = [" ".join(span.split()) for span in re.findall(r"`(usgan [^`]+)`", README)]
    found = [part.strip() for line in lines + spans for part in re.split(r"[|>]", line)]
    return [part for part in found if part.startswith("usgan ") and "..." not in part]


def test_option_tables_are_up_to_date() -> None:
    module = runpy.run_path(str(ROOT / "scripts" / "update_readme.py"), run_name="update_readme")
    assert module["updated"](README) == README, "run: python scripts/update_readme.py"


def test_there_are_examples_of_every_step() -> None:
    used = {shlex.split(example)[1] for example in examples()}
    assert used >= set(COMMANDS) - {"phantom"}


@pytest.mark.parametrize("example", sorted(set(examples())))
def test_examples_parse(example: str) -> None:
    _, name, *arguments = shlex.split(example)
    # A `-` would be read from standard input while parsing; any path will do here.
    arguments = ["somewhere" if word == "-" else word for word in arguments]
    with COMMANDS[name].make_context(name, arguments) as context:
        assert context.command.name == name


def test_scripts_named_in_the_readme_exist() -> None:
    scripts = re.findall(r"scripts/[\w/]+\.(?:sh|py)", README)
    assert {"scripts/demo.sh", "scripts/test.sh"} <= set(scripts)
    for script in scripts:
        assert (ROOT / script).is_file(), script


def described() -> dict[str, set[str]]:
    """The words that the README's tree has for each folder of the package."""
    tree = README.split("## The tree", 1)[1].split("```")[1].split("\ntests/", 1)[0]
    words: dict[str, set[str]] = {}
    parent = folder = "."
    for line in tree.splitlines()[2:]:
        if found := re.match(r"  (  )?(\w+)/ ", line):
            parent = parent if found[1] else found[2]
            folder = f"{parent}/{found[2]}" if found[1] else parent
        words.setdefault(folder, set()).update(re.findall(r"\w+", line))
    return words


def test_the_tree_names_every_module() -> None:
    package, words = ROOT / "usgan_cli", described()
    words["steps"] |= words["commands"]  # "under the same names"
    modules = [path.relative_to(package) for path in sorted(package.rglob("*.py")) if not path.stem.startswith("__")]
    absent = [str(path) for path in modules if path.stem not in words.get(path.parent.as_posix(), ())]
    assert absent == [], "add them to the README's tree"
