"""Safetensors files that carry the digest of their own content, checked when they are read.

The digest is in the file's metadata (`sha256`): of the header without metadata, as canonical JSON, and of the data.
Other programs read these files as they read any other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from safetensors import SafetensorError

from usgan_cli.core.errors import DamagedError, FormatError, MissingError
from usgan_cli.core.store import files
from usgan_cli.core.store.remedy import remedy

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

METADATA, DIGEST = "__metadata__", "sha256"
LENGTH = 8
"""Bytes at the beginning that hold the header's length."""
T = TypeVar("T")


def sealed(data: bytes) -> bytes:
    """Return a safetensors file's bytes with the digest of its content in its metadata."""
    header, content = _parts(data)
    header.pop(METADATA, None)
    text = json.dumps({METADATA: {DIGEST: _digest(header, content)}} | header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH)
    return len(text).to_bytes(LENGTH, "little") + text + content


def is_intact(data: bytes, *, foreign: bool = False) -> bool:
    """Return whether these are a safetensors file's bytes whose digest is that of their content.

    A `foreign` file, which another program wrote, may be without a digest.
    """
    try:
        header, content = _parts(data)
        metadata = header.pop(METADATA, {})
        if foreign and DIGEST not in metadata:
            return True
        return bool(metadata[DIGEST] == _digest(header, content))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _parts(data: bytes) -> tuple[dict[str, Any], memoryview]:
    length = int.from_bytes(data[:LENGTH], "little")
    return json.loads(data[LENGTH : LENGTH + length]), memoryview(data)[LENGTH + length :]


def _digest(header: Mapping[str, Any], content: memoryview) -> str:
    return files.digest_json([dict(header), files.sha256_bytes(content)])


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> str:
    """Write named tensors as a safetensors file, whole or not at all; return the file's SHA-256."""
    from safetensors.torch import save

    return _write(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Write named arrays as `write_tensors` does."""
    import numpy as np
    from safetensors.numpy import save

    return _write(path, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def _write(path: Path, data: bytes) -> str:
    data = sealed(data)
    files.write_bytes(path, data)
    return files.sha256_bytes(data)


def read_tensors(path: Path, sha256: str | None = None, *, foreign: bool = False) -> dict[str, torch.Tensor]:
    """Read a safetensors file, which must have the SHA-256 that is expected, or without one its own digest.

    A `foreign` file needs neither.

    Raises
    ------
    MissingError
        There is no such file.
    DamagedError
        It is not what was written.
    """
    from safetensors.torch import load

    return _read(path, sha256, load, foreign=foreign)


def check_finite(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise a `FormatError` if networks read from `path` hold NaN or infinity: their training diverged."""
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise FormatError(f"{path} holds numbers that are not finite, in {name}.", remedy(path))


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `write_arrays` wrote (see `read_tensors`)."""
    from safetensors.numpy import load

    return _read(path, None, load)


def _read(
    path: Path, sha256: str | None, load: Callable[[bytes], dict[str, T]], *, foreign: bool = False
) -> dict[str, T]:
    try:
        data = files.read_bytes(path)
    except FileNotFoundError:
        raise MissingError(f"{path} does not exist.", remedy(path)) from None
    if sha256 is not None and files.sha256_bytes(data) != sha256:
        raise DamagedError(
            f"{path} is not the file that the JSON beside it describes (its SHA-256 differs).", remedy(path)
        )
    if sha256 is None and not is_intact(data, foreign=foreign):
        raise DamagedError(
            f"{path} was changed or damaged after it was written (or an older usgan made it): its digest does not fit.",
            remedy(path),
        )
    try:
        return dict(load(data))
    except (SafetensorError, LookupError, TypeError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
        why = str(error).partition("\n")[0]
        raise DamagedError(f"{path} is not a whole safetensors file: {why}.", remedy(path)) from None
