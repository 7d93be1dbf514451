"""A training small enough for tests: 16 pixel images of three classes, networks of a few channels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from configs import make_config

from usgan_cli.core.formats.generator import Architecture, GeneratorDocument
from usgan_cli.core.formats.tensors import write_tensors
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.store.files import sha256_file
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.distributed import World
from usgan_cli.gan.launch import Job
from usgan_cli.gan.networks import Generator
from usgan_cli.gan.outputs import GanRun
from usgan_cli.gan.train import train

CPU = torch.device("cpu")


def config(**changes: object) -> GanConfig:
    settings: dict[str, object] = {"aug": "ada", "precision": "float32", "kimg": 0.04, "batch": 4, "seed": 0}
    settings |= {"tick_kimg": 0.016, "save_kimg": 0.016, "channel_base": 256, "channel_max": 16} | changes
    return make_config(preset="tiny", resolution=16, img_channels=1, c_dim=3, **settings)  # type: ignore[arg-type]


def projected(**changes: object) -> GanConfig:
    """A training against heads on random features of a very small network."""
    few: dict[str, object] = {"feature_network": "timm:test_efficientnet", "feature_weights": "none"}
    return config(**{"aug": "best", "feature_size": 32, "feature_channels": 8} | few | changes)


def images(count: int = 12) -> ImageSet:
    draws = np.random.default_rng(0)
    labels = np.arange(count) % 3
    pixels = (draws.integers(0, 80, (count, 1, 16, 16)) + 60 * labels[:, None, None, None]).astype(np.uint8)
    names = tuple(f"{i}.png" for i in range(count))
    return ImageSet("toy", pixels, labels, ("a", "b", "c"), names, np.arange(count))


def run(folder: Path, settings: GanConfig, **how: object) -> str:
    """Train in `folder` and return the digest of the generator."""
    folder.mkdir(exist_ok=True)
    train(settings, images(), folder, GanRun("toy", 12, CPU, **how))  # type: ignore[arg-type]
    return sha256_file(folder / "generator.safetensors")


class EndsEarly(Job):
    """A job whose workers end after a while."""

    def train(self, world: World, device: torch.device) -> GeneratorDocument:
        world.wait()
        sys.exit(3)


class Fails(Job):
    """A job whose workers fail at once."""

    def train(self, world: World, device: torch.device) -> GeneratorDocument:
        raise ZeroDivisionError


def tiny_architecture(**changes: Any) -> Architecture:
    """A generator's architecture of 16 pixels and three classes, with some fields changed."""
    shape = {"resolution": 16, "img_channels": 1, "c_dim": 3, "z_dim": 8, "w_dim": 8}
    shape |= {"mapping_layers": 2, "channel_base": 128, "channel_max": 16}
    return Architecture(**(shape | changes))


def tiny_generator(**changes: Any) -> Generator:
    """An untrained generator whose noise shows in its images."""
    network = Generator(tiny_architecture(**changes), init=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.3)
    return network.requires_grad_(False)


def tiny_document(**changes: Any) -> GeneratorDocument:
    """The document of a generator, with some fields changed."""
    fields: dict[str, Any] = {
        "name": "ada-n12-s0",
        "architecture": tiny_architecture(),
        "classes": ["a", "b", "c"],
        "class_counts": {"a": 6, "b": 4, "c": 2},
        "aug": "ada",
        "n": 12,
        "seed": 0,
        "kimg": 1.0,
        "preset": "tiny",
        "tensors": "0" * 64,
    }
    return GeneratorDocument(**(fields | changes))


def write_generator(folder: Path, generator: Generator, **changes: Any) -> GeneratorDocument:
    """Write a generator's tensors and its document, as a finished training leaves them."""
    digest = write_tensors(folder / "generator.safetensors", generator.state_dict())
    document = tiny_document(**({"architecture": generator.architecture, "tensors": digest} | changes))
    document.write(folder / "generator.json")
    return document


def load_published(network: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Load parameters under the names of published StyleGAN2-ADA checkpoints; their constant filters are left out.

    Raises
    ------
    RuntimeError
        A tensor is missing, left over or of another shape.
    """
    network.load_state_dict({k: v for k, v in tensors.items() if not k.endswith("resample_filter")})
