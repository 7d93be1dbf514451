"""Names of artefacts are those that DESIGN fixes, and no two artefacts share one."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from usgan_cli.core.store.workspace import Workspace, format_ratio, gan_name, setting_name, subset_name


def test_places_are_the_documented_ones() -> None:
    work = Workspace(Path("work"))
    places = {
        work.data: "work/data",
        work.subset(100, 0): "work/subsets/n100-s0.json",
        work.gan("diffaug", 100, 0): "work/gans/diffaug-n100-s0",
        work.synthetic("diffaug", 100, 0): "work/synthetic/diffaug-n100-s0",
        work.score("diffaug-n100-s0"): "work/scores/diffaug-n100-s0.json",
        work.classifier(100, 0, None, 0): "work/classifiers/n100-s0/real",
        work.classifier(100, 0, "diffaug", 1): "work/classifiers/n100-s0/diffaug-x1",
        work.ttest(100, 0): "work/ttests/n100-s0.json",
        work.report: "work/report",
        work.cache: "work/cache",
    }
    for path, text in places.items():
        assert path == Path(text)


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.5, "0.5"), (1.0, "1"), (1, "1"), (2.0, "2"), (10.0, "10"), (0.25, "0.25")]
)
def test_ratios_are_short(ratio: float, text: str) -> None:
    assert format_ratio(ratio) == text
    assert setting_name("ada", ratio) == f"ada-x{text}"


def test_names_do_not_collide() -> None:
    grid = list(itertools.product(("none", "ada", "diffaug"), (1, 10, 11, 110), (0, 1, 10)))
    assert len({gan_name(*cell) for cell in grid}) == len(grid)
    assert len({subset_name(n, seed) for _, n, seed in grid}) == 12
    assert setting_name(None, 1.0) == "real" == setting_name(None, 0.0)
    assert len({setting_name(aug, ratio) for aug in ("none", "ada") for ratio in (0.5, 1, 1.5, 2)}) == 8
