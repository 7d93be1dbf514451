"""The TOML file of a study: what is compared with what, and how. An unknown key is answered with the nearest known."""

from __future__ import annotations

import difflib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from usgan_cli.core.errors import MissingError, SettingsError

SHIPPED = ("demo", "paper", "smoke")
PHANTOM = "phantom"
HOURS = {
    "phantom": 1.0,
    "prepare": 2.0,
    "subsample": 0.25,
    "train-gan": 48.0,
    "generate": 2.0,
    "score": 2.0,
    "train-cls": 12.0,
    "ttest": 0.25,
    "report": 0.5,
}
"""Longest time of each command on a cluster, hours; the commands are in the order in which they build on another."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataTable(_Table):
    """Where the images come from and how they are split."""

    source: str = PHANTOM
    """A folder of images, or "phantom" for simulated ones."""
    phantom_count: int = Field(default=780, ge=10)
    size: int = 256
    channels: Literal[1, 3] = 1
    fit: str = "stretch"
    test: int | float = 0.359
    split: str | None = None
    seed: int = Field(default=0, ge=0)
    duplicates: str = "group"
    conflicts: str = "keep"
    groups: str | None = None
    classes: str | None = None
    class_level: int | None = None
    frames: str = "first"
    format: str | None = None


class GridTable(_Table):
    """What is crossed with what."""

    sizes: list[int] = Field(min_length=1)
    gans: list[Literal["none", "ada", "diffaug", "ada+diffaug"]] = Field(min_length=1)
    seeds: list[int] = Field(default=[0], min_length=1)
    ratios: list[float] = Field(default=[1.0], min_length=1)

    @model_validator(mode="after")
    def _sensible(self) -> GridTable:
        for name in ("sizes", "gans", "seeds", "ratios"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} lists a value twice")
        if min(self.sizes) < 2 or min(self.ratios) <= 0 or min(self.seeds) < 0:
            raise ValueError("sizes must be 2 or more, ratios greater than 0 and seeds not negative")
        return self


class GanTable(_Table):
    """Options of train-gan; those left out keep the preset's values."""

    preset: str = "auto"
    kimg: float | None = None
    minutes: float | None = None
    batch: int | None = None
    lr: float | None = None
    r1_gamma: float | None = None
    channel_base: int | None = None
    channel_max: int | None = None
    ema_kimg: float | None = None
    mirror: bool = False
    ada_ops: str = "bg"
    ada_fill: float | None = None
    ada_target: float = 0.6
    ada_kimg: float = 500.0
    policy: str = "translation,cutout"
    diffaug_fill: float = 0.0
    precision: str = "auto"
    gpus: int = Field(default=1, ge=1)
    save_minutes: float = 10.0
    fd_every: float = 0


class GenerateTable(_Table):
    """Options of generate; the number of images follows from the ratios and from score's count."""

    truncation: float = 1.0
    noise: str = "random"
    precision: str = "float32"


class ScoreTable(_Table):
    """Options of score."""

    extractor: str = "inception"
    count: int = Field(default=500, ge=2)
    ssim_pairs: int = Field(default=1000, ge=1)
    repeats: int = Field(default=100, ge=2)


class ClassifierTable(_Table):
    """Options of train-cls; those left out keep the command's values."""

    backbone: str = "efficientnet_b2"
    weights: str = "auto"
    freeze: bool = False
    folds: int = Field(default=5, ge=2)
    size: int | None = None
    class_weights: str | None = None
    epochs: int | None = None
    patience: int | None = None
    batch: int | None = None
    lr: float | None = None
    head_lr: float | None = None
    layer_decay: float | None = None
    head_epochs: int | None = None
    label_smoothing: float | None = None


class RunTable(_Table):
    """How steps are carried out; of this only the number of threads can change a result, in its last digits."""

    threads: int | None = Field(default=None, ge=1)
    """Processor threads of every step; None for all of the machine's. Equal numbers give equal bytes."""


class ClusterTable(_Table):
    """What a cluster is asked for, with `--engine snakemake`."""

    gpus: int = Field(default=1, ge=0)
    """GPUs of every step that computes with networks; a training asks for `gan.gpus` where that is more."""
    cpus: int = Field(default=4, ge=1)
    """Processor cores of every step, where `run.threads` does not say."""
    mem_gb: float = Field(default=16, gt=0)
    retries: int = Field(default=1, ge=0)
    """How often a step that failed is tried again."""
    program: str | None = None
    """How a job calls the program ("usgan"); by default by the very Python that started the study."""
    hours: dict[str, float] = {}
    """Longest time of a step by its command; the others have the values of `HOURS`."""

    @model_validator(mode="after")
    def _known(self) -> ClusterTable:
        for command, hours in self.hours.items():
            if command not in HOURS:
                near = difflib.get_close_matches(command, HOURS, n=1)
                raise ValueError(
                    f"hours names {command!r}, which is no step (did you mean {(near or list(HOURS))[0]!r}?)"
                )
            if hours <= 0:
                raise ValueError(f"hours of {command} must be greater than 0")
        return self


class StudyConfig(_Table):
    """A whole study."""

    name: str
    data: DataTable = DataTable()
    grid: GridTable
    gan: GanTable = GanTable()
    generate: GenerateTable = GenerateTable()
    score: ScoreTable = ScoreTable()
    classifier: ClassifierTable = ClassifierTable()
    run: RunTable = RunTable()
    cluster: ClusterTable = ClusterTable()


def study_text(name_or_file: str) -> str:
    """Return the TOML text of a shipped study ("paper", "demo", "smoke") or of a file.

    Raises
    ------
    MissingError
        There is neither a shipped study nor a file of that name.
    """
    if name_or_file in SHIPPED:
        return (resources.files("usgan_cli.study") / "presets" / f"{name_or_file}.toml").read_text(encoding="utf-8")
    path = Path(name_or_file)
    if not path.is_file():
        raise MissingError(
            f"There is no study called {name_or_file!r} and no file of that name.",
            f"Shipped studies: {', '.join(SHIPPED)}. To begin your own: usgan study --print paper > my.toml",
        )
    return path.read_text(encoding="utf-8")


def load_study(name_or_file: str) -> StudyConfig:
    """Read and validate a study (see `study_text`).

    Raises
    ------
    SettingsError
        The text is not TOML, a key is unknown, or a value is impossible.
    """
    try:
        body = tomllib.loads(study_text(name_or_file))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name_or_file} is not valid TOML: {error}.") from None
    try:
        return StudyConfig.model_validate(body)
    except ValidationError as error:
        raise SettingsError(f"{name_or_file}: {_explain(error.errors()[0])}") from None


def _explain(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{where or 'the file'}: {problem['msg']}."
    *tables, key = [str(part) for part in problem["loc"]]
    known = list(_fields(StudyConfig, tables))
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}."
    return f"there is no key {where!r}; {meant}"


def _fields(model: type[BaseModel], tables: list[str]) -> list[str]:
    for table in tables:
        annotation = model.model_fields[table].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)
