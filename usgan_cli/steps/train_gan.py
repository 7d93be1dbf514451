"""`usgan train-gan`: train one of the study's three GANs on a subset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from usgan_cli.classify.folds import training_side
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.apportion import class_order
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.dataset import Subset
from usgan_cli.core.formats.generator import GeneratorDocument, latest_state, read_generator_document, read_log
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine import device as devices
from usgan_cli.core.options import settings_for
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.lifecycle import growing_folder
from usgan_cli.core.store.step import Outcome, Step
from usgan_cli.core.store.workspace import gan_name
from usgan_cli.gan import parallel
from usgan_cli.gan.config import GanConfig, make_config, settings_of
from usgan_cli.gan.init.transfer import Source, read_source
from usgan_cli.gan.networks import Generator
from usgan_cli.gan.sample import make_images
from usgan_cli.gan.state import reached
from usgan_cli.gan.train import GanRun, follow, train
from usgan_cli.metrics.features import Extractor, Features, cached_features, make_extractor
from usgan_cli.metrics.frechet import frechet_distance
from usgan_cli.steps.inputs import Dataset, find_data, read_subset
from usgan_cli.terminal.session import Session

REVISION = 2
SCORE_IMAGES = 500
LEAST_GAIN_OF_THREADS = 0.7


@dataclass(frozen=True)
class Training:
    """A training with everything it needs, its images not yet loaded."""

    options: TrainGan
    session: Session
    data: Dataset
    subset: Subset
    config: GanConfig
    source: Source | None
    run: GanRun

    def images(self) -> ImageSet:
        """Load the subset's images, without the validation images of a fold that is left out."""
        images, options = self.data.load(self.subset), self.options
        return images if options.fold is None else training_side(images, options.fold, options.folds, options.seed)


def run(options: TrainGan, session: Session) -> Outcome | list[Outcome]:
    """Train a GAN, or continue its training: in this process, with helpers, or as one of torchrun's processes."""
    data = find_data(session, options.data)
    subset = read_subset(session, options.n, options.seed)
    device = devices.resolve_device(options.device)
    config = resolve(options, data.manifest.size, data.manifest.channels, len(data.manifest.classes), device)
    if options.freeze_d and options.init is None:
        raise SettingsError("--freeze-d keeps layers as --init brings them; there is no --init.", "Leave it out.")
    source = None if options.init is None else read_source(options.init)
    part = None if options.fold is None else (options.fold, options.folds)
    gan_run = GanRun(
        name=gan_name(options.aug, options.n, options.seed, part),
        n=options.n,
        device=device,
        progress=session.progress,
        score_kimg=options.fd_every,
        keep=options.keep,
        at_once=options.batch_gpu,
        graphs=options.cuda_graphs,
        tensorboard=options.tensorboard,
    )
    devices.use_threads(options.threads, device)
    training = Training(options, session, data, subset, config, source, gan_run)
    inputs = {"data": data.digest, "subset": subset.content_digest()}
    if source is not None:
        inputs["init"] = source.digest
    settings = {"n": options.n, **options.recorded(config, settings_of(config))}
    step = Step("train-gan", REVISION, settings, inputs)
    target = options.out or session.workspace.gan(options.aug, options.n, options.seed, part)
    if parallel.launched():
        return _train_under_launcher(training, step, target)
    with growing_folder(target, step, _summary, session.request, reached=reached) as making:
        if making.needed:
            making.document = _train_here(training, making.place)
    return making.outcome


def resolve(options: TrainGan, resolution: int, channels: int, classes: int, device: torch.device) -> GanConfig:
    """Return the configuration that the options and their preset give for a dataset."""
    policy = tuple(name.strip() for name in options.policy.split(","))
    precision = devices.resolve_precision(options.precision, device)
    settings = settings_for(options, GanConfig) | {"precision": precision, "diffaug_policy": policy}
    return make_config(**settings, resolution=resolution, img_channels=channels, c_dim=classes)


def _train_here(training: Training, folder: Path) -> GeneratorDocument:
    """Train in this process, with --gpus - 1 more that it starts."""
    gpus, device, images = training.options.gpus, training.run.device, training.images()
    _advise_on_threads(training)
    gan_run = replace(training.run, scorer=_scorer(training, images))
    if gpus == 1:
        return train(training.config, images, folder, gan_run, training.source)
    if device.index is not None:
        raise SettingsError(f"--device {device} is one GPU; --gpus {gpus} asks for more.", "Use --device cuda.")
    silent = replace(training.run, progress=Silent())
    with parallel.with_helpers(
        gpus, device.type, follow, (training.config, images, folder, silent, training.source)
    ) as (world, own_device):
        own_run = replace(gan_run, world=world, device=own_device)
        return train(training.config, images, folder, own_run, training.source)


def _train_under_launcher(training: Training, step: Step, target: Path) -> Outcome | list[Outcome]:
    """Train as one of torchrun's processes: the first decides whether there is anything to do."""
    if training.options.gpus > 1:
        raise SettingsError("--gpus is for this program to start processes itself.", "Leave it out with torchrun.")
    with parallel.joined_by_launcher(training.run.device.type) as (world, device):
        gan_run = replace(training.run, world=world, device=device)
        if not world.is_main:
            if world.broadcast(0, device):
                follow(world, device, training.config, training.images(), target, gan_run, training.source)
            return []
        begun = False
        try:
            with growing_folder(target, step, _summary, training.session.request, reached=reached) as making:
                if making.needed:
                    images = training.images()
                    gan_run = replace(gan_run, scorer=_scorer(training, images))
                    begun = bool(world.broadcast(1, device))
                    making.document = train(training.config, images, target, gan_run, training.source)
            return making.outcome
        finally:
            if not begun:
                world.broadcast(0, device)


def _summary(path: Path) -> dict[str, Any]:
    document = read_generator_document(path)
    rows = read_log(path)
    state = latest_state(path / "checkpoint")
    return {
        "name": document.name,
        "kimg": document.kimg,
        "generator": document.content_digest(),
        "last": rows[-1].model_dump(exclude_none=True) if rows else {},
        "best": None if state is None or state.best is None else state.best.model_dump(),
    }


def _advise_on_threads(training: Training) -> None:
    """Warn if CPU threads slow one another down, which makes training ten times slower and more."""
    if training.run.device.type == "cpu" and (gain := devices.speedup_by_threads()) < LEAST_GAIN_OF_THREADS:
        training.run.progress.warn(
            f"This machine is busy: its CPU threads together are {1 / gain:.1f} times slower than one alone. "
            "Training is likely faster with --threads 1 (or OMP_NUM_THREADS=1)."
        )


@dataclass(frozen=True)
class TrainingScorer:
    """Measures a generator's images against the training images while it is trained."""

    network: Extractor
    real: Features
    labels: list[int]

    def __call__(self, generator: Generator) -> tuple[float, str]:
        """Return the Fréchet distance and the extractor's name."""
        made = np.stack(list(make_images(generator, range(SCORE_IMAGES), self.labels)))
        return frechet_distance(self.real, self.network(made)), self.network.name


def _scorer(training: Training, images: ImageSet) -> TrainingScorer | None:
    options, device = training.options, training.run.device
    if options.fd_every <= 0:
        return None
    network = make_extractor(options.extractor, weights=options.weights, device=device)
    real = cached_features(network, images.pixels, training.session.workspace.cache)
    return TrainingScorer(network, real, class_order(list(images.class_counts().values()), SCORE_IMAGES))
