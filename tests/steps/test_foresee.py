"""`usgan study --dry-run` says what the planned comparisons will be able to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_workspace import new_workspace

from usgan_cli.core.store.workspace import Workspace
from usgan_cli.steps.study import foresee
from usgan_cli.study.config import parse_study
from usgan_cli.study.plan import plan_study


def sentences(work: Workspace, data: dict[str, Any], **tables: Any) -> list[str]:
    grid = {"sizes": [8, 4], "gans": ["ada"], "seeds": [0, 1, 2]} | tables.pop("grid", {})
    config = parse_study({"name": "mine", "data": data, "grid": grid, **tables})
    return [prospect.sentence() for prospect in foresee(config, plan_study(config, work))]


def test_the_test_images_are_those_that_the_settings_ask_for(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    (every,) = sentences(work, {"source": "images", "test": 280})
    assert every.startswith("3 repeats on 280 test images can show about ") and "in each comparison" in every
    (simulated,) = sentences(work, {"source": "phantom", "phantom_count": 100, "test": 0.4})
    assert "on 40 test images" in simulated
    assert sentences(work, {"source": "images", "test": 0.4}) == [], "not known before the images are read"
    one, rest = sentences(work, {"source": "images", "test": 280}, analysis={"primary": "ada-x1 n4"})
    assert "in the primary comparison" in one and "in each of the others" in rest
    (once,) = sentences(work, {"source": "images", "test": 280}, grid={"seeds": [0]})
    assert once.startswith("One repeat gives no verdict")


def test_several_splits_are_what_is_repeated(tmp_path: Path) -> None:
    (every,) = sentences(
        Workspace(tmp_path), {"source": "images", "test": 280, "split": "new"}, grid={"splits": [0, 1]}
    )
    assert every.startswith("2 splits on 280 test images each can show")


def test_of_prepared_images_the_clusters_count(tmp_path: Path) -> None:
    work = new_workspace(tmp_path)
    (every,) = sentences(work, {"source": "images", "test": 5})
    assert "on 24 test images" in every


@pytest.mark.parametrize("seeds", [[0, 1], [0, 1, 2, 3, 4]])
def test_more_repeats_show_smaller_differences(tmp_path: Path, seeds: list[int]) -> None:
    (few,) = sentences(Workspace(tmp_path), {"source": "images", "test": 280}, grid={"seeds": seeds})
    assert few.startswith(f"{len(seeds)} repeats")
