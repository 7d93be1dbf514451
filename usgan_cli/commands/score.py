"""Options of `usgan score`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from usgan_cli.commands.common import FromData, NamedGan, NamedImages, OnDevice, StepOptions, ToPlace, WithExtractor
from usgan_cli.core.options import Options, option, selector, technical

DEFAULT_COUNT = 500
"""Generated images of a workspace's GAN that are scored."""


class Folders(Options, panel="Any two folders of images"):
    """Images outside of a workspace."""

    real: Path | None = selector(
        "Real images, in place of a workspace's: a folder or .zip, with or without a folder for each class.",
        default=None,
        metavar="DIR",
    )
    fake: Path | None = selector("Generated images, likewise.", default=None, metavar="DIR")
    train: Path | None = selector(
        "The generator's training images, likewise: for the floor, and to look for copies of them.",
        default=None,
        metavar="DIR",
    )
    fit: Literal["stretch", "pad", "crop"] = selector(
        "How images of different sizes become one size, the smallest of what is usual in each folder: stretch, pad "
        "(with black) or crop (the middle).",
        default="stretch",
    )


class Score(Folders, WithExtractor, ToPlace, FromData, NamedImages, NamedGan, OnDevice, StepOptions):
    """Measure FID (or FD), KID, precision, recall, density, coverage, JS, SSIM and diversity against the test images.

    Real-against-real values and 95 % intervals are reported beside them, and generated images that are copies of
    training images are listed. Two folders of images are enough: usgan score --real DIR --fake DIR.
    """

    COMMAND = "score"

    count: int | None = technical(
        "Generated images to use, the first in order (of --fake: drawn at random); all where there are fewer "
        f"(default: {DEFAULT_COUNT}, or all of --fake). Must be equal within a table.",
        default=None,
        unit="images",
        least=2,
    )
    ssim_pairs: int = option(
        "Random pairs for SSIM (test image, other image), and for diversity (two others).",
        default=1000,
        unit="pairs",
        least=1,
    )
    js_bins: int = option("Bins of the gray-value histograms over 0 to 256.", default=256, unit="bins", least=2)
    js_log_base: float = option(
        "Base of the logarithm in JS; e is the natural one.", default=math.e, above=1, metavar="BASE"
    )
    repeats: int = option("Draws of half of the images behind every 95 % interval.", default=100, unit="draws", least=2)
    snapshots: bool = option(
        "Score every generator saved during training (train-gan --fd-every) instead.", default=False
    )
    baselines: bool = option("Score blurred and noisy training images too: what is easily reached.", default=False)
    pictures: bool = option("Draw gray values and nearest distances (or the snapshots' curve) as PNG.", default=False)
