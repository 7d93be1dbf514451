"""The Fréchet distance against a matrix square root, a published implementation, and cases known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from usgan_cli.core.errors import DataError
from usgan_cli.metrics.bootstrap import half_samples
from usgan_cli.metrics.frechet import frechet_distance, frechet_draws, frechet_infinite

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


def by_nonzero_eigenvalues(x1: np.ndarray, x2: np.ndarray) -> float:
    """C1 C2 has the nonzero eigenvalues of a small symmetric matrix: no zero is taken the root of."""
    a, b = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (x1, x2))
    roots = np.sqrt(np.maximum(scipy.linalg.eigvalsh(a @ b.T @ b @ a.T), 0))
    return float(((x1.mean(0) - x2.mean(0)) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * roots.sum())


@pytest.mark.parametrize(("n1", "n2", "d"), [(12, 40, 200), (60, 150, 500)])
def test_is_exact_where_the_rank_is_less_than_the_number_of_features(n1: int, n2: int, d: int) -> None:
    x1, x2 = features(n1, d, 13), features(n2, d, 14)
    # The one eigenvalue that centring makes 0 comes out as 1e-16 of the largest, and its root as 1e-8.
    assert frechet_distance(x1, x2) == pytest.approx(by_nonzero_eigenvalues(x1, x2), rel=1e-7)


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


def test_a_draw_is_the_distance_of_its_rows_with_more_or_fewer_images_than_features() -> None:
    for n1, n2, d in ((30, 40, 100), (300, 200, 6)):
        x1, x2 = features(n1, d, 10) + 50, features(n2, d, 11) + 50
        halves = half_samples(n1, n2, 4, np.random.default_rng(3))
        rows = zip(halves.real, halves.other, strict=True)
        expected = [frechet_distance(x1[rows1], x2[rows2]) for rows1, rows2 in rows]
        np.testing.assert_allclose(frechet_draws(x1, x2, halves), expected, rtol=1e-9)


def test_spread_narrows_with_more_images() -> None:
    def spread(n: int) -> float:
        halves = half_samples(n, n, 60, np.random.default_rng(3))
        return float(frechet_draws(features(n, 5, 10), features(n, 5, 11), halves).std(ddof=1))

    assert spread(50) == spread(50)
    assert spread(800) < 0.6 * spread(50)


def test_rank_deficient_case_by_hand() -> None:
    """Three points on a line of 2048 features, as in images that differ in one thing alone."""
    line = np.zeros((3, 2048))
    line[:, 5] = [-1, 0, 1]  # variance 1
    other = 3 * line
    other[:, 5] += 2
    assert frechet_distance(line, other) == pytest.approx(2**2 + (3 - 1) ** 2, rel=1e-12)
    across = np.zeros((3, 2048))
    across[:, 9] = [-2, 0, 2]  # at a right angle: nothing is shared, so the traces add up
    assert frechet_distance(line, across) == pytest.approx(1 + 4, rel=1e-12)


def test_extrapolation_takes_the_bias_away_where_images_outnumber_features() -> None:
    rng = np.random.default_rng(0)
    plain, infinite = [], []
    for _ in range(60):
        x, y = rng.standard_normal((150, 10)), rng.standard_normal((200, 10))
        y[:, 0] += 1  # the true distance is 1
        plain.append(frechet_distance(x, y))
        found = frechet_infinite(x, y, np.random.default_rng(1))
        assert found is not None
        infinite.append(found)
    assert np.mean(plain) > 1.2
    assert abs(np.mean(infinite) - 1) < 0.12
    assert frechet_infinite(x[:10], y, rng) is None
