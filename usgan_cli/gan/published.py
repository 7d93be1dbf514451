"""Networks of published StyleGAN2-ADA (PyTorch) files, read without running anything that is in them.

Such a `.pkl` is a pickle, which is a program: it names functions and says what to call them with, and each network
in it carries the source text of its class besides (`torch_utils.persistence` of the published code). Unpickling runs
all of that. Here the program is only followed, opcode by opcode: a name stays a name, a call stays a record of what
would have been called, and both are read afterwards as data. Nothing is imported, called or compiled, so no name
could do harm; one that such files have no use for is refused all the same, since it shows what the file is.

Tensors are rebuilt here from their raw bytes, which lie in the pickle as inner files of torch's older format: five
pickles, followed in the same way, and the numbers.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import torch
from torch import Tensor

from usgan_cli.core.errors import FormatError, MissingError

PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
STORAGE = "torch.storage._load_from_bytes"
PARAMETER = "torch._utils._rebuild_parameter"
TENSOR = "torch._utils._rebuild_tensor_v2"

STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
DICTS = frozenset({"collections.OrderedDict", "dnnlib.util.EasyDict"})
SETS = frozenset({"builtins.set", "builtins.frozenset"})
# What else the networks' attributes hold: records of these are kept and never looked into.
ATTRIBUTES = frozenset(
    {
        "numpy.dtype",
        "numpy.ndarray",
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
        "torch.Size",
        "torch.device",
        *map(str, STORAGES.values()),
    }
)
NAMES = frozenset({PERSISTENT, STORAGE, PARAMETER, TENSOR}) | STORAGES.keys() | DICTS | SETS | ATTRIBUTES

TENSORFLOW = ("dnnlib.tflib.", "tfutil.")
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""First value of a file of torch's format from before 1.6."""
LONGEST_NAME = 256

T = TypeVar("T")


@dataclass(frozen=True)
class PublishedNetwork:
    """One network of a published file."""

    class_name: str
    init_kwargs: dict[str, Any]
    """What the network was built with: c_dim, img_resolution, img_channels and so on."""
    tensors: dict[str, Tensor]
    """Parameters and buffers by name, on the CPU, in the types they were saved in."""


@dataclass(frozen=True)
class Published:
    """The networks of a published file; one that the file lacks is None."""

    generator: PublishedNetwork | None
    discriminator: PublishedNetwork | None
    average: PublishedNetwork | None
    """Moving average of the generator (G_ema)."""


def read_published(path: Path) -> Published:
    """Read the networks of a StyleGAN2-ADA (PyTorch) `.pkl`, running nothing of it.

    Raises
    ------
    MissingError
        There is no such file.
    FormatError
        The file asks for something that networks have no use for, is of TensorFlow, or is damaged.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise MissingError(f"There is no file {path}.") from None
    try:
        return _networks(_Pickle(io.BytesIO(data)).follow())
    except _RefusedError as error:
        raise FormatError(f"{path} {error}.", error.hint) from None
    except (ValueError, LookupError, TypeError, OverflowError, RuntimeError) as error:
        raise FormatError(
            f"{path} is not a whole file of StyleGAN2-ADA networks ({type(error).__name__}: {error})."
        ) from None


class _RefusedError(Exception):
    """Why a file is not read; the message goes on from its path."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True, repr=False)
class _Name:
    """A function or class that the pickle asks for: its name alone."""

    name: str


