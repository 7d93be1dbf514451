"""Options of `usgan train-gan`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from usgan_cli.commands.common import (
    RUNNING,
    FromData,
    OfGan,
    OnDevice,
    PrecisionName,
    StepOptions,
    ToPlace,
    WithExtractor,
)
from usgan_cli.core.options import option
from usgan_cli.core.store.workspace import AugName

NETWORK, AUGMENTATION, WATCHING = "Networks and loss", "Augmentation", "Watching"


class TrainGan(WithExtractor, ToPlace, FromData, OfGan, OnDevice, StepOptions):
    """Train StyleGAN2 on a subset; an unfinished training continues from its last saved state."""

    COMMAND = "train-gan"

    aug: AugName
    n: int
    preset: Literal["paper256", "auto", "small", "tiny"] = option(
        default="auto",
        help="Settings to start from: paper256 (the study's, 256 pixels), auto (by image size), small (narrow, for 2 "
        "cores), tiny (for tests).",
    )
    kimg: float | None = option(
        default=None,
        help="Length of training, thousands of real images shown (default: the preset's, or unlimited with "
        "--minutes). A finished training goes on when this is raised.",
        unit="kimg",
        above=0,
    )
    minutes: float | None = option(
        default=None,
        help="Length of training, saving and measuring not counted (default: unlimited). With --kimg, whichever comes "
        "first. It can be raised as --kimg can.",
        unit="minutes",
        above=0,
    )
    mirror: bool = option(default=False, help="Show training images also mirrored left to right.")
    init: Path | None = option(
        default=None,
        help="Start from these networks: a GAN's folder, a generator.safetensors, or a published StyleGAN2-ADA .pkl "
        "(nothing in it is executed). Layers that fit are taken.",
        metavar="PATH",
        recorded=False,
    )
    freeze_d: int = option(
        default=0,
        help="With --init: the discriminator's first layers that stay as they are (Freeze-D).",
        unit="layers",
        least=0,
    )
    fold: int | None = option(
        default=None,
        help="Leave out this fold's validation images, for train-cls --strict; from 0 (default: none).",
        metavar="FOLD",
        least=0,
        in_study=False,  # classifier.strict plans a GAN for every fold
    )
    folds: int = option(
        default=5,
        help="With --fold: folds of the cross-validation, as in train-cls.",
        unit="folds",
        least=2,
        in_study=False,
    )
    batch: int | None = option(
        default=None, help="Images a step (default: the preset's).", panel=NETWORK, unit="images", least=2
    )
    lr: float | None = option(
        default=None, help="Adam's learning rate (default: the preset's).", panel=NETWORK, above=0
    )
    r1_gamma: float | None = option(
        default=None,
        help="Weight of the R1 penalty (default: the preset's, by size and batch).",
        panel=NETWORK,
        least=0,
    )
    channel_base: int | None = option(
        default=None,
        help="Channels at resolution r are channel-base / r ... (default: the preset's).",
        panel=NETWORK,
        unit="channels",
        least=1,
    )
    channel_max: int | None = option(
        default=None,
        help="... but at most this many (default: the preset's).",
        panel=NETWORK,
        unit="channels",
        least=1,
    )
    ema_kimg: float | None = option(
        default=None,
        help="Half-life of the averaged generator (default: the preset's).",
        panel=NETWORK,
        unit="kimg",
        above=0,
    )
    ada_ops: str = option(
        default="bg",
        help="ADA: operations by name, joined by +: bg (the paper's), b, bgc to bgcfnc, blit, geom, color, filter, "
        "noise, cutout, or ultrasound (no quarter turns, large rotations or negatives).",
        panel=AUGMENTATION,
        metavar="OPS",
    )
    ada_fill: float | None = option(
        default=None,
        help="ADA: what lies beyond the image, -1 black to 1 white (default: its reflection, as published).",
        panel=AUGMENTATION,
        least=-1,
        most=1,
    )
    ada_target: float = option(default=0.6, help="ADA: r_t to keep, 0 to 1.", panel=AUGMENTATION, least=0, most=1)
    ada_kimg: float = option(
        default=500.0, help="ADA: kimg in which p can go from 0 to 1.", panel=AUGMENTATION, unit="kimg", above=0
    )
    policy: str = option(
        default="translation,cutout",
        help="DiffAug: what it does, in order: color, translation, cutout.",
        panel=AUGMENTATION,
        metavar="NAME,NAME",
        recorded=False,  # as diffaug_policy
    )
    diffaug_fill: float = option(
        default=0.0,
        help="DiffAug: what removed pixels become, -1 black, 0 mid-gray, 1 white.",
        panel=AUGMENTATION,
        least=-1,
        most=1,
    )
    precision: PrecisionName = option(
        default="auto",
        help="Arithmetic of the fast layers; auto is bf16 where the device has it.",
        panel=RUNNING,
    )
    gpus: int = option(
        default=1,
        help="GPUs of this machine that share each batch (with --device cpu: processes). For more machines, start the "
        "same command with torchrun.",
        panel=RUNNING,
        unit="gpus",
        least=1,
        recorded=False,
    )
    batch_gpu: int | None = option(
        default=None,
        help="Images that each GPU computes at once (default: as many as fit into its memory).",
        panel=RUNNING,
        unit="images",
        least=1,
        recorded=False,
    )
    threads: int | None = option(
        default=None,
        help="CPU threads (default: one for each core). On a busy machine 1 is best.",
        panel=RUNNING,
        unit="threads",
        least=1,
        recorded=False,
    )
    cuda_graphs: bool = option(
        default=False,
        help="Record each part of a step as a CUDA graph: fewer launches. Unmeasured.",
        panel=RUNNING,
        recorded=False,
    )
    tick_kimg: float | None = option(
        default=None,
        help="kimg between lines of the log (default: the preset's).",
        panel=WATCHING,
        unit="kimg",
        above=0,
        recorded=False,
    )
    save_kimg: float | None = option(
        default=None,
        help="kimg between saved states and sample grids (default: the preset's).",
        panel=WATCHING,
        unit="kimg",
        above=0,
        recorded=False,
    )
    save_minutes: float = option(
        default=10.0,
        help="Also save when this many minutes of training have passed since the last saved state.",
        panel=WATCHING,
        unit="minutes",
        above=0,
        recorded=False,
    )
    keep: int = option(
        default=1,
        help="Saved states to keep: the newest ones.",
        panel=WATCHING,
        unit="states",
        least=1,
        recorded=False,
    )
    fd_every: float = option(
        default=0.0,
        help="kimg between measurements of FD to the training images, 0 for none; each generator measured is kept in "
        "snapshots/, the best one in best/.",
        panel=WATCHING,
        unit="kimg",
        least=0,
        recorded=False,
    )
    tensorboard: bool = option(
        default=False, help="Also write the log for TensorBoard.", panel=WATCHING, recorded=False
    )
