"""A training step: the same sums however the batch is cut, shared or repeated from fixed buffers."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from tiny_gan import CPU, EndsEarly, Fails, config, images, run
from torch import Tensor

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.generator import latest_state, read_log
from usgan_cli.core.formats.tensors import read_tensors
from usgan_cli.gan.augment import make_augment
from usgan_cli.gan.batches import Batch, TrainingImages, cut, named, under
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.cuda_graph import Graphs, resolve_graphs
from usgan_cli.gan.distributed import World
from usgan_cli.gan.init.transfer import freeze_discriminator
from usgan_cli.gan.launch import Job, Local, ParallelError, workers
from usgan_cli.gan.layers import minibatch_std
from usgan_cli.gan.microbatch import Gradients
from usgan_cli.gan.outputs import GanRun
from usgan_cli.gan.state import Training
from usgan_cli.gan.steps import Steps
from usgan_cli.gan.train import iterate


def wide(**changes: object) -> GanConfig:
    """Settings whose batch can be cut: four columns of groups."""
    return config(**{"batch": 16, "mbstd_group_size": 4, "kimg": 0.16, "ada_kimg": 0.5} | changes)


def make_steps(settings: GanConfig, **how: object) -> Steps:
    training = Training.start(settings, CPU)
    augment = make_augment(settings.aug, operations=settings.ada_ops, policy=settings.diffaug_policy)
    return Steps(settings, training, TrainingImages(images(), settings, CPU), augment, CPU, **how)  # type: ignore[arg-type]


def close(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float = 1e-4) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        scale = value.double().norm().clamp(min=1e-8)
        assert (value - other[name]).double().norm() / scale < tolerance, name


def test_parts_keep_the_groups_of_minibatch_deviation() -> None:
    x = torch.randn(16, 3, 4, 4, dtype=torch.float64)
    whole = minibatch_std(x, 4)[:, 3, 0, 0]
    parts = [minibatch_std(cut({"x": x}, i, 4, 4)["x"], 4)[:, 3, 0, 0] for i in range(4)]
    order = torch.cat([cut({"i": torch.arange(16)}, i, 4, 4)["i"] for i in range(4)])
    assert sorted(order.tolist()) == list(range(16))
    assert torch.allclose(torch.cat(parts), whole[order])


def test_names_go_under_a_prefix_and_come_back() -> None:
    tensors = {"a": torch.zeros(1), "b/c": torch.ones(1)}
    assert under("x", named("x", tensors) | {"y/a": torch.ones(1)}) == tensors


@pytest.mark.parametrize("aug", ["none", "ada", "diffaug"])
def test_a_batch_computed_in_parts_takes_the_same_steps(aug: str) -> None:
    settings = wide(aug=aug, mirror=True)
    at_once, in_parts = make_steps(settings), make_steps(settings, at_once=4)
    assert (at_once.microbatches.split, in_parts.microbatches.split) == (1, 4)
    for _ in range(3):
        iterate(settings, at_once.training, at_once)
        iterate(settings, in_parts.training, in_parts)
    close(at_once.training.tensors(), in_parts.training.tensors())
    whole, summed = at_once.means.take(), in_parts.means.take()
    assert whole == pytest.approx(summed, rel=1e-4)


def test_the_penalty_on_path_lengths_has_the_gradient_of_its_formula() -> None:
    settings = wide(aug="none")
    ours, plain = make_steps(settings, at_once=4), make_steps(settings)
    plain.training.path_length_mean.fill_(0.3)
    ours.training.path_length_mean.fill_(0.3)
    draws = plain._draws("path length")
    inputs = plain._draw_generated(8, draws)
    inputs["direction"] = torch.randn(8, 1, 16, 16, generator=draws.device)
    lengths, _, _ = plain._lengths(inputs)
    # As published: the mean moves first, and the gradient passes through its newest part too.
    mean = plain.training.path_length_mean.lerp(lengths.mean(), settings.pl_decay)
    penalty = (lengths - mean).square()
    (penalty.mean() * settings.pl_weight * settings.pl_interval).backward()  # type: ignore[no-untyped-call]
    expected = {name: p.grad for name, p in plain.training.generator.named_parameters() if p.grad is not None}
    ours.path_length_step()
    got = {name: p.grad for name, p in ours.training.generator.named_parameters() if name in expected}
    close(expected, got)  # type: ignore[arg-type]
    assert torch.allclose(ours.training.path_length_mean, mean.detach())


def test_where_memory_runs_out_fewer_images_are_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = wide(aug="none")
    plain, short = make_steps(settings), make_steps(settings)
    generator_part = short._generator_part

    def in_little_memory(part: Batch) -> Batch:
        sums = generator_part(part)
        if len(part["z"]) > 8:
            raise torch.OutOfMemoryError("too large")  # after gradients have been added to
        return sums

    monkeypatch.setattr(short, "_generator_part", in_little_memory)
    plain.generator_step()
    short.generator_step()
    assert short.microbatches.split == 2
    close(plain.training.tensors(), short.training.tensors())


def test_a_batch_that_never_fits_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(part: Batch) -> Batch:
        raise torch.OutOfMemoryError

    for how in ({}, {"at_once": 16}):
        short = make_steps(wide(), **how)
        monkeypatch.setattr(short, "_real_part", never)
        with pytest.raises(SettingsError, match="do not fit into the memory") as error:
            short.discriminator_step()
        assert "--batch-gpu" in str(error.value)


def test_frozen_layers_stay_as_they_are_and_the_rest_learns() -> None:
    settings = wide(aug="none")
    training = Training.start(settings, CPU)
    frozen = freeze_discriminator(training.discriminator, 3)
    before = {name: value.clone() for name, value in training.discriminator.state_dict().items()}
    worked = Steps(settings, training, TrainingImages(images(), settings, CPU), make_augment("none"), CPU)
    for _ in range(2):
        iterate(settings, training, worked)
    after = training.discriminator.state_dict()
    assert frozen
    assert all(torch.equal(after[name], before[name]) for name in frozen)
    assert not torch.equal(after["b16.skip.weight"], before["b16.skip.weight"])


def test_styles_are_mixed_by_one_cut_for_the_batch() -> None:
    worked = make_steps(wide(style_mixing_prob=1.0))
    drawn = worked._draw_generated(4, worked._draws("generator"))
    follows = drawn["follows_other"]
    assert (follows == follows[0]).all()
    assert not follows[0, 0]
    assert follows[0, -1]
    assert (follows[0].int().diff() >= 0).all(), "from the cut on, and not back again"
    generator = worked.training.generator
    first, other = (generator.mapping(drawn[z], drawn["labels"]) for z in ("z", "other_z"))
    _, ws = worked._generate(drawn)
    cut_at = int(follows[0].int().argmax())
    assert torch.equal(ws[:, :cut_at], first[:, :cut_at])
    assert torch.equal(ws[:, cut_at:], other[:, cut_at:])


def test_a_shared_image_is_judged_in_both_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[torch.Tensor] = []
    shown = Steps._augmented

    def record(steps: Steps, images: torch.Tensor, part: dict[str, torch.Tensor]) -> torch.Tensor:
        judged.append(images.detach().clone())
        return shown(steps, images, part)

    monkeypatch.setattr(Steps, "_augmented", record)
    for shared in (False, True):
        steps = make_steps(wide(share_images=shared), at_once=4)
        judged.clear()
        steps.generator_step()
        made = torch.cat(judged)
        judged.clear()
        steps.discriminator_step()
        assert torch.equal(torch.cat(judged)[: len(made)], made) == shared


def test_cuts_that_would_tear_groups_apart_are_refused() -> None:
    with pytest.raises(SettingsError, match="--batch-gpu 4, 8, 16"):
        make_steps(wide(), at_once=6)
    with pytest.raises(SettingsError, match="cannot be shared by 3"):
        make_steps(wide(), world=World(0, 3))


@pytest.mark.parametrize("changes", [{}, {"share_images": True, "lecam": 0.1, "spectrum_weight": 5.0}], ids=str)
def test_fixed_buffers_give_the_same_steps(monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]) -> None:
    """What a CUDA graph does, with a recorder that computes again: gradients stay where they are, inputs are copied."""
    recorded: list[str] = []

    def recorder(compute: Callable[[], Batch], kept: Sequence[Tensor]) -> tuple[Callable[[], None], Batch]:
        before = [value.clone() for value in kept]
        results = compute()
        recorded.append(",".join(sorted(results)))
        for value, old in zip(kept, before, strict=True):
            value.copy_(old)

        def replay() -> None:
            for name, value in compute().items():
                results[name].copy_(value)

        return replay, results

    monkeypatch.setattr(Graphs, "_record", lambda _, compute, kept: recorder(compute, kept))
    settings = wide(aug="diffaug", **changes)
    eager, replayed = make_steps(settings), make_steps(settings, graphs="on")
    for _ in range(5):
        iterate(settings, eager.training, eager)
        iterate(settings, replayed.training, replayed)
    close(eager.training.tensors(), replayed.training.tensors(), 1e-6)
    assert len(recorded) == 5, "each of the five computations is recorded once"


def test_a_step_that_cannot_be_recorded_is_taken_without_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> object:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Graphs, "_record", fails)
    settings, warnings = wide(aug="none"), []
    eager, without = make_steps(settings), make_steps(settings, graphs="auto", warn=warnings.append)
    for _ in range(2):
        iterate(settings, eager.training, eager)
        iterate(settings, without.training, without)
    close(eager.training.tensors(), without.training.tensors(), 1e-6)
    assert len(warnings) == 1
    assert "operation not permitted" in warnings[0]
    with pytest.raises(RuntimeError, match="operation not permitted"):
        make_steps(settings, graphs="on").generator_step()


def test_graphs_are_refused_where_there_is_no_gpu() -> None:
    assert resolve_graphs("auto", CPU) == "off"
    with pytest.raises(SettingsError, match="needs a GPU"):
        resolve_graphs("on", CPU)


def test_gradients_in_one_block_are_cleaned_as_they_are_apart() -> None:
    def filled(*, in_one_block: bool) -> Gradients:
        kernel = torch.zeros(5, 3, 3, 3).to(memory_format=torch.channels_last).requires_grad_(True)
        parameters = [kernel, torch.zeros([], requires_grad=True), torch.zeros(7, requires_grad=True)]
        gradients = Gradients(parameters, in_one_block=in_one_block)
        gradients.clear()
        factors = torch.tensor([1.0, float("nan"), float("inf"), -float("inf"), 2, 3, 4])
        weights = torch.arange(135.0).reshape(5, 3, 3, 3)
        ((kernel * weights).sum() + parameters[1] * 3 + (parameters[2] * factors).sum()).backward()
        gradients.make_finite()
        return gradients

    block, apart = filled(in_one_block=True), filled(in_one_block=False)
    assert len(block.tensors()) == 1
    for one, other in zip(block.parameters, apart.parameters, strict=True):
        assert torch.equal(one.grad, other.grad)
        assert one.grad.stride() == one.stride(), "a fused optimiser walks both in the order of memory"
    assert torch.allclose(block.norm(), apart.norm())
    assert block.parameters[2].grad.tolist() == [1, 0, 1e5, -1e5, 2, 3, 4]


def _train_in_two(settings: GanConfig, folder: Path) -> None:
    Local(2, CPU).train(Job(settings, images(), folder, GanRun("toy", 12, CPU)))


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    """Eight steps; then a state made by two processes is continued by one, and the other way round.

    In float64, because a generator and a discriminator together amplify rounding: Adam without momentum makes a
    whole step of a gradient that is nothing but rounding.
    """
    settings, longer = (wide(kimg=kimg, precision="float64", ada_target=0.4) for kimg in (0.128, 0.16))
    folders = {name: tmp_path / name for name in ("one", "two")}
    for folder in folders.values():
        folder.mkdir()
    run(folders["one"], settings)
    _train_in_two(settings, folders["two"])
    compare_states(folders["one"], folders["two"], 8)
    assert len(multiprocessing.active_children()) == 0
    run(folders["two"], longer)
    _train_in_two(longer, folders["one"])
    compare_states(folders["one"], folders["two"], 10)


def compare_states(one: Path, two: Path, expected_steps: int) -> None:
    states = [latest_state(folder / "checkpoint") for folder in (one, two)]
    assert all(state is not None and state.step == expected_steps for state in states)
    assert states[0].augment == states[1].augment, "p and its sums are equal"  # type: ignore[union-attr]
    assert states[0].p > 0  # type: ignore[union-attr]
    tensors = [
        read_tensors(state.tensor_file(folder / "checkpoint"))  # type: ignore[union-attr]
        for state, folder in zip(states, (one, two), strict=True)
    ]
    networks = [{k: v for k, v in t.items() if k.startswith(("g/", "d/", "ema/"))} for t in tensors]
    close(networks[0], networks[1], 1e-7)
    rows = [read_log(folder)[-1] for folder in (one, two)]
    assert rows[0].r_t == pytest.approx(rows[1].r_t, abs=1e-6)
    assert rows[0].loss_g == pytest.approx(rows[1].loss_g, rel=1e-7)


@pytest.mark.slow
def test_an_error_in_one_process_ends_the_training(tmp_path: Path) -> None:
    arguments = (config(), images(), tmp_path, GanRun("toy", 12, CPU))
    with pytest.raises(ParallelError, match="exit code 3"), workers(2, "cpu", EndsEarly(*arguments)) as (world, _):
        world.wait()
        world.wait()
    with (
        pytest.raises(ParallelError, match="1 of 2 processes ended early"),
        workers(2, "cpu", Fails(*arguments)),
    ):
        pass
