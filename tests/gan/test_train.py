"""Training: the same bytes after any interruption, one seam between the three GANs, and every part of the loop."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_gan import CPU, config, images, projected, run

from usgan_cli.core.errors import DamagedError, FormatError, MissingError
from usgan_cli.core.formats.generator import BestScore, LogRow, TrainingState, latest_state, read_generator, read_log
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.files import sha256_file
from usgan_cli.gan.augment import NoAugment, make_augment
from usgan_cli.gan.batches import TrainingImages
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.outputs import Due, GanRun
from usgan_cli.gan.state import Training, lazy_adam
from usgan_cli.gan.steps import Steps
from usgan_cli.gan.train import Schedule
from usgan_cli.gan.warnings import DivergedError, Warnings, check_finite, diversity


def load(settings: GanConfig, folder: Path) -> Training:
    training, state = Training.start(settings, CPU), latest_state(folder)
    assert state is not None
    training.load(state, folder)
    return training


class StoppedError(Exception):
    """Raised where a process would be killed."""


@pytest.mark.parametrize("aug", ["none", "ada", "diffaug"])
def test_an_interrupted_training_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aug: str
) -> None:
    settings = config(aug=aug, ada_kimg=0.05)
    undisturbed = run(tmp_path / "a", settings)

    average_step = Steps.average_step

    def dies(steps: Steps) -> None:
        if steps.training.step == 6:
            raise StoppedError
        average_step(steps)

    monkeypatch.setattr(Steps, "average_step", dies)
    with pytest.raises(StoppedError):
        run(tmp_path / "b", settings)
    assert not (tmp_path / "b" / "generator.json").exists()
    monkeypatch.setattr(Steps, "average_step", average_step)
    assert run(tmp_path / "b", settings) == undisturbed
    rows = read_log(tmp_path / "b")
    assert [row.kimg for row in rows] == [row.kimg for row in read_log(tmp_path / "a")]
    assert len(list((tmp_path / "b" / "checkpoint").glob("*.safetensors"))) == 1


def test_how_often_the_state_is_saved_changes_nothing(tmp_path: Path) -> None:
    assert run(tmp_path / "a", config()) == run(tmp_path / "b", config(save_kimg=1.0, tick_kimg=1.0))


@pytest.mark.slow
def test_the_seed_and_the_treatment_change_the_result(tmp_path: Path) -> None:
    variants = [config(), config(seed=1), config(aug="diffaug"), config(mirror=True), config(r1_gamma=5.0)]
    digests = {run(tmp_path / str(i), variant) for i, variant in enumerate(variants)}
    assert len(digests) == len(variants)


def test_files_of_a_finished_training(tmp_path: Path) -> None:
    run(tmp_path / "g", config())
    document, tensors = read_generator(tmp_path / "g")
    assert document.class_counts == {"a": 4, "b": 4, "c": 4}
    assert document.kimg == pytest.approx(0.04)
    assert tensors["mapping.w_avg"].abs().max() > 0
    assert {path.name for path in (tmp_path / "g" / "samples").iterdir()} >= {"kimg00000.016.png", "kimg00000.040.png"}
    rows = read_log(tmp_path / "g")
    assert rows[-1].kimg == pytest.approx(0.04)
    assert all(row.r1 > 0 for row in rows[:1]), "R1 is measured in the first step"


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "g", config())
    (tensor_file,) = (tmp_path / "g" / "checkpoint").glob("*.safetensors")
    tensor_file.write_bytes(tensor_file.read_bytes()[:-1] + b"x")
    with pytest.raises(FormatError, match="SHA-256"):
        load(config(), tmp_path / "g" / "checkpoint")


def test_a_state_of_another_architecture_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "g", config())
    with pytest.raises(FormatError, match="does not fit"):
        load(config(channel_max=8), tmp_path / "g" / "checkpoint")


def test_a_cut_last_line_of_the_log_is_left_out(tmp_path: Path) -> None:
    run(tmp_path / "g", config())
    whole = read_log(tmp_path / "g")
    log = tmp_path / "g" / "log.jsonl"
    log.write_text(log.read_text() + json.dumps({"kimg": 1})[:-3])
    assert read_log(tmp_path / "g") == whole
    with log.open("a") as file:
        file.write("\n{}\n")
    with pytest.raises(FormatError, match=f"line {len(whole) + 1}"):
        read_log(tmp_path / "g")


def test_optimiser_is_corrected_for_lazy_regularisation() -> None:
    adam = lazy_adam(torch.nn.Linear(2, 2), 0.0025, 16)
    (group,) = adam.param_groups
    assert group["lr"] == pytest.approx(0.0025 * 16 / 17)
    assert group["betas"] == pytest.approx((0.0, 0.99 ** (16 / 17)))
    assert group["eps"] == 1e-8


def make_steps(settings: GanConfig, augment: object = None) -> Steps:
    training = Training.start(settings, CPU)
    return Steps(settings, training, TrainingImages(images(), settings, CPU), augment or NoAugment(), CPU)  # type: ignore[arg-type]


def test_every_image_is_shown_once_an_epoch_and_orders_differ() -> None:
    shown = TrainingImages(images(), config(), CPU)
    epochs = [torch.cat([shown._indices(12 * e + 4 * i, 4) for i in range(3)]) for e in range(2)]
    assert all(sorted(epoch.tolist()) == list(range(12)) for epoch in epochs)
    assert epochs[0].tolist() != epochs[1].tolist()
    again = TrainingImages(images(), config(), CPU)
    assert torch.equal(again._indices(14, 4), torch.cat(epochs)[14:18])


def test_generated_labels_follow_the_training_labels() -> None:
    data = images()
    skewed = dataclasses.replace(data, labels=np.array([0] * 11 + [2]))
    shown = TrainingImages(skewed, config(), CPU)
    drawn = shown.draw_labels(6000, torch.Generator().manual_seed(0)).mean(dim=0)
    assert drawn.tolist() == pytest.approx([11 / 12, 0, 1 / 12], abs=0.02)


def test_the_discriminator_sees_every_image_through_the_seam() -> None:
    seen: list[torch.Tensor] = []

    class Spy(NoAugment):
        def apply(self, images: torch.Tensor, drawn: Mapping[str, torch.Tensor]) -> torch.Tensor:
            seen.append(images)
            return super().apply(images, drawn)

    steps = make_steps(config(), Spy())
    steps.generator_step()
    assert len(seen) == 1
    assert seen[0].requires_grad
    steps.path_length_step()
    assert len(seen) == 1, "path length does not involve the discriminator"
    steps.discriminator_step()
    assert len(seen) == 3
    steps.r1_step()
    assert len(seen) == 4
    assert seen[3].is_leaf, "R1's gradient is with respect to the image before augmentation"
    assert seen[3].requires_grad


def test_r1_gradient_passes_through_the_augmentation() -> None:
    plain, shifted = make_steps(config()), make_steps(config(), make_augment("diffaug", policy=("cutout",)))
    plain.r1_step()
    shifted.r1_step()
    assert 0 < shifted.means.take()["r1"] < plain.means.take()["r1"]


def test_steps_move_only_their_own_network() -> None:
    steps = make_steps(config())
    before = {k: v.clone() for k, v in steps.training.tensors().items()}
    steps.generator_step()
    after = steps.training.tensors()
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith(("d/", "ema/")))
    assert any(not torch.equal(before[k], after[k]) for k in before if k.startswith("g/synthesis"))
    assert not torch.equal(before["g/mapping.w_avg"], after["g/mapping.w_avg"])
    before = {k: v.clone() for k, v in after.items()}
    steps.discriminator_step()
    after = steps.training.tensors()
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith("g/") and "w_avg" not in k)
    assert not torch.equal(before["g/mapping.w_avg"], after["g/mapping.w_avg"])
    assert any(not torch.equal(before[k], after[k]) for k in before if k.startswith("d/"))


def test_average_has_its_half_life_and_copies_buffers() -> None:
    settings = config(ema_kimg=0.004, ema_rampup=1e9)
    steps = make_steps(dataclasses.replace(settings, ema_rampup=None))
    const = steps.training.generator.synthesis.b4.const
    with torch.no_grad():
        start = steps.training.average.synthesis.b4.const.clone()
        const.add_(1.0)
        steps.training.generator.mapping.w_avg.fill_(3.0)
    steps.average_step()  # one batch of 4 images is one half-life of 0.004 kimg
    assert torch.allclose(steps.training.average.synthesis.b4.const, start + 0.5)
    assert torch.equal(steps.training.average.mapping.w_avg, steps.training.generator.mapping.w_avg)


def test_gradients_that_are_not_finite_are_replaced() -> None:
    steps = make_steps(config())
    weight = steps.training.discriminator.b4.out.bias
    for broken, replaced in ((float("nan"), 0.0), (float("inf"), 1e5), (float("-inf"), -1e5)):
        weight.grad = torch.full_like(weight, broken)
        steps._update(steps.training.adam_d, steps.d_gradients, {})
        assert torch.equal(weight.grad, torch.full_like(weight, replaced))


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DivergedError, match="loss_g"):
        check_finite({"loss_g": float("nan"), "loss_d_real": 0.0, "loss_d_fake": 0.0})
    with pytest.raises(DivergedError, match="r1 is inf"):  # a weight of 0 keeps it out of the losses
        check_finite({"loss_g": 0.0, "loss_d_real": 0.0, "loss_d_fake": 0.0, "r1": float("inf")})
    from usgan_cli.gan import losses

    monkeypatch.setattr(losses, "generator_loss", lambda logits: logits * float("inf"))
    with pytest.raises(DivergedError):
        run(tmp_path / "g", config())
    assert not (tmp_path / "g" / "checkpoint").exists(), "a broken state is not saved over a good one"


def test_a_measured_generator_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    folder.mkdir()
    measured: list[float] = []

    def scorer(generator: torch.nn.Module) -> tuple[float, str]:
        measured.append(float(len(measured)))
        return measured[-1], "toy@0"

    run(folder, config(), scorer=scorer, score_kimg=0.016)
    rows = read_log(folder)
    assert [row.fd for row in rows if row.fd is not None] == measured
    assert len(list((folder / "snapshots").iterdir())) == len(measured)
    best, _ = read_generator(folder / "best")
    assert best.kimg == pytest.approx(0.016), "the first measurement was the lowest"
    state = latest_state(folder / "checkpoint")
    assert state is not None
    assert state.best == BestScore(kimg=best.kimg, fd=0.0, extractor="toy@0")
    shutil.rmtree(folder / "checkpoint")
    plain = tmp_path / "p"
    assert run(plain, config()) == sha256_file(folder / "generator.safetensors"), "measuring must not disturb training"


@pytest.mark.slow
def test_a_longer_training_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    straight = run(tmp_path / "a", config(kimg=0.064))
    short = run(tmp_path / "b", config(kimg=0.04))
    assert short != straight
    assert run(tmp_path / "b", config(kimg=0.064)) == straight
    document, _ = read_generator(tmp_path / "b")
    assert document.kimg == pytest.approx(0.064)


def test_while_a_training_goes_on_it_does_not_look_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "g", config(kimg=0.032))

    def dies(steps: Steps) -> None:
        raise StoppedError

    monkeypatch.setattr(Steps, "generator_step", dies)
    with pytest.raises(StoppedError):
        run(tmp_path / "g", config(kimg=0.064))
    with pytest.raises(MissingError):
        read_generator(tmp_path / "g")


def test_as_many_states_are_kept_as_asked(tmp_path: Path) -> None:
    straight = run(tmp_path / "g", config(kimg=0.064), keep=2)
    folder = tmp_path / "g" / "checkpoint"
    states = sorted(folder.glob("kimg*.json"))
    assert [path.name for path in states] == ["kimg00000.048.json", "kimg00000.064.json"]
    assert {TrainingState.read(path).tensors for path in states} == {path.stem for path in folder.glob("*.safetensors")}
    states[-1].unlink()  # a user who goes back to the state before
    assert run(tmp_path / "g", config(kimg=0.064), keep=2) == straight


def test_the_time_lapse_shows_every_sheet(tmp_path: Path) -> None:
    run(tmp_path / "g", config(kimg=0.064))
    sheets = sorted((tmp_path / "g" / "samples").glob("*.png"))
    with Image.open(tmp_path / "g" / "samples" / "timelapse.gif") as lapse, Image.open(sheets[0]) as first:
        assert lapse.n_frames == len(sheets) == 4
        assert lapse.size == first.size
        assert np.array_equal(np.asarray(lapse.convert("L")), np.asarray(first))


def test_sheets_of_samples_must_be_those_of_the_state(tmp_path: Path) -> None:
    """The page and the time-lapse of a training that goes on show sheets of earlier runs."""
    folder = tmp_path / "g"
    run(folder, config(kimg=0.016, save_kimg=0.008))
    first, second, *_ = sheets = sorted((folder / "samples").glob("kimg*.png"))
    data = {sheet: sheet.read_bytes() for sheet in sheets}
    first.write_bytes(data[second])
    second.write_bytes(data[first])
    with pytest.raises(DamagedError, match=first.name):
        run(folder, config(kimg=0.024, save_kimg=0.008))
    second.write_bytes(data[second])
    first.unlink()  # one that is gone is not shown
    run(folder, config(kimg=0.024, save_kimg=0.008))
    assert second.read_bytes() == data[second]
    run(tmp_path / "straight", config(kimg=0.024, save_kimg=0.008))
    last = latest_state(folder / "checkpoint")
    straight = latest_state(tmp_path / "straight" / "checkpoint")
    assert last is not None
    assert straight is not None
    assert last.samples == straight.samples


def test_sheets_from_after_the_state_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    run(folder, config(kimg=0.008))
    later = folder / "samples" / "kimg00000.500.png"
    later.write_bytes(b"of a process that was killed")
    run(folder, config(kimg=0.016))
    assert not later.exists()


def test_tensorboard_gets_the_log(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run(tmp_path / "g", config(), tensorboard=True)
    events = accumulator.EventAccumulator(str(tmp_path / "g" / "tensorboard"))
    events.Reload()
    rows = read_log(tmp_path / "g")
    shown = [(event.step, event.value) for event in events.Scalars("loss_g")]
    assert [step for step, _ in shown] == [round(row.kimg * 1000) for row in rows]
    assert [value for _, value in shown] == pytest.approx([row.loss_g for row in rows])
    assert len(events.Images("samples")) == 3


def test_diversity_is_the_root_mean_square_distance_of_two_images() -> None:
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (5, 1, 16, 16)).astype(np.uint8)
    pairs = [np.mean((images[i].astype(float) - images[j]) ** 2) for i in range(5) for j in range(i)]
    assert diversity([images]) == pytest.approx(np.sqrt(np.mean(pairs)))
    assert diversity([images, images]) == pytest.approx(diversity([images]))
    assert diversity([images[:1].repeat(4, axis=0)]) == 0
    assert diversity([images[:1], []]) is None
    noisy = np.clip(
        images.repeat(4, axis=2).repeat(4, axis=3).astype(int) + draws.integers(-9, 10, (5, 1, 64, 64)), 0, 255
    )
    assert diversity([noisy.astype(np.uint8)]) == pytest.approx(diversity([images]), rel=0.02)


def a_row(**changes: float) -> LogRow:
    figures = dict.fromkeys(
        ("kimg", "seconds", "s_per_kimg", "loss_g", "loss_d_real", "loss_d_fake", "r_t", "p", "r1", "path_length"), 0.5
    )
    return LogRow(**(figures | {"grad_g": 1, "grad_d": 1, "memory_mb": 1} | changes))


@pytest.mark.parametrize(
    ("shares", "warns"),
    [([0.2, 0.7, 0.8, 0.7], False), ([0.1, 0.2], False), ([0.9, 0.7, 0.3], True), ([2.0, 1.2, 0.8], False)],
)
def test_a_collapse_is_told_from_a_beginning(shares: list[float], warns: bool) -> None:
    at_once, resumed = Silent(), Silent()
    rows = [a_row(diversity=share) for share in shares]
    warnings = Warnings(at_once, config())
    for row in rows:
        warnings.check(row)
    Warnings(resumed, config(), rows[:-1]).check(rows[-1])
    for progress in (at_once, resumed):
        assert [True for text in progress.warnings if "mode collapse" in text] == [True] * warns


def due_at(counts: range, seconds_an_image: float, **changes: object) -> dict[str, list[int]]:
    """Return at which numbers of images a line of the log, samples, a score and a saved state are due."""
    settings = config(tick_kimg=0.008, save_kimg=0.016, **changes)
    toy = GanRun("toy", 12, CPU, scorer=lambda _: (0.0, "toy"), score_kimg=0.032)
    schedule = Schedule(settings, toy, Training.start(settings, CPU))
    due = {count: schedule.due(count, count * seconds_an_image, None) for count in counts}
    return {name: [count for count in counts if getattr(due[count], name)] for name in Due._fields}


def test_what_is_due_is_counted_in_images() -> None:
    due = due_at(range(0, 65, 4), 1.0)
    assert due["report"] == [8, 16, 24, 32, 40, 48, 56, 64]
    assert due["save"] == due["samples"] == [16, 32, 48, 64]
    assert due["score"] == [32, 64]


def test_a_state_is_saved_by_minutes_too() -> None:
    assert due_at(range(0, 41, 4), 1.0, save_minutes=0.2)["save"] == [12, 16, 28, 32]


def test_warnings_are_said_once_and_in_words() -> None:
    progress = Silent()
    warnings = Warnings(progress, config())
    row = a_row(r_t=0.99, p=0.9)
    warnings.check(row)
    warnings.check(row)
    assert len(progress.warnings) == 2
    assert any("over 0.8" in text for text in progress.warnings)
    assert any("overfits" in text for text in progress.warnings)


def test_what_is_no_warning_sign_of_a_projected_discriminator_with_diffaug() -> None:
    progress = Silent()
    Warnings(progress, projected()).check(a_row(r_t=0.99, p=1.0))
    assert progress.warnings == []
