"""Imports run one way (cli -> steps -> domains -> core, commands beside them), and help loads nothing heavy."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "usgan_cli"
DOMAINS = ("data", "gan", "metrics", "classify", "stats", "study", "reporting")
HEAVY = ("torch", "torchvision", "timm", "sklearn", "skimage", "matplotlib", "numpy", "scipy", "PIL", "pydantic")
"""Loading any of these takes longer than showing help may."""

SHARED = {"", "core"}
"""What every part may import; the empty name is the package's own `__init__`, with its version."""
ALLOWED = {
    "": {"api"},
    "api": {*SHARED, "commands", "terminal"},
    "core": SHARED,
    **{domain: {*SHARED, domain} for domain in DOMAINS},
    "study": {*SHARED, "study", "commands"},  # a plan is made of commands' options
    "reporting": {*SHARED, "reporting", "stats"},  # verdicts depend on all comparisons of a report
    "commands": {*SHARED, "commands"},  # declarations alone
    "terminal": {*SHARED, "terminal", "commands", "study"},
    "steps": {*SHARED, *DOMAINS, "commands", "terminal", "steps"},
    "cli": {*SHARED, "commands", "terminal"},  # steps by name, once one is carried out
    "__main__": {"cli"},
}


@dataclass(frozen=True)
class Import:
    """One import statement's target: a dotted name, and whether it runs when the module is loaded."""

    target: str
    line: int
    at_load: bool


