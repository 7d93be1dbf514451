"""Real images are never too weak to judge; images that are plainly not real ones always are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from usgan_cli.core.formats.score import Probe
from usgan_cli.metrics.quality import area_under_curve, probe, quality

Features = NDArray[np.float32]


@dataclasses.dataclass
class Numbers:
    fd: float = 50.0
    precision: float | None = 0.5
    coverage: float | None = 0.5


def sample(count: int, seed: int, shift: float = 0.0, dim: int = 60) -> Features:
    return (shift + np.random.default_rng(seed).standard_normal((count, dim))).astype(np.float32)


def told(auc: float, reach: float = 0.01) -> Probe:
    return Probe(auc=auc, interval=(auc - reach, min(auc + reach, 1.0)), images=100)


def test_the_area_is_that_of_the_library_and_its_error_that_of_repeated_samples() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 60), np.round(rng.normal(1, 1, 40), 1)
    area, _ = area_under_curve(a, b)
    assert area == pytest.approx(roc_auc_score(np.repeat([0, 1], [60, 40]), np.concatenate([a, b])))
    many = [area_under_curve(rng.normal(0, 1, 60), rng.normal(1, 1, 40)) for _ in range(400)]
    assert np.mean([spread for _, spread in many]) == pytest.approx(np.std([area for area, _ in many]), rel=0.1)
    assert area_under_curve(np.zeros(20), np.ones(20)) == (1.0, 1 / 40)


def test_the_probe_cannot_tell_one_distribution_from_itself() -> None:
    areas = [probe(sample(60, seed), sample(80, 1000 + seed), 0) for seed in range(20)]
    values = [one.auc for one in areas if one is not None]
    assert len(values) == 20
    assert abs(np.mean(values) - 0.5) < 0.04
    assert sum(one.interval[0] <= 0.5 <= one.interval[1] for one in areas if one is not None) >= 16
    assert areas[0] is not None and areas[0].images == 60


def test_the_probe_tells_what_differs_and_depends_on_the_seed_alone() -> None:
    found = probe(sample(60, 1), sample(60, 2, shift=1.0), 0)
    assert found is not None and found.auc > 0.99 and found.interval[0] > 0.95
    assert found == probe(sample(60, 1), sample(60, 2, shift=1.0), 0)
    assert probe(sample(9, 1), sample(60, 2), 0) is None


@pytest.mark.parametrize(
    ("numbers", "probed", "weak"),
    [
        (Numbers(), told(0.5), False),
        (Numbers(), told(0.99), False),  # marks in features that place them outside of nothing
        (Numbers(precision=0.05), told(0.8), False),
        (Numbers(precision=0.05), told(0.99), True),
        (Numbers(coverage=0.05), told(0.99), True),
        (Numbers(precision=0.05), told(0.96, reach=0.1), False),  # too few images to be sure
        (Numbers(precision=0.05), None, False),
        (Numbers(fd=120.0), told(0.5), True),
        (Numbers(fd=120.0, precision=None, coverage=None), None, True),
    ],
)
def test_what_decides(numbers: Numbers, probed: Probe | None, weak: bool) -> None:
    found = quality(numbers, probed, told(0.5), fd=numbers.fd, blurred_fd=120.0, blurred_count=100)  # type: ignore[arg-type]
    assert found.weak is weak
    assert found.reasons or not weak
