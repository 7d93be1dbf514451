"""The tutorial's commands, in order, from images to a report, on simulated images and with a short training."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import nbformat
import pytest

from usgan_cli.cli import run

ROOT = Path(__file__).resolve().parent.parent
SHORTER = {
    "prepare": ["--size", "32", "--test", "40"],
    "train-gan": ["--preset", "tiny", "--kimg", "0.2", "--extractor", "efficientnet-lite0"],
    "generate": ["--at-least", "100", "--ratio", "1"],
    "score": ["--count", "100", "--repeats", "10", "--ssim-pairs", "50", "--extractor", "efficientnet-lite0"],
    "train-cls": ["--backbone", "tf_efficientnet_lite0"],
}
"""Options that are given once more, which replaces the tutorial's."""


def commands() -> list[list[str]]:
    """Every command of the numbered steps but the last, which is a whole study."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    steps = text.split("## 1.", 1)[1].split("## 7.", 1)[0]
    lines = [line for block in re.findall(r"```sh\n(.*?)```", steps, re.DOTALL) for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_the_notebook_is_the_tutorial_and_runs_the_same_commands() -> None:
    module = runpy.run_path(str(ROOT / "scripts" / "update_docs.py"), run_name="update_docs")
    text = (ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8")
    assert text == module["notebook"](), "run python scripts/update_docs.py"
    notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    code = [cell.source.splitlines() for cell in notebook.cells if cell.cell_type == "code"]
    assert all(first == "%%bash -e" for first, *_ in code)
    assert [shlex.split(line, comments=True)[1:] for _, *lines in code for line in lines] == commands()
    assert all("```sh" not in cell.source or "## 7." in cell.source for cell in notebook.cells)


@pytest.mark.slow
def test_the_tutorial_s_commands_lead_to_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("USGAN_OFFLINE", "1")
    monkeypatch.delenv("USGAN_WORK", raising=False)
    assert run(["phantom", "Dataset_BUSI_with_GT", "--count", "150", "--size", "32"]) == 0
    for words in commands():
        shorter = SHORTER.get(words[0], [])
        if words[0] == "generate" and "--grid" in words:
            shorter = []
        assert run([*words, *shorter]) == 0, (words, capfd.readouterr().err)
    page = (tmp_path / "work/report/index.html").read_text(encoding="utf-8")
    assert re.search("undecided|too weak to judge", page, re.IGNORECASE)
    assert list((tmp_path / "work/pictures").glob("*.png"))
