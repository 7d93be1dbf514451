"""What several tests of commands share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from usgan_cli.core.images.codec import Pixels


class Means:
    """An extractor whose features are the images' 4 x 4 block means."""

    name, dim = "means@0", 16

    def __call__(self, pixels: Pixels, **_: Any) -> np.ndarray:
        blocks = pixels[:, 0].reshape(len(pixels), 4, 4, 4, 4)
        return blocks.mean((2, 4)).reshape(len(pixels), 16).astype(np.float32)


@pytest.fixture(scope="module")
def means() -> Iterator[None]:
    """Measure images of 16 pixels by their means, in place of a network."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("score", "snapshots", "train_gan"):
            patch.setattr(f"usgan_cli.steps.{module}.make_extractor", lambda *_, **__: Means())
        yield
