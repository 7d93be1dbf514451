"""A mean and the spread of a sample."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usgan_cli.core.formats.measured import Measured, measured


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8))
def test_the_spread_is_that_of_a_sample(values: list[float]) -> None:
    spread = measured(values)
    assert spread.count == len(values)
    assert spread.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert spread.sd == pytest.approx(statistics.stdev(values), abs=1e-6)


def test_one_value_has_no_spread() -> None:
    assert measured([0.25]) == Measured(mean=0.25, sd=0.0, count=1)
