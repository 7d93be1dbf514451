"""The documents say what the program does: every option and format, examples that parse, links that lead somewhere."""

from __future__ import annotations

import ast
import inspect
import re
import runpy
import shlex
import textwrap
from pathlib import Path

import pytest
import typer

import usgan_cli as usgan
from usgan_cli.cli import app

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / ".github" / "CONTRIBUTING.md"]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def names(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def examples(document: Path) -> list[str]:
    """Every `usgan ...` in a code block or span, pipes taken apart."""
    blocks = re.findall(r"```sh\n(.*?)```", text(document), re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    spans = [" ".join(span.split()) for span in re.findall(r"`(usgan [^`]+)`", text(document))]
    spans = [span for span in spans if len(span.split()) > 2]  # two words are a command's name
    found = [part.strip() for line in lines + spans for part in re.split(r"[|>]|&&", line)]
    return [part for part in found if part.startswith("usgan ") and "..." not in part]


FOR_DEVELOPERS = {"architecture.md", "style.md", "CONTRIBUTING.md"}
ALL_EXAMPLES = sorted({example for document in DOCUMENTS for example in examples(document)})


def test_reference_pages_are_up_to_date() -> None:
    module = runpy.run_path(str(ROOT / "scripts" / "update_docs.py"), run_name="update_docs")
    for page, content in module["pages"]().items():
        assert content == text(ROOT / "docs" / "reference" / page), f"{page}: run python scripts/update_docs.py"


def test_there_are_examples_of_every_step() -> None:
    used = {shlex.split(example)[1] for example in ALL_EXAMPLES}
    assert used >= set(COMMANDS) - {"phantom"}


@pytest.mark.parametrize("example", ALL_EXAMPLES)
def test_examples_parse(example: str) -> None:
    _, name, *arguments = shlex.split(example)
    # A `-` would be read from standard input while parsing; any path will do here.
    arguments = ["somewhere" if word == "-" else word for word in arguments]
    if not name.startswith("-"):
        with COMMANDS[name].make_context(name, arguments) as context:
            assert context.command.name == name


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_python_examples_call_functions_with_options_that_they_have(document: Path) -> None:
    for block in re.findall(r"^ *```python\n(.*?)```", text(document), re.DOTALL | re.MULTILINE):
        for call in (node for node in ast.walk(ast.parse(textwrap.dedent(block))) if isinstance(node, ast.Call)):
            if ast.unparse(call.func).startswith("usgan."):
                signature = inspect.signature(getattr(usgan, ast.unparse(call.func).removeprefix("usgan.")))
                signature.bind(**{keyword.arg or "": None for keyword in call.keywords})


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_files_folders_and_documents_that_are_named_exist(document: Path) -> None:
    named = re.findall(r"`([\w./]+(?:\.py|\.sh|\.txt|/))", re.sub(r"```.*?```", "", text(document), flags=re.DOTALL))
    named = [name for name in named if name.upper() != name and "NAME" not in name]
    if document.parent.name in ("docs", ".github") and document.name in (
        "architecture.md",
        "CONTRIBUTING.md",
        "style.md",
    ):
        absent = [name for name in named if not any((top / name).exists() for top in (ROOT, ROOT / "usgan_cli"))]
    else:
        absent = [name for name in named if name.startswith("scripts/") and not (ROOT / name).exists()]
    linked = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text(document))
    absent += [name for name in linked if not (document.parent / name).exists()]
    assert absent == []


def test_the_readme_is_short_and_has_the_two_commands() -> None:
    readme = text(ROOT / "README.md")
    assert len(readme.splitlines()) <= 130
    assert {"scripts/demo.sh", "scripts/test.sh"} <= set(re.findall(r"scripts/[\w/]+\.(?:sh|py)", readme))


def test_every_document_is_reached_from_the_site_s_first_page_or_its_index() -> None:
    index = text(ROOT / "docs" / "index.md")
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} - {"index.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()


def test_every_part_of_the_package_is_in_the_architecture() -> None:
    architecture = text(ROOT / "docs" / "architecture.md")
    parts = {path.parent.name for path in (ROOT / "usgan_cli").glob("*/__init__.py")}
    assert {part for part in parts if f"| `{part}/` |" not in architecture} == set()


def described() -> dict[str, set[str]]:
    """The words that the architecture's tree has for each folder of the package."""
    tree = text(ROOT / "docs" / "architecture.md").split("## The tree", 1)[1].split("```")[1].split("\ntests/", 1)[0]
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
    assert absent == [], "add them to the tree in docs/architecture.md"
