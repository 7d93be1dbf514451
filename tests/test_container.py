"""The container recipes name files that exist and versions that fit, and fetch nothing at run time."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "scripts" / "container"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
INSTRUCTIONS = {"FROM", "ARG", "RUN", "COPY", "ENV", "WORKDIR", "ENTRYPOINT"}
SECTIONS = {"arguments", "files", "post", "environment", "runscript", "test"}
FETCHES = re.compile(r"\b(pip|apt-get|curl|wget|git)\b")


def containerfile() -> list[tuple[str, str]]:
    """The Containerfile's instructions with what follows them, long lines joined."""
    text = (FOLDER / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], " ".join(line.split()[1:])) for line in lines]


def definition() -> tuple[dict[str, str], dict[str, list[str]]]:
    """The Apptainer definition's header, and the lines of each of its sections."""
    head: dict[str, str] = {}
    sections: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for line in (FOLDER / "usgan.def").read_text(encoding="utf-8").splitlines():
        if line.startswith("%"):
            lines = sections.setdefault(line[1:].strip(), [])
        elif line.strip() and not line.startswith("#"):
            if lines is None:
                name, _, value = line.partition(":")
                head[name] = value.strip()
            else:
                lines.append(line.strip())
    return head, sections


def of(instruction: str) -> list[str]:
    return [rest for name, rest in containerfile() if name == instruction]


def copied() -> dict[str, dict[str, str]]:
    """What each recipe copies from the checkout, and where to."""
    by_recipe: dict[str, dict[str, str]] = {"Containerfile": {}, "usgan.def": {}}
    for rest in of("COPY"):
        *sources, target = rest.split()
        for source in sources:
            by_recipe["Containerfile"][source] = f"{target}{source}" if target.endswith("/") else target
    by_recipe["usgan.def"] = dict(line.split() for line in definition()[1]["files"])  # type: ignore[misc]
    return by_recipe


def test_the_recipes_are_of_known_parts() -> None:
    assert {name for name, _ in containerfile()} == INSTRUCTIONS
    head, sections = definition()
    assert set(head) == {"Bootstrap", "From"}
    assert set(sections) == SECTIONS


def test_both_begin_with_a_python_that_the_package_takes() -> None:
    (image,) = of("FROM")
    assert definition()[0] == {"Bootstrap": "docker", "From": image}
    found = re.fullmatch(r"python:(3\.\d+)-slim", image)
    assert found is not None
    assert SpecifierSet(PROJECT["requires-python"]).contains(found[1])
    assert f"Programming Language :: Python :: {found[1]}" in PROJECT["classifiers"]


@pytest.mark.parametrize("recipe", ["Containerfile", "usgan.def"])
def test_what_is_copied_exists_and_is_all_that_the_package_is_built_from(recipe: str) -> None:
    files = copied()[recipe]
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert files == {name: f"/opt/usgan/{name}" for name in files}
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert set(files) == {
        "pyproject.toml",
        PROJECT["readme"],
        *PROJECT["license-files"],
        *wheel["wheel"]["packages"],
    }


def test_the_builder_is_sent_nothing_else() -> None:
    lines = (FOLDER / "Containerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == set(copied()["Containerfile"])


@pytest.mark.parametrize("recipe", ["Containerfile", "usgan.def"])
def test_they_install_the_same_with_the_torch_that_is_asked_for(recipe: str) -> None:
    steps = of("RUN") if recipe == "Containerfile" else definition()[1]["post"]
    variable = "$TORCH" if recipe == "Containerfile" else "{{ TORCH }}"
    torch, usgan = (step for step in steps if step.startswith("pip install"))
    assert f'--index-url "https://download.pytorch.org/whl/{variable}"' in torch
    words = torch.rpartition(variable)[2].replace('"', " ").split()
    assert words == [one for one in PROJECT["dependencies"] if Requirement(one).name in {"torch", "torchvision"}]
    extras = Requirement(usgan.split('"')[1].replace("/opt/usgan", "usgan")).extras
    assert extras == {"offline", "dicom"}
    assert extras <= set(PROJECT["optional-dependencies"])
    default = of("ARG") if recipe == "Containerfile" else definition()[1]["arguments"]
    assert default == ["TORCH=cpu"]


def test_what_runs_is_usgan_without_a_network() -> None:
    assert [json.loads(rest) for rest in of("ENTRYPOINT")] == [["usgan"]]
    assert "USGAN_OFFLINE=1" in " ".join(of("ENV")).split()
    _, sections = definition()
    assert sections["runscript"] == ['exec usgan "$@"']
    assert sections["environment"] == ["export USGAN_OFFLINE=1"]
    assert not any(FETCHES.search(line) for name in ("environment", "runscript", "test") for line in sections[name])
    assert PROJECT["scripts"]["usgan"]
