"""How long the steps of a study will take, from the steps that are done and, where asked, from a short calibration."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from usgan_cli.commands.generate import Generate
from usgan_cli.commands.score import DEFAULT_COUNT, Score
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.errors import UsganError
from usgan_cli.core.formats.generator import read_log
from usgan_cli.core.store.document import RunDocument, read_run
from usgan_cli.study.plan import PlannedStep

Calibrate = Callable[[PlannedStep], float | None]
"""Measures how many seconds a unit of a step's work takes, on a small piece of it; None if it cannot be measured."""


def work_units(step: PlannedStep) -> float:
    """Return how much work a step is, in units that take equally long for all steps of a study of one `kind`."""
    options = step.options
    if isinstance(options, TrainGan):
        return options.kimg or 1.0
    if isinstance(options, Generate | Score):
        return float(options.count or DEFAULT_COUNT)
    if isinstance(options, TrainClassifier) and not options.freeze:
        return options.n * (1 + (options.ratio or 0)) if options.updates is None else options.updates * options.batch
    return 1.0


def kind(step: PlannedStep) -> tuple[str, str]:
    """Return the command and the GAN: steps of one kind take times in proportion to their units."""
    return step.command, step.aug or ""


@dataclass
class Estimator:
    """Seconds a unit of work takes, by kind of step, from what was measured so far."""

    rates: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    calibrated: dict[tuple[str, str], float | None] = field(default_factory=dict)
    calibrate: Calibrate | None = None

    def learn(self, step: PlannedStep, seconds: float) -> None:
        """Learn how long a step took."""
        self.rates.setdefault(kind(step), []).append(seconds / work_units(step))

    def seconds(self, step: PlannedStep) -> float | None:
        """Return how long a step will take; None if nothing like it was measured. Minutes limit a training."""
        measured = self._from_rates(step)
        if not isinstance(step.options, TrainGan) or step.options.minutes is None:
            return measured
        limit = step.options.minutes * 60
        return limit if measured is None else min(limit, measured)

    def _from_rates(self, step: PlannedStep) -> float | None:
        rates = self.rates.get(kind(step)) or [
            rate for (command, _), others in self.rates.items() if command == step.command for rate in others
        ]
        if rates:
            return statistics.median(rates) * work_units(step)
        if self.calibrate is None:
            return None
        if kind(step) not in self.calibrated:
            self.calibrated[kind(step)] = self.calibrate(step)
        rate = self.calibrated[kind(step)]
        return None if rate is None else rate * work_units(step)

    def total(self, steps: Iterable[PlannedStep]) -> tuple[float, int]:
        """Return the seconds of all steps whose length is known, and the number of the others."""
        lengths = [self.seconds(step) for step in steps]
        return sum(value for value in lengths if value is not None), sum(value is None for value in lengths)


def learn_from_records(estimator: Estimator, steps: Iterable[PlannedStep]) -> None:
    """Learn how long finished steps took, from their records."""
    for step in steps:
        try:
            seconds = _spent(step)
        except UsganError:
            continue
        if seconds:
            estimator.learn(step, seconds)


def _spent(step: PlannedStep) -> float | None:
    """Return the seconds that a finished artefact took to make; None if it is not finished."""
    if step.writes.is_file():
        return read_run(step.writes).wall_s
    finished = RunDocument.find(step.writes)
    if finished is None:
        return None
    if step.command == "train-gan" and (rows := read_log(step.writes)):
        # A training may have run in several parts; the record knows only the last.
        return max(finished.run.wall_s, rows[-1].seconds)
    return finished.run.wall_s
