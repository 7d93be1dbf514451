"""`usgan train-gan`: train one of the study's GANs on a subset."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from usgan_cli.classify.folds import training_side, validation_side
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.apportion import class_order
from usgan_cli.core.errors import DataError, WeightsError
from usgan_cli.core.formats.dataset import Subset
from usgan_cli.core.formats.generator import CHECKPOINT_FOLDER, latest_state, read_generator_document, read_log
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine import device as devices
from usgan_cli.core.machine.seeds import numpy_generator
from usgan_cli.core.machine.weights import find_weights
from usgan_cli.core.methods import timm_name
from usgan_cli.core.options import options_of
from usgan_cli.core.store.lifecycle import Growth, find_existing, growing_folder
from usgan_cli.core.store.step import Outcome, Step
from usgan_cli.core.store.workspace import FoldOf, gan_name
from usgan_cli.core.text import listed
from usgan_cli.gan import launch
from usgan_cli.gan.config import GanConfig, settings_of
from usgan_cli.gan.early_stop import reason_to_stop
from usgan_cli.gan.init.transfer import read_source
from usgan_cli.gan.launch import Job
from usgan_cli.gan.networks import Generator
from usgan_cli.gan.outputs import GanRun, Measured
from usgan_cli.gan.sample import make_images
from usgan_cli.gan.state import reached
from usgan_cli.metrics.features import Extractor, Features, cached_features, make_extractor
from usgan_cli.metrics.frechet import frechet_distance
from usgan_cli.metrics.kid import SUBSETS, kernel_distance, subset_size
from usgan_cli.metrics.memorization import closeness, nearest_by_features
from usgan_cli.metrics.prdc import euclidean
from usgan_cli.steps.inputs import Dataset, find_data, read_subset, weights_input
from usgan_cli.steps.options import resolve_gan
from usgan_cli.terminal.session import Session

REVISION = 2
SCORE_IMAGES = 500
HELD_OUT_FOLDS = 5
"""With `--stop auto` one of so many folds of the training images is held out."""
OF_A_PART = ("ada_", "diffaug_", "feature_")
"""How settings begin that belong to an augmentation or to the projected discriminator."""
RECORDED_AS = {"policy": "diffaug_policy"}
"""Options whose setting has another name."""
LEAST_HELD_OUT = 2
LEAST_GAIN_OF_THREADS = 0.7


def run(options: TrainGan, session: Session) -> Outcome | list[Outcome]:
    """Train a GAN, or continue its training: in this process, with workers, or as one of torchrun's processes."""
    data = find_data(session, options.data)
    subset = read_subset(session, options.n, options.seed)
    device = devices.resolve_device(options.device)
    config = resolve(options, data.manifest.size, data.manifest.channels, len(data.manifest.classes), device)
    config = with_feature_weights(config, options, session)
    source = None if options.init is None else read_source(options.init)
    part = None if options.fold is None else (options.fold, options.folds)
    name = gan_name(options.aug, options.n, options.seed, part)
    gan_run = GanRun(
        name=name,
        n=options.n,
        device=device,
        progress=session.progress,
        score_kimg=config.stop_every or options.fd_every,
        keep=options.keep,
        at_once=options.batch_gpu,
        graphs=options.cuda_graphs,
        tensorboard=options.tensorboard,
    )
    if options.threads is not None and device.type == "cpu":
        torch.set_num_threads(options.threads)
    workspace = session.workspace
    inputs = {"data": data.digest, "subset": subset.content_digest()}
    paths = {"data": data.folder, "subset": workspace.subset(options.n, options.seed)}
    if source is not None and options.init is not None:
        inputs["init"], paths["init"] = source.digest, options.init
    if config.stop == "auto":  # it decides which generator is kept
        inputs |= weights_input(options.weights)
    target = options.out or workspace.gan(options.aug, options.n, options.seed, part)
    config = _with_speed_of(target, options, config, inputs, session)
    step = replace(_step(options, config, inputs), places=workspace.places(target, paths))
    with launch.processes(options.gpus, device) as processes:
        if not processes.is_main:
            processes.work()
            return []
        with growing_folder(target, step, _summary, session.request, growth=_growth(config)) as making:
            if making.needed:
                images = load_trained_on(data, subset, part)
                judges = None
                if config.stop == "auto":
                    # Its images are added to all of these, so they are to have the classes' shares among all.
                    gan_run = replace(gan_run, class_counts=images.class_counts())
                    images, judges = held_out(images, options.seed)
                _advise_on_threads(session, device)
                if idle := without_effect(options, config):
                    session.progress.note(f"{listed(idle)}: no effect on this GAN ({name}).")
                spectrum = ("spectrum",) if config.spectrum_weight > 0 else ()
                session.explain(("G, D", "r_t", "p", "path", *spectrum, "|grad|"))
                gan_run = replace(gan_run, scorer=_scorer(options, session, images, judges, device))
                making.document = processes.train(Job(config, images, making.place, gan_run, source))
        return making.outcome


