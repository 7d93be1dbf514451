"""The simulation of whole studies asks the report's own code, and plants what it says."""

from __future__ import annotations

import numpy as np
import pytest
from null_rates import ARMS, COPIES, GANS, REAL, UPDATES, WORLDS, Design, claims, judged

from usgan_cli.core.store.workspace import TrainingSet
from usgan_cli.reporting.verdict import headline


def test_generated_images_are_judged_against_as_many_copies() -> None:
    verdicts = judged(Design(0.7, 3).simulate(np.random.default_rng(0), WORLDS["measured"]))
    against = {one.effect.name: one.effect.against for one in verdicts.each}
    assert len(against) == len(ARMS) - 1 and len(verdicts.of_gans) == len(GANS)
    assert against["ada-x0.5"] == "copies-x0.5" and against["copies-x2"] == "real"
    assert against["ada-x2-shuffled"] == "copies-x2"


def test_a_large_gain_is_the_headline_and_a_gain_from_updates_is_not() -> None:
    rng, world = np.random.default_rng(1), WORLDS["measured"]
    design = Design(0.7, 5, gains={TrainingSet("none", 1.0): 0.12})
    assert "helped" in headline(judged(design.simulate(rng, world)))
    updates = {one: 0.12 for one in ARMS if one != REAL}
    verdicts = judged(Design(0.7, 5, gains=updates).simulate(rng, world))
    helped = {one.effect.name for one in verdicts.each if one.finding.verdict == "helped"}
    assert helped == {one.name for one in COPIES} and not claims(verdicts)
    without = Design(0.7, 5, gains=updates, arms=(REAL, *GANS), budget="epochs").simulate(rng, world)
    assert UPDATES in headline(judged(without)), "without controls the gain is there, and said to come with updates"


@pytest.mark.parametrize("splits", [2, 3])
def test_splits_have_test_images_of_their_own(splits: int) -> None:
    verdicts = judged(Design(0.7, 2 * splits, splits).simulate(np.random.default_rng(2), WORLDS["pools"]))
    effect = verdicts.each[0].effect
    assert len(effect.by_repeat) == splits and 280 < effect.images <= 780


def test_one_repeat_gets_no_headline() -> None:
    gain = {TrainingSet("none", 1.0): 0.2}
    verdicts = judged(Design(0.7, 1, gains=gain).simulate(np.random.default_rng(3), WORLDS["measured"]))
    assert len(verdicts.each) == len(ARMS) - 1 and max(one.effect.difference for one in verdicts.of_gans) > 0.1
    assert not claims(verdicts)
