"""What is done about copies: kept together, dropped, ignored; conflicts kept, dropped, refused."""

from __future__ import annotations

import pytest

from usgan_cli.core.errors import DataError
from usgan_cli.data.duplicates import find_duplicates
from usgan_cli.data.near_duplicates import NearPair
from usgan_cli.data.policy import CONFLICT, COPY, settle

NAMES = ["x/0", "x/1", "x/2", "y/3", "x/4"]
AREAS = [10, 20, 30, 5, 50]
# 0, 1 and 2 are one picture, 2 of them by a chain; 2 is under another label as 3; 4 is alone.
FOUND = find_duplicates(
    "aabcd",
    [0, 0, 0, 1, 0],
    [NearPair(0, 2, 0.9, mirrored=False), NearPair(2, 3, 0.8, mirrored=False)],
)


def test_copies_are_kept_together() -> None:
    settled = settle(FOUND, NAMES, AREAS, "group", "keep")
    assert settled.kept.all()
    assert settled.reasons == {}
    assert settled.groups.tolist() == [0, 0, 0, 0, 1]


def test_copies_are_ignored() -> None:
    settled = settle(FOUND, NAMES, AREAS, "ignore", "keep")
    assert settled.kept.all()
    assert settled.groups.tolist() == [0, 1, 2, 3, 4]


def test_the_largest_copy_is_kept() -> None:
    settled = settle(FOUND, NAMES, AREAS, "drop", "keep")
    assert settled.kept.tolist() == [False, False, True, False, True]
    assert settled.reasons == {0: COPY, 1: COPY, 3: COPY}


def test_conflicts_are_dropped_before_copies() -> None:
    assert settle(FOUND, NAMES, AREAS, "group", "drop").reasons == {2: CONFLICT, 3: CONFLICT}
    settled = settle(FOUND, NAMES, AREAS, "drop", "drop")
    assert settled.reasons == {0: COPY, 2: CONFLICT, 3: CONFLICT}
    assert settled.kept.tolist() == [False, True, False, False, True]


def test_conflicts_are_refused_with_their_paths() -> None:
    with pytest.raises(DataError, match=r"1 picture stands under more than one label: x/2 = y/3"):
        settle(FOUND, NAMES, AREAS, "group", "error")
    assert settle(find_duplicates("aa", [0, 0]), NAMES[:2], AREAS[:2], "group", "error").kept.all()
