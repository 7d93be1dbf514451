"""How often do the tests find a difference where there is none? Cross-validations of two equally good classifiers.

Each repeat draws a set of n training images and 280 test images, divides the training images into 5 folds, and
trains two classifiers on the same training sides: nearest class mean, on two different groups of features that tell
the classes apart equally well. Neither is better, so a test at the level 0.05 should find a difference in 5 repeats
of 100. As in the study's protocol the folds' training sides overlap and all models share the test images.

    python scripts/bench/null_rates.py [--repeats 10000] [--n 100]
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from usgan_cli.stats.ttest import corrected_resampled_t, mcnemar, paired_t

Floats = NDArray[np.float64]
CLASSES, FEATURES, SEPARATION = 3, 8, 0.55
SHARES = (0.56, 0.27, 0.17)


def draw(rng: np.random.Generator, count: int, means: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return images [N, 2, FEATURES] (two independent groups of features) and labels in BUSI's proportions."""
    labels = np.repeat(np.arange(CLASSES), np.diff(np.round(np.cumsum([0, *SHARES]) * count).astype(int)))
    return means[:, labels].transpose(1, 0, 2) + rng.normal(size=(count, 2, FEATURES)), labels


def nearest_mean(x: Floats, y: NDArray[np.int64], other: Floats) -> NDArray[np.int64]:
    means = np.stack([x[y == c].mean(0) for c in range(CLASSES)])
    distance: Floats = ((other[:, None] - means) ** 2).sum(-1)
    return distance.argmin(1)


def one_repeat(rng: np.random.Generator, n: int, folds: int, tests: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return scores [2, folds], and whether most of a classifier's models have a test image right [2, tests]."""
    # One pattern of class means for both groups of features: the two classifiers are equally good on average.
    pattern = SEPARATION * rng.normal(size=(CLASSES, FEATURES))
    means = np.stack([pattern, pattern])
    (x, y), (xt, yt) = draw(rng, n, means), draw(rng, tests, means)
    place = np.empty(n, dtype=int)
    for c in range(CLASSES):
        own = rng.permutation(np.flatnonzero(y == c))
        place[own] = np.arange(len(own)) % folds
    right = np.empty((2, folds, tests), dtype=bool)
    for fold in range(folds):
        train = place != fold
        for which in range(2):
            right[which, fold] = nearest_mean(x[train, which], y[train], xt[:, which]) == yt
    return right.mean(-1), right.mean(1) > 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10_000)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--folds", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {"paired": [], "corrected": [], "McNemar, majority of folds": []}
    accuracy: list[float] = []
    for _ in range(options.repeats):
        scores, votes = one_repeat(rng, options.n, options.folds, 280)
        accuracy.append(float(scores.mean()))
        found["paired"].append(paired_t(scores[0].tolist(), scores[1].tolist()).p or 1.0)
        corrected = corrected_resampled_t((scores[0] - scores[1]).tolist(), options.folds - 1, 1)
        found["corrected"].append(corrected.p or 1.0)
        found["McNemar, majority of folds"].append(mcnemar(votes[0], votes[1]).p)
    print(f"n = {options.n}, {options.folds} folds, {options.repeats} repeats, mean accuracy {np.mean(accuracy):.3f}")
    for name, p in found.items():
        hits = int((np.array(p) < 0.05).sum())
        low, high = stats.binomtest(hits, len(p)).proportion_ci()
        print(f"{name:28} p < 0.05 in {100 * hits / len(p):5.2f} % [{100 * low:.2f}, {100 * high:.2f}]")


if __name__ == "__main__":
    main()
