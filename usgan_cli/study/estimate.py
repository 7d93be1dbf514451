"""How long the steps of a study will take.

What finished steps took comes first, then a short calibration where it is asked for, then the table of rates of the
machines that were measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from usgan_cli.commands.generate import Generate
from usgan_cli.commands.score import DEFAULT_COUNT, Score
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.errors import UsganError
from usgan_cli.core.formats.generator import read_log
from usgan_cli.core.store.document import RunDocument, read_run
from usgan_cli.core.text import duration, plural
from usgan_cli.study.plan import PlannedStep

Calibrate = Callable[[PlannedStep], float | None]
"""Measures how many seconds a unit of a step's work takes, on a small piece of it; None if it cannot be measured."""
Basis = Literal["finished steps", "calibration", "table", "minutes"]
"""Where an estimate comes from; "minutes": the training's own limit."""
Rates = dict[tuple[str, str], list[float]]
Table = Callable[[PlannedStep], "float | None"]
"""Returns the seconds of a step on a machine that was measured."""


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


@dataclass(frozen=True)
class Estimated:
    """How long a step will take."""

    seconds: float
    basis: Basis


@dataclass
class Estimator:
    """Seconds a unit of work takes, by kind of step, from what was measured so far."""

    rates: Rates = field(default_factory=dict)
    calibrated: dict[tuple[str, str], float | None] = field(default_factory=dict)
    calibrate: Calibrate | None = None
    table: Table | None = None

    def learn(self, step: PlannedStep, seconds: float) -> None:
        """Learn how long a step took."""
        self.rates.setdefault(kind(step), []).append(seconds / work_units(step))

    def seconds(self, step: PlannedStep) -> float | None:
        """Return how long a step will take; None if nothing is known of it."""
        found = self.estimate(step)
        return None if found is None else found.seconds

    def estimate(self, step: PlannedStep) -> Estimated | None:
        """Return how long a step will take, and how that is known. Minutes limit a training."""
        found = self._from_rates(step)
        if not isinstance(step.options, TrainGan) or step.options.minutes is None:
            return found
        limit = Estimated(step.options.minutes * 60, "minutes")
        return limit if found is None or found.seconds >= limit.seconds else found

    def _from_rates(self, step: PlannedStep) -> Estimated | None:
        units = work_units(step)
        if (rate := self._like(step, self.rates)) is not None:
            return Estimated(rate * units, "finished steps")
        if self.calibrate is not None:
            if kind(step) not in self.calibrated:
                self.calibrated[kind(step)] = self.calibrate(step)
            known = {name: [rate] for name, rate in self.calibrated.items() if rate is not None}
            if (rate := self._like(step, known)) is not None:
                return Estimated(rate * units, "calibration")
        seconds = None if self.table is None else self.table(step)
        return None if seconds is None else Estimated(seconds, "table")

    def _like(self, step: PlannedStep, known: Rates) -> float | None:
        """Return the rate of a step's kind, or else what those of other GANs say of it, by the table's proportions."""
        if own := known.get(kind(step)):
            return statistics.median(own)
        others = [
            rate * self._proportion(step, aug)
            for (command, aug), rates in known.items()
            if command == step.command
            for rate in rates
        ]
        return statistics.median(others) if others else None

    def _proportion(self, step: PlannedStep, aug: str) -> float:
        """Return how many times as long a step takes as the same with another GAN (1 where no table says)."""
        options = step.options
        if self.table is None or not isinstance(options, TrainGan) or not aug:
            return 1.0
        other = replace(step, options=options.replace(aug=aug, minutes=None, kimg=options.kimg or 1.0))
        mine = replace(step, options=options.replace(minutes=None, kimg=options.kimg or 1.0))
        times = [self.table(one) for one in (mine, other)]
        return times[0] / times[1] if times[0] and times[1] else 1.0

    def total(self, steps: Iterable[PlannedStep]) -> tuple[float, int]:
        """Return the seconds of all steps whose length is known, and the number of the others."""
        lengths = [self.seconds(step) for step in steps]
        return sum(value for value in lengths if value is not None), sum(value is None for value in lengths)

    def in_words(self, steps: Sequence[PlannedStep]) -> str:
        """Return the length of all steps in words, or nothing unless that of most of them is known."""
        seconds, unknown = self.total(steps)
        if 2 * unknown >= len(steps):
            return ""
        return f"about {duration(seconds)}" + (f" and {plural(unknown, 'step')} of unknown length" if unknown else "")


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
