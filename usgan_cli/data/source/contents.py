"""What a source holds: its images in a stable order with class, side and group, and how to decode them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Literal

from PIL import Image

from usgan_cli.core.errors import SettingsError, UndecodableError
from usgan_cli.core.formats.dataset import LeftOut
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import IMAGE_SUFFIXES, Picture, Pixels
from usgan_cli.core.images.deep import Bits
from usgan_cli.core.store import files
from usgan_cli.data.source import dicom
from usgan_cli.data.source.dicom import Frames
from usgan_cli.data.source.files import Tree
from usgan_cli.data.source.names import path_key

Side = Literal["train", "test"]
LayoutName = Literal["class folders", "BUSI with masks", "phantoms", "table", "MedMNIST"]
Format = Literal["folders", "zip", "dicom", "csv", "medmnist"]
GroupsFrom = Literal["none", "csv", "folder", "column", "PatientID"]

Load = Callable[[Literal[1, 3]], Iterator[Picture]]
"""Decodes the images of one file, one after another; raises `UndecodableError` at the first that cannot be."""


@dataclass(frozen=True)
class SourceOptions:
    """How a source is read, as the options of `usgan prepare` describe it."""

    format: Format | None = None
    classes: tuple[str, ...] = ()
    """Empty for all, sorted by name (MedMNIST: by label)."""
    class_level: int | None = None
    frames: Frames = "first"
    bits: int | None = None
    """Of the gray values of files with more than 8 bits; None for those that all images use together."""
    groups: Path | Literal["folder", "none"] | None = None
    """A CSV file, the folder of each file, or nothing; None for what the source says (column group, PatientID)."""

    def refuse_class_level(self, source: Path) -> None:
        """Raise `SettingsError` if a class level was chosen for a source that has no class folders."""
        if self.class_level is not None:
            raise SettingsError(f"--class-level is for classes in folders; {source} names them itself.")


@dataclass(frozen=True)
class SourceImage:
    """One image of the source."""

    name: str
    """Its file, as the source knows it; frames of one file share it."""
    relative: str
    """What the manifest calls it: the path below the folder of the classes with forward slashes, and `#3` for the third
    frame of a file with several."""
    class_: str
    side: Side | None = None
    """Of the source's own split."""
    group: str | None = None
    frame: int | None = None
    """From 0; None for the only one of its file."""
    dicom: bool = False

    @property
    def path(self) -> str:
        """What the manifest calls the file, without the number of the frame."""
        return self.relative if self.frame is None else self.relative.rpartition("#")[0]


def in_order(images: Iterable[SourceImage], classes: Sequence[str]) -> tuple[SourceImage, ...]:
    """Sort images by class, then in natural order of their paths."""
    return tuple(sorted(images, key=lambda image: (classes.index(image.class_), path_key(image.relative))))


