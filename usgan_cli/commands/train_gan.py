"""Options of `usgan train-gan`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from usgan_cli.commands.common import RUNNING, FromData, OfGan, Precise, StepOptions, ToPlace, WithExtractor
from usgan_cli.core.options import Options, option, technical
from usgan_cli.core.store.workspace import DiffAugP, DiscriminatorName, GanName, StopName


class Networks(Options, panel="Networks and loss"):
    """The networks, their losses and their optimisers."""

    batch: int | None = option("Images a step (default: the preset's).", default=None, unit="images", least=2)
    lr: float | None = option("Adam's learning rate (default: the preset's).", default=None, above=0)
    lr_d: float | None = option("Adam's learning rate of the discriminator (default: --lr).", default=None, above=0)
    lr_decay: float | None = option(
        "Last share of the training (of --kimg or --minutes, whichever ends it) in which both learning rates decay "
        "linearly to 0 (default: 0). Once they do, its length can no longer be changed.",
        default=None,
        least=0,
        most=1,
    )
    r1_gamma: float | None = option(
        "Weight of the R1 penalty (default: the preset's, by the images' size and the preset's own batch; projected "
        "without --pixel-weight: 0, by its features if set).",
        default=None,
        least=0,
    )
    lecam: float = option(
        "Weight of LeCam's regularisation of the discriminator (Tseng et al. 2021; with a projected one 0.1 is usual).",
        default=0.0,
        least=0,
    )
    spectrum_weight: float = option(
        "Weight of a penalty on generated images whose power spectrum is not that of the training images, so that "
        "speckle and edges become as fine as theirs (after Durall et al. 2020).",
        default=0.0,
        least=0,
    )
    share_images: bool = option(
        "Let the discriminator judge the images that the generator's step has just made instead of new ones: about a "
        "fifth less arithmetic.",
        default=False,
    )
    pl_weight: float | None = option(
        "Weight of the path length penalty (default: 2; with a projected discriminator 0).", default=None, least=0
    )
    channel_base: int | None = option(
        "Channels at resolution r are channel-base / r ... (default: the preset's).", default=None, least=1
    )
    channel_max: int | None = option("... but at most this many (default: the preset's).", default=None, least=1)
    ema_kimg: float | None = option(
        "Half-life of the averaged generator (default: the preset's).", default=None, unit="kimg", above=0
    )


class Discriminators(Options, panel="Projected discriminator"):
    """What judges the images."""

    discriminator: DiscriminatorName | None = option(
        "stylegan2 (the study's) or projected (small heads on the frozen features of a pretrained network, Sauer et "
        "al. 2021; default: stylegan2, and for best projected).",
        default=None,
    )
    feature_network: str = option(
        "Projected: network of the features, efficientnet-lite0 or -lite2 (from the package index) or timm:NAME.",
        default="efficientnet-lite0",
        metavar="NAME",
    )
    feature_size: int | None = option(
        "Projected: pixels to which images are enlarged for it (default: their own size, but at least 64).",
        default=None,
        unit="pixels",
        least=32,
    )
    pixel_weight: float | None = option(
        "Projected: weight, to the generator, of StyleGAN2's own discriminator beside it (Kumari et al. 2022), which "
        "knows how fine speckle and edges are; with the preset's R1 (default: 0, there is none).",
        default=None,
        least=0,
    )
    enlarge_last: float | None = option(
        "Projected: last share of the training in which images are enlarged to twice --feature-size, so that finer "
        "structure is judged, too (default: 0.2 up to 64 pixels, else 0). Once it has begun, the training's length "
        "can no longer be changed.",
        default=None,
        least=0,
        most=1,
    )
    feature_channels: int = option("Projected: width of mixed features and heads.", default=64, least=1)
    feature_weights: str = technical(  # recorded by digest
        "Projected: file or folder with the network's pretrained weights (auto: look where they usually are; none: "
        "random, for tests).",
        default="auto",
        metavar="PATH",
    )


class Augmentation(Options, panel="Augmentation"):
    """What the discriminator sees images through."""

    ada_ops: str = option(
        "ADA: operations by name, joined by +: bg (the paper's), b, bgc to bgcfnc, blit, geom, color, filter, noise, "
        "cutout, or ultrasound (no quarter turns, large rotations or negatives).",
        default="bg",
        metavar="OPS",
    )
    ada_fill: float | None = option(
        "ADA: what lies beyond the image, -1 black to 1 white (default: its reflection, as published).",
        default=None,
        least=-1,
        most=1,
    )
    ada_target: float | None = option(
        "Adaptive augmentation: r_t to keep, 0 to 1 (default: 0.6, as published for ADA; best: 0.8).",
        default=None,
        least=0,
        most=1,
    )
    ada_kimg: float | None = option(
        "Adaptive augmentation: kimg in which p can go from 0 to 1 (default: 500 with the published presets, paper256, "
        "lsun256 and auto; else a quarter of --kimg, or of the preset's with --minutes alone, at most 500; with --init "
        "at most 100; best: 50).",
        default=None,
        unit="kimg",
        above=0,
    )
    policy: str = technical(  # recorded as diffaug_policy
        "DiffAug: what it does, in order: color, translation, cutout.",
        default="translation,cutout",
        metavar="NAME,NAME",
    )
    diffaug_fill: float | None = option(
        "DiffAug: what removed pixels become, -1 black, 0 mid-gray, 1 white (default: 0, the paper's; best: -1).",
        default=None,
        least=-1,
        most=1,
    )
    diffaug_cutout: float | None = option(
        "DiffAug: side of the cutout, as a part of the image's (default: 0.5, the paper's; best: 0.375).",
        default=None,
        least=0,
        most=1,
    )
    diffaug_p: DiffAugP | None = option(
        "DiffAug: apply each operation to each image always, as published, or adaptive: with a probability p that "
        "rises while r_t is above --ada-target, and falls below it (default: always; best: adaptive).",
        default=None,
    )


class Running(Precise, panel=RUNNING):
    """How it is computed; of this only the precision changes what is learned."""

    gpus: int = technical(
        "GPUs of this machine that share each batch (with --device cpu: processes). For more machines, start the "
        "same command with torchrun.",
        default=1,
        least=1,
    )
    batch_gpu: int | None = technical(
        "Images that each GPU computes at once (default: as many as fit into its memory).",
        default=None,
        unit="images",
        least=1,
    )
    threads: int | None = technical(
        "CPU threads (default: one for each core). On a busy machine 1 is best.", default=None, least=1
    )
    cuda_graphs: Literal["auto", "on", "off"] = technical(
        "Record each part of a step as a CUDA graph, so that a GPU does not wait for launches; auto: where it works.",
        default="auto",
    )


class Watching(Options, panel="Watching"):
    """What is written and measured on the way."""

    tick_kimg: float | None = technical(
        "kimg between lines of the log (default: the preset's).", default=None, unit="kimg", above=0
    )
    save_kimg: float | None = technical(
        "kimg between saved states and sample grids (default: the preset's).", default=None, unit="kimg", above=0
    )
    save_minutes: float = technical(
        "Also save when this many minutes of training have passed since the last saved state.",
        default=10.0,
        unit="minutes",
        above=0,
    )
    keep: int = technical("Saved states to keep: the newest ones.", default=1, unit="states", least=1)
    fd_every: float = technical(
        "kimg between measurements of FD to the training images, 0 for none; each generator measured is kept in "
        "snapshots/, the best one in best/.",
        default=0.0,
        unit="kimg",
        least=0,
    )
    stop: StopName = option(
        "When to end: limit (--kimg and --minutes) or auto: also once the images get no nearer to a fifth of the "
        "training images, which is held out, or become copies; the best generator is kept. It measures in the features "
        "of --extractor, every --fd-every (default: as often as it saves).",
        default="limit",
    )
    tensorboard: bool = technical("Also write the log for TensorBoard.", default=False)


class TrainGan(
    WithExtractor, Watching, Running, Augmentation, Discriminators, Networks, ToPlace, FromData, OfGan, StepOptions
):
    """Train StyleGAN2 on a subset; an unfinished training continues from its last saved state."""

    COMMAND = "train-gan"

    aug: GanName
    n: int
    preset: Literal["paper256", "lsun256", "auto", "small", "tiny"] = option(
        "Settings to start from: paper256 and lsun256 (two readings of the study's, 256 pixels: StyleGAN2-ADA's for "
        "LSUN cat, and StyleGAN2's own, with R1 10 as for cat; church and horse had --r1-gamma 100), auto (by image "
        "size), small (narrow, for 2 cores), tiny (for tests).",
        default="auto",
    )
    kimg: float | None = option(
        "Length of training, thousands of real images shown (default: the preset's, or unlimited with --minutes). A "
        "finished training goes on when this is raised, unless a last part of its own is over (--enlarge-last, "
        "--lr-decay).",
        default=None,
        unit="kimg",
        above=0,
    )
    minutes: float | None = option(
        "Length of training, saving and measuring not counted (default: unlimited). With --kimg, whichever comes "
        "first. It can be raised as --kimg can.",
        default=None,
        unit="minutes",
        above=0,
    )
    mirror: bool = option("Show training images also mirrored left to right (best: always).", default=False)
    match_grays: bool = option(
        "Give the finished generator one curve of gray levels, so that their distribution is that of the training "
        "images (best: always).",
        default=False,
    )
    spread: float | None = option(
        "How many times as far from their average as in training the finished generator's latents w lie: above 1 its "
        "images differ more from each other (default: 1; best: 1.2).",
        default=None,
        above=0,
    )
    init: Path | None = technical(
        "Start from these networks: a GAN's folder, a generator.safetensors, or a published StyleGAN2-ADA .pkl "
        "(nothing in it is executed). Layers that fit are taken.",
        default=None,
        metavar="PATH",
    )
    freeze_d: int = option(
        "With --init: the discriminator's first layers that stay as they are (Freeze-D).", default=0, least=0
    )
    # A study asks for a GAN of every fold by classifier.strict.
    fold: int | None = option(
        "Leave out this fold's validation images, for train-cls --strict; from 0 (default: none).",
        default=None,
        metavar="FOLD",
        least=0,
        in_study=False,
    )
    folds: int = option(
        "With --fold: folds of the cross-validation, as in train-cls.", default=5, least=2, in_study=False
    )
