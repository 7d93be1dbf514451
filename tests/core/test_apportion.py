"""Whole numbers in proportion: totals and quotas hold, sequences are in proportion from their start on."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from usgan_cli.core.apportion import class_order, class_quotas, evenly_spread, largest_remainder


@given(st.lists(st.integers(0, 500), min_size=1, max_size=6).filter(any), st.integers(0, 1000))
def test_largest_remainder_keeps_the_total_and_the_quota(weights: list[int], total: int) -> None:
    share = largest_remainder(weights, total)
    assert share.sum() == total
    assert (np.abs(share - np.array(weights) * total / sum(weights)) < 1).all()


def test_largest_remainder_of_busi() -> None:
    # 437, 210, 133 times 280 / 780 are 156.87, 75.38, 47.74.
    assert largest_remainder([437, 210, 133], 280).tolist() == [157, 75, 48]


@given(
    shares=st.lists(st.integers(1, 50), min_size=2, max_size=5),
    count=st.integers(0, 300),
    shorter=st.integers(0, 300),
)
def test_every_start_of_a_class_order_has_the_shares(shares: list[int], count: int, shorter: int) -> None:
    order = class_order(shares, count)
    start = order[: min(shorter, count)]
    assert start == class_order(shares, len(start))
    for label, share in enumerate(shares):
        assert abs(start.count(label) - len(start) * share / sum(shares)) < len(shares) - 0.5


@given(counts=st.lists(st.integers(1, 300), min_size=2, max_size=5), total=st.integers(1, 200))
def test_quotas_are_proportional_and_grow_one_by_one(counts: list[int], total: int) -> None:
    quotas, fewer = class_quotas(counts, total), class_quotas(counts, total - 1)
    assert sum(quotas) == total
    assert sorted(np.subtract(quotas, fewer)) == [0] * (len(counts) - 1) + [1]
    shares = np.array(counts) / sum(counts)
    assert np.abs(np.array(quotas) - shares * total).max() < len(counts) - 1


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_an_even_sequence_keeps_within_one_of_every_share(sizes: list[int]) -> None:
    sequence = evenly_spread(sizes)
    assert np.bincount(sequence, minlength=len(sizes)).tolist() == sizes
    assert set(sequence[: len(sizes)]) == set(range(len(sizes))), "every kind comes once at first"
    for n in range(1, len(sequence) + 1):
        exact = n * np.array(sizes) / sum(sizes)
        if n >= len(sizes) and (exact >= 1).all():
            assert (np.abs(np.bincount(sequence[:n], minlength=len(sizes)) - exact) < 1).all()
