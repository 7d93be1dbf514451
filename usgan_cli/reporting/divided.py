"""What the split of a dataset divides that should lie on one side: copies of an image, and the images of a patient.

A split that usgan draws divides neither, but for copies that it was asked to ignore; a source's own may divide both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.text import plural


@dataclass(frozen=True)
class Divided:
    """Groups of images that lie on both sides of the split."""

    copies: int
    """Groups of copies."""
    patients: int
    """Groups of images of one patient (or file) that are not all copies of one another."""

    def cautions(self, data: DataManifest) -> Iterator[str]:
        """Yield what leaks from the training images into the test images."""
        leak = "on both sides of the split: test scores leak."
        if self.copies:
            yield f"{self.groups_of_copies()} {leak}"
        if self.patients:
            what = "frames of one file" if data.groups_from == "none" else "images of one patient"
            yield f"{plural(self.patients, f'group of {what} lies', f'groups of {what} lie')} {leak}"

    def groups_of_copies(self) -> str:
        """Return "2 groups of copies lie", which is to be continued."""
        return plural(self.copies, "group of copies lies", "groups of copies lie")


def divided(data: DataManifest) -> Divided:
    """Count the groups with images on both sides of the split."""
    side = {name: image.split for image in data.images for name in (image.source, image.file)}
    copies = sum(len({side[name] for name in group if name in side}) > 1 for group in data.duplicates)
    picture = {name: i for i, group in enumerate(data.duplicates) for name in group}
    splits: dict[int, set[str]] = {}
    pictures: dict[int, set[int | str]] = {}
    for image in data.images:
        splits.setdefault(image.group, set()).add(image.split)
        shown = picture.get(image.file, picture.get(image.source, image.file))
        pictures.setdefault(image.group, set()).add(shown)
    patients = sum(len(splits[group]) > 1 and len(pictures[group]) > 1 for group in splits)
    return Divided(copies, patients)