def resolve(options: TrainGan, resolution: int, channels: int, classes: int, device: torch.device) -> GanConfig:
    """Return the configuration that the options and their preset give for a dataset."""
    return resolve_gan(options, resolution, channels, classes, "cpu" if device.type == "cpu" else "cuda")


def without_effect(options: TrainGan, config: GanConfig) -> list[str]:
    """Return the options given that change nothing in this GAN: of augmentations or a discriminator it is without."""
    fields, used = vars(config), {"feature_weights", *settings_of(config)}  # those are recorded by their digest
    idle = []
    for one in options_of(TrainGan):
        name = RECORDED_AS.get(one.name, one.name)
        given = getattr(options, one.name) != one.default
        if given and name in fields and name.startswith(OF_A_PART) and name not in used:
            default = GanConfig.__dataclass_fields__[name].default
            idle += [one.flag] if fields[name] != default else []
    return idle


def _growth(config: GanConfig) -> Growth:
    """Return how a training's length may change: until its last part, which begins at a share of it."""
    if config.open_until == 1:
        return Growth(reached)
    begun = "Its last part (--lr-decay, --enlarge-last) has begun, which fixes its length."
    return Growth(reached, config.open_until, begun)


def _step(options: TrainGan, config: GanConfig, inputs: dict[str, str]) -> Step:
    settings = {"n": options.n, **options.recorded(config, settings_of(config))}
    if options.fold is None:
        settings.pop("folds", None)
    return Step("train-gan", REVISION, settings, inputs)


def _with_speed_of(
    target: Path, options: TrainGan, config: GanConfig, inputs: dict[str, str], session: Session
) -> GanConfig:
    """Return the configuration with the speed of augmentation at which the training in `target` began, if continued.

    That speed may follow from the training's length. A training that is made longer keeps it, since the images seen so
    far were augmented at that speed.
    """
    if session.request.force or not config.ada_kimg_auto or (existing := find_existing(target)) is None:
        return config
    made = existing.step
    began_at = made.settings.get("ada_kimg")
    if not made.settings.get("ada_kimg_auto") or not isinstance(began_at, float) or began_at == config.ada_kimg:
        return config
    kept = replace(config, ada_kimg=began_at)
    limits = {name: made.settings.get(name) for name in reached(target)}
    step = _step(options, kept, inputs)
    if replace(step, settings={**step.settings, **limits}).differences(made):
        return config  # another training, with a speed of its own
    session.progress.note(
        f"Augmentation keeps the speed at which this training began: --ada-kimg {began_at:g} "
        f"(a new training of this length would have {config.ada_kimg:g})."
    )
    return kept


