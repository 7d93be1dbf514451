"""Settings of a classifier's training.

The defaults follow the study's (Maack, Holstein, Schlaefer 2022): an EfficientNet-B2 that was pretrained on
ImageNet, fine-tuned in a stratified 5-fold cross-validation.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from usgan_cli.core.errors import SettingsError

Setting = float | int | str | bool | None

C_GRID: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of the linear head's L2 penalty to choose among, for features of unit variance."""

ONLY_FROZEN = frozenset({"backbone", "weights", "freeze", "size", "folds", "seed"})


@dataclass(frozen=True)
class ClassifierConfig:
    """Everything that decides what a classifier learns, apart from its images."""

    backbone: str = "efficientnet_b2"
    """Name of a timm model."""
    weights: str = "auto"
    """"auto" or "imagenet": pretrained on ImageNet, wherever they are found; "none": random; else a file or folder."""
    freeze: bool = False
    """Leave the backbone as it is, and train a linear head (a logistic regression) on its features alone."""
    size: int | None = None
    """Height and width of the network's input, pixels; None for what the pretrained network was made for."""
    folds: int = 5
    seed: int = 0

    epochs: int = 30
    """Passes over the training images at most; each fold keeps the epoch that its validation images like best."""
    patience: int = 8
    """Epochs without an improvement on the validation images after which a fold ends."""
    batch: int = 16
    """Images per step, at most; an epoch's steps are as equal as they can be."""
    lr: float = 3e-4
    """Highest learning rate of the pretrained layers."""
    head_lr: float = 3e-3
    """Highest learning rate of the new classifier layer."""
    warmup_epochs: float = 1.0
    """Epochs in which the learning rates rise linearly, before they fall to 0 along a cosine."""
    weight_decay: float = 0.01
    """Of AdamW; biases and normalisation layers are left out."""
    label_smoothing: float = 0.1
    drop_rate: float = 0.3
    """Dropout before the classifier layer."""

    flip: bool = True
    """Mirror half of the training images left to right (never top to bottom: depth has a direction in ultrasound)."""
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

    precision: str = "auto"
    """"float32", "bf16" or "fp16", of the network in fine-tuning; "auto": float32 on a CPU, else the fast one."""
    device: str = "auto"


def check_config(config: ClassifierConfig) -> None:
    """Raise a `SettingsError` that names the first impossible setting."""
    least: dict[str, float] = {
        "folds": 2,
        "epochs": 1,
        "patience": 1,
        "batch": 2,
        "weight_decay": 0,
        "warmup_epochs": 0,
    }
    least |= dict.fromkeys(("rotate", "zoom", "shift", "brightness", "contrast"), 0)
    for name, bound in least.items():
        value = getattr(config, name)
        if not (math.isfinite(value) and value >= bound):
            raise SettingsError(f"{name} must be at least {bound:g}; it is {value:g}.")
    for name in ("lr", "head_lr"):
        value = getattr(config, name)
        if not (math.isfinite(value) and value > 0):
            raise SettingsError(f"{name} must be greater than 0; it is {value:g}.")
    for name in ("label_smoothing", "drop_rate"):
        if not 0 <= getattr(config, name) < 1:
            raise SettingsError(f"{name} must be at least 0 and less than 1; it is {getattr(config, name):g}.")
    if config.size is not None and config.size < 16:
        raise SettingsError(f"The network's input must be 16 pixels or more on a side; size is {config.size}.")


def settings_of(config: ClassifierConfig) -> dict[str, Setting]:
    """Return the settings that decide the result, as an artefact records them.

    The device is left out: it does not change what is learned; nor do settings of fine-tuning where the backbone
    is frozen.
    """
    values: dict[str, Setting] = dataclasses.asdict(config)
    del values["device"]
    return {name: value for name, value in values.items() if not config.freeze or name in ONLY_FROZEN}


def training_settings(config: ClassifierConfig, precision: str) -> dict[str, float | int | str | bool]:
    """Return the settings of optimisation and augmentation, as a classifier's record carries them.

    Parameters
    ----------
    config : ClassifierConfig
    precision : {"float32", "bf16", "fp16"}
        What the network was computed in.
    """
    if config.freeze:
        return {"head": "logistic regression", "c_grid": " ".join(f"{c:g}" for c in C_GRID), "precision": precision}
    values = {k: v for k, v in settings_of(config).items() if k not in ONLY_FROZEN | {"epochs"} and v is not None}
    return values | {"optimizer": "AdamW", "precision": precision}
