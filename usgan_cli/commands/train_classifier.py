"""Options of `usgan train-cls`."""

from __future__ import annotations

from typing import Literal

from usgan_cli.commands.common import (
    RUNNING,
    FromData,
    NamedImages,
    OfGan,
    OnDevice,
    PrecisionName,
    StepOptions,
    ToPlace,
)
from usgan_cli.core.options import option

PROTOCOL, TRAINING = "Beyond the study", "Fine-tuning"


class TrainClassifier(ToPlace, FromData, NamedImages, OfGan, OnDevice, StepOptions):
    """Train one classifier a fold and score each on its validation images and on the test images.

    Without --aug (or --synthetic) this is the baseline: real images alone. Generated images join training folds only.
    An interrupted training goes on from the fold and epoch it had reached.
    """

    COMMAND = "train-cls"

    n: int
    ratio: float | None = option(
        default=None,
        help="Generated images per real training image (default with --aug: 1).",
        least=0,
        recorded=False,
        in_study=False,
    )
    backbone: str = option(default="efficientnet_b2", help="Name of a timm model.", metavar="NAME")
    weights: str = option(
        default="auto",
        help="Pretrained weights: auto (look for them), imagenet (the same), none (random), or a file or folder.",
        metavar="auto|imagenet|none|PATH",
    )
    freeze: bool = option(
        default=False, help="Train a linear head on the frozen backbone's features (minutes on a CPU)."
    )
    size: int | None = option(
        default=None,
        help="Height and width of the network's input (default: the model's).",
        unit="pixels",
        least=16,
    )
    folds: int = option(default=5, help="Folds of the cross-validation.", unit="folds", least=2)
    class_weights: Literal["none", "balanced"] = option(
        default="none", help="Weights of the classes in the loss: none, or balanced (rare ones weigh more)."
    )
    strict: bool = option(
        default=False,
        help="Each fold's generated images come from a GAN that never saw its validation images (train-gan --fold K), "
        "so that validation scores can be trusted without test images.",
        panel=PROTOCOL,
    )
    synthetic_only: bool = option(
        default=False,
        help="Train on generated images alone; validate and test on real ones.",
        panel=PROTOCOL,
    )
    select: Literal["confidence", "distance"] | None = option(
        default=None,
        help="Take the generated images that a linear head of the fold's real images is surest of (confidence), or "
        "those nearest to them (distance), in place of the first ones (default: the first ones).",
        panel=PROTOCOL,
    )
    epochs: int = option(
        default=30, help="Passes over the training images, at most.", panel=TRAINING, unit="epochs", least=1
    )
    patience: int = option(
        default=20,
        help="Epochs without improvement on the validation fold before stopping.",
        panel=TRAINING,
        unit="epochs",
        least=1,
    )
    batch: int = option(default=16, help="Images a step, at most.", panel=TRAINING, unit="images", least=2)
    lr: float = option(default=3e-4, help="Highest learning rate of the pretrained layers.", panel=TRAINING, above=0)
    head_lr: float = option(
        default=3e-3, help="Highest learning rate of the new classifier layer.", panel=TRAINING, above=0
    )
    layer_decay: float = option(
        default=1.0,
        help="Each pretrained block learns at the rate of the block after it times this, 0 to 1.",
        panel=TRAINING,
        above=0,
        most=1,
    )
    head_epochs: int = option(
        default=0,
        help="First stage: epochs in which only the new classifier layer learns.",
        panel=TRAINING,
        unit="epochs",
        least=0,
    )
    label_smoothing: float = option(
        default=0.1, help="Share of the label given to all classes.", panel=TRAINING, least=0, most=1
    )
    jobs: int = option(
        default=1,
        help="Folds trained at the same time, each in its own process: several fit on one GPU, or on a CPU with "
        "OMP_NUM_THREADS=1. The result is the same.",
        panel=TRAINING,
        unit="folds",
        least=1,
        recorded=False,
    )
    precision: PrecisionName = option(
        default="auto",
        help="Arithmetic of the fast layers; auto is bf16 where the device has it.",
        panel=RUNNING,
    )
