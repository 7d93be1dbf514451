"""The files of one fold: `folds/fold0.csv` and `folds/fold0.json`, written whole when the fold is finished.

The record comes last and carries the digest of the predictions, so a fold whose record is there is complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from usgan_cli.classify.scores import confusion_on_test, part_scores, probability_scores_on_test
from usgan_cli.classify.sets import FoldSets, Sets
from usgan_cli.core.errors import FormatError
from usgan_cli.core.formats.classifier import FoldRecord, FoldScores, Predictions
from usgan_cli.core.store import files

FOLDER = "folds"


@dataclass(frozen=True)
class FoldOutput:
    """What one fold's classifier came to.

    Attributes
    ----------
    epoch : int
        The epoch that was kept; 0 for a linear head.
    c : float or None
        Inverse penalty of a linear head.
    val, test : float arrays [N, K]
        Class probabilities.
    """

    epoch: int
    c: float | None
    val: NDArray[np.floating]
    test: NDArray[np.floating]


def state_path(target: Path, fold: int) -> Path:
    """Return where the state of a fold that is being fine-tuned is kept."""
    return target / FOLDER / f"fold{fold}.state.safetensors"


def read_fold(target: Path, fold: int) -> tuple[FoldRecord, Predictions] | None:
    """Read a finished fold, or return None if it is not finished.

    Raises
    ------
    FormatError
        Its predictions are not those that were scored.
    """
    record_path, table = (target / FOLDER / f"fold{fold}.{ending}" for ending in ("json", "csv"))
    if not record_path.is_file():
        return None
    record = FoldRecord.read(record_path)
    if not table.is_file() or files.sha256_file(table) != record.predictions:
        raise FormatError(f"{table} has changed since it was scored.", "Train the classifier again with --force.")
    return record, Predictions.read(table)


def write_fold(target: Path, sets: Sets, fold: FoldSets, output: FoldOutput) -> None:
    """Score a fold, write its files, and remove its saved state."""
    table = target / FOLDER / f"fold{fold.index}.csv"
    _predictions(sets, fold, output).write(table)
    predictions = Predictions.read(table)  # what is scored is what is written, to the last digit
    FoldRecord(
        scores=_scores(predictions, sets, fold, output.epoch),
        train=[sets.real.files[i] for i in fold.train],
        synthetic=[] if fold.synthetic is None else list(fold.synthetic.files),
        c=output.c,
        predictions=files.sha256_file(table),
    ).write(table.with_suffix(".json"))
    state_path(target, fold.index).unlink(missing_ok=True)


def _predictions(sets: Sets, fold: FoldSets, output: FoldOutput) -> Predictions:
    """Return a fold's predictions: its validation images, then the test images."""
    val = sets.real.take(fold.fold.val)
    probability = np.concatenate([output.val, output.test]).astype(np.float64)
    return Predictions(
        fold=np.full(len(probability), fold.index, dtype=np.int64),
        part=np.array(["val"] * len(val) + ["test"] * len(sets.test)),
        files=val.files + sets.test.files,
        label=np.concatenate([val.labels, sets.test.labels]),
        probability=probability,
        classes=sets.real.classes,
    )


def _scores(predictions: Predictions, sets: Sets, fold: FoldSets, epoch: int) -> FoldScores:
    val = part_scores(predictions, fold.index, "val")
    test = part_scores(predictions, fold.index, "test")
    probable = probability_scores_on_test(predictions, fold.index)
    return FoldScores(
        fold=fold.index,
        train_real=len(fold.train),
        train_synthetic=0 if fold.synthetic is None else len(fold.synthetic),
        epoch=epoch,
        val_micro_f1=val.micro_f1,
        val_macro_f1=val.macro_f1,
        test_micro_f1=test.micro_f1,
        test_macro_f1=test.macro_f1,
        test_class_f1=dict(zip(predictions.classes, test.class_f1, strict=True)),
        test_balanced_accuracy=test.balanced_accuracy,
        test_class_auc=dict(zip(predictions.classes, probable.class_auc, strict=True)),
        test_auc=probable.auc,
        test_brier=probable.brier,
        test_calibration_error=probable.calibration_error,
        test_confusion=confusion_on_test(predictions, fold.index),
        validation=files.digest_json([sets.real.files[i] for i in fold.fold.val]),
        synthetic=fold.digest,
    )
