"""External test sets, which finished classifiers are tested on."""

from __future__ import annotations

from dataclasses import dataclass

from usgan_cli.core.images.sets import ImageSet


@dataclass(frozen=True)
class External:
    """An external test set: its images, and what a classifier's record says of it."""

    images: ImageSet
    """Of the dataset's classes, in its order, though some may not occur."""
    digest: str
    near_training: int
    """Images that are copies of training images."""
