"""Exact duplicates: what counts as the same, how copies are grouped, and which groups contradict themselves."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from usgan_cli.data.duplicates import connected_groups, find_duplicates, pixel_digest


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
    assert found.repeated == [[0, 2, 5], [1, 4]]
    assert found.conflicts == [[1, 4]]


def test_no_images_and_no_copies() -> None:
    assert find_duplicates([], []).groups.shape == (0,)
    found = find_duplicates(["a", "b"], [0, 1])
    assert found.groups.tolist() == [0, 1]
    assert found.repeated == found.conflicts == []


@given(st.integers(1, 25).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
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
