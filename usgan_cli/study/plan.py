"""A study as a list of the very commands a user would type, in an order in which each finds what it needs."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from usgan_cli.commands.common import StepOptions
from usgan_cli.commands.phantom import Phantom
from usgan_cli.commands.prepare import Prepare
from usgan_cli.commands.report import Report
from usgan_cli.commands.score import DEFAULT_COUNT
from usgan_cli.commands.subsample import Subsample
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.ttest import Ttest
from usgan_cli.core.budget import updates_of_epochs
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.options import narrowed
from usgan_cli.core.store.workspace import BASELINE, SNAPSHOTS, GanName, SplitsKey, TrainingSet, Workspace
from usgan_cli.study.config import PHANTOM, StudyConfig

LEAST_PHANTOM_SIZE = 64
"""Pixels; smaller phantoms are reduced from this size by `prepare`."""


@dataclass(frozen=True)
class PlannedStep:
    """One command of a study."""

    options: StepOptions
    writes: Path
    """The artefact it makes."""
    needs: tuple[Path, ...] = ()
    """Artefacts of earlier steps that it reads."""
    subset: tuple[int, int] | None = None
    """The (n, seed) that it belongs to; None for steps of the whole study."""
    aug: GanName | None = None
    """The GAN that it belongs to."""
    split: int | None = None
    """Seed of the further split that it belongs to; None for the workspace's own."""

    @property
    def command(self) -> str:
        """Its name on the command line."""
        return self.options.COMMAND

    @property
    def line(self) -> str:
        """The command as a shell would take it."""
        return shlex.join(["usgan", *self.options.words()])

    @property
    def label(self) -> str:
        """What is made by which command: "train-gan gans/ada-n100-s0"."""
        return f"{self.command} {self.place}"

    @property
    def place(self) -> str:
        """Where the artefact is, relative to the workspace if it is inside."""
        root = self.options.work if self.split is None else self.options.work.parent.parent
        return (self.writes.relative_to(root) if self.writes.is_relative_to(root) else self.writes).as_posix()


def plan_study(config: StudyConfig, workspace: Workspace) -> list[PlannedStep]:
    """Return the steps of a study in order."""
    plan = _Plan(config, workspace)
    steps = plan.steps()
    if len(config.grid.seeds) > 1:
        steps += [plan.seeds_step(n, steps) for n in config.grid.sizes]
    for split in config.splits[1:]:
        steps += [
            replace(step, split=split) for step in _Plan(config, workspace.split(split), workspace, split).steps()
        ]
    if len(config.splits) > 1:
        steps += [plan.pooled_step(n, steps) for n in config.grid.sizes]
    primary, comparisons = config.analysis.primary, planned_comparisons(steps)
    if primary is not None and primary not in comparisons:
        near = difflib.get_close_matches(primary, comparisons, n=1, cutoff=0.0)
        raise SettingsError(
            f"analysis.primary is {primary!r}, which the study does not compare.", f"Did you mean {near[0]!r}?"
        )
    results = tuple(step.writes for step in steps if step.command in {"score", "ttest"})
    return [*steps, PlannedStep(Report(work=workspace.root), workspace.report, results)]


def planned_comparisons(steps: Sequence[PlannedStep]) -> list[str]:
    """Return every comparison of a plan with a control, over all repeats: "ada-x1 n100"."""
    names = [
        f"{step.writes.name} n{step.subset[0]}"
        for step in steps
        if step.command == TrainClassifier.COMMAND and step.subset is not None and step.writes.name != BASELINE.name
    ]
    return list(dict.fromkeys(names))


def primary_size(config: StudyConfig) -> int | None:
    """Return the size of subsets that a study's primary comparison is about; None if it names none of the study's."""
    primary = config.analysis.primary or ""
    return next((n for n in config.grid.sizes if primary.endswith(f" n{n}")), None)


def _compared(n: int, steps: Sequence[PlannedStep]) -> tuple[Path, ...]:
    """Return all classifiers of one size, and those on real images alone of every size, for the exchange rate."""
    return tuple(
        step.writes
        for step in steps
        if step.command == TrainClassifier.COMMAND
        and step.subset is not None
        and (step.subset[0] == n or step.writes.name == BASELINE.name)
    )


