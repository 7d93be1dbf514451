"""The files of one fold: `folds/fold0.csv` and `folds/fold0.json`, written whole when the fold is finished.

The record is written last and holds the digest of the predictions, so a fold that has a record is complete.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from usgan_cli.classify.fold_images import ClassifierImages, FoldImages
from usgan_cli.classify.scores import FoldPredictions, TrainingEffort, class_scores, confusion, probability_scores
from usgan_cli.core.errors import DamagedError
from usgan_cli.core.formats.classifier import FoldRecord, FoldScores, Predictions
from usgan_cli.core.store import files
from usgan_cli.core.store.remedy import remedy

FOLDER = "folds"


def state_path(target: Path, fold: int) -> Path:
    """Return where the state of a fold that is being fine-tuned is kept."""
    return target / FOLDER / f"fold{fold}.state.safetensors"


def read_fold(target: Path, images: ClassifierImages, fold: FoldImages) -> tuple[FoldRecord, Predictions] | None:
    """Read a finished fold, or return None if it is not finished.

    Its images must be those of `fold`, and its predictions those that were scored.
    """
    record_path, table = (target / FOLDER / f"fold{fold.index}.{ending}" for ending in ("json", "csv"))
    if not record_path.is_file():
        return None
    record = FoldRecord.read(record_path)
    recorded = (record.scores.fold, record.scores.validation, record.scores.synthetic, record.train, record.synthetic)
    if recorded != (fold.index, _validation(images, fold), fold.digest, *_trained_on(images, fold)):
        raise DamagedError(f"{record_path} is the record of another fold or classifier.", remedy(record_path))
    if not table.is_file() or files.sha256_file(table) != record.predictions:
        raise DamagedError(f"{table} has changed since it was scored.", remedy(table))
    return record, Predictions.read(table)


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
    predictions = Predictions.read(table)  # what is scored is what is written, to the last digit
    train, synthetic = _trained_on(images, fold)
    FoldRecord(
        scores=_scores(predictions, images, fold, predicted.effort),
        train=train,
        synthetic=synthetic,
        c=predicted.c,
        predictions=files.sha256_file(table),
    ).write(table.with_suffix(".json"))
    state_path(target, fold.index).unlink(missing_ok=True)


def _scores(predictions: Predictions, images: ClassifierImages, fold: FoldImages, effort: TrainingEffort) -> FoldScores:
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
    )
