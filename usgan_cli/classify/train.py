"""Train and test a classifier fold by fold, and record every prediction.

The study's protocol (Maack, Holstein, Schlaefer 2022): a stratified cross-validation over the real images of
the subset; synthetic images join the training sides; every fold's classifier is scored on the same test images.
Each fold is written whole when it is finished, and an interrupted run continues from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from usgan_cli.classify.config import ClassifierConfig, check_config, training_settings
from usgan_cli.classify.external import External
from usgan_cli.classify.finetune import LabelledImages, finetune_fold
from usgan_cli.classify.fold_files import read_fold, state_path, write_fold
from usgan_cli.classify.fold_images import ClassifierImages, FoldImages, Treatment, assign_images, preference
from usgan_cli.classify.folds import Indices, in_file_order
from usgan_cli.classify.head import fit_heads, pooled_features
from usgan_cli.classify.models import Backbone, fit_to_input, open_backbone
from usgan_cli.classify.scores import FoldPredictions, TrainingEffort
from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.classifier import (
    ClassifierRecord,
    ClassifierSettings,
    ExternalSummary,
    FoldRecord,
    FoldScores,
    Predictions,
)
from usgan_cli.core.formats.measured import Measured, measured
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine.device import resolve_device
from usgan_cli.core.machine.precision import Precision, resolve_precision
from usgan_cli.core.progress import Progress, Silent

SUMMARISED = [name for name, field in ClassifierRecord.model_fields.items() if field.annotation is Measured]
"""Scores of the folds whose mean and spread a classifier's record states."""


@dataclass(frozen=True)
class Origin:
    """Where a classifier's images come from, as its record states it."""

    name: str
    """Of the classifier: "real", "diffaug-x1"."""
    n: int
    """Number of real images."""
    subset_digest: str
    test_digest: str
    """Content digest of the dataset whose test images are used."""
    own_split: bool = False
    """Whether the test images are those that the source came with, where copies of training images may be."""


def train_classifier(
    config: ClassifierConfig,
    *,
    origin: Origin,
    treatment: Treatment,
    real: ImageSet,
    test: ImageSet,
    target: Path,
    progress: Progress,
    cache_dir: Path,
    jobs: int = 1,
    external: Sequence[External] = (),
) -> ClassifierRecord:
    """Train one classifier per fold, predict validation and test images, and write the predictions and their scores.

    `predictions.csv`, `result.json` and one record a fold in `folds/` are written to `target`, an existing folder;
    folds that are finished already are kept. Features of images are kept in `cache_dir` (with `config.freeze` or
    `treatment.select`). `external` are further sets of test images, which decide nothing; their predictions go to
    `external.csv`. `jobs` folds are fine-tuned at the same time, each in its own process; the result does not
    depend on their number.
    """
    check_config(config)
    if jobs < 1:
        raise SettingsError(f"jobs must be at least 1; it is {jobs}.")
    device = resolve_device(config.device)
    precision = _precision(config, device)
    features = _Features(config, cache_dir, device, progress)

    def prefer(side: ImageSet, candidates: ImageSet) -> Indices:
        assert treatment.select is not None
        real_features, synthetic_features = features.of(side, candidates)
        return preference(treatment.select, (real_features, side.labels), (synthetic_features, candidates.labels))

    images = assign_images(config, origin.n, treatment, real, test, progress, prefer, own_split=origin.own_split)
    images = replace(images, external=tuple(_checked(one.images, images.real) for one in external))
    todo = [fold for fold in images.folds if read_fold(target, images, fold) is None]
    backbone = features.backbone if config.freeze else open_backbone(config, len(real.classes), progress)
    if todo and config.freeze:
        _fit_folds(features, config, images, todo, target)
    elif todo:
        fold_jobs = [FinetuneJob(config, images, fold, target, precision) for fold in todo]
        _finetune_folds(fold_jobs, backbone, device, progress, jobs)

    finished = [fold for fold in (read_fold(target, images, one) for one in images.folds) if fold is not None]
    assert len(finished) == config.folds
    settings = ClassifierSettings(
        backbone=config.backbone,
        weights=backbone.weights,
        freeze=config.freeze,
        size=backbone.size,
        budget=config.budget,
        epochs=0 if config.freeze else config.epochs,
        updates=config.updates if config.budget == "updates" and not config.freeze else None,
        folds=config.folds,
        seed=config.seed,
        subset=origin.subset_digest,
        test=origin.test_digest,
        training=training_settings(config, precision),
    )
    record = _record(origin, treatment, real.classes, settings, [one.record for one in finished], external)
    Predictions.joined([one.predictions for one in finished]).write(target / Predictions.FILE)
    if outside := [one.external for one in finished if one.external is not None]:
        Predictions.joined(outside).write(target / Predictions.EXTERNAL)
    record.write(target / ClassifierRecord.FILE)
    return record


