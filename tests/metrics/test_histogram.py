"""Jensen-Shannon distance of gray values: by hand, by its bounds, and the value known for the real images."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from usgan_cli.core.errors import DataError
from usgan_cli.core.images import codec
from usgan_cli.metrics.histogram import js_distance

LEVELS = (0.0, 256.0)


def test_equals_the_definition() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 200, (5, 1, 9, 9), dtype=np.uint8), rng.integers(50, 256, (7, 1, 9, 9), dtype=np.uint8)
    p, q = (np.bincount(x.ravel(), minlength=256) / x.size for x in (a, b))
    m = (p + q) / 2
    divergence = sum(0.5 * np.sum(x[x > 0] * np.log(x[x > 0] / m[x > 0])) for x in (p, q))
    found = js_distance(a, b, bins=256, value_range=LEVELS, base=math.e)
    assert found == pytest.approx(math.sqrt(divergence))
    assert found == pytest.approx(jensenshannon(p, q))


def test_by_hand() -> None:
    a, b = np.array([0, 0, 1, 1], dtype=np.uint8), np.array([0, 0, 0, 0], dtype=np.uint8)
    # Base 2: H(3/4, 1/4) - (H(1/2, 1/2) + H(1)) / 2 = 0.811278 - 0.5.
    assert js_distance(a, b, bins=256, value_range=LEVELS, base=2) == pytest.approx(math.sqrt(0.8112781 - 0.5))


def test_bounds_and_base() -> None:
    black, white = np.zeros(10, dtype=np.uint8), np.full(7, 255, dtype=np.uint8)
    assert js_distance(black, black, bins=256, value_range=LEVELS, base=2) == 0
    assert js_distance(black, white, bins=256, value_range=LEVELS, base=2) == pytest.approx(1)
    assert js_distance(black, white, bins=2, value_range=LEVELS, base=math.e) == pytest.approx(math.sqrt(math.log(2)))
    assert js_distance(black, white, bins=1, value_range=LEVELS, base=2) == 0


def test_each_level_has_its_own_bin() -> None:
    for level in range(255):
        a, b = np.array([level], dtype=np.uint8), np.array([level + 1], dtype=np.uint8)
        assert js_distance(a, b, bins=256, value_range=LEVELS, base=2) == pytest.approx(1)


def test_floats_and_8_bit_levels_agree() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 256, (2, 500), dtype=np.uint8)
    expected = js_distance(a, b, bins=40, value_range=LEVELS, base=2)
    assert js_distance(a.astype(float), b.astype(float), bins=40, value_range=LEVELS, base=2) == pytest.approx(expected)


def test_values_outside_the_bins_are_refused() -> None:
    a = np.array([0.0, 0.5])
    for wrong in (np.array([-0.1, 0.5]), np.array([0.5, 1.1]), np.array([np.nan, 0.5])):
        with pytest.raises(DataError, match="reach"):
            js_distance(a, wrong, bins=4, value_range=(0, 1), base=2)
    with pytest.raises(DataError, match="without pixels"):
        js_distance(a, a[:0], bins=4, value_range=(0, 1), base=2)


def test_real_against_real_is_the_known_value(busi_dir: Path) -> None:
    """About 0.02 between 500 and 280 of the images, with the natural logarithm and 256 bins."""
    pixels = np.stack([codec.decode(path) for path in sorted(busi_dir.glob("*/*.png"))])
    chosen = np.random.default_rng(0).permutation(len(pixels))
    distance = js_distance(pixels[chosen[:280]], pixels[chosen[280:]], bins=256, value_range=LEVELS, base=math.e)
    assert 0.01 < distance < 0.035
