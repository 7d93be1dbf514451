"""Failures of the operating system as messages: the file, what is wrong, and the next move."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from usgan_cli.core.errors import UsganError

PARTIAL = re.compile(r"\.(?P<name>.+?)(\.\d+)?\.(partial|old|holder|lock)")
"""Names of temporary files and folders beside the ones that they are for."""

_AGAIN = "the same command then goes on from what was saved"
_ROOM = f"Make room there, or use another --work or --out; {_AGAIN}."
_RIGHT = "Give yourself the right to it, or use another --work or --out."
_IN_THE_WAY = "Move away what is in its place, or use another --work or --out."
_CONNECTION = f"Check the disk, or the connection to it; {_AGAIN}."
_MOVES = {
    **dict.fromkeys(("ENOSPC", "EDQUOT"), _ROOM),
    **dict.fromkeys(("EACCES", "EPERM", "EROFS"), _RIGHT),
    **dict.fromkeys(("ENOTDIR", "EISDIR", "EEXIST", "ENOTEMPTY"), _IN_THE_WAY),
    **dict.fromkeys(("EIO", "ESTALE", "ENXIO", "ENODEV", "ETIMEDOUT", "EHOSTDOWN", "EREMOTEIO"), _CONNECTION),
    "EFBIG": f"The file system, or a limit (ulimit -f), allows no larger files: use another place; {_AGAIN}.",
    "ENOENT": "It is not there, or was removed meanwhile: check the path, then run the same command again.",
    "ENAMETOOLONG": "Use a shorter --work or --out.",
    "ELOOP": "Links there lead round in a circle: name the folder itself.",
    "EMFILE": "Too many files are open: raise the limit (ulimit -n), or use fewer threads.",
    "ENFILE": "Too many files are open on this machine: close other programs.",
    "ENOMEM": "Close other programs, or use a machine with more memory.",
    "ETXTBSY": "Wait until no other program uses it.",
}
_BUGS = frozenset({errno.EBADF, errno.EFAULT, errno.ECHILD})
"""Numbers that no state of a disk explains."""


def as_message(error: OSError) -> UsganError | None:
    """Return a failure of the operating system as an error for the user; None for one that is a bug of the program."""
    if error.errno is None or error.errno in _BUGS:
        return None
    what = error.strerror or os.strerror(error.errno)
    move = _MOVES.get(errno.errorcode.get(error.errno, ""), f"Solve the problem; {_AGAIN}.")
    names = [final_path(name) for name in (error.filename, error.filename2) if name is not None]
    return UsganError(f"{' to '.join(names) or 'A file'} cannot be read or written: {what}.", move)


def final_path(name: object) -> str:
    """Return the path that a user knows of a file: a temporary one is only for a while called otherwise."""
    path = Path(os.fsdecode(name)) if isinstance(name, str | bytes | os.PathLike) else Path(str(name))
    parts = [match["name"] if (match := PARTIAL.fullmatch(part)) else part for part in path.parts]
    return str(Path(*parts))
