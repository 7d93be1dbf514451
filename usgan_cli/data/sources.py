"""What a source holds: its classes, its images in a stable order, and what is left out and why.

Sources are told apart by looking: a folder or a .zip archive of class folders of image or DICOM files (BUSI's own
release among them, Al-Dhabyani et al., Data in Brief 28, 104863, 2020, with the lesion masks beside the images); a CSV
file of paths and labels; one of MedMNIST's .npz files.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Literal, get_args

from PIL import Image

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.dataset import LeftOut
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import IMAGE_SUFFIXES, Picture, Pixels, UndecodableError
from usgan_cli.core.store import files
from usgan_cli.data import dicom, layout, medmnist
from usgan_cli.data.dicom import Frames
from usgan_cli.data.layout import LAYOUT_HINT, MASK, NOT_AN_IMAGE, NOT_CHOSEN, Side, pick_classes, sides_of
from usgan_cli.data.names import on_one_line, path_key, shown
from usgan_cli.data.tables import read_table
from usgan_cli.data.trees import FolderTree, Listing, Tree, ZipTree, read_file

LayoutName = Literal["class folders", "BUSI with masks", "phantoms", "table", "MedMNIST"]
Format = Literal["folders", "zip", "dicom", "csv", "medmnist"]
FORMATS: tuple[Format, ...] = get_args(Format)
GroupsFrom = Literal["none", "csv", "folder", "column", "PatientID"]

PHANTOMS = "phantoms.json"
"""What `usgan phantom` leaves beside the class folders of its images."""

_OWN_RECORDS = frozenset({PHANTOMS, "run.json"})

NO_FILE = "there is no such file"
LISTED_TWICE = "listed before with the same label"

GROUPS_FROM_FOLDER = "folder"
NO_GROUPS = "none"


@dataclass(frozen=True)
class SourceOptions:
    """How a source is read.

    Attributes
    ----------
    format : str, optional
        One of `FORMATS`; by default the source is recognised by looking at it.
    classes : tuple of str
        The classes wanted, in order; by default all, sorted by name (MedMNIST: by label).
    class_level : int, optional
        Which folder is the class: 1 the outermost below lone folders, -1 the innermost. By default the outermost, or
        the one inside folders named train, test and the like.
    frames : "first", "middle" or "all"
        Which frames of a DICOM file, or pages of a TIFF file, are taken.
    groups : str or Path, optional
        Images of one group (a patient) stay together: a CSV file with the columns path and group, "folder" for the
        folder that each file lies in, "none" for no groups. By default what the source says: the column group,
        or DICOM's PatientID.
    """

    format: Format | None = None
    classes: tuple[str, ...] = ()
    class_level: int | None = None
    frames: Frames = "first"
    groups: Path | Literal["folder", "none"] | None = None

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise SettingsError(f"The format of a source is one of {', '.join(FORMATS)}, not {self.format!r}.")
        if self.frames not in get_args(Frames):
            raise SettingsError(f"The frames are one of {', '.join(get_args(Frames))}, not {self.frames!r}.")


@dataclass(frozen=True)
class SourceImage:
    """One image of the source.

    Attributes
    ----------
    name : str
        Its file, as the source knows it; frames of one file share it.
    relative : str
        What the manifest calls it: the path below the folder of the classes with forward slashes, and `#3` for the
        third frame of a file with several.
    class_ : str
    side : "train" or "test", optional
        Where the source's own split puts it.
    group : str, optional
        Its patient.
    frame : int, optional
        From 0; None for the only one of its file.
    dicom : bool
    """

    name: str
    relative: str
    class_: str
    side: Side | None = None
    group: str | None = None
    frame: int | None = None
    dicom: bool = False


Load = Callable[[Literal[1, 3]], Iterator[Picture]]
"""Decodes the images of one file, one after another; raises `UndecodableError` at the first that cannot be."""


@dataclass(frozen=True)
class Source:
    """What was found in a source.

    Attributes
    ----------
    root : Path
        What holds the classes: the folder given or the only folder inside it, an archive, a table.
    format : str
    layout : str
    classes : tuple of str
    images : tuple of SourceImage
        By class, then in natural order of the file names.
    left_out : tuple of LeftOut
    nested : int
        How many images lie in folders inside their class folder.
    groups_from : {"none", "csv", "folder", "column", "PatientID"}
        What the groups of the images are.
    unused_groups : int
        Lines of the CSV file of groups that name no image.
    """

    root: Path
    format: Format
    layout: LayoutName
    classes: tuple[str, ...]
    images: tuple[SourceImage, ...]
    left_out: tuple[LeftOut, ...]
    nested: int = 0
    groups_from: GroupsFrom = "none"
    unused_groups: int = 0
    read: Callable[[str], bytes] = field(repr=False, compare=False, default=lambda _: b"")
    arrays: medmnist.Arrays | None = field(repr=False, compare=False, default=None)

    @property
    def has_split(self) -> bool:
        """Whether the source comes with a split of its own."""
        return bool(self.images) and all(image.side is not None for image in self.images)

    def count_left_out(self, reason: str) -> int:
        """Return how many files were left out for `reason`."""
        return sum(item.reason == reason for item in self.left_out)

    def digest(self) -> str:
        """Return a digest of all that decides the result: names, classes, groups, and the content of every file."""
        if self.format in {"zip", "medmnist"}:
            return files.digest_json([self.format, files.sha256_file(self.root)])
        names = list(dict.fromkeys(image.name for image in self.images))
        with ThreadPoolExecutor() as pool:
            content = dict(zip(names, pool.map(self._digest_of, names), strict=True))
        if self.format == "csv":
            return files.digest_json([(i.relative, i.class_, i.side, i.group, content[i.name]) for i in self.images])
        return files.digest_json([(image.relative, content[image.name]) for image in self.images])

    def _digest_of(self, name: str) -> str:
        try:
            return files.sha256_bytes(self.read(name))
        except UndecodableError as error:
            return error.reason

    def load_all(self) -> Iterator[tuple[list[int], Load]]:
        """Yield, file by file, the positions in `images` of a file's images and what decodes them.

        What is yielded can be called in any thread. Files come in an order that suits the source.
        """
        if self.arrays is not None:
            position = {image.name: i for i, image in enumerate(self.images)}
            for part, number, row in medmnist.iterate(self.arrays):
                if (place := position.get(f"{part}/{number}")) is not None:
                    yield [place], _row_loader(row)
            return
        units: dict[str, list[int]] = {}
        for i, image in enumerate(self.images):
            # A table may list one file under two labels, which makes two units.
            units.setdefault(f"{image.class_}\0{image.name}", []).append(i)
        for unit in units.values():
            yield unit, self._loader([self.images[i] for i in unit])

    def _loader(self, unit: Sequence[SourceImage]) -> Load:
        def load(channels: Literal[1, 3]) -> Iterator[Picture]:
            data = self.read(unit[0].name)
            frames = [image.frame or 0 for image in unit]
            if unit[0].dicom:
                return dicom.decode_frames(data, frames, channels)
            return (codec.decode_bytes(data, channels, frame) for frame in frames)

        return load


def _row_loader(row: Pixels) -> Load:
    return lambda channels: iter([codec.to_picture(Image.fromarray(row), channels)])


def scan(source: Path, options: SourceOptions = SourceOptions(), exclude: Sequence[Path] = ()) -> Source:
    """Find the classes and images of a source.

    Parameters
    ----------
    source : Path
        A folder or .zip archive of class folders at any depth, a CSV file with the columns path, label and perhaps
        group and split, or an .npz file of MedMNIST.
    options : SourceOptions
    exclude : sequence of Path
        Places that may lie inside a source folder without belonging to it (where results are written).

    Returns
    -------
    Source

    Raises
    ------
    DataError
        There is no such source, it cannot be read, it is not laid out as classes, it has fewer than two of them, or
        one is empty.
    SettingsError
        An option does not fit the source, or must be given because the source can be read in two ways.
    """
    form = _recognise(source, options)
    if form == "medmnist":
        found = _scan_medmnist(source, options)
    elif form == "csv":
        found = _scan_csv(source, options)
    else:
        tree: Tree = FolderTree(source, tuple(exclude)) if source.is_dir() else ZipTree(source)
        found = _scan_tree(tree, form, options)
    return _with_groups(found, options)


def _recognise(source: Path, options: SourceOptions) -> Format:
    """Return the format of a source, and check that the one insisted on is possible."""
    if not source.exists():
        raise DataError(f"There is no folder or file {source}.", LAYOUT_HINT)
    seen = _look(source)
    wanted = options.format
    if wanted == "dicom" and seen in {"folders", "zip"}:
        return "dicom"
    if wanted is None or wanted == seen:
        if seen is None:
            raise DataError(
                f"{source} is a file, but not one of images by class: a .zip archive, a CSV file or a MedMNIST .npz.",
                "Unpack other archives and name the folder." if _is_other_archive(source) else LAYOUT_HINT,
            )
        return seen
    if source.is_dir() or wanted in {"folders", "dicom"} or (wanted == "zip" and not zipfile.is_zipfile(source)):
        what = "a folder" if source.is_dir() else f"a file{f' of the format {seen}' if seen else ''}"
        raise SettingsError(f"--format {wanted} does not fit {source}, which is {what}.")
    return wanted


def _is_other_archive(source: Path) -> bool:
    return source.suffix.casefold() in {".zip", ".tar", ".gz", ".tgz", ".rar", ".7z", ".xz", ".bz2"}


def _look(source: Path) -> Format | None:
    if source.is_dir():
        return "folders"
    if zipfile.is_zipfile(source):
        return "medmnist" if medmnist.looks_like(source) else "zip"
    return "csv" if source.suffix.casefold() in {".csv", ".tsv", ".txt"} else None


# Class folders, on disk or in an archive.


def _scan_tree(tree: Tree, form: Format, options: SourceOptions) -> Source:
    listing = tree.listing()
    kinds = {name: _kind(tree, name, dicom_only=form == "dicom") for name in listing.files}
    pictures = [name for name, kind in kinds.items() if kind is not None]
    found = layout.arrange(_without_records(listing), pictures, tree.top, options.class_level, options.classes)
    root = tree.top / found.root if found.root else tree.top
    made: list[SourceImage] = []
    rejected: list[LeftOut] = []
    if any(kinds[item.name] == "dicom" for item in found.placed):
        dicom.require(str(root))
    for item in found.placed:
        image = SourceImage(item.name, item.relative, item.class_, item.side, dicom=kinds[item.name] == "dicom")
        try:
            made += _expand(image, tree.read, options.frames)
        except UndecodableError as error:
            rejected.append(
                LeftOut(source=item.relative, reason=MASK if error.reason == dicom.SEGMENTATION else error.reason)
            )
    name: LayoutName = "class folders"
    left_out = (*found.left_out, *rejected)
    if f"{found.root}{PHANTOMS}" in listing.files:
        name = "phantoms"
    elif any(item.reason == MASK and "_mask" in item.source.casefold() for item in left_out):
        name = "BUSI with masks"
    if form == "folders" and made and all(image.dicom for image in made):
        form = "dicom"
    groups: GroupsFrom = "PatientID" if any(image.group for image in made) else "none"
    return Source(
        root,
        form,
        name,
        found.classes,
        tuple(made),
        left_out,
        found.nested,
        groups,
        read=tree.read,
    )


def _without_records(listing: Listing) -> Listing:
    """Leave out what usgan itself has put beside its phantoms."""
    folders = {name.rpartition("/")[0] for name in listing.files if name.rpartition("/")[2] == PHANTOMS}
    own = {f"{folder}/{name}" if folder else name for folder in folders for name in _OWN_RECORDS}
    return replace(listing, files=tuple(name for name in listing.files if name not in own))


def _kind(tree: Tree, name: str, *, dicom_only: bool) -> Literal["image", "dicom"] | None:
    """Return what a file is by its suffix, or by its first bytes where the suffix says nothing."""
    suffix = PurePath(name).suffix.casefold()
    if suffix in IMAGE_SUFFIXES and not dicom_only:
        return "image"
    if suffix in dicom.SUFFIXES or dicom.looks_like(tree.head(name, dicom.HEAD)):
        return "dicom"
    return None


def _expand(image: SourceImage, read: Callable[[str], bytes], frames: Frames) -> list[SourceImage]:
    """Return the images that are taken of one file: several of a DICOM file or TIFF file with frames."""
    if image.dicom:
        header = dicom.read_header(read(image.name))
        count = header.frames
        image = replace(image, group=header.patient or None)
    elif frames != "first" and PurePath(image.name).suffix.casefold() in {".tif", ".tiff"}:
        count = codec.count_frames(read(image.name))
    else:
        count = 1
    if count == 1:
        return [image]
    return [
        replace(image, relative=f"{image.relative}#{frame + 1}", frame=frame)
        for frame in dicom.pick_frames(count, frames)
    ]


# A table of paths and labels.


def _scan_csv(table: Path, options: SourceOptions) -> Source:
    columns, rows = read_table(table, ("path", "label"), ("group", "split"))
    _refuse_class_level(table, options)
    sides = _sides_of_rows(table, {row.cells["split"] for row in rows}) if "split" in columns else {}
    classes = pick_classes(sorted({row.cells["label"] for row in rows}), options.classes, str(table), hint="")
    order = {name: i for i, name in enumerate(classes)}
    if "group" in columns and (row := next((row for row in rows if not row.cells["group"]), None)):
        raise DataError(
            f"{table}, line {row.line}: the column 'group' is empty.",
            "Give every image a group, a different one where nothing is known.",
        )

    def read(name: str) -> bytes:
        return read_file(table.parent / name)

    made: list[SourceImage] = []
    left_out: list[LeftOut] = []
    listed: set[tuple[str, str]] = set()
    for row in rows:
        name, label = row.cells["path"], row.cells["label"]
        relative = name.replace("\\", "/")
        if (reason := _reason_against(table, name, label, order, listed)) is not None:
            left_out.append(LeftOut(source=relative, reason=reason))
            continue
        listed.add((name, label))
        side = sides.get(row.cells["split"])
        image = SourceImage(
            name, relative, label, side, row.cells["group"] or None, dicom=_is_dicom(table.parent / name)
        )
        if image.dicom:
            dicom.require(str(table))
        try:
            made += [replace(one, group=image.group or one.group) for one in _expand(image, read, options.frames)]
        except UndecodableError as error:
            left_out.append(LeftOut(source=relative, reason=error.reason))
    absent = sum(item.reason == NO_FILE for item in left_out)
    if absent and not made:
        raise DataError(
            f"Not one of the {absent} files that {table} lists is there (the first: {rows[0].cells['path']}).",
            f"Paths are relative to the folder of the table, {table.parent}.",
        )
    made.sort(key=lambda image: (order[image.class_], path_key(image.relative)))
    groups: GroupsFrom = (
        "column" if "group" in columns else "PatientID" if any(image.group for image in made) else "none"
    )
    return Source(
        table,
        "csv",
        "table",
        classes,
        tuple(made),
        tuple(left_out),
        groups_from=groups,
        read=read,
    )


def _reason_against(
    table: Path, name: str, label: str, order: dict[str, int], listed: set[tuple[str, str]]
) -> str | None:
    if label not in order:
        return NOT_CHOSEN
    if (name, label) in listed:
        return LISTED_TWICE
    path = table.parent / name
    try:
        there = path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        there = False
    if not there:
        return NO_FILE
    return None if path.suffix.casefold() in IMAGE_SUFFIXES or _is_dicom(path) else NOT_AN_IMAGE


def _is_dicom(path: Path) -> bool:
    suffix = path.suffix.casefold()
    if suffix in IMAGE_SUFFIXES:
        return False
    return suffix in dicom.SUFFIXES or dicom.looks_like(FolderTree(path.parent).head(path.name, dicom.HEAD))


def _sides_of_rows(table: Path, words: set[str]) -> dict[str, Side]:
    sides = sides_of(words)
    if sides is None:
        found = ", ".join(repr(word) for word in sorted(words)[:5])
        raise DataError(
            f"{table}: the column 'split' says {found}; it needs train and test (or val) for every image.",
            "Leave the column out to have usgan draw the split.",
        )
    return sides


def _refuse_class_level(source: Path, options: SourceOptions) -> None:
    if options.class_level is not None:
        raise SettingsError(f"--class-level is for classes in folders; {source} names them itself.")


# MedMNIST.


def _scan_medmnist(source: Path, options: SourceOptions) -> Source:
    _refuse_class_level(source, options)
    arrays = medmnist.open_arrays(source)
    classes = pick_classes(list(arrays.names.values()), options.classes, str(source), hint="")
    order = {name: i for i, name in enumerate(classes)}
    sides = sides_of(arrays.labels) or {}
    made: list[SourceImage] = []
    left_out: list[LeftOut] = []
    for part, labels in arrays.labels.items():
        for i, label in enumerate(labels.tolist()):
            name = f"{part}/{i}"
            if (class_ := arrays.names[label]) in order:
                made.append(SourceImage(name, name, class_, sides.get(part)))
            else:
                left_out.append(LeftOut(source=name, reason=NOT_CHOSEN))
    made.sort(key=lambda image: (order[image.class_], path_key(image.relative)))
    return Source(source, "medmnist", "MedMNIST", classes, tuple(made), tuple(left_out), arrays=arrays)


# Groups.


def _with_groups(found: Source, options: SourceOptions) -> Source:
    """Give the images the groups that the options ask for, and check that groups say something."""
    groups = options.groups
    if groups == NO_GROUPS:
        return replace(found, images=tuple(replace(i, group=None) for i in found.images), groups_from="none")
    if groups == GROUPS_FROM_FOLDER:
        found = _groups_from_folders(found)
    elif groups is not None:
        found = _groups_from_table(found, Path(groups))
    names = Counter(image.group for image in found.images)
    if found.groups_from != "none" and len(names) == 1 and len({image.name for image in found.images}) > 1:
        raise DataError(
            f"All images of {found.root} are of one group (by {found.groups_from}), which no split can divide.",
            "Name the patients with --groups CSV, or say that there are none: --groups none.",
        )
    return found


def _groups_from_folders(found: Source) -> Source:
    if not found.nested:
        raise SettingsError(
            f"--groups folder: the images of {found.root} do not lie in folders inside their class folders.",
            "Name a CSV file with the columns path and group.",
        )
    grouped = tuple(replace(image, group=image.relative.rpartition("/")[0]) for image in found.images)
    return replace(found, images=grouped, groups_from="folder")


def _groups_from_table(found: Source, table: Path) -> Source:
    _, rows = read_table(table, ("path", "group"))
    group_of: dict[str, str] = {}
    for row in rows:
        path = row.cells["path"].replace("\\", "/").removeprefix("./")
        if group_of.setdefault(path, row.cells["group"]) != row.cells["group"]:
            raise DataError(f"{table}, line {row.line}: {path} already has the group {group_of[path]!r}.")
    keys = [_key_of(image, group_of) for image in found.images]
    absent = [image.relative for image, key in zip(found.images, keys, strict=True) if key is None]
    if absent:
        raise DataError(
            f"{table} gives no group to {len(absent)} of {len(found.images)} images "
            f"(the first: {on_one_line(absent[0])}).",
            "Its paths are relative to the folder that holds the class folders; every image needs a group.",
        )
    grouped = tuple(
        replace(i, group=group_of[key]) for i, key in zip(found.images, keys, strict=True) if key is not None
    )
    unused = len(group_of.keys() - set(keys))
    return replace(found, images=grouped, groups_from="csv", unused_groups=unused)


def _key_of(image: SourceImage, group_of: dict[str, str]) -> str | None:
    """Return the path under which the table of groups knows an image."""
    of_file = image.relative if image.frame is None else image.relative.rpartition("#")[0]
    return next((key for key in (image.relative, of_file, shown(image.name)) if key in group_of), None)
