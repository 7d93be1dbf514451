"""A penalty on generated images whose power spectrum is not that of the training images.

Upsampling networks tend to put too much or too little into the highest frequencies (Durall, Keuper and Keuper 2020,
"Watch your Up-Convolution: CNN Based Generative Deep Neural Networks are Failing to Reproduce Spectral Distributions"),
which shows as speckle that is too coarse or edges that are too sharp. As there the generator is regularised by the
spectrum; here it is the two-dimensional one, since the speckle of ultrasound differs along and across the beam, and its
mean over many images, since one image's is mostly chance.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

HALF_LIFE = 500
"""Generated images after which half of the running mean is of newer ones."""
ROUNDING = (2 / 255) ** 2 / 12
"""Power of the error of rounding to 256 gray levels in [-1, 1]: lower differences are not looked at."""


def power_spectra(images: Tensor) -> Tensor:
    """Return the power of each frequency [N, H, W], mean over channels, of images [N, C, H, W].

    The mean is taken off each image, which then fades out towards its borders (Hann window), so that what two opposite
    borders differ by does not count as an edge. Half precision is computed in float32.
    """
    images = images if images.dtype == torch.float64 else images.float()
    down, across = (
        torch.hann_window(side, periodic=False, dtype=images.dtype, device=images.device) for side in images.shape[2:]
    )
    faded = (images - images.mean(dim=(2, 3), keepdim=True)) * (down[:, None] * across)
    return torch.view_as_real(torch.fft.fft2(faded, norm="ortho")).square().sum(dim=-1).mean(dim=1)


def smoothed(spectrum: Tensor) -> Tensor:
    """Return a spectrum [H, W] averaged over each frequency and its eight neighbours; it is its own adjoint."""
    for axis in (0, 1):
        spectrum = (spectrum.roll(-1, axis) + spectrum + spectrum.roll(1, axis)) / 3
    return spectrum


class SpectrumPenalty:
    """Half the squared logarithm of the ratio of two power spectra, mean over frequencies.

    The ratio is of the mean over the generator's images to the mean over the training images. A batch is too few for
    it, so it is a running mean, and a step takes its gradient as though a batch's images were all there are. That makes
    the penalty a sum over images, the same however a batch is cut.

    Parameters
    ----------
    training_images : iterable of Tensor
        All of them in parts [N, C, H, W], in [-1, 1], mirrored ones too where training shows these.
    ratio : Tensor
        The running mean [H, W], which `observe` changes; it begins at 1, where nothing pulls.
    """

    def __init__(self, training_images: Iterable[Tensor], ratio: Tensor) -> None:
        total, count = torch.zeros_like(ratio), 0
        for some in training_images:
            total += power_spectra(some).sum(dim=0)
            count += len(some)
        self.target = smoothed(total / count) + ROUNDING
        """Power of each frequency of the training images [H, W], smoothed, with rounding."""
        self.ratio = ratio

    def ratios(self, images: Tensor) -> Tensor:
        """Return the ratio [N, H, W] of each image's power spectrum to the training images', for [N, C, H, W]."""
        return (power_spectra(images) + ROUNDING) / self.target

    def of_generated(self, ratios: Tensor) -> Tensor:
        """Return [N]: what each image adds to the penalty, of its ratios [N, H, W]; only its gradient has a meaning."""
        now = smoothed(self.ratio)
        pull = smoothed(now.log() / now)
        return (ratios * pull).mean(dim=(1, 2))

    def decibels(self) -> Tensor:
        """Return how far the running mean is from 1: the root mean square over frequencies, a scalar in dB."""
        return 10 * smoothed(self.ratio).log10().square().mean().sqrt()

    def observe(self, mean: Tensor, images: int) -> None:
        """Follow the mean ratio [H, W] of so many generated images."""
        self.ratio.lerp_(mean.to(self.ratio), 1 - 0.5 ** (images / HALF_LIFE))
