"""Training StyleGAN2 on a small labelled dataset (Karras et al. 2020; ADA: Karras et al. 2020, "Training
generative adversarial networks with limited data"; DiffAug: Zhao et al. 2020).

Every random draw has its own seed, derived from the run's seed, its purpose and the step, so a training that was
interrupted and continued takes the same steps as one that was not.
"""

from __future__ import annotations

import math
import time
from collections import deque
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from usgan_cli.core.formats.generator import (
    CHECKPOINT_FOLDER,
    GeneratorDocument,
    LogRow,
    kimg_of_file,
    latest_state,
    read_log,
)
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine import device as devices
from usgan_cli.core.machine.memory import memory_mb
from usgan_cli.core.progress import EVEN, Pace, Task
from usgan_cli.gan.batches import TrainingImages
from usgan_cli.gan.config import GanConfig, augmentation
from usgan_cli.gan.cuda_graph import resolve_graphs
from usgan_cli.gan.init.transfer import Source, apply_source
from usgan_cli.gan.kernels.choice import kernels_of
from usgan_cli.gan.outputs import Due, GanRun, Outputs
from usgan_cli.gan.state import Training
from usgan_cli.gan.steps import Steps
from usgan_cli.gan.stop import Ending, Limits, StopSignals
from usgan_cli.gan.warnings import check_finite

TUNED_FROM_KIMG, TUNED_FROM_MINUTES = 1200, 30
"""Measured on an H200 at 256 px and batch 64: the search takes 19 s and saves 0.017 of 1.48 s per thousand images."""

ENLARGED_COST = 1.9
"""How many times as long an iteration takes whose images the frozen network sees at twice their size: measured at 64
pixels on two cores. The time left is computed with it."""
PIXELS_COST = 0.6
"""What StyleGAN2's discriminator beside the frozen network adds to an iteration, whatever that network sees (there)."""

ITERATIONS_AHEAD = 3
"""Iterations that the host may have given to a GPU before it waits, so that time and signals are acted on soon."""


def train(
    config: GanConfig, data: ImageSet, folder: Path, run: GanRun, source: Source | None = None
) -> GeneratorDocument:
    """Train a GAN until `config.kimg` or `config.minutes`, or continue the training in `folder`.

    A new training starts from the networks of `source`, if there is one. `folder` gets log.jsonl, samples/*.png,
    checkpoint/, and at the end generator.safetensors and generator.json.

    Raises
    ------
    DivergedError
        A loss is not finite; the last good state stays saved.
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, with the state saved.
    SettingsError
        The batch cannot be cut as asked, or does not fit into memory.
    """
    training, log_bytes, measured = _start_or_resume(config, folder, run, source)
    began_at, images = training.images, TrainingImages(data, config, run.device)
    graphs = resolve_graphs(run.graphs, run.device)
    steps = Steps(
        config, training, images, augmentation(config), run.device, run.world, run.at_once, graphs, run.progress.warn
    )
    if problem := kernels_of(run.device).problem:
        run.progress.warn(f"Training is slower than it could be: Triton's kernels are not used, since {problem}.")
    outputs = Outputs(config, training, data, folder, run, log_bytes)
    clock = Clock(training, run.device)
    schedule = Schedule(config, run, training, measured)
    if config.stop == "auto":
        training.reason_to_stop = outputs.reason_to_stop()

    with (
        devices.prepared(run.device, tuned=_tuning_pays(config)),
        StopSignals(run.progress) as signals,
        _progress_bar(config, training, run) as task,
    ):
        limits = Limits(config, training, clock.seconds, signals, run.world, run.device)
        while True:
            # Decide before every iteration and once after the last, so that start, middle and end share their code.
            ending = limits.ending()
            due = schedule.due(training.images, clock.seconds(), ending)

            # Report, with samples and a score where they are due, and save the state.
            if due.report:
                row = _report(training, steps, clock)
                if run.world.is_main and (row is not None or due.samples or due.score):
                    outputs.write(row, due, task)
                if due.score and config.stop == "auto":
                    training.reason_to_stop = outputs.reason_to_stop()
            if ending is not None:
                break
            if due.save or training.reason_to_stop is not None:
                continue  # decide again: there may be a reason to stop, or a signal that came in the meantime

            # Train: generator, path length, discriminator, R1, average, p.
            before = clock.start()
            if steps.follow(limits.progress()) and training.images > began_at:
                size = config.feature_size_at(limits.progress())
                run.progress.note(f"{run.name}: from here on the discriminator sees images at {size} pixels.")
            iterate(config, training, steps)
            clock.limit_queue()
            task.advance(config.batch / 1000 if config.kimg is not None else (clock.seconds() - before) / 60)

        if ending == "stopped":
            run.world.wait()  # for the main process to have saved
            run.progress.note(f"Stopped {run.name} at {training.images / 1000:g} kimg; this state is saved.")
            raise KeyboardInterrupt
    return outputs.finish()


