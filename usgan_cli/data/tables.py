"""CSV files that name images: one with labels as a source, one with groups (patients) beside any source."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from usgan_cli.core.errors import DataError

_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Row:
    """One line of a table: its number in the file, and its cells by column name."""

    line: int
    cells: dict[str, str]


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> tuple[set[str], list[Row]]:
    """Read a CSV file in UTF-8 with a line of column names, separated by commas, semicolons or tabs.

    Parameters
    ----------
    path : Path
    required, optional : sequence of str
        Names of columns, in lower case; others are passed over. Cells are stripped of blanks around them.

    Returns
    -------
    columns : set of str
        Which of the named columns there are.
    rows : list of Row
        A required cell is never empty; an optional one that is absent is the empty string.

    Raises
    ------
    DataError
        The file cannot be read, lacks a column, or lacks a required cell (the message has the line).
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text in UTF-8.", "Save it as CSV in UTF-8.") from None
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    try:
        names = [name.strip().casefold() for name in next(reader, [])]
        wanted = [*required, *optional]
        if missing := [name for name in required if name not in names]:
            found = ", ".join(map(repr, names)) or "none"
            raise DataError(
                f"{path} has no column {missing[0]!r}; its columns are {found}.",
                f"Its first line names the columns: {','.join(required)}"
                + (f" and, if there are any, {','.join(optional)}." if optional else "."),
            )
        if twice := [name for name in wanted if names.count(name) > 1]:
            raise DataError(f"{path} has more than one column {twice[0]!r}.")
        place = {name: names.index(name) for name in wanted if name in names}
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            values = {name: cells[i].strip() if i < len(cells) else "" for name, i in place.items()}
            if empty := [name for name in required if not values[name]]:
                raise DataError(f"{path}, line {reader.line_num}: the column {empty[0]!r} is empty.")
            rows.append(Row(reader.line_num, dict.fromkeys(wanted, "") | values))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}.") from None
    if not rows:
        raise DataError(f"{path} has no line below the column names.")
    return set(place), rows