def with_feature_weights(config: GanConfig, options: TrainGan, session: Session) -> GanConfig:
    """Find the weights of a projected discriminator's network before anything is begun, and record which they are.

    Raises
    ------
    WeightsError
        They are absent; it names the commands that bring them or do without.
    """
    if config.discriminator != "projected" or config.feature_weights == "none":
        return config
    place = None if config.feature_weights == "auto" else Path(config.feature_weights)
    try:
        weights = find_weights(timm_name(config.feature_network), place, progress=session.progress)
    except WeightsError as error:
        instead = options.replace(
            aug="ada" if options.aug == "best" else options.aug,
            discriminator="stylegan2",
            feature_size=None,
            pixel_weight=None,
            enlarge_last=None,
        )
        without = shlex.join(["usgan", *instead.words()])
        raise WeightsError(error.message, f"{error.hint or ''} Or train without them: {without}".lstrip()) from None
    return replace(config, feature_weights=str(weights.path), feature_digest=weights.label)


def load_trained_on(data: Dataset, subset: Subset, fold: FoldOf | None) -> ImageSet:
    """Return the images that a GAN was trained on: its subset, without the validation images of a fold left out."""
    images = data.load(subset)
    return images if fold is None else training_side(images, *fold, subset.seed)


def held_out(images: ImageSet, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return the images to train on and those by which `--stop auto` judges: one fold, groups of copies kept together.

    Raises
    ------
    DataError
        A class has too few images for it.
    """
    why = ""
    try:
        training, judges = (side(images, 0, HELD_OUT_FOLDS, seed) for side in (training_side, validation_side))
        if len(judges) < LEAST_HELD_OUT:
            why = f"there would be {len(judges)}, and a distance takes {LEAST_HELD_OUT}."
    except DataError as error:
        why = error.message
    if why:
        raise DataError(
            f"--stop auto cannot hold out a fifth of the training images: {why}",
            "Use --stop limit, or draw a larger subset.",
        )
    return training, judges


def _advise_on_threads(session: Session, device: torch.device) -> None:
    """Warn if several CPU threads are slower than one, which makes training ten times slower and more."""
    if device.type == "cpu" and (gain := devices.speedup_by_threads()) < LEAST_GAIN_OF_THREADS:
        session.progress.warn(
            f"This machine is busy: its CPU threads together are {1 / gain:.1f} times slower than one alone. "
            "Training is likely faster with --threads 1 (or OMP_NUM_THREADS=1)."
        )


def _summary(path: Path) -> dict[str, Any]:
    document = read_generator_document(path)
    rows = read_log(path)
    state = latest_state(path / CHECKPOINT_FOLDER)
    return {
        "name": document.name,
        "kimg": document.kimg,
        "generator": document.content_digest(),
        "stopped": reason_to_stop(rows),
        "last": rows[-1].model_dump(exclude_none=True) if rows else {},
        "best": None if state is None or state.best is None else state.best.model_dump(),
    }


@dataclass(frozen=True)
class TrainingScorer:
    """Measures a generator's images while it is trained, against its training images and, with some, held-out ones."""

    network: Extractor
    real: Features
    held_out: Features | None
    labels: list[int]

    def __call__(self, generator: Generator) -> Measured:
        """Return the distances, and whether the images are copies of training images."""
        made = self.network(np.stack(list(make_images(generator, range(SCORE_IMAGES), self.labels))))
        fd = frechet_distance(self.real, made)
        if self.held_out is None:
            return Measured(fd, self.network.name)
        size = subset_size(len(self.held_out), len(made))
        draws = numpy_generator(0, "stop", "kid")
        distance = kernel_distance(self.held_out, made, size=size, subsets=SUBSETS, generator=draws)
        near = closeness(*(nearest_by_features(euclidean(one, self.real)) for one in (made, self.held_out)))
        return Measured(fd, self.network.name, distance, near.clear, near.verdict == "copies")


def _scorer(
    options: TrainGan, session: Session, images: ImageSet, held_out: ImageSet | None, device: torch.device
) -> TrainingScorer | None:
    if options.fd_every <= 0 and held_out is None:
        return None
    network = make_extractor(options.extractor, weights=options.weights, device=device, progress=session.progress)
    real = cached_features(network, images.pixels, session.workspace.cache)
    other = None if held_out is None else cached_features(network, held_out.pixels, session.workspace.cache)
    return TrainingScorer(network, real, other, class_order(list(images.class_counts().values()), SCORE_IMAGES))
