"""Copies: what counts as the same, how they are grouped, which contradict themselves, and which are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usgan_cli.core.errors import DataError
from usgan_cli.data.copies.groups import (
    CONFLICT,
    COPY,
    choose_kept,
    connected_groups,
    divided,
    find_duplicates,
    join_groups,
    pixel_digest,
    settle,
)
from usgan_cli.data.copies.near import DUPLICATE, NearPair

PAIRS = st.integers(1, 25).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2).map(sorted).map(tuple)))
)


def pair(first: int, second: int, score: float = 0.9) -> NearPair:
    return NearPair(first, second, score, mirrored=False)


def test_the_digest_is_of_shape_and_values() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    assert pixel_digest(pixels) == pixel_digest(np.asfortranarray(pixels))
    assert pixel_digest(pixels) != pixel_digest(pixels.reshape(1, 4, 3))  # the same bytes in another shape
    changed = pixels.copy()
    changed[0, 2, 3] += 1
    assert pixel_digest(pixels) != pixel_digest(changed)


def test_copies_are_grouped_within_and_across_classes() -> None:
    found = find_duplicates(["x", "y", "x", "z", "y", "x"], [0, 0, 0, 1, 1, 0])
    assert found.groups.tolist() == [0, 1, 0, 2, 1, 0]
    assert found.repeated == found.exact == [[0, 2, 5], [1, 4]]
    assert found.conflicts == [[1, 4]]


def test_no_images_and_no_copies() -> None:
    assert find_duplicates([], []).groups.shape == (0,)
    found = find_duplicates(["a", "b"], [0, 1])
    assert found.groups.tolist() == [0, 1]
    assert found.repeated == found.conflicts == []


def test_near_copies_extend_exact_ones() -> None:
    near = [pair(0, 2), pair(3, 4, DUPLICATE - 0.01), pair(0, 1, 1.0)]
    found = find_duplicates(["x", "x", "y", "z", "w"], [0, 0, 0, 0, 1], near)
    assert found.groups.tolist() == [0, 0, 0, 1, 2]
    assert found.exact == [[0, 1]]
    assert found.near == [near[0]]  # 0 and 1 have the same pixels: nothing near about them
    assert found.related == [near[1]]
    assert sorted(found.links()) == [(0, 1), (0, 2), (1, 2)]


def test_a_conflict_needs_a_direct_link() -> None:
    # A sweep 0-1-2-3 whose last frame stands under another label: 0 and 3 are one group, but only 2 and 3 conflict.
    found = find_duplicates("abcd", [0, 0, 0, 1], [pair(0, 1), pair(1, 2), pair(2, 3)])
    assert found.repeated == [[0, 1, 2, 3]]
    assert found.conflicts == [[2, 3]]
    # An exact copy shares the conflict of its like.
    assert find_duplicates("aab", [0, 0, 1], [pair(0, 2)]).conflicts == [[0, 1, 2]]


def test_the_largest_original_is_kept() -> None:
    found = find_duplicates("aabc", [0] * 4, [pair(0, 2)])
    assert choose_kept(found, [10, 10, 12, 5]).tolist() == [False, False, True, True]
    assert choose_kept(found, [10, 10, 10, 5]).tolist() == [True, False, False, True]
    chain = find_duplicates("abc", [0] * 3, [pair(0, 1), pair(1, 2)])
    assert choose_kept(chain, [9, 8, 7]).tolist() == [True, False, True]  # 2 is not a copy of 0


@given(PAIRS, st.integers(0, 3))
def test_what_is_kept_has_no_copies_and_what_is_dropped_has_one(
    case: tuple[int, list[tuple[int, int]]], seed: int
) -> None:
    count, pairs = case
    found = find_duplicates(range(count), [0] * count, [pair(a, b) for a, b in pairs])
    areas = np.random.default_rng(seed).integers(1, 4, count).tolist()
    kept = choose_kept(found, areas)
    linked = [(a, b) for a, b in pairs if a != b]
    assert not any(kept[a] and kept[b] for a, b in linked)
    for i in np.flatnonzero(~kept):
        others = [a + b - i for a, b in linked if i in {a, b}]
        assert any(kept[j] and areas[j] >= areas[i] for j in others)


def test_groups_on_both_sides_are_found() -> None:
    groups = np.array([0, 0, 1, 1, 2])
    assert divided(groups, np.array([True, False, True, True, False])) == [[0, 1]]


@given(PAIRS)
def test_connected_groups_are_the_components(case: tuple[int, list[tuple[int, int]]]) -> None:
    count, pairs = case
    groups = connected_groups(count, pairs)
    # By an independent way: repeat taking the smaller name over every edge until nothing changes.
    name = list(range(count))
    for _ in range(count):
        for a, b in pairs:
            name[a] = name[b] = min(name[a], name[b])
    order = list(dict.fromkeys(name))
    assert groups.tolist() == [order.index(n) for n in name]


def test_joining_groups() -> None:
    assert join_groups([0, 1, 2, 3], ["a", "b", "b", "c"], [9, 8, 7, 9]).tolist() == [0, 1, 1, 0]


# What is done about copies.

NAMES = ["x/0", "x/1", "x/2", "y/3", "x/4"]
AREAS = [10, 20, 30, 5, 50]
# 0, 1 and 2 are one picture, 2 of them by a chain; 2 is under another label as 3; 4 is alone.
COPIES = find_duplicates("aabcd", [0, 0, 0, 1, 0], [pair(0, 2), pair(2, 3, 0.8)])


def test_copies_are_kept_together() -> None:
    settled = settle(COPIES, NAMES, AREAS, "group", "keep")
    assert settled.kept.all()
    assert settled.reasons == {}
    assert settled.groups.tolist() == [0, 0, 0, 0, 1]


def test_copies_are_ignored() -> None:
    settled = settle(COPIES, NAMES, AREAS, "ignore", "keep")
    assert settled.kept.all()
    assert settled.groups.tolist() == [0, 1, 2, 3, 4]


def test_the_largest_copy_is_kept() -> None:
    settled = settle(COPIES, NAMES, AREAS, "drop", "keep")
    assert settled.kept.tolist() == [False, False, True, False, True]
    assert settled.reasons == {0: COPY, 1: COPY, 3: COPY}


def test_conflicts_are_dropped_before_copies() -> None:
    assert settle(COPIES, NAMES, AREAS, "group", "drop").reasons == {2: CONFLICT, 3: CONFLICT}
    settled = settle(COPIES, NAMES, AREAS, "drop", "drop")
    assert settled.reasons == {0: COPY, 2: CONFLICT, 3: CONFLICT}
    assert settled.kept.tolist() == [False, True, False, False, True]


def test_conflicts_are_refused_with_their_paths() -> None:
    with pytest.raises(DataError, match=r"1 picture stands under more than one label: x/2 = y/3"):
        settle(COPIES, NAMES, AREAS, "group", "error")
    assert settle(find_duplicates("aa", [0, 0]), NAMES[:2], AREAS[:2], "group", "error").kept.all()
