"""Train and test a classifier fold by fold, and record every prediction.

The study's protocol (Maack, Holstein, Schlaefer 2022): a stratified cross-validation over the real images of
the subset; synthetic images join the training sides; every fold's classifier is scored on the same test images.
Each fold is a unit of its own, written whole when it is finished: a run that was interrupted goes on from there.
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
from usgan_cli.classify.finetune import Labelled, finetune_fold
from usgan_cli.classify.folds import Indices
from usgan_cli.classify.frozen import HeadData, fit_heads, pooled_features
from usgan_cli.classify.models import Backbone, fit_to_input, open_backbone
from usgan_cli.classify.select import preference
from usgan_cli.classify.sets import FoldSets, Sets, Treatment, prepare_sets
from usgan_cli.classify.units import FoldOutput, read_fold, state_path, write_fold
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.classifier import ClassifierRecord, ClassifierSettings, FoldRecord, Predictions
from usgan_cli.core.formats.measured import Measured, measured
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine.device import Precision, resolve_device, resolve_precision
from usgan_cli.core.progress import Progress, Silent


@dataclass(frozen=True)
class Described:
    """What a record says of a classifier besides what was measured.

    Attributes
    ----------
    name : str
        "real", "diffaug-x1".
    n : int
        Number of real images.
    subset_digest, test_digest : str
        Content digests of the subset, and of the dataset whose test images are used.
    """

    name: str
    n: int
    subset_digest: str
    test_digest: str


def train_classifier(
    config: ClassifierConfig,
    *,
    described: Described,
    treatment: Treatment,
    real: ImageSet,
    test: ImageSet,
    target: Path,
    progress: Progress,
    cache_dir: Path,
    jobs: int = 1,
) -> ClassifierRecord:
    """Train one classifier per fold, predict validation and test images, and write the predictions and their scores.

    Parameters
    ----------
    config : ClassifierConfig
    described : Described
    treatment : Treatment
        The synthetic images and how they are used; `Treatment()` for the baseline.
    real : ImageSet
        The subset's n images.
    test : ImageSet
    target : Path
        An existing folder; `predictions.csv`, `result.json` and one record a fold in `folds/` are written to it.
        Folds that are there already are kept.
    progress : Progress
    cache_dir : Path
        Where features of images are kept (with `config.freeze`, and for a choice of synthetic images).
    jobs : int
        Folds that are fine-tuned at the same time, each in a process of its own. It changes nothing in the result.

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
    if jobs < 1:
        raise SettingsError(f"jobs must be at least 1; it is {jobs}.")
    device = resolve_device(config.device)
    precision = _precision(config, device)
    features = _Features(config, cache_dir, device, progress)

    def prefer(images: ImageSet, candidates: ImageSet) -> Indices:
        assert treatment.select is not None
        own, theirs = features.of(images, candidates)
        return preference(treatment.select, (own, images.labels), (theirs, candidates.labels))

    sets = prepare_sets(config, described.n, treatment, real, test, progress, prefer)
    todo = [fold for fold in sets.folds if read_fold(target, fold.index) is None]
    backbone = features.backbone if config.freeze else open_backbone(config, len(real.classes), progress)
    if todo and config.freeze:
        _fit_frozen(features, config, sets, todo, target)
    elif todo:
        _finetune_folds(
            [FinetuneJob(config, sets, fold, target, precision) for fold in todo], backbone, device, progress, jobs
        )

    settings = ClassifierSettings(
        backbone=config.backbone,
        weights=backbone.weights,
        freeze=config.freeze,
        size=backbone.size,
        epochs=0 if config.freeze else config.epochs,
        folds=config.folds,
        seed=config.seed,
        subset=described.subset_digest,
        test=described.test_digest,
        training=training_settings(config, precision),
    )
    finished = [read_fold(target, fold.index) for fold in sets.folds]
    parts = [fold for fold in finished if fold is not None]
    assert len(parts) == len(sets.folds)
    record = _record(described, treatment, sets, settings, [part[0] for part in parts])
    Predictions.joined([part[1] for part in parts]).write(target / "predictions.csv")
    record.write(target / "result.json")
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
        """Return the features [N, V, D] of each set's images: as they are and, with `config.flip`, mirrored."""
        images = torch.cat([fit_to_input(part.pixels, self.backbone.size) for part in sets])
        views = torch.cat([images, images.flip(-1)]) if self.config.flip else images
        found = pooled_features(self.backbone, views, self.cache_dir, self.device, self.progress)
        by_image = found.reshape(-1, len(images), found.shape[-1]).swapaxes(0, 1)
        return np.split(by_image, np.cumsum([len(part) for part in sets])[:-1])


