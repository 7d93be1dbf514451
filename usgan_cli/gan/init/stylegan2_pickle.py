"""Networks of published StyleGAN2-ADA (PyTorch) files, read without running anything that is in them.

Such a `.pkl` is a pickle in which each network carries the source text of its class besides (`torch_utils.persistence`
of the published code), and unpickling runs all of that. Here the pickle is followed as data (see `pickle_stream`), and
tensors are rebuilt from their raw bytes, which lie in it as inner files of torch's older format: five pickles,
followed in the same way, and the numbers.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from usgan_cli.core.errors import FormatError, MissingError
from usgan_cli.gan.init.pickle_stream import (
    LONGEST_NAME,
    PARAMETER,
    PERSISTENT,
    STORAGE,
    STORAGES,
    TENSOR,
    Call,
    Name,
    Outside,
    Pickle,
    RefusedError,
    typed,
)

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""First value of a file of torch's format from before 1.6."""

Tensors = dict[str, Tensor]


def read_published(path: Path) -> dict[str, Tensors]:
    """Read those of the networks G, D and G_ema that a StyleGAN2-ADA (PyTorch) `.pkl` holds, running nothing of it.

    Parameters and buffers come by name, on the CPU, in the types they were saved in.

    Raises
    ------
    MissingError
        The file does not exist.
    FormatError
        The file asks for something that networks have no use for, is of TensorFlow, or is damaged.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise MissingError(f"{path} does not exist.") from None
    try:
        return _networks(Pickle(io.BytesIO(data)).follow())
    except RefusedError as error:
        raise FormatError(f"{path} {error}.", error.hint) from None
    except (ValueError, LookupError, TypeError, OverflowError, RuntimeError) as error:
        raise FormatError(
            f"{path} is not a whole file of StyleGAN2-ADA networks ({type(error).__name__}: {error})."
        ) from None


def _networks(value: object) -> dict[str, Tensors]:
    if type(value) is tuple:
        raise RefusedError("does not name its networks, as StyleGAN2-ADA (PyTorch) files do")
    content = typed(value, dict, "content")
    reader = _TensorReader()
    networks = {key: _network(content[key], reader) for key in ("G", "D", "G_ema") if content.get(key) is not None}
    if not networks:
        raise RefusedError("has none of the networks G, D and G_ema")
    return networks


def _network(record: object, reader: _TensorReader) -> Tensors:
    """Return the tensors of all the modules in a network, from its record."""
    tensors: Tensors = {}
    seen: set[int] = set()
    waiting = [("", _module(record))]
    while waiting:
        prefix, module = waiting.pop()
        # A module in two places, or inside itself, could make a small file unfold without end.
        if id(module) in seen or len(prefix) > LONGEST_NAME:
            raise RefusedError("has a network that is not a tree of modules")
        seen.add(id(module))
        for kind in ("_parameters", "_buffers"):
            for name, value in _entries(module, kind):
                tensors[prefix + name] = reader.tensor(value)
        waiting += [(f"{prefix}{name}.", _module(part)) for name, part in _entries(module, "_modules")]
    return tensors


def _module(record: object) -> dict[Any, Any]:
    """Return a module's attributes (`nn.Module.__dict__`)."""
    if type(record) is not Call or record.name != PERSISTENT or len(record.arguments) != 1:
        raise RefusedError("has a module that was not saved as StyleGAN2-ADA saves its own")
    meta = typed(record.arguments[0], dict, "record of a module")
    return typed(meta.get("state"), dict, "state")


def _entries(module: dict[Any, Any], kind: str) -> list[tuple[str, object]]:
    entries = typed(module.get(kind), dict, kind)
    return [(typed(name, str, "name in " + kind), value) for name, value in entries.items() if value is not None]


class _TensorReader:
    """Tensors rebuilt from their records; each storage is read once, and tensors are views into it."""

    def __init__(self) -> None:
        self.storages: dict[int, Tensor] = {}

    def tensor(self, record: object) -> Tensor:
        """Return the tensor of a record of a parameter or a buffer."""
        call = typed(record, Call, "record of a tensor")
        if call.name == PARAMETER:
            call = typed(call.arguments[0], Call, "record of a tensor")
        if call.name != TENSOR or len(call.arguments) < 4:
            raise RefusedError("has a tensor that was not saved as StyleGAN2-ADA saves its own")
        storage, first = self.storage(call.arguments[0]), _count(call.arguments[1])
        size, stride = ([_count(n) for n in typed(axes, tuple, "shape of a tensor")] for axes in call.arguments[2:4])
        steps = [(n - 1) * step for n, step in zip(size, stride, strict=True)]
        # No more elements than the storage has: a stride of 0 would make a tensor of any size from a few bytes.
        if math.prod(size) > storage.numel() or (0 not in size and first + sum(steps) >= storage.numel()):
            raise RefusedError("has a tensor that reaches beyond its data")
        return storage.as_strided(size, stride, first)

    def storage(self, record: object) -> Tensor:
        """Return the numbers of a storage, in one dimension."""
        call = typed(record, Call, "record of a storage")
        if call.name != STORAGE or len(call.arguments) != 1:
            raise RefusedError("has a tensor whose numbers are not in the file")
        data = typed(call.arguments[0], bytes, "storage")
        if id(data) not in self.storages:
            self.storages[id(data)] = _numbers(data)
        return self.storages[id(data)]


def _count(value: object) -> int:
    number = typed(value, int, "shape of a tensor")
    if not 0 <= number < 2**48:
        raise RefusedError("has a tensor of an impossible shape")
    return number


def _numbers(data: bytes) -> Tensor:
    """Return the numbers of a storage saved alone in torch's older format.

    That is five pickles (a magic number, the format's version, facts of the machine, the storage's type and length,
    the keys of the storages that follow), then the length again as 8 bytes, and the numbers.
    """
    file = io.BytesIO(data)
    magic, _, machine, stored, _ = (Pickle(file).follow() for _ in range(5))
    if magic != LEGACY_MAGIC or typed(machine, dict, "storage").get("little_endian") is not True:
        raise RefusedError("has a tensor in a format other than torch's of little-endian machines")
    key = typed(typed(stored, Outside, "storage").key, tuple, "storage")
    kind = typed(key[1], Name, "storage").name
    if key[0] != "storage" or kind not in STORAGES or any(part is not None for part in key[5:]):
        raise RefusedError("has a tensor whose data are not a plain storage")
    dtype = STORAGES[kind]
    count = int.from_bytes(file.read(8), "little")
    body = data[file.tell() :]
    if count != key[4] or len(body) != count * dtype.itemsize:
        raise RefusedError("has a tensor whose data are cut short or left over")
    return torch.frombuffer(bytearray(body), dtype=dtype) if count else torch.empty(0, dtype=dtype)
