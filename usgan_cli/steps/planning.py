"""Whether a study's steps would take what its file sets: checked when it is planned, before hours of work.

Loads no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from usgan_cli.commands.common import StepOptions
from usgan_cli.commands.score import Score
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.machine.precision import DeviceKind, device_kind, resolve_precision
from usgan_cli.core.methods import discriminator_of
from usgan_cli.core.options import Options, study_keys
from usgan_cli.core.store.workspace import GanName
from usgan_cli.gan.config import GanConfig, settings_of
from usgan_cli.metrics.config import check_extractor
from usgan_cli.steps.options import resolve_classifier, resolve_gan
from usgan_cli.study.config import StudyConfig
from usgan_cli.study.plan import PlannedStep

CLASSES = 3
"""Classes of a dataset that is not prepared yet; no setting depends on their number."""
NO_FILES = ("auto", "imagenet", "none")
"""What options that name a file of weights may say in its place."""


def check_study(config: StudyConfig, steps: Sequence[PlannedStep], *, elsewhere: bool) -> None:
    """Refuse a study of which some step would refuse its settings.

    `elsewhere` means that steps may run on other machines than this one, whose GPUs are not known here.

    Raises
    ------
    SettingsError
        It names the key, or the table and the key.
    """
    _check_ratios(config)
    with _in_table("score", Score):
        check_extractor(config.score.extractor, config.score.weights)
        _check_device(config.score, elsewhere=elsewhere)
    with _in_table("generate", type(config.generate)):
        _check_count(config)
        _check_device(config.generate, elsewhere=elsewhere)
    with _in_table("classifier", TrainClassifier):
        for step in steps:
            if isinstance(step.options, TrainClassifier):
                resolve_classifier(step.options)
        _check_device(config.classifier, elsewhere=elsewhere)
    _Gans(config, steps, elsewhere=elsewhere).check()
    with _in_table("score", Score):
        _check_snapshots(config)


@contextmanager
def _in_table(table: str, cls: type[Options]) -> Iterator[None]:
    """Name the table of the study's file in the errors of its options."""
    try:
        yield
    except SettingsError as error:
        raise _in_words_of_file(f"[{table}] {error.message}", error.hint, cls) from None


def _in_words_of_file(message: str, hint: str | None, cls: type[Options]) -> SettingsError:
    """Return an error that calls options by their keys in a study's file: pixel_weight for --pixel-weight."""
    keys = {one.flag: key for key, one in study_keys(cls).items()} | {"--size": "data.size", "--ratio": "grid.ratios"}
    texts = [
        text and re.sub(r"--[a-z][a-z0-9-]*", lambda found: keys.get(found[0], found[0]), text)
        for text in (message, hint)
    ]
    return SettingsError(texts[0] or "", texts[1])


def _check_ratios(config: StudyConfig) -> None:
    for n in config.grid.sizes:
        for ratio in config.grid.ratios:
            if round(ratio * n) < 1:
                raise SettingsError(
                    f"grid.ratios: A ratio of {ratio:g} generated images to each of {n} real ones gives no image to "
                    "train on.",
                    f"Use a ratio of {1 / n:.2g} or more.",
                )


def _check_count(config: StudyConfig) -> None:
    """Refuse fewer generated images than the classifiers take; those of the strict protocol have their own."""
    count, choosing = config.generate.count, config.classifier.select is not None
    if count is None or config.classifier.strict:
        return
    n = max(config.grid.sizes)
    needed = round(max(config.grid.ratios) * n)
    if count < needed or (choosing and count == needed):
        need = f"choose {needed} generated ones among more" if choosing else f"need {needed} generated ones"
        raise SettingsError(
            f"count is {count}; the classifiers of {n} real images {need}.",
            f"Set it to {2 * needed if choosing else needed} or more, or leave it out: then enough are made.",
        )


def _check_snapshots(config: StudyConfig) -> None:
    if not config.score.snapshots:
        return
    for aug in config.grid.gans:
        gan = config.gan_of(aug)
        if not gan.fd_every and gan.stop == "limit":
            raise SettingsError(
                f"snapshots is for generators that a training keeps, and gan.fd_every is 0 for the GAN {aug}.",
                "Set gan.fd_every (kimg between the generators that are kept), or leave snapshots out.",
            )


def _check_device(options: Any, *, elsewhere: bool) -> None:
    """Refuse a device that is not there, and a precision that it has not."""
    kind, precision = _kind(options, elsewhere=elsewhere), getattr(options, "precision", "auto")
    if precision != "auto":
        resolve_precision(precision, kind)


