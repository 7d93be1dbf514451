"""Settings of a classifier's training.

The defaults follow the study's (Maack, Holstein, Schlaefer 2022): an EfficientNet-B2 that was pretrained on
ImageNet, fine-tuned in a stratified 5-fold cross-validation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from usgan_cli.core.budget import Budget
from usgan_cli.core.errors import SettingsError

Setting = float | int | str | bool | None

C_GRID: tuple[float, ...] = (1e-2, 1e-1, 1.0)
"""Inverse strengths of the linear head's L2 penalty to choose among, for features of unit variance."""

HEAD_SETTINGS = frozenset({"backbone", "weights", "freeze", "size", "folds", "seed", "class_weights", "flip", "budget"})
"""Settings that also apply to a linear head; the others apply to fine-tuning alone."""
CLASS_WEIGHTS = ("none", "balanced")


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """Everything that decides what a classifier learns, apart from its images.

    The defaults of what train-cls can set are those of the command's options.
    """

    backbone: str
    """Name of a timm model."""
    weights: str
    """"auto" or "imagenet": pretrained on ImageNet (see `find_weights`); "none": random; else a file or folder."""
    freeze: bool
    """Leave the backbone unchanged and train a linear head (a logistic regression) on its features."""
    size: int | None
    """Height and width of the network's input, pixels; None for the size that the network was pretrained at."""
    folds: int
    seed: int

    budget: Budget
    """"epochs": passes over a classifier's own training images, as in the study. "updates": all folds of all
    classifiers take the same number of optimiser updates, which nothing shortens, and each batch is drawn uniformly
    from the classifier's own images; for a linear head, the training images weigh together as much as the real ones
    of the fold alone."""
    updates: int | None
    """Optimiser updates of a fold; None: as many as its epochs take."""
    epochs: int
    """Passes over the training images at most, or the equal parts of a fixed number of updates. Each fold keeps the
    last epoch that its validation images cannot tell from the best one."""
    patience: int
    """Epochs without an improvement on the validation images after which a fold ends; not with a budget of updates."""
    batch: int
    """Images per step. In an epoch that is a pass over the images, at most: its steps are as equal as they can be."""
    lr: float
    """Highest learning rate of the pretrained layers."""
    head_lr: float
    """Highest learning rate of the new classifier layer."""
    layer_decay: float
    """Each block of the pretrained network has the learning rate of the block after it, times this."""
    head_epochs: int
    """First stage: epochs in which the new classifier layer alone is trained; then all layers are."""
    warmup_epochs: float = 1.0
    """Epochs at the start of the second stage in which the rates rise linearly; then they follow a cosine to 0."""
    weight_decay: float = 0.01
    """Of AdamW; not applied to biases and normalisation layers."""
    label_smoothing: float
    class_weights: str
    """"balanced": a class's images weigh more in the loss the fewer there are; "none": all weigh the same."""
    drop_rate: float = 0.3
    """Dropout before the classifier layer."""

    flip: bool = True
    """Mirror half of the training images left to right (never top to bottom: depth has a direction in ultrasound).
    Predictions are the mean over an image and its mirror image; a linear head also learns from both."""
    rotate: float = 10.0
    """Largest rotation of a training image, degrees."""
    zoom: float = 0.1
    """Training images are enlarged or reduced by a factor of at most 1 + zoom."""
    shift: float = 0.05
    """Largest shift of a training image along each axis, as a share of its side."""
    brightness: float = 0.1
    """Largest change of brightness, as a share of the range from black to white."""
    contrast: float = 0.2
    """Contrast is multiplied by at most 1 + contrast, or divided by it."""

    precision: str
    """"float32", "bf16" or "fp16", of the network in fine-tuning; "auto": float32 on a CPU, else the fast one."""
    device: str


RULES: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    ("folds batch", lambda value: value >= 2, "at least 2"),
    ("epochs patience", lambda value: value >= 1, "at least 1"),
    ("weight_decay warmup_epochs head_epochs", lambda value: value >= 0, "at least 0"),
    ("rotate zoom shift brightness contrast", lambda value: value >= 0, "at least 0"),
    ("lr head_lr", lambda value: value > 0, "greater than 0"),
    ("label_smoothing drop_rate", lambda value: 0 <= value < 1, "at least 0 and less than 1"),
    ("layer_decay", lambda value: 0 < value <= 1, "greater than 0 and at most 1"),
)
"""Names of settings, which finite values they may have, and the same in words."""


def check_config(config: ClassifierConfig) -> None:
    """Raise a `SettingsError` that names the first impossible setting."""
    for names, allowed, words in RULES:
        for name in names.split():
            value = getattr(config, name)
            if not (math.isfinite(value) and allowed(value)):
                raise SettingsError(f"{name} must be {words}; it is {value:g}.")
    if config.head_epochs >= config.epochs:
        raise SettingsError(f"head_epochs must be less than epochs ({config.epochs}); it is {config.head_epochs}.")
    if config.updates is not None and config.updates < config.epochs:
        raise SettingsError(
            f"updates must be at least epochs ({config.epochs}), since a network is validated after each of that many "
            f"parts; it is {config.updates}.",
            f"Use more --updates, or --epochs {max(config.updates, 1)}.",
        )
    if config.budget == "updates" and config.updates is None and not config.freeze:
        raise SettingsError("A budget of updates needs their number.", "Give updates.")
    if config.class_weights not in CLASS_WEIGHTS:
        raise SettingsError(f"class_weights must be {' or '.join(CLASS_WEIGHTS)}; it is {config.class_weights!r}.")
    if config.size is not None and config.size < 16:
        raise SettingsError(f"The network's input must be 16 pixels or more on a side; size is {config.size}.")


def settings_of(config: ClassifierConfig) -> dict[str, Setting]:
    """Return the settings that decide the result, as an artefact records them.

    The device is left out, since it does not change what is learned; so are settings of fine-tuning where the
    backbone is frozen.
    """
    values: dict[str, Setting] = dataclasses.asdict(config)
    del values["device"]
    if config.budget == "updates":
        del values["patience"]
    return {name: value for name, value in values.items() if not config.freeze or name in HEAD_SETTINGS}


def training_settings(config: ClassifierConfig, precision: str) -> dict[str, float | int | str | bool]:
    """Return the settings of optimisation and augmentation, as a classifier's record carries them.

    `precision` is the one that the network was computed in, never "auto".
    """
    if config.freeze:
        return {
            "head": "logistic regression",
            "features": "last two stages and head, signed square roots, standardised",
            "flip": config.flip,
            "c_grid": " ".join(f"{c:g}" for c in C_GRID),
            "class_weights": config.class_weights,
            "precision": precision,
        }
    recorded_elsewhere = HEAD_SETTINGS - {"class_weights", "flip"} | {"epochs", "updates"}
    values = {k: v for k, v in settings_of(config).items() if k not in recorded_elsewhere and v is not None}
    schedule = "linear warm-up, then a cosine to 0 at the last epoch"
    return values | {"optimizer": "AdamW", "schedule": schedule, "precision": precision}
