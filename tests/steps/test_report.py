"""The report of a study's workspace lists what the study's plan lacks, and is made again when that changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from report_page import Page
from study_records import CLASSES, run_of, write_data, write_study

from usgan_cli.commands.card import Card
from usgan_cli.commands.report import Report
from usgan_cli.core.errors import FormatError, MissingError
from usgan_cli.core.formats.dataset import Subset
from usgan_cli.core.store.document import RunDocument
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.reporting.verdict import Analysis
from usgan_cli.steps import card, report
from usgan_cli.study.config import load_study, parse_study
from usgan_cli.study.document import claim_workspace
from usgan_cli.terminal.session import Session

STUDY = {"name": "mine", "grid": {"sizes": [8], "gans": ["ada"], "seeds": [0]}, "data": {"source": "phantom"}}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "here")
    write_data(workspace)
    return workspace


def make(workspace: Workspace) -> str:
    options = Report(work=workspace.root)
    return report.run(options, Session.of(options)).status


def test_lists_the_steps_that_the_study_lacks(workspace: Workspace) -> None:
    claim_workspace(workspace, parse_study(STUDY), force=False)
    assert make(workspace) == "done"
    page = Page(workspace.report)
    assert {"What is missing", "Subsets", "GANs", "Classifiers", "Comparisons"} <= set(page.words)
    assert any(word.startswith("usgan train-gan --aug ada --n 8") for word in page.words)
    assert str(workspace.root) not in page.text
    assert make(workspace) == "skipped"
    data = write_data(workspace)
    drawn = [image.file for image in data.of("train")][:8]
    subset = Subset(run=run_of("subsample"), n=8, seed=0, data=data.content_digest(), classes=CLASSES, images=drawn)
    subset.write(workspace.subset(8, 0))
    assert make(workspace) == "done"
    assert "Subsets" not in Page(workspace.report).words


def test_the_first_screen_names_the_study_and_leads_to_the_audit_inside_the_workspace(
    workspace: Workspace, tmp_path: Path
) -> None:
    claim_workspace(workspace, parse_study(STUDY), force=False)
    assert make(workspace) == "done"
    assert "audit" not in Page(workspace.report).text, "there is none"
    (workspace.data / "audit.html").write_text("pairs")
    assert make(workspace) == "done"
    page = Page(workspace.report)
    assert {attrs["href"] for attrs in page.all("a")} >= {"../data/audit.html"}
    assert any(word.startswith("Study “mine” · 2024-01-01 · ") for word in page.words)
    away = Report(work=workspace.root, out=tmp_path / "away")
    report.run(away, Session.of(away))
    page = Page(tmp_path / "away")
    assert "audit.html" not in page.text and str(tmp_path) not in page.text, "sent alone, it would lead nowhere"


def test_the_first_screen_names_a_shipped_study_as_its_command_unless_it_was_edited(workspace: Workspace) -> None:
    shipped = load_study("laptop")
    claim_workspace(workspace, replace(shipped, data=shipped.data.replace(source=Path("mine"))), force=False)
    make(workspace)
    assert "usgan study laptop" in Page(workspace.report).words
    claim_workspace(workspace, replace(shipped, grid=shipped.grid.replace(sizes=(7,))), force=False)
    make(workspace)
    words = Page(workspace.report).words
    assert "usgan study laptop" not in words
    assert "usgan report" in words


def test_an_empty_workspace_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    empty = Workspace(tmp_path / "empty")
    with pytest.raises(MissingError, match="nothing to report") as caught:
        make(empty)
    assert caught.value.hint == "Begin with: usgan prepare SOURCE"
    assert not empty.root.exists()


def test_without_a_study_nothing_is_missing(workspace: Workspace) -> None:
    assert make(workspace) == "done"
    assert "What is missing" not in Page(workspace.report).words


def test_cards_and_comparisons_hold_to_the_analysis_that_the_report_declared(tmp_path: Path) -> None:
    work = write_study(tmp_path / "work", sizes=(8,), ratios=(1.0,))
    assert report.declared_analysis(work) == Analysis(), "there is neither a report nor a study"
    declared = Report(work=work.root, margin=30.0, primary="ada-x1 n8")
    assert report.run(declared, Session.of(declared)).status == "done"
    assert report.declared_analysis(work) == Analysis(0.3, "ada-x1 n8")
    options = Card(work=work.root)
    assert card.run(options, Session.of(options)).status == "done"
    assert "Primary comparison: + 100 % ADA at n = 8" in (work.cards / "claim.md").read_text()
    claim_workspace(work, parse_study(STUDY | {"analysis": {"margin": 1.5}}), force=False)
    analysis = report.declared_analysis(work)
    assert (analysis.margin, analysis.primary) == (0.015, None), "a study's file declares it before there are results"


def test_a_report_of_before_there_was_an_analysis_declares_none(tmp_path: Path) -> None:
    work = write_study(tmp_path / "work", sizes=(8,), ratios=(1.0,))
    RunDocument(content="0" * 64, run=run_of("report")).write(work.report / RunDocument.FILE)
    assert report.declared_analysis(work) == Analysis()


def test_a_study_of_an_older_version_names_the_next_move(workspace: Workspace) -> None:
    study = workspace.root / "study.json"
    study.write_text('{"format": "usgan/study", "version": 1, "study": {}}')
    with pytest.raises(FormatError, match="version 1") as error:
        make(workspace)
    assert error.value.hint is not None and f"Move {study} away" in error.value.hint
    study.rename(study.with_suffix(".old"))
    assert make(workspace) == "done"
