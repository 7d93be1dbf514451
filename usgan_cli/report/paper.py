"""The published values of Maack, Holstein and Schlaefer, "GANs for generation of synthetic ultrasound images from
small datasets", Current Directions in Biomedical Engineering 8(1), 2022, doi 10.1515/cdbme-2022-0005.

They stand beside this study's values, never among them. F1 is in percent, as published; FID is against the Inception
network; all are for BUSI at 256 x 256.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

CITATION = "Maack et al. 2022"
PUBLISHED = f"Published ({CITATION})"
ANOTHER_SIZE = "Published values are of the nearest published n within a factor of two, which is named."
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
class MeanSd:
    """A mean with its standard deviation; None where there is one value."""

    mean: float
    sd: float | None


@dataclass(frozen=True)
class GanValues:
    """What was published of one GAN trained on n images."""

    fid: MeanSd | None
    js: float
    ssim: MeanSd
    f1: MeanSd
    """Micro-averaged F1 on the test images with 100 % synthetic images added, percent."""
    p: str
    """Against real images alone; only an upper bound was published of some."""


GANS: dict[tuple[int, str], GanValues] = {
    (500, "none"): GanValues(MeanSd(140.6, 6.9), 0.123, MeanSd(0.175, 0.05), MeanSd(87.14, 1.95), "0.084"),
    (500, "ada"): GanValues(MeanSd(87.97, 3.28), 0.096, MeanSd(0.156, 0.05), MeanSd(83.71, 3.49), "0.478"),
    (500, "diffaug"): GanValues(MeanSd(95, 4.78), 0.1, MeanSd(0.16, 0.05), MeanSd(85.57, 2.12), "0.253"),
    (250, "none"): GanValues(None, 0.133, MeanSd(0.151, 0.04), MeanSd(79.29, 2.92), "0.06"),
    (250, "ada"): GanValues(None, 0.091, MeanSd(0.155, 0.04), MeanSd(80.36, 2.52), "< 0.01"),
    (250, "diffaug"): GanValues(None, 0.1, MeanSd(0.163, 0.05), MeanSd(80.86, 4.31), "0.078"),
    (100, "none"): GanValues(None, 0.163, MeanSd(0.147, 0.04), MeanSd(71.51, 6.51), "< 0.01"),
    (100, "ada"): GanValues(None, 0.1, MeanSd(0.158, 0.05), MeanSd(74.14, 4.76), "0.02"),
    (100, "diffaug"): GanValues(None, 0.097, MeanSd(0.15, 0.04), MeanSd(72.79, 3.85), "< 0.01"),
    (50, "none"): GanValues(MeanSd(219.8, 27.62), 0.184, MeanSd(0.135, 0.03), MeanSd(69.64, 2.42), "< 0.01"),
    (50, "ada"): GanValues(MeanSd(166.98, 32.23), 0.097, MeanSd(0.138, 0.04), MeanSd(66.71, 4.81), "0.03"),
    (50, "diffaug"): GanValues(MeanSd(133.80, 7.23), 0.1, MeanSd(0.15, 0.04), MeanSd(67.07, 3.44), "< 0.01"),
}
BASELINES: dict[int, MeanSd] = {
    500: MeanSd(81.14, 5.69),
    250: MeanSd(75.86, 3.19),
    100: MeanSd(62.79, 5.41),
    50: MeanSd(59.36, 5.22),
}
"""F1 without synthetic images, percent."""


def nearest_size(n: int) -> int | None:
    """Return the published number of training images nearest to n by ratio, or None if none is within a factor of 2."""
    nearest = min(SIZES, key=lambda size: (abs(math.log(size / n)), size))
    return nearest if max(nearest, n) <= 2 * min(nearest, n) else None


def nearest_values(n: int, aug: str) -> tuple[int, GanValues] | None:
    """Return what was published of a GAN at the published size nearest to n, and that size; None if nothing was."""
    size = nearest_size(n)
    values = None if size is None else GANS.get((size, aug))
    return None if size is None or values is None else (size, values)


class PublishedF1(NamedTuple):
    """A published F1, percent, with the number of training images, and p against real images alone."""

    n: int
    f1: MeanSd
    p: str | None


def nearest_f1(n: int, aug: str | None) -> PublishedF1 | None:
    """Return the F1 published of a training set at the size nearest to n: real images alone, or + 100 % of a GAN's."""
    size = nearest_size(n)
    if size is None or (aug is not None and (size, aug) not in GANS):
        return None
    if aug is None:
        return PublishedF1(size, BASELINES[size], None)
    return PublishedF1(size, GANS[size, aug].f1, GANS[size, aug].p)
