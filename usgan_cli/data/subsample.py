"""Subsets of the training images for small-data experiments: nested and stratified.

For one seed the images of n = 50 are among those of n = 100, so that a smaller experiment differs from a larger one
by what it lacks and not by luck.
"""

from __future__ import annotations

import numpy as np

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.data.split import stratified_nested_order


def subsample(manifest: DataManifest, n: int, seed: int) -> Subset:
    """Draw `n` training images with the classes in proportion (see `split.stratified_nested_order`).

    Parameters
    ----------
    manifest : DataManifest
        The prepared dataset.
    n : int
        Number of images, from the number of classes to the number of training images.
    seed : int
        At least 0. Subsets of one seed are nested.

    Returns
    -------
    Subset

    Raises
    ------
    DataError
        There are fewer training images than `n`, or `n` is too small to hold every class.
    SettingsError
        The seed is negative.
    """
    train = manifest.of("train")
    if seed < 0:
        raise SettingsError(f"A seed is at least 0, not {seed}.")
    if n > len(train):
        raise DataError(
            f"A subset of {n} images was asked for; there are {len(train)} training images.",
            f"Choose --n of at most {len(train)}.",
        )
    if n < len(manifest.classes):
        raise DataError(
            f"A subset of {n} cannot hold each of the {len(manifest.classes)} classes ({', '.join(manifest.classes)}).",
            f"Choose --n of at least {len(manifest.classes)}.",
        )
    labels = np.array([manifest.classes.index(image.class_) for image in train], dtype=np.int64)
    groups = np.array([image.group for image in train], dtype=np.int64)
    chosen = np.sort(stratified_nested_order(labels, groups, seed)[:n])
    return Subset(
        n=n,
        seed=seed,
        data=manifest.content_digest(),
        classes=manifest.classes,
        images=[train[i].file for i in chosen],
    )
