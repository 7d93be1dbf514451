"""Images from a trained generator: each depends on the generator and its own seed, never on how it was batched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.core import files, images
from usgan_cli.core.checkpoint import Architecture, GeneratorDocument, read_generator
from usgan_cli.core.device import torch_dtype
from usgan_cli.core.errors import FormatError, SettingsError
from usgan_cli.core.images import Pixels
from usgan_cli.core.manifest import SyntheticImage, SyntheticManifest
from usgan_cli.core.progress import Progress
from usgan_cli.core.seeds import torch_generator
from usgan_cli.gan.networks import Generator, GeneratorConfig

BLOCK = 8
"""Images computed together, always this many, so that an image's arithmetic never depends on its neighbours."""


def build_generator(architecture: Architecture, tensors: dict[str, Tensor], device: torch.device) -> Generator:
    """Return a generator with the given parameters, ready to make images.

    Raises
    ------
    FormatError
        The tensors are not those of this architecture.
    """
    generator = Generator(GeneratorConfig(**architecture.model_dump()))
    try:
        generator.load_state_dict(tensors)
    except RuntimeError as error:
        raise FormatError(f"The generator's tensors do not fit its architecture: {error}.") from None
    return generator.requires_grad_(False).to(device)


def load_generator(folder: Path, device: torch.device) -> tuple[GeneratorDocument, Generator]:
    """Read a finished generator from its folder."""
    document, tensors = read_generator(folder)
    return document, build_generator(document.architecture, tensors, device)


def latents(seeds: Sequence[int], z_dim: int) -> Tensor:
    """Return one latent per seed, shape [len(seeds), z_dim]; each depends on its own seed alone."""
    return torch.stack([torch.randn(z_dim, generator=torch_generator("latent", seed)) for seed in seeds])


@torch.no_grad()
def make_images(
    generator: Generator,
    seeds: Sequence[int],
    labels: Sequence[int],
    truncation_psi: float = 1.0,
    noise: str = "random",
) -> Iterator[Pixels]:
    """Yield the images of the given seeds and labels, pixels [C, H, W] each, in order.

    Parameters
    ----------
    generator : Generator
    seeds : sequence of int
    labels : sequence of int
        Index of each image's class.
    truncation_psi : float
        How far w may stray from its average: 1 is the whole distribution, less is safer and less varied.
    noise : {"random", "const", "none"}
        "random" draws every image's noise from its own seed, as training does; "const" gives all images the same.
    """
    config = generator.config
    device = next(generator.parameters()).device
    for first in range(0, len(seeds), BLOCK):
        some = list(seeds[first : first + BLOCK])
        padding = [some[-1]] * (BLOCK - len(some))
        classes = list(labels[first : first + BLOCK]) + [labels[0]] * len(padding)
        z = latents(some + padding, config.z_dim).to(device)
        draws = [torch_generator("noise", seed) for seed in some + padding]
        c = F.one_hot(torch.tensor(classes), max(config.c_dim, 1))[:, : config.c_dim].float().to(device)
        ws = generator.mapping(z, c, truncation_psi=truncation_psi)
        pixels = images.to_pixels(generator.synthesis(ws, noise_mode=noise, draws=draws)).cpu().numpy()
        yield from pixels[: len(some)]


def class_grid(generator: Generator, classes: int, columns: int, seed: int) -> Pixels:
    """Return a sheet with one row a class; every row shows the same latents, every sheet of a run too."""
    seeds = [_grid_seed(seed, column) for column in range(columns)]
    rows = max(classes, 1)
    made = list(make_images(generator, seeds * rows, [row for row in range(rows) for _ in seeds]))
    return images.sheet([made[row * columns : (row + 1) * columns] for row in range(rows)])


def _grid_seed(seed: int, column: int) -> int:
    return 10_000_000 + seed * 1000 + column


def class_order(shares: Sequence[float], count: int) -> list[int]:
    """Return `count` class indices of which every start has the given shares as nearly as whole numbers can.

    Each place goes to the class that is furthest behind its share (Sainte-Lague's rule would differ in ties
    only), so the first half of a long list is the whole of a short one.
    """
    weights = np.asarray(shares, dtype=np.float64) / np.sum(shares)
    given = np.zeros(len(weights))
    order: list[int] = []
    for place in range(1, count + 1):
        chosen = int(np.argmax(weights * place - given))
        given[chosen] += 1
        order.append(chosen)
    return order


def generate(
    folder: Path,
    target: Path,
    device: torch.device,
    progress: Progress,
    *,
    count: int,
    truncation_psi: float,
    noise: str,
    precision: str,
    seed: int,
) -> SyntheticManifest:
    """Write `count` images of the generator in `folder` to `target`, by class, with their manifest.

    The classes come in the proportions of the GAN's training images; the i-th image is made from the i-th seed.

    Parameters
    ----------
    folder, target : Path
    device : torch.device
    progress : Progress
    count : int
    truncation_psi : float
    noise : {"random", "const", "none"}
    precision : {"float32", "bf16", "fp16"}
    seed : int
        Number of the row of seeds; image i of it has the seed 1 000 000 * seed + i.

    Raises
    ------
    SettingsError
        `count` is not positive.
    """
    if count < 1:
        raise SettingsError(f"The number of images must be 1 or more; it is {count}.")
    document, generator = load_generator(folder, device)
    generator.compute_dtype = torch_dtype(precision)
    shares = [document.class_counts[name] for name in document.classes]
    order = class_order(shares, count)
    seeds = [1_000_000 * seed + i for i in range(count)]
    listed: list[SyntheticImage] = []
    with progress.task(f"generate {document.name}", count, "images") as task:
        for pixels, image_seed, label in zip(
            make_images(generator, seeds, order, truncation_psi, noise), seeds, order, strict=True
        ):
            name = document.classes[label]
            file = f"{name}/seed{image_seed:08d}.png"
            data = images.encode_png(pixels)
            (target / name).mkdir(parents=True, exist_ok=True)
            (target / file).write_bytes(data)
            listed.append(
                SyntheticImage.model_validate(
                    {"file": file, "class": name, "seed": image_seed, "sha256": files.sha256_bytes(data)}
                )
            )
            task.advance()
    total = sum(shares)
    manifest = SyntheticManifest(
        classes=document.classes,
        size=document.architecture.resolution,
        channels=document.architecture.img_channels,
        gan=document.content_digest(),
        gan_name=document.name,
        truncation_psi=truncation_psi,
        noise=noise,
        class_shares={name: share / total for name, share in zip(document.classes, shares, strict=True)},
        images=listed,
    )
    manifest.write(target / "manifest.json")
    return manifest
