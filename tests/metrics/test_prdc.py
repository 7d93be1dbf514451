"""Precision, recall, density and coverage against two published implementations, and which is which."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_prc import prc_features_to_metric

from usgan_cli.core.errors import DataError
from usgan_cli.metrics.prdc import density_coverage, distances, euclidean, prdc, precision_recall, radii


def features(n: int, seed: int, scale: float = 1) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal((n, 6))


@pytest.mark.parametrize(("n1", "n2", "scale"), [(300, 300, 1), (280, 150, 1.5), (60, 90, 0.6)])
def test_equals_torch_fidelity(n1: int, n2: int, scale: float) -> None:
    real, fake = features(n1, 1), features(n2, 2, scale)
    expected = prc_features_to_metric(
        torch.from_numpy(fake),
        torch.from_numpy(real),
        prc_neighborhood=3,
        prc_batch_size=1000,
        save_cpu_ram=False,
        verbose=False,
    )
    precision, recall = precision_recall(distances(real, fake), k=3)
    assert 0.05 < min(precision, recall) < 1
    assert precision == pytest.approx(expected["precision"], rel=1e-6)
    assert recall == pytest.approx(expected["recall"], rel=1e-6)


@pytest.mark.parametrize(("n1", "n2", "scale"), [(300, 300, 1), (280, 150, 1.5), (60, 90, 0.6)])
def test_equals_the_prdc_package(n1: int, n2: int, scale: float) -> None:
    package = pytest.importorskip("prdc", reason="the package prdc is not installed (extra dev)")
    real, fake = features(n1, 3), features(n2, 4, scale)
    expected = package.compute_prdc(real, fake, nearest_k=5)
    found = distances(real, fake)
    assert density_coverage(found, k=5) == pytest.approx((expected["density"], expected["coverage"]), rel=1e-9)
    assert precision_recall(found, k=5) == pytest.approx((expected["precision"], expected["recall"]), rel=1e-9)


def test_swapped_sets_swap_precision_and_recall() -> None:
    real = features(300, 5)
    narrow = features(300, 6, 0.4)  # all among the real ones, which it does not cover
    precision, recall = precision_recall(distances(real, narrow), k=3)
    assert precision > 0.95
    assert recall < 0.5
    assert precision_recall(distances(narrow, real), k=3) == (recall, precision)


def test_by_hand() -> None:
    real, fake = np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [10.0], [10.1]])
    found = distances(real, fake)
    np.testing.assert_allclose(radii(found.real, 1), [1, 1, 2])
    # 0.5 lies in the balls of 0 and 1; 10 and 10.1 in none. No real one is within 0.1 of 10, all are within 9.5 of 0.5.
    assert precision_recall(found, k=1) == pytest.approx((1 / 3, 1.0))
    assert density_coverage(found, k=1) == pytest.approx((2 / 3, 2 / 3))


def test_a_copy_of_the_real_set_is_perfect() -> None:
    real = features(40, 7)
    assert precision_recall(distances(real, real.copy()), k=3) == (1, 1)
    density, coverage = density_coverage(distances(real, real.copy()), k=5)
    assert coverage == 1
    assert density == pytest.approx(1, abs=0.2)


def test_distances_are_euclidean_far_from_the_origin_too() -> None:
    real, fake = (features(20, 8) + 1000).astype(np.float32), (features(9, 9) + 1000).astype(np.float32)
    expected = np.linalg.norm(real[:, None].astype(float) - fake.astype(float), axis=2)
    np.testing.assert_allclose(distances(real, fake).cross, expected, rtol=1e-7)
    assert (np.diagonal(euclidean(real, real)) == 0).all()


def test_too_few_images_have_no_value() -> None:
    assert np.isnan(prdc(distances(features(3, 1), features(9, 2)))).all()
    few = prdc(distances(features(5, 1), features(9, 2)))
    np.testing.assert_array_equal(np.isnan(few), [False, False, True, True])
    with pytest.raises(DataError, match="no 3-th nearest"):
        radii(np.zeros((3, 3)), 3)
