"""The grid of the published study with three seeds: the page stays small and orderly."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_page import Page
from study_records import FULL, write_study

from usgan_cli.core.progress import Silent
from usgan_cli.reporting.build import build_report


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_once")
def test_36_gans_fit_in_one_page(tmp_path: Path) -> None:
    workspace = write_study(tmp_path, copying=["none-n50-s1"], snapshots=True, **FULL)
    summary = build_report(workspace, workspace.report, Silent())
    assert (summary.gans, summary.scores, summary.classifiers, len(summary.verdicts)) == (36, 36, 120, 36)
    assert summary.missing == [] and summary.unreadable == [] and summary.copying == ["none-n50-s1"]
    page = Page(workspace.report)
    assert (workspace.report / "index.html").stat().st_size < 15e6
    folds = page.all("details")
    assert len(folds) >= 6 and all("open" not in fold for fold in folds), "the details of each GAN are folded away"
    names = [name for name, _ in page.tags]
    before, inside = page.text.split("<details", 1)[0], page.text.count("<img")
    assert before.count("<table") <= 4 and inside == names.count("img") == 16 + 36 * 5 + 36 + 1 + 4 + 4 + 12 + 12
    assert len(page.tables["f1"]) > 120 and len(page.tables["f1-seeds"]) > 40
    assert len(summary.warnings) < 15, "similar warnings are joined"
