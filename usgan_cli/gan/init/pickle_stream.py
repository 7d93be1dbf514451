"""Pickles followed opcode by opcode, without doing what they say: a name stays a name, a call stays a record.

Unpickling runs a program: a pickle names functions and what to call them with. Here nothing is imported, called or
compiled, so no name could do harm; a name that StyleGAN2-ADA networks have no use for is refused all the same, since
it shows what the file is.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, TypeVar

import torch

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
# What else the attributes of networks hold: records of these are kept and never read.
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
LONGEST_NAME = 256

T = TypeVar("T")


class RefusedError(Exception):
    """Why a file is not read; the message goes on from its path."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True, repr=False)
class Name:
    """A function or class that the pickle asks for: its name alone."""

    name: str


@dataclass(eq=False, slots=True, repr=False)
class Call:
    """A call that unpickling would have made, and the state it would have given to the result."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Outside:
    """A reference to data that lies after the pickle (`persistent_id`), as in the inner files."""

    key: Any


class Pickle:
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
            if opcode.name in VALUES:
                self.stack.append(argument)
            elif opcode.name in CONSTANTS:
                self.stack.append(CONSTANTS[opcode.name]())
            elif opcode.name in self._steps:
                self._steps[opcode.name](self, argument)
            else:
                raise RefusedError(f"is a pickle with the opcode {opcode.name}, which files of networks do not have")
        raise ValueError("it has no end")

    def _take_marked(self, _: Any = None) -> list[Any]:
        """Take from the stack what was put on it since the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _put(self, index: Any) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def _tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise ValueError("its stack runs empty")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise RefusedError("is a pickle that puts items into something that is not a list")
        self.stack[-1].extend(items)

    def _set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _update(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not dict:
            raise RefusedError("is a pickle that puts entries into something that is not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, int):
                raise RefusedError(f"is a pickle with a dict whose key is of type {type(key).__name__}")
            self.stack[-1][key] = value

    def _name(self, argument: Any) -> None:
        self.stack.append(_allowed_name(*argument.split(" ", 1)))

    def _name_from_stack(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(_allowed_name(module, name))

    def _call(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Name or type(arguments) is not tuple:
            raise RefusedError("is a pickle that calls something other than a function by name")
        if function.name in DICTS:
            if arguments:
                raise RefusedError(f"is a pickle that makes a {function.name} in an unusual way")
            self.stack.append({})
        elif function.name in SETS:
            self.stack.append(typed(arguments[0], list, "members of a set"))
        else:
            self.stack.append(Call(function.name, arguments))

    def _build(self, _: Any) -> None:
        state = self.stack.pop()
        if type(self.stack[-1]) is Call:
            self.stack[-1].state = state
        elif type(self.stack[-1]) is not dict:
            raise RefusedError("is a pickle that sets the state of something that has none")

    _steps: ClassVar[dict[str, Callable[[Pickle, Any], object]]] = {
        **dict.fromkeys(("PROTO", "FRAME"), lambda *_: None),
        "MARK": lambda pickle, _: pickle.marks.append(len(pickle.stack)),
        "POP": lambda pickle, _: pickle.stack.pop(),
        "POP_MARK": _take_marked,
        **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _put),
        **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda pickle, index: pickle.stack.append(pickle.memo[index])),
        "TUPLE1": lambda pickle, _: pickle._tuple_of(1),
        "TUPLE2": lambda pickle, _: pickle._tuple_of(2),
        "TUPLE3": lambda pickle, _: pickle._tuple_of(3),
        "TUPLE": lambda pickle, _: pickle.stack.append(tuple(pickle._take_marked())),
        "FROZENSET": lambda pickle, _: pickle.stack.append(pickle._take_marked()),
        "APPEND": lambda pickle, _: pickle._extend([pickle.stack.pop()]),
        **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda pickle, _: pickle._extend(pickle._take_marked())),
        "SETITEM": _set_item,
        "SETITEMS": lambda pickle, _: pickle._update(pickle._take_marked()),
        "GLOBAL": _name,
        "STACK_GLOBAL": _name_from_stack,
        **dict.fromkeys(("REDUCE", "NEWOBJ"), _call),
        "BUILD": _build,
        "BINPERSID": lambda pickle, _: pickle.stack.append(Outside(pickle.stack.pop())),
    }


VALUES = frozenset(
    {
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
        *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
        *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
}


def _allowed_name(module: object, name: object) -> Name:
    whole = f"{typed(module, str, 'module')}.{typed(name, str, 'name')}"
    if whole.startswith(TENSORFLOW):
        raise RefusedError(
            "holds networks of TensorFlow (StyleGAN or StyleGAN2 before its PyTorch edition), which are not read",
            "Convert it with legacy.py of StyleGAN2-ADA (PyTorch), and give the file that it writes.",
        )
    if whole not in NAMES:
        raise RefusedError(
            f"asks for {whole[:LONGEST_NAME]!a}, which networks have no use for; it was refused, and nothing was run",
            "Get the file from its publisher and compare digests, or train without it.",
        )
    return Name(whole)


def typed(value: object, kind: type[T], what: str) -> T:
    """Return the value if it is of this very type, or raise RefusedError naming `what` it is."""
    if type(value) is not kind:
        raise RefusedError(f"is not laid out as StyleGAN2-ADA networks are: its {what} is not a {kind.__name__}")
    return value
