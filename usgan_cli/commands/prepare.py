"""Options of `usgan prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from usgan_cli.commands.common import StepOptions, ToPlace
from usgan_cli.core.options import option

READING = "How the source is read"


class Prepare(ToPlace, StepOptions):
    """Decode, resize and split images by class; copies and patients are kept on one side of the split."""

    COMMAND = "prepare"

    source: Path = option(
        help="Folder or .zip with a folder of images (or DICOM files) per class, as BUSI's release; CSV file with "
        "columns path and label; or MedMNIST .npz.",
        metavar="SOURCE|-",
        argument=True,
        stdin=True,
        recorded=False,
    )
    size: int = option(default=256, help="Height and width of the prepared images: 16, 32 ... 1024.", unit="pixels")
    channels: Literal[1, 3] = option(default=1, help="1 for gray (ITU-R 601 luma), 3 to keep colour.")
    fit: Literal["stretch", "pad", "crop"] = option(
        default="stretch",
        help="How an image becomes a square: stretch (the study's way), pad (with black) or crop (the middle).",
    )
    test: int | float = option(
        default=0.359,
        help="Test images: a count (280) or a share of all images (0.36). The study's is 280 of 780.",
        metavar="COUNT|SHARE",
    )
    split: Literal["own", "new"] | None = option(
        default=None,
        help="own keeps the split that a source comes with (MedMNIST, a column split, folders train and test; "
        "validation images go to training); new draws one (default: own, where there is one).",
    )
    seed: int = option(default=0, help="Seed of the split.", least=0)
    duplicates: Literal["group", "drop", "ignore"] = option(
        default="group",
        help="Copies and near-copies: group keeps them on one side of every split and fold, drop keeps only the "
        "largest original, ignore treats them as separate images (the study's way).",
    )
    conflicts: Literal["keep", "drop", "error"] = option(
        default="keep", help="The same picture under two classes: keep, drop (every image of it) or error."
    )
    groups: str | None = option(
        default=None,
        help="What stays together as one patient: a CSV file with columns path and group, the folder of each file, or "
        "nothing (default: a CSV source's column group, or DICOM's PatientID).",
        panel=READING,
        metavar="CSV|folder|none",
    )
    classes: str | None = option(
        default=None,
        help="Classes to take, in this order, separated by commas (default: all, sorted by name).",
        panel=READING,
        metavar="NAME,NAME",
    )
    class_level: int | None = option(
        default=None,
        help="Which folder of an image's path is its class: 1 the outermost, 2 the next, -1 the innermost (default: "
        "the outermost).",
        panel=READING,
    )
    frames: Literal["first", "middle", "all"] = option(
        default="first",
        help="Frames of a multi-frame DICOM or TIFF file to take: first, middle or all (which stay together).",
        panel=READING,
    )
    format: Literal["folders", "zip", "dicom", "csv", "medmnist"] | None = option(
        default=None, help="Read the source as this format (default: recognised by looking).", panel=READING
    )
