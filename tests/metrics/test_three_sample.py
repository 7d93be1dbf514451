"""C_T is a z-score: about 0 for another sample, far below for copies, far above for images that are elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from usgan_cli.metrics.three_sample import c_t, z_score


def sample(count: int, seed: int, scale: float = 1.0) -> NDArray[np.float32]:
    return (scale * np.random.default_rng(seed).standard_normal((count, 8))).astype(np.float32)


def test_the_z_score_is_that_of_the_library() -> None:
    real, made = np.random.default_rng(0).random(30), np.random.default_rng(1).random(50) * 0.8
    found = stats.mannwhitneyu(made, real, method="asymptotic", use_continuity=False, alternative="less")
    assert stats.norm.cdf(z_score(real, made)) == pytest.approx(found.pvalue)


def test_honest_samples_are_within_three_standard_errors() -> None:
    values = [c_t(sample(100, s), sample(100, 100 + s), sample(200, 200 + s), 0) for s in range(30)]
    assert all(value is not None and abs(value) < 3 for value in values)
    assert abs(np.mean([value for value in values if value is not None])) < 0.5


def test_copies_and_strangers_are_told_apart() -> None:
    train, test = sample(100, 1), sample(100, 2)
    copied = c_t(train, test, train + sample(100, 3, 0.2), 0)
    strange = c_t(train, test, sample(100, 4, 3.0), 0)
    assert copied is not None and copied < -3
    assert strange is not None and strange > 3


def test_too_few_images_have_none() -> None:
    assert c_t(sample(50, 1), sample(9, 2), sample(50, 3), 0) is None
