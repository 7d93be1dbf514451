"""Options of `usgan generate`."""

from __future__ import annotations

from typing import Literal

from usgan_cli.commands.common import RUNNING, NamedGan, OnDevice, PrecisionName, StepOptions, ToPlace
from usgan_cli.core.options import option

PICTURE = "One picture in place of a set of images"
STRIP_FRAMES, GIF_FRAMES = 9, 30


class Generate(ToPlace, NamedGan, OnDevice, StepOptions):
    """Make images in the class proportions of the GAN's training images.

    Asking for fewer images gives the first ones of the longer set. With --grid or --interpolate, make one picture
    instead (default: WORK/pictures/NAME-....png or .gif).
    """

    COMMAND = "generate"

    ratio: float = option(
        default=2.0,
        help="Images to make, as a multiple of the GAN's training images.",
        least=0,
        recorded=False,  # the number of images is
        in_study=False,
    )
    at_least: int = option(
        default=500,
        help="With --ratio: make at least this many, so that all GANs are scored on as many.",
        unit="images",
        least=0,
        recorded=False,
        in_study=False,
    )
    count: int | None = option(
        default=None,
        help="Number of images to make (default: by --ratio and --at-least).",
        unit="images",
        least=1,
        recorded=False,
    )
    classes: str | None = option(
        default=None,
        help="Make only these classes, in their proportions (default: all).",
        metavar="NAME,NAME",
        recorded=False,  # as the list that it comes to
        in_study=False,
    )
    seeds: str | None = option(
        default=None,
        help="Seeds of the images, as their files are named (default: on from 1000000 x the GAN's --seed).",
        metavar="0-99,200",
        recorded=False,  # as the list that it comes to
        in_study=False,
    )
    format_: Literal["png", "zip", "npz"] = option(
        default="png",
        help="png (files by class), zip (images.zip, as the original StyleGAN2-ADA trainers read it) or npz "
        "(images.npz: images, labels, class_names, seeds). score and train-cls read all three.",
        flag="--format",
        in_study=False,
    )
    truncation: float = option(
        default=1.0,
        help="Psi: 1 for the whole distribution; less is safer and less varied.",
        least=0,
        most=1,
        recorded=False,  # as truncation_psi
    )
    noise: Literal["random", "const", "none"] = option(
        default="random", help="random (each image its own, from its seed), const (one for all) or none."
    )
    precision: PrecisionName = option(
        default="float32",
        help="Arithmetic of the fast layers; auto is bf16 where it is fast.",
        panel=RUNNING,
    )
    grid: str | None = option(
        default=None,
        help="Write only a PNG with this many images, in place of a folder: rows by class, each class the same seeds "
        "(rows: one a class by default).",
        panel=PICTURE,
        metavar="COLS[xROWS]",
        in_study=False,
    )
    interpolate: tuple[int, int] | None = option(
        default=None,
        help="Write only a PNG, in place of a folder: the way from one seed to another in W, a row a class.",
        panel=PICTURE,
        metavar="SEED SEED",
        least=0,
        in_study=False,
    )
    gif: bool = option(
        default=False,
        help="With --interpolate: an endless GIF of the way there and back.",
        panel=PICTURE,
        in_study=False,
    )
    frames: int | None = option(
        default=None,
        help=f"With --interpolate: images on the way, both ends counted (default: {STRIP_FRAMES}; {GIF_FRAMES} for a "
        "GIF).",
        panel=PICTURE,
        unit="images",
        least=2,
        in_study=False,
    )
