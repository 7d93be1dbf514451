"""Are generated images good enough to be judged by what they do to a classifier?

Three questions, each by a measure that real images pass and images that are plainly not ultrasound fail.

- Distance: are they nearer to the real test images than blurred real images are? The yardstick is real training images
  after a Gaussian filter whose sigma is 1/32 of their height: no speckle is left.
- Probe: can a linear classifier on features tell them from real test images without fail? The area under its ROC curve
  in stratified five-fold cross-validation, with as many images of one sort as of the other; after the classifier
  two-sample test of Lopez-Paz and Oquab, "Revisiting classifier two-sample tests" (2017). Real against real it is about
  a half.
- Place: do hardly any lie among the real ones (precision), or do they reach hardly any of those (coverage)? See `prdc`.

Images are too weak to judge if the distance fails, or if the probe and the place both do. A probe alone does not
decide: features show marks of a generator that matter to no one. `scripts/bench/enough.py` measures how often real
images and plainly unreal ones are called too weak.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from usgan_cli.core.formats.score import Probe, Quality, SetScores
from usgan_cli.core.machine.seeds import numpy_generator
from usgan_cli.core.text import joined, number
from usgan_cli.metrics.bootstrap import CONFIDENCE
from usgan_cli.metrics.features import Features

FOLDS = 5
PENALTY = 0.01
"""Inverse strength of the probe's penalty: strong, since there are more features than images."""

TELLING = 0.95
"""A probe whose area's interval lies above this tells nearly every image."""

LEAST_SHARE = 0.1
"""Of the images among the real ones, and of the real ones among them. Of BUSI's real images a precision of 0.68 to 0.76
and a coverage of 0.28 to 0.96 (25 to 250 images against 280) were measured, of phantoms 0.00 and 0.01."""


def probe(real: Features, other: Features, seed: int) -> Probe | None:
    """Return how well a linear classifier tells other images [N2, D] from real ones [N1, D].

    Of the larger set as many are drawn as the smaller has. None with fewer than two images a fold.
    """
    count = min(len(real), len(other))
    if count < 2 * FOLDS:
        return None
    generator = numpy_generator(seed, "score", "probe")
    rows = [generator.permutation(len(x))[:count] for x in (real, other)]
    x = np.concatenate([real[rows[0]], other[rows[1]]]).astype(np.float64)
    y = np.repeat([0, 1], count)
    order = generator.permutation(len(y))
    x, y = x[order], y[order]
    scores = np.empty(len(y))
    # The matrices are small: several BLAS threads would wait for each other.
    with threadpool_limits(limits=1, user_api="blas"):
        for train, left_out in StratifiedKFold(FOLDS).split(x, y):
            model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=1000))
            model.fit(x[train], y[train])
            # Ranks within a fold: the folds' models have scales of their own.
            scores[left_out] = stats.rankdata(model.decision_function(x[left_out])) / len(left_out)
    area, spread = area_under_curve(scores[y == 0], scores[y == 1])
    reach = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * spread
    return Probe(auc=area, interval=(max(area - reach, 0.0), min(area + reach, 1.0)), images=count)


def area_under_curve(negative: NDArray[np.float64], positive: NDArray[np.float64]) -> tuple[float, float]:
    """Return the area under the ROC curve of scores [N1] and [N2], and its standard error.

    DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves" (1988). The error of a perfect score is at least that of one image in (N1 + N2) ranked last.
    """
    wins = (positive[:, None] > negative).astype(np.float64) + 0.5 * (positive[:, None] == negative)
    area = float(wins.mean())
    variance = wins.mean(axis=1).var(ddof=1) / len(positive) + wins.mean(axis=0).var(ddof=1) / len(negative)
    return area, max(float(np.sqrt(variance)), 1 / (len(negative) + len(positive)))


def quality(
    scores: SetScores, probed: Probe | None, real: Probe | None, *, fd: float, blurred_fd: float, blurred_count: int
) -> Quality:
    """Return whether images are good enough to be judged, with the reasons where they are not.

    `probed` is of these images, `real` of real training images. `fd` is the distance of the first `blurred_count` of
    the images, and `blurred_fd` that of as many blurred ones, the yardstick.
    """
    reasons = []
    far = fd >= blurred_fd
    if far:
        distances = f"{number(fd, 1)}, those {number(blurred_fd, 1)}"
        reasons.append(f"they are no nearer to real images than blurred ones are ({distances})")
    told = probed is not None and probed.interval[0] > TELLING
    if probed is not None and told:
        reasons.append(f"a linear classifier tells them from real ones (AUC {number(probed.auc, 2)})")
    shares = {"precision": scores.precision, "coverage": scores.coverage}
    low = [f"{name} {number(value, 2)}" for name, value in shares.items() if value is not None and value < LEAST_SHARE]
    if low:
        reasons.append(f"they are hardly among the real ones ({joined(low)})")
    return Quality(
        weak=far or (told and bool(low)),
        reasons=reasons,
        blurred_fd=blurred_fd,
        blurred_count=blurred_count,
        probe=probed,
        real_probe=real,
    )
