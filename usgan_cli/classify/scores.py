"""Scores of a classifier, from its predictions alone.

With one label per image the micro-averaged F1, the study's score, equals the accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score, recall_score

from usgan_cli.core.records import Predictions


@dataclass(frozen=True)
class ClassScores:
    """How well predicted classes agree with the true ones; all in [0, 1]."""

    micro_f1: float
    macro_f1: float
    """Unweighted mean of the classes' F1."""
    class_f1: tuple[float, ...]
    """0 for a class that neither occurs nor is predicted."""
    balanced_accuracy: float
    """Unweighted mean recall of the classes that occur."""


def class_scores(label: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> ClassScores:
    """Score predicted classes.

    Parameters
    ----------
    label, predicted : int64 arrays [N]
        True and predicted class, from 0 to classes - 1; N is 1 or more.
    classes : int
        Number of classes.
    """
    every = np.arange(classes)
    class_f1 = f1_score(label, predicted, labels=every, average=None, zero_division=0.0)
    recall = recall_score(label, predicted, labels=np.unique(label), average="macro", zero_division=0.0)
    return ClassScores(
        micro_f1=float(f1_score(label, predicted, labels=every, average="micro", zero_division=0.0)),
        macro_f1=float(np.mean(class_f1)),
        class_f1=tuple(float(value) for value in class_f1),
        balanced_accuracy=float(recall),
    )


def part_scores(predictions: Predictions, fold: int, part: str) -> ClassScores:
    """Score one fold's predictions for its validation images ("val") or for the test images ("test")."""
    rows = (predictions.fold == fold) & (predictions.part == part)
    predicted = predictions.probability[rows].argmax(1)
    return class_scores(predictions.label[rows], predicted, len(predictions.classes))


def confusion_on_test(predictions: Predictions) -> list[list[int]]:
    """Count the test predictions of all folds: row true class, column predicted class."""
    rows = predictions.part == "test"
    every = np.arange(len(predictions.classes))
    counts = confusion_matrix(predictions.label[rows], predictions.probability[rows].argmax(1), labels=every)
    return [[int(count) for count in row] for row in counts]


def log_loss(label: NDArray[np.int64], probability: NDArray[np.floating]) -> float:
    """Return the mean negative log probability (natural) of the true classes; probabilities are kept above 1e-12."""
    own = np.asarray(probability, dtype=np.float64)[np.arange(len(label)), label]
    return float(-np.log(np.maximum(own, 1e-12)).mean())
