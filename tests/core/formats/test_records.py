"""Records of results come back as written, and predictions survive their CSV file."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usgan_cli.core.errors import FormatError, MissingError
from usgan_cli.core.formats.classifier import ClassifierRecord, ClassifierSettings, FoldRecord, FoldScores, Predictions
from usgan_cli.core.formats.comparison import Comparison, McNemar, SeedComparison, SeedsRecord, TTestRecord
from usgan_cli.core.formats.measured import Measured, measured
from usgan_cli.core.formats.score import ScoreRecord, Scores, ScoreSettings
from usgan_cli.core.store.document import first_difference

PREDICTIONS = Predictions(
    fold=np.array([0, 0, 1]),
    part=np.array(["val", "test", "test"]),
    files=("images/a/1.png", 'images/b/odd, "name".png', "images/b/2.png"),
    label=np.array([0, 1, 1]),
    probability=np.array([[0.75, 0.25], [1 / 3, 2 / 3], [1e-12, 1 - 1e-12]]),
    classes=("a", "b"),
)
SETTINGS = ClassifierSettings(
    backbone="test_efficientnet",
    weights="none",
    freeze=True,
    size=32,
    epochs=0,
    folds=2,
    seed=0,
    subset="s",
    test="t",
    training={"head": "logistic regression", "c": 1},
)
MEASURED = Measured(mean=0.5, sd=0.1, count=2)


def fold(index: int) -> FoldScores:
    return FoldScores(
        fold=index,
        train_real=8,
        train_synthetic=8,
        epoch=0,
        val_micro_f1=0.5,
        val_macro_f1=0.4,
        test_micro_f1=0.5,
        test_macro_f1=0.4,
        test_class_f1={"a": 0.3, "b": 0.5},
        test_balanced_accuracy=0.45,
        test_class_auc={"a": 0.6, "b": 0.6},
        test_auc=0.6,
        test_brier=0.5,
        test_calibration_error=0.1,
        test_confusion=[[1, 2], [3, 4]],
        validation="v",
        synthetic="d",
    )


def documents() -> list[Any]:
    scores = Scores(
        reference_count=5,
        count=6,
        fd=10.0,
        fd_spread=MEASURED,
        kid=-0.001,
        kid_subset_size=5,
        precision=0.5,
        recall=0.25,
        density=None,
        coverage=None,
        js=0.1,
        ssim=MEASURED,
        ms_ssim=None,
        diversity_ssim=MEASURED,
        diversity_ms_ssim=None,
        diversity_features=0.4,
        intervals={"fd": (8.0, 12.0)},
        classes={},
    )
    settings = ScoreSettings(
        extractor="inception@0",
        reference="r",
        reference_count=5,
        count=6,
        js_bins=256,
        js_log_base=2.718281828459045,
        ssim_pairs=10,
        ms_ssim_pairs=5,
        kid_subsets=100,
        precision_k=3,
        density_k=5,
        repeats=20,
        seed=0,
    )
    comparison = Comparison(
        name="ada-x1",
        aug="ada",
        ratio=1.0,
        variant="",
        f1=MEASURED,
        folds=[0.4, 0.6],
        difference=0.1,
        interval=(-0.1, 0.3),
        t=None,
        p=None,
        p_holm=None,
        t_corrected=1.5,
        p_corrected=0.2,
        p_corrected_holm=0.2,
        interval_corrected=(-0.2, 0.4),
        p_wilcoxon=None,
        effect_size=None,
        mcnemar=McNemar(only_baseline=3, only_other=5, p=0.7),
        mcnemar_images=McNemar(only_baseline=1, only_other=2, p=1.0),
    )
    return [
        ScoreRecord(
            name="ada-n8-s0",
            gan_name="ada-n8-s0",
            settings=settings,
            fake=scores,
            real=scores,
            real_name="train",
            real_count=6,
            subset=None,
            subset_count=None,
            baselines={},
            memorization=None,
            notes=[],
            pictures={},
        ),
        ClassifierRecord(
            name="ada-x1",
            n=16,
            aug="ada",
            ratio=1.0,
            synthetic="d",
            protocol="strict",
            synthetic_only=True,
            select="distance",
            classes=["a", "b"],
            settings=SETTINGS,
            c=0.1,
            folds=[fold(0), fold(1)],
            confusion=[[1, 2], [3, 4]],
            test_micro_f1=MEASURED,
            val_micro_f1=MEASURED,
            test_macro_f1=MEASURED,
            test_balanced_accuracy=MEASURED,
            test_auc=MEASURED,
            test_brier=MEASURED,
            test_calibration_error=MEASURED,
        ),
        FoldRecord(scores=fold(0), train=["a/1.png"], synthetic=["a/seed1.png"], c=None, predictions="p"),
        TTestRecord(
            n=16,
            seed=0,
            score="test_micro_f1",
            baseline="real",
            baseline_f1=MEASURED,
            baseline_folds=[0.5, 0.5],
            settings=SETTINGS,
            comparisons=[comparison],
        ),
        SeedsRecord(
            n=16,
            seeds=[0, 1],
            folds=2,
            score="test_micro_f1",
            baseline="real",
            baseline_f1=MEASURED,
            comparisons=[
                SeedComparison(
                    name="ada-x1",
                    aug="ada",
                    ratio=1.0,
                    variant="strict",
                    baseline_by_seed=[0.4, 0.5],
                    by_seed=[0.5, 0.5],
                    f1=MEASURED,
                    difference=0.05,
                    interval=(-0.5, 0.6),
                    sd_seeds=0.0,
                    sd_folds=0.1,
                    t=None,
                    p=None,
                    p_holm=None,
                    p_corrected=0.3,
                )
            ],
        ),
    ]


@pytest.mark.parametrize("document", documents(), ids=lambda document: document.FORMAT)
def test_records_come_back(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "record.json"
    document.write(path)
    assert type(document).read(path) == document


def test_predictions_come_back_with_their_figures(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    PREDICTIONS.write(path)
    back = Predictions.read(path)
    assert (back.files, back.classes) == (PREDICTIONS.files, PREDICTIONS.classes)
    np.testing.assert_array_equal(back.fold, PREDICTIONS.fold)
    np.testing.assert_array_equal(back.part, PREDICTIONS.part)
    np.testing.assert_array_equal(back.label, PREDICTIONS.label)
    np.testing.assert_allclose(back.probability, PREDICTIONS.probability, rtol=1e-8)
    # Readable by anyone: one header, class names in words.
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"fold": "0", "part": "val", "file": "images/a/1.png", "label": "a", "p_a": "0.75", "p_b": "0.25"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "header"),
        ("fold,part,label\n", "header"),
        ("fold,part,file,label,a,b\n", "header"),
        ("fold,part,file,label,p_a,p_b\nx,val,f,a,0.5,0.5\n", "row cannot be read"),
        ("fold,part,file,label,p_a,p_b\n0,val,f,c,0.5,0.5\n", "row cannot be read"),
        ("fold,part,file,label,p_a,p_b\n0,val,f,a,0.5,half\n", "row cannot be read"),
        ("fold,part,file,label,p_a,p_b\n0,val,f,a,0.5,0.5\n0,val\n", "line 3"),
        ("fold,part,file,label,p_a,p_b\n0,val,f,a,0.5\n", "line 2"),
    ],
)
def test_a_broken_predictions_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match=rf"predictions\.csv.*{words}"):
        Predictions.read(path)


def test_absent_predictions_say_what_makes_them(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="usgan train-cls"):
        Predictions.read(tmp_path / "predictions.csv")


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8))
def test_the_spread_is_that_of_a_sample(values: list[float]) -> None:
    found = measured(values)
    assert found.count == len(values)
    assert found.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert found.sd == pytest.approx(statistics.stdev(values), abs=1e-6)


def test_one_value_has_no_spread() -> None:
    assert measured([0.25]) == Measured(mean=0.25, sd=0.0, count=1)


def test_a_variant_is_named_in_words() -> None:
    record = next(document for document in documents() if isinstance(document, ClassifierRecord))
    assert record.variant == "synthetic alone, strict, by distance"
    plain = {"protocol": "standard", "synthetic_only": False, "select": None}
    assert record.model_copy(update=plain).variant == ""


def test_predictions_of_several_folds_are_joined_in_order() -> None:
    joined = Predictions.joined([PREDICTIONS, PREDICTIONS])
    assert joined.files == PREDICTIONS.files * 2
    np.testing.assert_array_equal(joined.probability[3:], PREDICTIONS.probability)


def test_the_first_difference_is_named_with_both_values() -> None:
    assert first_difference(SETTINGS, SETTINGS.model_copy()) is None
    assert first_difference(SETTINGS, SETTINGS.model_copy(update={"folds": 5, "seed": 9})) == "folds: 2 and 5"
