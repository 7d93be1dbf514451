"""Trainings to check and to time: settings, random images, and which kernels compute."""

from __future__ import annotations

import gc
import os
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.gan.batches import TrainingImages
from usgan_cli.gan.config import GanConfig, augmentation
from usgan_cli.gan.kernels import choice
from usgan_cli.gan.state import Training
from usgan_cli.gan.steps import Steps
from usgan_cli.steps.train_gan import resolve

CLASSES = 3
KERNELS = ("triton", "torch")


def use_kernels(name: str, device: str) -> str:
    """Compute with kernels of this name from now on; return why they cannot be used, or nothing."""
    os.environ[choice.VARIABLE] = "torch" if name == "torch" else "auto"
    choice.kernels_of.cache_clear()
    chosen = choice.kernels_of(torch.device(device, 0) if device == "cuda" else torch.device(device))
    return "" if chosen.name == name else chosen.problem or f"there are none for {device}"


def settings(resolution: int, precision: str, *, preset: str = "auto", aug: str = "none", **changes: Any) -> GanConfig:
    """Return a preset's configuration; `changes` are options of train-gan, or the mbstd group size."""
    values = {"kimg": 1000.0, "ada_kimg": 1e6} | changes
    beyond = {"precision": precision} | {k: values.pop(k) for k in ("mbstd_group_size",) if k in values}
    options = TrainGan(aug=aug, n=1, preset=preset, precision="float32", **values)
    return replace(resolve(options, resolution, 1, CLASSES, torch.device("cpu")), **beyond)


def random_images(resolution: int, count: int = 96) -> ImageSet:
    draws = np.random.default_rng(0)
    pixels = draws.integers(0, 256, (count, 1, resolution, resolution), dtype=np.uint8)
    names = tuple(str(i) for i in range(CLASSES))
    return ImageSet("random", pixels, np.arange(count) % CLASSES, names, ("",) * count, np.arange(count))


def start(config: GanConfig, device: str, *, graphs: bool = False, p: float = 0.0) -> Steps:
    """Return a training at its start, with ADA's probability at `p`."""
    placed = torch.device(device)
    training = Training.start(config, placed)
    training.ada.load_state_dict(training.ada.state_dict() | {"p": p})
    shown = TrainingImages(random_images(config.resolution), config, placed)
    return Steps(config, training, shown, augmentation(config), placed, graphs="on" if graphs else "off")


def free() -> None:
    """Give back the memory of unused tensors."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
