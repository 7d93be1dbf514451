"""Scores against hand-worked numbers and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, f1_score, roc_auc_score

from usgan_cli.classify.scores import class_scores, confusion, log_loss, probability_scores


def test_worked_by_hand():
    # True a a a a b b c c, predicted a a a b b c c a: F1 of a is 2*3/(4+4), of b 2*1/(2+2), of c 2*1/(2+2).
    label = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    predicted = np.array([0, 0, 0, 1, 1, 2, 2, 0])
    scores = class_scores(label, predicted, 3)
    assert scores.micro_f1 == pytest.approx(5 / 8)
    assert scores.class_f1 == pytest.approx((0.75, 0.5, 0.5))
    assert scores.macro_f1 == pytest.approx(1.75 / 3)
    assert scores.balanced_accuracy == pytest.approx((0.75 + 0.5 + 0.5) / 3)


def test_as_scikit_learn():
    rng = np.random.default_rng(1)
    label, predicted = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    scores = class_scores(label, predicted, 4)
    assert scores.micro_f1 == pytest.approx(accuracy_score(label, predicted))
    assert scores.macro_f1 == pytest.approx(f1_score(label, predicted, average="macro"))
    assert scores.balanced_accuracy == pytest.approx(balanced_accuracy_score(label, predicted))


def test_always_the_commonest_class_shows_in_macro_f1_alone():
    """Trap: with unequal classes a classifier that has learned nothing has a fair micro-F1."""
    label = np.array([0] * 8 + [1, 2])
    scores = class_scores(label, np.zeros(10, dtype=np.int64), 3)
    assert scores.micro_f1 == pytest.approx(0.8)
    assert scores.macro_f1 == pytest.approx(0.8 * 2 / 1.8 / 3)
    assert scores.balanced_accuracy == pytest.approx(1 / 3)


def test_confusion_has_true_classes_in_rows():
    label, predicted = np.array([0, 1, 0, 1]), np.array([1, 1, 1, 0])
    assert confusion(label, predicted, 2) == [[0, 2], [1, 1]]
    assert confusion(label[:1], predicted[:1], 3) == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_log_loss_of_certain_mistakes_is_finite():
    assert log_loss(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]])) == pytest.approx(np.log(2))
    assert np.isfinite(log_loss(np.array([0]), np.array([[0.0, 1.0]])))


def test_probabilities_as_scikit_learn():
    rng = np.random.default_rng(2)
    label, probability = rng.integers(0, 3, 150), rng.dirichlet([1, 1, 1], 150)
    scores = probability_scores(label, probability)
    assert scores.auc == pytest.approx(roc_auc_score(label, probability, multi_class="ovr"))
    for c in range(3):
        assert scores.class_auc[c] == pytest.approx(roc_auc_score(label == c, probability[:, c]))
    assert scores.brier == pytest.approx(np.mean(((probability - np.eye(3)[label]) ** 2).sum(1)))
    two = probability_scores(label % 2, np.c_[1 - probability[:, 0], probability[:, 0]])
    assert two.brier == pytest.approx(2 * brier_score_loss(label % 2, probability[:, 0]))


def test_calibration_error_by_hand():
    # Two bins are in use: 0.9, 0.92 (one of two right: 0.82 too sure in sum) and 0.6, 0.61 (both right: 0.79 short).
    p = np.array([[0.9, 0.1], [0.08, 0.92], [0.6, 0.4], [0.61, 0.39]])
    scores = probability_scores(np.array([1, 1, 0, 0]), p)
    assert scores.calibration_error == pytest.approx((0.82 + 0.79) / 4)


def test_a_sure_and_right_classifier_is_perfect():
    scores = probability_scores(np.array([0, 1, 2]), np.eye(3))
    assert (scores.auc, scores.brier, scores.calibration_error) == (1.0, 0.0, 0.0)
