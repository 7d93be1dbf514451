"""Which control each classifier of a study is compared with, and their analysis over repeats and test images."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.errors import DataError
from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.comparison import ArmEffect, VarianceParts
from usgan_cli.core.store.workspace import BASELINE, TrainingSet
from usgan_cli.stats.compare import Classified
from usgan_cli.stats.mrmc import Effect, Variances, compare_arms

Repeat = tuple[Classified, Sequence[Classified]]
"""The baseline of a repeat, and its other classifiers."""


def control_of(record: ClassifierRecord, names: Collection[str]) -> str:
    """Return what a classifier is compared with, of those that were trained.

    Generated images are compared with as many copies of real ones; without these, and for the copies themselves, with
    real images at equal updates, else with the baseline.
    """
    choices = [TrainingSet(None, record.ratio, "copies").name] if record.aug else []
    choices.append(TrainingSet(None, record.ratio, "real").name)
    if record.synthetic_only or record.control == "real":
        choices = []  # without the real images, more copies of them cannot be a control
    return next((name for name in choices if name in names), BASELINE.name)


def arm_effects(repeats: Sequence[Repeat], clusters: Mapping[str, int]) -> list[ArmEffect]:
    """Return every classifier's difference to its control; each repeat is a reader of its own.

    Parameters
    ----------
    repeats : sequence of (baseline, others)
        The classifiers of each repeat, the same in all, which `usgan_cli.stats.compare` has checked.
    clusters : mapping
        Number of the cluster of each test image; images of one cluster are copies or of one patient.

    Raises
    ------
    DataError
        A test image is not in `clusters`.
    """
    return _effects([[repeat] for repeat in repeats], clusters)


def pooled_effects(splits: Sequence[Sequence[Repeat]], clusters: Mapping[str, int]) -> list[ArmEffect]:
    """Return every classifier's difference to its control over several splits of one dataset.

    The repeats of a split share its test images and its pool of training images, so the split is the reader: the mean
    correctness of its repeats' models. What its repeats have in common then counts as what differs between splits.
    Parameters and errors as in `arm_effects`; every split has the same repeats.
    """
    return _effects(splits, clusters)


def _effects(readers: Sequence[Sequence[Repeat]], clusters: Mapping[str, int]) -> list[ArmEffect]:
    files, index = tested_images(readers, clusters)
    right = {name: right_of(trained, files) for name, trained in in_all(readers).items()}
    effects = []
    for other in readers[0][0][1]:
        against = control_of(other.record, right)
        treated, control = right[other.name], right[against]
        effect = recorded(other.record, against, compare_arms(_models(treated), _models(control), index))
        if len(readers[0]) > 1:
            trainings = np.nanmean(treated - control, axis=(2, 3)).tolist()
            effect = effect.model_copy(update={"trainings": trainings})
        effects.append(effect)
    return effects


def in_all(readers: Sequence[Sequence[Repeat]]) -> dict[str, list[list[Classified]]]:
    """Return the classifiers of every training set, which all repeats have, by its name [readers, repeats]."""
    by_name = [[{one.name: one for one in (baseline, *others)} for baseline, others in repeats] for repeats in readers]
    return {name: [[one[name] for one in repeats] for repeats in by_name] for name in by_name[0][0]}


def tested_images(
    readers: Sequence[Sequence[Repeat]], clusters: Mapping[str, int]
) -> tuple[list[str], NDArray[np.int64]]:
    """Return every test image of the readers, and the number of its cluster; errors as in `arm_effects`."""
    files = sorted({file for repeats in readers for baseline, _ in repeats for file in baseline.test_images()})
    if unknown := [file for file in files if file not in clusters]:
        raise DataError(
            f"The dataset has no test image {unknown[0]!r}, on which the classifiers were tested.",
            "Train them again on the dataset that is there: usgan train-cls --refresh",
        )
    return files, np.array([clusters[file] for file in files])


def right_of(trained: Sequence[Sequence[Classified]], files: Sequence[str]) -> NDArray[np.float64]:
    """Return whether the classifiers [readers, repeats] are right: [readers, repeats, folds, images].

    It is NaN where a reader does not test an image.
    """
    return np.stack([np.stack([_right(one, files) for one in repeats]) for repeats in trained])


def _models(right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return all models of a reader side by side [readers, models, images]."""
    return right.reshape(len(right), -1, right.shape[-1])


def _right(classified: Classified, files: Sequence[str]) -> NDArray[np.float64]:
    """Return whether each fold classifies each image correctly [folds, images]; NaN where the image is not tested."""
    columns = {file: i for i, file in enumerate(files)}
    right = np.full((len(classified.record.folds), len(files)), np.nan)
    right[:, [columns[file] for file in classified.test_images()]] = classified.right_by_fold()
    return right


def recorded(record: ClassifierRecord, against: str, effect: Effect) -> ArmEffect:
    """Return the record of an analysis."""
    parts = effect.variances
    return ArmEffect(
        name=record.name,
        aug=record.aug,
        ratio=record.ratio,
        control=record.control,
        variant=record.variant,
        against=against,
        more_updates=_has_more_updates(record, against),
        difference=effect.difference,
        interval=effect.interval,
        p=effect.p,
        by_repeat=list(effect.by_repeat),
        standard_error=effect.standard_error,
        df=effect.df,
        hillis_df=effect.hillis_df if math.isfinite(effect.hillis_df) else None,
        images=effect.images,
        images_by_repeat=list(effect.images_by_repeat),
        clusters=effect.clusters,
        variances=parts and VarianceParts(training=parts.training, own=parts.own, shared=parts.shared),
        only_treated=effect.only_treated,
        only_control=effect.only_control,
        false_claim=effect.false_claim,
    )


def _has_more_updates(record: ClassifierRecord, against: str) -> bool:
    """Return whether equal epochs over more images than the control's mean more updates."""
    images = record.ratio + (not record.synthetic_only)
    return record.settings.budget == "epochs" and against == BASELINE.name and images > 1


def effect_from(record: ArmEffect) -> Effect:
    """Return the analysis that a record holds."""
    parts = record.variances
    return Effect(
        difference=record.difference,
        by_repeat=tuple(record.by_repeat),
        standard_error=record.standard_error,
        df=record.df,
        hillis_df=math.inf if record.hillis_df is None else record.hillis_df,
        images=record.images,
        clusters=record.clusters,
        variances=None if parts is None else Variances(parts.training, parts.own, parts.shared),
        only_treated=record.only_treated,
        only_control=record.only_control,
        images_by_repeat=tuple(record.images_by_repeat),
    )
