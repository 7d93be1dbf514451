"""Diversity in features: by its definition over all pairs, and its bounds."""

from __future__ import annotations

import numpy as np
import pytest

from usgan_cli.core.errors import DataError
from usgan_cli.metrics.diversity import feature_diversity


def test_equals_the_definition() -> None:
    x = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    expected = np.mean([((units[i] - units[j]) ** 2).sum() for i in range(7) for j in range(7) if i != j])
    assert feature_diversity(x) == pytest.approx(expected, rel=1e-6)


def test_bounds_and_blindness_to_length() -> None:
    x = np.array([[1.0, 0.0], [3.0, 0.0]])
    assert feature_diversity(x) == pytest.approx(0)
    assert feature_diversity(np.array([[1.0, 0.0], [-2.0, 0.0]])) == pytest.approx(4)
    assert feature_diversity(np.array([[1.0, 0.0], [0.0, 5.0]])) == pytest.approx(2)
    with pytest.raises(DataError, match="at least two"):
        feature_diversity(x[:1])
