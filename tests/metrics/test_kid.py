"""The kernel distance against torch-fidelity, by its definition, and its freedom from bias."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from usgan_cli.core.errors import DataError
from usgan_cli.metrics.kid import kernel_distance, subset_size


def features(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)) ** 2


@pytest.mark.parametrize(("n1", "n2", "size"), [(300, 300, 300), (280, 300, 120), (50, 30, 30)])
def test_equals_torch_fidelity_on_the_same_subsets(n1: int, n2: int, size: int) -> None:
    x, y = features(n1, 64, 1), 1.1 * features(n2, 64, 2)
    expected = kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=10, kid_subset_size=size, rng_seed=5, verbose=False
    )["kernel_inception_distance_mean"]
    draw = np.random.RandomState(5)  # its generator, whose method has the same name
    found = kernel_distance(x, y, size=size, subsets=10, generator=draw)  # type: ignore[arg-type]
    assert found == pytest.approx(expected, rel=1e-9)


def test_equals_the_definition() -> None:
    x, y = features(4, 3, 3), features(3, 3, 4)
    kernel = lambda a, b: (a @ b / 3 + 1) ** 3  # noqa: E731
    x = x[:3]
    within = sum(kernel(s[i], s[j]) for s in (x, y) for i in range(3) for j in range(3) if i != j) / 6
    between = sum(kernel(a, b) for a in x for b in y) / 9
    found = kernel_distance(x, y, size=3, subsets=1, generator=np.random.default_rng(0))
    assert found == pytest.approx(within - 2 * between)


def test_has_no_bias_where_the_frechet_distance_is_all_bias() -> None:
    values = [
        kernel_distance(
            features(30, 8, seed), features(30, 8, 1000 + seed), size=30, subsets=1, generator=np.random.default_rng(0)
        )
        for seed in range(200)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert min(values) < 0


def test_the_subset_fits_both_sets() -> None:
    assert (subset_size(500, 280), subset_size(5000, 4000)) == (280, 1000)
    x = features(5, 3, 5)
    for size in (1, 6):
        with pytest.raises(DataError, match="do not fit"):
            kernel_distance(x, x, size=size, subsets=1, generator=np.random.default_rng(0))
    with pytest.raises(DataError, match="different extractors"):
        kernel_distance(x, x[:, :2], size=2, subsets=1, generator=np.random.default_rng(0))
