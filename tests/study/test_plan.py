"""A study's plan is the commands a person would type, each after those whose artefacts it needs."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer

from usgan_cli import cli
from usgan_cli.commands.prepare import Prepare
from usgan_cli.commands.score import Score
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.commands.ttest import Ttest
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.study.config import SHIPPED, STEP_ORDER, StudyConfig, load_study, parse_study, study_body
from usgan_cli.study.plan import PlannedStep, plan_study, planned_comparisons

WORK = Workspace(Path("some work"))


def study(**changes: Any) -> StudyConfig:
    body: dict[str, Any] = {
        "name": "mine",
        "grid": {"sizes": [20, 10], "gans": ["none", "ada"], "seeds": [0, 1], "ratios": [0.5, 1.0]},
    }
    return parse_study(body | changes)


EVERYTHING = study(
    gan={"init": "a.pkl", "freeze_d": 2, "device": "cpu", "threads": 1, "batch_gpu": 4, "keep": 3, "lr": 0.00123456789},
    generate={"truncation": 0.7},
    score={"snapshots": True, "weights": "w", "count": 15},
    classifier={"strict": True, "select": "distance", "jobs": 2, "device": "cpu"},
    data={"test": 0.25, "duplicates": "drop"},
)
CONFIGS = [study(), EVERYTHING, *(load_study(name) for name in SHIPPED)]


@pytest.mark.parametrize("config", CONFIGS)
def test_every_step_finds_what_it_needs(config: StudyConfig) -> None:
    made: set[Path] = set()
    for step in plan_study(config, WORK):
        assert set(step.needs) <= made, step
        assert step.writes not in made, step
        made.add(step.writes)


def test_the_grid_is_crossed_in_full() -> None:
    steps = plan_study(study(), WORK)
    assert Counter(step.command for step in steps) == {
        "phantom": 1,
        "prepare": 1,
        "subsample": 4,
        "train-gan": 8,
        "generate": 8,
        "score": 8,
        "train-cls": 4 * (1 + 2 * 2 + 2 * 2 + 2),  # baseline, GANs, copies and augmented ones, shuffled labels
        "ttest": 4 + 2,
        "report": 1,
    }
    assert {step.command for step in steps} == set(STEP_ORDER)
    assert [steps[0].command, steps[1].command, steps[-1].command] == ["phantom", "prepare", "report"]


def test_a_comparison_needs_the_classifiers_of_its_subset_alone() -> None:
    steps = plan_study(study(), WORK)
    ttest = next(s for s in steps if s.command == "ttest" and s.subset == (10, 1))
    names = ["ada-x0.5", "ada-x1", "ada-x1-shuffled", "classical-x0.5", "classical-x1", "copies-x0.5", "copies-x1"]
    names += ["none-x0.5", "none-x1", "none-x1-shuffled", "real"]
    assert sorted(path.name for path in ttest.needs) == names
    assert {path.parent.name for path in ttest.needs} == {"n10-s1"}


def test_every_size_gets_as_many_generated_images_as_it_is_scored_on() -> None:
    config = study(
        score={"count": 15}, grid={"sizes": [20, 10, 4], "gans": ["ada"], "seeds": [0], "ratios": [0.5, 1.5]}
    )
    counts = {s.subset: s.options.count for s in plan_study(config, WORK) if s.command == "generate"}  # type: ignore[attr-defined]
    assert counts == {(20, 0): 30, (10, 0): 15, (4, 0): 15}


def test_real_images_take_the_place_of_phantoms() -> None:
    steps = plan_study(study(data={"source": "my images", "test": 7}), WORK)
    assert steps[0].command == "prepare"
    assert "phantom" not in {step.command for step in steps}
    assert steps[0].line == "usgan prepare 'my images' --test 7 --work 'some work'"


@pytest.mark.parametrize("config", CONFIGS)
def test_a_line_typed_in_a_shell_gives_the_options_of_the_step(
    config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed: list[Any] = []
    monkeypatch.setattr(
        "usgan_cli.terminal.session.step_of", lambda place: lambda options, session: typed.append(options)
    )
    app = typer.main.get_command(cli.app)
    for step in plan_study(config, WORK):
        words = shlex.split(step.line)
        assert words[0] == "usgan"
        app(words[1:], standalone_mode=False)
        assert typed.pop() == step.options


def test_repeats_are_also_compared_together() -> None:
    steps = [s for s in plan_study(study(), WORK) if isinstance(s.options, Ttest) and s.options.seeds]
    assert [s.options for s in steps] == [Ttest(n=n, seeds=(0, 1), work=WORK.root) for n in (20, 10)]
    assert steps[0].writes == WORK.ttest(20, 0, 1)
    assert len(steps[0].needs) == 2 * (1 + 2 * 2 + 2 * 2 + 2) + 2, "and the baselines of the other size"
    assert "--seeds 0 --seeds 1" in steps[0].line


def test_the_strict_protocol_plans_a_gan_for_every_fold() -> None:
    config = study(
        grid={"sizes": [20], "gans": ["ada"], "seeds": [0], "ratios": [1.0, 2.0]},
        classifier={"strict": True, "folds": 3, "select": "confidence", "controls": ["copies", "shuffled"]},
    )
    steps = plan_study(config, WORK)
    folds = [s.options for s in steps if isinstance(s.options, TrainGan) and s.options.fold is not None]
    assert [(o.fold, o.folds) for o in folds] == [(0, 3), (1, 3), (2, 3)]
    made = [s.line for s in steps if s.command == "generate" and "--gan" in s.line]
    assert "usgan generate --gan 'some work/gans/ada-n20-s0-fold1of3' --count 80 --work 'some work'" in made
    classifiers = {s.writes.name: s for s in steps if s.command == "train-cls"}
    names = {"real", "copies-x1", "copies-x2", "ada-x1-strict-confidence", "ada-x2-strict-confidence"}
    assert set(classifiers) == names | {"ada-x2-strict-confidence-shuffled"}
    assert WORK.synthetic("ada", 20, 0, (2, 3)) in classifiers["ada-x2-strict-confidence"].needs
    baseline = classifiers["real"].options
    assert isinstance(baseline, TrainClassifier)
    assert (baseline.strict, baseline.select) == (False, None)


def classifiers_of(config: StudyConfig) -> dict[str, TrainClassifier]:
    """The options of each classifier of the first subset, by name."""
    steps = [step for step in plan_study(config, WORK) if step.subset == (config.grid.sizes[0], 0)]
    return {step.writes.name: step.options for step in steps if isinstance(step.options, TrainClassifier)}


def test_all_classifiers_of_a_size_take_the_updates_of_its_largest_ratio() -> None:
    grid = {"sizes": [50, 100], "gans": ["none", "ada"], "ratios": [2.0, 0.5]}
    config = study(grid=grid, classifier={"epochs": 30, "batch": 16, "folds": 5})
    updates: dict[int, set[int | None]] = {}
    for step in plan_study(config, WORK):
        if isinstance(step.options, TrainClassifier):
            updates.setdefault(step.options.n, set()).add(step.options.updates)
    # 40 real and 100 generated images are 9 batches of 16; 80 and 200 are 18.
    assert updates == {50: {30 * 9}, 100: {30 * 18}}
    chosen = study(grid=grid, classifier={"updates": 77})
    assert {options.updates for options in classifiers_of(chosen).values()} == {77}


def test_controls_stand_beside_the_ratios_of_generated_images() -> None:
    grid = {"sizes": [50], "gans": ["none", "ada"], "ratios": [1.0, 2.0]}
    names = classifiers_of(study(grid=grid)).keys()
    arms = {"real", "none-x1", "none-x2", "ada-x1", "ada-x2"}
    copies = {"copies-x1", "copies-x2", "classical-x1", "classical-x2"}
    assert names == arms | copies | {"none-x2-shuffled", "ada-x2-shuffled"}
    assert classifiers_of(study(grid=grid, classifier={"controls": []})).keys() == arms
    frozen = classifiers_of(study(grid=grid, classifier={"freeze": True}))
    assert frozen.keys() == names
    assert {options.updates for options in frozen.values()} == {None}


def test_real_images_at_equal_updates_are_the_baseline_and_are_not_trained_twice() -> None:
    grid = {"sizes": [50], "gans": ["ada"], "ratios": [1.0]}
    assert "real-x1" not in classifiers_of(study(grid=grid, classifier={"controls": ["real"]}))
    epochs = study(grid=grid, classifier={"controls": ["real"], "budget": "epochs"})
    assert classifiers_of(epochs).keys() == {"real", "real-x1", "ada-x1"}


def test_the_papers_protocol_has_equal_epochs_and_no_controls() -> None:
    classifiers = classifiers_of(load_study("paper"))
    assert classifiers.keys() == {"real"} | {f"{aug}-x{x}" for aug in ("none", "ada", "diffaug") for x in ("0.5", 1, 2)}
    assert {(options.budget, options.updates) for options in classifiers.values()} == {("epochs", None)}


def test_snapshots_are_a_score_of_their_own() -> None:
    config = study(score={"snapshots": True, "baselines": True}, gan={"fd_every": 1.0})
    scores = [s for s in plan_study(config, WORK) if isinstance(s.options, Score) and s.subset == (20, 0)]
    both = [(s.writes.stem, s.options.snapshots, s.options.baselines) for s in scores if isinstance(s.options, Score)]
    assert both[:2] == [("none-n20-s0", False, True), ("none-n20-s0-snapshots", True, False)]


def test_a_training_is_measured_as_the_study_scores_unless_it_says_otherwise() -> None:
    def extractors(**gan: Any) -> set[str]:
        config = study(gan=gan, score={"extractor": "efficientnet-lite0"})
        assert plan_study(parse_study(study_body(config)), WORK) == plan_study(config, WORK)
        return {s.options.extractor for s in plan_study(config, WORK) if isinstance(s.options, TrainGan)}

    assert extractors(fd_every=1) == {"efficientnet-lite0"}
    assert extractors(fd_every=1, extractor="efficientnet-lite2") == {"efficientnet-lite2"}
    assert extractors(fd_every=1, extractor="inception") == {"inception"}
    assert extractors(stop="auto") == {"efficientnet-lite0"}
    assert extractors(stop="auto", extractor="inception") == {"inception"}
    assert extractors(stop="auto", none={"extractor": "inception"}) == {"efficientnet-lite0", "inception"}
    assert extractors() == {"inception"}


def test_a_step_has_a_label() -> None:
    step = PlannedStep(TrainGan(aug="ada", n=5, work=WORK.root), WORK.gan("ada", 5, 0))
    assert step.label == "train-gan gans/ada-n5-s0"
    assert PlannedStep(step.options, Path("out")).place == "out"


def test_further_splits_are_workspaces_of_their_own_and_are_pooled() -> None:
    config = study(grid={"sizes": [20], "gans": ["ada"], "seeds": [0, 1], "splits": [3, 5, 7]})
    steps = plan_study(config, WORK)
    made: set[Path] = set()
    for step in steps:
        assert set(step.needs) <= made and step.writes not in made, step
        made.add(step.writes)
    prepared = [step for step in steps if step.command == "prepare"]
    assert [step.place for step in prepared] == ["data", "splits/s5/data", "splits/s7/data"]
    assert [step.options.seed for step in prepared if isinstance(step.options, Prepare)] == [3, 5, 7]
    assert all("--split new" in step.line for step in prepared), (
        "a split that the source has would be the same each time"
    )
    assert Counter(step.command for step in steps)["phantom"] == 1
    ttests = [step.place for step in steps if step.command == "ttest"]
    assert ttests[-1] == "ttests/n20-s0+1-splits3+5+7.json" and "splits/s7/ttests/n20-s1.json" in ttests
    pooled = next(step for step in steps if step.place == ttests[-1])
    assert len(pooled.needs) == 3 * sum(s.command == "train-cls" and s.split is None for s in steps)
    assert planned_comparisons(steps) == planned_comparisons(plan_study(study(grid=GRID), WORK)), "no new comparisons"
    with pytest.raises(SettingsError, match="both name the seed of the split"):
        study(grid=GRID | {"splits": [1, 2]}, data={"seed": 4})


GRID = {"sizes": [20], "gans": ["ada"], "seeds": [0, 1]}


def test_external_test_sets_are_prepared_once_a_split_and_before_every_classifier() -> None:
    given = {"external": ["a=x", "b=y"], "external_classes": ["b:c=benign"]}
    grid = {"sizes": [10], "gans": ["ada"], "seeds": [0], "splits": [0, 1]}
    steps = plan_study(study(data=given, grid=grid), WORK)
    for place, split in ((WORK, None), (WORK.split(1), 1)):
        own = [step for step in steps if step.split == split]
        sets = [step for step in own if step.writes in {place.external("a"), place.external("b")}]
        assert [step.options.words()[1:5] for step in sets] == [
            ["--external", "a=x", *sets[0].options.words()[3:5]],
            ["--external", "b=y", "--external-classes", "b:c=benign"],
        ]
        trained = [step for step in own if step.command == "train-cls"]
        assert trained and all({step.writes for step in sets} <= set(step.needs) for step in trained)
        assert all("--external" not in step.options.words() for step in own if step.writes == place.data)
    with pytest.raises(SettingsError, match=r"data\.external does not name"):
        study(data={"external_classes": ["b:c=benign"]})
