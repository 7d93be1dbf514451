"""The table of rates: every shipped study has a length before anything has run, and longer work takes longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.store.workspace import GanName, Workspace
from usgan_cli.study.config import SHIPPED, load_study
from usgan_cli.study.estimate import Estimator
from usgan_cli.study.night import NIGHT_S
from usgan_cli.study.plan import PlannedStep, plan_study
from usgan_cli.study.rates import KIMG, Kind, Machine, kimg_rate, table_seconds

HOUR = 3600


def machine(name: str, kind: Kind) -> Machine:
    return Machine(kind, load_study(name).data.size, kimg_of=lambda _: 100.0)


def hours(name: str, kind: Kind) -> float:
    steps = plan_study(load_study(name), Workspace(Path("work")))
    lengths = [table_seconds(step, machine(name, kind)) for step in steps]
    assert None not in lengths
    return sum(length or 0 for length in lengths) / HOUR


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_study_has_a_length(name: str, kind: Kind) -> None:
    assert hours(name, kind) > 0


def test_the_recipes_are_for_a_night_on_their_machines() -> None:
    assert 3 < hours("laptop", "cpu") < NIGHT_S / HOUR
    assert 3 < hours("workstation", "gpu") < NIGHT_S / HOUR
    assert hours("paper", "cpu") > 24 * 100


def test_the_demo_is_within_twice_of_what_was_measured() -> None:
    assert 345 / 2 < hours("demo", "cpu") * HOUR < 345 * 2


def train(aug: GanName = "none", **options: float | str) -> PlannedStep:
    return PlannedStep(TrainGan(aug=aug, n=10, **options), Path("x"), subset=(10, 0), aug=aug)  # type: ignore[arg-type]


def test_a_measured_rate_is_given_as_it_is() -> None:
    assert table_seconds(train(preset="small", kimg=10), Machine("cpu", 64)) == pytest.approx(135)
    assert KIMG["cpu"]["small", 64].measured


def test_minutes_limit_a_training_and_a_preset_gives_what_is_left_out() -> None:
    laptop = Machine("cpu", 64, kimg_of={"small": 80.0}.get)
    assert table_seconds(train(preset="small", minutes=1), laptop) == 60
    assert table_seconds(train(preset="small", minutes=60, kimg=2), laptop) == pytest.approx(27)
    assert table_seconds(train(preset="small"), laptop) == pytest.approx(80 * 13.5)


def seconds(aug: GanName, **options: float | str) -> float:
    """Of a kimg at 64 pixels on two cores with bf16."""
    found = table_seconds(train(aug, preset="small", kimg=1, **options), Machine("cpu", 64))
    assert found is not None
    return found


def test_best_takes_as_long_as_was_measured() -> None:
    assert seconds("best", enlarge_last=0.0) == pytest.approx(10, rel=0.05)
    assert seconds("best", feature_size=128, enlarge_last=0.0) == pytest.approx(18, rel=0.05)
    assert seconds("best") == pytest.approx(0.8 * 10 + 0.2 * 18, rel=0.05)
    assert seconds("best", discriminator="stylegan2") == pytest.approx(13.5)
    assert 109 * seconds("best") == pytest.approx(20 * 60, rel=0.1), "the training that was measured"


def test_stylegan2s_discriminator_has_no_feature_network_whose_size_would_count() -> None:
    assert seconds("ada", feature_size=128) == seconds("ada") == 13.5
    assert seconds("best", discriminator="stylegan2", feature_size=128) == 13.5
    assert seconds("ada", discriminator="projected", feature_size=128, enlarge_last=0.0) == pytest.approx(18, rel=0.05)


def test_stylegan2s_discriminator_beside_a_projected_one_takes_its_time_which_does_not_grow_with_the_features() -> None:
    """One thread took 1.6 times as long with it, and 1.3 times where the features see enlarged images."""
    own, enlarged = {"enlarge_last": 0.0}, {"enlarge_last": 0.0, "feature_size": 128}
    assert seconds("best", pixel_weight=1.0, **own) == pytest.approx(1.6 * seconds("best", **own), rel=0.05)
    assert seconds("best", pixel_weight=1.0, **enlarged) == pytest.approx(1.3 * seconds("best", **enlarged), rel=0.1)
    assert seconds("best", pixel_weight=0.0) == seconds("best")
    added = [seconds("best", pixel_weight=1.0, **size) - seconds("best", **size) for size in (own, enlarged)]
    assert added[0] == pytest.approx(added[1])


def test_a_processor_without_avx512_takes_as_long_as_was_measured() -> None:
    narrow = Machine("cpu", 64, float32=True, narrow_cpu=True)
    assert table_seconds(train(preset="small", kimg=1), narrow) == pytest.approx(90, rel=0.2)
    assert table_seconds(train("best", preset="small", kimg=1), narrow) == pytest.approx(43, rel=0.1)


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_larger_images_take_longer(kind: Kind) -> None:
    for preset in ("small", "auto"):
        rates = [kimg_rate(preset, Machine(kind, pixels)) or 0 for pixels in (32, 64, 128, 256, 512)]
        assert rates == sorted(rates)
    assert kimg_rate("auto", Machine(kind, 64, float32=True)) >= kimg_rate("auto", Machine(kind, 64))  # type: ignore[operator]


def test_what_was_measured_comes_before_the_table_and_keeps_its_proportions() -> None:
    laptop = Machine("cpu", 64)
    estimator = Estimator(table=lambda step: table_seconds(step, laptop))
    plain, best = (train(aug, preset="small", kimg=4) for aug in ("none", "best"))
    assert [estimator.estimate(step).basis for step in (plain, best)] == ["table", "table"]  # type: ignore[union-attr]
    asked: list[PlannedStep] = []
    estimator.calibrate = lambda step: None if step is best else asked.append(step) or 27.0  # type: ignore[func-returns-value]
    assert estimator.seconds(plain) == pytest.approx(108)
    assert estimator.seconds(best) == pytest.approx(2 * 4 * 11.675)  # not timed: as much slower as the other
    estimator.learn(plain, 4 * 40.5)
    assert estimator.seconds(best) == pytest.approx(3 * 4 * 11.675)
    assert estimator.estimate(best).basis == "finished steps"  # type: ignore[union-attr]
