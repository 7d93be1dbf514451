"""How long fine-tuning will take on this machine, from a few steps of it."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from timm import create_model

from usgan_cli.classify.config import ClassifierConfig
from usgan_cli.classify.models import INPUT_SIZE, pretrained_settings
from usgan_cli.core.machine.device import resolve_device

CPU_BATCH = 8
REPEATS = 2


def seconds_per_image(config: ClassifierConfig) -> float:
    """Return the seconds that a training image takes in one epoch of fine-tuning, from timed steps on random images.

    The network's weights are random, since they do not change its speed; nothing is downloaded.
    """
    device = resolve_device(config.device)
    config = replace(config, batch=min(config.batch, CPU_BATCH) if device.type == "cpu" else config.batch)
    model = create_model(config.backbone, num_classes=3).to(device).to(memory_format=torch.channels_last).train()
    side = config.size or pretrained_settings(model).get("input_size", INPUT_SIZE)[-1]
    images = torch.rand(config.batch, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        model(images).float().logsumexp(1).sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    step()
    began = time.perf_counter()
    for _ in range(REPEATS):
        step()
    return (time.perf_counter() - began) / REPEATS / config.batch
