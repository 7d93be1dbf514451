"""Trees of files to read images from: a folder, or a .zip archive that is never unpacked to disk.

A tree is listed once. Names are relative to its top, with forward slashes; what cannot be an image under any name
(links that lead nowhere, members of an archive that point outside it) is set aside with the reason.
"""

from __future__ import annotations

import errno
import os
import stat
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from usgan_cli.core.errors import DataError, UndecodableError
from usgan_cli.core.formats.dataset import LeftOut
from usgan_cli.core.text import on_one_line
from usgan_cli.data.source.names import shown

HIDDEN = "hidden file"
LOOP = "symbolic link to a folder that holds it"
NO_FILE = "neither a file nor a folder, or a link that leads nowhere"
OUTSIDE = "its path leads out of the archive"
LINK = "symbolic link in an archive"
BOMB = "unpacks to far more than an image holds"
REPLACED = "replaced by a later member of the same name"

OF_THE_FILE = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENAMETOOLONG})
"""Errors that are of one file and stay: it is left out. Others, such as a disk's or a share that went away, end the
command: it would make another dataset the next time."""

_SYSTEM_NAMES = frozenset(
    {
        *("__macosx", "icon\r"),  # macOS
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),  # Windows
        *("@eadir", "#recycle", "lost+found", "__pycache__"),  # network storage, Linux, Python
    }
)

_UTF8 = 0x800
_MEMBER_LIMIT = 1 << 30
"""Bytes; the largest image that is decoded takes half of it without compression."""
_SUSPECT_SIZE, _SUSPECT_RATIO = 1 << 26, 100
"""A member of more bytes than the one, compressed more than the other, is a bomb and not an image."""


@dataclass(frozen=True)
class Listing:
    """What a tree holds, without hidden files and folders."""

    files: tuple[str, ...]
    folders: frozenset[str]
    """The empty ones too."""
    left_out: tuple[LeftOut, ...] = ()
    reserved: tuple[str, ...] = ()
    """Places in the tree where results are written, whether they exist or not; what they hold is not listed."""


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is passed over."""
    return name.startswith(".") or name.casefold() in _SYSTEM_NAMES


@dataclass(frozen=True)
class FolderTree:
    """A folder on disk; symbolic links are followed."""

    top: Path
    exclude: Sequence[Path] = ()
    """Folders that may lie inside without belonging to it."""

    def listing(self) -> Listing:
        """List the folder, or raise `DataError` where a folder in it cannot be read."""
        files: list[str] = []
        folders: set[str] = set()
        left_out: list[LeftOut] = []
        real = self.top.resolve()
        reserved = {
            path.resolve().relative_to(real).as_posix()
            for path in self.exclude
            if path.resolve().is_relative_to(real) and path.resolve() != real
        }
        # Folders yet to be read: the path, its name in the tree, and the identities of the folders above it.
        waiting: list[tuple[Path, str, frozenset[tuple[int, int]]]] = [(self.top, "", frozenset())]
        while waiting:
            folder, prefix, above = waiting.pop()
            info, entries = _read_folder(folder)
            above = above | {(info.st_dev, info.st_ino)}
            for entry in entries:
                name = f"{prefix}{entry.name}"
                if name in reserved:
                    continue
                kind = _kind(entry, above)
                if is_hidden(entry.name):
                    if prefix or kind != "folder":  # a hidden folder at the top (.git) holds no images
                        left_out.append(LeftOut(source=shown(name), reason=HIDDEN))
                elif kind == "folder":
                    folders.add(name)
                    waiting.append((folder / entry.name, f"{name}/", above))
                elif kind == "file":
                    files.append(name)
                else:
                    left_out.append(LeftOut(source=shown(name), reason=kind))
        return Listing(tuple(files), frozenset(folders), tuple(left_out), tuple(sorted(reserved)))

    def read(self, name: str) -> bytes:
        """Return a file's bytes, or raise `UndecodableError` for one that may not be read; the disk's errors pass."""
        try:
            return (self.top / name).read_bytes()
        except OSError as error:
            if error.errno not in OF_THE_FILE:
                raise
            raise UndecodableError(f"the file cannot be read ({error.strerror})") from None

    def head(self, name: str, count: int) -> bytes:
        """Return a file's first bytes."""
        try:
            with (self.top / name).open("rb") as file:
                return file.read(count)
        except OSError as error:
            if error.errno not in OF_THE_FILE:
                raise
            return b""


def _read_folder(folder: Path) -> tuple[os.stat_result, list[os.DirEntry[str]]]:
    try:
        with os.scandir(folder) as entries:
            return folder.stat(), sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"The folder {on_one_line(shown(str(folder)))} cannot be read: {error.strerror}.",
            "Give yourself the right to read it, or move it out of the source.",
        ) from None


