"""The classifier's network, and the one way in which images enter it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from usgan_cli.classify.config import ClassifierConfig
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.machine.backbones import load_backbone
from usgan_cli.core.machine.seeds import derive_seed
from usgan_cli.core.progress import Progress

RESIZE_CHUNK = 64
INPUT_SIZE = (3, 224, 224)
"""Channels, height and width of a network's input where timm does not state them."""


@dataclass(frozen=True)
class Backbone:
    """A network and how images are prepared for it."""

    model: nn.Module
    """On the CPU, in evaluation mode."""
    weights: str
    """Name and digest of its pretrained weights, or "none"."""
    size: int
    """Height and width of its input, pixels."""
    mean: torch.Tensor
    """Of the inputs that it was pretrained on, as is `std`, for values in [0, 1]; shape [1, 3, 1, 1]."""
    std: torch.Tensor

    def to_input(self, images: torch.Tensor) -> torch.Tensor:
        """Scale images [N, 1 or 3, size, size] in [-1, 1] as in pretraining, in channels-last memory order.

        Gray becomes three equal channels here and nowhere else.
        """
        scaled = (images * 0.5 + 0.5 - self.mean.to(images.device)) / self.std.to(images.device)
        return scaled.contiguous(memory_format=torch.channels_last)

    def fingerprint(self) -> str:
        """Return a digest of the network's tensors and of its input's scaling, 64 hexadecimal digits."""
        digest = hashlib.sha256(f"{self.size} {self.mean.tolist()} {self.std.tolist()}".encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


@contextmanager
def seeded(*parts: str | int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators (initialisation, dropout) within the block, and restore them after it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(*parts))
        yield


def pretrained_settings(model: nn.Module) -> dict[str, Any]:
    """Return timm's record of the images that a network was pretrained on; empty where there is none."""
    return getattr(model, "pretrained_cfg", None) or {}


def open_backbone(config: ClassifierConfig, num_classes: int, progress: Progress) -> Backbone:
    """Load the network that `config` names, with `num_classes` outputs (0: it returns its pooled features)."""
    options: dict[str, Any] = {} if config.freeze else {"drop_rate": config.drop_rate}
    with seeded(config.seed, "backbone", device=torch.device("cpu")):
        model, weights = load_backbone(
            config.backbone, config.weights, num_classes=num_classes, progress=progress, **options
        )
    input_settings = pretrained_settings(model)
    channels, height, _ = input_settings.get("input_size", INPUT_SIZE)
    size = config.size or int(height)
    another = "Choose another --backbone, or leave out --size."
    if channels != 3:
        raise SettingsError(f"The network {config.backbone} takes {channels} channels, not 3.", another)
    if input_settings.get("fixed_input_size") and size != height:
        raise SettingsError(
            f"The network {config.backbone} takes images of {height} pixels only; size is {size}.", another
        )
    mean, std = (torch.tensor(input_settings.get(name, (0.5,) * 3)).view(1, 3, 1, 1) for name in ("mean", "std"))
    model.eval().to(memory_format=torch.channels_last)
    return Backbone(model, weights.label if weights is not None else "none", size, mean, std)


def fit_to_input(pixels: Pixels, size: int) -> torch.Tensor:
    """Resize images [N, C, H, W] to [N, C, size, size], once, by antialiased bicubic interpolation."""
    images = torch.from_numpy(pixels)
    if images.shape[-2:] == (size, size):
        return images
    resize = partial(F.interpolate, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
    chunks = torch.split(images, RESIZE_CHUNK)
    return torch.cat([codec.to_pixels(resize(codec.to_float(chunk))) for chunk in chunks])
