"""How many operations the networks' convolutions take: a multiplication and an addition are two."""

from __future__ import annotations

from usgan_cli.gan.networks import channels_at, resolutions

WEIGHTS = {"generator": 1.0, "discriminator": 1.0, "path length": 1 / 4, "R1": 1 / 16}
"""Share of each part in one training iteration."""


def operations(size: int, channel_base: int, channel_max: int) -> tuple[float, float]:
    """Return the operations of one pass of the generator and of the discriminator for one image of `size` pixels.

    A transposed convolution counts the pixels that go in, a strided one those that come out.
    """
    width = {r: channels_at(r, channel_base, channel_max) for r in resolutions(size)}
    generator = discriminator = 0
    for r, c in width.items():
        generator += 9 * c * c * r**2 + c * r**2
        if r > 4:
            below = width[r // 2]
            generator += 9 * c * below * (r // 2) ** 2
            discriminator += 9 * c * c * r**2 + 10 * c * below * (r // 2) ** 2
    discriminator += width[size] * size**2 + 9 * (width[4] + 1) * width[4] * 16 + 16 * width[4] ** 2
    return 2.0 * generator, 2.0 * discriminator


def gflop_per_image(size: int, channel_base: int, channel_max: int) -> float:
    """Return the operations of one training image, 1e9.

    A derivative by the input or by the weight costs what the convolution costs. The generator's step passes forward
    and twice back through the generator, forward and once back through the discriminator; the discriminator's step
    forward through the generator and, for both kinds of image, forward and twice back through the discriminator;
    each regulariser forward, once back, and four times for the second derivatives.
    """
    generator, discriminator = operations(size, channel_base, channel_max)
    passes_g = 3 + 1 + 6 * WEIGHTS["path length"] / 2
    passes_d = 2 + 6 + 6 * WEIGHTS["R1"]
    return (passes_g * generator + passes_d * discriminator) / 1e9
