"""`usgan train-gan`: train one of the study's three GANs on a subset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usgan_cli import options
from usgan_cli.commands.inputs import check_aug, data_folder, load_subset, read_subset
from usgan_cli.commands.session import Session
from usgan_cli.core.errors import SettingsError

if TYPE_CHECKING:
    import torch

    from usgan_cli.core.formats.generator import GeneratorDocument
    from usgan_cli.core.images.sets import ImageSet
    from usgan_cli.core.store.document import Document
    from usgan_cli.core.store.lifecycle import Outcome, Step
    from usgan_cli.gan.config import GanConfig
    from usgan_cli.gan.init.transfer import Source
    from usgan_cli.gan.parallel import World
    from usgan_cli.gan.train import GanRun, Scorer

    Train = Callable[[GanConfig, ImageSet, Path, GanRun, Source | None], GeneratorDocument]

REVISION = 2
SCORE_IMAGES = 500
KIMG_HELP = "thousands of real images shown"
LEAST_GAIN_OF_THREADS = 0.7
NETWORK, AUGMENTATION, RUNNING, WATCHING = "Networks and loss", "Augmentation", "How it is computed", "Watching"


def train_gan(
    session: Session,
    aug: options.Aug,
    n: options.N,
    seed: options.Seed = 0,
    data: options.Data = None,
    out: options.Out = None,
    preset: Annotated[
        str,
        typer.Option(
            help="Settings to start from: paper256 (the study's, 256 pixels), auto (by image size), "
            "small (narrow, for 2 cores), tiny (for tests)."
        ),
    ] = "auto",
    kimg: Annotated[
        float | None,
        typer.Option(
            help=f"Length of training, kimg: {KIMG_HELP} (default: the preset's, or unlimited with --minutes). A "
            "finished training goes on when this is raised."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Length of training, minutes, saving and measuring not counted (default: unlimited). With --kimg, "
            "whichever comes first. It can be raised as --kimg can."
        ),
    ] = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="Show training images also mirrored left to right.")] = False,
    init: Annotated[
        Path | None,
        typer.Option(
            help="Start from these networks: a GAN's folder, a generator.safetensors, or a published "
            "StyleGAN2-ADA .pkl (nothing in it is executed). Layers that fit are taken."
        ),
    ] = None,
    freeze_d: Annotated[
        int,
        typer.Option(min=0, help="With --init: the discriminator's first layers that stay as they are (Freeze-D)."),
    ] = 0,
    fold: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Leave out this fold's validation images, for train-cls --strict; from 0 (default: none).",
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="With --fold: folds of the cross-validation, as in train-cls.")] = 5,
    batch: Annotated[
        int | None, typer.Option(min=2, help="Images a step (default: the preset's).", rich_help_panel=NETWORK)
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Adam's learning rate (default: the preset's).", rich_help_panel=NETWORK)
    ] = None,
    r1_gamma: Annotated[
        float | None,
        typer.Option(
            help="Weight of the R1 penalty (default: the preset's, by size and batch).", rich_help_panel=NETWORK
        ),
    ] = None,
    channel_base: Annotated[
        int | None,
        typer.Option(
            help="Channels at resolution r are channel-base / r ... (default: the preset's).", rich_help_panel=NETWORK
        ),
    ] = None,
    channel_max: Annotated[
        int | None, typer.Option(help="... but at most this many (default: the preset's).", rich_help_panel=NETWORK)
    ] = None,
    ema_kimg: Annotated[
        float | None,
        typer.Option(
            help="Half-life of the averaged generator, kimg (default: the preset's).", rich_help_panel=NETWORK
        ),
    ] = None,
    ada_ops: Annotated[
        str,
        typer.Option(
            help="ADA: operations by name, joined by +: bg (the paper's), b, bgc to bgcfnc, blit, geom, color, filter, "
            "noise, cutout, or ultrasound (no quarter turns, large rotations or negatives).",
            rich_help_panel=AUGMENTATION,
        ),
    ] = "bg",
    ada_fill: Annotated[
        float | None,
        typer.Option(
            min=-1,
            max=1,
            help="ADA: what lies beyond the image, -1 black to 1 white (default: its reflection, as published).",
            rich_help_panel=AUGMENTATION,
        ),
    ] = None,
    ada_target: Annotated[float, typer.Option(help="ADA: r_t to keep, 0 to 1.", rich_help_panel=AUGMENTATION)] = 0.6,
    ada_kimg: Annotated[
        float, typer.Option(help="ADA: kimg in which p can go from 0 to 1.", rich_help_panel=AUGMENTATION)
    ] = 500.0,
    policy: Annotated[
        str,
        typer.Option(help="DiffAug: what it does, in order: color, translation, cutout.", rich_help_panel=AUGMENTATION),
    ] = "translation,cutout",
    diffaug_fill: Annotated[
        float,
        typer.Option(
            min=-1,
            max=1,
            help="DiffAug: what removed pixels become, -1 black, 0 mid-gray, 1 white.",
            rich_help_panel=AUGMENTATION,
        ),
    ] = 0.0,
    precision: options.PrecisionName = "auto",
    device: options.Device = "auto",
    gpus: Annotated[
        int,
        typer.Option(
            min=1,
            help="GPUs of this machine that share each batch (with --device cpu: processes). For more "
            "machines, start the same command with torchrun.",
            rich_help_panel=RUNNING,
        ),
    ] = 1,
    batch_gpu: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Images that each GPU computes at once (default: as many as fit into its memory).",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="CPU threads (default: one for each core). On a busy machine 1 is best.",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    cuda_graphs: Annotated[
        bool,
        typer.Option(
            "--cuda-graphs",
            help="Record each part of a step as a CUDA graph: fewer launches. Unmeasured.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    tick_kimg: Annotated[
        float | None,
        typer.Option(help="kimg between lines of the log (default: the preset's).", rich_help_panel=WATCHING),
    ] = None,
    save_kimg: Annotated[
        float | None,
        typer.Option(
            help="kimg between saved states and sample grids (default: the preset's).", rich_help_panel=WATCHING
        ),
    ] = None,
    save_minutes: Annotated[
        float,
        typer.Option(
            help="Also save when this many minutes of training have passed since the last saved state.",
            rich_help_panel=WATCHING,
        ),
    ] = 10.0,
    keep: Annotated[
        int, typer.Option(min=1, help="Saved states to keep: the newest ones.", rich_help_panel=WATCHING)
    ] = 1,
    fd_every: Annotated[
        float,
        typer.Option(
            min=0,
            help="kimg between measurements of FD to the training images, 0 for none; each generator measured "
            "is kept in snapshots/, the best one in best/.",
            rich_help_panel=WATCHING,
        ),
    ] = 0.0,
    extractor: options.Extractor = "inception",
    weights: options.Weights = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write the log for TensorBoard.", rich_help_panel=WATCHING)
    ] = False,
) -> Outcome | list[Outcome]:
    """Train StyleGAN2 on a subset; an unfinished training continues from its last saved state."""
    from usgan_cli.core.formats.dataset import read_manifest
    from usgan_cli.core.machine import device as devices
    from usgan_cli.core.store import lifecycle
    from usgan_cli.core.store.workspace import gan_name
    from usgan_cli.gan.config import make_config, settings_of
    from usgan_cli.gan.init.transfer import read_source
    from usgan_cli.gan.train import GanRun

    folder = data_folder(session, data)
    manifest = read_manifest(folder)
    subset = read_subset(session, n, seed)
    where = devices.resolve_device(device)
    config = make_config(
        aug=check_aug(aug),
        preset=preset,
        resolution=manifest.size,
        img_channels=manifest.channels,
        c_dim=len(manifest.classes),
        seed=seed,
        precision=devices.resolve_precision(precision, where),
        kimg=kimg,
        minutes=minutes,
        batch=batch,
        lr=lr,
        r1_gamma=r1_gamma,
        channel_base=channel_base,
        channel_max=channel_max,
        ema_kimg=ema_kimg,
        mirror=mirror,
        ada_ops=ada_ops,
        ada_fill=ada_fill,
        ada_target=ada_target,
        ada_kimg=ada_kimg,
        diffaug_policy=tuple(name.strip() for name in policy.split(",")),
        diffaug_fill=diffaug_fill,
        freeze_d=freeze_d,
        tick_kimg=tick_kimg,
        save_kimg=save_kimg,
        save_minutes=save_minutes,
    )
    if freeze_d and init is None:
        raise SettingsError("--freeze-d keeps layers as --init brings them; there is no --init.", "Leave it out.")
    source = None if init is None else read_source(init)
    part = None if fold is None else (fold, folds)
    run = GanRun(
        name=gan_name(aug, n, seed, part),
        n=n,
        device=where,
        progress=session.progress,
        score_kimg=fd_every,
        keep=keep,
        at_once=batch_gpu,
        graphs=cuda_graphs,
        tensorboard=tensorboard,
    )
    devices.use_threads(threads, where)

    def work(target: Path, train: Train) -> GeneratorDocument:
        images = load_subset(folder, manifest, subset)
        if fold is not None:
            from usgan_cli.classify.folds import training_side

            images = training_side(images, fold, folds, seed)
        _advise_on_threads(session, where)
        scorer = _scorer(session, images, extractor, weights, where) if fd_every > 0 else None
        return train(config, images, target, replace(run, scorer=scorer), source)

    inputs = {"data": manifest.content_digest(), "subset": subset.content_digest()}
    if source is not None:
        inputs["init"] = source.digest
    left_out = {} if fold is None else {"fold": fold, "folds": folds}
    step = lifecycle.Step("train-gan", REVISION, {"n": n, **settings_of(config), **left_out}, inputs)
    target = out or session.workspace.gan(aug, n, seed, part)
    return _carry_out(session, step, target, work, gpus, where)


def _summary(path: Path) -> dict[str, Any]:
    from usgan_cli.core.formats.generator import latest_state, read_generator_document, read_log

    document = read_generator_document(path)
    rows = read_log(path)
    last = rows[-1].model_dump(exclude_none=True) if rows else {}
    state = latest_state(path / "checkpoint")
    best = None if state is None or state.best is None else state.best.model_dump()
    return {
        "name": document.name,
        "kimg": document.kimg,
        "generator": document.content_digest(),
        "last": last,
        "best": best,
    }


def _carry_out(
    session: Session, step: Step, target: Path, work: Callable[[Path, Train], Document], gpus: int, where: torch.device
) -> Outcome | list[Outcome]:
    """Train in this process, in several that it starts, or as one of those that torchrun has started."""
    from usgan_cli.core.store import lifecycle
    from usgan_cli.gan import parallel
    from usgan_cli.gan.state import reached

    def make(train: Train) -> Outcome:
        def grow(folder: Path) -> Document:
            return work(folder, train)

        return lifecycle.grow_folder(target, step, grow, _summary, session.request, reached=reached)

    if not parallel.launched():
        return make(_train_here(gpus, where))
    if gpus > 1:
        raise SettingsError("--gpus is for this program to start processes itself.", "Leave it out with torchrun.")
    with parallel.joined_by_launcher(where.type) as (world, device):
        if world.is_main:
            lead = _Lead(world, device)
            try:
                return make(lead)
            finally:
                lead.dismiss()
        if world.broadcast(0, device):
            work(target, _follow(world, device))
        return []


def _train_here(gpus: int, where: torch.device) -> Train:
    """Return what trains in this process, with `gpus` - 1 more that it starts."""

    def train_with_helpers(
        config: GanConfig, images: ImageSet, target: Path, run: GanRun, source: Source | None
    ) -> GeneratorDocument:
        from usgan_cli.core.progress import Silent
        from usgan_cli.gan import parallel
        from usgan_cli.gan.train import follow, train

        if gpus == 1:
            return train(config, images, target, run, source)
        if where.index is not None:
            raise SettingsError(f"--device {where} is one GPU; --gpus {gpus} asks for more.", "Use --device cuda.")
        handed_over = (config, images, target, replace(run, progress=Silent(), scorer=None), source)
        with parallel.with_helpers(gpus, where.type, follow, handed_over) as (world, device):
            return train(config, images, target, replace(run, world=world, device=device), source)

    return train_with_helpers


class _Lead:
    """Trains as the first of torchrun's processes; the others wait to hear whether there is anything to do."""

    def __init__(self, world: World, device: torch.device) -> None:
        self.world, self.device = world, device
        self.told = False

    def __call__(
        self, config: GanConfig, images: ImageSet, target: Path, run: GanRun, source: Source | None
    ) -> GeneratorDocument:
        from usgan_cli.gan.train import train

        self._tell(1)
        return train(config, images, target, replace(run, world=self.world, device=self.device), source)

    def dismiss(self) -> None:
        """Let the others go if nothing was to be done."""
        if not self.told:
            self._tell(0)

    def _tell(self, answer: int) -> None:
        self.told = True
        self.world.broadcast(answer, self.device)


