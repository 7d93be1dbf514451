"""Images to be compared with others: a folder or an archive of them, with or without class folders, at one size."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from usgan_cli.core.errors import DataError, MissingError, UndecodableError
from usgan_cli.core.formats.dataset import LeftOut
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import IMAGE_SUFFIXES, Fit, Picture
from usgan_cli.core.images.deep import Bits
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine.threads import available_cores
from usgan_cli.core.names import folder_names
from usgan_cli.core.progress import Progress
from usgan_cli.core.store import files
from usgan_cli.core.text import on_one_line, plural
from usgan_cli.data import notes
from usgan_cli.data.source import classes, dicom
from usgan_cli.data.source.contents import ImageSource, Load, SourceImage, expand_frames
from usgan_cli.data.source.depth import measure_bits
from usgan_cli.data.source.masks import MASK, Look, find_masks, masks_by_content, tones
from usgan_cli.data.source.names import shown
from usgan_cli.data.source.scan import list_tree, open_tree
from usgan_cli.data.source.threads import MOST_WORKERS, ordered_map
from usgan_cli.data.source.trainer_labels import read_trainer_labels

UNCLASSED = "all"
"""Class of the images outside of folders, and of those without a label where others have one."""


@dataclass(frozen=True)
class Like:
    """The prepared dataset that images are to be like."""

    classes: tuple[str, ...]
    channels: int
    size: int
    """Height and width, pixels."""

    def class_of(self, folder: str) -> str | None:
        """Return the class that a folder is named after, as it is called or as its folder in the dataset is."""
        if folder in self.classes:
            return folder
        return next((name for name, own in folder_names(self.classes).items() if own == folder), None)


def load_folders(
    folders: Sequence[Path], *, fit: Fit, bits: int | None, progress: Progress, like: Like | None = None
) -> tuple[list[ImageSet], list[str]]:
    """Load folders or archives of images to be compared, each in the order of its paths; return what was changed too.

    If any image is coloured, all become colour, otherwise all become gray. An image's class is the first folder on the
    way to it, below a chain of lone folders; images outside of folders form one class. Masks are left out. Images of
    different sizes are brought to one, the smallest of what is usual in each folder, as `fit` says (see `codec.fit`);
    `bits` are as in `measure_bits`, for each folder by itself. With `like`, the images get that dataset's channels and
    size, and its names for their classes where they have one: numbers in dataset.json count its classes from 0.
    """
    sources = [_scan(folder, like) for folder in folders]
    ranges = [measure_bits(source, bits) for source in sources]
    pairs = list(zip(sources, ranges, strict=True))
    coloured = like is not None and like.channels == 3
    pictures = [_decode(source, used, coloured=coloured) for source, used in pairs]
    if like is None and any(picture.coloured for group in pictures for picture in group):
        pictures = [_decode(source, used, coloured=True) for source, used in pairs]
    said: list[str] = []
    for k, source in enumerate(sources):
        sources[k], pictures[k] = _without_masks(source, pictures[k], said, progress)
        notes.report_bits(ranges[k], [int(picture.pixels.max()) for picture in pictures[k]], progress)
    size = _common_size(pictures) if like is None else (like.size, like.size)
    sets = []
    for folder, source, group in zip(folders, sources, pictures, strict=True):
        said += _resized(folder, group, size, fit)
        sets.append(_image_set(folder, source, [codec.fit(picture.pixels, size, fit) for picture in group]))
    return sets, said


def content_digest(images: ImageSet) -> str:
    """Return the SHA-256 of a set's pixels, classes and file names."""
    labels = [images.classes[label] for label in images.labels]
    pixels = files.sha256_bytes(images.pixels.tobytes())
    return files.digest_json([list(images.pixels.shape), pixels, labels, list(images.files)])


def _scan(folder: Path, like: Like | None) -> ImageSource:
    """List the images of a folder or archive."""
    if not folder.exists():
        raise MissingError(f"The folder {shown(str(folder))} does not exist.")
    tree = open_tree(folder)
    listing, kinds = list_tree(tree)
    pictures = [name for name, kind in kinds.items() if kind is not None]
    masks, _ = find_masks(pictures)
    plain = sorted(set(pictures) - masks.keys(), key=lambda name: name.split("/"))
    if not plain:
        kinds_read = ", ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(f"The folder {shown(str(folder))} holds no images ({kinds_read} and DICOM).")
    if any(kinds[name] == "dicom" for name in plain):
        dicom.require(str(folder))
    labels = read_trainer_labels(tree, listing.files, plain)
    if labels is not None and like is not None:
        labels = labels.named(like.classes)
    root = labels.root if labels is not None else _root(plain, like)
    images: list[SourceImage] = []
    left_out = [LeftOut(source=shown(name), reason=reason) for name, reason in masks.items()]
    for name in plain:
        relative = name.removeprefix(root)
        first, slash, _ = relative.partition("/")
        class_ = shown(first) if slash else UNCLASSED
        if like is not None:
            class_ = like.class_of(class_) or class_
        if labels is not None:
            class_ = labels.label_of.get(name, UNCLASSED)
        elif slash and classes.split_word(first) and not (like is not None and class_ in like.classes):
            raise DataError(
                f"{shown(str(folder / root / first))} is named for a side of a split, which is not a class.",
                "Name the folder of one side, or move the images into folders of classes.",
            )
        image = SourceImage(name, shown(relative), class_, dicom=kinds[name] == "dicom")
        try:
            images += expand_frames(image, tree, "first")
        except UndecodableError as error:
            if error.reason != dicom.SEGMENTATION:
                raise _undecodable(folder, name, error) from None
            left_out.append(LeftOut(source=image.relative, reason=MASK))
    names = tuple(sorted({image.class_ for image in images}))
    return ImageSource(
        folder,
        "folders",
        "class folders",
        names,
        tuple(images),
        (*listing.left_out, *left_out),
        head=tree.head,
        read=tree.read,
    )