def _kind(options: Any, *, elsewhere: bool) -> DeviceKind:
    """Return the kind of a step's device; a GPU where nothing that can be checked here depends on it."""
    if options.device == "cpu":
        return "cpu"
    asks = getattr(options, "precision", "") == "fp16" or getattr(options, "cuda_graphs", "") == "on"
    if elsewhere or (options.device == "auto" and not asks):
        return "cuda"
    return device_kind(options.device)


class _Gans:
    """The GANs of a study, each as it is planned."""

    def __init__(self, config: StudyConfig, steps: Sequence[PlannedStep], *, elsewhere: bool) -> None:
        self.config, self.elsewhere = config, elsewhere
        self.planned: dict[GanName, TrainGan] = {}
        for step in steps:
            if isinstance(step.options, TrainGan) and step.options.aug is not None:
                self.planned.setdefault(step.options.aug, step.options)

    def check(self) -> None:
        """Refuse the first GAN that cannot be trained as set."""
        for aug, options in self.planned.items():
            if (problem := self.problem(options)) is not None:
                raise self.named(aug, options, problem)

    def named(self, aug: GanName, options: TrainGan, problem: SettingsError) -> SettingsError:
        """Return the error with the GAN, the keys that cause it, and other GANs that they fit."""
        own = self.config.gans.get(aug, {})
        keys = self.causes(options, problem)
        places = [f"gan.{aug}.{key}" if key in own else f"gan.{key}" for key in keys]
        as_set = f"with {' and '.join(places)}" if places else "as set"
        hint = problem.hint
        for key in keys:
            fitting = [] if key in own else [f"[gan.{other}]" for other in self.planned if self.fits(other, key)]
            if fitting:
                also = f"Or set {key} in {' or '.join(fitting)}, in place of [gan], which is for every GAN."
                hint = f"{hint} {also}" if hint else also
        message = f"The GAN {aug} cannot be trained {as_set}: {problem.message}"
        return _in_words_of_file(message, hint, TrainGan)

    def causes(self, options: TrainGan, problem: SettingsError) -> list[str]:
        """Return the keys without which the GAN could be trained, or else those without which another is at fault."""
        without = {key: self.problem(_without(options, key)) for key in _set_keys(options)}
        mending = [key for key, other in without.items() if other is None]
        return mending or [key for key, other in without.items() if str(other) != str(problem)]

    def fits(self, aug: GanName, key: str) -> bool:
        """Return whether a GAN can be trained with a key, and differently than without it."""
        options = self.planned[aug]
        try:
            return settings_of(self.resolved(options)) != settings_of(self.resolved(_without(options, key)))
        except SettingsError:
            return False

    def problem(self, options: TrainGan) -> SettingsError | None:
        """Return why a GAN cannot be trained with these options; None if it can."""
        try:
            self.resolved(options)
        except SettingsError as error:
            return error
        return None

    def resolved(self, options: TrainGan) -> GanConfig:
        """Return the configuration of a GAN, in float32 where the device chooses the precision."""
        kind, data = _kind(options, elsewhere=self.elsewhere), self.config.data
        known = options.replace(precision="float32") if options.precision == "auto" else options
        return resolve_gan(known, data.size, int(data.channels), CLASSES, kind)


def _set_keys(options: TrainGan) -> list[str]:
    return [key for key, one in study_keys(TrainGan).items() if getattr(options, one.name) != one.default]


def _without(options: TrainGan, key: str) -> TrainGan:
    one = study_keys(TrainGan)[key]
    return options.replace(**{one.name: one.default})


def absent_file(step: PlannedStep, steps: Sequence[PlannedStep]) -> str | None:
    """Say which file that a step reads is not there, nor made by a step of the plan; None if there is none."""
    for key, path in _files(step.options):
        places = {path.absolute(), *path.absolute().parents}
        if not path.exists() and not any(one.writes.absolute() in places for one in steps):
            return f"{key}: {path} does not exist."
    return None


def _files(options: StepOptions) -> Iterator[tuple[str, Path]]:
    """Yield the files that a file of a study can name for a step, with their keys."""
    if isinstance(options, TrainGan):
        if options.init is not None:
            yield "init", options.init
        judge = discriminator_of(options.aug, options.discriminator)
        if judge == "projected" and options.feature_weights not in NO_FILES:
            yield "feature_weights", Path(options.feature_weights)
        if not options.fd_every and options.stop == "limit":
            return  # a training that measures nothing needs no extractor
    if isinstance(options, TrainGan | Score | TrainClassifier) and options.weights not in {None, *NO_FILES}:
        yield "weights", Path(options.weights or "")