class _Plan:
    """Makes the steps of one study."""

    def __init__(
        self, config: StudyConfig, workspace: Workspace, first: Workspace | None = None, split: int | None = None
    ) -> None:
        """Plan one split: the study's first, or a further one beside the workspace of the `first`."""
        self.config, self.workspace, self.work = config, workspace, workspace.root
        self.first, self.split = first, config.splits[0] if split is None else split

    def steps(self) -> list[PlannedStep]:
        """Return the steps of this split, from data to the comparisons of each subset."""
        steps = self.data_steps()
        for seed in self.config.grid.seeds:
            for n in self.config.grid.sizes:
                steps += self.subset_steps(n, seed)
        return steps

    def data_steps(self) -> list[PlannedStep]:
        """Return the steps up to the subsets."""
        data, workspace = self.config.data, self.workspace
        steps: list[PlannedStep] = []
        source = data.source
        if source == PHANTOM:
            source = (self.first or workspace).root / "phantoms"
            size = max(data.size, LEAST_PHANTOM_SIZE)
            phantom = Phantom(out=source, count=data.phantom_count, size=size, seed=data.seed, work=self.work)
            steps += [PlannedStep(phantom, source)] if self.first is None else []
        prepare = narrowed(data, Prepare).replace(
            source=source, work=self.work, seed=self.split, external=(), external_classes=()
        )
        if len(self.config.splits) > 1:
            prepare = prepare.replace(split="new")
        needs = (source,) if data.source == PHANTOM else ()
        steps += [PlannedStep(prepare, workspace.data, needs), *self._external_steps()]
        return steps + [
            PlannedStep(
                Subsample(n=(n,), seed=seed, work=self.work), workspace.subset(n, seed), (workspace.data,), (n, seed)
            )
            for seed in self.config.grid.seeds
            for n in self.config.grid.sizes
        ]

    def _external_steps(self) -> list[PlannedStep]:
        """Return a step for each external test set, which also looks for copies of this split's training images."""
        data, steps = self.config.data, []
        for one in data.external:
            name = one.partition("=")[0]
            mapped = tuple(text for text in data.external_classes if text.partition(":")[0] == name)
            prepare = Prepare(external=(one,), external_classes=mapped, work=self.work)
            steps.append(PlannedStep(prepare, self.workspace.external(name), (self.workspace.data,)))
        return steps

    def subset_steps(self, n: int, seed: int) -> list[PlannedStep]:
        """Return the steps of one subset: baseline and controls, then each GAN's, then the comparison.

        Controls with copies are planned for every ratio. Shuffled labels, which must not help, are tried for every GAN
        at the largest ratio alone, where they would do most.
        """
        ratios, controls = self.config.grid.ratios, self.config.classifier.chosen_controls
        steps = [self._classifier(n, seed, TrainingSet())]
        for control in controls:
            if control != "shuffled":
                steps += [self._classifier(n, seed, TrainingSet(None, ratio, control)) for ratio in ratios]
        for aug in self.config.grid.gans:
            steps += self._gan_steps(n, seed, aug)
            steps += [self._classifier(n, seed, TrainingSet(aug, ratio)) for ratio in ratios]
            if "shuffled" in controls:
                steps.append(self._classifier(n, seed, TrainingSet(aug, max(ratios), "shuffled")))
        compared = tuple(step.writes for step in steps if step.command == "train-cls")
        ttest = Ttest(n=n, seed=seed, work=self.work)
        return [*steps, PlannedStep(ttest, self.workspace.ttest(n, seed), compared, (n, seed))]

    def seeds_step(self, n: int, steps: Sequence[PlannedStep]) -> PlannedStep:
        """Return the comparison over all seeds of one n."""
        seeds = self.config.grid.seeds
        ttest = Ttest(n=n, seeds=seeds, work=self.work)
        return PlannedStep(ttest, self.workspace.ttest(n, *seeds), _compared(n, steps))

    def pooled_step(self, n: int, steps: Sequence[PlannedStep]) -> PlannedStep:
        """Return the comparison over all splits of one n."""
        seeds, splits = self.config.grid.seeds, self.config.splits
        ttest = Ttest(n=n, seeds=seeds, splits=splits, work=self.work)
        return PlannedStep(ttest, self.workspace.pooled(SplitsKey(n, seeds, splits)), _compared(n, steps))

    def _gan_steps(self, n: int, seed: int, aug: GanName) -> list[PlannedStep]:
        config, workspace = self.config, self.workspace
        gan, images = workspace.gan(aug, n, seed), workspace.synthetic(aug, n, seed)
        used = self._used(n)
        count = config.generate.count or max(config.score.count or DEFAULT_COUNT, used)
        generate = config.generate.replace(aug=aug, n=n, seed=seed, count=count, work=self.work)
        score = config.score.replace(aug=aug, n=n, seed=seed, snapshots=False, work=self.work)
        steps = [
            self._training(n, seed, aug),
            PlannedStep(generate, images, (gan,), (n, seed), aug),
            PlannedStep(score, workspace.score(images.name), (images, workspace.data), (n, seed), aug),
        ]
        if config.score.snapshots:
            snapshots = score.replace(snapshots=True, baselines=False)
            place = workspace.score(gan.name + SNAPSHOTS)
            steps.append(PlannedStep(snapshots, place, (gan, workspace.data), (n, seed), aug))
        for fold in range(config.classifier.folds if config.classifier.strict else 0):
            part = (fold, config.classifier.folds)
            of_fold = workspace.gan(aug, n, seed, part)
            generate = config.generate.replace(gan=of_fold, count=used, work=self.work)
            steps.append(self._training(n, seed, aug, part))
            place = workspace.synthetic(aug, n, seed, part)
            steps.append(PlannedStep(generate, place, (of_fold,), (n, seed), aug))
        return steps

    def _used(self, n: int) -> int:
        """Return the number of generated images from which the largest ratio's are taken, or selected."""
        used = max(round(max(self.config.grid.ratios) * n), 1)
        return 2 * used if self.config.classifier.select is not None else used

    def _training(self, n: int, seed: int, aug: GanName, part: tuple[int, int] | None = None) -> PlannedStep:
        gan, score = self.config.gan_of(aug), self.config.score
        if (gan.fd_every or gan.stop == "auto") and not self.config.names_extractor(aug):
            gan = gan.replace(extractor=score.extractor, weights=gan.weights or score.weights)
        options = gan.replace(aug=aug, n=n, seed=seed, work=self.work)
        if part is not None:
            options = options.replace(fold=part[0], folds=part[1])
        needs = (self.workspace.data, self.workspace.subset(n, seed))
        return PlannedStep(options, self.workspace.gan(aug, n, seed, part), needs, (n, seed), aug)

    def _classifier(self, n: int, seed: int, added: TrainingSet) -> PlannedStep:
        workspace, aug, chosen = self.workspace, added.aug, self.config.classifier
        options = narrowed(chosen, TrainClassifier).replace(n=n, seed=seed, work=self.work, updates=self._updates(n))
        needs = [workspace.data, workspace.subset(n, seed)]
        needs += [workspace.external(one.partition("=")[0]) for one in self.config.data.external]
        if added.name != "real":
            options = options.replace(aug=aug, ratio=added.ratio, control=added.control)
        if aug is None:
            options = options.replace(strict=False, synthetic_only=False, select=None)
        else:
            added = added._replace(synthetic_only=chosen.synthetic_only, strict=chosen.strict, select=chosen.select)
            parts = [(fold, chosen.folds) for fold in range(chosen.folds)] if chosen.strict else [None]
            needs += [workspace.synthetic(aug, n, seed, part) for part in parts]
            if chosen.strict:
                needs += [workspace.gan(aug, n, seed, part) for part in parts]
        return PlannedStep(options, workspace.classifier(n, seed, added), tuple(needs), (n, seed), options.aug)

    def _updates(self, n: int) -> int | None:
        """Return the optimiser updates of every classifier of a size: those of its largest ratio."""
        options = self.config.classifier
        if options.budget == "epochs" or options.freeze:
            return None
        largest = max(self.config.grid.ratios)
        return options.updates or updates_of_epochs(options.epochs, options.batch, n, options.folds, largest)
