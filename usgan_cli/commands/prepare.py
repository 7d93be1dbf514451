"""Options of `usgan prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from usgan_cli.commands.common import StepOptions, ToPlace
from usgan_cli.core.options import Options, option, technical


class Reading(Options, panel="How the source is read"):
    """How a source is read."""

    groups: str | None = option(
        "What stays together as one patient: a CSV file with columns path and group, the folder of each file, or "
        "nothing (default: a CSV source's column group, or DICOM's PatientID).",
        default=None,
        metavar="CSV|folder|none",
    )
    classes: str | None = option(
        "Classes to take, in this order, separated by commas (default: all, sorted by name).",
        default=None,
        metavar="NAME,NAME",
    )
    class_level: int | None = option(
        "Which folder of an image's path is its class: 1 the outermost, 2 the next, -1 the innermost (default: the "
        "outermost).",
        default=None,
    )
    frames: Literal["first", "middle", "all"] = option(
        "Frames of a multi-frame DICOM or TIFF file to take: first, middle or all (which stay together).",
        default="first",
    )
    bits: int | None = option(
        "Bits of the gray values in files that can hold more than 8, whose range becomes 0 to 255 (1 for floats from 0 "
        "to 1); also in place of DICOM windows (default: the bits that all such images use together).",
        default=None,
        least=1,
        most=32,
    )
    format: Literal["folders", "zip", "dicom", "csv", "medmnist"] | None = option(
        "Read the source as this format (default: recognised by looking).", default=None
    )


class External(Options, panel="External test sets"):
    """Images from elsewhere that every classifier is tested on."""

    external: tuple[str, ...] = technical(
        "Also test every classifier on these images, by class as SOURCE's, from another place or device; nothing is "
        "chosen by them. Without SOURCE they are prepared for the dataset that is there.",
        default=(),
        metavar="NAME=DIR",
    )
    external_classes: tuple[str, ...] = technical(
        "What a class of an external test set is in the dataset; nothing after the = leaves its images out.",
        default=(),
        metavar="NAME:THEIRS=OURS",
    )


class Prepare(Reading, External, ToPlace, StepOptions):
    """Decode, resize and split images by class; copies and patients are kept on one side of the split.

    With --external, images from elsewhere become test sets of their own, of the dataset's size and classes.
    """

    COMMAND = "prepare"

    source: Path | None = technical(
        "Folder or .zip with a folder of images (or DICOM files) per class, as BUSI's release; CSV file with columns "
        "path and label; or MedMNIST .npz.",
        default=None,
        metavar="SOURCE|-",
        argument=True,
        stdin=True,
    )
    size: int = option("Height and width of the prepared images: 16, 32 ... 1024.", default=256, unit="pixels")
    channels: Literal[1, 3] = option("1 for gray (ITU-R 601 luma), 3 to keep colour.", default=1)
    fit: Literal["stretch", "pad", "crop"] = option(
        "How an image becomes a square: stretch (the study's way), pad (with black) or crop (the middle).",
        default="stretch",
    )
    test: int | float = option(
        "Test images: a count (280) or a share of all images (0.36). The study's is 280 of 780.",
        default=0.359,
        metavar="COUNT|SHARE",
    )
    split: Literal["own", "new"] | None = option(
        "own keeps the split that a source comes with (MedMNIST, a column split, folders train and test; validation "
        "images go to training); new draws one (default: own, where there is one).",
        default=None,
    )
    seed: int = option("Seed of the split.", default=0, least=0)
    duplicates: Literal["group", "drop", "ignore"] = option(
        "Copies and near-copies: group keeps them on one side of every split and fold, drop keeps only the largest "
        "original, ignore treats them as separate images (the study's way).",
        default="group",
    )
    conflicts: Literal["keep", "drop", "error"] = option(
        "The same picture under two classes: keep, drop (every image of it) or error.", default="keep"
    )
