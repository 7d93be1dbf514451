"""Training images of the control arms, which show where a gain comes from if it is not the GAN's.

`copies`: further copies of real training images, as many as other classifiers have generated ones. `classical`: the
same copies, each changed by strong augmentation. `shuffled`: generated images whose labels are shuffled among them,
so that they teach nothing about the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from usgan_cli.classify.augment import trivial_augment
from usgan_cli.core.apportion import class_quotas
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine.seeds import numpy_generator, torch_generator


def copies(side: ImageSet, counts: Sequence[int], total: int, seed: int, *, augmented: bool) -> ImageSet:
    """Return `total` copies of a fold's training images, of every class as many as of generated ones.

    The images of a class are copied in a random order, all of them once before any is copied again: the copies for a
    smaller total are among those for a larger one. They have the proportions of `counts`, the real images of each
    class. With `augmented` every copy is changed by `trivial_augment`, in the same way in all folds.
    """
    chosen: list[int] = []
    numbers: list[int] = []
    for class_, quota in enumerate(class_quotas(counts, total)):
        order = numpy_generator(seed, "copies", class_).permutation(np.flatnonzero(side.labels == class_))
        chosen += [int(order[i % len(order)]) for i in range(quota)]
        numbers += [i // len(order) for i in range(quota)]
    made = side.take(np.array(chosen, dtype=np.int64), f"copies of {side.name}")
    if not augmented:
        return made
    changed = [
        trivial_augment(torch.from_numpy(pixels)[None], torch_generator(seed, "classical", file, number))
        for pixels, file, number in zip(made.pixels, made.files, numbers, strict=True)
    ]
    return replace(made, pixels=torch.cat(changed).numpy())


def with_shuffled_labels(images: ImageSet, seed: int) -> ImageSet:
    """Return the images with their labels in a random order, so that every class keeps its number of images."""
    return replace(images, labels=numpy_generator(seed, "shuffled labels").permutation(images.labels))
