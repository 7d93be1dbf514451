"""Formats of real and simulated images: the prepared dataset, a subset of its training images, a folder of phantoms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from usgan_cli.core.errors import DamagedError, DataError, MissingError
from usgan_cli.core.store.document import ClassName, Document, InnerFile, Part, read_main


class DataImage(Part):
    """One image of the prepared dataset."""

    file: InnerFile
    """Path relative to the dataset's folder."""
    class_: str = Field(alias="class")
    split: Literal["train", "test"]
    group: int
    """Images of one group (copies, one patient, frames of one file) are never divided by a split or a fold."""
    sha256: str
    source: str
    """Path below the folder that holds the classes, with `#3` for a file's third frame; for arrays `train/12`."""


class NearCopy(Part):
    """Two files that show the same picture in different pixels."""

    first: str
    second: str
    score: float
    """Agreement of their fine detail after alignment, up to 1 for the same picture."""
    mirrored: bool


class LeftOut(Part):
    """A file of the source that is not in the dataset."""

    source: str
    reason: str


class DataManifest(Document):
    """`data/manifest.json`: every image, its class, its side of the split and where it came from."""

    FORMAT = "usgan/data"
    FILE = "manifest.json"

    classes: list[ClassName]
    size: int
    """Height and width, pixels."""
    channels: int
    layout: str  # "class folders", "BUSI with masks", "phantoms", "table" or "MedMNIST"
    source_format: Literal["folders", "zip", "dicom", "csv", "medmnist"] = "folders"
    split_from: Literal["usgan", "source"] = "usgan"
    groups_from: Literal["none", "csv", "folder", "column", "PatientID"] = "none"
    """Where the grouping came from, besides equal pixels; patients' names are not kept."""
    frames: Literal["first", "middle", "all"] = "first"
    bits: dict[str, int] = Field(default_factory=dict)
    """Bits of the range that became 0 to 255, by kind of number ("integers", "signed", "floats"); empty where no file
    holds more than 8."""
    resampling: str
    fit: str
    test_share: float
    seed: int
    images: list[DataImage]
    left_out: list[LeftOut]
    duplicates: list[list[str]]
    """Groups of files that are copies: the same decoded pixels, or near-copies."""
    near_copies: list[NearCopy] = Field(default_factory=list)
    """The pairs that link different pixels in these groups; exact copies are represented by the first."""
    duplicate_policy: Literal["group", "drop", "ignore"] = "group"
    conflict_policy: Literal["keep", "drop", "error"] = "keep"
    conflicts: list[list[str]]
    """Groups of copies with more than one class."""

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave `bits` out where it says nothing, so that datasets made before it was recorded keep their digest."""
        body: dict[str, Any] = handler(self)
        if not self.bits:
            body.pop("bits", None)
        return body

    @model_validator(mode="after")
    def _consistent(self) -> DataManifest:
        check_listed(self.classes, self.images)
        return self

    def file_digests(self) -> dict[str, str]:
        """Return the digest of every image."""
        return {image.file: image.sha256 for image in self.images}

    def of(self, split: Literal["train", "test"]) -> list[DataImage]:
        """Return the images of one side of the split, in order."""
        return [image for image in self.images if image.split == split]

    def files(self, split: Literal["train", "test"]) -> set[str]:
        """Return the files of one side of the split."""
        return {image.file for image in self.of(split)}

    def class_counts(self, split: Literal["train", "test"] | None = None) -> dict[str, int]:
        """Return the number of images of each class on one side of the split, or in all."""
        return counts_by_class(self.classes, self.images if split is None else self.of(split))


class Subset(Document):
    """`subsets/n100-s0.json`: the training images that a small-data experiment may use."""

    FORMAT = "usgan/subset"

    n: int
    seed: int
    data: str
    """Content digest of the dataset's manifest."""
    classes: list[ClassName]
    images: list[InnerFile]
    """Files of the dataset, in its order."""

    def pick(self, manifest: DataManifest) -> list[DataImage]:
        """Return the subset's images, in the order of the dataset that it was drawn from."""
        if self.data != manifest.content_digest():
            raise DataError(
                f"The subset n={self.n}, seed {self.seed} was drawn from another version of the dataset.",
                f"Draw it again: usgan subsample --n {self.n} --seed {self.seed} --force",
            )
        files, known = set(self.images), {image.file for image in manifest.of("train")}
        picked = [image for image in manifest.of("train") if image.file in files]
        if not len(picked) == len(self.images) == self.n:
            unknown = next((file for file in self.images if file not in known), None)
            problem = "lists an image twice" if unknown is None else f"names {unknown!r}, no training image there"
            raise DamagedError(
                f"The subset n={self.n}, seed {self.seed} has {len(picked)} of its {self.n} images in the dataset: it "
                f"{problem}.",
                f"Draw it again: usgan subsample --n {self.n} --seed {self.seed} --force",
            )
        return picked

    def class_counts(self, manifest: DataManifest) -> dict[str, int]:
        """Return the number of images of each class (see `pick`)."""
        return counts_by_class(self.classes, self.pick(manifest))


class Listed(Protocol):
    """An image of a manifest."""

    @property
    def file(self) -> str: ...  # noqa: D102
    @property
    def class_(self) -> str: ...  # noqa: D102


def counts_by_class(classes: Sequence[str], images: Sequence[Listed]) -> dict[str, int]:
    """Return the number of images of each class, 0 for one without any."""
    return {name: sum(image.class_ == name for image in images) for name in classes}


def check_listed(classes: Sequence[str], images: Sequence[Listed]) -> None:
    """Raise a `ValueError` for an image of a class that there is not, and for a file that is listed twice."""
    known = set(classes)
    for image in images:
        if image.class_ not in known:
            raise ValueError(f"image {image.file!r} has the unknown class {image.class_!r}")
    if len({image.file for image in images}) != len(images):
        raise ValueError("a file is listed twice")


class Phantoms(Document):
    """`phantoms.json`: a folder of simulated images."""

    FORMAT = "usgan/phantoms"
    FILE = "phantoms.json"

    counts: dict[str, int]
    size: int
    seed: int
    images: dict[str, str]
    """SHA-256 of each file."""

    def file_digests(self) -> dict[str, str]:
        """Return the digest of every image."""
        return dict(self.images)


def read_manifest(folder: Path) -> DataManifest:
    """Read the manifest of a prepared dataset."""
    path = folder / DataManifest.FILE
    if not path.is_file():
        raise MissingError(f"{folder} holds no prepared dataset.", "Make one: usgan prepare SOURCE")
    return read_main(folder, DataManifest)
