"""Every table is whole at 80 columns: no line is wider, no cell is cut, no figure is broken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from study_records import write_study

from usgan_cli import cli
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.core.formats.comparison import SeedsRecord, TTestRecord
from usgan_cli.core.formats.score import ScoreRecord, SnapshotsRecord
from usgan_cli.core.glossary import FIGURES, explained
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.steps import score, snapshots, train_classifier, ttest
from usgan_cli.study.config import load_study
from usgan_cli.study.document import claim_workspace
from usgan_cli.terminal.console import Terminal, _are_figures
from usgan_cli.terminal.session import Session

WIDTH = 80


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A finished study, with something to clear away and with records that are out of date."""
    made = write_study(
        tmp_path_factory.mktemp("w"), seeds=(0, 1), sizes=(100, 40), copying=["none-n40-s0"], snapshots=True
    )
    (made.cache / "features").mkdir(parents=True)
    (made.cache / "features" / "efficientnet-lite2-0123456789abcdef.safetensors").write_bytes(b"x" * 99)
    return made


class Tables:
    """Collects the tables that are shown, with what they looked like; sentences are left to the terminal to wrap."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setenv("COLUMNS", str(WIDTH))
        self.capsys = capsys
        self.figures: list[str] = []
        show = Terminal.table

        def table(terminal: Terminal, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
            self.figures += [row[i] for i in range(len(head)) if _are_figures(i, rows) for row in rows]
            show(terminal, title, head, rows)

        monkeypatch.setattr(Terminal, "table", table)
        for sentence in ("note", "warn", "fail"):
            monkeypatch.setattr(Terminal, sentence, lambda terminal, message: None)

    def check(self) -> str:
        """Assert that what was shown is whole, and return it."""
        shown = self.capsys.readouterr().err
        assert shown.strip()
        assert max(map(len, shown.splitlines())) <= WIDTH, shown
        assert "…" not in shown, shown
        assert [figure for figure in self.figures if figure not in shown] == [], shown
        return shown


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tables:
    return Tables(monkeypatch, capsys)


def session_in(workspace: Workspace) -> Session:
    terminal = Terminal()
    return Session(workspace, terminal, table=terminal.table, show=terminal.show, explain=terminal.explain)


@pytest.mark.parametrize(
    "words",
    [["status"], ["verify"], ["clean"], ["weights"], ["compare", "WORK", "OTHER"], ["doctor"]],
    ids=lambda w: w[0],
)
def test_commands_about_a_workspace(workspace: Workspace, tables: Tables, tmp_path: Path, words: list[str]) -> None:
    other = write_study(tmp_path / "another-study", seeds=(0, 1), sizes=(100,)) if "OTHER" in words else workspace
    places = {"WORK": str(workspace.root), "OTHER": str(other.root)}
    work = ["--work", str(workspace.root)]
    assert cli.run([*(places.get(word, word) for word in words), *work]) in {0, 1}
    tables.check()


@pytest.mark.parametrize("name", ["demo", "laptop", "workstation", "cluster", "paper"])
def test_the_grid_of_every_shipped_study(tables: Tables, tmp_path: Path, name: str) -> None:
    config = load_study(name)
    claim_workspace(Workspace(tmp_path), config, force=False)
    assert cli.run(["status", "--work", str(tmp_path)]) == 0
    shown = tables.check()
    assert all(f"n{n}" in shown or str(n) in shown for n in config.grid.sizes)


def test_an_audit(tables: Tables, tmp_path: Path) -> None:
    for i in range(24):
        file = tmp_path / "images of the clinic" / ("benign" if i % 2 else "malignant") / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((32, 32), 10 + i).save(file)
    (tmp_path / "images of the clinic" / "benign" / "damaged.png").write_bytes(b"none")
    assert cli.run(["prepare", str(file.parents[1]), "--size", "32", "--test", "8", "--work", str(tmp_path / "w")]) == 0
    tables.check()


def test_scores_with_their_figures_explained(workspace: Workspace, tables: Tables) -> None:
    score._show(session_in(workspace), ScoreRecord.read(workspace.score("none-n40-s0")))
    shown = tables.check()
    words = " ".join(shown.split())
    assert "coverage: share of real images" in words
    assert "FD: distance of the images" in words
    assert "0123456789abcdef" not in words, "the digest of the weights is for the record"


def test_scores_of_snapshots(workspace: Workspace, tables: Tables) -> None:
    snapshots._show(session_in(workspace), SnapshotsRecord.read(workspace.score("none-n40-s0-snapshots")))
    tables.check()


def test_comparisons_over_folds_and_over_seeds(workspace: Workspace, tables: Tables) -> None:
    session = session_in(workspace)
    ttest._show(session, TTestRecord.read(workspace.ttest(40, 0)))
    ttest._show_seeds(session, SeedsRecord.read(workspace.ttest(40, 0, 1)))
    shown = tables.check()
    assert shown.count("p Holm: ") == 1, "a figure is explained once"
    assert "b:c: images" in " ".join(shown.split())


def test_a_classifier(workspace: Workspace, tables: Tables) -> None:
    scores: dict[str, Any] = {name: {"mean": 0.71234, "sd": 0.01234} for name in train_classifier.SHOWN}
    result = scores | {
        "name": "diffaug-x1",
        "external": {"a-clinic-in-another-country": scores | {"micro_f1": scores["test_auc"]}},
    }
    train_classifier._show(session_in(workspace), result, TrainClassifier(n=100, aug="diffaug"))
    tables.check()


def test_every_figure_is_explained_in_a_few_words() -> None:
    assert max(map(len, FIGURES.values())) <= 110
    assert explained(["JS", "FD"]).startswith("JS: ") and explained(["JS", "FD"]).endswith("alike.")
    with pytest.raises(KeyError):
        explained(["XYZ"])