def _tuning_pays(config: GanConfig) -> bool:
    """Return whether a training is so long that cuDNN's search for the fastest convolutions pays back."""
    long_enough = config.kimg is None or config.kimg >= TUNED_FROM_KIMG
    return long_enough and (config.minutes is None or config.minutes >= TUNED_FROM_MINUTES)


def iterate(config: GanConfig, training: Training, steps: Steps) -> None:
    """Take one iteration. Each part draws its own latents, labels and augmentations, which belong to this step."""
    # Train the generator; now and then, regularise its path lengths.
    steps.generator_step()
    if config.penalises_paths and training.step % config.pl_interval == 0:
        steps.path_length_step()

    # Train the discriminator; now and then, regularise its gradient on real images (R1).
    steps.discriminator_step()
    if config.penalises_gradients and training.step % config.r1_interval == 0:
        steps.r1_step()

    # Let the averaged generator follow.
    steps.average_step()
    training.step += 1
    training.images += config.batch

    # Adjust the p of adaptive augmentation.
    if config.adapts and training.step % config.ada_interval == 0:
        training.ada.update(config.batch)


def _start_or_resume(
    config: GanConfig, folder: Path, run: GanRun, source: Source | None
) -> tuple[Training, int, float]:
    """Return the training at its start or as last saved, its log's length in bytes, and the kimg last measured at."""
    training = Training.start(config, run.device)
    if source is not None:
        networks = training.generator, training.discriminator, training.average
        run.progress.note(apply_source(source, *networks, freeze=config.freeze_d))
    state, measured = latest_state(folder / CHECKPOINT_FOLDER), 0.0
    if state is not None:
        training.load(state, folder / CHECKPOINT_FOLDER)
        rows = [row for row in read_log(folder) if row.kimg <= training.images / 1000]
        measured = max((row.kimg for row in rows if row.fd is not None), default=0.0)
        ends = {"kimg": config.kimg, "minutes": config.minutes}
        limits = [f"{value:g} {unit}" for unit, value in ends.items() if value is not None]
        run.progress.note(
            f"Continuing {run.name} at {training.images / 1000:g} kimg, {training.seconds / 60:.3g} minutes "
            f"(it ends at {' or '.join(limits)})."
        )
    if config.adapts:
        run.progress.note(_reach_of_p(config, training))
    # Every process has read the state before the first one writes another.
    run.world.wait()
    return training, 0 if state is None else state.log_bytes, measured


def _reach_of_p(config: GanConfig, training: Training) -> str:
    """Return in words how far the adaptive p can go until the training ends."""
    speed = f"p goes from 0 to 1 in {config.ada_kimg:g} kimg or more (--ada-kimg)"
    if config.kimg is None:
        return f"Augmentation: {speed}; how far it gets depends on how many kimg fit into {config.minutes:g} minutes."
    reach = min(training.ada.p + (config.kimg - training.images / 1000) / config.ada_kimg, 1)
    return f"Augmentation: p can reach {reach:.2g} by the end at {config.kimg:g} kimg, since {speed}."


def _progress_bar(config: GanConfig, training: Training, run: GanRun) -> AbstractContextManager[Task]:
    if config.kimg is not None:
        within = math.inf if config.minutes is None else config.minutes * 60 - training.seconds
        pace = _pace(config, config.kimg)
        done = training.images / 1000
        return run.progress.task(f"train {run.name}", config.kimg, "kimg", done=done, within=within, pace=pace)
    return run.progress.task(f"train {run.name}", config.minutes or 0, "minutes", done=training.seconds / 60)


def _pace(config: GanConfig, kimg: float) -> Pace:
    """Return how much slower the last part of a training is."""
    if config.enlarge_last == 0:
        return EVEN
    pixels = PIXELS_COST if config.pixel_weight > 0 else 0.0
    return Pace((1 - config.enlarge_last) * kimg, (ENLARGED_COST + pixels) / (1 + pixels))


