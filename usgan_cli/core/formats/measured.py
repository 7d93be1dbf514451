"""A mean with its spread, as every result records it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.store.document import Part


class Measured(Part):
    """A mean over draws or pairs, with its spread."""

    mean: float
    sd: float
    """Sample standard deviation (n - 1); 0 where only one value was measured."""
    count: int


def measured(values: Sequence[float] | NDArray[np.float64]) -> Measured:
    """Return mean and sample standard deviation of one or more values."""
    array = np.asarray(values, dtype=np.float64)
    sd = float(array.std(ddof=1)) if array.size > 1 else 0.0
    return Measured(mean=float(array.mean()), sd=sd, count=int(array.size))
