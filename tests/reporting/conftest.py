"""A study's records and their report, made once for all tests that only look at them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from usgan_cli.core.store.workspace import Workspace
    from usgan_cli.reporting.charts import Chart

# What draws loads only for the tests that need it.


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Records of 2 sizes and 3 GANs; one GAN copies its training images."""
    from study_records import write_study

    return write_study(tmp_path_factory.mktemp("work"), copying=["none-n40-s0"], snapshots=True)


@pytest.fixture(scope="session")
def report(study: Workspace) -> Path:
    """The folder of their report."""
    from usgan_cli.core.progress import Silent
    from usgan_cli.reporting.build import build_report

    build_report(study, study.report, Silent())
    return study.report


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the figures empty, where a test is not about them: drawing is most of a report's time."""
    from usgan_cli.reporting import charts

    def draw(name: str, title: str, alt: str, *_: object) -> Chart:
        return charts.Chart(name, title, alt, 100, b"<svg/>", b"")

    monkeypatch.setattr(charts, "draw", draw)


@pytest.fixture
def drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws one figure of each size and uses its files for the others, so that a large page has its real weight."""
    from usgan_cli.reporting import charts

    real_draw, drawn = charts.draw, {}

    def draw(name: str, title: str, alt: str, size: tuple[float, float], plot: Callable[[Figure], None]) -> Chart:
        if size not in drawn:
            drawn[size] = real_draw(name, title, alt, size, plot)
        return replace(drawn[size], name=name, title=title, alt=alt)

    monkeypatch.setattr(charts, "draw", draw)