def _fit_frozen(
    features: _Features, config: ClassifierConfig, sets: Sets, todo: Sequence[FoldSets], target: Path
) -> None:
    """Fit a linear head to every fold's features, and write the folds that are still to be done."""
    distinct = {id(fold.synthetic): fold.synthetic for fold in sets.folds if fold.synthetic is not None}
    real, test, *others = features.of(sets.real, sets.test, *distinct.values())
    synthetic = dict(zip(distinct, others, strict=True))
    data = []
    for fold in sets.folds:
        train = [real[fold.train], *([] if fold.synthetic is None else [synthetic[id(fold.synthetic)]])]
        val = real[fold.fold.val], sets.real.labels[fold.fold.val]
        data.append(HeadData((np.concatenate(train), sets.training_labels(fold)), val))
    heads, c = fit_heads(data, config.class_weights)
    for fold in todo:
        head, own = heads[fold.index], data[fold.index]
        write_fold(target, sets, fold, FoldOutput(0, c, head.probability(own.val[0], c), head.probability(test, c)))


@dataclass(frozen=True)
class FinetuneJob:
    """One fold to fine-tune, with all that a process of its own needs."""

    config: ClassifierConfig
    sets: Sets
    fold: FoldSets
    target: Path
    precision: Precision

    def run(self, backbone: Backbone, device: torch.device, progress: Progress) -> None:
        """Fine-tune the network on this fold from where an earlier run has left it, and write the fold."""
        sets, fold, size = self.sets, self.fold, backbone.size
        images = [fit_to_input(sets.real.pixels[fold.train], size)]
        if fold.synthetic is not None:
            images.append(fit_to_input(fold.synthetic.pixels, size))
        output = finetune_fold(
            backbone,
            self.config,
            fold.index,
            train=Labelled(torch.cat(images), torch.from_numpy(sets.training_labels(fold))),
            val=Labelled(
                fit_to_input(sets.real.pixels[fold.fold.val], size), torch.from_numpy(sets.real.labels[fold.fold.val])
            ),
            test=fit_to_input(sets.test.pixels, size),
            device=device,
            precision=self.precision,
            progress=progress,
            state_file=state_path(self.target, fold.index),
        )
        write_fold(self.target, sets, fold, FoldOutput(output.epoch, None, output.val, output.test))


def _finetune_folds(
    jobs: Sequence[FinetuneJob], backbone: Backbone, device: torch.device, progress: Progress, at_once: int
) -> None:
    """Fine-tune folds one after another, or several at once in processes of their own."""
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
    """Run a job in a process of its own; as many threads as its parent's, so that the result is the same."""
    torch.set_num_threads(threads)
    device = resolve_device(job.config.device)
    job.run(open_backbone(job.config, len(job.sets.real.classes), Silent()), device, Silent())


def _record(
    described: Described, treatment: Treatment, sets: Sets, settings: ClassifierSettings, folds: Sequence[FoldRecord]
) -> ClassifierRecord:
    scores = [fold.scores for fold in folds]

    def over_folds(score: str) -> Measured:
        return measured([getattr(fold, score) for fold in scores])

    confusion = np.sum([fold.test_confusion for fold in scores], axis=0)
    return ClassifierRecord(
        name=described.name,
        n=described.n,
        aug=treatment.aug,
        ratio=treatment.ratio,
        synthetic=treatment.digest,
        protocol=treatment.protocol,
        synthetic_only=treatment.alone,
        select=treatment.select,
        classes=list(sets.real.classes),
        settings=settings,
        c=folds[0].c,
        folds=scores,
        confusion=[[int(count) for count in row] for row in confusion],
        test_micro_f1=over_folds("test_micro_f1"),
        val_micro_f1=over_folds("val_micro_f1"),
        test_macro_f1=over_folds("test_macro_f1"),
        test_balanced_accuracy=over_folds("test_balanced_accuracy"),
        test_auc=over_folds("test_auc"),
        test_brier=over_folds("test_brier"),
        test_calibration_error=over_folds("test_calibration_error"),
    )


def _precision(config: ClassifierConfig, device: torch.device) -> Precision:
    # Depthwise convolutions make bf16 the slower one on a CPU: 60 ms per 128-pixel image and step against 46
    # (EfficientNet-Lite2, one core with AVX-512 bf16).
    slow = config.precision == "auto" and device.type == "cpu"
    return "float32" if config.freeze or slow else resolve_precision(config.precision, device)