class _Features:
    """Pooled features of images by the frozen backbone, which is loaded when it is first needed."""

    def __init__(self, config: ClassifierConfig, cache_dir: Path, device: torch.device, progress: Progress) -> None:
        self.config, self.cache_dir, self.device, self.progress = config, cache_dir, device, progress

    @cached_property
    def backbone(self) -> Backbone:
        """The network without a classifier."""
        return open_backbone(replace(self.config, freeze=True), 0, self.progress)

    def of(self, *sets: ImageSet) -> list[NDArray[np.float32]]:
        """Return the features [N, V, D] of each set's images: unchanged and, with `config.flip`, mirrored."""
        images = torch.cat([fit_to_input(part.pixels, self.backbone.size) for part in sets])
        views = torch.cat([images, images.flip(-1)]) if self.config.flip else images
        by_view = pooled_features(self.backbone, views, self.cache_dir, self.device, self.progress)
        by_image = by_view.reshape(-1, len(images), by_view.shape[-1]).swapaxes(0, 1)
        return np.split(by_image, np.cumsum([len(part) for part in sets])[:-1])


def _fit_folds(
    features: _Features, config: ClassifierConfig, images: ClassifierImages, todo: Sequence[FoldImages], target: Path
) -> None:
    """Fit a linear head to every fold's features, and write the folds that are not finished."""
    distinct = {id(fold.synthetic): fold.synthetic for fold in images.folds if fold.synthetic is not None}
    real, test, *others = features.of(images.real, images.test, *distinct.values())
    synthetic = dict(zip(distinct, others, strict=True))
    train = [
        (np.concatenate([real[fold.train], synthetic.get(id(fold.synthetic), real[:0])]), images.training_labels(fold))
        for fold in images.folds
    ]
    val = [(real[fold.val], images.real.labels[fold.val]) for fold in images.folds]
    # With equal weights in all, a classifier with more images is not one that was trained more.
    outside = [features.of(one)[0] for one in images.external]
    sizes = [len(labels) for _, labels in train]
    totals = [len(images.real) - len(fold.val) for fold in images.folds] if config.budget == "updates" else sizes
    heads, c = fit_heads(train, val, config.class_weights, totals)
    for fold in todo:
        head, own = heads[fold.index], val[fold.index][0]
        effort = TrainingEffort(data_weight=totals[fold.index])
        predicted = FoldPredictions(
            effort,
            c,
            val=head.probability(own, c),
            test=head.probability(test, c),
            external=tuple(head.probability(one, c) for one in outside),
        )
        write_fold(target, images, fold, predicted)


