"""Trivial generators that a trained one must beat: blurred training images, and training images with noise."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.machine.seeds import numpy_generator

NOISE_SD = 16.0
"""Gray levels."""


def blurred(pixels: Pixels) -> Pixels:
    """Return images [N, C, H, W] after a Gaussian filter whose sigma is 1/32 of their height: no speckle is left."""
    sigma = pixels.shape[2] / 32
    return np.stack([gaussian_filter(image, (0, sigma, sigma)) for image in pixels])


def noisy(pixels: Pixels, seed: int) -> Pixels:
    """Return images [N, C, H, W] with normal noise of 16 gray levels added to every pixel."""
    generator = numpy_generator(seed, "noisy baseline")
    made = np.empty_like(pixels)
    for image, target in zip(pixels, made, strict=True):
        target[:] = np.clip(np.rint(image + generator.normal(0, NOISE_SD, image.shape)), 0, 255)
    return made
