"""What is proposed for a night was tried: the changed study is as long as is said, and fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from usgan_cli.core.store.workspace import Workspace
from usgan_cli.study.config import StudyConfig, load_study, parse_study
from usgan_cli.study.night import NIGHT_S, fits_of_a_night
from usgan_cli.study.plan import plan_study, planned_comparisons


def length(per_kimg: float, classifier_s: float = 60.0) -> object:
    def of(config: StudyConfig) -> float:
        steps = plan_study(config, Workspace(Path("work")))
        trainings = sum(step.command == "train-gan" for step in steps)
        each = config.gan.minutes * 60 if config.gan.minutes else (config.gan.kimg or 0) * per_kimg
        return trainings * each + classifier_s * sum(step.command == "train-cls" for step in steps)

    return of


def study(**tables: object) -> StudyConfig:
    grid = {"sizes": [100, 50], "gans": ["ada", "best"], "seeds": [0, 1, 2, 3, 4]}
    return parse_study({"name": "mine", "grid": grid, "gan": {"kimg": 100}, "classifier": {"freeze": True}} | tables)


@pytest.mark.parametrize("per_kimg", [16, 25, 50, 200])
def test_each_change_makes_the_study_fit(per_kimg: float) -> None:
    of = length(per_kimg)
    changes = fits_of_a_night(study(), of)  # type: ignore[arg-type]
    assert changes
    for change in changes:
        assert change.seconds == of(change.config) <= NIGHT_S  # type: ignore[operator]


def test_what_fits_is_left_alone() -> None:
    assert fits_of_a_night(study(), length(1)) == []  # type: ignore[arg-type]


def test_changes_are_keys_of_the_file_the_longest_training_first() -> None:
    changes = {change.text for change in fits_of_a_night(study(), length(25))}  # type: ignore[arg-type]
    # 20 trainings of 50 kimg and 70 classifiers of a minute are 29,200 s, of 40 kimg 24,200.
    assert changes == {"gan.kimg = 40", "grid.sizes = [50]"}
    minutes = fits_of_a_night(study(gan={"minutes": 60}), length(0))  # type: ignore[arg-type]
    assert minutes[0].text == "gan.minutes = 20"  # 24,000 s beside the 4,200


def test_fewer_repeats_than_allow_a_verdict_are_never_proposed() -> None:
    for change in fits_of_a_night(load_study("paper"), length(1.5)):  # type: ignore[arg-type]
        assert len(change.config.grid.seeds) >= 3


def test_where_no_change_does_alone_all_do_together_or_nothing_is_said() -> None:
    (change,) = fits_of_a_night(load_study("paper"), length(20, classifier_s=300))  # type: ignore[arg-type]
    assert len(change.config.grid.sizes) <= 2
    assert change.seconds <= NIGHT_S
    assert fits_of_a_night(load_study("paper"), length(1e6, classifier_s=1e5)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [100, 50, 25])
@pytest.mark.parametrize("classifier_s", [60, 400], ids=["alone", "together"])
def test_the_primary_comparison_stays_in_what_is_proposed(n: int, classifier_s: float) -> None:
    grid = {"sizes": [100, 50, 25], "gans": ["ada", "best"], "seeds": [0, 1, 2, 3, 4]}
    primary = f"best-x1 n{n}"
    whole = study(grid=grid, analysis={"primary": primary})
    changes = fits_of_a_night(whole, length(25, classifier_s))  # type: ignore[arg-type]
    sizes = [change.config.grid.sizes for change in changes if len(change.config.grid.sizes) < 3]
    assert sizes, "fewer sizes are among what is proposed"
    for change in changes:
        assert primary in planned_comparisons(plan_study(change.config, Workspace(Path("work"))))


def test_a_gan_with_its_own_length_is_shortened_where_it_is_longer() -> None:
    def of(config: StudyConfig) -> float:
        steps = plan_study(config, Workspace(Path("work")))
        return 50.0 * sum(getattr(step.options, "kimg", None) or 0 for step in steps)

    config = study(gan={"kimg": 10, "best": {"kimg": 200}})  # 10 trainings of 10 kimg and 10 of 200: 105,000 s
    change = fits_of_a_night(config, of)[0]
    assert change.text == "gan.best.kimg = 40"
    assert change.seconds == of(change.config) == 25_000
    shorter = fits_of_a_night(study(gan={"kimg": 60, "best": {"kimg": 200}}), of)[0]
    assert shorter.text == "gan.kimg = 20, gan.best.kimg = 20"
