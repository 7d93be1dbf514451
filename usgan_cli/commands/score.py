"""Options of `usgan score`."""

from __future__ import annotations

import math
from pathlib import Path

from usgan_cli.commands.common import (
    FromData,
    NamedGan,
    NamedImages,
    OnDevice,
    StepOptions,
    ToPlace,
    WithExtractor,
)
from usgan_cli.core.options import option

FOLDERS = "Any two folders of images"
DEFAULT_COUNT = 500
"""Generated images of a workspace's GAN that are scored."""


class Score(WithExtractor, ToPlace, FromData, NamedImages, NamedGan, OnDevice, StepOptions):
    """Measure FID (or FD), KID, precision, recall, density, coverage, JS, SSIM and diversity against the test images.

    Real-against-real values and 95 % intervals are reported beside them, and generated images that are copies of
    training images are listed. Two folders of images are enough: usgan score --real DIR --fake DIR.
    """

    COMMAND = "score"

    real: Path | None = option(
        default=None,
        help="Real images, in place of a workspace's: a folder, with or without a subfolder for each class.",
        panel=FOLDERS,
        metavar="DIR",
        recorded=False,
        in_study=False,
    )
    fake: Path | None = option(
        default=None,
        help="Generated images, likewise.",
        panel=FOLDERS,
        metavar="DIR",
        recorded=False,
        in_study=False,
    )
    train: Path | None = option(
        default=None,
        help="The generator's training images, likewise: for the floor, and to look for copies of them.",
        panel=FOLDERS,
        metavar="DIR",
        recorded=False,
        in_study=False,
    )
    count: int | None = option(
        default=None,
        help="Generated images to use, the first in order (of --fake: drawn at random); all where there are fewer "
        f"(default: {DEFAULT_COUNT}, or all of --fake). Must be equal within a table.",
        unit="images",
        least=2,
        recorded=False,  # the number of images really used is
    )
    ssim_pairs: int = option(
        default=1000,
        help="Random pairs for SSIM (test image, other image), and for diversity (two others).",
        unit="pairs",
        least=1,
    )
    js_bins: int = option(default=256, help="Bins of the gray-value histograms over 0 to 256.", unit="bins", least=2)
    js_log_base: float = option(
        default=math.e, help="Base of the logarithm in JS; e is the natural one.", above=1, metavar="BASE"
    )
    repeats: int = option(
        default=100, help="Draws of half of the images behind every 95 % interval.", unit="draws", least=2
    )
    snapshots: bool = option(
        default=False, help="Score every generator saved during training (train-gan --fd-every) instead."
    )
    baselines: bool = option(default=False, help="Score blurred and noisy training images too: what is easily reached.")
    pictures: bool = option(
        default=False, help="Draw gray values and nearest distances (or the snapshots' curve) as PNG."
    )
