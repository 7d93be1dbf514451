"""Format of an external test set: images from elsewhere that every classifier is tested on."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from usgan_cli.core.errors import MissingError
from usgan_cli.core.formats.dataset import LeftOut, check_listed, counts_by_class
from usgan_cli.core.store.document import ClassName, Document, InnerFile, Part, read_main


class ExternalImage(Part):
    """One image of an external test set."""

    file: InnerFile
    """Path relative to the set's folder."""
    class_: str = Field(alias="class")
    """Of the dataset."""
    sha256: str
    source: str
    """As in `DataImage`."""
    near_training: bool
    """Whether it is a copy, exact or near, of a training image of the dataset."""


class ExternalManifest(Document):
    """`external/NAME/manifest.json`: every image of an external test set, brought to the size of the dataset."""

    FORMAT = "usgan/external"
    FILE = "manifest.json"

    name: str
    data: str
    """Content digest of the dataset that it was prepared for."""
    classes: list[ClassName]
    """Of the dataset, in its order; the set may lack some."""
    mapped: dict[str, str]
    """Class of the dataset by the name that its source has for it; empty: left out. Equal names are not listed."""
    size: int
    """Height and width, pixels."""
    channels: int
    fit: str
    images: list[ExternalImage]
    left_out: list[LeftOut]

    @model_validator(mode="after")
    def _consistent(self) -> ExternalManifest:
        check_listed(self.classes, self.images)
        return self

    def file_digests(self) -> dict[str, str]:
        """Return the digest of every image."""
        return {image.file: image.sha256 for image in self.images}

    def class_counts(self) -> dict[str, int]:
        """Return the number of images of each class, 0 for one that the set lacks."""
        return counts_by_class(self.classes, self.images)

    @property
    def missing(self) -> list[str]:
        """The classes of the dataset that the set lacks."""
        return [name for name, count in self.class_counts().items() if count == 0]

    @property
    def near_training(self) -> int:
        """Number of images that are copies of training images."""
        return sum(image.near_training for image in self.images)


def read_external(folder: Path) -> ExternalManifest:
    """Read the manifest of an external test set."""
    path = folder / ExternalManifest.FILE
    if not path.is_file():
        raise MissingError(
            f"{folder} holds no external test set.", f"Make it: usgan prepare --external {folder.name}=DIR"
        )
    return read_main(folder, ExternalManifest)
