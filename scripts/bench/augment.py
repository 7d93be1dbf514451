"""Time the augmentations, forward and backward, beside a warp that filters a padded canvas as published.

    python scripts/bench/augment.py --sizes 32 64 128 256 --batch 8 --device cpu

The baseline follows Karras et al. 2020, appendix B.2, step by step: reflect the whole batch far enough, insert zeros,
filter with 12 taps per axis, sample bilinearly, filter and drop every second sample.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.gan.augment import AdaAugment, AdaOperations, DiffAugment
from usgan_cli.gan.augment.ada import draw_transforms
from usgan_cli.gan.augment.sampler import StrengthSampler
from usgan_cli.gan.augment.warp import FRAME, fitted_window, warp
from usgan_cli.gan.augment.wavelets import resampling_taps


def bg_transforms(count: int, size: int, seed: int) -> Tensor:
    """Return [count, 3, 3] transforms of the `bg` group at p = 0.6."""
    generator = torch.Generator().manual_seed(seed)
    sampler = StrengthSampler(count, torch.tensor(0.6, dtype=torch.float64), torch.device("cpu"), generator)
    transforms = draw_transforms(AdaOperations.named("bg"), sampler, size, size)
    assert transforms is not None
    return transforms


def filter_axes(images: Tensor, taps: Tensor, stride: int = 1) -> Tensor:
    """Correlate along both axes."""
    channels = images.shape[1]
    row = taps.expand(channels, 1, 1, -1)
    images = F.conv2d(images, row, stride=(1, stride), groups=channels)
    return F.conv2d(images, row.mT, stride=(stride, 1), groups=channels)


def warp_padded_canvas(images: Tensor, transforms: Tensor) -> Tensor:
    """Warp as published: one zero-inserted canvas for the batch."""
    count, channels, height, width = images.shape
    taps = torch.tensor(resampling_taps(), dtype=images.dtype, device=images.device)
    corners = torch.tensor([[x * (width - 1) / 2, y * (height - 1) / 2, 1] for x in (-1, 1) for y in (-1, 1)])
    reached = (transforms @ corners.T.to(transforms))[:, :2].permute(1, 0, 2).flatten(1)
    half = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=transforms.dtype)
    limit = torch.tensor([width - 1, height - 1], dtype=transforms.dtype)
    low = (-reached.amin(1) + 2 * FRAME - half).clamp(min=0).minimum(limit).ceil().int().tolist()
    high = (reached.amax(1) + 2 * FRAME - half).clamp(min=0).minimum(limit).ceil().int().tolist()
    canvas = F.pad(images, (low[0], high[0], low[1], high[1]), mode="reflect")
    wide = canvas.new_zeros(count, channels, 2 * canvas.shape[2], 2 * canvas.shape[3])
    wide[:, :, ::2, ::2] = canvas
    wide = filter_axes(F.pad(wide, (6, 5, 6, 5)), 2 * taps.flip(0))
    rows = torch.arange(2 * (height + 2 * FRAME), dtype=transforms.dtype)
    columns = torch.arange(2 * (width + 2 * FRAME), dtype=transforms.dtype)
    ys, xs = torch.meshgrid((rows + 1) / 2 - height / 2 - FRAME, (columns + 1) / 2 - width / 2 - FRAME, indexing="ij")
    points = torch.stack([xs, ys, torch.ones_like(xs)], dim=-1).view(-1, 3)
    source = (points @ transforms[:, :2].mT).view(count, len(rows), len(columns), 2)
    lengths = torch.tensor([wide.shape[3], wide.shape[2]], dtype=transforms.dtype)
    offset = 2 * torch.tensor(low[:2], dtype=transforms.dtype) + 2 * half
    grid = ((2 * (2 * source + offset) + 1) / lengths - 1).to(images)
    sampled = F.grid_sample(wide, grid, align_corners=False)
    return filter_axes(sampled[:, :, 1:-1, 1:-1], taps, stride=2)


def warp_by_matrices(images: Tensor, transforms: Tensor) -> Tensor:
    """Warp as the pipe does: windows fitted to the transforms, which lie on the host."""
    return warp(images, transforms, window=fitted_window(transforms, *images.shape[2:]))


def milliseconds(step: Callable[[], object], device: str, repeats: int) -> float:
    """Return the median time of a step."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        step()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 1e3 * sorted(times[2:])[repeats // 2]


def run(size: int, batch: int, device: str, repeats: int) -> None:
    """Print one line per augmentation: milliseconds per image."""
    images = torch.rand(batch, 1, size, size, device=device).mul_(2).sub_(1).requires_grad_()
    weight = torch.randn(batch, 1, size, size, device=device)
    # The same random transforms for both warps: a large canvas depends on the largest of a batch.
    transforms = [bg_transforms(batch, size, seed) for seed in range(repeats + 2)]
    difference = (
        (warp_padded_canvas(images, transforms[0]) - warp_by_matrices(images, transforms[0])).abs().mean().item()
    )
    ada, filled, diffaug = AdaAugment("bg"), AdaAugment("bg", fill=-1.0), DiffAugment()
    generator = torch.Generator().manual_seed(0)

    def cycling(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], Tensor]:
        queue = iter(transforms * 2)
        return lambda: function(images, next(queue))

    def entries() -> dict[str, Callable[[], Tensor]]:
        return {
            "padded canvas": cycling(warp_padded_canvas),
            "matrix warp": cycling(warp_by_matrices),
            "AdaAugment bg": lambda: ada(images, 0.6, generator),
            "  filled": lambda: filled(images, 0.6, generator),
            "DiffAugment": lambda: diffaug(images, 1.0, generator),
        }

    for name in entries():
        forward = milliseconds(entries()[name], device, repeats)
        step = entries()[name]
        both = milliseconds(lambda step=step: torch.autograd.grad(step(), images, weight), device, repeats)
        print(f"{size:4d} px  {name:14s} forward {forward / batch:8.2f}  with backward {both / batch:8.2f} ms/image")
    print(f"{size:4d} px  mean difference between the warps {difference:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128, 256], help="pixels per side")
    parser.add_argument("--batch", type=int, default=8, help="images per batch")
    parser.add_argument("--repeats", type=int, default=7, help="timed repetitions")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments = parser.parse_args()
    for size in arguments.sizes:
        run(size, arguments.batch, arguments.device, arguments.repeats)


if __name__ == "__main__":
    main()
