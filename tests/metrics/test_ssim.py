"""Structural similarity: scikit-image's defaults, torchmetrics' several scales, seeded pairs, and the real value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from usgan_cli.core.errors import DataError
from usgan_cli.core.images import codec
from usgan_cli.metrics.bootstrap import half_samples
from usgan_cli.metrics.msssim import LEAST_SIZE, pair_ms_ssim
from usgan_cli.metrics.pairs import Pairs, across, pair_draws, within
from usgan_cli.metrics.ssim import pair_ssim

ONE_PAIR = Pairs(np.array([0]), np.array([0]))


def noise(count: int, channels: int = 1, size: int = 20, seed: int = 0) -> codec.Pixels:
    return np.random.default_rng(seed).integers(0, 256, (count, channels, size, size), dtype=np.uint8)


def smooth(count: int, channels: int = 1, size: int = LEAST_SIZE) -> codec.Pixels:
    rng = np.random.default_rng(1)
    fields = gaussian_filter(rng.standard_normal((count, channels, size, size)), (0, 0, 6, 6))
    shared = gaussian_filter(rng.standard_normal((size, size)), 20)
    return np.clip(128 + 600 * fields + 2500 * shared + rng.normal(0, 5, fields.shape), 0, 255).astype(np.uint8)


def ssim(a: codec.Pixels, b: codec.Pixels) -> float:
    return float(pair_ssim(a[None], b[None], ONE_PAIR)[0])


def ms_ssim(a: codec.Pixels, b: codec.Pixels) -> float:
    return float(pair_ms_ssim(a[None], b[None], ONE_PAIR)[0])


def test_gray_is_scikit_images_default() -> None:
    for a, b in (noise(2)[:, 0], noise(2, size=63)[:, 0] // 3 + 170, smooth(2, size=100)[:, 0]):
        assert ssim(a[None], b[None]) == pytest.approx(structural_similarity(a, b), abs=1e-12)


def test_colour_is_the_mean_over_channels() -> None:
    a, b = noise(2, channels=3)
    assert ssim(a, b) == pytest.approx(np.mean([structural_similarity(a[i], b[i]) for i in range(3)]), abs=1e-12)


def test_equal_images_have_one_and_the_levels_are_those_of_8_bits() -> None:
    a = noise(1)[0]
    assert ssim(a, a) == pytest.approx(1)
    flat = np.full_like(a, 100)
    # Two flat images: luminance term alone, with C1 = (0.01 * 255)^2.
    assert ssim(flat, flat + 50) == pytest.approx((2 * 100 * 150 + 6.5025) / (100**2 + 150**2 + 6.5025))


def test_sums_of_the_brightest_windows_do_not_overflow() -> None:
    white, black = np.full((1, 300, 300), 255, np.uint8), np.zeros((1, 300, 300), np.uint8)
    assert ssim(white, white) == pytest.approx(1)
    assert ssim(white, black) == pytest.approx(structural_similarity(white[0], black[0]), abs=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_several_scales_are_those_of_torchmetrics(channels: int) -> None:
    library = pytest.importorskip("torchmetrics.functional.image", reason="torchmetrics is not installed (extra dev)")
    a, b = smooth(2, channels)
    expected = library.multiscale_structural_similarity_index_measure(
        torch.from_numpy(a)[None].double(), torch.from_numpy(b)[None].double(), data_range=255.0
    )
    assert 0.05 < ms_ssim(a, b) < 0.95
    assert ms_ssim(a, b) == pytest.approx(float(expected), abs=1e-6)
    assert ms_ssim(a, a) == pytest.approx(1)
    assert ms_ssim(a, 255 - a) == 0  # a negative has no similarity, and no root of a number below 0


def test_pairs_are_computed_one_by_one() -> None:
    a, b = smooth(3), smooth(4)[::-1]
    pairs = Pairs(np.array([2, 0, 2, 1]), np.array([3, 3, 0, 1]))
    for measure, of_pairs in ((ssim, pair_ssim), (ms_ssim, pair_ms_ssim)):
        expected = [measure(a[i], b[j]) for i, j in zip(pairs.first, pairs.second, strict=True)]
        np.testing.assert_allclose(of_pairs(a, b, pairs), expected, rtol=1e-12)


def test_pairs_are_of_both_sets_and_repeatable() -> None:
    pairs = across(6, 9, 400, seed=3)
    assert set(pairs.first) == set(range(6))
    assert set(pairs.second) == set(range(9))
    assert len(set(zip(pairs.first, pairs.second, strict=True))) == 54
    np.testing.assert_array_equal(across(6, 9, 400, seed=3).second, pairs.second)
    assert not np.array_equal(across(6, 9, 400, seed=4).second, pairs.second)
    # Every other set meets the same real images.
    np.testing.assert_array_equal(across(6, 2, 400, seed=3).first, pairs.first)


def test_pairs_within_a_set_are_of_different_images() -> None:
    pairs = within(5, 600, seed=0)
    assert (pairs.first != pairs.second).all()
    assert len(set(zip(pairs.first, pairs.second, strict=True))) == 20
    assert set(within(2, 50, seed=0).first) == {0, 1}


def test_the_spread_of_a_mean_over_pairs_is_that_over_images() -> None:
    """Values that depend on the images alone: more pairs do not make the mean more certain."""
    n1, n2 = 60, 80

    def values(seed: int, pairs: Pairs) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return rng.standard_normal(n1)[pairs.first] + rng.standard_normal(n2)[pairs.second]

    pairs = across(n1, n2, 2000, seed=0)
    fresh = np.std([values(seed, pairs).mean() for seed in range(200)], ddof=1)
    halves = half_samples(n1, n2, 100, np.random.default_rng(0))
    spread = np.mean([pair_draws(values(seed, pairs), pairs, halves, (n1, n2)).std(ddof=1) for seed in range(10)])
    assert 0.8 < spread / fresh < 1.3


def test_unsuitable_images_are_refused() -> None:
    a, one = noise(2), ONE_PAIR
    with pytest.raises(DataError, match="8-bit"):
        pair_ssim(a, a / 255, one)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="one shape"):
        pair_ssim(a, noise(2, size=21), one)
    with pytest.raises(DataError, match="at least 7"):
        pair_ssim(a, a[:0], one)
    with pytest.raises(DataError, match="at least 7"):
        ssim(noise(1, size=6)[0], noise(1, size=6)[0])
    with pytest.raises(DataError, match="at least 176"):
        pair_ms_ssim(noise(1, size=175), noise(1, size=175), one)


def test_real_against_real_is_the_known_value(busi_dir: Path) -> None:
    """0.172 with a standard deviation of 0.05 over pairs, measured with scikit-image on these files."""
    paths = sorted(busi_dir.glob("*/*.png"))[::4]
    pixels = np.stack([codec.decode(path) for path in paths])
    values = pair_ssim(pixels[::2], pixels[1::2], across(len(pixels[::2]), len(pixels[1::2]), 250, seed=0))
    assert values.mean() == pytest.approx(0.172, abs=0.015)
    assert values.std() == pytest.approx(0.05, abs=0.012)
