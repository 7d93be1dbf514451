"""How long a training will take on this machine, from a few steps of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine import device as devices
from usgan_cli.core.machine.seeds import numpy_generator
from usgan_cli.gan.config import GanConfig, augmentation
from usgan_cli.gan.shown import Shown
from usgan_cli.gan.state import Training
from usgan_cli.gan.steps import Steps

CPU_BATCH = 4
"""Images a step on a CPU, where the time of an image hardly depends on how many come at once."""
REPEATS = 2


def seconds_per_kimg(config: GanConfig, device: torch.device) -> float:
    """Return the seconds that a thousand images of training take, from a few timed steps on random images.

    Parameters
    ----------
    config : GanConfig
        On a CPU it is timed with small batches.
    device : torch.device

    Returns
    -------
    float
        Without saving and measuring, which come on top.
    """
    devices.prepare(device)
    if device.type == "cpu":
        batch = min(config.batch, CPU_BATCH)
        config = replace(config, batch=batch, mbstd_group_size=min(config.mbstd_group_size, batch))
    training = Training.start(config, device)
    steps = Steps(config, training, Shown(_images(config), config, device), augmentation(config), device)
    parts: tuple[tuple[Callable[[], object], float], ...] = (
        (steps.generator_step, 1.0),
        (steps.discriminator_step, 1.0),
        (steps.path_length_step, 1 / config.pl_interval),
        (steps.r1_step, 1 / config.r1_interval),
        (steps.average_step, 1.0),
    )
    for step, _ in parts:  # the first of each kind also prepares
        step()
    return sum(_seconds(step, device) * share for step, share in parts) / config.batch * 1000


def _images(config: GanConfig) -> ImageSet:
    shape = (max(2 * config.c_dim, 2), config.img_channels, config.resolution, config.resolution)
    pixels = numpy_generator(0, "calibration").integers(0, 256, shape, dtype=np.uint8)
    classes = tuple(str(i) for i in range(max(config.c_dim, 1)))
    labels = np.arange(len(pixels)) % len(classes)
    return ImageSet("calibration", pixels, labels, classes, ("",) * len(pixels), np.arange(len(pixels)))


def _seconds(step: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    for _ in range(REPEATS):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - began) / REPEATS
