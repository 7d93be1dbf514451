"""`--stop auto`: when it ends, which generator it keeps, and that interruptions and processes change neither."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_gan import CPU, config, images, run

from usgan_cli.core.formats.generator import LogRow, read_generator, read_log, saved_generators
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.files import sha256_file
from usgan_cli.gan.config import GanConfig, settings_of
from usgan_cli.gan.early_stop import PATIENCE, best_of, reason_to_stop
from usgan_cli.gan.launch import Job, Local
from usgan_cli.gan.outputs import GanRun, Measured
from usgan_cli.gan.steps import Steps


def row(kimg: float, held_out: float | None, *, copied: bool = False) -> LogRow:
    names = ("seconds", "s_per_kimg", "loss_g", "loss_d_real", "loss_d_fake", "r_t", "p", "r1", "path_length")
    figures = dict.fromkeys((*names, "grad_g", "grad_d", "memory_mb"), 1.0)
    copies = None if held_out is None else 0.2 * copied
    return LogRow(kimg=kimg, held_out=held_out, copies=copies, copied=None if held_out is None else copied, **figures)


def curve(*distances: float) -> list[LogRow]:
    return [row(kimg, distance) for kimg, distance in enumerate(distances, start=1)]


def test_the_best_is_the_first_of_the_lowest_without_copies() -> None:
    rows = [row(1, 5), row(1.5, None), row(2, 1, copied=True), row(3, 4), row(4, 4)]
    best = best_of(rows)
    assert best is not None
    assert best.kimg == 3
    assert best_of([row(1, 1, copied=True), row(2, None)]) is None


@pytest.mark.parametrize(
    ("distances", "stops"),
    [
        ([9, 8, 7, 6, 5, 4, 3, 2, 1], False),
        ([9, 3, 4, 4, 4, 4], False),
        ([9, 3, 4, 4, 4, 4, 4], True),
        ([9, 3, 4, 4, 4, 4, 2], False),
        ([-1, 0, 0, 0, 0, 0], True),
        ([*range(20, 0, -1), 5, 5, 5, 5, 5], False),
        ([*range(20, 0, -1), 5, 5, 5, 5, 5, 5, 5, 5, 5, 5], True),
    ],
)
def test_it_ends_after_five_measurements_and_half_as_long_again_without_a_new_best(
    distances: list[float], stops: bool
) -> None:
    rows = curve(*distances)
    assert (reason_to_stop(rows) is not None) == stops
    assert all(reason_to_stop(rows[:end]) is None for end in range(len(rows)))


def test_it_ends_once_images_are_copies_twice_in_a_row() -> None:
    rows = [row(1, 5), row(2, 4, copied=True), row(3, 3), row(4, 2, copied=True), row(5, 1, copied=True)]
    assert all(reason_to_stop(rows[:end]) is None for end in range(len(rows)))
    assert "copies of training images (20 % at 5 kimg)" in str(reason_to_stop(rows))


def auto(**changes: object) -> GanConfig:
    return config(**{"stop": "auto", "kimg": 1.0, "save_kimg": 0.032, "tick_kimg": 0.016} | changes)


def scripted(folder: Path, distances: list[float]) -> Callable[[torch.nn.Module], Measured]:
    """A scorer whose next distance depends on the measurements in the log alone."""

    def scorer(_: torch.nn.Module) -> Measured:
        done = sum(one.held_out is not None for one in read_log(folder))
        return Measured(0.0, "toy@0", distances[done], 0.0, False)

    return scorer


DISTANCES = [5.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 0.0]


def trained(folder: Path, settings: GanConfig, progress: Silent | None = None) -> str:
    how = {"scorer": scripted(folder, DISTANCES), "score_kimg": 0.016, "progress": progress or Silent()}
    return run(folder, settings, **how)


def test_a_training_ends_by_itself_and_publishes_its_best(tmp_path: Path) -> None:
    progress = Silent()
    digest = trained(tmp_path / "g", auto(), progress)
    measured = [one.held_out for one in read_log(tmp_path / "g")]
    assert measured == DISTANCES[: 2 + PATIENCE]
    document, _ = read_generator(tmp_path / "g")
    assert document.kimg == pytest.approx(0.032)
    assert sha256_file(saved_generators(tmp_path / "g")[0.032]) == digest
    (said,) = [note for note in progress.notes if "ended at" in note]
    assert "has not fallen since 0.032 kimg, over 5 measurements" in said
    assert "The generator of 0.032 kimg" in said
    assert trained(tmp_path / "g", auto(kimg=2.0)) == digest, "more kimg do not change what the log shows"
    assert read_log(tmp_path / "g")[-1].kimg == pytest.approx(0.112)


@pytest.mark.parametrize("step", [9, 15, 26])
def test_an_interruption_changes_neither_the_end_nor_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    undisturbed = trained(tmp_path / "a", auto())
    average_step = Steps.average_step

    def dies(steps: Steps) -> None:
        if steps.training.step == step:
            raise InterruptedError
        average_step(steps)

    monkeypatch.setattr(Steps, "average_step", dies)
    with pytest.raises(InterruptedError):
        trained(tmp_path / "b", auto())
    monkeypatch.setattr(Steps, "average_step", average_step)
    assert trained(tmp_path / "b", auto()) == undisturbed
    assert [one.held_out for one in read_log(tmp_path / "b")] == [one.held_out for one in read_log(tmp_path / "a")]


def test_at_its_limit_it_publishes_the_best_too(tmp_path: Path) -> None:
    progress = Silent()
    trained(tmp_path / "g", auto(kimg=0.064), progress)
    assert read_generator(tmp_path / "g")[0].kimg == pytest.approx(0.032)
    assert any("ended at 0.064 kimg: it has reached its limit" in note for note in progress.notes)


def test_where_all_are_copies_the_last_is_kept_with_a_warning(tmp_path: Path) -> None:
    progress = Silent()
    copies = Measured(0.0, "toy@0", 1.0, 0.5, True)
    run(tmp_path / "g", auto(), scorer=lambda _: copies, score_kimg=0.016, progress=progress)
    assert read_generator(tmp_path / "g")[0].kimg == pytest.approx(0.032)
    assert any("All generators measured made copies" in text for text in progress.warnings)


@pytest.mark.slow
def test_two_processes_end_together(tmp_path: Path) -> None:
    settings = auto(batch=8, mbstd_group_size=2, save_kimg=0.064)
    how = {"scorer": scripted(tmp_path, DISTANCES), "score_kimg": 0.016}
    Local(2, CPU).train(Job(settings, images(), tmp_path, GanRun("toy", 12, CPU, **how)))  # type: ignore[arg-type]
    assert read_log(tmp_path)[-1].kimg == pytest.approx(0.112)
    assert read_generator(tmp_path)[0].kimg == pytest.approx(0.032)


def test_only_trainings_that_stop_by_themselves_record_it() -> None:
    assert not any(name.startswith("stop") for name in settings_of(config()))
    assert settings_of(auto())["stop"] == "auto"
