"""Train and test a classifier fold by fold, and record every prediction.

The study's protocol (Maack, Holstein, Schlaefer 2022): a stratified cross-validation over the real images of
the subset; synthetic images join the training sides; every fold's classifier is scored on the same test images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from usgan_cli.classify.config import ClassifierConfig, check_config, training_settings
from usgan_cli.classify.finetune import Labelled, finetune_fold
from usgan_cli.classify.folds import Fold, in_file_order, pick_synthetic, stratified_folds
from usgan_cli.classify.frozen import fit_head, pooled_features
from usgan_cli.classify.models import Backbone, fit_to_input, open_backbone
from usgan_cli.classify.scores import confusion_on_test, part_scores
from usgan_cli.core.datasets import ImageSet
from usgan_cli.core.device import Precision, resolve_device, resolve_precision
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.progress import Progress
from usgan_cli.core.records import ClassifierRecord, ClassifierSettings, FoldScores, Predictions, measured


@dataclass(frozen=True)
class Sets:
    """The images of one classifier.

    Attributes
    ----------
    real, test : ImageSet
        In the order of their file names.
    synthetic : ImageSet or None
        Those that join every fold's training images.
    """

    real: ImageSet
    test: ImageSet
    synthetic: ImageSet | None

    @property
    def synthetic_count(self) -> int:
        """Number of synthetic images, 0 for the baseline."""
        return 0 if self.synthetic is None else len(self.synthetic)

    def training_labels(self, fold: Fold) -> NDArray[np.int64]:
        """Return the labels of a fold's training images: real ones, then synthetic ones."""
        own = self.real.labels[fold.train]
        return own if self.synthetic is None else np.concatenate([own, self.synthetic.labels])


@dataclass(frozen=True)
class FoldOutput:
    """What one fold's classifier came to: its epoch (0 for a linear head) and class probabilities [N, K]."""

    epoch: int
    val: NDArray[np.floating]
    test: NDArray[np.floating]


Learner = Callable[[Fold], FoldOutput]


def train_classifier(
    config: ClassifierConfig,
    *,
    name: str,
    n: int,
    aug: str | None,
    ratio: float,
    real: ImageSet,
    synthetic: ImageSet | None,
    synthetic_digest: str | None,
    test: ImageSet,
    subset_digest: str,
    test_digest: str,
    target: Path,
    progress: Progress,
    cache_dir: Path,
) -> ClassifierRecord:
    """Train one classifier per fold, predict validation and test images, and write the predictions and their scores.

    Parameters
    ----------
    config : ClassifierConfig
    name : str
        What the record is called: "real", "diffaug-x1".
    n : int
        Number of real images.
    aug : str or None
        The GAN behind the synthetic images; None for the baseline.
    ratio : float
        Synthetic per real image; 0 for the baseline.
    real : ImageSet
        The subset's n images.
    synthetic : ImageSet or None
        At least round(ratio n) images in their fixed order; None for the baseline.
    synthetic_digest : str or None
        Content digest of the synthetic set.
    test : ImageSet
    subset_digest, test_digest : str
        Content digests of the subset, and of the dataset whose test images are used.
    target : Path
        An existing folder; `predictions.csv` and `result.json` are written to it.
    progress : Progress
    cache_dir : Path
        Where features of images are kept (with `config.freeze`).

    Raises
    ------
    SettingsError
        A setting is impossible, or the loss is no longer a number.
    DataError
        There are too few images, or their classes do not match.
    WeightsError
        The pretrained weights are absent or do not fit.
    """
    check_config(config)
    sets = _check_sets(n, aug, ratio, real, synthetic, test, progress)
    folds = stratified_folds(sets.real, config.folds, config.seed)
    device = resolve_device(config.device)
    precision = _precision(config, device)
    backbone = open_backbone(config, 0 if config.freeze else len(real.classes), progress)
    if config.freeze:
        learner = _frozen_learner(backbone, sets, cache_dir, device, progress)
    else:
        learner = _finetune_learner(backbone, config, sets, device, precision, progress)

    outputs = [learner(fold) for fold in folds]
    predictions = _predictions(sets, folds, outputs)
    settings = ClassifierSettings(
        backbone=config.backbone,
        weights=backbone.weights,
        freeze=config.freeze,
        size=backbone.size,
        epochs=0 if config.freeze else config.epochs,
        folds=config.folds,
        seed=config.seed,
        subset=subset_digest,
        test=test_digest,
        training=training_settings(config, precision),
    )
    scores = [_fold_scores(predictions, sets, fold, output.epoch) for fold, output in zip(folds, outputs, strict=True)]
    record = ClassifierRecord(
        name=name,
        n=n,
        aug=aug,
        ratio=ratio,
        synthetic=synthetic_digest,
        classes=list(real.classes),
        settings=settings,
        folds=scores,
        confusion=confusion_on_test(predictions),
        test_micro_f1=measured([score.test_micro_f1 for score in scores]),
        val_micro_f1=measured([score.val_micro_f1 for score in scores]),
        test_macro_f1=measured([score.test_macro_f1 for score in scores]),
    )
    predictions.write(target / "predictions.csv")
    record.write(target / "result.json")
    return record


