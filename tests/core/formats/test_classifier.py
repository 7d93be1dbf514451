"""Predictions survive their CSV file; a variant of the protocol is named in words."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from usgan_cli.core.errors import FormatError, MissingError
from usgan_cli.core.formats.classifier import ClassifierRecord, Predictions

PREDICTIONS = Predictions(
    fold=np.array([0, 0, 1]),
    part=np.array(["val", "test", "test"]),
    files=("images/a/1.png", 'images/b/odd, "name".png', "images/b/2.png"),
    label=np.array([0, 1, 1]),
    probability=np.array([[0.75, 0.25], [1 / 3, 2 / 3], [1e-12, 1 - 1e-12]]),
    classes=("a", "b"),
)


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
    with pytest.raises(MissingError, match="command that made it"):
        Predictions.read(tmp_path / "predictions.csv")


def test_predictions_of_several_folds_are_joined_in_order() -> None:
    joined = Predictions.joined([PREDICTIONS, PREDICTIONS])
    assert joined.files == PREDICTIONS.files * 2
    np.testing.assert_array_equal(joined.probability[3:], PREDICTIONS.probability)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"protocol": "strict"}, "strict"),
        ({"control": "copies"}, ""),
        ({"control": "shuffled"}, "labels shuffled"),
        ({"synthetic_only": True, "protocol": "strict", "select": "distance"}, "synthetic alone, strict, by distance"),
    ],
)
def test_a_variant_is_named_in_words(changes: dict[str, Any], words: str) -> None:
    plain = ClassifierRecord.model_construct(protocol="standard", synthetic_only=False, select=None, control=None)
    assert plain.model_copy(update=changes).variant == words