def _root(plain: Sequence[str], like: Like | None) -> str:
    """Return the folder that holds the class folders ("a/b/"); a lone folder named after a class is one of them."""
    root = classes.enter(classes.folders_of(plain), plain)
    parts = root.split("/")[:-1]
    for i, part in enumerate(parts):
        if like is not None and like.class_of(shown(part)) is not None:
            return "".join(f"{above}/" for above in parts[:i])
    return root


def _undecodable(folder: Path, name: str, error: UndecodableError) -> DataError:
    path = on_one_line(shown(str(folder / name)))
    return DataError(f"{path} cannot be decoded as an image: {error.reason}.")


def _decode(source: ImageSource, bits: Bits, *, coloured: bool) -> list[Picture]:
    """Decode all images of a source, in its order; an error names the file."""

    def decode(unit: tuple[list[int], Load]) -> list[tuple[int, Picture]]:
        places, load = unit
        try:
            return list(zip(places, load(3 if coloured else 1), strict=True))
        except UndecodableError as error:
            raise _undecodable(source.root, source.images[places[0]].name, error) from None

    pictures: dict[int, Picture] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in `decode_all`
        for unit in ordered_map(decode, source.load_all(bits), min(MOST_WORKERS, available_cores())):
            pictures.update(unit)
    return [pictures[i] for i in range(len(source.images))]


def _without_masks(
    source: ImageSource, pictures: list[Picture], said: list[str], progress: Progress
) -> tuple[ImageSource, list[Picture]]:
    looks = [
        Look(image.path, (picture.pixels.shape[1], picture.pixels.shape[2]), tones(picture.pixels))
        for image, picture in zip(source.images, pictures, strict=True)
    ]
    found = masks_by_content(looks)
    by_content = [source.images[i].relative for i, reason in found.items() if reason != MASK]
    if by_content:
        progress.warn(notes.left_out_by_content(by_content))
    if count := len(found) + sum(item.reason == MASK for item in source.left_out):
        said.append(f"{plural(count, 'mask')} in {shown(source.root.resolve().name)} left out.")
    kept = [i for i in range(len(pictures)) if i not in found]
    images = tuple(source.images[i] for i in kept)
    names = tuple(sorted({image.class_ for image in images}))
    return replace(source, images=images, classes=names), [pictures[i] for i in kept]


def _common_size(pictures: Sequence[Sequence[Picture]]) -> tuple[int, int]:
    """Return the size that all images are brought to: their own, or the smallest of what is usual in each folder."""
    usual = []
    for group in pictures:
        heights, widths = zip(*(picture.pixels.shape[1:] for picture in group), strict=True)
        usual.append((round(median(heights)), round(median(widths))))
    return min(usual, key=lambda size: (size[0] * size[1], size))


def _resized(folder: Path, pictures: Sequence[Picture], size: tuple[int, int], fit: Fit) -> list[str]:
    """Return what to say of images that are brought to another size."""
    others = [picture.pixels.shape[1:] for picture in pictures if picture.pixels.shape[1:] != size]
    if not others:
        return []
    enlarged = sum(height < size[0] or width < size[1] for height, width in others)
    more = f"; {enlarged} of them had to be enlarged" if enlarged else ""
    return [
        f"{plural(len(others), 'image')} of {len(pictures)} in {shown(folder.resolve().name)} brought to {size[0]} x "
        f"{size[1]} pixels (rows x columns, --fit {fit}){more}."
    ]


def _image_set(folder: Path, source: ImageSource, pixels: Sequence[codec.Pixels]) -> ImageSet:
    return ImageSet(
        shown(folder.resolve().name),
        np.stack(pixels),
        np.array([source.classes.index(image.class_) for image in source.images], dtype=np.int64),
        source.classes,
        tuple(image.relative for image in source.images),
        np.arange(len(pixels), dtype=np.int64),
    )
