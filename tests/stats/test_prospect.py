"""What a study can show, said before it is run: against the analysis of simulated studies with that difference."""

from __future__ import annotations

import numpy as np
import pytest

from usgan_cli.stats.mrmc import ALPHA, LINEAR_HEADS, TARGET, effect_of, judge
from usgan_cli.stats.prospect import prospects


def test_a_study_shows_the_difference_in_four_of_five_cases() -> None:
    """Studies of twelve comparisons, of which the primary one has the difference that is said to be detectable."""
    repeats, images, parts = 5, 280, LINEAR_HEADS
    primary, other = prospects(repeats, images, 12, primary=True)
    assert primary.what == "the primary comparison" and other.what == "each of the others"
    assert primary.detectable is not None and other.detectable is not None
    assert primary.detectable < other.detectable, "half of the 5 % is the primary comparison's"
    rng = np.random.default_rng(0)
    covariance = np.full((repeats, repeats), parts.shared / images) + np.eye(repeats) * parts.own / images
    found = 0
    for _ in range(1000):
        cases = rng.normal(0, (parts.shared / images) ** 0.5)
        own = rng.normal(0, (parts.training + parts.own / images) ** 0.5, repeats)
        effect = effect_of(primary.detectable + cases + own, covariance, images, images)
        found += judge([effect], missing=11, primary=0)[0].verdict == "helped"
    assert found / 1000 == pytest.approx(0.8, abs=0.04)


def test_what_is_needed_shows_the_target() -> None:
    (few,) = prospects(3, 100, 9, primary=False)
    assert few.what == "each comparison" and few.detectable is not None and few.detectable > TARGET
    assert few.repeats_needed is not None
    assert LINEAR_HEADS.detectable(few.repeats_needed, 100, ALPHA / 9) <= TARGET
    assert LINEAR_HEADS.detectable(few.repeats_needed - 1, 100, ALPHA / 9) > TARGET
    assert f"{few.repeats_needed} repeats" in few.sentence() and "would show 3." in few.sentence()
    (many,) = prospects(40, 2000, 1, primary=True)
    assert many.detectable is not None and many.detectable < TARGET and "would show" not in many.sentence()


def test_no_study_is_said_to_show_more_than_a_hundred_points() -> None:
    (two,) = prospects(2, 80, 4, primary=False)
    assert two.detectable is not None and two.detectable > 1
    assert "can show no difference, however large, in each comparison" in two.sentence()
    assert f"; {two.repeats_needed} repeats would show 3." in two.sentence()


def test_of_splits_more_splits_are_needed() -> None:
    (three,) = prospects(3, 100, 9, primary=False, unit="split")
    assert three.sentence().startswith("3 splits on 100 test images each can show about ")
    assert f"{three.repeats_needed} splits" in three.sentence() and "repeat" not in three.sentence()


def test_one_repeat_gives_no_verdict() -> None:
    (one,) = prospects(1, 280, 4, primary=True)
    assert one.detectable is None and "One repeat gives no verdict" in one.sentence()