@dataclass(frozen=True)
class FinetuneJob:
    """One fold to fine-tune, with everything that another process needs for it."""

    config: ClassifierConfig
    images: ClassifierImages
    fold: FoldImages
    target: Path
    precision: Precision

    def run(self, backbone: Backbone, device: torch.device, progress: Progress) -> None:
        """Fine-tune the network on this fold, from the last saved state of an interrupted run, and write the fold."""
        real, fold, size = self.images.real, self.fold, backbone.size
        train = [fit_to_input(real.pixels[fold.train], size)]
        if fold.synthetic is not None:
            train.append(fit_to_input(fold.synthetic.pixels, size))
        labels = torch.from_numpy(self.images.training_labels(fold))
        strongly = torch.arange(len(labels)) >= len(fold.train)  # what was added to the real images
        predicted = finetune_fold(
            backbone,
            self.config,
            fold.index,
            train=LabelledImages(torch.cat(train), labels, strongly if fold.strongly else None),
            val=LabelledImages(fit_to_input(real.pixels[fold.val], size), torch.from_numpy(real.labels[fold.val])),
            test=fit_to_input(self.images.test.pixels, size),
            device=device,
            precision=self.precision,
            progress=progress,
            state_file=state_path(self.target, fold.index),
            external=[fit_to_input(one.pixels, size) for one in self.images.external],
        )
        write_fold(self.target, self.images, fold, predicted)


def _finetune_folds(
    jobs: Sequence[FinetuneJob], backbone: Backbone, device: torch.device, progress: Progress, at_once: int
) -> None:
    """Fine-tune folds one after another, or several at once in their own processes."""
    if at_once == 1 or len(jobs) == 1:
        for job in jobs:
            job.run(backbone, device, progress)
        return
    threads = torch.get_num_threads()
    with (
        ProcessPoolExecutor(min(at_once, len(jobs)), mp_context=get_context("spawn")) as pool,
        progress.task("Folds", len(jobs), "folds") as task,
    ):
        running = [pool.submit(_run_job, job, threads) for job in jobs]
        try:
            for done in as_completed(running):
                done.result()
                task.advance(1)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run_job(job: FinetuneJob, threads: int) -> None:
    """Run a job in a child process, with as many threads as its parent so that the result is the same."""
    torch.set_num_threads(threads)
    device = resolve_device(job.config.device)
    job.run(open_backbone(job.config, len(job.images.real.classes), Silent()), device, Silent())


def _record(
    origin: Origin,
    treatment: Treatment,
    classes: Sequence[str],
    settings: ClassifierSettings,
    folds: list[FoldRecord],
    external: Sequence[External],
) -> ClassifierRecord:
    scores = [fold.scores for fold in folds]
    return ClassifierRecord(
        name=origin.name,
        n=origin.n,
        aug=treatment.aug,
        ratio=treatment.ratio,
        control=treatment.control,
        synthetic=treatment.digest,
        protocol=treatment.protocol,
        synthetic_only=treatment.synthetic_only,
        select=treatment.select,
        classes=list(classes),
        settings=settings,
        c=folds[0].c,
        folds=scores,
        external={one.images.name: _summary(one, scores) for one in external},
        confusion=np.sum([fold.test_confusion for fold in scores], axis=0).tolist(),
        **{name: measured([getattr(fold, name) for fold in scores]) for name in SUMMARISED},
    )


def _checked(images: ImageSet, real: ImageSet) -> ImageSet:
    """Return an external test set in the order of its files, if its classes and channels are the real images'."""
    if images.classes != real.classes or images.pixels.shape[1] != real.pixels.shape[1]:
        raise DataError(
            f"The external test set {images.name} is not of the dataset's classes and channels.",
            f"Prepare it again: usgan prepare --external {images.name}=DIR --force",
        )
    return in_file_order(images)


def _summary(external: External, scores: list[FoldScores]) -> ExternalSummary:
    own = [fold.external[external.images.name] for fold in scores]
    return ExternalSummary(
        digest=external.digest,
        images=len(external.images),
        missing=[name for name, count in external.images.class_counts().items() if count == 0],
        near_training=external.near_training,
        micro_f1=measured([one.micro_f1 for one in own]),
        macro_f1=measured([one.macro_f1 for one in own]),
        balanced_accuracy=measured([one.balanced_accuracy for one in own]),
    )


def _precision(config: ClassifierConfig, device: torch.device) -> Precision:
    # Depthwise convolutions make bf16 the slower one on a CPU: 60 ms per 128-pixel image and step against 46
    # (EfficientNet-Lite2, one core with AVX-512 bf16).
    slow = config.precision == "auto" and device.type == "cpu"
    return "float32" if config.freeze or slow else resolve_precision(config.precision, device.type)
