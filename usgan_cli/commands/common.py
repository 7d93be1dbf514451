"""Options that several commands have, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from usgan_cli.core.options import SHARED, Options, option
from usgan_cli.core.store.workspace import AugName

RUNNING = "How it is computed"
PrecisionName = Literal["auto", "float32", "bf16", "fp16"]


class InWorkspace(Options):
    """Where artefacts are, and how the result is printed."""

    work: Path = option(
        default=Path("work"),
        help="Workspace: the folder of all artefacts.",
        panel=SHARED,
        variable="USGAN_WORK",
        recorded=False,
        in_study=False,
    )
    json: bool = option(
        default=False,
        help="Print one JSON object of the result instead of the path.",
        panel=SHARED,
        recorded=False,
        in_study=False,
    )


class StepOptions(InWorkspace):
    """Options of every command that makes an artefact."""

    force: bool = option(
        default=False,
        help="Make the artefact again, replacing what is there.",
        panel=SHARED,
        recorded=False,
        in_study=False,
    )
    refresh: bool = option(
        default=False,
        help="If the artefact was made with other settings or from other inputs, make it again instead of refusing; "
        "leave it if it is up to date.",
        panel=SHARED,
        recorded=False,
        in_study=False,
    )
    dry_run: bool = option(
        default=False,
        help="Show the resolved settings and what would be written; do nothing.",
        panel=SHARED,
        recorded=False,
        in_study=False,
    )
    quiet: bool = option(
        default=False,
        help="Print only warnings and errors on standard error.",
        panel=SHARED,
        short="-q",
        recorded=False,
        in_study=False,
    )


class Repeat(Options):
    """Which repeat of the study."""

    seed: int = option(
        default=0,
        help="Number of the repeat: selects the subset and seeds every random draw.",
        least=0,
        recorded=False,
        in_study=False,
    )


class Sized(Options):
    """Which size of subset."""

    n: int | None = option(
        default=None,
        help="Size of the training subset.",
        unit="images",
        least=1,
        recorded=False,
        in_study=False,
    )


class Augmented(Options):
    """Which kind of GAN."""

    aug: AugName | None = option(
        default=None,
        help="Which GAN: none (plain StyleGAN2), ada (adaptive augmentation), diffaug (differentiable augmentation) "
        "or ada+diffaug (both).",
        recorded=False,
        in_study=False,
    )


class OfSubset(Repeat, Sized):
    """Which subset, or what was made from it."""


class OfGan(Repeat, Sized, Augmented):
    """Which GAN, by its name in the workspace."""


class NamedGan(OfGan):
    """Which GAN, by its name or its folder."""

    gan: Path | None = option(
        default=None,
        help="Folder of a trained GAN, in place of --aug --n --seed.",
        metavar="DIR|-",
        stdin=True,
        recorded=False,
        in_study=False,
    )


class NamedImages(Options):
    """Generated images, by their folder."""

    synthetic: Path | None = option(
        default=None,
        help="Folder of generated images, in place of --aug --n --seed.",
        metavar="DIR|-",
        stdin=True,
        recorded=False,
        in_study=False,
    )


class FromData(Options):
    """Which prepared dataset."""

    data: Path | None = option(
        default=None,
        help="Prepared dataset (default: WORK/data).",
        metavar="DIR|-",
        stdin=True,
        recorded=False,
        in_study=False,
    )


class ToPlace(Options):
    """Where to write."""

    out: Path | None = option(
        default=None,
        help="Where to write (default: the artefact's place in the workspace).",
        metavar="PATH",
        recorded=False,
        in_study=False,
    )


class OnDevice(Options):
    """Where networks are computed."""

    device: str = option(
        default="auto",
        help="auto (a GPU if there is one), cpu, cuda or cuda:1.",
        panel=RUNNING,
        metavar="DEVICE",
        recorded=False,
    )


class WithExtractor(Options):
    """Which network extracts the features of a Fréchet distance."""

    extractor: str = option(
        default="inception",
        help="Feature network of the Fréchet distance: inception (FID), efficientnet-lite2 or -lite0 (no download), or "
        "timm:NAME with --weights.",
        metavar="NAME",
        recorded=False,
    )
    weights: str | None = option(
        default=None,
        help="File or folder with the pretrained weights (default: look where they usually are).",
        metavar="PATH",
        recorded=False,
    )
