"""Options of `usgan train-cls`."""

from __future__ import annotations

from typing import Literal

from usgan_cli.commands.common import FromData, NamedImages, OfGan, Precise, StepOptions, ToPlace
from usgan_cli.core.budget import Budget
from usgan_cli.core.options import Options, option, selector, technical
from usgan_cli.core.store.workspace import ControlName


class FineTuning(Options, panel="Fine-tuning"):
    """How the pretrained network is fine-tuned."""

    budget: Budget = option(
        "What all compared classifiers have in common: updates (each takes the same number, which nothing shortens; of "
        "a linear head the training images weigh the same in all), or epochs (passes over its own images, as in the "
        "paper: a classifier with more images also takes more updates).",
        default="updates",
    )
    updates: int | None = option(
        "Optimiser updates of each fold, with --budget updates (default: as many as --epochs passes over the real "
        "images and as many generated ones take; in a study, over those of its largest ratio).",
        default=None,
        unit="updates",
        least=1,
    )
    epochs: int = option(
        "Passes over the training images, at most; with --budget updates the parts of the training, each followed by a "
        "validation.",
        default=30,
        unit="epochs",
        least=1,
    )
    patience: int = option(
        "Epochs without improvement on the validation fold before stopping, with --budget epochs.",
        default=20,
        unit="epochs",
        least=1,
    )
    batch: int = option("Images a step, at most.", default=16, unit="images", least=2)
    lr: float = option("Highest learning rate of the pretrained layers.", default=3e-4, above=0)
    head_lr: float = option("Highest learning rate of the new classifier layer.", default=3e-3, above=0)
    layer_decay: float = option(
        "Each pretrained block learns at the rate of the block after it times this, 0 to 1.",
        default=1.0,
        above=0,
        most=1,
    )
    head_epochs: int = option(
        "First stage: epochs in which only the new classifier layer learns.", default=0, unit="epochs", least=0
    )
    label_smoothing: float = option("Share of the label given to all classes.", default=0.1, least=0, most=1)
    jobs: int = technical(
        "Folds trained at the same time, each in its own process: several fit on one GPU, or on a CPU with "
        "OMP_NUM_THREADS=1. The result is the same.",
        default=1,
        unit="folds",
        least=1,
    )


class Beyond(Options, panel="Beyond the study"):
    """What the study did not do."""

    strict: bool = option(
        "Each fold's generated images come from a GAN that never saw its validation images (train-gan --fold K), so "
        "that validation scores can be trusted without test images.",
        default=False,
    )
    synthetic_only: bool = option("Train on generated images alone; validate and test on real ones.", default=False)
    select: Literal["confidence", "distance"] | None = option(
        "Take the generated images that a linear head of the fold's real images is surest of (confidence), or those "
        "nearest to them (distance), in place of the first ones (default: the first ones).",
        default=None,
    )


class TrainClassifier(Beyond, FineTuning, ToPlace, FromData, NamedImages, OfGan, Precise, StepOptions):
    """Train one classifier a fold and score each on its validation images and on the test images.

    Without --aug (or --synthetic) this is the baseline: real images alone. Generated images join training folds only.
    An interrupted training goes on from the fold and epoch it had reached.
    """

    COMMAND = "train-cls"

    n: int
    ratio: float | None = selector(
        "Generated images (or copies) per real training image (default with --aug and --control: 1).",
        default=None,
        least=0,
    )
    control: ControlName | None = selector(
        "Train a control in place of a classifier with generated images: copies (as many further copies of real images "
        "instead), classical (such copies under strong ordinary augmentation), shuffled (the generated images of --aug "
        "under shuffled labels), real (no images, but the updates that they bring; with --budget epochs alone, since "
        "with equal updates the baseline is that).",
        default=None,
    )
    backbone: str = option("Name of a timm model.", default="efficientnet_b2", metavar="NAME")
    weights: str = option(
        "Pretrained weights: auto (look for them), imagenet (the same), none (random), or a file or folder.",
        default="auto",
        metavar="auto|imagenet|none|PATH",
    )
    freeze: bool = option("Train a linear head on the frozen backbone's features (minutes on a CPU).", default=False)
    size: int | None = option(
        "Height and width of the network's input (default: the model's).", default=None, unit="pixels", least=16
    )
    folds: int = option("Folds of the cross-validation.", default=5, unit="folds", least=2)
    class_weights: Literal["none", "balanced"] = option(
        "Weights of the classes in the loss: none, or balanced (rare ones weigh more).", default="none"
    )
