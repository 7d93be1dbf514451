"""Choice of synthetic images: those that a classifier of the real images, or their distance to them, speaks for.

Both look at the features of the frozen backbone, and at one fold's real training images alone, so that no validation
or test image has a say in what is trained on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from usgan_cli.classify.folds import Indices
from usgan_cli.classify.frozen import LinearHead
from usgan_cli.core.formats.classifier import Selection

SELECTIONS: tuple[Selection, ...] = ("confidence", "distance")
C = 0.1
"""Inverse penalty of the head that judges; its order of images hardly depends on it."""


def preference(
    by: Selection,
    real: tuple[NDArray[np.float32], NDArray[np.int64]],
    synthetic: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> Indices:
    """Return the positions of synthetic images, the most trusted first.

    Parameters
    ----------
    by : {"confidence", "distance"}
        "confidence": the probability of an image's class by a linear head fitted to the real images; "distance": the
        cosine distance to the nearest real image of its class, the nearest first. Copies of training images are the
        nearest of all: with a GAN that repeats them, this chooses them.
    real, synthetic : pairs of features [N, V, D] of V views and labels [N]
        Real ones are those of the fold's training side.
    """
    if by == "confidence":
        head = LinearHead(*real, "none")
        merit = head.probability(synthetic[0], C)[np.arange(len(synthetic[1])), synthetic[1]]
    else:
        merit = np.empty(len(synthetic[1]))
        for class_ in np.unique(synthetic[1]):
            own = synthetic[1] == class_
            near = real[0][real[1] == class_]
            merit[own] = -cdist(synthetic[0][own][:, 0], near.reshape(-1, near.shape[-1]), "cosine").min(1)
    return np.argsort(-merit, kind="stable")
