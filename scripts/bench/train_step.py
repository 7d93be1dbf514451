"""Time the phases of StyleGAN2 training on random images, in seconds per thousand images.

One training image is a generator step, a discriminator step, a quarter of path length at half the batch and a
sixteenth of R1; optimisers and augmentation are left out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from usgan_cli.gan import losses
from usgan_cli.gan.networks import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CLASSES = 3


def median_seconds(step: Callable[[], None], repeats: int) -> float:
    step()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def phases(
    generator: Generator, discriminator: Discriminator, batch: int
) -> dict[str, tuple[Callable[[], None], float]]:
    """Return each phase with its weight in one training image."""
    z_dim, resolution = generator.config.z_dim, generator.config.resolution
    real = torch.randn(batch, generator.config.img_channels, resolution, resolution)

    def latents(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.eye(CLASSES)[torch.arange(count) % CLASSES]
        return generator.mapping(torch.randn(count, z_dim), labels), labels

    def generator_step() -> None:
        discriminator.requires_grad_(False)
        ws, labels = latents(batch)
        losses.generator_loss(discriminator(generator.synthesis(ws), labels)).mean().backward()
        discriminator.requires_grad_(True)

    def discriminator_step() -> None:
        with torch.no_grad():
            ws, labels = latents(batch)
            fake = generator.synthesis(ws)
        losses.discriminator_loss_fake(discriminator(fake, labels)).mean().backward()
        losses.discriminator_loss_real(discriminator(real, labels)).mean().backward()

    def path_length() -> None:
        ws, _ = latents(batch // 2)
        image = generator.synthesis(ws)
        losses.path_lengths(image, ws, torch.randn_like(image)).square().mean().backward()

    def r1() -> None:
        image = real.detach().requires_grad_(True)
        labels = torch.eye(CLASSES)[torch.arange(batch) % CLASSES]
        losses.r1_penalty(discriminator(image, labels), image).mean().backward()

    return {
        "generator": (generator_step, 1.0),
        "discriminator": (discriminator_step, 1.0),
        "path length": (path_length, 1 / 4),
        "R1": (r1, 1 / 16),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, default=64, help="pixels")
    parser.add_argument("--channel-base", type=int, default=2048)
    parser.add_argument("--channel-max", type=int, default=64)
    parser.add_argument("--latent", type=int, default=128, help="width of z and w")
    parser.add_argument("--batch", type=int, default=16, help="images")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--half-res", type=int, default=4, help="number of resolutions in reduced precision")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    shape = {
        "resolution": args.resolution,
        "img_channels": 1,
        "c_dim": CLASSES,
        "channel_base": args.channel_base,
        "channel_max": args.channel_max,
        "num_half_res": args.half_res,
    }
    generator = Generator(GeneratorConfig(z_dim=args.latent, w_dim=args.latent, **shape))
    discriminator = Discriminator(DiscriminatorConfig(**shape))
    generator.compute_dtype = discriminator.compute_dtype = PRECISIONS[args.precision]

    total = 0.0
    for name, (step, weight) in phases(generator, discriminator, args.batch).items():
        per_thousand = weight * median_seconds(step, args.repeats) / args.batch * 1000
        total += per_thousand
        print(f"{name:14s}{per_thousand:8.2f} s/kimg")
    print(f"{'all':14s}{total:8.2f} s/kimg")


if __name__ == "__main__":
    main()
