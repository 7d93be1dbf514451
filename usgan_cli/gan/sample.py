"""Images from a trained generator: each depends on the generator and its own seed, never on how it was batched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.core.apportion import class_order
from usgan_cli.core.errors import FormatError, SettingsError
from usgan_cli.core.formats.generator import Architecture, GeneratorDocument, read_generator, subset_trained_on
from usgan_cli.core.formats.synthetic import SyntheticFormat, SyntheticManifest
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.generated import open_writer
from usgan_cli.core.machine.device import torch_dtype
from usgan_cli.core.machine.placement import copy_to_host, to_device
from usgan_cli.core.machine.seeds import torch_generator
from usgan_cli.core.progress import Progress
from usgan_cli.gan.grays import LEVELS, Levels, levels_of
from usgan_cli.gan.networks import GRAY_CURVE, SPREAD, Generator, Noise

BLOCK = 8
"""Images computed together on a CPU, always this many, so that an image's arithmetic never depends on how many."""


def build_generator(architecture: Architecture, tensors: dict[str, Tensor], device: torch.device) -> Generator:
    """Return a generator with these parameters, ready to make images; `FormatError` if they do not fit."""
    generator = Generator(architecture)
    if GRAY_CURVE in tensors:
        generator.synthesis.gray_curve = torch.zeros(LEVELS)
    if SPREAD in tensors:
        generator.mapping.spread = torch.zeros(())
    try:
        generator.load_state_dict(tensors)
    except RuntimeError as error:
        raise FormatError(f"The generator's tensors do not fit its architecture: {error}.") from None
    return generator.requires_grad_(False).to(device)


def load_generator(folder: Path, device: torch.device) -> tuple[GeneratorDocument, Generator]:
    """Read a finished generator from its folder."""
    document, tensors = read_generator(folder)
    return document, build_generator(document.architecture, tensors, device)


def _device(generator: Generator) -> torch.device:
    return next(generator.parameters()).device


def latents(seeds: Sequence[int], z_dim: int) -> Tensor:
    """Return one latent per seed, shape [len(seeds), z_dim]; each depends on its own seed alone."""
    return torch.stack([torch.randn(z_dim, generator=torch_generator("latent", seed)) for seed in seeds])


