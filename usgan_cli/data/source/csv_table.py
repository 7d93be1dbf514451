"""CSV files that name images: one with labels as a source, one with groups (patients) beside any source."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from usgan_cli.core.errors import DataError, UndecodableError
from usgan_cli.core.formats.dataset import LeftOut
from usgan_cli.core.text import on_one_line
from usgan_cli.data.source import dicom
from usgan_cli.data.source.classes import NOT_AN_IMAGE, NOT_CHOSEN, pick_classes, sides_of
from usgan_cli.data.source.contents import (
    GroupsFrom,
    ImageSource,
    Side,
    SourceImage,
    SourceOptions,
    expand_frames,
    file_kind,
    in_order,
)
from usgan_cli.data.source.files import FolderTree

NO_FILE = "the file does not exist"
LISTED_TWICE = "listed before with the same label"

Rows = list[tuple[int, dict[str, str]]]
"""The number of each line in the file, and its cells by column name."""

_DELIMITERS = (",", ";", "\t")


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> tuple[set[str], Rows]:
    """Read a CSV file in UTF-8 with a line of column names, separated by commas, semicolons or tabs.

    Column names are compared in lower case, other columns are ignored, and blanks around cells are removed. Returns
    which of the columns the file has, and its rows: a required cell is never empty, an absent optional one is "".
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text in UTF-8.", "Save it as CSV in UTF-8.") from None
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns = [*required, *optional]
    rows: Rows = []
    try:
        names = [name.strip().casefold() for name in next(reader, [])]
        if missing := [name for name in required if name not in names]:
            present = ", ".join(map(repr, names)) or "none"
            raise DataError(
                f"{path} has no column {missing[0]!r}; its columns are {present}.",
                f"Its first line names the columns: {','.join(required)}"
                + (f" and, if there are any, {','.join(optional)}." if optional else "."),
            )
        if twice := [name for name in columns if names.count(name) > 1]:
            raise DataError(f"{path} has more than one column {twice[0]!r}.")
        place = {name: names.index(name) for name in columns if name in names}
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            values = {name: cells[i].strip() if i < len(cells) else "" for name, i in place.items()}
            if empty := [name for name in required if not values[name]]:
                raise DataError(f"{path}, line {reader.line_num}: the column {empty[0]!r} is empty.")
            rows.append((reader.line_num, dict.fromkeys(columns, "") | values))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}.") from None
    if not rows:
        raise DataError(f"{path} has no line below the column names.")
    return set(place), rows


def scan(table: Path, options: SourceOptions) -> ImageSource:
    """List the images of a table with the columns path, label and perhaps group and split (see `scan.scan`)."""
    options.refuse_class_level(table)
    columns, rows = read_table(table, ("path", "label"), ("group", "split"))
    sides = _sides_of_rows(table, {cells["split"] for _, cells in rows}) if "split" in columns else {}
    classes = pick_classes(sorted({cells["label"] for _, cells in rows}), options.classes, str(table), hint="")
    if "group" in columns and (empty := [line for line, cells in rows if not cells["group"]]):
        raise DataError(
            f"{table}, line {empty[0]}: the column 'group' is empty.",
            "Give every image a group, a different one where nothing is known.",
        )
    folder = FolderTree(table.parent)
    images: list[SourceImage] = []
    left_out: list[LeftOut] = []
    listed: set[tuple[str, str]] = set()
    for _, cells in rows:
        label, group = cells["label"], cells["group"] or None
        relative = cells["path"].replace("\\", "/").removeprefix("./")
        name = _file_of(folder.top, cells["path"])
        if label not in classes:
            reason = NOT_CHOSEN
        elif name is None:
            reason = NO_FILE
        elif (name, label) in listed:
            reason = LISTED_TWICE
        elif (kind := file_kind(folder, name)) is None:
            reason = NOT_AN_IMAGE
        else:
            listed.add((name, label))
            if kind == "dicom":
                dicom.require(str(table))
            image = SourceImage(name, relative, label, sides.get(cells["split"]), group, dicom=kind == "dicom")
            try:
                frames = expand_frames(image, folder, options.frames)
                images += [replace(frame, group=group or frame.group) for frame in frames]
                continue
            except UndecodableError as error:
                reason = error.reason
        left_out.append(LeftOut(source=relative, reason=reason))
    absent = sum(item.reason == NO_FILE for item in left_out)
    if absent and not images:
        first = on_one_line(rows[0][1]["path"])
        raise DataError(
            f"Not one of the {absent} files that {table} lists is there (the first: {first}).",
            f"Paths are relative to the folder of the table, {table.parent}.",
        )
    groups_from: GroupsFrom = "PatientID" if any(image.group for image in images) else "none"
    if "group" in columns:
        groups_from = "column"
    ordered = in_order(images, classes)
    return ImageSource(
        table,
        "csv",
        "table",
        classes,
        ordered,
        tuple(left_out),
        groups_from=groups_from,
        head=folder.head,
        read=folder.read,
    )


def _file_of(top: Path, path: str) -> str | None:
    """Return the file that a table's path means, relative to the table's folder; None if there is none.

    Windows separates folders by backslashes, and macOS stores an accent apart from its letter.
    """
    path = path.removeprefix("./")
    slashed = path.replace("\\", "/").removeprefix("./")
    forms = (path, slashed, unicodedata.normalize("NFC", slashed), unicodedata.normalize("NFD", slashed))
    return next((name for name in forms if _is_file(top / name)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False


def _sides_of_rows(table: Path, words: set[str]) -> dict[str, Side]:
    sides = sides_of(words)
    if sides is None:
        some = ", ".join(repr(word) for word in sorted(words)[:5])
        raise DataError(
            f"{table}: the column 'split' says {some}; it needs train and test (or val) for every image.",
            "Leave the column out to have usgan draw the split.",
        )
    return sides
