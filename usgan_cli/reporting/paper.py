"""The published values of Maack, Holstein and Schlaefer, "GANs for generation of synthetic ultrasound images from
small datasets", Current Directions in Biomedical Engineering 8(1), 2022, doi 10.1515/cdbme-2022-0005.

Tables and figures show them next to this study's values, never mixed with them. F1 is in percent, as published; FID is
by the Inception network; all are for BUSI at 256 x 256.
"""

from __future__ import annotations

from dataclasses import dataclass

from usgan_cli.core.formats.dataset import DataManifest

CITATION = "Maack et al. 2022"
PUBLISHED = f"Published ({CITATION})"
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
NOT_STATED = "not stated in the paper"
GAN_SETTINGS = "StyleGAN2's settings for LSUN at 256 × 256"
READINGS: dict[str, dict[str, float]] = {
    "StyleGAN2-ADA's for LSUN cat": {
        "resolution": 256,
        "channel_base": 16384,
        "channel_max": 512,
        "mapping_layers": 8,
        "batch": 64,
        "mbstd_group_size": 8,
        "lr": 0.0025,
        "r1_gamma": 1.0,
        "ema_kimg": 20.0,
    },
    "StyleGAN2's own for LSUN cat": {
        "resolution": 256,
        "channel_base": 32768,
        "channel_max": 512,
        "mapping_layers": 8,
        "batch": 32,
        "mbstd_group_size": 4,
        "lr": 0.002,
        "r1_gamma": 10.0,
        "ema_kimg": 10.0,
    },
}
"""What the paper's words for its GANs' settings can mean; the presets paper256 and lsun256 have them too."""


@dataclass(frozen=True)
class MeanSd:
    """A mean with its standard deviation; None where there is one value."""

    mean: float
    sd: float | None


@dataclass(frozen=True)
class Published:
    """What was published of a GAN trained on n images, or (without a GAN) of n real images alone."""

    n: int
    aug: str | None
    fid: MeanSd | None
    js: float | None
    ssim: MeanSd | None
    f1: MeanSd
    """Micro-averaged F1 on the test images, percent: with 100 % of the GAN's images added to the real ones."""
    p: str | None
    """Against real images alone; of some only an upper bound was published."""


VALUES = (
    Published(500, None, None, None, None, MeanSd(81.14, 5.69), None),
    Published(500, "none", MeanSd(140.6, 6.9), 0.123, MeanSd(0.175, 0.05), MeanSd(87.14, 1.95), "0.084"),
    Published(500, "ada", MeanSd(87.97, 3.28), 0.096, MeanSd(0.156, 0.05), MeanSd(83.71, 3.49), "0.478"),
    Published(500, "diffaug", MeanSd(95, 4.78), 0.1, MeanSd(0.16, 0.05), MeanSd(85.57, 2.12), "0.253"),
    Published(250, None, None, None, None, MeanSd(75.86, 3.19), None),
    Published(250, "none", None, 0.133, MeanSd(0.151, 0.04), MeanSd(79.29, 2.92), "0.06"),
    Published(250, "ada", None, 0.091, MeanSd(0.155, 0.04), MeanSd(80.36, 2.52), "< 0.01"),
    Published(250, "diffaug", None, 0.1, MeanSd(0.163, 0.05), MeanSd(80.86, 4.31), "0.078"),
    Published(100, None, None, None, None, MeanSd(62.79, 5.41), None),
    Published(100, "none", None, 0.163, MeanSd(0.147, 0.04), MeanSd(71.51, 6.51), "< 0.01"),
    Published(100, "ada", None, 0.1, MeanSd(0.158, 0.05), MeanSd(74.14, 4.76), "0.02"),
    Published(100, "diffaug", None, 0.097, MeanSd(0.15, 0.04), MeanSd(72.79, 3.85), "< 0.01"),
    Published(50, None, None, None, None, MeanSd(59.36, 5.22), None),
    Published(50, "none", MeanSd(219.8, 27.62), 0.184, MeanSd(0.135, 0.03), MeanSd(69.64, 2.42), "< 0.01"),
    Published(50, "ada", MeanSd(166.98, 32.23), 0.097, MeanSd(0.138, 0.04), MeanSd(66.71, 4.81), "0.03"),
    Published(50, "diffaug", MeanSd(133.80, 7.23), 0.1, MeanSd(0.15, 0.04), MeanSd(67.07, 3.44), "< 0.01"),
)


def is_busi(data: DataManifest | None) -> bool:
    """Return whether a dataset is the published study's: by its number of images of each class, or its layout."""
    return data is not None and (data.class_counts() == CLASS_COUNTS or data.layout == "BUSI with masks")


def values_at(n: int | None, aug: str | None) -> Published | None:
    """Return what was published of a GAN (None: of real images alone) at exactly n training images."""
    return next((values for values in VALUES if (values.n, values.aug) == (n, aug)), None)
