"""Classifiers of a study's arms, made up from how often they are right about a test image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from usgan_cli.core.formats.classifier import ClassifierRecord, Predictions
from usgan_cli.core.store.workspace import TrainingSet
from usgan_cli.stats.compare import Classified

IMAGES, FOLDS = 30, 3
CLUSTERS = {f"{i:02}.png": min(i, 24) for i in range(IMAGES)}
"""The last six images are copies of one another."""


def trained(arm: TrainingSet, seed: int, accuracy: float, images: Sequence[int] = range(IMAGES)) -> Classified:
    """A classifier whose models are right about an image with probability `accuracy`."""
    rng = np.random.default_rng([seed, *arm.name.encode()])
    right = rng.random((FOLDS, len(images))) < accuracy
    predictions = Predictions(
        fold=np.repeat(np.arange(FOLDS), len(images)),
        part=np.array(["test"] * right.size),
        files=tuple(f"{i:02}.png" for _ in range(FOLDS) for i in images),
        label=np.zeros(right.size, dtype=np.int64),
        probability=np.stack([np.where(right, 0.9, 0.2), np.where(right, 0.1, 0.8)], -1).reshape(-1, 2),
        classes=("a", "b"),
    )
    settings = type("Settings", (), {"budget": "updates", "seed": seed})()
    record = ClassifierRecord.model_construct(
        name=arm.name,
        n=20,
        aug=arm.aug,
        ratio=arm.ratio,
        control=arm.control,
        protocol="standard",
        synthetic_only=arm.synthetic_only,
        select=None,
        settings=settings,
        folds=[None] * FOLDS,
    )
    return Classified(record, predictions)


REAL, COPIES, ADA = TrainingSet(), TrainingSet(None, 1.0, "copies"), TrainingSet("ada", 1.0)
Repeat = tuple[Classified, list[Classified]]


def repeat(seed: int, images: Sequence[int] = range(IMAGES)) -> Repeat:
    others = [trained(COPIES, seed, 0.6, images), trained(ADA, seed, 0.8, images)]
    return trained(REAL, seed, 0.6, images), others
