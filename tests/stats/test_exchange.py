"""How many real images an arm is worth: planted curves, flat parts, ends, and how often the interval holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_arms import ADA, CLUSTERS, COPIES, REAL, repeat, trained

from usgan_cli.core.formats.comparison import RealImages
from usgan_cli.stats.exchange import Curve, Floats, exchange_rates, worth
from usgan_cli.stats.mrmc import compare_arms

SIZES = (50, 100, 200, 400)
APART = np.arange(100)
"""Each of 100 test images is a cluster of its own."""


def right(accuracy: float, spread: float = 0.0, repeats: int = 3) -> Floats:
    """Shares of models [repeats, images] with that mean; repeats differ by `spread`."""
    share = accuracy + spread * (np.arange(repeats) - (repeats - 1) / 2)
    ramp = np.linspace(-0.2, 0.2, len(APART))
    return np.asarray(share[:, None] + ramp, dtype=np.float64)


def curve_of(*accuracies: float) -> Floats:
    return np.stack([right(value) for value in accuracies])


@pytest.mark.parametrize(
    ("accuracy", "n"),
    [(0.6, 50), (0.65, 50 * 2**0.5), (0.7, 100), (0.725, 100 * 2**0.5), (0.75, 200), (0.79, 200 * 2**0.8), (0.8, 400)],
)
def test_a_planted_number_is_read_off(accuracy: float, n: float) -> None:
    real, _ = worth(SIZES, curve_of(0.6, 0.7, 0.75, 0.8), right(accuracy, 0.01), APART)
    assert (real.low, real.high) == pytest.approx((n, n)) and not real.below and not real.above


def test_pooled_sizes_are_a_range_and_their_neighbours_begin_at_its_ends() -> None:
    curve = Curve.fit(SIZES, np.array([0.6, 0.74, 0.7, 0.8]))
    assert curve.fitted == pytest.approx([0.6, 0.72, 0.72, 0.8])
    assert curve.read(float(curve.fitted[1])) == RealImages(low=100, high=200)
    assert curve.read(0.72 + 1e-9).low == pytest.approx(200) and curve.read(0.72 - 1e-9).high == pytest.approx(100)
    flat = Curve.fit(SIZES, np.array([0.8, 0.7, 0.6, 0.5]))
    assert flat.read(float(flat.fitted[0])) == RealImages(low=50, high=400), "real images that bring nothing"


@pytest.mark.parametrize("accuracy", [0.82, 0.99])
def test_beyond_the_curve_nothing_is_extrapolated(accuracy: float) -> None:
    """A straight line through the last sizes would say 528 images and more."""
    real, interval = worth(SIZES, curve_of(0.6, 0.7, 0.75, 0.8), right(accuracy, 0.001), APART)
    assert (real.words(), real.words(100), interval.words()) == ("more than 400", "more than +300", "more than 400")
    real, interval = worth(SIZES, curve_of(0.6, 0.7, 0.75, 0.8), right(0.55, 0.001), APART)
    assert (real.words(), real.words(50), interval.words()) == ("less than 50", "less than 0", "less than 50")


def test_an_interval_that_reaches_an_end_is_open_there() -> None:
    interval = worth(SIZES, curve_of(0.6, 0.7, 0.75, 0.8), right(0.79, 0.01), APART)[1]
    assert interval.above and not interval.below and interval.words().endswith(" to more than 400")
    wide = worth(SIZES, curve_of(0.6, 0.7, 0.75, 0.8), right(0.7, 0.2), APART)[1]
    assert wide.words() == "less than 50 to more than 400"


def test_a_narrow_interval_has_a_width() -> None:
    interval = worth(SIZES, curve_of(0.6, 0.7, 0.75, 0.8), right(0.73, 1e-4), APART)[1]
    assert 150 < interval.low < 100 * 2**0.6 - 0.05 and 100 * 2**0.6 + 0.05 < interval.high < 153


def draws(rng: np.random.Generator, accuracies: list[float], repeats: int, spread: float = 0.01) -> Floats:
    """Shares [arms, repeats, 60 images]; trainings, images, and images of one training have effects."""
    by_image = rng.normal(0, 0.25, 60)
    training = rng.normal(0, spread, (len(accuracies), repeats, 1))
    own = rng.normal(0, 0.08, (len(accuracies), repeats, 60))
    return np.asarray(accuracies)[:, None, None] + by_image + training + own


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_order_and_names_change_nothing_and_a_better_arm_is_worth_no_less(seed: int, repeats: int) -> None:
    rng = np.random.default_rng(seed)
    scores, clusters = draws(rng, [0.6, 0.65, 0.7, 0.72, 0.68], repeats), np.arange(60) // 2
    real, interval = worth(SIZES, scores[:-1], scores[-1], clusters)
    assert interval.low <= real.low <= real.high <= interval.high
    order = rng.permutation(repeats)
    again = worth(SIZES, scores[:-1, order], scores[-1, order], 99 - clusters)
    assert again[0].low == pytest.approx(real.low) and again[1].low == pytest.approx(interval.low, rel=1e-6)
    better, _ = worth(SIZES, scores[:-1], scores[-1] + 0.01, clusters)
    assert better.low >= real.low - 1e-9
    fitted = Curve.fit(SIZES, scores[:-1].mean((1, 2))).fitted
    assert (np.diff(fitted) >= -1e-12).all() and fitted.mean() == pytest.approx(scores[:-1].mean())


@pytest.mark.parametrize("seed", range(8))
def test_a_size_is_in_the_interval_exactly_if_the_headlines_test_allows_it(seed: int) -> None:
    scores, clusters = draws(np.random.default_rng(seed), [0.6, 0.65, 0.7, 0.75, 0.69], 4), np.arange(60) // 2
    means = scores[:-1].mean((1, 2))
    assert (np.diff(means) > 0).all(), "nothing is pooled"
    _, interval = worth(SIZES, scores[:-1], scores[-1], clusters)
    for n, real in zip(SIZES, scores[:-1], strict=True):
        p = compare_arms(scores[-1][:, None], real[:, None], clusters).p
        assert p is not None and (p >= 0.05) == (interval.low <= n <= interval.high)


@pytest.mark.parametrize(("repeats", "spread"), [(3, 0.01), (3, 0.05), (5, 0.03)])
def test_the_interval_holds_the_planted_number_in_most_studies(repeats: int, spread: float) -> None:
    """The arm does as well as 150 real images: between two sizes, where the true curve is straight over log n."""
    rng, truth = np.random.default_rng([repeats, int(1000 * spread)]), [0.6, 0.7, 0.75, 0.79]
    planted = float(np.interp(np.log(150), np.log(SIZES), truth))
    held = 0
    for _ in range(200):
        scores = draws(rng, [*truth, planted], repeats, spread)
        interval = worth(SIZES, scores[:-1], scores[-1], np.arange(60))[1]
        held += (interval.below or interval.low <= 150) and (interval.above or interval.high >= 150)
    assert held >= 183, "of 200 studies 95 % less three standard errors of 1.5 %"


def test_every_arm_of_a_size_is_read_off_the_curve_of_all_sizes() -> None:
    repeats = [repeat(seed) for seed in range(3)]
    real = {n: [[trained(REAL, 100 * n + seed, value)] for seed in range(3)] for n, value in ((5, 0.3), (80, 0.95))}
    real[20] = [[baseline] for baseline, _ in repeats]
    exchange = exchange_rates([[one] for one in repeats], real, CLUSTERS)
    assert [point.n for point in exchange.curve] == [5, 20, 80] and not exchange.lacking
    assert [arm.name for arm in exchange.arms] == [COPIES.name, ADA.name]
    ours = np.array([others[1].right_by_fold().mean() for _, others in repeats])
    theirs = [np.mean([[one.right_by_fold().mean() for one in row] for row in real[n]]) for n in (5, 20, 80)]
    assert exchange.arms[1].accuracy == pytest.approx(ours.mean())
    low, high = np.log([20, 80])
    n = np.exp(low + (ours.mean() - theirs[1]) / (theirs[2] - theirs[1]) * (high - low))
    assert exchange.arms[1].real.low == pytest.approx(n)
    assert exchange.curve[0].by_repeat == pytest.approx([row[0].right_by_fold().mean() for row in real[5]])


def test_splits_are_readers_with_test_images_of_their_own() -> None:
    parts = (range(20), range(10, 30))
    splits = [[repeat(2 * i, part), repeat(2 * i + 1, part)] for i, part in enumerate(parts)]
    real = {20: [[baseline for baseline, _ in repeats] for repeats in splits]}
    for n, value in ((5, 0.3), (80, 0.95)):
        real[n] = [[trained(REAL, 9 * n + i, value, part)] * 2 for i, part in enumerate(parts)]
    exchange = exchange_rates(splits, real, CLUSTERS)
    assert len(exchange.curve[0].by_repeat) == 2 and exchange.arms[1].accuracy == pytest.approx(
        np.mean([[others[1].right_by_fold().mean() for _, others in repeats] for repeats in splits])
    )


def test_two_sizes_or_one_repeat_say_what_to_add() -> None:
    one = repeat(0)
    exchange = exchange_rates([[one]], {20: [[one[0]]], 50: [[trained(REAL, 7, 0.7)]]}, CLUSTERS)
    assert exchange.arms == [] and [point.n for point in exchange.curve] == [20, 50]
    assert "needs 3 sizes, and 2 sizes (20 and 50)" in exchange.lacking and "--seed S" in exchange.lacking
    two = [repeat(0), repeat(1)]
    real = {n: [[trained(REAL, n + seed, 0.5 + n / 1000)] for seed in (0, 1)] for n in (20, 50, 90)}
    assert exchange_rates([[one] for one in two], real, CLUSTERS).lacking == ""
    del real[50], real[90]
    assert "1 size (20)" in exchange_rates([[one] for one in two], real, CLUSTERS).lacking
