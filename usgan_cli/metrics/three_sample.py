"""The C_T test: are generated images nearer to the training images than held-out real images are?

Meehan, Chaudhuri, Dasgupta, "A three sample hypothesis test for evaluating generative models" (2020), section 3: the
Mann-Whitney statistic of the distances to the nearest training image, of generated against held-out images, as a
z-score in each cell of a partition of the space (k-means on the training images), averaged over the cells by their
shares of the held-out images. C_T below -3 is a sign of copying, above 3 of underfitting. It sees a shift of the whole
distribution: a tenth of copies among images that are far away goes unseen. Test images that are copies of one another
make its spread larger than 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from usgan_cli.metrics.features import Features
from usgan_cli.metrics.prdc import euclidean

IMAGES_OF_CELL = 50
"""Images of the smallest set for each cell, of which there are at most five."""
MOST_CELLS = 5
LEAST_IN_CELL = 10
"""A cell with fewer generated or held-out images is left out."""


def c_t(train: Features, held_out: Features, generated: Features, seed: int) -> float | None:
    """Return C_T of features [N, D] of the three samples; None where no cell has enough images."""
    smallest = min(len(train), len(held_out), len(generated))
    cells = min(max(smallest // IMAGES_OF_CELL, 1), MOST_CELLS)
    # One thread: the order in which several add up sums would decide the cells' last digits.
    with threadpool_limits(limits=1):
        partition = KMeans(cells, n_init=4, random_state=seed).fit(train.astype(np.float64))
        cell_of = [partition.predict(x.astype(np.float64)) for x in (held_out, generated)]
    nearest = [euclidean(x, train.copy()).min(axis=1) for x in (held_out, generated)]
    scores, shares = [], []
    for cell in range(cells):
        real, made = (distance[own == cell] for distance, own in zip(nearest, cell_of, strict=True))
        if min(len(real), len(made)) >= LEAST_IN_CELL:
            scores.append(z_score(real, made))
            shares.append(len(real))
    return float(np.average(scores, weights=shares)) if scores else None


def z_score(real: NDArray[np.float64], made: NDArray[np.float64]) -> float:
    """Return the Mann-Whitney statistic of distances, in standard errors: below 0 where the second are smaller."""
    m, n = len(made), len(real)
    u = float(stats.rankdata(np.concatenate([made, real]))[:m].sum()) - m * (m + 1) / 2
    return (u - m * n / 2) / float(np.sqrt(m * n * (m + n + 1) / 12))
