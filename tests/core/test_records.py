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
from usgan_cli.core.records import (
    ClassifierRecord,
    ClassifierSettings,
    Comparison,
    FoldScores,
    Measured,
    Predictions,
    ScoreRecord,
    Scores,
    ScoreSettings,
    TTestRecord,
    first_difference,
    measured,
)

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
    )


def documents() -> list[Any]:
    scores = Scores(fd=10.0, fd_spread=MEASURED, js=0.1, ssim=MEASURED)
    settings = ScoreSettings(
        extractor="inception@0",
        reference="r",
        reference_count=5,
        count=6,
        js_bins=256,
        js_log_base=2.718281828459045,
        ssim_pairs=10,
        fd_repeats=20,
        seed=0,
    )
    comparison = Comparison(
        name="ada-x1",
        aug="ada",
        ratio=1.0,
        f1=MEASURED,
        folds=[0.4, 0.6],
        difference=0.1,
        interval=(-0.1, 0.3),
        t=None,
        p=None,
        p_holm=None,
        p_corrected=0.2,
        p_wilcoxon=None,
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
        ),
        ClassifierRecord(
            name="ada-x1",
            n=16,
            aug="ada",
            ratio=1.0,
            synthetic="d",
            classes=["a", "b"],
            settings=SETTINGS,
            folds=[fold(0), fold(1)],
            confusion=[[1, 2], [3, 4]],
            test_micro_f1=MEASURED,
            val_micro_f1=MEASURED,
            test_macro_f1=MEASURED,
        ),
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


def test_the_first_difference_is_named_with_both_values() -> None:
    assert first_difference(SETTINGS, SETTINGS.model_copy()) is None
    assert first_difference(SETTINGS, SETTINGS.model_copy(update={"folds": 5, "seed": 9})) == "folds: 2 and 5"
