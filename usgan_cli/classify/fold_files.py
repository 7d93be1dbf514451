"""The files of one fold: `folds/fold0.csv` and `folds/fold0.json`, written whole when the fold is finished.

The record is written last and holds the digest of the predictions, so a fold that has a record is complete.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usgan_cli.classify.fold_images import ClassifierImages, FoldImages
from usgan_cli.classify.scores import FoldPredictions, TrainingEffort, class_scores, confusion, probability_scores
from usgan_cli.core.errors import DamagedError
from usgan_cli.core.formats.classifier import ExternalScores, FoldRecord, FoldScores, Predictions
from usgan_cli.core.store import files
from usgan_cli.core.store.remedy import remedy

FOLDER = "folds"


@dataclass(frozen=True)
class FinishedFold:
    """A finished fold, as it was written."""

    record: FoldRecord
    predictions: Predictions
    external: Predictions | None
    """Those for external test sets; None where there are none."""


def state_path(target: Path, fold: int) -> Path:
    """Return where the state of a fold that is being fine-tuned is kept."""
    return target / FOLDER / f"fold{fold}.state.safetensors"


def read_fold(target: Path, images: ClassifierImages, fold: FoldImages) -> FinishedFold | None:
    """Read a finished fold, or return None if it is not finished.

    Its images must be those of `fold`, and its predictions those that were scored.
    """
    record_path, table = (target / FOLDER / f"fold{fold.index}.{ending}" for ending in ("json", "csv"))
    outside = _external_table(target, fold)
    if not record_path.is_file():
        return None
    record = FoldRecord.read(record_path)
    recorded = (record.scores.fold, record.scores.validation, record.scores.synthetic, record.train, record.synthetic)
    if recorded != (fold.index, _validation(images, fold), fold.digest, *_trained_on(images, fold)):
        raise DamagedError(f"{record_path} is the record of another fold or classifier.", remedy(record_path))
    if record.scores.external.keys() != {one.name for one in images.external}:
        raise DamagedError(f"{record_path} was scored on other external test sets.", remedy(record_path))
    for path, digest in ((table, record.predictions), (outside, record.external)):
        if digest is not None and (not path.is_file() or files.sha256_file(path) != digest):
            raise DamagedError(f"{path} has changed since it was scored.", remedy(path))
    external = None if record.external is None else Predictions.read(outside)
    return FinishedFold(record, Predictions.read(table), external)


def _external_table(target: Path, fold: FoldImages) -> Path:
    return target / FOLDER / f"fold{fold.index}-external.csv"


def _validation(images: ClassifierImages, fold: FoldImages) -> str:
    return files.digest_json([images.real.files[i] for i in fold.val])


def _trained_on(images: ClassifierImages, fold: FoldImages) -> tuple[list[str], list[str]]:
    """Return the names of the real and of the synthetic images that a fold is trained on."""
    return (
        [images.real.files[i] for i in fold.train],
        [] if fold.synthetic is None else list(fold.synthetic.files),
    )


def write_fold(target: Path, images: ClassifierImages, fold: FoldImages, predicted: FoldPredictions) -> None:
    """Score a fold, write its files, and remove its saved state."""
    table = target / FOLDER / f"fold{fold.index}.csv"
    val = images.real.take(fold.val)
    Predictions(
        fold=np.full(len(val) + len(images.test), fold.index, dtype=np.int64),
        part=np.array(["val"] * len(val) + ["test"] * len(images.test)),
        files=val.files + images.test.files,
        label=np.concatenate([val.labels, images.test.labels]),
        probability=np.concatenate([predicted.val, predicted.test]).astype(np.float64),
        classes=images.real.classes,
    ).write(table)
    external = None
    if images.external:
        outside = _external_table(target, fold)
        _external_predictions(images, fold, predicted).write(outside)
        external = Predictions.read(outside)
    predictions = Predictions.read(table)  # what is scored is what is written, to the last digit
    train, synthetic = _trained_on(images, fold)
    FoldRecord(
        scores=_scores(predictions, external, images, fold, predicted.effort),
        train=train,
        synthetic=synthetic,
        c=predicted.c,
        predictions=files.sha256_file(table),
        external=None if external is None else files.sha256_file(_external_table(target, fold)),
    ).write(table.with_suffix(".json"))
    state_path(target, fold.index).unlink(missing_ok=True)


def _external_predictions(images: ClassifierImages, fold: FoldImages, predicted: FoldPredictions) -> Predictions:
    """Return a fold's predictions for all external test sets, one set after another."""
    sets = images.external
    return Predictions(
        fold=np.full(sum(map(len, sets)), fold.index, dtype=np.int64),
        part=np.array([one.name for one in sets for _ in range(len(one))]),
        files=tuple(file for one in sets for file in one.files),
        label=np.concatenate([one.labels for one in sets]),
        probability=np.concatenate(predicted.external).astype(np.float64),
        classes=images.real.classes,
    )


def _external_scores(predictions: Predictions, name: str) -> ExternalScores:
    rows, classes = predictions.part == name, len(predictions.classes)
    label, predicted = predictions.label[rows], predictions.probability[rows].argmax(1)
    scores = class_scores(label, predicted, classes)
    return ExternalScores(
        micro_f1=scores.micro_f1,
        macro_f1=float(np.mean([scores.class_f1[c] for c in np.unique(label)])),
        balanced_accuracy=scores.balanced_accuracy,
        confusion=confusion(label, predicted, classes),
    )


def _scores(
    predictions: Predictions,
    external: Predictions | None,
    images: ClassifierImages,
    fold: FoldImages,
    effort: TrainingEffort,
) -> FoldScores:
    classes = predictions.classes
    held_out = {part: predictions.part == part for part in ("val", "test")}
    label = {part: predictions.label[rows] for part, rows in held_out.items()}
    probability = {part: predictions.probability[rows] for part, rows in held_out.items()}
    val, test = (class_scores(label[part], probability[part].argmax(1), len(classes)) for part in ("val", "test"))
    by_probability = probability_scores(label["test"], probability["test"])
    return FoldScores(
        fold=fold.index,
        train_real=len(fold.train),
        train_synthetic=0 if fold.synthetic is None else len(fold.synthetic),
        **dataclasses.asdict(effort),
        val_micro_f1=val.micro_f1,
        val_macro_f1=val.macro_f1,
        test_micro_f1=test.micro_f1,
        test_macro_f1=test.macro_f1,
        test_class_f1=dict(zip(classes, test.class_f1, strict=True)),
        test_balanced_accuracy=test.balanced_accuracy,
        test_class_auc=dict(zip(classes, by_probability.class_auc, strict=True)),
        test_auc=by_probability.auc,
        test_brier=by_probability.brier,
        test_calibration_error=by_probability.calibration_error,
        test_confusion=confusion(label["test"], probability["test"].argmax(1), len(classes)),
        validation=_validation(images, fold),
        synthetic=fold.digest,
        external={one.name: _external_scores(external, one.name) for one in images.external if external is not None},
    )