def _check_sets(
    n: int,
    aug: str | None,
    ratio: float,
    real: ImageSet,
    synthetic: ImageSet | None,
    test: ImageSet,
    progress: Progress,
) -> Sets:
    """Check that the sets fit one another, and return them in their fixed order."""
    baseline = aug is None
    if baseline != (synthetic is None) or baseline != (ratio == 0):
        raise SettingsError(
            "The GAN, its images and their ratio belong together.",
            "Give --aug (or --synthetic) and a --ratio greater than 0, or none of them for the baseline.",
        )
    if len(real) != n:
        raise DataError(f"The subset {real.name!r} has {len(real)} images, not {n}.")
    if test.classes != real.classes:
        raise DataError(
            f"The test images have the classes {', '.join(test.classes)}; the subset has {', '.join(real.classes)}."
        )
    for class_, count in test.class_counts().items():
        if count == 0:
            raise DataError(f"There is no test image of the class {class_!r}.", "Prepare the data again: usgan prepare")
    if leaked := len(_contents(real) & _contents(test)):
        progress.warn(
            f"{leaked} of the test images are also in the subset, pixel for pixel: the test scores are too high."
        )
    chosen = None if synthetic is None else pick_synthetic(real, synthetic, ratio)
    if chosen is not None and chosen.pixels.shape[-2:] != real.pixels.shape[-2:]:
        progress.warn(
            f"The generated images have {chosen.pixels.shape[-1]} pixels on a side and the real ones "
            f"{real.pixels.shape[-1]}: the classifier may learn that difference."
        )
    return Sets(in_file_order(real), in_file_order(test), chosen)


def _precision(config: ClassifierConfig, device: torch.device) -> Precision:
    # Depthwise convolutions make bf16 the slower one on a CPU: 60 ms per 128-pixel image and step against 46
    # (EfficientNet-Lite2, one core with AVX-512 bf16).
    slow = config.precision == "auto" and device.type == "cpu"
    return "float32" if config.freeze or slow else resolve_precision(config.precision, device)


def _contents(images: ImageSet) -> set[bytes]:
    return {hashlib.sha256(pixels.tobytes()).digest() for pixels in images.pixels}


def _frozen_learner(
    backbone: Backbone, sets: Sets, cache_dir: Path, device: torch.device, progress: Progress
) -> Learner:
    """Compute all features, and return what fits a linear head to one fold's."""
    listed = [sets.real, sets.test, *([] if sets.synthetic is None else [sets.synthetic])]
    images = torch.cat([fit_to_input(part.pixels, backbone.size) for part in listed])
    features = pooled_features(backbone, images, cache_dir, device, progress)
    real, test, synthetic = np.split(features, np.cumsum([len(sets.real), len(sets.test)]))

    def learn(fold: Fold) -> FoldOutput:
        train = np.concatenate([real[fold.train], synthetic])
        output = fit_head((train, sets.training_labels(fold)), (real[fold.val], sets.real.labels[fold.val]), test)
        return FoldOutput(0, output.val, output.test)

    return learn


def _finetune_learner(
    backbone: Backbone,
    config: ClassifierConfig,
    sets: Sets,
    device: torch.device,
    precision: Precision,
    progress: Progress,
) -> Learner:
    """Return what fine-tunes the network on one fold."""
    real = fit_to_input(sets.real.pixels, backbone.size)
    test = fit_to_input(sets.test.pixels, backbone.size)
    synthetic = real[:0] if sets.synthetic is None else fit_to_input(sets.synthetic.pixels, backbone.size)

    def learn(fold: Fold) -> FoldOutput:
        train = Labelled(torch.cat([real[fold.train], synthetic]), torch.from_numpy(sets.training_labels(fold)))
        val = Labelled(real[fold.val], torch.from_numpy(sets.real.labels[fold.val]))
        output = finetune_fold(
            backbone,
            config,
            fold.index,
            train=train,
            val=val,
            test=test,
            device=device,
            precision=precision,
            progress=progress,
        )
        return FoldOutput(output.epoch, output.val, output.test)

    return learn


def _predictions(sets: Sets, folds: tuple[Fold, ...], outputs: list[FoldOutput]) -> Predictions:
    """Put all folds' predictions in one table: each fold's validation images, then the test images."""
    parts: list[tuple[int, str, ImageSet, NDArray[np.floating]]] = []
    for fold, output in zip(folds, outputs, strict=True):
        parts.append((fold.index, "val", sets.real.take(fold.val), output.val))
        parts.append((fold.index, "test", sets.test, output.test))
    # The file keeps nine digits, which tell any two float32 numbers apart: what is scored is what is written.
    probability = np.concatenate([part[3] for part in parts]).astype(np.float32).astype(np.float64)
    return Predictions(
        fold=np.concatenate([np.full(len(images), fold, dtype=np.int64) for fold, _, images, _ in parts]),
        part=np.concatenate([np.full(len(images), part) for _, part, images, _ in parts]),
        files=tuple(file for _, _, images, _ in parts for file in images.files),
        label=np.concatenate([images.labels for _, _, images, _ in parts]),
        probability=probability,
        classes=sets.real.classes,
    )


def _fold_scores(predictions: Predictions, sets: Sets, fold: Fold, epoch: int) -> FoldScores:
    val = part_scores(predictions, fold.index, "val")
    test = part_scores(predictions, fold.index, "test")
    return FoldScores(
        fold=fold.index,
        train_real=len(fold.train),
        train_synthetic=sets.synthetic_count,
        epoch=epoch,
        val_micro_f1=val.micro_f1,
        val_macro_f1=val.macro_f1,
        test_micro_f1=test.micro_f1,
        test_macro_f1=test.macro_f1,
        test_class_f1=dict(zip(predictions.classes, test.class_f1, strict=True)),
        test_balanced_accuracy=test.balanced_accuracy,
    )
