"""Subsets of the training images for small-data experiments: nested and stratified.

For one seed the images of n = 50 are among those of n = 100, so that a smaller experiment differs from a larger one
by what it lacks and not by luck. Subsets are starts of one order, Tijdeman's solution of the chairman assignment
problem (Discrete Mathematics 32, 323-330, 1980).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.apportion import evenly_spread
from usgan_cli.core.errors import DataError
from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.core.machine.seeds import numpy_generator


def subsample(manifest: DataManifest, n: int, seed: int) -> Subset:
    """Draw `n` training images of a prepared dataset with the classes in proportion (see `stratified_nested_order`).

    Subsets of one seed are nested.
    """
    check_size(manifest, n)
    train = manifest.of("train")
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


def check_size(manifest: DataManifest, n: int) -> None:
    """Raise a `DataError` if there are not `n` training images, or if each class cannot have one of them."""
    there = len(manifest.of("train"))
    if n > there:
        raise DataError(
            f"A subset of {n} images was asked for; there are {there} training images.",
            f"Choose --n of at most {there}.",
        )
    if n < len(manifest.classes):
        raise DataError(
            f"A subset of {n} cannot hold each of the {len(manifest.classes)} classes ({', '.join(manifest.classes)}).",
            f"Choose --n of at least {len(manifest.classes)}.",
        )


def stratified_nested_order(labels: NDArray[np.int64], groups: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Order images so that every start of the order is stratified; the starts are nested by construction.

    `labels` and `groups` [N] are the class and the group of each image. Of the indices [N] returned, the first n hold
    every class once n is at least the number of classes, and each class within one image of its share n N_c / N as
    soon as every class's share is at least one image. Further images of a group come after the first ones of their
    class, so that a small start is not made smaller by repetitions.
    """
    classes, label = np.unique(labels, return_inverse=True)
    shuffled = numpy_generator(seed, "subset").permutation(len(labels))
    seen: set[tuple[int, int]] = set()
    first: list[list[int]] = [[] for _ in classes]
    copies: list[list[int]] = [[] for _ in classes]
    for i in shuffled:
        key = (int(label[i]), int(groups[i]))
        (copies if key in seen else first)[key[0]].append(int(i))
        seen.add(key)
    queues = [iter(a + b) for a, b in zip(first, copies, strict=True)]
    sequence = evenly_spread(np.bincount(label, minlength=len(classes)))
    return np.array([next(queues[c]) for c in sequence], dtype=np.int64)