@dataclass(eq=False, slots=True, repr=False)
class _Call:
    """A call that unpickling would have made, and the state it would have given to the result."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class _Outside:
    """A reference to data that lies after the pickle, as in the files inside (`persistent_id`)."""

    key: Any


class _Pickle:
    """A pickle of protocol 2 to 5, followed without doing what it says.

    The result is made of numbers, text, bytes, lists (sets too become lists), tuples, dicts, and the records above.
    Each value is made once however often it is referred to, so memory is bounded by the file's size.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def follow(self) -> Any:
        """Return what the pickle describes; the file is left after its end."""
        for opcode, argument, _ in pickletools.genops(self.file):
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name in _VALUES:
                self.stack.append(argument)
            elif opcode.name in _MADE:
                self.stack.append(_MADE[opcode.name]())
            elif opcode.name in _STEPS:
                _STEPS[opcode.name](self, argument)
            else:
                raise _RefusedError(f"is a pickle with the opcode {opcode.name}, which files of networks do not have")
        raise ValueError("it has no end")

    def mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def marked(self) -> list[Any]:
        """Take what was put on the stack since the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop(self, _: Any) -> None:
        self.stack.pop()

    def pop_mark(self, _: Any) -> None:
        self.marked()

    def put(self, index: Any) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def get(self, index: Any) -> None:
        self.stack.append(self.memo[index])

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise ValueError("its stack runs empty")
        items = tuple(self.stack[-count:])
        self.stack[-count:] = [items]

    def tuple_marked(self, _: Any) -> None:
        self.stack.append(tuple(self.marked()))

    def list_marked(self, _: Any) -> None:
        self.stack.append(self.marked())

    def append(self, _: Any) -> None:
        self.extend([self.stack.pop()])

    def append_marked(self, _: Any) -> None:
        self.extend(self.marked())

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise _RefusedError("is a pickle that puts items into something that is no list")
        self.stack[-1].extend(items)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.update([key, value])

    def set_marked(self, _: Any) -> None:
        self.update(self.marked())

    def update(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not dict:
            raise _RefusedError("is a pickle that puts entries into something that is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, int):
                raise _RefusedError(f"is a pickle with a dict whose key is of type {type(key).__name__.strip('_')}")
            self.stack[-1][key] = value

    def name(self, argument: Any) -> None:
        self.stack.append(_named(*argument.split(" ", 1)))

    def name_from_stack(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(_named(module, name))

    def call(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not _Name or type(arguments) is not tuple:
            raise _RefusedError("is a pickle that calls something other than a function by name")
        if function.name in DICTS:
            if arguments:
                raise _RefusedError(f"is a pickle that makes a {function.name} in an unusual way")
            self.stack.append({})
        elif function.name in SETS:
            self.stack.append(_typed(arguments[0], list, "members of a set"))
        else:
            self.stack.append(_Call(function.name, arguments))

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        if type(self.stack[-1]) is _Call:
            self.stack[-1].state = state
        elif type(self.stack[-1]) is not dict:
            raise _RefusedError("is a pickle that sets the state of something that has none")

    def outside(self, _: Any) -> None:
        self.stack.append(_Outside(self.stack.pop()))


_VALUES = frozenset(
    {
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
        *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
        *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)
_MADE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
}
_STEPS: dict[str, Callable[[_Pickle, Any], None]] = {
    "PROTO": lambda *_: None,
    "FRAME": lambda *_: None,
    "MARK": _Pickle.mark,
    "POP": _Pickle.pop,
    "POP_MARK": _Pickle.pop_mark,
    "BINPUT": _Pickle.put,
    "LONG_BINPUT": _Pickle.put,
    "MEMOIZE": _Pickle.put,
    "BINGET": _Pickle.get,
    "LONG_BINGET": _Pickle.get,
    "TUPLE1": lambda pickle, _: pickle.tuple_of(1),
    "TUPLE2": lambda pickle, _: pickle.tuple_of(2),
    "TUPLE3": lambda pickle, _: pickle.tuple_of(3),
    "TUPLE": _Pickle.tuple_marked,
    "FROZENSET": _Pickle.list_marked,
    "APPEND": _Pickle.append,
    "APPENDS": _Pickle.append_marked,
    "ADDITEMS": _Pickle.append_marked,
    "SETITEM": _Pickle.set_item,
    "SETITEMS": _Pickle.set_marked,
    "GLOBAL": _Pickle.name,
    "STACK_GLOBAL": _Pickle.name_from_stack,
    "REDUCE": _Pickle.call,
    "NEWOBJ": _Pickle.call,
    "BUILD": _Pickle.build,
    "BINPERSID": _Pickle.outside,
}


def _named(module: object, name: object) -> _Name:
    whole = f"{_typed(module, str, 'module')}.{_typed(name, str, 'name')}"
    if whole.startswith(TENSORFLOW):
        raise _RefusedError(
            "holds networks of TensorFlow (StyleGAN or StyleGAN2 before its PyTorch edition), which are not read",
            "Convert it with legacy.py of StyleGAN2-ADA (PyTorch), and give the file that it writes.",
        )
    if whole not in NAMES:
        raise _RefusedError(
            f"asks for {whole[:LONGEST_NAME]!a}, which networks have no use for; it was refused, and nothing was run",
            "Get the file from its publisher and compare digests, or train without it.",
        )
    return _Name(whole)


def _typed(value: object, kind: type[T], what: str) -> T:
    if type(value) is not kind:
        raise _RefusedError(
            f"is not laid out as StyleGAN2-ADA networks are: its {what} is no {kind.__name__.strip('_')}"
        )
    return value


def _networks(value: object) -> Published:
    if type(value) is tuple:
        raise _RefusedError("does not name its networks, as StyleGAN2-ADA (PyTorch) files do")
    known = _typed(value, dict, "content")
    rebuilt = _Tensors()
    found = {key: _network(known[key], rebuilt) for key in ("G", "D", "G_ema") if known.get(key) is not None}
    if not found:
        raise _RefusedError("has none of the networks G, D and G_ema")
    return Published(found.get("G"), found.get("D"), found.get("G_ema"))


def _network(record: object, rebuilt: _Tensors) -> PublishedNetwork:
    """Return a network from its record: its tensors are those of all the modules in it."""
    class_name, state = _module(record)
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    waiting = [("", state)]
    while waiting:
        prefix, module = waiting.pop()
        # A module in two places, or inside itself, could make a small file unfold without end.
        if id(module) in seen or len(prefix) > LONGEST_NAME:
            raise _RefusedError("has a network that is no tree of modules")
        seen.add(id(module))
        for kind in ("_parameters", "_buffers"):
            for name, value in _entries(module, kind):
                tensors[prefix + name] = rebuilt.tensor(value)
        waiting += [(f"{prefix}{name}.", _module(part)[1]) for name, part in _entries(module, "_modules")]
    return PublishedNetwork(class_name, _typed(state.get("_init_kwargs", {}), dict, "_init_kwargs"), tensors)


def _module(record: object) -> tuple[str, dict[Any, Any]]:
    """Return a module's class name and its attributes (`nn.Module.__dict__`)."""
    if type(record) is not _Call or record.name != PERSISTENT or len(record.arguments) != 1:
        raise _RefusedError("has a module that was not saved as StyleGAN2-ADA saves its own")
    meta = _typed(record.arguments[0], dict, "record of a module")
    return _typed(meta.get("class_name"), str, "class_name"), _typed(meta.get("state"), dict, "state")