@dataclass(frozen=True)
class ImageSource:
    """The images of a source."""

    root: Path
    """What holds the classes: the folder itself or the only folder inside it, an archive, a table."""
    format: Format
    layout: LayoutName
    classes: tuple[str, ...]
    images: tuple[SourceImage, ...]
    """By class, then in natural order of the file names."""
    left_out: tuple[LeftOut, ...]
    nested: int = 0
    """How many images lie in folders inside their class folder."""
    named_levels: tuple[int, ...] = ()
    """Which folders of `relative`, from 0, name the class or the side of a split."""
    groups_from: GroupsFrom = "none"
    unused_groups: int = 0
    """Lines of the CSV file of groups that name no image."""
    listed_classes: bool = False
    """Whether the trainers' dataset.json names the classes, which the paths then do not say."""
    archive: Path | None = None
    """The file that holds all images."""
    head: Callable[[str, int], bytes] = field(repr=False, compare=False, default=lambda _, __: b"")
    read: Callable[[str], bytes] = field(repr=False, compare=False, default=lambda _: b"")
    arrays: Callable[[], Iterator[tuple[str, Pixels]]] | None = field(repr=False, compare=False, default=None)
    """For a source that is one file of arrays: yields the name and the pixels ([H, W] or [H, W, 3]) of every image."""

    @property
    def has_split(self) -> bool:
        """Whether the source comes with a split of its own."""
        return bool(self.images) and all(image.side is not None for image in self.images)

    def digest(self) -> str:
        """Return a digest of all that decides the result: names, classes, groups, and the content of every file."""
        if self.archive is not None and self.format in {"zip", "medmnist"}:
            return files.digest_json([self.format, files.sha256_file(self.archive)])
        names = list(dict.fromkeys(image.name for image in self.images))
        with ThreadPoolExecutor() as pool:
            content = dict(zip(names, pool.map(self._digest_of, names), strict=True))
        if self.format == "csv" or self.listed_classes:
            return files.digest_json([(i.relative, i.class_, i.side, i.group, content[i.name]) for i in self.images])
        return files.digest_json([(image.relative, content[image.name]) for image in self.images])

    def _digest_of(self, name: str) -> str:
        try:
            return files.sha256_bytes(self.read(name))
        except UndecodableError as error:
            return error.reason

    def load_all(self, bits: Bits | None = None) -> Iterator[tuple[list[int], Load]]:
        """Yield, file by file, the positions in `images` of a file's images and what decodes them.

        What is yielded can be called in any thread. Files come in an order that suits the source. `bits` are those that
        all images use together (see `measure_bits`).
        """
        if self.arrays is not None:
            position = {image.name: i for i, image in enumerate(self.images)}
            for name, row in self.arrays():
                if name in position:
                    yield [position[name]], _array_loader(row)
            return
        for unit in self.units():
            yield unit, self._file_loader([self.images[i] for i in unit], bits)

    def units(self) -> list[list[int]]:
        """Return the positions in `images` of each file's images."""
        units: dict[str, list[int]] = {}
        for i, image in enumerate(self.images):
            # A table may list one file under two labels, which makes two units.
            units.setdefault(f"{image.class_}\0{image.name}", []).append(i)
        return list(units.values())

    def _file_loader(self, unit: Sequence[SourceImage], bits: Bits | None) -> Load:
        def load(channels: Literal[1, 3]) -> Iterator[Picture]:
            data = self.read(unit[0].name)
            frames = [image.frame or 0 for image in unit]
            if unit[0].dicom:
                return dicom.decode_frames(data, frames, channels, bits)
            return (codec.decode_bytes(data, channels, frame, bits) for frame in frames)

        return load


def _array_loader(row: Pixels) -> Load:
    return lambda channels: iter([codec.to_picture(Image.fromarray(row), channels)])


def file_kind(tree: Tree, name: str, *, dicom_only: bool = False) -> Literal["image", "dicom"] | None:
    """Return what a file is by its suffix, or by its first bytes where the suffix says nothing."""
    suffix = PurePath(name).suffix.casefold()
    if suffix in IMAGE_SUFFIXES and not dicom_only:
        return "image"
    if suffix in dicom.SUFFIXES or dicom.looks_like(tree.head(name, dicom.HEAD)):
        return "dicom"
    return None


def expand_frames(image: SourceImage, tree: Tree, frames: Frames) -> list[SourceImage]:
    """Return the images that are taken of one file: several of a DICOM or TIFF file with frames.

    A DICOM file's PatientID becomes the group of its images. Raises `UndecodableError` for a file that cannot be read
    or holds no image.
    """
    count = 1
    if image.dicom:
        count, patient = dicom.read_header(tree.read(image.name))
        image = replace(image, group=patient or None)
    elif frames != "first" and PurePath(image.name).suffix.casefold() in {".tif", ".tiff"}:
        count = codec.count_frames(tree.read(image.name))
    if count == 1:
        return [image]
    chosen = {"first": [0], "middle": [count // 2], "all": list(range(count))}[frames]
    return [replace(image, relative=f"{image.relative}#{frame + 1}", frame=frame) for frame in chosen]
