"""Names of artefacts are those that DESIGN fixes, and no two artefacts share one."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usgan_cli.core.store.workspace import (
    GanKey,
    SeedsKey,
    SubsetKey,
    TrainingSet,
    Workspace,
    gan_name,
)


def test_places_are_the_documented_ones() -> None:
    work = Workspace(Path("work"))
    places = {
        work.data: "work/data",
        work.subset(100, 0): "work/subsets/n100-s0.json",
        work.gan("diffaug", 100, 0): "work/gans/diffaug-n100-s0",
        work.synthetic("diffaug", 100, 0): "work/synthetic/diffaug-n100-s0",
        work.score("diffaug-n100-s0"): "work/scores/diffaug-n100-s0.json",
        work.classifier(100, 0): "work/classifiers/n100-s0/real",
        work.classifier(100, 0, TrainingSet("diffaug", 1)): "work/classifiers/n100-s0/diffaug-x1",
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
    assert TrainingSet("ada", ratio).name == f"ada-x{text}"


def test_names_do_not_collide() -> None:
    grid = list(itertools.product(("none", "ada", "diffaug"), (1, 10, 11, 110), (0, 1, 10)))
    assert len({gan_name(*cell) for cell in grid}) == len(grid)
    assert len({SubsetKey(n, seed).name for _, n, seed in grid}) == 12
    assert TrainingSet(None, 1.0).name == "real" == TrainingSet().name
    assert len({TrainingSet(aug, ratio).name for aug in ("none", "ada") for ratio in (0.5, 1, 1.5, 2)}) == 8


def test_an_input_lies_in_the_workspace_however_it_is_spelled_and_elsewhere_it_has_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "work")
    for root in (Path("work"), tmp_path / "work", Path("link")):
        work = Workspace(root)
        for spelled in ("work/gans/a", "work/x/../gans/a", "link/gans/a", str(tmp_path / "work" / "gans" / "a")):
            assert work.place_of(Path(spelled)) == "gans/a"
        for spelled in ("gans/a", "work2/gans/a", "work", "work/..", "work/../gans/a"):
            assert work.place_of(Path(spelled)) is None
    inputs = {"data": Path("work/data"), "gan": Path("gans/a")}
    assert Workspace(Path("work")).places(Path("work/synthetic/a"), inputs) == {"data": "data"}
    for elsewhere in ("synthetic/a", "work/mine/a", "work/splits/s1/synthetic/a"):
        assert Workspace(Path("work")).places(Path(elsewhere), inputs) == {}, "of another workspace, or of none"


NUMBERS = st.integers(0, 10**6)


@given(aug=st.sampled_from(["none", "ada", "diffaug", "ada+diffaug", "my-own-n5"]), n=NUMBERS, seed=NUMBERS)
def test_names_are_understood_as_they_were_built(aug: str, n: int, seed: int) -> None:
    gan, subset, seeds = GanKey(aug, n, seed), SubsetKey(n, seed), SeedsKey(n, (seed, seed + 1))
    assert GanKey.parse(gan.name) == GanKey.parse_snapshots(f"{gan.name}-snapshots") == gan
    assert SubsetKey.parse(subset.name) == gan.subset == subset
    assert SeedsKey.parse(seeds.name) == seeds


@pytest.mark.parametrize("name", ["", "n5", "n5-s", "ada-n5-s0-fold1of5", "real", "n5-s0+", "x n5-s0 y"])
def test_other_names_are_understood_as_none(name: str) -> None:
    assert [key.parse(name) for key in (SubsetKey, GanKey, SeedsKey)] == [None] * 3


def test_artefacts_are_listed_by_what_they_are(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    assert work.listed("gans", GanKey.parse) == {}
    for path in (work.gan("ada", 5, 0), work.gan("ada", 5, 0, (1, 5)), tmp_path / "gans" / ".ada-n5-s1.partial"):
        path.mkdir(parents=True)
    assert work.listed("gans", GanKey.parse) == {GanKey("ada", 5, 0): work.gan("ada", 5, 0)}
    for path in (work.ttest(5, 0), work.ttest(5, 0, 1), work.ttest(5, 0).with_suffix(".csv")):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert work.listed("ttests", SubsetKey.parse, ".json") == {SubsetKey(5, 0): work.ttest(5, 0)}
    assert work.listed("ttests", SeedsKey.parse, ".json") == {SeedsKey(5, (0, 1)): work.ttest(5, 0, 1)}


TRAINING_SETS = [
    ("real", TrainingSet()),
    ("diffaug-x1", TrainingSet("diffaug", 1.0)),
    ("ada+diffaug-x0.25-only-strict-distance", TrainingSet("ada+diffaug", 0.25, None, True, True, "distance")),
    ("ada-x2-strict-shuffled", TrainingSet("ada", 2.0, "shuffled", strict=True)),
    ("copies-x1", TrainingSet(None, 1.0, "copies")),
    ("classical-x0.5", TrainingSet(None, 0.5, "classical")),
    ("real-x2", TrainingSet(None, 2.0, "real")),
    ("mine-x-y-x1e+06", TrainingSet("mine-x-y", 1e6)),
]


@pytest.mark.parametrize(("name", "added"), TRAINING_SETS)
def test_a_training_set_is_named_and_parsed(name: str, added: TrainingSet) -> None:
    assert added.name == name
    assert TrainingSet.parse(name) == added


def test_other_names_are_no_training_sets() -> None:
    for name in ("", "reals", "ada", "ada-x", "ada-x1-best", "ada-x1-shuffled-strict", "copies-xtwo"):
        assert TrainingSet.parse(name) is None, name
