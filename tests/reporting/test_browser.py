"""The report in a real browser: it loads alone and silently, every picture decodes, and nothing overflows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import NAMES, Browser, find_browser, launch
from damage import rewrite
from study_records import write_data, write_study

from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.core.text import gan_label, number
from usgan_cli.reporting.build import build_report
from usgan_cli.reporting.reading import collect

# Chromium lays a table out wider than its box where it scrolls; what counts is what can be seen to stick out.
STICKS_OUT = """
[...document.querySelectorAll('body *')]
  .filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right > innerWidth + 0.5)
  .map(e => e.tagName + '.' + e.className)
"""
TABLES = """
Object.fromEntries([...document.querySelectorAll('table')].map(table => [
  table.dataset.name,
  [...table.querySelectorAll('tbody tr')]
    .map(row => [...row.cells].map(cell => cell.innerText.replace('\\n', ' ').trim()))
]))
"""
UNFOLD = "document.querySelectorAll('details').forEach(found => { found.open = true })"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip(f"no browser on PATH (looked for {', '.join(NAMES)})")
    with launch(program) as started:
        yield started


@pytest.fixture
def page(browser: Browser, report: Path) -> Browser:
    browser.open(report / "index.html")
    return browser


def test_opens_from_a_file_alone_and_silently(page: Browser, report: Path) -> None:
    page.evaluate(UNFOLD)
    assert page.requested() == [(report / "index.html").resolve().as_uri()]
    assert page.complaints() == []
    assert page.evaluate("document.title").endswith("a usgan study")


def test_an_outside_request_would_be_seen(page: Browser) -> None:
    """The check above can fail: a picture from elsewhere is refused by the page's own policy, with an error."""
    page.evaluate(
        "new Promise(done => { const i = new Image(); i.onerror = done; i.src = 'http://127.0.0.1:9/x.png' })"
    )
    assert any("Content Security Policy" in text for text in page.complaints())


def test_every_picture_decodes(page: Browser) -> None:
    page.evaluate(UNFOLD)
    each = "async i => { await i.decode(); return [i.alt, i.naturalWidth, i.width] }"
    shown = page.evaluate(f"Promise.all([...document.images].map({each}))")
    # 2 x 4 panels of samples, 6 x 5 pairs, 6 sheets; the distance; 2 charts of verdicts, differences, training.
    assert len(shown) == 8 + 30 + 6 + 7
    assert all(alt and natural > 0 and width > 60 for alt, natural, width in shown)


def test_tables_hold_the_records_numbers(page: Browser, study: Workspace) -> None:
    page.evaluate(UNFOLD)
    tables: dict[str, list[list[str]]] = page.evaluate(TABLES)
    records = collect(study)

    def rows(name: str, n: int) -> dict[str, list[str]]:
        start = tables[name].index([f"n = {n}"]) + 1
        end = next((i for i, row in enumerate(tables[name]) if i > start and len(row) == 1), None)
        return {row[0]: row for row in tables[name][start:end]}

    for key, score in records.scores.items():
        row = rows("quality", key.n)[gan_label(key.aug)]
        assert row[2:4] == [f"{score.fake.fd:.1f} ± {score.fake.fd_spread.sd:.1f}", f"{score.fake.js:.3f}"]
        low, high = score.fake.intervals["kid"]
        kernel = rows("nearness", key.n)[gan_label(key.aug)][2]
        assert kernel == f"{1000 * (score.fake.kid or 0):.2f} [{1000 * low:.2f}, {1000 * high:.2f}]"
    for key, ttest in records.ttests.items():
        own = [c for c in ttest.comparisons if c.aug == "ada" and c.ratio == 1]
        row = rows("f1", key.n)["+ 100 % ADA"]
        assert row[1] == f"{100 * own[0].f1.mean:.2f} ± {100 * own[0].f1.sd:.2f}"
        assert row[3].split()[0] == number(100 * own[0].difference, 2, sign=True)
        assert row[4:7] == [f"{p:.3f}" for p in (own[0].p, own[0].p_holm, own[0].p_corrected) if p is not None]


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("folded", [True, False])
def test_nothing_overflows(page: Browser, width: int, folded: bool) -> None:
    page.resize(width)
    if not folded:
        page.evaluate(UNFOLD)
    _check_width(page, width)


def _check_width(page: Browser, width: int) -> None:
    assert page.evaluate("innerWidth") == width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(STICKS_OUT) == []


@pytest.mark.parametrize("width", [400, 1400])
def test_an_incomplete_study_and_long_names_do_not_overflow(browser: Browser, tmp_path: Path, width: int) -> None:
    workspace = Workspace(tmp_path)
    data = write_data(workspace)
    long = data.model_dump(mode="json", by_alias=True)
    long["conflicts"] = [[f"{'folder_without_any_break/' * 8}{i}.png" for i in range(3)]]
    rewrite(workspace.data / "manifest.json", type(data).model_validate(long))
    build_report(workspace, workspace.report, Silent())
    browser.open(workspace.report / "index.html", width)
    _check_width(browser, width)


def test_dark_pages_have_light_ink_on_dark_ground(browser: Browser, report: Path) -> None:
    def colours(script: str) -> list[int]:
        found: str = browser.evaluate(f"getComputedStyle(document.querySelector('{script}')).{'color'}")
        return [int(value) for value in found.removeprefix("rgb(").removesuffix(")").split(",")]

    seen: dict[bool, Any] = {}
    for dark in (False, True):
        browser.open(report / "index.html", dark=dark)
        seen[dark] = colours("h1"), browser.evaluate("getComputedStyle(document.querySelector('.plot')).filter")
    assert max(seen[False][0]) < 60 and min(seen[True][0]) > 200
    assert seen[False][1] == "none" and seen[True][1].startswith("invert")


def test_several_seeds_do_not_overflow(browser: Browser, tmp_path: Path, undrawn: None) -> None:
    workspace = write_study(tmp_path, seeds=(0, 1), ratios=(1.0,))
    build_report(workspace, workspace.report, Silent())
    for width in (400, 1400):
        browser.open(workspace.report / "index.html", width)
        browser.evaluate(UNFOLD)
        _check_width(browser, width)
