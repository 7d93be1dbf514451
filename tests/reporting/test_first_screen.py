"""The first screen: verdict, size of the effect and the weightiest caution, and a plot whose places are the numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from report_page import Page
from study_records import FULL, write_study

from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.reporting.build import build_report
from usgan_cli.reporting.first_screen import MOST_BARS, Effects, Heading, effects, size_of_effect
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.verdict import Analysis, Verdicts, judge_study


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    weak = [f"ada-n40-s{seed}" for seed in range(3)]
    return write_study(tmp_path_factory.mktemp("work"), seeds=(0, 1, 2), copying=["none-n40-s0"], weak=weak)


@pytest.fixture(scope="module")
def judged(repeated: Workspace) -> Verdicts:
    return judge_study(Study.of(collect(repeated)), Analysis(primary="ada-x1 n100"))


def plot_of(verdicts: Verdicts) -> Effects:
    plot = effects(verdicts)
    assert plot is not None
    return plot


def test_places_in_the_plot_are_the_differences(judged: Verdicts) -> None:
    plot = plot_of(judged)
    bars = [bar for _, some in plot.groups for bar in some]
    assert len(bars) == len(judged.each) == 12
    width = plot.band[1] / (2 * 100 * judged.each[0].finding.margin)
    assert plot.band[0] + plot.band[1] / 2 == pytest.approx(plot.zero, abs=0.02)
    for bar, one in zip(bars, judged.each, strict=True):
        low, high = one.effect.interval
        assert bar.point == pytest.approx(plot.zero + 100 * width * one.effect.difference, abs=0.2)
        assert bar.low == pytest.approx(max(plot.zero + 100 * width * low, 0), abs=0.2)
        assert bar.high == pytest.approx(min(plot.zero + 100 * width * high, 100), abs=0.2)
        assert bar.primary is (one.name == "ada-x1 n100")
    for place, text in plot.ticks:
        assert place == pytest.approx(plot.zero + width * float(text.replace("−", "-")), abs=0.2)


def test_the_size_of_the_effect_begins_with_the_primary_comparison(judged: Verdicts) -> None:
    text = size_of_effect(judged)
    assert text.startswith("Primary comparison, + 100 % ADA at n = 100, against real alone: +")
    assert "Over all 12 comparisons of generated images" in text and "have missed an effect below" in text


def test_of_many_comparisons_the_plot_shows_the_published_ratio(tmp_path: Path) -> None:
    full = write_study(tmp_path, **{**FULL, "size": 16})
    verdicts = judge_study(Study.of(collect(full)), Analysis(primary="ada-x2 n50"))
    assert len(verdicts.each) == 36 > MOST_BARS
    plot = plot_of(verdicts)
    labels = [bar.label for _, bars in plot.groups for bar in bars]
    assert len(labels) == 13 and sum(label.startswith("+ 100 %") for label in labels) == 12
    assert "13 of 36 comparisons" in plot.caption


def test_it_says_what_it_is_of(repeated: Workspace, tmp_path: Path, undrawn: None) -> None:
    heading = Heading("breast", "usgan study paper", "../data/audit.html")
    summary = build_report(repeated, tmp_path, Silent(), heading=heading)
    page = Page(tmp_path)
    first = page.text[page.text.index("<header") : page.text.index("</header>")]
    for wanted in ("Study “breast” · 2024-01-01 · own images, 150 images", "usgan study paper", summary.headline[:40]):
        assert wanted in first.replace("\u00a0", " "), wanted
    assert '<a href="../data/audit.html">' in first
    assert "Weak GANs" in first and "StyleGAN2 + ADA at n = 40 (3 of 3 trainings)" in first.replace("\u00a0", " ")
    assert summary.warnings[1].startswith("GANs that copy")
    assert first.index("<h1>") < first.index('class="lead"') < first.index("Weak GANs") < first.index("<svg")


def test_prose_has_no_digests(report: Path) -> None:
    page = Page(report)
    made = page.text.index('<section id="made"')
    assert "01234567" not in re.sub(r"base64,[^\"]*", "", page.text[:made])
    assert "efficientnet-lite2@01234567" in page.text[made:]
