"""The TOML file of a study: what is compared with what, and how. An unknown key is answered with the nearest known.

The tables `data`, `gan`, `generate`, `score` and `classifier` have the options of prepare, train-gan, generate, score
and train-cls as keys, but for those that the grid decides. A table `gan.best` has those of one GAN of the grid, which
stand above those of `gan`.
"""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from usgan_cli.commands.generate import Generate
from usgan_cli.commands.phantom import Phantom
from usgan_cli.commands.prepare import Prepare
from usgan_cli.commands.report import DEFAULT_MARGIN
from usgan_cli.commands.score import Score
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.errors import MissingError, SettingsError
from usgan_cli.core.options import (
    OptionError,
    Options,
    check_keys,
    from_table,
    option,
    options_of,
    study_keys,
    to_table,
)
from usgan_cli.core.store.workspace import ControlName, GanName

SHIPPED = ("demo", "laptop", "workstation", "cluster", "paper", "smoke")
PHANTOM = Path("phantom")
"""The source that means simulated images."""


class Data(Prepare):
    """Where the images come from and how they are prepared."""

    source: Path = option(
        'A folder, .zip or CSV file of images, a MedMNIST .npz, or "phantom" for simulated ones.', default=PHANTOM
    )
    phantom_count: int = option(
        "Number of simulated images.", default=Phantom(out=PHANTOM).count, unit="images", least=10
    )