def _follow(world: World, device: torch.device) -> Train:
    def train_along(
        config: GanConfig, images: ImageSet, target: Path, run: GanRun, source: Source | None
    ) -> GeneratorDocument:
        from usgan_cli.gan.train import follow

        return follow(world, device, config, images, target, run, source)

    return train_along


def _advise_on_threads(session: Session, where: torch.device) -> None:
    """Warn where CPU threads hinder one another, which makes training ten times slower and more."""
    from usgan_cli.core.machine import device as devices

    if where.type == "cpu" and (gain := devices.gain_of_threads()) < LEAST_GAIN_OF_THREADS:
        session.progress.warn(
            f"This machine is busy: its CPU threads together are {1 / gain:.1f} times slower than one alone. "
            "Training is likely faster with --threads 1 (or OMP_NUM_THREADS=1)."
        )


def _scorer(session: Session, images: ImageSet, extractor: str, weights: str | None, device: torch.device) -> Scorer:
    """Return what measures a generator's images against the training images while it is trained."""
    import numpy as np

    from usgan_cli.core.apportion import class_order
    from usgan_cli.gan.networks import Generator
    from usgan_cli.gan.sample import make_images
    from usgan_cli.metrics.features import cached_features, make_extractor
    from usgan_cli.metrics.frechet import frechet_distance

    network = make_extractor(extractor, weights=weights, device=device)
    real = cached_features(network, images.pixels, session.workspace.cache)
    order = class_order(list(images.class_counts().values()), SCORE_IMAGES)

    def score(generator: Generator) -> tuple[float, str]:
        made = np.stack(list(make_images(generator, range(SCORE_IMAGES), order)))
        return frechet_distance(real, network(made)), network.name

    return score