def block_size(generator: Generator) -> int:
    """Return how many images to begin computing together: on a GPU about four million pixels."""
    if _device(generator).type != "cuda":
        return BLOCK
    return min(256, max(BLOCK, 2**22 // generator.architecture.resolution**2))


def in_blocks(
    compute: Callable[[list[int]], Tensor],
    count: int,
    block: int,
    finish: Callable[[Tensor], Tensor] = codec.to_pixels,
) -> Iterator[npt.NDArray[Any]]:
    """Yield images number 0 to `count` - 1, [C, H, W] each, computed `block` at a time.

    `compute` returns the images [block, C, H, W], in [-1, 1], of a list of numbers; `finish` makes what is yielded of
    them, usually pixels. The last block is filled up with
    repeats, so that every block has one size. If a GPU's memory is too small, the size is halved for the rest. A block
    is begun before the one ahead of it is waited for, so that a GPU computes while the host draws, encodes and writes.

    Raises
    ------
    SettingsError
        The memory does not even hold one image.
    """
    blocks = _begin_blocks(lambda places: finish(compute(places)), count, block)
    current = next(blocks, None)
    while current is not None:
        following = next(blocks, None)
        size, copied = current
        yield from copied().numpy()[:size]
        current = following


def _begin_blocks(
    compute: Callable[[list[int]], Tensor], count: int, block: int
) -> Iterator[tuple[int, Callable[[], Tensor]]]:
    """Yield the number of images in each block, and the function that waits for their pixels on the host."""
    first = 0
    while first < count:
        places = list(range(first, min(first + block, count)))
        try:
            copied = copy_to_host(compute(places + [places[-1]] * (block - len(places))))
        except torch.cuda.OutOfMemoryError:
            if block == 1:
                raise SettingsError(
                    "The GPU's memory is too small to make one image.", "Use --device cpu, or --precision bf16."
                ) from None
            copied = None
        if copied is None:  # out here, what the failed attempt held is free
            torch.cuda.empty_cache()
            block //= 2
            continue
        yield len(places), copied
        first += len(places)


def intermediate(generator: Generator, seeds: Sequence[int], labels: Sequence[int], truncation_psi: float) -> Tensor:
    """Return the intermediate latents ws [N, num_ws, w_dim] of seeds and labels."""
    c_dim, device = generator.architecture.c_dim, _device(generator)
    z = to_device(latents(seeds, generator.architecture.z_dim), device)
    c = to_device(F.one_hot(torch.tensor(labels), max(c_dim, 1))[:, :c_dim].float(), device)
    ws: Tensor = generator.mapping(z, c, truncation_psi=truncation_psi)
    return ws


def noise_of(generator: Generator, seeds: Sequence[int], noise: str) -> Noise:
    """Return the noise of seeds: planes drawn for each if `noise` is "random", or "const" or "none" as it is."""
    if noise == "const":
        return "const"
    if noise == "none":
        return "none"
    if noise != "random":
        raise ValueError(f"noise must be 'random', 'const' or 'none', not {noise!r}")
    return _draw_noise(generator, seeds)


def _draw_noise(generator: Generator, seeds: Sequence[int]) -> list[Tensor]:
    """Return noise [len(seeds), 1, r, r] for each layer; an image's planes are one draw of its own seed, end to end.

    The host draws in several threads (torch releases Python's lock), into pinned memory where a GPU computes.
    """
    resolutions = [layer.resolution for layer in generator.synthesis.layers]
    areas = [resolution**2 for resolution in resolutions]
    parameter = next(generator.parameters())
    rows = torch.empty([len(seeds), sum(areas)], device="cpu", pin_memory=parameter.is_cuda)

    def draw(row: Tensor, seed: int) -> None:
        row.normal_(generator=torch_generator("noise", seed))

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        list(threads.map(draw, rows, seeds))  # a list, to raise here what was raised there
    planes = torch.split(to_device(rows, parameter.device, parameter.dtype), areas, dim=1)
    return [plane.reshape(-1, 1, size, size) for plane, size in zip(planes, resolutions, strict=True)]


@torch.no_grad()
def make_images(
    generator: Generator,
    seeds: Sequence[int],
    labels: Sequence[int],
    truncation_psi: float = 1.0,
    noise: str = "random",
) -> Iterator[Pixels]:
    """Yield the images of the given seeds and labels, pixels [C, H, W] each, in order.

    On a CPU an image's bytes depend on nothing else. A GPU chooses its way of computing by the number of images
    computed together, which can change the last bits, and so a pixel here and there by one gray level.

    A label is the index of a class. `truncation_psi` says how far w may stray from its average: 1 is the whole
    distribution, less is safer and less varied. Noise is "random" (drawn for every image from its own seed, as training
    does), "const" (the same for all images) or "none".
    """
    compute = _computing(generator, seeds, labels, truncation_psi, noise)
    yield from in_blocks(compute, len(seeds), block_size(generator))


@torch.no_grad()
def make_levels(generator: Generator, seeds: Sequence[int], labels: Sequence[int]) -> Iterator[Levels]:
    """Yield the gray levels [C, H, W] of the images that `make_images` yields, not bounded by black and white."""
    compute = _computing(generator, seeds, labels, 1.0, "random")
    yield from in_blocks(compute, len(seeds), block_size(generator), levels_of)


def _computing(
    generator: Generator, seeds: Sequence[int], labels: Sequence[int], truncation_psi: float, noise: str
) -> Callable[[list[int]], Tensor]:
    """Return the function that makes the images of a list of places among the seeds and labels."""

    def compute(places: list[int]) -> Tensor:
        some = [seeds[place] for place in places]
        ws = intermediate(generator, some, [labels[place] for place in places], truncation_psi)
        made: Tensor = generator.synthesis(ws, noise_of(generator, some, noise))
        return made

    return compute


def class_samples(generator: Generator, classes: int, columns: int, seed: int) -> list[list[Pixels]]:
    """Return a row of images for each class, all rows from the same latents, which belong to the run's seed."""
    seeds = [_grid_seed(seed, column) for column in range(columns)]
    rows = max(classes, 1)
    made = list(make_images(generator, seeds * rows, [row for row in range(rows) for _ in seeds]))
    return [made[row * columns : (row + 1) * columns] for row in range(rows)]


def _grid_seed(seed: int, column: int) -> int:
    return 10_000_000 + seed * 1000 + column


@dataclass(frozen=True)
class Sampling:
    """How images are made from seeds; see `make_images`."""

    truncation_psi: float = 1.0
    noise: str = "random"
    precision: str = "float32"
    """Arithmetic of the highest resolutions: "float32", "bf16" or "fp16"."""


def row_of_seeds(seed: int, count: int) -> list[int]:
    """Return the first `count` seeds of images of the repeat `seed`: 1 000 000 * seed, and on from there."""
    return [1_000_000 * seed + i for i in range(count)]


def pick_classes(document: GeneratorDocument, names: Sequence[str] | None) -> list[int]:
    """Return the indices of the named classes in the generator's order; all of them for None.

    Raises
    ------
    SettingsError
        One is not a class of this generator, or is named twice.
    """
    if names is None:
        return list(range(len(document.classes)))
    for name in names:
        if name not in document.classes:
            raise SettingsError(
                f"{document.name} has no class {name!r}.", f"Its classes are {', '.join(document.classes)}."
            )
    if len(set(names)) != len(names):
        raise SettingsError(f"A class is named twice in {', '.join(names)}.", "Name each class once.")
    return [i for i, name in enumerate(document.classes) if name in names]


def generate(
    folder: Path,
    target: Path,
    device: torch.device,
    progress: Progress,
    *,
    seeds: Sequence[int],
    sampling: Sampling,
    classes: Sequence[str] | None = None,
    form: SyntheticFormat = "png",
) -> SyntheticManifest:
    """Write the images of some seeds, made by the generator in `folder`, to `target`, with their manifest.

    The classes, all or those named, come in the proportions of the GAN's training images; the i-th image is made from
    the i-th seed. For `form`, how the folder holds them, see `core.images.generated`.

    Raises
    ------
    SettingsError
        The list of seeds is empty, or a class is unknown.
    """
    if not seeds:
        raise SettingsError("The number of images must be 1 or more; it is 0.", "Raise --count or --ratio.")
    document, generator = load_generator(folder, device)
    generator.compute_dtype = torch_dtype(sampling.precision)
    chosen = pick_classes(document, classes)
    shares = {i: document.class_counts[document.classes[i]] for i in chosen}
    labels = [chosen[place] for place in class_order(list(shares.values()), len(seeds))]
    size, channels = document.architecture.resolution, document.architecture.img_channels
    made = make_images(generator, seeds, labels, sampling.truncation_psi, sampling.noise)
    with (
        progress.task(f"generate {document.name}", len(seeds), "images") as task,
        open_writer(target, form, document.classes, len(seeds), (channels, size, size)) as writer,
    ):
        listed = []
        for pixels, seed, label in zip(made, seeds, labels, strict=True):
            listed.append(writer.add(pixels, label, seed))
            task.advance()
    total = sum(shares.values())
    manifest = SyntheticManifest(
        classes=document.classes,
        size=size,
        channels=channels,
        gan=document.content_digest(),
        gan_name=document.name,
        subset=subset_trained_on(folder),
        truncation_psi=sampling.truncation_psi,
        noise=sampling.noise,
        class_shares={name: shares.get(i, 0) / total for i, name in enumerate(document.classes)},
        images=listed,
    )
    manifest.write(target / SyntheticManifest.FILE)
    return manifest