class Imports(ast.NodeVisitor):
    """Collects the imports of a module, also those inside functions and under TYPE_CHECKING."""

    def __init__(self, module: str, is_package: bool) -> None:
        self.package = module if is_package else module.rpartition(".")[0]
        self.found: list[Import] = []
        self.depth = 0

    def deeper(self, node: ast.AST) -> None:
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = deeper  # noqa: N815

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" in ast.unparse(node.test):
            self.deeper(node)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [Import(alias.name, node.lineno, self.depth == 0) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            parents = self.package.split(".")
            base = ".".join([*parents[: len(parents) - node.level + 1], *([node.module] if node.module else [])])
        for alias in node.names:
            # `from package import module` and `from module import name` look the same; the files show which it is.
            inner = f"{base}.{alias.name}"
            self.found.append(Import(inner if inner in modules() else base, node.lineno, self.depth == 0))


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = list(path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports_of(module: str) -> tuple[Import, ...]:
    path = modules()[module]
    visitor = Imports(module, path.name == "__init__.py")
    visitor.visit(ast.parse(path.read_text(encoding="utf-8")))
    return tuple(visitor.found)


def part_of(module: str) -> str:
    """Return the part of the program that a module belongs to: usgan_cli.gan.train is of gan."""
    return module.split(".")[1] if "." in module else ""


def is_own(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def test_every_part_of_the_program_has_its_rule() -> None:
    assert {part_of(module) for module in modules()} <= set(ALLOWED)
    assert len(modules()) > 50


@pytest.mark.parametrize("part", ALLOWED, ids=lambda part: part or "package")
def test_imports_run_one_way(part: str) -> None:
    wrong = [
        f"{modules()[module].relative_to(ROOT)}:{found.line} imports {found.target}"
        for module in modules()
        if part_of(module) == part
        for found in imports_of(module)
        if is_own(found.target) and part_of(found.target) not in ALLOWED[part]
    ]
    assert not wrong, "\n".join(wrong)


def test_own_imports_name_modules_that_exist() -> None:
    wrong = [
        f"{module}:{found.line} imports {found.target}"
        for module in modules()
        for found in imports_of(module)
        if is_own(found.target) and found.target not in modules()
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_command_line_knows_typer() -> None:
    knowing = {
        part_of(module)
        for module in modules()
        for found in imports_of(module)
        if found.target.partition(".")[0] in {"typer", "click"}
    }
    assert knowing <= {"cli", "terminal"}


def test_only_the_console_writes_to_the_terminal() -> None:
    # Steps, domain functions and core neither print nor exit.
    wrong = [
        f"{modules()[module].relative_to(ROOT)}:{node.lineno} {ast.unparse(node.func)}"
        for module in modules()
        if part_of(module) in {"core", "steps", *DOMAINS}
        for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"print", "exit", "quit", "sys.exit", "os._exit", "sys.stdout.write"}
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {
        module: {f.target for f in imports_of(module) if f.at_load and f.target in modules() and f.target != PACKAGE}
        for module in modules()
    }
    assert list(cycles(graph)) == []


def cycles(graph: dict[str, set[str]]) -> Iterator[str]:
    """Yield the cycles that a depth-first walk meets."""
    done: set[str] = set()

    def walk(module: str, way: tuple[str, ...]) -> Iterator[str]:
        if module in way:
            yield " -> ".join([*way[way.index(module) :], module])
        elif module not in done:
            for target in sorted(graph[module]):
                yield from walk(target, (*way, module))
            done.add(module)

    for module in sorted(graph):
        yield from walk(module, ())


def test_the_walk_finds_cycles() -> None:
    assert list(cycles({"a": {"b"}, "b": {"c"}, "c": set()})) == []
    assert list(cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == ["a -> b -> c -> a"]


def test_the_reader_of_imports_sees_them_all() -> None:
    text = (
        "import usgan_cli.core\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import torch\n"
        "def f():\n    from usgan_cli.core.store import files\n    from . import steps\n    from ..core.errors import "
        "UsganError\n"
    )
    visitor = Imports("usgan_cli.gan.train", is_package=False)
    visitor.visit(ast.parse(text))
    assert [(found.target, found.at_load) for found in visitor.found] == [
        ("usgan_cli.core", True),
        ("typing", True),
        ("torch", False),
        ("usgan_cli.core.store.files", False),
        ("usgan_cli.gan.steps", False),
        ("usgan_cli.core.errors", False),
    ]


def loaded_after(code: str) -> set[str]:
    text = f"import sys, json\n{code}\nsys.stderr.write('MODULES' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.partition(".")[0] for name in json.loads(done.stderr.rpartition("MODULES")[2])}


@pytest.mark.parametrize(
    "code",
    [
        "import usgan_cli as usgan; usgan.train_gan; usgan.train_gan.__doc__",
        "import usgan_cli.cli",
        "from usgan_cli import cli; cli.run(['--help'])",
        "from usgan_cli import cli; cli.run(['train-gan', '--help'])",
        "from usgan_cli import cli; assert cli.run(['train-gan', '--aug']) == 2",
    ],
)
def test_help_and_usage_errors_load_nothing_heavy(code: str) -> None:
    # Typer itself loads pydantic to read the options of one command.
    typers_own = {"pydantic"} if "train-gan" in code else set()
    assert sorted((loaded_after(code) & set(HEAVY)) - typers_own) == []


def test_planning_a_study_loads_no_networks_no_classifiers_and_no_charts(tmp_path: Path) -> None:
    source = tmp_path / "images"
    for i in range(16):
        file = source / ("benign" if i % 2 else "malignant") / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16), 10 * i).save(file)
    words = ["study", "laptop", "--source", str(source), "--work", str(tmp_path / "work"), "--dry-run"]
    loaded = loaded_after(f"from usgan_cli import cli; assert cli.run({words}) == 0")
    assert "numpy" in loaded
    assert sorted(loaded & {"torch", "torchvision", "timm", "sklearn", "skimage", "matplotlib", "pandas"}) == []


@pytest.mark.parametrize(
    "module", ["errors", "text", "machine.seeds", "machine.threads", "store.workspace", "store.step"]
)
def test_the_light_modules_of_core_are_light(module: str) -> None:
    assert sorted(loaded_after(f"import usgan_cli.core.{module}") & set(HEAVY)) == []
