"""The split and the nested order, by property."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usgan_cli.core.apportion import largest_remainder
from usgan_cli.core.errors import DataError
from usgan_cli.data.split import stratified_group_split

BUSI = np.repeat([0, 1, 2], [437, 210, 133])


def test_busi_without_copies_is_split_exactly() -> None:
    mask = stratified_group_split(BUSI, np.arange(780), 280, 0)
    assert np.bincount(BUSI[mask]).tolist() == [157, 75, 48]
    assert (mask == stratified_group_split(BUSI, np.arange(780), 280, 0)).all()
    other = stratified_group_split(BUSI, np.arange(780), 280, 1)
    assert (mask & ~other).sum() > 30


def test_every_image_is_as_likely_to_be_tested() -> None:
    labels = np.repeat([0, 1], [6, 4])
    groups = np.array([0, 0, 1, 2, 3, 4, 5, 6, 6, 7])
    rate = np.mean([stratified_group_split(labels, groups, 5, seed) for seed in range(400)], axis=0)
    assert (np.abs(rate - 0.5) < 0.12).all()


@st.composite
def grouped_labels(draw: st.DrawFn, size: int = 40) -> tuple[np.ndarray, np.ndarray, int, int]:
    n = draw(st.integers(4, size))
    labels = np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    groups = np.array(draw(st.lists(st.integers(0, n // 2), min_size=n, max_size=n)))
    return labels, groups, draw(st.integers(1, n - 1)), draw(st.integers(0, 99))


@settings(deadline=None, max_examples=60)
@given(grouped_labels())
def test_no_group_is_divided_and_the_split_repeats(case: tuple[np.ndarray, np.ndarray, int, int]) -> None:
    labels, groups, count, seed = case
    mask = stratified_group_split(labels, groups, count, seed)
    for group in np.unique(groups):
        assert len(set(mask[groups == group])) == 1
    assert (mask == stratified_group_split(labels, groups, count, seed)).all()


@settings(deadline=None, max_examples=60)
@given(grouped_labels(size=12))
def test_the_split_is_as_near_as_any(case: tuple[np.ndarray, np.ndarray, int, int]) -> None:
    labels, groups, count, seed = case
    target = largest_remainder(np.bincount(labels), count)

    def miss(mask: np.ndarray) -> tuple[int, int]:
        got = np.bincount(labels[mask], minlength=len(target))
        return abs(int(mask.sum()) - count), int(np.abs(got - target).sum())

    names = np.unique(groups)
    choices = itertools.product([False, True], repeat=len(names))
    best = min(miss(np.isin(groups, names[list(choice)])) for choice in choices)
    assert miss(stratified_group_split(labels, groups, count, seed)) == best


def test_many_different_patients_are_split_exactly() -> None:
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(150), generator.integers(1, 9, 150))
    labels = generator.choice(3, len(groups), p=[0.56, 0.27, 0.17])
    count = round(0.36 * len(groups))
    mask = stratified_group_split(labels, groups, count, 3)
    assert np.bincount(labels[mask]).tolist() == largest_remainder(np.bincount(labels), count).tolist()


@pytest.mark.parametrize("count", [0, 4, -1])
def test_an_empty_side_is_refused(count: int) -> None:
    with pytest.raises(DataError):
        stratified_group_split(np.array([0, 0, 1, 1]), np.arange(4), count, 0)


@pytest.mark.parametrize(("sizes", "count", "got"), [([5, 3, 1], 7, {6, 8}), ([11, 1], 6, {1, 11})])
def test_few_large_groups_are_split_as_near_as_they_can(sizes: list[int], count: int, got: set[int]) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    mask = stratified_group_split(np.zeros(sum(sizes), dtype=np.int64), groups, count, 0)
    assert int(mask.sum()) in got
