"""Options of `usgan generate`."""

from __future__ import annotations

from typing import Literal

from usgan_cli.commands.common import RUNNING, NamedGan, OnDevice, PrecisionName, StepOptions, ToPlace
from usgan_cli.core.options import Options, option, selector, technical

STRIP_FRAMES, GIF_FRAMES = 9, 30


class Picture(Options, panel="One picture in place of a set of images"):
    """One picture that shows what a GAN makes."""

    grid: str | None = option(
        "Write only a PNG with this many images, in place of a folder: rows by class, each class the same seeds "
        "(rows: one a class by default).",
        default=None,
        metavar="COLS[xROWS]",
        in_study=False,
    )
    interpolate: tuple[int, int] | None = option(
        "Write only a PNG, in place of a folder: the way from one seed to another in W, a row a class.",
        default=None,
        metavar="SEED SEED",
        least=0,
        in_study=False,
    )
    gif: bool = option("With --interpolate: an endless GIF of the way there and back.", default=False, in_study=False)
    frames: int | None = option(
        f"With --interpolate: images on the way, both ends counted (default: {STRIP_FRAMES}; {GIF_FRAMES} for a GIF).",
        default=None,
        unit="images",
        least=2,
        in_study=False,
    )


class Generate(Picture, ToPlace, NamedGan, OnDevice, StepOptions):
    """Make images in the class proportions of the GAN's training images.

    Asking for fewer images gives the first ones of the longer set. With --grid or --interpolate, make one picture
    instead (default: WORK/pictures/NAME-....png or .gif).
    """

    COMMAND = "generate"

    ratio: float = selector("Images to make, as a multiple of the GAN's training images.", default=2.0, least=0)
    at_least: int = selector(
        "With --ratio: make at least this many, so that all GANs are scored on as many.",
        default=500,
        unit="images",
        least=0,
    )
    count: int | None = technical(
        "Number of images to make (default: by --ratio and --at-least).", default=None, unit="images", least=1
    )
    classes: str | None = selector(
        "Make only these classes, in their proportions (default: all).", default=None, metavar="NAME,NAME"
    )
    seeds: str | None = selector(
        "Seeds of the images, as their files are named (default: on from 1000000 x the GAN's --seed).",
        default=None,
        metavar="0-99,200",
    )
    format_: Literal["png", "zip", "npz"] = option(
        "png (files by class), zip (images.zip, as the original StyleGAN2-ADA trainers read it) or npz (images.npz: "
        "images, labels, class_names, seeds). score and train-cls read all three.",
        default="png",
        flag="--format",
        in_study=False,
    )
    truncation: float = technical(
        "Psi: 1 for the whole distribution; less is safer and less varied.", default=1.0, least=0, most=1
    )
    noise: Literal["random", "const", "none"] = option(
        "random (each image its own, from its seed), const (one for all) or none.", default="random"
    )
    precision: PrecisionName = option(
        "Arithmetic of the fast layers; auto is bf16 where it is fast.", default="float32", panel=RUNNING
    )
