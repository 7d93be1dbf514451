"""What is published holds what it should: the whole package, and in the source archive what work on it needs."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from usgan_cli.study.config import SHIPPED

ROOT = Path(__file__).resolve().parent.parent
PRESETS = tuple(f"study/presets/{name}.toml" for name in SHIPPED)
NEEDED = ("py.typed", "study/Snakefile", "study/environment.yaml", *PRESETS)
CACHES = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def sources(folder: str) -> set[str]:
    """The files below a folder of the checkout that are not made by running it."""
    files = [path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {path.as_posix() for path in files if not CACHES & set(path.parts)}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_wheel_is_the_whole_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licence = [name for name in archive.namelist() if name.endswith("/licenses/LICENSE")]
    assert names == sources("usgan_cli")
    assert {f"usgan_cli/{name}" for name in NEEDED} <= names
    assert any(PurePosixPath(name).match("usgan_cli/reporting/templates/*") for name in names)
    assert licence


@pytest.mark.slow
def test_the_source_archive_can_be_tested_and_documented(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    for folder in ("usgan_cli", "tests", "scripts", "docs"):
        assert sources(folder) <= names, folder
    assert {"README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "pyproject.toml"} <= names
    assert not [name for name in names if name.startswith((".venv", ".git/", "dist"))]