def _report(training: Training, steps: Steps, clock: Clock) -> LogRow | None:
    """Return the means since the last report, or None if nothing was trained since."""
    means = steps.means.take()
    if not means:
        return None
    check_finite(means)
    kimg, seconds = clock.lap()
    return LogRow(
        kimg=training.images / 1000,
        seconds=round(training.seconds, 3),
        s_per_kimg=round(seconds / kimg, 4),
        loss_g=means["loss_g"],
        loss_d_real=means["loss_d_real"],
        loss_d_fake=means["loss_d_fake"],
        r_t=means["r_t"],
        p=training.ada.p,
        r1=means.get("r1", 0.0),
        path_length=means.get("path_length", 0.0),
        spectrum=means.get("spectrum"),
        grad_g=float(steps.grad_g),
        grad_d=float(steps.grad_d),
        memory_mb=round(memory_mb(clock.device), 1),
        rate=training.rate if steps.config.lr_decay > 0 else None,
    )


class Schedule:
    """When a line of the log, samples, a score and a saved state are due.

    Each interval is counted in images from zero, so that a resumed training writes at the same counts. A stop saves
    the state alone, so that it is quick; what else was due then is due when the training goes on: `measured` is the
    kimg at which it was last measured. A state is also due when `save_minutes` of training have passed since the last.
    """

    def __init__(self, config: GanConfig, run: GanRun, training: Training, measured: float = 0.0) -> None:
        self.intervals = {
            "tick": config.tick_kimg,
            "save": config.save_kimg,
            "score": run.score_kimg,
        }
        self.decides = config.stop == "auto"
        sheets = [1000 * kimg_of_file(name) for name in training.samples]
        self.passed = {
            # Its line was written at the stop; whether the count is a tick's decides what else is due.
            "tick": self._intervals_passed("tick", max(training.images - config.batch, 0)),
            "save": self._intervals_passed("save", max(sheets, default=0.0)),
            "score": self._intervals_passed("score", 1000 * measured),
        }
        self.save_seconds = config.save_minutes * 60
        self.saved_at = training.seconds

    def due(self, images: int, seconds: float, ending: Ending | None) -> Due:
        """Return what is due after these images and seconds of training; after a stop, a line and a state alone."""
        timed = seconds - self.saved_at >= self.save_seconds
        tick, save = self._passes("tick", images), self._passes("save", images) or timed or ending is not None
        if save:
            self.saved_at = seconds
        if ending == "stopped":
            return Due(report=True, samples=False, score=False, save=True)
        score = (tick or save or self.decides) and (self._passes("score", images) or ending == "finished")
        return Due(report=tick or save or score, samples=save, score=score, save=save)

    def _passes(self, name: str, images: int) -> bool:
        before, self.passed[name] = self.passed[name], self._intervals_passed(name, images)
        return self.passed[name] > before

    def _intervals_passed(self, name: str, images: float) -> int:
        interval = self.intervals[name]
        return int(images / 1000 / interval + 1e-9) if interval > 0 else 0


class Clock:
    """The time spent training, all runs together; saving and measuring are left out."""

    def __init__(self, training: Training, device: torch.device) -> None:
        self.training, self.device = training, device
        self.started: float | None = None
        self.last = training.images, training.seconds
        self._queue: deque[torch.Event] = deque()

    def seconds(self) -> float:
        """Return the time so far, seconds."""
        running = 0.0 if self.started is None else time.perf_counter() - self.started
        return self.training.seconds + running

    def start(self) -> float:
        """Let it run, and return the time so far."""
        if self.started is None:
            self.started = time.perf_counter()
        return self.seconds()

    def lap(self) -> tuple[float, float]:
        """Stop it; return the thousands of images shown and the seconds spent since the last lap."""
        self.training.seconds, self.started = self.seconds(), None
        images, seconds = self.last
        self.last = self.training.images, self.training.seconds
        return (self.training.images - images) / 1000, self.training.seconds - seconds

    def limit_queue(self) -> None:
        """Wait until a GPU is at most `ITERATIONS_AHEAD` iterations behind the host."""
        if self.device.type != "cuda":
            return
        event = torch.Event(self.device)
        event.record()
        self._queue.append(event)
        if len(self._queue) > ITERATIONS_AHEAD:
            self._queue.popleft().synchronize()
