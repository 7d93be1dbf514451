"""Structural similarity: scikit-image's defaults, seeded pairs, and the value known for the real images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from usgan_cli.core import images
from usgan_cli.core.errors import DataError
from usgan_cli.metrics.ssim import paired_ssim, ssim


def noise(count: int, channels: int = 1, size: int = 20, seed: int = 0) -> images.Pixels:
    return np.random.default_rng(seed).integers(0, 256, (count, channels, size, size), dtype=np.uint8)


def test_gray_is_scikit_images_default() -> None:
    a, b = noise(2)[:, 0]
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


def test_pairs_are_of_both_sets_and_repeatable() -> None:
    real, other = np.repeat(noise(1), 4, axis=0), noise(3, seed=1)
    values = paired_ssim(real, other, 50, seed=3)
    expected = {round(ssim(real[0], image), 9) for image in other}
    assert {round(value, 9) for value in values} == expected
    np.testing.assert_array_equal(values, paired_ssim(real, other, 50, seed=3))
    assert not np.array_equal(values, paired_ssim(real, other, 50, seed=4))


def test_every_other_set_meets_the_same_real_images() -> None:
    """A set of equal images shows which real image was drawn."""
    real, one = noise(6), noise(1, seed=1)
    few, many = np.repeat(one, 2, axis=0), np.repeat(one, 9, axis=0)
    np.testing.assert_array_equal(paired_ssim(real, few, 30, seed=0), paired_ssim(real, many, 30, seed=0))


def test_pairs_are_not_matched_by_index() -> None:
    a = noise(10)
    assert 0 < (paired_ssim(a, a, 300, seed=0) > 0.999).mean() < 0.3


def test_unsuitable_images_are_refused() -> None:
    a = noise(2)
    with pytest.raises(DataError, match="8-bit"):
        paired_ssim(a, a / 255, 3, 0)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="one shape"):
        paired_ssim(a, noise(2, size=21), 3, 0)
    with pytest.raises(DataError, match="at least"):
        paired_ssim(a, a[:0], 3, 0)
    with pytest.raises(DataError, match="at least"):
        paired_ssim(noise(2, size=6), noise(2, size=6), 3, 0)


def test_real_against_real_is_the_known_value(busi_dir: Path) -> None:
    """0.172 with a standard deviation of 0.05 over pairs, measured with scikit-image on these files."""
    paths = sorted(busi_dir.glob("*/*.png"))[::4]
    pixels = np.stack([images.decode(path) for path in paths])
    values = paired_ssim(pixels[::2], pixels[1::2], 250, seed=0)
    assert values.mean() == pytest.approx(0.172, abs=0.015)
    assert values.std() == pytest.approx(0.05, abs=0.012)
