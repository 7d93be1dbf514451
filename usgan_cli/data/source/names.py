"""Names of files and classes: a natural order, a form that can be shown, and one that any file system takes."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable

from usgan_cli.core.names import is_device

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def natural_key(name: str) -> tuple[list[int | str], str]:
    """Return a sort key that puts `benign (2)` before `benign (10)`; names equal but for case keep one order."""
    pieces = re.split(r"(\d+)", name)
    return [int(piece) if i % 2 else piece.casefold() for i, piece in enumerate(pieces)], name


def path_key(path: str) -> list[tuple[list[int | str], str]]:
    """Return a sort key for paths with forward slashes: natural order, folder by folder."""
    return [natural_key(part) for part in path.split("/")]


def shown(name: str) -> str:
    r"""Return a name as text that can be written as UTF-8: a file name's other bytes become `\xff`.

    A name from a JSON file may hold half a character, which is no byte of a file name: it becomes `\ud800`.
    """
    if name.isascii():
        return name
    try:
        return os.fsencode(name).decode("utf-8", errors="backslashreplace")
    except UnicodeEncodeError:
        return name.encode("utf-8", errors="backslashreplace").decode()


def same_name(name: str) -> str:
    """Return what names have in common that differ only in case, or in how their accents are encoded."""
    return unicodedata.normalize("NFC", name).casefold()


def safe_name(name: str) -> str:
    """Return `name` with nothing but ASCII letters, digits, `-`, `_` and `.`: `benign (1)` becomes `benign-1`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    safe = _UNSAFE.sub("-", plain).strip("-.")[:100] or "image"
    return f"image-{safe}" if is_device(safe) else safe


def unique_names(names: Iterable[str]) -> list[str]:
    """Return safe names, each different from the others even where case is ignored; later ones get `-2`, `-3`..."""
    taken: set[str] = set()
    next_number: dict[str, int] = {}
    result: list[str] = []
    for name in names:
        base = candidate = safe_name(name)
        number = next_number.get(base.casefold(), 1)
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{base}-{number}"
        next_number[base.casefold()] = number
        taken.add(candidate.casefold())
        result.append(candidate)
    return result