def _kind(entry: os.DirEntry[str], above: frozenset[tuple[int, int]]) -> str:
    """Return "folder", "file", or the reason why an entry is neither."""
    try:
        info = entry.stat()
    except OSError:  # a broken link, or one that leads to itself
        return NO_FILE
    if stat.S_ISDIR(info.st_mode):
        return LOOP if (info.st_dev, info.st_ino) in above else "folder"
    return "file" if stat.S_ISREG(info.st_mode) else NO_FILE


@dataclass(frozen=True)
class ZipTree:
    """A .zip archive, read member by member in memory.

    Members that are absolute or climb with `..` are set aside, and so are links and those that would unpack to far
    more than an image can hold; nothing is ever written under a member's name.
    """

    top: Path
    _members: dict[str, zipfile.ZipInfo] = field(default_factory=dict, init=False, repr=False, compare=False)
    _open: list[zipfile.ZipFile] = field(default_factory=list, init=False, repr=False, compare=False)

    def listing(self) -> Listing:
        """List the archive, or raise `DataError` where it is not one or is encrypted."""
        folders: set[str] = set()
        left_out: dict[str, LeftOut] = {}
        self._members.clear()
        for info in self._archive().infolist():
            parts, reason = _member(info)
            name = "/".join(parts)
            hidden = next((i for i, part in enumerate(parts) if is_hidden(part)), None)
            if reason == OUTSIDE:
                left_out[info.filename] = LeftOut(source=shown(_member_name(info)), reason=OUTSIDE)
            elif hidden is not None:
                if hidden or (len(parts) == 1 and not info.is_dir()):
                    first = "/".join(parts[: hidden + 1])
                    left_out[first] = LeftOut(source=shown(first), reason=HIDDEN)
            else:
                folders.update("/".join(parts[:i]) for i in range(1, len(parts) + info.is_dir()))
                if reason is not None:
                    left_out[name] = LeftOut(source=shown(name), reason=reason)
                elif not info.is_dir():
                    if name in self._members:
                        left_out[name] = LeftOut(source=shown(name), reason=REPLACED)
                    self._members[name] = info
        return Listing(tuple(self._members), frozenset(folders), tuple(left_out.values()))

    def read(self, name: str) -> bytes:
        """Return a member's bytes, or raise `UndecodableError`."""
        return self._read(name, self._members[name].file_size)

    def head(self, name: str, count: int) -> bytes:
        """Return a member's first bytes."""
        try:
            return self._read(name, count)
        except UndecodableError:
            return b""

    def _read(self, name: str, count: int) -> bytes:
        try:
            with self._archive().open(self._members[name]) as member:
                return member.read(count)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise  # the disk's, not the archive's: a seek to a lying address is EINVAL
            raise UndecodableError("it cannot be read from the archive") from None

    def _archive(self) -> zipfile.ZipFile:
        """Return the open archive, whose members can be read by many threads at once."""
        if not self._open:
            try:
                archive = zipfile.ZipFile(self.top)
            except (zipfile.BadZipFile, OSError, UnicodeDecodeError, NotImplementedError):
                raise DataError(
                    f"{self.top} cannot be read as a .zip archive.", "Check that it was downloaded whole."
                ) from None
            if any(info.flag_bits & 1 for info in archive.infolist()):
                archive.close()
                raise DataError(f"{self.top} is encrypted.", "Unpack it with its password, then name the folder.")
            self._open.append(archive)
        return self._open[0]


Tree = FolderTree | ZipTree


def _member_name(info: zipfile.ZipInfo) -> str:
    """Return a member's name, decoded as the system decodes the names of files.

    An archive says of its names only whether they are UTF-8. Others may be so all the same, or in the encoding of the
    machine that wrote them, which no one knows: those bytes are kept as they are, so that a folder and its archive have
    the same names.
    """
    if info.flag_bits & _UTF8 or info.filename.isascii():
        return info.filename
    try:
        return os.fsdecode(info.filename.encode("cp437"))  # as zipfile has decoded them
    except UnicodeEncodeError:
        return info.filename


def _member(info: zipfile.ZipInfo) -> tuple[tuple[str, ...], str | None]:
    """Return the parts of a member's path, and why it cannot be used, if it cannot."""
    name = _member_name(info).replace("\\", "/")  # as some archivers write them
    parts = tuple(part for part in PurePosixPath(name).parts if part != ".")
    if name.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")):
        return parts, OUTSIDE
    if stat.S_ISLNK(info.external_attr >> 16):
        return parts, LINK
    if info.file_size > _MEMBER_LIMIT or (
        info.file_size > _SUSPECT_SIZE and info.file_size > _SUSPECT_RATIO * info.compress_size
    ):
        return parts, BOMB
    return parts, None
