r"""Names that come from data: which are refused, and what a class, or a file that a record lists, is called on disk.

A class name may hold anything that can be shown on one line: `a/b`, `=1+1`, `[red]`, `CON`. It becomes a path through
`folder_names` alone.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath

from usgan_cli.core.text import on_one_line

LONGEST_CLASS = 200
"""Characters of a class name."""
LONGEST_FOLDER = 100
"""Bytes of the name of a class's folder, far below the 255 that most file systems allow."""
LONGEST_ARTEFACT = 200
"""The same for an artefact, which temporary names and endings make longer."""

_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices, with any ending."""
_PLAIN = frozenset(" _-.+()")
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of the text after them."""
_UNSHOWABLE = {"Cc": "a control character", "Cs": "half a character", "Zl": "a line break", "Zp": "a line break"}


def problem_of_class(name: str) -> str | None:
    """Return why a class cannot have this name, as the end of a sentence; None if it can."""
    if not name.strip():
        return "is empty"
    if len(name) > LONGEST_CLASS:
        return f"has {len(name)} characters; {LONGEST_CLASS} are allowed"
    for character in name:
        what = "a line break" if character in "\r\n" else _UNSHOWABLE.get(unicodedata.category(character))
        if character in _DIRECTIONS:
            what = "a mark that turns the direction of text"
        if what is not None:
            return f"holds {what} (U+{ord(character):04X})"
    return None


def shortened(name: str) -> str:
    """Return a name for a message: on one line, and cut where it is longer than a class's name may be."""
    return on_one_line(name if len(name) <= LONGEST_CLASS else f"{name[:40]}...")


def is_device(name: str) -> bool:
    """Return whether Windows keeps a name for a device, as it does `con` and `NUL.png`."""
    return _DEVICES.fullmatch(name) is not None


def folder_name(name: str, longest: int = LONGEST_FOLDER) -> str:
    """Return one name of a folder, for every file system, that belongs to `name` alone.

    Letters and digits of any script, spaces and `_-.+()` stay, the rest is percent-encoded UTF-8, and so is what would
    make it hidden, an option, a device or another name on Windows: `a/b` becomes `a%2Fb`, which
    `urllib.parse.unquote` turns back. Only a name of more than `longest` bytes is cut; its digest then follows `~`.
    """
    plain = [char.isalnum() or char in _PLAIN for char in name]
    for place in {0, len(name) - 1} if name else ():
        plain[place] = plain[place] and name[place] not in (" -." if place == 0 else " .")
    if is_device(name):
        plain[0] = False
    text = "".join(char if keep else _encoded(char) for char, keep in zip(name, plain, strict=True)) or "%"
    if len(text.encode()) <= longest:
        return text
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{text.encode()[: longest - 17].decode(errors='ignore').rstrip(' .')}~{digest}"


def _encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def folder_names(names: Sequence[str]) -> dict[str, str]:
    """Return the folder of each name, different from the others even where case is ignored: later ones end in `~2`."""
    taken: set[str] = set()
    folders: dict[str, str] = {}
    for name in names:
        folder, number = folder_name(name), 1
        while same_folder(candidate := folder if number == 1 else f"{folder}~{number}") in taken:
            number += 1
        taken.add(same_folder(candidate))
        folders[name] = candidate
    return folders


def same_folder(folder: str) -> str:
    """Return what folders have in common that a file system may take for one."""
    return unicodedata.normalize("NFKC", folder).casefold()


def is_inside(file: str) -> bool:
    """Return whether a relative path, with forward slashes, names something inside the folder it is relative to."""
    if "\0" in file or file.startswith("/") or PureWindowsPath(file).anchor:
        return False
    parts = PurePosixPath(file).parts
    return bool(parts) and ".." not in parts