def _entries(module: dict[Any, Any], kind: str) -> list[tuple[str, object]]:
    entries = _typed(module.get(kind), dict, kind)
    return [(_typed(name, str, "name in " + kind), value) for name, value in entries.items() if value is not None]


class _Tensors:
    """Tensors rebuilt from their records; each storage is read once, and tensors are views into it."""

    def __init__(self) -> None:
        self.storages: dict[int, Tensor] = {}

    def tensor(self, record: object) -> Tensor:
        """Return the tensor of a record of a parameter or a buffer."""
        call = _typed(record, _Call, "record of a tensor")
        if call.name == PARAMETER:
            call = _typed(call.arguments[0], _Call, "record of a tensor")
        if call.name != TENSOR or len(call.arguments) < 4:
            raise _RefusedError("has a tensor that was not saved as StyleGAN2-ADA saves its own")
        storage, first = self.storage(call.arguments[0]), _count(call.arguments[1])
        size, stride = ([_count(n) for n in _typed(some, tuple, "shape of a tensor")] for some in call.arguments[2:4])
        steps = [(n - 1) * step for n, step in zip(size, stride, strict=True)]
        # No more elements than the storage has: a stride of 0 would make a tensor of any size from a few bytes.
        if math.prod(size) > storage.numel() or (0 not in size and first + sum(steps) >= storage.numel()):
            raise _RefusedError("has a tensor that reaches beyond its data")
        return storage.as_strided(size, stride, first)

    def storage(self, record: object) -> Tensor:
        """Return the numbers of a storage, in one dimension."""
        call = _typed(record, _Call, "record of a storage")
        if call.name != STORAGE or len(call.arguments) != 1:
            raise _RefusedError("has a tensor whose numbers are not in the file")
        data = _typed(call.arguments[0], bytes, "storage")
        if id(data) not in self.storages:
            self.storages[id(data)] = _numbers(data)
        return self.storages[id(data)]


def _count(value: object) -> int:
    number = _typed(value, int, "shape of a tensor")
    if not 0 <= number < 2**48:
        raise _RefusedError("has a tensor of an impossible shape")
    return number


def _numbers(data: bytes) -> Tensor:
    """Return the numbers of a storage saved by itself in torch's older format.

    That is five pickles (a magic number, the format's version, facts of the machine, the storage's type and length,
    the keys of the storages that follow), then the length again as 8 bytes, and the numbers.
    """
    file = io.BytesIO(data)
    magic, _, machine, stored, _ = (_Pickle(file).follow() for _ in range(5))
    if magic != LEGACY_MAGIC or _typed(machine, dict, "storage").get("little_endian") is not True:
        raise _RefusedError("has a tensor in a format other than torch's of little-endian machines")
    key = _typed(_typed(stored, _Outside, "storage").key, tuple, "storage")
    kind = _typed(key[1], _Name, "storage").name
    if key[0] != "storage" or kind not in STORAGES or any(part is not None for part in key[5:]):
        raise _RefusedError("has a tensor whose data are not a plain storage")
    dtype = STORAGES[kind]
    count = int.from_bytes(file.read(8), "little")
    body = data[file.tell() :]
    if count != key[4] or len(body) != count * dtype.itemsize:
        raise _RefusedError("has a tensor whose data are cut short or left over")
    return torch.frombuffer(bytearray(body), dtype=dtype) if count else torch.empty(0, dtype=dtype)
