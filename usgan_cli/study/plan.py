"""A study as a list of the very commands a user would type, in an order in which each finds what it needs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from usgan_cli.core.store.workspace import Workspace, setting_name
from usgan_cli.study.config import PHANTOM, StudyConfig

POSITIONAL = frozenset({"source", "out"})
"""Options that stand on the command line without a name."""


@dataclass(frozen=True)
class PlannedStep:
    """One command of a study.

    Attributes
    ----------
    command : str
        Its name on the command line.
    options : dict
        Its options by their names in Python; an option that is None is left at its default.
    writes : Path
        The artefact it makes.
    needs : tuple of Path
        Artefacts of earlier steps that it reads.
    """

    command: str
    options: dict[str, Any]
    writes: Path
    needs: tuple[Path, ...] = ()

    @property
    def subset(self) -> tuple[int, int] | None:
        """The (n, seed) that it belongs to; None for steps of the whole study."""
        n, seed = self.options.get("n"), self.options.get("seed")
        n = n[0] if isinstance(n, list) else n
        return None if n is None or seed is None else (n, seed)

    @property
    def aug(self) -> str | None:
        """The GAN that it belongs to, if any."""
        return self.options.get("aug")

    def label(self, workspace: Workspace) -> str:
        """Return what is made by which command: "train-gan gans/ada-n100-s0"."""
        return f"{self.command} {self.place(workspace)}"

    def place(self, workspace: Workspace) -> str:
        """Return where the artefact is, relative to the workspace where it is in it."""
        inside = self.writes.is_relative_to(workspace.root)
        return (self.writes.relative_to(workspace.root) if inside else self.writes).as_posix()

    def arguments(self, workspace: Workspace) -> list[str]:
        """Return the command line without the program's name."""
        words = [self.command]
        for name, value in self.options.items():
            option = f"--{name.replace('_', '-')}"
            if name in POSITIONAL:
                words.append(str(value))
            elif isinstance(value, bool):
                words += [option] if value else []
            elif isinstance(value, list):
                words += [word for item in value for word in (option, str(item))]
            elif value is not None:
                words += [option, _number(value) if isinstance(value, float) else str(value)]
        return [*words, "--work", str(workspace.root)]

    def line(self, workspace: Workspace) -> str:
        """Return the command as a shell would take it."""
        return shlex.join(["usgan", *self.arguments(workspace)])


def _number(value: float) -> str:
    """Return a number as a person would type it, in as many digits as give the same number back."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def plan_study(config: StudyConfig, workspace: Workspace) -> list[PlannedStep]:
    """Return the steps of a study in order.

    Parameters
    ----------
    config : StudyConfig
    workspace : Workspace
    """
    steps = _data_steps(config, workspace)
    for seed in config.grid.seeds:
        for n in config.grid.sizes:
            steps.append(_classifier_step(config, workspace, n, seed, None, 1.0))
            for aug in config.grid.gans:
                steps += _gan_steps(config, workspace, n, seed, aug)
                steps += [_classifier_step(config, workspace, n, seed, aug, ratio) for ratio in config.grid.ratios]
            compared = tuple(step.writes for step in steps if _of_subset(step, n, seed))
            steps.append(PlannedStep("ttest", {"n": n, "seed": seed}, workspace.ttest(n, seed), compared))
    if len(config.grid.seeds) > 1:
        steps += [_seeds_step(config, workspace, n, steps) for n in config.grid.sizes]
    results = tuple(step.writes for step in steps if step.command in {"score", "ttest"})
    steps.append(PlannedStep("report", {}, workspace.report, results))
    return steps


def _chosen(table: BaseModel, but: AbstractSet[str] = frozenset()) -> dict[str, Any]:
    """Return a table's values that are not the command's own defaults, as a person would type them."""
    return table.model_dump(exclude_defaults=True, exclude=set(but))


def _data_steps(config: StudyConfig, workspace: Workspace) -> list[PlannedStep]:
    data = config.data
    steps: list[PlannedStep] = []
    source = Path(data.source)
    if data.source == PHANTOM:
        source = workspace.root / "phantoms"
        phantom = {"out": source, "count": data.phantom_count, "size": max(data.size, 64), "seed": data.seed}
        steps.append(PlannedStep("phantom", phantom, source))
    own = _chosen(data, {"source", "phantom_count", "size", "test", "seed"})
    prepare = {"source": source, "size": data.size, "test": str(data.test), **own, "seed": data.seed}
    steps.append(PlannedStep("prepare", prepare, workspace.data, tuple(step.writes for step in steps)))
    steps += [
        PlannedStep("subsample", {"n": [n], "seed": seed}, workspace.subset(n, seed), (workspace.data,))
        for seed in config.grid.seeds
        for n in config.grid.sizes
    ]
    return steps


def _gan_steps(config: StudyConfig, workspace: Workspace, n: int, seed: int, aug: str) -> list[PlannedStep]:
    which = {"aug": aug, "n": n, "seed": seed}
    gan, synthetic = workspace.gan(aug, n, seed), workspace.synthetic(aug, n, seed)
    count = max(config.score.count, round(max(config.grid.ratios) * n))
    training = _chosen(config.gan)
    if config.gan.fd_every:
        training["extractor"] = config.score.extractor
    score = {"count": config.score.count, **_chosen(config.score, {"count"})}
    return [
        PlannedStep("train-gan", {**which, **training}, gan, (workspace.data, workspace.subset(n, seed))),
        PlannedStep("generate", {**which, "count": count, **_chosen(config.generate)}, synthetic, (gan,)),
        PlannedStep("score", {**which, **score}, workspace.score(synthetic.name), (synthetic, workspace.data)),
    ]


def _classifier_step(
    config: StudyConfig, workspace: Workspace, n: int, seed: int, aug: str | None, ratio: float
) -> PlannedStep:
    options: dict[str, Any] = {"n": n, "seed": seed, "aug": aug, "ratio": ratio if aug is not None else None}
    needs = [workspace.data, workspace.subset(n, seed)]
    if aug is not None:
        needs.append(workspace.synthetic(aug, n, seed))
    path = workspace.classifiers(n, seed) / setting_name(aug, ratio)
    return PlannedStep("train-cls", {**options, **_chosen(config.classifier)}, path, tuple(needs))


def _seeds_step(config: StudyConfig, workspace: Workspace, n: int, steps: Sequence[PlannedStep]) -> PlannedStep:
    """Return the comparison over all seeds of one n."""
    seeds = config.grid.seeds
    compared = tuple(step.writes for step in steps if any(_of_subset(step, n, seed) for seed in seeds))
    return PlannedStep("ttest", {"n": n, "seeds": list(seeds)}, workspace.ttest(n, *seeds), compared)


def _of_subset(step: PlannedStep, n: int, seed: int) -> bool:
    return step.command == "train-cls" and step.options["n"] == n and step.options["seed"] == seed
