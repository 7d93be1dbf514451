"""How fast training, generation and classifiers are, and which kernels cost most."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from gpu.gan import free, settings, start, use_kernels
from gpu.machine import floors, generator_gflop, seconds, synchronize
from gpu.results import Check, Section
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.core.machine import device as devices
from usgan_cli.core.machine.precision import resolve_precision
from usgan_cli.core.options import settings_for
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.sample import make_images
from usgan_cli.gan.steps import Steps
from usgan_cli.gan.train import iterate

CYCLE = 16
"""Iterations after which every regulariser has had its share."""


@dataclass(frozen=True)
class Case:
    """One way of training."""

    resolution: int
    batch: int
    precision: str
    kernels: str
    graphs: bool
    aug: str
    benchmark: bool = False

    @property
    def name(self) -> str:
        """Its name in the table."""
        parts = [f"{self.resolution} px", f"batch {self.batch}", self.precision, self.kernels]
        parts += ["graphs" if self.graphs else "eager", self.aug, *(["cudnn.benchmark"] if self.benchmark else [])]
        return ", ".join(parts)

    def config(self) -> GanConfig:
        """Return the settings of its training."""
        if self.resolution < 64:
            return settings(self.resolution, self.precision, preset="tiny", aug=self.aug, batch=self.batch)
        preset = "paper256" if self.resolution == 256 else "auto"
        group = 8 if self.batch == 64 else 4
        return settings(
            self.resolution, self.precision, preset=preset, aug=self.aug, batch=self.batch, mbstd_group_size=group
        )


def cases(check: Check) -> list[Case]:
    """Return what is timed, what matters most first."""
    if check.small:
        return [Case(16, 4, "float32", "torch", False, aug) for aug in ("none", "ada")]
    first = Case(256, 64, "bf16", "triton", True, "none")
    ways = [
        {},
        {"aug": "ada"},
        {"graphs": False},
        {"batch": 16},
        {"batch": 16, "graphs": False},
        {"resolution": 64},
        {"resolution": 64, "batch": 16},
        {"resolution": 64, "batch": 16, "graphs": False},
        {"resolution": 64, "batch": 16, "aug": "ada"},
        {"precision": "fp16"},
        {"aug": "diffaug"},
        {"kernels": "torch"},
        {"kernels": "torch", "graphs": False},
        {"benchmark": True},
        {"resolution": 64, "kernels": "torch"},
        {"kernels": "torch", "precision": "fp16"},
        {"aug": "ada", "kernels": "torch"},
    ]
    return [Case(**asdict(first) | way) for way in ways]


def training_speed(check: Check, section: Section) -> None:
    """Time trainings, the rest of the list as long as time allows."""
    longest = 0.0
    for case in cases(check):
        if section.left() < longest:
            section.row("left out for lack of time", case.name)
            continue
        if problem := use_kernels(case.kernels, check.device):
            section.row(case.name, "not possible", why=problem)
            continue
        began = time.perf_counter()
        try:
            timed = _timed_apart(case, section.left()) if case.benchmark else _timed(case, check.device, section.left())
        except Exception as error:
            if "CUDA error" in str(error):
                raise
            section.row(case.name, "failed", ok=False, why=f"{type(error).__name__}: {error}")
            continue
        finally:
            free()
        longest = max(longest, min(time.perf_counter() - began, 15.0))
        config, measured = case.config(), timed.pop("s_per_kimg")
        shares = floors(section.results, case.resolution, config.channel_base, config.channel_max).shares(measured)
        section.row(case.name, measured, "s/kimg", **timed, **shares)


def _timed(case: Case, device: str, left: float) -> dict[str, float]:
    """Return seconds per thousand images, seconds of warm-up and the peak of memory in GB."""
    with devices.prepared(torch.device(device), tuned=case.benchmark):
        return _timed_as_set_up(case, device, left)


def _timed_as_set_up(case: Case, device: str, left: float) -> dict[str, float]:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    config = case.config()
    began = time.perf_counter()
    steps = start(config, device, graphs=case.graphs, p=0.5)
    _run(steps, 2)
    synchronize(device)
    warm_up = time.perf_counter() - began
    steps.training.step = 0
    began = time.perf_counter()
    done = 0
    while done == 0 or (done < 3 and time.perf_counter() - began < min(2.0, left / 4)):
        _run(steps, CYCLE)
        synchronize(device)
        done += 1
    spent = time.perf_counter() - began
    timing = {"s_per_kimg": spent / (done * CYCLE * config.batch) * 1000, "warm-up s": warm_up}
    if device == "cuda":
        timing["peak GB"] = torch.cuda.max_memory_allocated() / 1e9
    if not all(np.isfinite(value) for value in steps.means.take().values()):
        raise ArithmeticError("losses are not finite")
    return timing


def _run(steps: Steps, iterations: int) -> None:
    for _ in range(iterations):
        iterate(steps.config, steps.training, steps)


def _timed_apart(case: Case, left: float) -> dict[str, float]:
    """Time in a process of its own, since cuDNN keeps its benchmark's choices for the life of a process."""
    program = (
        "import json, sys; from gpu.speed import Case, _timed; "
        "print(json.dumps(_timed(Case(**json.loads(sys.argv[1])), 'cuda', 1.0)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, json.dumps(asdict(case))],
        cwd=Path(__file__).resolve().parent.parent,
        capture_output=True,
        text=True,
        timeout=max(left, 20),
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(ended.stderr.strip().splitlines()[-1] if ended.stderr.strip() else "it ended early")
    timing: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return timing


def generation_speed(check: Check, section: Section) -> None:
    """Time the generator alone, and generation as the command does it."""
    case = cases(check)[0]
    config = case.config()
    for kernels in ("triton", "torch"):
        if problem := use_kernels(kernels, check.device):
            section.row(f"kernels {kernels}", "not used", why=problem)
            continue
        generator = start(config, check.device).training.average
        device = torch.device(check.device)
        z, labels = torch.randn(case.batch, config.z_dim, device=device), torch.eye(config.c_dim, device=device)
        labels = labels[torch.arange(case.batch, device=device) % config.c_dim]

        def make(generator: torch.nn.Module = generator, z: torch.Tensor = z, labels: torch.Tensor = labels) -> None:
            with torch.no_grad():
                generator.synthesis(generator.mapping(z, labels), generator.synthesis.draw_noise(len(z), None))

        spent = seconds(make, check.device, 0.3 if check.small else 1.0) / case.batch
        rate = generator_gflop(config.resolution, config.channel_base, config.channel_max) / spent / 1000
        what = f"{config.resolution} px, {config.precision}, {kernels}"
        section.row(f"network, {what}", spent * 1000, "ms/image", tflops=rate)
        count = 2 * case.batch if check.small else 512

        def command(generator: torch.nn.Module = generator, count: int = count) -> None:
            for _ in make_images(generator, range(count), [i % config.c_dim for i in range(count)]):
                pass

        spent = seconds(command, check.device, 0.1) / count
        section.row(f"as usgan generate makes them, {what}", spent * 1000, "ms/image")
        free()


def costly_kernels(check: Check, section: Section) -> None:
    """List the ten costliest kernels of each phase of an iteration."""
    case = cases(check)[0]
    use_kernels("triton", check.device)
    config = case.config()
    steps = start(config, check.device, p=0.5)
    training = steps.training

    def optimise() -> None:
        training.adam_g.step()
        training.adam_d.step()
        steps.average_step()

    phases: dict[str, Callable[[], None]] = {
        "generator": steps.generator_step,
        "path length": steps.path_length_step,
        "discriminator": steps.discriminator_step,
        "R1": steps.r1_step,
        "optimiser and average": optimise,
    }
    for phase in phases.values():
        phase()
        phase()
    for name, phase in phases.items():
        section.row(f"{name}, waited for", seconds(phase, check.device, 0.2) * 1000, "ms")
    activity = torch.profiler.ProfilerActivity.CUDA if check.device == "cuda" else torch.profiler.ProfilerActivity.CPU
    for name, phase in phases.items():
        with torch.profiler.profile(activities=[activity]) as profiler:
            phase()
            synchronize(check.device)
        events = profiler.key_averages()
        spent = {event.key: (_own_ms(event, check.device), event.count) for event in events}
        total, calls = (sum(both[i] for both in spent.values()) for i in (0, 1))
        section.row(f"{name}: all kernels", total, "ms", calls=calls)
        for key, (ms, count) in sorted(spent.items(), key=lambda item: -item[1][0])[: 3 if check.small else 10]:
            section.row(f"  {key[:56]}", ms, "ms", calls=count)


def _own_ms(event: object, device: str) -> float:
    name = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    return float(getattr(event, name)) / 1000


def classifier_speed(check: Check, section: Section) -> None:
    """Time the fine-tuning of classifiers with random weights, an epoch beyond the first."""
    from usgan_cli.classify.config import ClassifierConfig
    from usgan_cli.classify.finetune import LabelledImages, finetune_fold
    from usgan_cli.classify.models import open_backbone
    from usgan_cli.core.progress import Silent

    device = torch.device(check.device)
    names = ["test_efficientnet"] if check.small else ["efficientnet_b2", "tf_efficientnet_lite0"]
    precision = resolve_precision("auto", device.type)
    for name in names:
        count, more = (16, 1) if check.small else (512, 2)
        spent = []
        # The first training is a warm-up of every phase; the next two differ by the epochs that are timed.
        for epochs in (1 + more, 1, 1 + more):
            options = TrainClassifier(
                n=count, backbone=name, weights="none", epochs=epochs, patience=99, device=check.device,
                precision=precision, size=32 if check.small else None, budget="epochs",
            )  # fmt: skip
            config = ClassifierConfig(**settings_for(options, ClassifierConfig))
            backbone = open_backbone(config, 3, Silent())
            pixels = torch.randint(0, 256, (count, 1, backbone.size, backbone.size), dtype=torch.uint8)
            labelled = LabelledImages(pixels, torch.arange(count) % 3)
            few = LabelledImages(pixels[:32], labelled.labels[:32])
            began = time.perf_counter()
            finetune_fold(
                backbone, config, 0, train=labelled, val=few, test=pixels[:32], device=device, precision=precision,
                progress=Silent(),
            )  # fmt: skip
            synchronize(check.device)
            spent.append(time.perf_counter() - began)
        rate = more * count / (spent[2] - spent[1])
        warm_up = spent[0] - spent[2]
        section.row(f"{name}, {backbone.size} px, {precision}", rate, "images/s", ok=rate > 0, warm_up=warm_up)
        free()
