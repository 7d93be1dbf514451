"""Which images of one set are copies of images of another, from what preparing found or by searching."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.progress import Progress
from usgan_cli.data.copies.descriptors import thumbnail
from usgan_cli.data.copies.groups import find_duplicates, pixel_digest
from usgan_cli.data.copies.near import find_near_pairs


def listed_copies(manifest: DataManifest, images: ImageSet, others: ImageSet) -> NDArray[np.bool_]:
    """Return which images [N] of a prepared dataset are in one group of copies with any of the others.

    The groups are those that `usgan prepare` found, whatever it did about them.
    """
    group_of = {file: i for i, group in enumerate(manifest.duplicates) for file in group}
    groups = {group_of[file] for file in others.files if file in group_of}
    return np.array([group_of.get(file) in groups for file in images.files], dtype=bool)


def search_copies(images: ImageSet, others: ImageSet, progress: Progress) -> NDArray[np.bool_]:
    """Return which images [N] are copies, exact or near, of any of the others, by comparing all of them."""
    both = [*images.pixels, *others.pixels]
    near = find_near_pairs([thumbnail(pixels) for pixels in both], progress)
    groups = find_duplicates([pixel_digest(pixels) for pixels in both], [0] * len(both), near).groups
    return np.isin(groups[: len(images)], groups[len(images) :])
