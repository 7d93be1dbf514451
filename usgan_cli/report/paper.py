"""The published values of Maack, Holstein and Schlaefer, "GANs for generation of synthetic ultrasound images from
small datasets", Current Directions in Biomedical Engineering 8(1), 2022, doi 10.1515/cdbme-2022-0005.

They stand beside this study's values, never among them. F1 is in percent, as published; FID is against the Inception
network; all are for BUSI at 256 x 256.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

CITATION = "Maack et al. 2022"
DOI = "10.1515/cdbme-2022-0005"
SIZES = (500, 250, 100, 50)
AUGS = ("none", "ada", "diffaug")
RATIO = 1.0
"""The share of synthetic images behind the published F1 values: as many as real ones."""
RATIOS = (0.5, 1.0, 2.0)
CLASS_COUNTS = {"benign": 437, "malignant": 210, "normal": 133}
TEST_COUNT = 280
TRAIN_COUNT = 500
SIZE = 256
FOLDS = 5
BACKBONE = "efficientnet_b2"
PRESET = "paper256"


@dataclass(frozen=True)
class Spread:
    """A published mean with its published standard deviation."""

    mean: float
    sd: float


@dataclass(frozen=True)
class PValue:
    """A published p-value: a number, or only an upper bound."""

    value: float
    bound: bool = False

    def __str__(self) -> str:
        return f"< {self.value:g}" if self.bound else f"{self.value:g}"


@dataclass(frozen=True)
class GanValues:
    """What was published of one GAN trained on n images."""

    fid: Spread | None
    js: float
    ssim: Spread
    f1: Spread
    """Micro-averaged F1 on the test images with 100 % synthetic images added, percent."""
    p: PValue


BELOW = PValue(0.01, bound=True)
GANS: dict[tuple[int, str], GanValues] = {
    (500, "none"): GanValues(Spread(140.6, 6.9), 0.123, Spread(0.175, 0.05), Spread(87.14, 1.95), PValue(0.084)),
    (500, "ada"): GanValues(Spread(87.97, 3.28), 0.096, Spread(0.156, 0.05), Spread(83.71, 3.49), PValue(0.478)),
    (500, "diffaug"): GanValues(Spread(95, 4.78), 0.1, Spread(0.16, 0.05), Spread(85.57, 2.12), PValue(0.253)),
    (250, "none"): GanValues(None, 0.133, Spread(0.151, 0.04), Spread(79.29, 2.92), PValue(0.06)),
    (250, "ada"): GanValues(None, 0.091, Spread(0.155, 0.04), Spread(80.36, 2.52), BELOW),
    (250, "diffaug"): GanValues(None, 0.1, Spread(0.163, 0.05), Spread(80.86, 4.31), PValue(0.078)),
    (100, "none"): GanValues(None, 0.163, Spread(0.147, 0.04), Spread(71.51, 6.51), BELOW),
    (100, "ada"): GanValues(None, 0.1, Spread(0.158, 0.05), Spread(74.14, 4.76), PValue(0.02)),
    (100, "diffaug"): GanValues(None, 0.097, Spread(0.15, 0.04), Spread(72.79, 3.85), BELOW),
    (50, "none"): GanValues(Spread(219.8, 27.62), 0.184, Spread(0.135, 0.03), Spread(69.64, 2.42), BELOW),
    (50, "ada"): GanValues(Spread(166.98, 32.23), 0.097, Spread(0.138, 0.04), Spread(66.71, 4.81), PValue(0.03)),
    (50, "diffaug"): GanValues(Spread(133.80, 7.23), 0.1, Spread(0.15, 0.04), Spread(67.07, 3.44), BELOW),
}
BASELINES: dict[int, Spread] = {
    500: Spread(81.14, 5.69),
    250: Spread(75.86, 3.19),
    100: Spread(62.79, 5.41),
    50: Spread(59.36, 5.22),
}
"""F1 without synthetic images, percent."""


def nearest_size(n: int) -> int | None:
    """Return the published number of training images nearest to n by ratio, or None if none is within a factor of 2."""
    nearest = min(SIZES, key=lambda size: (abs(math.log(size / n)), size))
    return nearest if max(nearest, n) <= 2 * min(nearest, n) else None
