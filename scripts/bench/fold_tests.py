"""How often do the tests find a difference where there is none? Cross-validations of two equally good classifiers.

Each repeat draws a set of n training images and 280 test images, divides the training images into 5 folds, and
trains two classifiers on the same training sides: nearest class mean, on two different groups of features that tell
the classes apart equally well. Neither is better, so a test at the level 0.05 should find a difference in 5 repeats
of 100. The folds' training sides overlap. Every model is scored twice: on its left-out fold, the case that the
corrected test was made for, and, as in the study's protocol, on the test images, which all models share.

    python scripts/bench/fold_tests.py [--repeats 10000] [--n 100]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from usgan_cli.stats.tests import corrected_resampled_t, mcnemar, paired_t

Floats = NDArray[np.float64]
CLASSES, FEATURES, SEPARATION = 3, 8, 0.55
SHARES = (0.56, 0.27, 0.17)
LEVEL = 0.05


def draw(rng: np.random.Generator, count: int, means: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return images [N, 2, FEATURES] (two independent groups of features) and labels in BUSI's proportions."""
    labels = np.repeat(np.arange(CLASSES), np.diff(np.round(np.cumsum([0, *SHARES]) * count).astype(int)))
    return means[:, labels].transpose(1, 0, 2) + rng.normal(size=(count, 2, FEATURES)), labels


def nearest_mean(x: Floats, y: NDArray[np.int64], other: Floats) -> NDArray[np.int64]:
    means = np.stack([x[y == c].mean(0) for c in range(CLASSES)])
    distance: Floats = ((other[:, None] - means) ** 2).sum(-1)
    nearest: NDArray[np.int64] = distance.argmin(1)
    return nearest


def one_repeat(rng: np.random.Generator, n: int, folds: int, tests: int) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return scores [2, folds] on left-out folds and on test images, and who is right [2, tests] by most models."""
    # One pattern of class means for both groups of features: the two classifiers are equally good on average.
    pattern = SEPARATION * rng.normal(size=(CLASSES, FEATURES))
    means = np.stack([pattern, pattern])
    (x, y), (xt, yt) = draw(rng, n, means), draw(rng, tests, means)
    place = np.empty(n, dtype=int)
    for c in range(CLASSES):
        own = rng.permutation(np.flatnonzero(y == c))
        place[own] = np.arange(len(own)) % folds
    left_out = np.empty((2, folds))
    right = np.empty((2, folds, tests), dtype=bool)
    for fold in range(folds):
        train = place != fold
        for which in range(2):
            predicted = nearest_mean(x[train, which], y[train], np.concatenate([x[~train, which], xt[:, which]]))
            val, test = np.split(predicted, [n - int(train.sum())])
            left_out[which, fold] = (val == y[~train]).mean()
            right[which, fold] = test == yt
    return left_out, right.mean(-1), right.mean(1) > 0.5


def p_values(scores: Floats) -> tuple[float, float]:
    """Return p of the paired and of the corrected test; 1 where they are undefined."""
    one, two = scores
    corrected = corrected_resampled_t((one - two).tolist(), len(one) - 1, 1).p
    paired = paired_t(one.tolist(), two.tolist()).p
    return 1.0 if paired is None else paired, 1.0 if corrected is None else corrected


def rate(p: Iterable[float]) -> str:
    significant = np.array(list(p)) < LEVEL
    low, high = stats.binomtest(int(significant.sum()), len(significant)).proportion_ci()
    return f"{100 * significant.mean():5.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10_000)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--folds", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    rows: list[tuple[float, ...]] = []
    accuracy: list[float] = []
    for _ in range(options.repeats):
        left_out, test, votes = one_repeat(rng, options.n, options.folds, 280)
        accuracy.append(float(test.mean()))
        rows.append((*p_values(left_out), *p_values(test), mcnemar(votes[0], votes[1]).p))
    print(f"n = {options.n}, {options.folds} folds, {options.repeats} repeats, mean accuracy {np.mean(accuracy):.3f}")
    print(f"p < {LEVEL:g} in [95 % interval]")
    names = (
        "paired, left-out folds",
        "corrected, left-out folds",
        "paired, test images",
        "corrected, test images",
        "McNemar, test images",
    )
    for name, p in zip(names, zip(*rows, strict=True), strict=True):
        print(f"  {name:28} {rate(p)}")


if __name__ == "__main__":
    main()
