"""Timing a few steps of what a study will compute, where no earlier step says how long it takes."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from usgan_cli.commands.session import Session
from usgan_cli.core.errors import UsganError

if TYPE_CHECKING:
    from usgan_cli.study.config import StudyConfig
    from usgan_cli.study.estimate import Calibrate
    from usgan_cli.study.plan import PlannedStep

CLASSES = 3
"""Classes of the networks that are timed; their number does not change the speed."""


def calibration(session: Session, config: StudyConfig) -> Calibrate:
    """Return what times a unit of a step's work: a kimg of a training, an image of all epochs and folds."""

    def calibrate(step: PlannedStep) -> float | None:
        tuned = step.command == "train-cls" and not step.options.get("freeze")
        if step.command != "train-gan" and not tuned:
            return None
        session.progress.note(f"Timing a few steps of: {step.line(session.workspace)}")
        try:
            return _classifier(step) if tuned else _gan(step, config)
        except UsganError as error:
            session.progress.warn(f"It cannot be timed: {error.message}")
        return None

    return calibrate


def _gan(step: PlannedStep, config: StudyConfig) -> float:
    from usgan_cli.core.machine import device as devices
    from usgan_cli.gan.calibrate import seconds_per_kimg
    from usgan_cli.gan.config import make_config
    from usgan_cli.study.estimate import work_units

    where = devices.resolve_device("auto")
    known = set(inspect.signature(make_config).parameters)
    options = {name: value for name, value in step.options.items() if name in known and value is not None}
    precision = devices.resolve_precision(options.pop("precision", "auto"), where)
    size, channels = config.data.size, config.data.channels
    made = make_config(**options, resolution=size, img_channels=channels, c_dim=CLASSES, precision=precision)
    limits = [] if made.minutes is None else [made.minutes * 60]
    if made.kimg is not None:
        limits.append(seconds_per_kimg(made, where) * made.kimg)
    return min(limits) / work_units(step)


def _classifier(step: PlannedStep) -> float:
    from usgan_cli.classify.calibrate import seconds_per_image
    from usgan_cli.classify.config import ClassifierConfig

    known = set(inspect.signature(ClassifierConfig).parameters)
    options: dict[str, Any] = {k: v for k, v in step.options.items() if k in known and v is not None}
    made = ClassifierConfig(**options)
    # Each of the folds is left out of one training; a training may end before its last epoch.
    return seconds_per_image(made) * made.epochs * (made.folds - 1)
