"""The Fréchet distance against a matrix square root, a published implementation, and cases known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from usgan_cli.core.errors import DataError
from usgan_cli.metrics.frechet import bootstrap_frechet, frechet_distance

RNG = np.random.default_rng(0)


def features(n: int, d: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) / np.sqrt(d) + rng.standard_normal(d)


def by_definition(x1: np.ndarray, x2: np.ndarray) -> float:
    c1, c2 = np.cov(x1, rowvar=False), np.cov(x2, rowvar=False)
    root = np.asarray(scipy.linalg.sqrtm(c1 @ c2)).real
    return float(((x1.mean(0) - x2.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * root))


@pytest.mark.parametrize(("n1", "n2"), [(200, 150), (200, 31), (31, 200), (33, 32)])
def test_equals_the_definition_at_full_rank(n1: int, n2: int) -> None:
    x1, x2 = features(n1, 30, 1), features(n2, 30, 2)
    assert frechet_distance(x1, x2) == pytest.approx(by_definition(x1, x2), rel=1e-9)


@pytest.mark.parametrize(("n1", "n2"), [(200, 150), (20, 150), (20, 12), (2, 2), (12, 200)])
def test_equals_torch_fidelity_at_any_rank(n1: int, n2: int) -> None:
    x1, x2 = features(n1, 30, 3), features(n2, 30, 4)
    statistics = [fid_features_to_statistics(torch.from_numpy(x)) for x in (x1, x2)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    # Its square roots of eigenvalues that are zero but for rounding cost it the last digits.
    assert frechet_distance(x1, x2) == pytest.approx(expected, rel=1e-5)


def test_commuting_covariances_by_hand() -> None:
    x = RNG.standard_normal((5000, 3))
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T  # covariance is exactly 1
    assert frechet_distance(x, 3 * x + [1, 2, 0]) == pytest.approx(5 + 3 * (3 - 1) ** 2)


@pytest.mark.parametrize(("n", "d"), [(50, 10), (10, 50)])
def test_symmetric_zero_for_itself_and_blind_to_order_shift_and_rotation(n: int, d: int) -> None:
    x1, x2 = features(n, d, 5), features(n + 3, d, 6)
    distance = frechet_distance(x1, x2)
    rotation = np.linalg.qr(RNG.standard_normal((d, d)))[0]
    assert frechet_distance(x2, x1) == pytest.approx(distance)
    assert 0 <= frechet_distance(x1, x1[::-1]) < 1e-9 * d
    assert frechet_distance(x1 @ rotation + 7, x2 @ rotation + 7) == pytest.approx(distance)


def test_single_precision_features_are_summed_in_double() -> None:
    """Far from the origin a float32 covariance has no correct digit left."""
    x1, x2 = features(40, 60, 7).astype(np.float32) + 1000, features(50, 60, 8).astype(np.float32) + 1000
    exact = frechet_distance(x1.astype(np.float64), x2.astype(np.float64))
    assert frechet_distance(x1, x2) == pytest.approx(exact, rel=1e-12)


def test_unusable_features_are_refused() -> None:
    x = features(5, 4, 9)
    with pytest.raises(DataError, match="at least two"):
        frechet_distance(x[:1], x)
    with pytest.raises(DataError, match="different extractors"):
        frechet_distance(x, x[:, :3])
    with pytest.raises(DataError, match="not finite"):
        frechet_distance(x, np.where(np.arange(4) == 2, np.nan, x))


def test_bootstrap_is_repeatable_and_narrows_with_more_images() -> None:
    def spread(n: int) -> float:
        draws = bootstrap_frechet(features(n, 5, 10), features(n, 5, 11), 60, np.random.default_rng(3))
        assert len(np.unique(draws)) == 60
        return float(draws.std(ddof=1))

    assert spread(50) == spread(50)
    assert spread(800) < 0.6 * spread(50)


def test_the_bootstrap_draws_both_sets() -> None:
    constant, x = np.zeros((10, 3)), features(10, 3, 12)
    for a, b in ((constant, x), (x, constant)):
        assert bootstrap_frechet(a, b, 20, np.random.default_rng(0)).std() > 0
