"""Write the reference pages from the program itself: python scripts/update_docs.py.

`docs/reference/commands.md` has every option, `studies.md` every key of a study's file, `files.md` every file format,
`words.md` what words and figures mean.
`docs/tutorial.ipynb` is `docs/tutorial.md` as a notebook.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import usgan_cli
from usgan_cli.cli import COMMANDS
from usgan_cli.commands.common import StepOptions
from usgan_cli.core.glossary import FIGURES, WORDS
from usgan_cli.core.store.document import Document, Part
from usgan_cli.study.config import TABLES, Hours
from usgan_cli.terminal.options import key_table, option_table

DOCS = Path(__file__).resolve().parent.parent / "docs"
REFERENCE, TUTORIAL, NOTEBOOK = DOCS / "reference", DOCS / "tutorial.md", DOCS / "tutorial.ipynb"
MADE = "<!-- made by scripts/update_docs.py -->"


def pages() -> dict[str, str]:
    """Return the text of each page by its file's name."""
    made = {
        "commands.md": commands_page(),
        "studies.md": studies_page(),
        "files.md": files_page(),
        "words.md": words_page(),
    }
    return {name: f"{MADE}\n\n" + "\n".join(lines).rstrip() + "\n" for name, lines in made.items()}


def commands_page() -> list[str]:
    """Return the options of every command."""
    lines = [
        "# Commands",
        "",
        "Every command has `--work DIR` (or the environment's `USGAN_WORK`; default `work`), `--force`, `--refresh`, "
        "`--dry-run`, `--offline`, `--json`, `--quiet` and `--help`. Exit status: 0 done or already done, 1 a problem "
        "with data, files or settings, 2 wrong usage, 130 interrupted. Standard output carries the path of what was "
        "written and nothing else; progress, tables and warnings go to standard error.",
    ]
    for options in COMMANDS:
        table = option_table(options, leave_out=StepOptions)
        lines += ["", f"## usgan {options.COMMAND}", "", _docstring(options), *(["", *table] if table else [])]
    return lines


def studies_page() -> list[str]:
    """Return the keys of a study's file, table by table."""
    lines = [
        "# A study's file",
        "",
        "A TOML file with `name` and the tables below. `usgan study --print demo > my.toml` prints one to begin with; "
        "an unknown key is answered with the nearest known one.",
    ]
    for name, options in {**TABLES, "cluster.hours": Hours}.items():
        lines += ["", f"## [{name}]", "", _docstring(options), "", *key_table(options)]
        if name == "gan":
            lines += [
                "",
                "A table of its own, such as `[gan.best]` with `kimg = 24`, has keys for one GAN of `grid.gans`, which "
                "stand above those of `[gan]`; all but `device`, which is one for all.",
            ]
    return lines


def files_page() -> list[str]:
    """Return the fields of every JSON document."""
    lines = [
        "# File formats",
        "",
        "Every JSON file of a workspace has `format`, `version`, `self_sha256` and the fields below, and is validated "
        "when it is read. `self_sha256` is the digest of all its other fields, as JSON with sorted keys and without "
        "blanks: a file that was damaged or edited is refused, with the command that makes it again. Safetensors files "
        "have the digest of their header and data in their metadata. `usgan verify` checks all of them. Where "
        "a field's type is one of the parts at the end, its fields are listed there.",
    ]
    classes = _all_parts()
    documents = [cls for cls in classes if issubclass(cls, Document) and "FORMAT" in vars(cls)]
    parts = [cls for cls in classes if not issubclass(cls, Document) and cls is not Part]
    for cls in sorted(documents, key=lambda cls: cls.FORMAT):
        lines += ["", f"## {cls.FORMAT}, version {cls.VERSION}", "", _docstring(cls), "", *_field_table(cls)]
    lines += ["", "## Parts"]
    for cls in sorted(parts, key=lambda cls: cls.__name__):
        lines += ["", f"### {cls.__name__}", "", _docstring(cls), "", *_field_table(cls)]
    return lines


def words_page() -> list[str]:
    """Return what the words and figures of tables and documents mean."""
    lines = ["# Words and figures", "", "| word | what it means |", "|---|---|"]
    lines += [f"| {word} | {meaning} |" for word, meaning in WORDS.items()]
    lines += ["", "| figure | what it is |", "|---|---|"]
    return lines + [f"| {name.replace('|', chr(92) + '|')} | {meaning} |" for name, meaning in FIGURES.items()]


def notebook() -> str:
    """Return the tutorial as a notebook (nbformat 4.5).

    The commands of its numbered steps are cells of code, each block one; those of step 7, a night's work, are shown.
    """
    steps, seven, rest = TUTORIAL.read_text(encoding="utf-8").partition("## 7.")
    parts = re.split(r"```sh\n(.*?)```\n", steps, flags=re.DOTALL)
    cells = [_cell("code", f"%%bash -e\n{part}") if i % 2 else _cell("markdown", part) for i, part in enumerate(parts)]
    cells = [cell for cell in [*cells, _cell("markdown", seven + rest)] if cell["source"]]
    body = {
        "cells": [cell | {"id": f"part-{i}"} for i, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "made by": "scripts/update_docs.py, from docs/tutorial.md",
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def _cell(kind: str, text: str) -> dict[str, object]:
    code = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {}, "source": text.strip().splitlines(keepends=True), **code}


def _all_parts() -> list[type[Part]]:
    for module in pkgutil.walk_packages(usgan_cli.__path__, "usgan_cli."):
        if not module.name.rpartition(".")[2].startswith(("__main__", "triton_")):
            importlib.import_module(module.name)
    found: dict[type[Part], None] = {}
    waiting: list[type[Part]] = [Part]
    while waiting:
        cls = waiting.pop()
        found[cls] = None
        waiting += [one for one in cls.__subclasses__() if one.__module__.startswith("usgan_cli.")]
    return list(found)


def _field_table(cls: type[Part]) -> list[str]:
    described = dict(_field_docstrings(cls))
    rows = [
        f"| `{field.alias or name}` | {_type_name(field.annotation)} | {described.get(name, '')} |"
        for name, field in cls.model_fields.items()
        if name != "run"
    ]
    return ["| field | type | meaning |", "|---|---|---|", *rows] if rows else []


def _field_docstrings(cls: type[Part]) -> Iterator[tuple[str, str]]:
    """The strings that stand below the fields of a class and of those it is made from."""
    for base in reversed([base for base in cls.__mro__ if base.__module__.startswith("usgan_cli.")]):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
                continue
            if (
                isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                yield field.target.id, " ".join(text.value.value.split()).replace("|", "\\|")


def _type_name(annotation: object) -> str:
    name = annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    # A validator's address differs from process to process.
    name = re.sub(r"(?:typing\.)?Annotated\[([^\[\],]+),[^\]]*\]", r"\1", name)
    for prefix in sorted({f"{cls.__module__}." for cls in _all_parts()} | {"typing."}, key=len, reverse=True):
        name = name.replace(prefix, "")
    name = re.sub(r"Annotated\[(\w+), \w+\(.*?\)\]", r"\1", name)  # what is checked besides the type
    return "`" + name.replace("|", "or") + "`"


def _docstring(cls: type) -> str:
    return " ".join((inspect.getdoc(cls) or "").split())


if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    for page, content in pages().items():
        (REFERENCE / page).write_text(content, encoding="utf-8")
    NOTEBOOK.write_text(notebook(), encoding="utf-8")
