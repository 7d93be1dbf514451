"""How many optimiser updates a classifier's training takes, so that several can take the same number.

With equal epochs, a classifier with generated images takes more updates than the one without: twice as many for as
many generated images as real ones. Its gain may then come from the updates alone.
"""

from __future__ import annotations

import math
from typing import Literal

Budget = Literal["updates", "epochs"]
"""What classifiers that are compared have in common: the number of optimiser updates, or (the published study) of
passes over their own training images."""


def updates_per_epoch(images: int, batch: int) -> int:
    """Return the number of batches of at most `batch` images, and at least two, that one pass over the images takes."""
    return max(1, min(math.ceil(images / batch), images // 2))


def updates_of_epochs(epochs: int, batch: int, n: int, folds: int, ratio: float) -> int:
    """Return the updates of `epochs` passes over a fold's training side with `ratio` more images per image of the n."""
    return epochs * updates_per_epoch(n - n // folds + round(ratio * n), batch)
