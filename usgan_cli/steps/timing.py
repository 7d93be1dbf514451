"""How long a step of a study will take on this machine: a few timed steps of the very network that it trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from timm import create_model

from usgan_cli.classify.config import ClassifierConfig
from usgan_cli.classify.models import INPUT_SIZE, pretrained_settings
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.errors import UsganError
from usgan_cli.core.formats.dataset import read_manifest
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine import device as devices
from usgan_cli.core.machine.seeds import numpy_generator
from usgan_cli.gan.batches import TrainingImages
from usgan_cli.gan.config import GanConfig, augmentation
from usgan_cli.gan.cuda_graph import resolve_graphs
from usgan_cli.gan.state import Training
from usgan_cli.gan.steps import Steps
from usgan_cli.steps.options import resolve_classifier
from usgan_cli.steps.train_gan import resolve
from usgan_cli.study.config import StudyConfig
from usgan_cli.study.estimate import work_units
from usgan_cli.study.plan import PlannedStep
from usgan_cli.terminal.session import Session

CLASSES = 3
"""Classes of a dataset that is not prepared yet; their number hardly changes the speed."""
CPU_BATCH = 4
"""Images a step with which timing begins on a CPU, where an image of a large network takes seconds."""
SHORT_STEP_S = 0.5
"""Where a step of so few images is shorter than this, the overhead of a step counts: the true batch is timed."""
REPEATS = 2
LONG_S = 3.0
"""A part of a step whose first time, which also prepares, is longer than this is not timed again."""
ENOUGH_S = 40.0
"""After so long no further kind of step is timed: the table's proportions say the rest of those that were."""


@dataclass(frozen=True)
class Timing:
    """Times a unit of a planned step's work: a kimg of a training, an image of all epochs and folds."""

    study: StudyConfig
    session: Session
    began: float = field(default_factory=time.monotonic)

    def __call__(self, step: PlannedStep) -> float | None:
        """Return the seconds, or None for steps that are not trainings, cannot be timed, or come too late."""
        options = step.options
        if not isinstance(options, TrainGan) and not (isinstance(options, TrainClassifier) and not options.freeze):
            return None
        if time.monotonic() - self.began > ENOUGH_S:
            return None
        self.session.progress.note(f"Timing a few steps of: {step.line}")
        try:
            seconds = self._gan(options) if isinstance(options, TrainGan) else self._classifier(options)
        except UsganError as error:
            self.session.progress.warn(f"It cannot be timed: {error.message}")
            return None
        return seconds / work_units(step)

    def _gan(self, options: TrainGan) -> float:
        device = devices.resolve_device(options.device)
        config = self.gan_config(options, device)
        limits = [] if config.minutes is None else [config.minutes * 60]
        if config.kimg is not None:
            limits.append(seconds_per_kimg(config, device) * config.kimg)
        return min(limits)

    def gan_config(self, options: TrainGan, device: torch.device) -> GanConfig:
        """Return the configuration that the training will have."""
        folder, data = self.session.workspace.data, self.study.data
        size, channels, classes = data.size, int(data.channels), CLASSES
        if (folder / "manifest.json").is_file():
            manifest = read_manifest(folder)
            size, channels, classes = manifest.size, manifest.channels, len(manifest.classes)
        return resolve(options, size, channels, classes, device)

    def _classifier(self, options: TrainClassifier) -> float:
        config = resolve_classifier(options)
        if config.updates is not None:
            return seconds_per_image(config) * config.updates * config.batch * config.folds
        images = options.n * (1 + (options.ratio or 0))
        # Each fold is left out of one training; a training may end before its last epoch.
        return seconds_per_image(config) * images * config.epochs * (config.folds - 1)


def seconds_per_kimg(config: GanConfig, device: torch.device) -> float:
    """Return the mean seconds that a thousand images of training take, without saving and measuring."""
    if share := config.enlarge_last:
        first = replace(config, enlarge_last=0.0)
        last = replace(first, feature_size=2 * config.feature_size)
        return (1 - share) * seconds_per_kimg(first, device) + share * seconds_per_kimg(last, device)
    with devices.prepared(device):
        if device.type != "cpu":
            return _seconds_per_image(config, device) * 1000
        batch = min(config.batch, CPU_BATCH)
        small = replace(config, batch=batch, mbstd_group_size=min(config.mbstd_group_size, batch))
        seconds = _seconds_per_image(small, device)
        if batch < config.batch and seconds * batch < SHORT_STEP_S:
            seconds = _seconds_per_image(config, device)
        return seconds * 1000


def _seconds_per_image(config: GanConfig, device: torch.device) -> float:
    config = replace(config, feature_weights="none")  # random ones take the same time, and are always at hand
    training, images = Training.start(config, device), TrainingImages(_random_images(config), config, device)
    graphs = resolve_graphs("auto", device)
    steps = Steps(config, training, images, augmentation(config), device, graphs=graphs)
    parts: list[tuple[Callable[[], object], float]] = [
        (steps.generator_step, 1.0),
        (steps.discriminator_step, 1.0),
        (steps.average_step, 1.0),
    ]
    if config.penalises_paths:
        parts.append((steps.path_length_step, 1 / config.pl_interval))
    if config.penalises_gradients:
        parts.append((steps.r1_step, 1 / config.r1_interval))
    return sum(_timed(part, device) * share for part, share in parts) / config.batch


def _random_images(config: GanConfig) -> ImageSet:
    shape = (max(2 * config.c_dim, 2), config.img_channels, config.resolution, config.resolution)
    pixels = numpy_generator(0, "calibration").integers(0, 256, shape, dtype=np.uint8)
    classes = tuple(str(i) for i in range(max(config.c_dim, 1)))
    labels = np.arange(len(pixels)) % len(classes)
    return ImageSet("calibration", pixels, labels, classes, ("",) * len(pixels), np.arange(len(pixels)))


def seconds_per_image(config: ClassifierConfig) -> float:
    """Return the seconds that a training image takes in one epoch of fine-tuning.

    The network's weights are random, since they do not change its speed; nothing is downloaded.
    """
    device = devices.resolve_device(config.device)
    model = create_model(config.backbone, num_classes=CLASSES).to(device).to(memory_format=torch.channels_last).train()
    side = config.size or pretrained_settings(model).get("input_size", INPUT_SIZE)[-1]
    images = torch.rand(config.batch, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)
    step = partial(_fine_tune, model, images)
    return _timed(step, device) / config.batch


def _fine_tune(model: torch.nn.Module, images: torch.Tensor) -> None:
    model(images).float().logsumexp(1).sum().backward()


def _timed(step: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that a step takes: one of a few after the first, which also prepares, or else a long first."""
    first = _seconds_of(step, device, 1)
    return first if first > LONG_S else _seconds_of(step, device, REPEATS)


def _seconds_of(step: Callable[[], object], device: torch.device, times: int) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # what was started before is not of this step
    began = time.perf_counter()
    for _ in range(times):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - began) / times
