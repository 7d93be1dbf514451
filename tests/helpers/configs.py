"""Domains' configurations as the commands' defaults give them, with changes; defaults stand in the commands alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from usgan_cli.classify.config import ClassifierConfig
from usgan_cli.commands.phantom import Phantom
from usgan_cli.commands.prepare import Prepare
from usgan_cli.commands.score import Score
from usgan_cli.commands.train_classifier import TrainClassifier
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.options import settings_for
from usgan_cli.data.phantom import PhantomConfig
from usgan_cli.data.prepare import PrepareConfig
from usgan_cli.data.source.contents import SourceOptions
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.config import make_config as make
from usgan_cli.metrics.config import ScoreConfig

GAN = settings_for(TrainGan(aug="none", n=1), GanConfig) | {"diffaug_policy": ("translation", "cutout")}
CLASSIFIER = settings_for(TrainClassifier(n=1), ClassifierConfig) | {"budget": "epochs"}
SCORE = settings_for(Score(), ScoreConfig)


def make_config(**changes: Any) -> GanConfig:
    return make(**GAN | {"precision": "float32"} | changes)


def classifier_config(**changes: Any) -> ClassifierConfig:
    return ClassifierConfig(**CLASSIFIER | changes)


def score_config(**changes: Any) -> ScoreConfig:
    return ScoreConfig(**SCORE | changes)


def phantom_config(*first: int, **changes: Any) -> PhantomConfig:
    settings = dict(zip(("count", "size", "seed"), first, strict=False)) | changes
    return PhantomConfig(**settings_for(Phantom(out=Path("phantoms"), **settings), PhantomConfig))


def prepare_config(*first: float, reading: SourceOptions | None = None, **changes: Any) -> PrepareConfig:
    settings = {"split": "own"} | dict(zip(("size", "channels", "test", "seed"), first, strict=False)) | changes
    options = Prepare(source=Path("source"), **settings)
    return PrepareConfig(**settings_for(options, PrepareConfig), reading=reading or SourceOptions())