class Grid(Options):
    """What is crossed with what."""

    sizes: tuple[int, ...] = option("Sizes of the training subsets.", unit="images", least=2)
    gans: tuple[GanName, ...] = option("The GANs to compare.")
    seeds: tuple[int, ...] = option("Repeats of the whole grid; one gives no verdict.", default=(0, 1, 2), least=0)
    splits: tuple[int, ...] | None = option(
        "Seeds of several splits into training and test images, each with all of the grid; a verdict then holds for "
        "other splits too, and each split, its repeats averaged, counts as one repeat (default: data.seed alone).",
        default=None,
        least=0,
    )
    ratios: tuple[float, ...] = option("Generated images per real training image.", default=(1.0,), above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for one in options_of(type(self)):
            values = getattr(self, one.name)
            if values is None:
                continue
            if not values:
                raise OptionError(one, "is empty.")
            if len(set(values)) != len(values):
                raise OptionError(one, "lists a value twice.")


class Classifiers(TrainClassifier):
    """How classifiers are trained, and which controls are trained with those on generated images."""

    controls: tuple[ControlName, ...] | None = option(
        "Controls beside the classifiers with generated images (default: all that differ from the baseline; with "
        'budget = "epochs", the paper\'s protocol, none).',
        default=None,
    )

    @property
    def chosen_controls(self) -> tuple[ControlName, ...]:
        """The controls that are trained: "real" only where it differs from the baseline, which is not trained twice."""
        default = () if self.budget == "epochs" else typing.get_args(ControlName)
        chosen: tuple[ControlName, ...] = default if self.controls is None else self.controls
        same_as_baseline = self.budget == "updates" or self.freeze
        return tuple(name for name in chosen if not (name == "real" and same_as_baseline))


class Analysis(Options):
    """What is declared before there are results."""

    margin: float = option(
        "Differences of accuracy within ± this are of no consequence.", default=DEFAULT_MARGIN, unit="points", above=0
    )
    primary: str | None = option(
        'The comparison that matters most, such as "ada-x1 n100": its verdict is the headline, and it has half of the '
        "5 % (default: none, all are equal).",
        default=None,
    )


class Run(Options):
    """How steps are carried out; of this only the number of threads can change a result, in its last digits."""

    threads: int | None = option(
        "Processor threads of every step (default: all of the machine's). Equal numbers give equal bytes.",
        default=None,
        least=1,
    )


class Cluster(Options):
    """What jobs ask for, with `--engine snakemake`."""

    gpus: int = option(
        "GPUs of every step that computes with networks; a training asks for gan.gpus if that is more.",
        default=1,
        least=0,
    )
    cpus: int = option("Processor cores of every step, unless run.threads gives them.", default=4, least=1)
    mem_gb: float = option("Memory of every step.", default=16.0, unit="GB", above=0)
    retries: int = option("How often a step that failed is tried again.", default=1, least=0)
    program: str | None = option(
        'How a job calls the program ("usgan"; default: the Python that started the study).', default=None
    )


class Hours(Options):
    """Longest time of each command on a cluster, hours; in the order in which they run."""

    phantom: float = option("phantom.", default=1.0, above=0)
    prepare: float = option("prepare.", default=2.0, above=0)
    subsample: float = option("subsample.", default=0.25, above=0)
    train_gan: float = option("train-gan.", default=48.0, above=0, flag="train-gan")
    generate: float = option("generate.", default=2.0, above=0)
    score: float = option("score.", default=2.0, above=0)
    train_cls: float = option("train-cls.", default=12.0, above=0, flag="train-cls")
    ttest: float = option("ttest.", default=0.25, above=0)
    report: float = option("report.", default=0.5, above=0)

    def of(self, command: str) -> float:
        """Return the hours of a command."""
        hours: float = getattr(self, command.replace("-", "_"))
        return hours


STEP_ORDER = tuple(one.key for one in options_of(Hours))
"""The commands of a study in the order in which they run."""


@dataclass(frozen=True)
class StudyConfig:
    """A whole study. Where a table holds a command's options, the plan sets those that the grid decides."""

    name: str
    data: Data
    grid: Grid
    gan: TrainGan
    generate: Generate
    score: Score
    classifier: Classifiers
    analysis: Analysis
    run: Run
    cluster: Cluster
    hours: Hours
    gans: Mapping[GanName, Mapping[str, Any]] = field(default_factory=dict)
    """Keys of the tables `gan.NAME`, by GAN."""
    gan_extractor: str | None = None
    """The extractor that the table `gan` names, even where it is the default; None if it names none."""

    def gan_of(self, aug: GanName) -> TrainGan:
        """Return the settings of one GAN: those of `gan`, and above them those of its own table."""
        table = to_table(self.gan) | dict(self.gans.get(aug, {}))
        return from_table(TrainGan, table, f"gan.{aug}", **DECIDED_BY_GRID["gan"])

    def names_extractor(self, aug: GanName) -> bool:
        """Return whether the study names the extractor by which a GAN is measured while it is trained."""
        return self.gan_extractor is not None or "extractor" in self.gans.get(aug, {})

    @property
    def gpus(self) -> int:
        """The most GPUs that a training asks for."""
        return max(self.gan_of(aug).gpus for aug in self.grid.gans)

    @property
    def splits(self) -> tuple[int, ...]:
        """The seeds of the splits; the first split is the workspace's own."""
        return self.grid.splits or (self.data.seed,)


TABLES: dict[str, type[Options]] = {
    "data": Data,
    "grid": Grid,
    "gan": TrainGan,
    "generate": Generate,
    "score": Score,
    "classifier": Classifiers,
    "analysis": Analysis,
    "run": Run,
    "cluster": Cluster,
}
DECIDED_BY_GRID: dict[str, dict[str, Any]] = {"gan": {"aug": "none", "n": 1}, "classifier": {"n": 1}}
"""Stand-ins for required options that the plan sets for each step."""


def parse_study(body: Mapping[str, Any]) -> StudyConfig:
    """Return the study that the body of a TOML file describes."""
    check_keys(body, ["name", *TABLES], "")
    if not isinstance(body.get("name"), str):
        raise SettingsError("the key 'name' is missing, or is not text.")
    given = {name: dict(_table(body, name)) for name in TABLES}
    hours = given["cluster"].pop("hours", {})
    gans = {key: given["gan"].pop(key) for key in typing.get_args(GanName) if key in given["gan"]}
    made: dict[str, Any] = {
        name: from_table(cls, given[name], name, **DECIDED_BY_GRID.get(name, {})) for name, cls in TABLES.items()
    }
    own: dict[str, Any] = {"gans": gans, "gan_extractor": given["gan"].get("extractor")}
    config = StudyConfig(name=body["name"], hours=from_table(Hours, hours, "cluster.hours"), **own, **made)
    _check_gans(config)
    _check_splits(config)
    _check_external(config.data)
    return config


def _check_gans(config: StudyConfig) -> None:
    for aug, table in config.gans.items():
        check_keys(table, study_keys(TrainGan), f"gan.{aug}")
        if aug not in config.grid.gans:
            raise SettingsError(f"The table gan.{aug} is for a GAN that grid.gans does not name.")
        if "device" in table:
            raise SettingsError(f"gan.{aug}.device: a study has one device for all GANs; set gan.device.")
        config.gan_of(aug)


def _check_external(data: Data) -> None:
    """Refuse classes of external test sets that are none, before there are hours of work."""
    names = [one.partition("=")[0] for one in data.external]
    for text in data.external_classes:
        if (name := text.partition(":")[0]) not in names:
            raise SettingsError(f"data.external_classes is for {name!r}, which data.external does not name.")


def _check_splits(config: StudyConfig) -> None:
    if config.grid.splits is None:
        return
    if "seed" in to_table(config.data) and config.data.seed != config.grid.splits[0]:
        raise SettingsError("data.seed and grid.splits both name the seed of the split; leave out data.seed.")
    if config.data.split == "own":
        raise SettingsError('grid.splits draws splits, and data.split = "own" keeps the source\'s; leave one out.')


def _table(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table: Mapping[str, Any] = body.get(name, {})
    check_keys(table, table, name)
    return table


def study_body(config: StudyConfig) -> dict[str, Any]:
    """Return what `parse_study` reads: every key that is not the command's default, or that means more than it."""
    body: dict[str, Any] = {name: to_table(getattr(config, name)) for name in TABLES}
    body["gan"] |= {} if config.gan_extractor is None else {"extractor": config.gan_extractor}
    body["gan"] |= {aug: dict(table) for aug, table in config.gans.items()}
    body["cluster"] |= {"hours": to_table(config.hours)}
    return {"name": config.name, **body}


def study_text(name_or_file: str) -> str:
    """Return the TOML text of a shipped study (one of `SHIPPED`) or of a file."""
    if name_or_file in SHIPPED:
        return (resources.files("usgan_cli.study") / "presets" / f"{name_or_file}.toml").read_text(encoding="utf-8")
    path = Path(name_or_file)
    if not path.is_file():
        raise MissingError(
            f"There is no study called {name_or_file!r} and no file of that name.",
            f"Shipped studies: {', '.join(SHIPPED)}. To begin your own: usgan study --print laptop > my.toml",
        )
    return path.read_text(encoding="utf-8")


def load_study(name_or_file: str) -> StudyConfig:
    """Read and validate a study (see `study_text`)."""
    try:
        body = tomllib.loads(study_text(name_or_file))
    except ValueError as error:  # not UTF-8, not TOML, or a number of thousands of digits
        raise SettingsError(f"{name_or_file} is not valid TOML: {error}.") from None
    except RecursionError:
        raise SettingsError(f"{name_or_file} is nested too deeply.") from None
    try:
        return parse_study(body)
    except SettingsError as error:
        raise SettingsError(f"{name_or_file}: {error.message}", error.hint) from None
