"""Reading a source: which format it has, its classes and images, and which images belong together.

A source is recognised by its content: a folder or a .zip archive of class folders of image or DICOM files (BUSI's own
release among them, Al-Dhabyani et al., Data in Brief 28, 104863, 2020, with the lesion masks beside the images); a CSV
file of paths and labels; one of MedMNIST's .npz files.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from usgan_cli.core.errors import DataError, SettingsError, UndecodableError
from usgan_cli.core.formats.dataset import LeftOut, Phantoms
from usgan_cli.core.store.document import RunDocument
from usgan_cli.core.text import on_one_line
from usgan_cli.data.source import classes, csv_table, dicom, medmnist
from usgan_cli.data.source.classes import LAYOUT_HINT
from usgan_cli.data.source.contents import (
    Format,
    ImageSource,
    LayoutName,
    SourceImage,
    SourceOptions,
    expand_frames,
    file_kind,
)
from usgan_cli.data.source.files import FolderTree, Listing, Tree, ZipTree
from usgan_cli.data.source.masks import MASK
from usgan_cli.data.source.names import shown
from usgan_cli.data.source.trainer_labels import read_trainer_labels

PHANTOMS = Phantoms.FILE
"""What `usgan phantom` leaves beside the class folders of its images."""

_OWN_RECORDS = frozenset({PHANTOMS, RunDocument.FILE})
_DEFAULTS = SourceOptions()
_OTHER_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".rar", ".7z", ".xz", ".bz2"})


def scan(source: Path, options: SourceOptions = _DEFAULTS, exclude: Sequence[Path] = ()) -> ImageSource:
    """List the classes and images of a source.

    It is a folder or .zip archive of class folders at any depth, a CSV file with the columns path, label and perhaps
    group and split, or an .npz file of MedMNIST. `exclude` are places that may lie inside a source folder without
    belonging to it (where results are written).
    """
    source_format = _recognise(source, options)
    if source_format == "medmnist":
        scanned = medmnist.scan(source, options)
    elif source_format == "csv":
        scanned = csv_table.scan(source, options)
    else:
        scanned = _scan_tree(open_tree(source, exclude), source_format, options)
    return _with_groups(scanned, options)


def _recognise(source: Path, options: SourceOptions) -> Format:
    """Return the format of a source, and check that the one insisted on is possible."""
    if not source.exists():
        raise DataError(f"{source} does not exist.", LAYOUT_HINT)
    seen = _format_by_content(source)
    required = options.format
    if required == "dicom" and seen in {"folders", "zip"}:
        return "dicom"
    if required is None or required == seen:
        if seen is None:
            raise DataError(
                f"{source} is a file, but not one of images by class: a .zip archive, a CSV file or a MedMNIST .npz.",
                "Unpack other archives and name the folder."
                if source.suffix.casefold() in _OTHER_ARCHIVES
                else LAYOUT_HINT,
            )
        return seen
    if source.is_dir() or required in {"folders", "dicom"} or (required == "zip" and not zipfile.is_zipfile(source)):
        what = "a folder" if source.is_dir() else f"a file{f' of the format {seen}' if seen else ''}"
        raise SettingsError(f"--format {required} does not fit {source}, which is {what}.")
    return required


def _format_by_content(source: Path) -> Format | None:
    if source.is_dir():
        return "folders"
    if zipfile.is_zipfile(source):
        return "medmnist" if medmnist.looks_like(source) else "zip"
    return "csv" if source.suffix.casefold() in {".csv", ".tsv", ".txt"} else None


def open_tree(path: Path, exclude: Sequence[Path] = ()) -> Tree:
    """Return the files of a folder, or of an archive."""
    return FolderTree(path, tuple(exclude)) if path.is_dir() else ZipTree(path)


def list_tree(tree: Tree, *, dicom_only: bool = False) -> tuple[Listing, dict[str, Literal["image", "dicom"] | None]]:
    """List a tree without the records that usgan leaves beside images, and say what each file is (those too)."""
    listing = tree.listing()
    kinds = {name: file_kind(tree, name, dicom_only=dicom_only) for name in listing.files}
    return _without_records(listing), kinds


def _scan_tree(tree: Tree, source_format: Format, options: SourceOptions) -> ImageSource:
    """List the images of class folders, on disk or in an archive."""
    listing, kinds = list_tree(tree, dicom_only=source_format == "dicom")
    pictures = [name for name, kind in kinds.items() if kind is not None]
    labels = read_trainer_labels(tree, listing.files, pictures)
    if labels is not None:
        layout = classes.arrange_labelled(listing, pictures, tree.top, labels, options)
    else:
        layout = classes.arrange(listing, pictures, tree.top, options.class_level, options.classes)
    root = tree.top / layout.root if layout.root else tree.top
    if any(kinds[image.name] == "dicom" for image in layout.images):
        dicom.require(str(root))
    images: list[SourceImage] = []
    rejected: list[LeftOut] = []
    for image in layout.images:
        try:
            images += expand_frames(replace(image, dicom=kinds[image.name] == "dicom"), tree, options.frames)
        except UndecodableError as error:
            reason = MASK if error.reason == dicom.SEGMENTATION else error.reason
            rejected.append(LeftOut(source=image.relative, reason=reason))
    layout_name: LayoutName = "class folders"
    left_out = (*layout.left_out, *rejected)
    if f"{layout.root}{PHANTOMS}" in kinds:
        layout_name = "phantoms"
    elif any(item.reason == MASK and "_mask" in item.source.casefold() for item in left_out):
        layout_name = "BUSI with masks"
    if source_format == "folders" and images and all(image.dicom for image in images):
        source_format = "dicom"
    return ImageSource(
        root,
        source_format,
        layout_name,
        layout.classes,
        tuple(images),
        left_out,
        layout.nested,
        layout.named_levels,
        "PatientID" if any(image.group for image in images) else "none",
        listed_classes=labels is not None,
        archive=tree.top if isinstance(tree, ZipTree) else None,
        head=tree.head,
        read=tree.read,
    )


def _without_records(listing: Listing) -> Listing:
    """Leave out the files that usgan writes beside its phantoms."""
    folders = {name.rpartition("/")[0] for name in listing.files if name.rpartition("/")[2] == PHANTOMS}
    own = {f"{folder}/{name}" if folder else name for folder in folders for name in _OWN_RECORDS}
    return replace(listing, files=tuple(name for name in listing.files if name not in own))


def _with_groups(source: ImageSource, options: SourceOptions) -> ImageSource:
    """Give the images the groups that the options ask for, and check that there is more than one."""
    groups = options.groups
    if groups == "none":
        return replace(source, images=tuple(replace(i, group=None) for i in source.images), groups_from="none")
    if groups == "folder":
        source = _groups_from_folders(source)
    elif groups is not None:
        source = _groups_from_table(source, Path(groups))
    names = Counter(image.group for image in source.images)
    if source.groups_from != "none" and len(names) == 1 and len({image.name for image in source.images}) > 1:
        raise DataError(
            f"All images of {source.root} are of one group (by {source.groups_from}), which no split can divide.",
            "Name the patients with --groups CSV, or say that there are none: --groups none.",
        )
    if source.groups_from == "PatientID" and not source.has_split:
        _check_patients(source)
    return source


def _check_patients(source: ImageSource) -> None:
    """Refuse a PatientID that is the same in all files of a class (the class's own name, say): no split divides it."""
    for name in source.classes:
        own = [image for image in source.images if image.class_ == name]
        patients = {image.group for image in own}
        if len({image.name for image in own}) > 1 and len(patients) == 1 and None not in patients:
            raise DataError(
                f"All images of the class {name!r} in {shown(str(source.root))} have the same PatientID: it names no "
                "patient, or only one, whom no split can divide.",
                "Name the patients with --groups CSV, or say that there are none: --groups none.",
            )


def _groups_from_folders(source: ImageSource) -> ImageSource:
    if not source.nested:
        raise SettingsError(
            f"--groups folder: the images of {source.root} do not lie in folders inside their class folders.",
            "Name a CSV file with the columns path and group.",
        )
    grouped = tuple(replace(image, group=_patient_folder(image, source.named_levels)) for image in source.images)
    return replace(source, images=grouped, groups_from="folder")


def _patient_folder(image: SourceImage, named_levels: Sequence[int]) -> str:
    """Return an image's folder without those that name its class and side, which say nothing of the patient.

    Images without another folder are of one group for each class and side.
    """
    folders = image.relative.split("/")[:-1]
    own = [folder for level, folder in enumerate(folders) if level not in named_levels]
    return "/".join(own or ["", *folders])


def _groups_from_table(source: ImageSource, table: Path) -> ImageSource:
    _, rows = csv_table.read_table(table, ("path", "group"))
    group_of: dict[str, str] = {}
    for line, cells in rows:
        path = cells["path"].replace("\\", "/").removeprefix("./")
        if group_of.setdefault(path, cells["group"]) != cells["group"]:
            raise DataError(f"{table}, line {line}: {path} already has the group {group_of[path]!r}.")
    grouped: list[SourceImage] = []
    used: set[str] = set()
    absent: list[str] = []
    for image in source.images:
        # The table may name an image, its file, or the file's whole path in the source.
        key = next((key for key in (image.relative, image.path, shown(image.name)) if key in group_of), None)
        if key is None:
            absent.append(image.relative)
        else:
            used.add(key)
            grouped.append(replace(image, group=group_of[key]))
    if absent:
        raise DataError(
            f"{table} gives no group to {len(absent)} of {len(source.images)} images "
            f"(the first: {on_one_line(absent[0])}).",
            "Its paths are relative to the folder that holds the class folders; every image needs a group.",
        )
    unused = len(group_of.keys() - used)
    return replace(source, images=tuple(grouped), groups_from="csv", unused_groups=unused)
