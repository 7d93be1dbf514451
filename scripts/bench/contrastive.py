"""A small network that learns from ultrasound without labels: what `quality.py` judges by beside a pretrained one.

It is trained as in Chen et al., "A simple framework for contrastive learning of visual representations" (SimCLR, 2020),
equation 1, on real training images and as many phantoms: two views of an image (crop, mirror, gain, gamma, noise)
should be nearer than views of other images. It has seen neither ImageNet nor a generated image, so a GAN that was
trained against features of an ImageNet network cannot have learned to please it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from usgan_cli.core.images.codec import Pixels, to_float
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine.seeds import derive_seed, torch_generator
from usgan_cli.core.progress import Progress
from usgan_cli.core.store import files
from usgan_cli.data.phantom import Kind, simulate

WIDTHS = (32, 64, 128, 256)
POOLED = WIDTHS[1:]
EMBEDDED = 64
STEPS, BATCH, LEARNING_RATE, TEMPERATURE = 900, 96, 2e-3, 0.2
KINDS: tuple[Kind, ...] = ("benign", "malignant", "normal")


class Network(nn.Module):
    """Four halvings; the features are the means of the last three maps."""

    def __init__(self) -> None:
        super().__init__()
        pairs = zip((1, *WIDTHS[:-1]), WIDTHS, strict=True)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()) for a, b in pairs
        )
        self.head = nn.Sequential(nn.Linear(sum(POOLED), 256), nn.ReLU(), nn.Linear(256, EMBEDDED))

    def forward(self, x: Tensor) -> Tensor:
        """Return features [N, 448] of gray images [N, 1, H, W] in [-1, 1]."""
        pooled = []
        for block in self.blocks:
            x = block(x)
            pooled.append(x.mean(dim=(2, 3)))
        return torch.cat(pooled[1:], dim=1)


class Contrastive:
    """The features as an extractor (see `usgan_cli.metrics.features.Extractor`); trained where `path` is absent."""

    dim = sum(POOLED)

    def __init__(self, path: Path, images: ImageSet) -> None:
        if not path.is_file():
            network = train(images.pixels)
            path.parent.mkdir(parents=True, exist_ok=True)
            with files.atomic_path(path) as temporary:
                save_file({name: value.contiguous() for name, value in network.state_dict().items()}, temporary)
        self.network = Network()
        self.network.load_state_dict(load_file(path))
        self.network.eval().requires_grad_(False)
        self.name = f"contrastive@{files.sha256_file(path)[:12]}"

    def __call__(
        self,
        pixels: Pixels,
        *,
        batch_size: int = 64,
        progress: Progress | None = None,  # noqa: ARG002
    ) -> NDArray[np.float32]:
        """Return the features [N, dim] of uint8 images [N, C, H, W]."""
        with torch.inference_mode():
            parts = [self.network(_gray(pixels[i : i + batch_size])) for i in range(0, len(pixels), batch_size)]
            return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def train(pixels: Pixels, steps: int = STEPS) -> Network:
    """Train the network on real images [N, C, H, W] and as many phantoms, the same way every time."""
    size = pixels.shape[2]
    shown = [simulate(KINDS[i % 3], derive_seed("contrastive", i), size) for i in range(len(pixels))]
    images = torch.cat([_gray(pixels), _gray(np.stack(shown))])
    generator = torch_generator("contrastive")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("contrastive", "parameters"))
        network = Network()
    adam = torch.optim.Adam(network.parameters(), LEARNING_RATE, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        batch = images[torch.randint(len(images), (min(BATCH, len(images)),), generator=generator)]
        views = torch.cat([view(batch, generator), view(batch, generator)])
        adam.zero_grad()
        contrastive_loss(network.head(network(views))).backward()
        adam.step()
        schedule.step()
    return network.eval()


def contrastive_loss(embedded: Tensor) -> Tensor:
    """Return the loss of embeddings [2 N, D], of which rows i and N + i are views of one image."""
    unit = F.normalize(embedded, dim=1)
    similarity = unit @ unit.T / TEMPERATURE
    similarity = similarity.masked_fill(torch.eye(len(unit), dtype=torch.bool), -torch.inf)
    partner = (torch.arange(len(unit)) + len(unit) // 2) % len(unit)
    return F.cross_entropy(similarity, partner)


def view(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images [N, 1, H, W] cropped (half to whole sides), mirrored, with another gain and gamma, and noise."""
    count = len(images)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand((count, *shape), generator=generator)

    side = uniform(0.5, 1)
    mirrored = 1 - 2 * (uniform(0, 1) < 0.5).float()
    place = torch.zeros(count, 2, 3)
    place[:, 0, 0], place[:, 1, 1] = side * mirrored, side * uniform(0.8, 1)
    place[:, :, 2] = uniform(-1, 1, 2) * (1 - side)[:, None]
    grid = F.affine_grid(place, list(images.shape), align_corners=False)
    cropped = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    gray = ((cropped + 1) / 2).clamp(1e-3, 1) ** uniform(0.7, 1.3, 1, 1, 1) * uniform(0.8, 1.2, 1, 1, 1)
    noise = 1 + 0.08 * torch.randn(gray.shape, generator=generator)
    return (2 * gray * noise - 1).clamp(-1, 1)


def _gray(pixels: Pixels) -> Tensor:
    return to_float(torch.from_numpy(np.ascontiguousarray(pixels))).mean(dim=1, keepdim=True)
