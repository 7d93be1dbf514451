"""External test sets are scored by every classifier, and change nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from classifier_sets import CLASSES, FROZEN, TUNED, toy, train

from usgan_cli.classify.config import ClassifierConfig
from usgan_cli.classify.external import External
from usgan_cli.core.errors import DamagedError, DataError
from usgan_cli.core.formats.classifier import ClassifierRecord, FoldRecord, Predictions

CLINIC = External(toy("clinic", 21, 7), "c" * 64, 2)
FEW = toy("few", 30, 8)
FEW = External(FEW.take(np.flatnonzero(FEW.labels < 2)), "d" * 64, 0)  # the third class is missing
SHORT = dataclasses.replace(TUNED, epochs=3)


@pytest.mark.parametrize("config", [FROZEN, SHORT], ids=["frozen", "fine-tuned"])
def test_external_sets_change_no_other_result(config: ClassifierConfig, tmp_path: Path) -> None:
    alone = train(tmp_path / "alone", config)
    record = train(tmp_path / "both", config, external=[CLINIC, FEW])
    names = {path.name for path in (tmp_path / "alone").iterdir()}
    assert names == {"folds", "predictions.csv", "result.json"}
    assert (tmp_path / "both" / "predictions.csv").read_bytes() == (tmp_path / "alone" / "predictions.csv").read_bytes()
    folds = [fold.model_copy(update={"external": {}}) for fold in record.folds]
    assert record.model_copy(update={"external": {}, "folds": folds}) == alone

    predictions = Predictions.read(tmp_path / "both" / "external.csv")
    assert set(predictions.part) == {"clinic", "few"}
    for one in (CLINIC, FEW):
        summary = record.external[one.images.name]
        assert (summary.digest, summary.images, summary.near_training) == (
            one.digest,
            len(one.images),
            one.near_training,
        )
        for fold in record.folds:
            rows = (predictions.part == one.images.name) & (predictions.fold == fold.fold)
            assert [predictions.files[i] for i in np.flatnonzero(rows)] == sorted(one.images.files)
            right = predictions.probability[rows].argmax(1) == predictions.label[rows]
            assert fold.external[one.images.name].micro_f1 == pytest.approx(right.mean())
            assert np.sum(fold.external[one.images.name].confusion) == len(one.images)
    assert (record.external["clinic"].missing, record.external["few"].missing) == ([], [CLASSES[2]])


def test_a_missing_class_does_not_lower_the_mean_over_classes(tmp_path: Path) -> None:
    record = train(tmp_path / "real", FROZEN, external=[FEW])
    scores = record.folds[0].external["few"]
    counts = np.array(scores.confusion)
    f1 = [2 * counts[c, c] / (counts[c].sum() + counts[:, c].sum()) for c in range(2)]
    assert scores.macro_f1 == pytest.approx(np.mean(f1))
    assert scores.balanced_accuracy == pytest.approx(np.mean([counts[c, c] / counts[c].sum() for c in range(2)]))


def test_finished_folds_are_kept_with_their_external_scores(tmp_path: Path) -> None:
    record = train(tmp_path / "real", SHORT, external=[CLINIC])
    before = {path: path.read_bytes() for path in sorted((tmp_path / "real").rglob("*")) if path.is_file()}
    for name in ("result.json", "external.csv", "predictions.csv", "folds/fold1.json"):
        (tmp_path / "real" / name).unlink()
    assert train(tmp_path / "real", SHORT, external=[CLINIC]) == record
    assert {path: path.read_bytes() for path in before} == before


def test_a_fold_of_other_external_sets_or_changed_predictions_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "real", FROZEN, external=[CLINIC])
    with pytest.raises(DamagedError, match="other external test sets"):
        train(tmp_path / "real", FROZEN)
    table = tmp_path / "real" / "folds" / "fold0-external.csv"
    table.write_text(table.read_text().replace("clinic", "Clinic", 1))
    with pytest.raises(DamagedError, match=r"fold0-external\.csv has changed"):
        train(tmp_path / "real", FROZEN, external=[CLINIC])
    assert FoldRecord.read(table.with_name("fold0.json")).external is not None


def test_a_set_of_other_classes_is_refused(tmp_path: Path) -> None:
    other = dataclasses.replace(CLINIC.images, classes=("a", "b", "c"))
    with pytest.raises(DataError, match="not of the dataset's classes"):
        train(tmp_path / "real", FROZEN, external=[dataclasses.replace(CLINIC, images=other)])
    assert not (tmp_path / "real" / ClassifierRecord.FILE).exists()
