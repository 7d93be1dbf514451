"""Options that several commands have, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from usgan_cli.core.options import SHARED, Options, option, selector, technical
from usgan_cli.core.store.workspace import GanName

RUNNING = "How it is computed"
PrecisionName = Literal["auto", "float32", "bf16", "fp16"]


class InWorkspace(Options, panel=SHARED):
    """Where artefacts are, and how the result is printed."""

    work: Path = selector("Workspace: the folder of all artefacts.", default=Path("work"), variable="USGAN_WORK")
    json: bool = selector("Print one JSON object of the result instead of the path.", default=False)


class StepOptions(InWorkspace, panel=SHARED):
    """Options of every command that makes an artefact."""

    force: bool = selector("Make the artefact again, replacing what is there.", default=False)
    refresh: bool = selector(
        "If the artefact was made with other settings or from other inputs, make it again instead of refusing; leave "
        "it if it is up to date.",
        default=False,
    )
    dry_run: bool = selector("Show the resolved settings and what would be written; do nothing.", default=False)
    offline: bool = selector(
        "Fetch nothing: pretrained weights must be on this machine (USGAN_OFFLINE=1 says the same).", default=False
    )
    quiet: bool = selector("Print only warnings and errors on standard error.", default=False, short="-q")


class Repeat(Options):
    """Which repeat of the study."""

    seed: int = selector("Number of the repeat: selects the subset and seeds every random draw.", default=0, least=0)


class Sized(Options):
    """Which size of subset."""

    n: int | None = selector("Size of the training subset.", default=None, unit="images", least=1)


class Augmented(Options):
    """Which kind of GAN."""

    aug: GanName | None = selector(
        "Which GAN: none (plain StyleGAN2), ada (adaptive augmentation), diffaug (differentiable augmentation), "
        "ada+diffaug (both) or best (projected discriminator: nearest to real images in short trainings).",
        default=None,
    )


class OfSubset(Repeat, Sized):
    """Which subset, or what was made from it."""


class OfGan(Repeat, Sized, Augmented):
    """Which GAN, by its name in the workspace."""


class NamedGan(OfGan):
    """Which GAN, by its name or its folder."""

    gan: Path | None = selector(
        "Folder of a trained GAN, in place of --aug --n --seed.", default=None, metavar="DIR|-", stdin=True
    )


class NamedImages(Options):
    """Generated images, by their folder."""

    synthetic: Path | None = selector(
        "Folder of generated images, in place of --aug: of usgan generate, or of any program that made a folder for "
        "each class, or a .zip of them.",
        default=None,
        metavar="DIR|-",
        stdin=True,
    )
    bits: int | None = selector(
        "Bits of the gray values in other programs' files that can hold more than 8 (default: those that a folder's "
        "images use together).",
        default=None,
        least=1,
        most=32,
    )


class FromData(Options):
    """Which prepared dataset."""

    data: Path | None = selector("Prepared dataset (default: WORK/data).", default=None, metavar="DIR|-", stdin=True)


class ToPlace(Options):
    """Where to write."""

    out: Path | None = selector(
        "Where to write (default: the artefact's place in the workspace).", default=None, metavar="PATH"
    )


class OnDevice(Options, panel=RUNNING):
    """Where networks are computed."""

    device: str = technical("auto (a GPU if there is one), cpu, cuda or cuda:1.", default="auto", metavar="DEVICE")


class Precise(OnDevice, panel=RUNNING):
    """Where networks are computed, and in which arithmetic."""

    precision: PrecisionName = option(
        "Arithmetic of the fast layers; auto is bf16 where the device has it.", default="auto"
    )


class WithExtractor(Options):
    """Which network extracts the features of a Fréchet distance."""

    extractor: str = technical(
        "Feature network of the Fréchet distance: inception (FID), efficientnet-lite2 or -lite0 (no download), or "
        "timm:NAME with --weights.",
        default="inception",
        metavar="NAME",
    )
    weights: str | None = technical(
        "File or folder with the pretrained weights (default: look where they usually are).",
        default=None,
        metavar="PATH",
    )
