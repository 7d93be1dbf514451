"""Scores of a classifier, from its predictions alone.

With one label per image the micro-averaged F1, the study's score, equals the accuracy. The Brier score is that of
Brier, "Verification of forecasts expressed in terms of probability" (1950), summed over classes; the expected
calibration error that of Guo et al., "On calibration of modern neural networks" (2017), with 15 bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score, recall_score, roc_auc_score

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class TrainingEffort:
    """How much training a fold's classifier took; see the fields of the same names in `FoldScores`."""

    epoch: int = 0
    updates: int = 0
    kept_updates: int = 0
    images_seen: int = 0
    data_weight: float | None = None


@dataclass(frozen=True)
class FoldPredictions:
    """What one fold's classifier predicts: class probabilities [N, K] of the validation and test images."""

    effort: TrainingEffort
    c: float | None
    """Inverse penalty of a linear head."""
    val: NDArray[np.floating]
    test: NDArray[np.floating]
    external: tuple[NDArray[np.floating], ...] = ()
    """The same of each external test set."""


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
    """Score predicted against true classes, each from 0 to classes - 1, of one or more images."""
    every = np.arange(classes)
    class_f1 = f1_score(label, predicted, labels=every, average=None, zero_division=0.0)
    recall = recall_score(label, predicted, labels=np.unique(label), average="macro", zero_division=0.0)
    return ClassScores(
        micro_f1=float(f1_score(label, predicted, labels=every, average="micro", zero_division=0.0)),
        macro_f1=float(np.mean(class_f1)),
        class_f1=tuple(float(value) for value in class_f1),
        balanced_accuracy=float(recall),
    )


@dataclass(frozen=True)
class ProbabilityScores:
    """How good the predicted probabilities are."""

    class_auc: tuple[float, ...]
    """Area under the ROC curve of each class against the others, 0 to 1."""
    auc: float
    """Unweighted mean of the classes'."""
    brier: float
    """Mean squared distance of the probabilities from the truth, summed over classes: 0 to 2."""
    calibration_error: float
    """Mean distance between the most probable class's probability and the accuracy, over bins: 0 to 1."""


def probability_scores(label: NDArray[np.int64], probability: NDArray[np.floating]) -> ProbabilityScores:
    """Score predicted probabilities [N, K], whose rows sum to 1; each of the two or more classes must occur."""
    p = np.asarray(probability, dtype=np.float64)
    truth = np.eye(p.shape[1])[label]
    class_auc = tuple(float(roc_auc_score(truth[:, c], p[:, c])) for c in range(p.shape[1]))
    return ProbabilityScores(
        class_auc=class_auc,
        auc=float(np.mean(class_auc)),
        brier=float(((p - truth) ** 2).sum(1).mean()),
        calibration_error=_calibration_error(p.max(1), p.argmax(1) == label),
    )


def _calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    # Bins are open below and closed above, so that a probability of 1 is in the last.
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    gap = np.bincount(bins, weights=confidence - right, minlength=CALIBRATION_BINS)
    return float(np.abs(gap).sum() / len(confidence))


def confusion(label: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> list[list[int]]:
    """Count predictions: row true class, column predicted class."""
    counts: list[list[int]] = confusion_matrix(label, predicted, labels=np.arange(classes)).tolist()
    return counts


def log_loss(label: NDArray[np.int64], probability: NDArray[np.floating]) -> float:
    """Return the mean negative log probability (natural) of the true classes; probabilities are kept above 1e-12."""
    own = np.asarray(probability, dtype=np.float64)[np.arange(len(label)), label]
    return float(-np.log(np.maximum(own, 1e-12)).mean())
