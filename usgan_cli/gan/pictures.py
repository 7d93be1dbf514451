"""Pictures of what a generator does: a grid with rows by class, and the way from one image to another."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.gan.networks import Generator
from usgan_cli.gan.sample import BLOCK, Sampling, block_size, in_blocks, intermediate, make_images, noise_of

FRAME_MS = 60
"""How long an animation shows each frame, milliseconds."""


def grid(
    generator: Generator, labels: Sequence[int], columns: int, rows: int, seeds: Sequence[int], sampling: Sampling
) -> Pixels:
    """Return a sheet of images, rows by class in the order of `labels`; each class shows the first of the same seeds.

    There is at least one row for each class; if rows are not a multiple of the classes, the first ones have one more.
    """
    each = [len(part) for part in np.array_split(np.arange(rows), len(labels))]
    cells = [(seed, label) for label, own in zip(labels, each, strict=True) for seed in seeds[: own * columns]]
    cell_seeds, cell_labels = zip(*cells, strict=True)
    made = list(make_images(generator, cell_seeds, cell_labels, sampling.truncation_psi, sampling.noise))
    return codec.sheet([made[row * columns : (row + 1) * columns] for row in range(rows)])


@torch.no_grad()
def interpolate(
    generator: Generator, labels: Sequence[int], ends: tuple[int, int], frames: int, sampling: Sampling
) -> list[list[Pixels]]:
    """Return the way from the image of one seed to that of another, for each class `frames` images, both included.

    Intermediate latents w are mixed linearly (Karras et al. 2019, "A Style-Based Generator Architecture", section
    4.1: W is less entangled than Z); the noise stays that of the first seed, so that texture does not flicker.
    `labels` are the classes, `ends` the two seeds, and `frames` is 2 or more.
    """
    first, last = (_ends(generator, seed, labels, sampling.truncation_psi) for seed in ends)
    noise = noise_of(generator, ends[:1], sampling.noise)
    way = torch.linspace(0, 1, frames, device=first.device)

    def compute(places: list[int]) -> Tensor:
        numbers = torch.tensor(places, device=first.device)
        row, share = numbers // frames, way[numbers % frames]
        made: Tensor = generator.synthesis(torch.lerp(first[row], last[row], share[:, None, None]), noise)
        return made

    made = list(in_blocks(compute, len(labels) * frames, block_size(generator)))
    return [made[row * frames : (row + 1) * frames] for row in range(len(labels))]


def _ends(generator: Generator, seed: int, labels: Sequence[int], truncation_psi: float) -> Tensor:
    """Return ws [len(labels), num_ws, w_dim] of one seed, computed in blocks as `make_images` does."""
    blocks = []
    for place in range(0, len(labels), BLOCK):
        some = list(labels[place : place + BLOCK])
        filled = some + [some[-1]] * (BLOCK - len(some))
        blocks.append(intermediate(generator, [seed] * BLOCK, filled, truncation_psi)[: len(some)])
    return torch.cat(blocks)


def there_and_back(frames: Sequence[Pixels]) -> list[Pixels]:
    """Return the frames forwards and backwards, so that they can be shown again and again without a jump."""
    return [*frames, *frames[-2:0:-1]]


def encode_gif(frames: Sequence[Pixels], milliseconds: int = FRAME_MS) -> bytes:
    """Return frames, pixels [C, H, W] each, as an endless GIF; gray frames keep every level, colours are reduced."""
    pictures = [
        Image.fromarray(frame[0])
        if len(frame) == 1
        else Image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0))).quantize(256)
        for frame in frames
    ]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, format="GIF", save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0, optimize=False
    )
    return buffer.getvalue()
