"""`--stop auto`: when it ends, which generator it keeps, and that interruptions and processes change neither."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_gan import CPU, config, images, run

from usgan_cli.core.formats.generator import GeneratorDocument, LogRow, read_generator, read_log, saved_generators
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.files import sha256_file
from usgan_cli.gan.config import GanConfig, settings_of
from usgan_cli.gan.early_stop import PATIENCE, best_of, reason_to_stop
from usgan_cli.gan.launch import Job, Local
from usgan_cli.gan.outputs import GanRun, Measured
from usgan_cli.gan.state import Training
from usgan_cli.gan.steps import Steps
from usgan_cli.gan.stop import Ending, Limits


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


@pytest.mark.parametrize("images_shown", [16, 32, 48, 52])
def test_a_stop_where_something_is_due_leaves_it_to_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images_shown: int
) -> None:
    """A stop is quick: it measures nothing and draws no samples, but neither may be lost."""
    undisturbed = trained(tmp_path / "a", auto())
    ending = Limits.ending

    def stops(limits: Limits) -> Ending | None:
        return "stopped" if limits.training.images == images_shown else ending(limits)

    monkeypatch.setattr(Limits, "ending", stops)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "b", auto())
    stopped = read_log(tmp_path / "b")[-1]
    assert (1000 * stopped.kimg, stopped.held_out) == (images_shown, None)
    monkeypatch.setattr(Limits, "ending", ending)
    assert trained(tmp_path / "b", auto()) == undisturbed
    for known in ("held_out", "diversity"):
        there, again = (
            {row.kimg: getattr(row, known) for row in read_log(tmp_path / name) if getattr(row, known) is not None}
            for name in "ab"
        )
        assert again == there
    sheets = [{path.name: path.read_bytes() for path in (tmp_path / name / "samples").glob("*.png")} for name in "ab"]
    assert sheets[0] == sheets[1]


def test_a_stop_at_the_end_leaves_the_last_measurement_to_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = trained(tmp_path / "a", auto(kimg=0.032))
    with monkeypatch.context() as patch:
        patch.setattr(Limits, "ending", lambda limits: "stopped" if limits.training.images == 32 else None)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "b", auto(kimg=0.032))
    assert trained(tmp_path / "b", auto(kimg=0.032)) == undisturbed
    assert [row.held_out for row in read_log(tmp_path / "b") if row.held_out is not None] == DISTANCES[:2]


def test_the_best_of_after_the_saved_state_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process is killed after it has measured and before it has saved; then the training is made shorter."""
    folder, save = tmp_path / "g", Training.save

    def dies(training: Training, *where: Any) -> None:
        if training.images == 32:
            raise InterruptedError
        save(training, *where)

    monkeypatch.setattr(Training, "save", dies)
    with pytest.raises(InterruptedError):
        trained(folder, auto(save_kimg=0.016))
    assert read_generator(folder / "best")[0].kimg == pytest.approx(0.032)
    assert list(saved_generators(folder)) == [0.016, 0.032]
    monkeypatch.setattr(Training, "save", save)
    digest = trained(folder, auto(save_kimg=0.016, kimg=0.02))
    assert read_generator(folder)[0].kimg == read_generator(folder / "best")[0].kimg == pytest.approx(0.02)
    assert list(saved_generators(folder)) == [0.016, 0.02]
    assert sha256_file(saved_generators(folder)[0.02]) == digest


def test_the_best_of_before_is_restored_from_what_was_saved_then(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    trained(folder, auto(kimg=0.064))
    best = {path.name: path.read_bytes() for path in (folder / "best").iterdir()}
    document = GeneratorDocument.read(folder / "best" / "generator.json")
    document.model_copy(update={"kimg": 0.5}).write(folder / "best" / "generator.json")
    (folder / "best" / "generator.safetensors").write_bytes(b"of a process that was killed")
    trained(folder, auto(kimg=0.068))
    assert {path.name: path.read_bytes() for path in (folder / "best").iterdir()} == best


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
