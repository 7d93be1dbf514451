"""Images that a small network tells apart in seconds, and classifiers trained on them without a workspace."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from configs import classifier_config

from usgan_cli.classify.config import ClassifierConfig
from usgan_cli.classify.fold_images import Treatment
from usgan_cli.classify.train import Origin, train_classifier
from usgan_cli.core.formats.classifier import ClassifierRecord, Predictions
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.progress import Silent

CLASSES = ("benign", "malignant", "normal")
FROZEN = classifier_config(backbone="test_efficientnet", weights="none", freeze=True, size=32, folds=3)
TUNED = dataclasses.replace(
    FROZEN, freeze=False, epochs=15, patience=10, batch=8, lr=3e-3, head_lr=1e-2, rotate=5, drop_rate=0.0, folds=2
)


def toy(name: str, count: int, seed: int, size: int = 32) -> ImageSet:
    """Noise with a bright square, a dark square or none; every image a group of its own."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    pixels = rng.normal(110, 15, (count, 1, size, size))
    for i, label in enumerate(labels):
        y, x = rng.integers(4, size - 16, 2)
        pixels[i, 0, y : y + 12, x : x + 12] += (90, -90, 0)[label]
    files = tuple(f"images/{CLASSES[label]}/{name}{i:03}.png" for i, label in enumerate(labels))
    groups = np.arange(count) + 1000 * seed
    return ImageSet(name, pixels.clip(0, 255).astype(np.uint8), labels, CLASSES, files, groups)


REAL, TEST, FAKE = toy("real", 45, 1), toy("test", 30, 2), toy("fake", 90, 3)


def treated(ratio: float = 1, *images: ImageSet, **changes: Any) -> Treatment:
    sets = images or (FAKE,)
    return Treatment("ada", ratio, sets, tuple(f"{i}" * 64 for i in range(len(sets))), **changes)


def train(target: Path, config: ClassifierConfig, ratio: float = 0, n: int = 45, **changes: Any) -> ClassifierRecord:
    target.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {
        "origin": Origin("real" if ratio == 0 else f"ada-x{ratio:g}", n, "a" * 64, "b" * 64),
        "treatment": Treatment() if ratio == 0 else treated(ratio),
        "real": REAL,
        "test": TEST,
        "target": target,
        "progress": Silent(),
        "cache_dir": target.parent / "cache",
    }
    return train_classifier(config, **(settings | changes))


def read(folder: Path) -> tuple[ClassifierRecord, Predictions]:
    return ClassifierRecord.read(folder / "result.json"), Predictions.read(folder / "predictions.csv")
