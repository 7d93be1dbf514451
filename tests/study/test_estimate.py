"""Times are estimated only from what similar steps took, or from a measurement."""

from __future__ import annotations

from pathlib import Path

import pytest

from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.formats.generator import LogRow
from usgan_cli.core.store.document import PlanDocument, RunDocument, RunRecord
from usgan_cli.core.store.workspace import AugName
from usgan_cli.core.text import duration
from usgan_cli.study.estimate import Estimator, learn_from_records, work_units
from usgan_cli.study.plan import PlannedStep


def train(aug: AugName, kimg: float, place: str = "x") -> PlannedStep:
    return PlannedStep(TrainGan(aug=aug, n=10, kimg=kimg), Path(place), subset=(10, 0), aug=aug)


def timed(kimg: float | None, minutes: float) -> PlannedStep:
    return PlannedStep(TrainGan(aug="ada", n=10, kimg=kimg, minutes=minutes), Path("x"), subset=(10, 0), aug="ada")


def tune(ratio: float | None) -> PlannedStep:
    aug: AugName | None = "ada" if ratio else None
    return PlannedStep(TrainClassifier(n=100, aug=aug, ratio=ratio), Path("y"), subset=(100, 0), aug=aug)


def test_nothing_is_made_up() -> None:
    assert Estimator().seconds(train("ada", 5)) is None
    assert Estimator().total([train("ada", 5), tune(None)]) == (0, 2)


def test_time_is_in_proportion_to_the_work_of_a_kind() -> None:
    estimator = Estimator()
    estimator.learn(train("ada", 2), 20)
    estimator.learn(train("none", 2), 10)
    assert estimator.seconds(train("ada", 6)) == pytest.approx(60)
    assert estimator.seconds(train("none", 6)) == pytest.approx(30)
    # No DiffAug was trained yet: it is taken to be like the others.
    assert estimator.seconds(train("diffaug", 6)) == pytest.approx(45)
    assert estimator.total([train("ada", 6), tune(1)]) == (pytest.approx(60), 1)


def test_the_length_is_said_once_most_of_it_is_known() -> None:
    estimator = Estimator()
    estimator.learn(train("ada", 2), 20)
    known = [train("ada", 6), train("ada", 7)]
    assert estimator.in_words(known) == "about 2 min 10 s"
    assert estimator.in_words([*known, tune(1)]) == "about 2 min 10 s and 1 step of unknown length"
    assert estimator.in_words([*known, tune(1), tune(2)]) == ""
    assert estimator.in_words([]) == ""


def test_minutes_limit_a_training() -> None:
    estimator = Estimator()
    assert estimator.seconds(timed(kimg=None, minutes=2)) == pytest.approx(120)
    estimator.learn(train("ada", 1), 10)
    assert estimator.seconds(timed(kimg=3, minutes=2)) == pytest.approx(30)
    assert estimator.seconds(timed(kimg=30, minutes=2)) == pytest.approx(120)


def test_fine_tuning_takes_as_long_as_it_has_images() -> None:
    assert work_units(tune(None)) == 100
    assert work_units(tune(2)) == 300


def test_one_slow_step_does_not_spoil_the_estimate() -> None:
    estimator = Estimator()
    for seconds in (10, 10, 10, 500):
        estimator.learn(train("ada", 1), seconds)
    assert estimator.seconds(train("ada", 1)) == pytest.approx(10)


def test_a_calibration_is_asked_once_for_each_kind_and_only_where_nothing_is_known() -> None:
    asked: list[PlannedStep] = []

    def calibrate(step: PlannedStep) -> float | None:
        asked.append(step)
        return 3.0 if step.command == "train-gan" else None

    estimator = Estimator(calibrate=calibrate)
    assert estimator.seconds(train("ada", 2)) == pytest.approx(6)
    assert estimator.seconds(train("ada", 4)) == pytest.approx(12)
    assert estimator.seconds(tune(None)) is None
    assert len(asked) == 2
    estimator.learn(train("ada", 1), 1)
    assert estimator.seconds(train("ada", 4)) == pytest.approx(4)


def run_record(seconds: float) -> RunRecord:
    return RunRecord(
        command="train-gan", revision=1, settings={}, inputs={}, packages={}, device="cpu",
        started="", wall_s=seconds, peak_memory_mb=1,
    )  # fmt: skip


def test_finished_artefacts_tell_how_long_they_took(tmp_path: Path) -> None:
    done, unfinished, absent = (train("ada", 2, str(tmp_path / name)) for name in ("done", "unfinished", "absent"))
    done.writes.mkdir()
    unfinished.writes.mkdir()
    (unfinished.writes / PlanDocument.FILE).write_text("{}")
    RunDocument(content="", run=run_record(8)).write(done.writes / "run.json")
    estimator = Estimator()
    learn_from_records(estimator, [done, unfinished, absent])
    assert estimator.seconds(train("ada", 1)) == pytest.approx(4)


def test_an_interrupted_training_counts_with_all_its_parts(tmp_path: Path) -> None:
    step = train("ada", 2, str(tmp_path / "gan"))
    step.writes.mkdir()
    RunDocument(content="", run=run_record(8)).write(step.writes / "run.json")
    row = LogRow(
        kimg=2, seconds=30, s_per_kimg=15, loss_g=0, loss_d_real=0, loss_d_fake=0, r_t=0, p=0, r1=0,
        path_length=0, grad_g=0, grad_d=0, memory_mb=0,
    )  # fmt: skip
    (step.writes / "log.jsonl").write_text(row.model_dump_json() + "\n")
    estimator = Estimator()
    learn_from_records(estimator, [step])
    assert estimator.seconds(train("ada", 2)) == pytest.approx(30)


def test_lengths_of_time_read_well() -> None:
    assert [duration(s) for s in (0.4, 59, 61, 3600, 90000, 900000)] == [
        "0 s", "59 s", "1 min 01 s", "1 h 00 min", "1 d 01 h", "10 d 10 h",
    ]  # fmt: skip
