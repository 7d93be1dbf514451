"""The penalty on power spectra: against scipy, by its gradient, and by what it does to images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.gan.spectrum import HALF_LIFE, ROUNDING, SpectrumPenalty, power_spectra, smoothed


def draws(count: int, *, channels: int = 1, height: int = 16, width: int = 12, seed: int = 0) -> Tensor:
    """White noise [count, channels, height, width]."""
    generator = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn([count, channels, height, width], generator=generator, dtype=torch.float64)


def penalty_of(images: Tensor) -> SpectrumPenalty:
    return SpectrumPenalty([images], torch.ones(images.shape[2:], dtype=images.dtype))


def test_power_spectra_are_scipys_of_faded_images() -> None:
    images = draws(3, channels=2) + 0.5
    window = np.outer(scipy.signal.windows.hann(16), scipy.signal.windows.hann(12))
    x = images.numpy()
    expected = np.abs(scipy.fft.fft2((x - x.mean(axis=(2, 3), keepdims=True)) * window, norm="ortho")) ** 2
    np.testing.assert_allclose(power_spectra(images).numpy(), expected.mean(axis=1), rtol=1e-10, atol=1e-14)


def test_the_power_of_all_frequencies_is_that_of_the_image() -> None:
    images = draws(2)
    window = torch.from_numpy(np.outer(scipy.signal.windows.hann(16), scipy.signal.windows.hann(12)))
    faded = (images - images.mean(dim=(2, 3), keepdim=True)) * window
    torch.testing.assert_close(power_spectra(images).sum(dim=(1, 2)), faded.square().sum(dim=(1, 2, 3)))


def test_smoothing_keeps_the_mean_and_is_its_own_adjoint() -> None:
    a, b = draws(2)[:, 0]
    torch.testing.assert_close(smoothed(a).mean(), a.mean())
    torch.testing.assert_close((smoothed(a) * b).sum(), (a * smoothed(b)).sum())


def test_the_gradient_is_that_of_the_squared_logarithm_where_the_batch_is_all_there_is() -> None:
    penalty, images = penalty_of(draws(50)), (2 * draws(8, seed=1)).requires_grad_(True)
    ratios = penalty.ratios(images)
    penalty.ratio.copy_(ratios.detach().mean(dim=0))
    (ours,) = torch.autograd.grad(penalty.of_generated(ratios).sum() / len(images), images)
    whole = smoothed(penalty.ratios(images).mean(dim=0)).log().square().mean() / 2
    (theirs,) = torch.autograd.grad(whole, images)
    assert ours.abs().max() > 0
    torch.testing.assert_close(ours, theirs)


def test_nothing_pulls_at_the_beginning() -> None:
    penalty, images = penalty_of(draws(20)), draws(4, seed=1).requires_grad_(True)
    (gradient,) = torch.autograd.grad(penalty.of_generated(penalty.ratios(images)).sum(), images)
    assert gradient.abs().max() == 0
    assert penalty.decibels() == 0


def test_twice_the_contrast_is_six_decibels_after_some_half_lives() -> None:
    images = draws(2000)
    penalty = penalty_of(images)
    twice = penalty.ratios(2 * images).mean(dim=0)
    for _ in range(200):
        penalty.observe(twice, HALF_LIFE // 10)
    assert float(penalty.decibels()) == pytest.approx(20 * math.log10(2), abs=0.05)


def test_the_half_life_counts_images_not_steps() -> None:
    small, large = penalty_of(draws(4)), penalty_of(draws(4))
    three = torch.full_like(small.ratio, 3.0)
    for _ in range(10):
        small.observe(three, HALF_LIFE // 10)
    large.observe(three, HALF_LIFE)
    torch.testing.assert_close(small.ratio, torch.full_like(three, 2.0))
    torch.testing.assert_close(large.ratio, torch.full_like(three, 2.0))


def test_the_training_images_count_the_same_in_any_parts() -> None:
    images, ratio = draws(7), torch.ones(16, 12, dtype=torch.float64)
    torch.testing.assert_close(SpectrumPenalty(images.split(3), ratio).target, penalty_of(images).target)


def test_images_of_one_gray_level_pull_nothing_apart() -> None:
    black = torch.full([3, 1, 8, 8], -1.0, dtype=torch.float64)
    penalty = penalty_of(black)
    assert torch.all(penalty.target >= ROUNDING)
    images = black.clone().requires_grad_(True)
    penalty.observe(penalty.ratios(images).detach().mean(dim=0), HALF_LIFE)
    (gradient,) = torch.autograd.grad(penalty.of_generated(penalty.ratios(images)).sum(), images)
    assert torch.isfinite(gradient).all()
    assert torch.isfinite(penalty.decibels())


def test_half_precision_is_computed_in_single() -> None:
    images = draws(2).to(torch.bfloat16)
    assert power_spectra(images).dtype == torch.float32
    torch.testing.assert_close(power_spectra(images), power_spectra(images.float()))


def test_a_filter_learns_the_texture_of_training_images_from_the_penalty_alone() -> None:
    """Speckle that is coarser across the beam than along it, from white noise."""
    beam = torch.tensor([[0.0, 0.3, 0.0], [0.6, 1.0, 0.6], [0.0, 0.3, 0.0]], dtype=torch.float64)[None, None]
    penalty = penalty_of(F.conv2d(draws(1500, height=18, width=18), beam))
    kernel = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    kernel[0, 0, 1, 1] = 1
    kernel.requires_grad_(True)
    adam = torch.optim.Adam([kernel], lr=0.01)
    first = 0.0
    for step in range(400):
        images = F.conv2d(draws(64, height=18, width=18, seed=step + 1), kernel)
        ratios = penalty.ratios(images)
        adam.zero_grad()
        (penalty.of_generated(ratios).sum() / 64).backward()
        adam.step()
        penalty.observe(ratios.detach().mean(dim=0), 64)
        if step == 20:
            first = float(penalty.decibels())
    assert first > 3
    assert float(penalty.decibels()) < first / 4
