"""How many updates a number of epochs is."""

from __future__ import annotations

import pytest

from usgan_cli.core.budget import updates_of_epochs, updates_per_epoch


def test_updates_are_those_that_were_measured_for_fifty_images() -> None:
    """40 training images of a fold, with as many generated images as real ones of the 50, and twice as many."""
    assert [updates_of_epochs(30, 16, 50, 5, ratio) for ratio in (0, 1, 2)] == [90, 180, 270]


@pytest.mark.parametrize(("images", "batch", "updates"), [(48, 16, 3), (49, 16, 4), (17, 16, 2), (3, 2, 1), (1, 2, 1)])
def test_no_batch_has_a_single_image_where_there_are_more(images: int, batch: int, updates: int) -> None:
    assert updates_per_epoch(images, batch) == updates
