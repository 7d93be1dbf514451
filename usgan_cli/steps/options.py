"""From the options of trainings to their configurations, without loading torch, so that a study is planned at once."""

from __future__ import annotations

import dataclasses

from usgan_cli.classify.config import ClassifierConfig, check_config
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.budget import updates_of_epochs
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.machine.precision import DeviceKind, check_graphs, resolve_precision
from usgan_cli.core.methods import timm_name
from usgan_cli.core.options import settings_for
from usgan_cli.gan.config import GanConfig, chosen_split, make_config, possible_splits
from usgan_cli.metrics.config import check_extractor

DEFAULT_RATIO = 1.0


def resolve_gan(options: TrainGan, resolution: int, channels: int, classes: int, kind: DeviceKind) -> GanConfig:
    """Return the configuration that the options and their preset give for a dataset, on a kind of device.

    Raises
    ------
    SettingsError
        An option is impossible, or contradicts another.
    """
    policy = tuple(name.strip() for name in options.policy.split(","))
    precision = resolve_precision(options.precision, kind)
    settings = settings_for(options, GanConfig) | {"precision": precision, "diffaug_policy": policy}
    initialised = options.init is not None
    config = make_config(
        **settings, resolution=resolution, img_channels=channels, c_dim=classes, initialised=initialised
    )
    _check_run(options, config, kind)
    if config.stop == "limit":
        return config
    return dataclasses.replace(config, stop_every=options.fd_every or config.save_kimg, stop_features=options.extractor)


def _check_run(options: TrainGan, config: GanConfig, kind: DeviceKind) -> None:
    """Refuse what the training would refuse once its images are loaded."""
    if options.freeze_d and options.init is None:
        raise SettingsError("--freeze-d keeps layers as --init brings them; there is no --init.", "Leave it out.")
    if config.discriminator == "projected":
        timm_name(config.feature_network)
    if options.fd_every or config.stop == "auto":
        check_extractor(options.extractor, options.weights)
    chosen_split(config, options.gpus, possible_splits(config, options.gpus), options.batch_gpu)
    check_graphs(options.cuda_graphs, kind)


def resolve_classifier(options: TrainClassifier) -> ClassifierConfig:
    """Return the configuration of a classifier, with the number of updates where it is fixed.

    Raises
    ------
    SettingsError
        An option is impossible, or contradicts another.
    """
    _check_together(options)
    config = _with_updates(options)
    check_config(config)
    return config


def _with_updates(options: TrainClassifier) -> ClassifierConfig:
    config = ClassifierConfig(**settings_for(options, ClassifierConfig))
    if config.freeze:
        return config
    how = config.epochs, config.batch, options.n, config.folds
    if options.control == "real":
        return dataclasses.replace(config, updates=updates_of_epochs(*how, ratio_of(options)))
    if config.budget == "updates" and config.updates is None:
        return dataclasses.replace(config, updates=updates_of_epochs(*how, DEFAULT_RATIO))
    return config


def ratio_of(options: TrainClassifier) -> float:
    """Return the number of generated images, or copies, per real training image; 0 for the baseline."""
    if options.aug is None and options.synthetic is None and options.control is None:
        return 0.0
    return DEFAULT_RATIO if options.ratio is None else options.ratio


def _check_together(options: TrainClassifier) -> None:
    """Refuse contradictory options."""
    if options.aug is not None and options.synthetic is not None:
        raise SettingsError("--synthetic names the images outright; leave out --aug.")
    if options.updates is not None and (options.budget == "epochs" or options.freeze):
        why = "a linear head has none" if options.freeze else "--budget epochs lets the images decide"
        raise SettingsError(f"--updates fixes the number of optimiser updates, and {why}: leave it out.")
    if options.control == "real" and (options.budget == "updates" or options.freeze):
        raise SettingsError(
            "With equal updates, or a linear head, the baseline is the control 'real' itself.",
            "Leave out --control and --ratio, or give --budget epochs without --freeze.",
        )
    if options.control == "shuffled" and options.aug is None and options.synthetic is None:
        raise SettingsError("--control shuffled needs generated images: give --aug, or --synthetic DIR.")
    if options.control not in {None, "shuffled"} and (options.aug is not None or options.synthetic is not None):
        raise SettingsError(f"--control {options.control} has no generated images: leave out --aug and --synthetic.")
    if options.aug is None and options.synthetic is None:
        needing = {
            "--ratio": options.ratio if options.control is None else None,
            "--synthetic-only": options.synthetic_only,
            "--strict": options.strict,
            "--select": options.select,
        }
        for option, value in needing.items():
            if value:
                raise SettingsError(f"{option} needs generated images: give --aug, or --synthetic DIR.")
    if options.ratio == 0 and ratio_of(options) == 0 and (options.aug or options.synthetic or options.control):
        raise SettingsError("--ratio 0 adds no images: leave out --aug and --control for the baseline.")
    if options.strict and options.aug is None:
        raise SettingsError("--strict takes one set of generated images a fold: give --aug, not --synthetic.")
