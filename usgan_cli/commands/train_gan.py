"""`usgan train-gan`: train one of the study's three GANs on a subset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usgan_cli import options
from usgan_cli.commands.inputs import check_aug, data_folder, load_subset, read_subset
from usgan_cli.commands.session import Session

if TYPE_CHECKING:
    import torch

    from usgan_cli.core.artefact import Outcome
    from usgan_cli.core.datasets import ImageSet
    from usgan_cli.gan.train import Scorer

REVISION = 1
SCORE_IMAGES = 500
KIMG_HELP = "thousands of real images shown"


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
        float | None, typer.Option(help=f"Length of training, kimg: {KIMG_HELP} (default: the preset's).")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=2, help="Images a step (default: the preset's).")] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's learning rate (default: the preset's).")] = None,
    r1_gamma: Annotated[
        float | None, typer.Option(help="Weight of the R1 penalty (default: the preset's, by size and batch).")
    ] = None,
    channel_base: Annotated[
        int | None, typer.Option(help="Channels at resolution r are channel-base / r ... (default: the preset's).")
    ] = None,
    channel_max: Annotated[int | None, typer.Option(help="... but at most this many (default: the preset's).")] = None,
    ema_kimg: Annotated[
        float | None, typer.Option(help="Half-life of the averaged generator, kimg (default: the preset's).")
    ] = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="Show training images also mirrored left to right.")] = False,
    ada_target: Annotated[float, typer.Option(help="ADA: r_t to keep, 0 to 1.")] = 0.6,
    ada_kimg: Annotated[float, typer.Option(help="ADA: kimg in which p can go from 0 to 1.")] = 500,
    diffaug_fill: Annotated[
        float, typer.Option(min=-1, max=1, help="DiffAug: what removed pixels become, -1 black, 0 mid-gray, 1 white.")
    ] = 0.0,
    precision: options.PrecisionName = "auto",
    device: options.Device = "auto",
    tick_kimg: Annotated[
        float | None, typer.Option(help="kimg between lines of the log (default: the preset's).")
    ] = None,
    save_kimg: Annotated[
        float | None, typer.Option(help="kimg between saved states and sample grids (default: the preset's).")
    ] = None,
    fd_every: Annotated[
        float, typer.Option(min=0, help="kimg between measurements of FD to the training images; 0 for none.")
    ] = 0,
    extractor: options.Extractor = "inception",
    weights: options.Weights = None,
) -> Outcome:
    """Train StyleGAN2 on a subset; an unfinished training continues from its last saved state."""
    from usgan_cli.core import artefact, checkpoint, datasets
    from usgan_cli.core import device as devices
    from usgan_cli.core.workspace import gan_name
    from usgan_cli.gan.config import make_config, settings_of

    folder = data_folder(session, data)
    manifest = datasets.read_manifest(folder)
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
        batch=batch,
        lr=lr,
        r1_gamma=r1_gamma,
        channel_base=channel_base,
        channel_max=channel_max,
        ema_kimg=ema_kimg,
        mirror=mirror,
        ada_target=ada_target,
        ada_kimg=ada_kimg,
        diffaug_fill=diffaug_fill,
        tick_kimg=tick_kimg,
        save_kimg=save_kimg,
    )
    name = gan_name(aug, n, seed)

    def work(target: Path) -> checkpoint.GeneratorDocument:
        from usgan_cli.gan.train import train

        images = load_subset(folder, manifest, subset)
        scorer = _scorer(session, images, extractor, weights, where) if fd_every > 0 else None
        return train(
            config, images, target, where, session.progress, name=name, n=n, scorer=scorer, score_kimg=fd_every
        )

    step = artefact.Step(
        "train-gan",
        REVISION,
        {"n": n, **settings_of(config)},
        {"data": manifest.content_digest(), "subset": subset.content_digest()},
    )
    target = out or session.workspace.gan(aug, n, seed)
    return artefact.grow_folder(target, step, work, _summary, session.request)


def _summary(path: Path) -> dict[str, Any]:
    from usgan_cli.core import checkpoint

    document = checkpoint.read_generator_document(path)
    rows = checkpoint.read_log(path)
    last = rows[-1].model_dump(exclude_none=True) if rows else {}
    return {"name": document.name, "kimg": document.kimg, "generator": document.content_digest(), "last": last}


def _scorer(session: Session, images: ImageSet, extractor: str, weights: str | None, device: torch.device) -> Scorer:
    """Return what measures a generator's images against the training images while it is trained."""
    import numpy as np

    from usgan_cli.gan.networks import Generator
    from usgan_cli.gan.sample import class_order, make_images
    from usgan_cli.metrics.features import cached_features, make_extractor
    from usgan_cli.metrics.frechet import frechet_distance

    network = make_extractor(extractor, weights=weights, device=device)
    real = cached_features(network, images.pixels, session.workspace.cache)
    order = class_order(list(images.class_counts().values()), SCORE_IMAGES)

    def score(generator: Generator) -> tuple[float, str]:
        made = np.stack(list(make_images(generator, range(SCORE_IMAGES), order)))
        return frechet_distance(real, network(made)), network.name

    return score
