"""Intervals: draws without repeats, and a width that is the spread over fresh samples, for every metric."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from usgan_cli.metrics.bootstrap import Halves, half_samples, interval, membership
from usgan_cli.metrics.diversity import diversity_draws, feature_diversity
from usgan_cli.metrics.frechet import frechet_distance, frechet_draws
from usgan_cli.metrics.histogram import LEVELS, js_distance, js_draws
from usgan_cli.metrics.kid import kernel_distance, kernel_draws
from usgan_cli.metrics.prdc import distances, prdc, prdc_draws

N1, N2, D = 80, 100, 12


def sample(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N1, D)) + 1, 1.3 * rng.standard_normal((N2, D)) + 1.2


def grays(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return tuple(  # type: ignore[return-value]
        np.clip(rng.normal(rng.uniform(low, 150, (n, 1)), 25, (n, 60)), 0, 255).astype(np.uint8)
        for n, low in ((N1, 60), (N2, 20))
    )


def kernel(x: np.ndarray, y: np.ndarray) -> float:
    return kernel_distance(x, y, size=N1, subsets=20, generator=np.random.default_rng(0))


def gray_distance(a: np.ndarray, b: np.ndarray) -> float:
    return js_distance(a, b, bins=32, value_range=LEVELS, base=2)


CASES: dict[str, tuple[Callable[..., float], Callable[..., np.ndarray], Callable[[int], tuple[np.ndarray, ...]]]] = {
    "fd": (frechet_distance, frechet_draws, sample),
    "kid": (kernel, kernel_draws, sample),
    "diversity": (lambda _, y: feature_diversity(y), lambda _, y, halves: diversity_draws(y, halves.other), sample),
    "precision": (lambda x, y: prdc(distances(x, y))[0], lambda x, y, h: prdc_draws(distances(x, y), h)[:, 0], sample),
    "density": (lambda x, y: prdc(distances(x, y))[2], lambda x, y, h: prdc_draws(distances(x, y), h)[:, 2], sample),
    "js": (gray_distance, lambda a, b, h: js_draws(a, b, h, bins=32, base=2), grays),
}


@pytest.mark.parametrize("name", CASES)
def test_the_spread_of_halves_is_that_of_fresh_samples(name: str) -> None:
    value, draws, make = CASES[name]
    fresh = np.std([value(*make(seed)) for seed in range(100, 180)], ddof=1)
    halves = half_samples(N1, N2, 60, np.random.default_rng(0))
    spreads = [draws(*make(seed), halves).std(ddof=1) for seed in range(6)]
    assert 0.7 < np.mean(spreads) / fresh < 1.45


@pytest.mark.parametrize("name", CASES)
def test_a_draw_is_the_metric_of_its_images(name: str) -> None:
    value, draws, make = CASES[name]
    a, b = make(7)
    halves = half_samples(N1, N2, 3, np.random.default_rng(1))
    found = draws(a, b, halves)
    for i in range(3):
        x, y = a[halves.real[i]], b[halves.other[i]]
        if name == "kid":  # a subset of all images is every image
            y = b[halves.other[i]]
            expected = kernel_draws(x, y, Halves(np.arange(len(x))[None], np.arange(len(y))[None]))[0]
        else:
            expected = value(x, y)
        assert found[i] == pytest.approx(expected, rel=1e-9)


def test_halves_repeat_nothing_and_are_half() -> None:
    halves = half_samples(9, 4, 50, np.random.default_rng(0))
    assert (halves.real.shape, halves.other.shape) == ((50, 4), (50, 2))
    assert all(len(set(row)) == 4 for row in halves.real)
    assert set(halves.real.ravel()) == set(range(9))
    np.testing.assert_array_equal(membership(halves.real, 9).sum(axis=1), 4)
    again = half_samples(9, 4, 50, np.random.default_rng(0))
    np.testing.assert_array_equal(again.other, halves.other)


def test_an_interval_is_around_the_value_and_within_bounds() -> None:
    draws = np.array([5.0, 7.0])  # standard deviation √2, mean of no importance
    low, high = interval(1.0, draws)
    assert (low, high) == pytest.approx((1 - 1.95996 * 2**0.5, 1 + 1.95996 * 2**0.5), rel=1e-5)
    assert interval(0.9, draws, 0.0, 1.0) == (0.0, 1.0)
