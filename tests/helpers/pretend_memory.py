"""What is known of a pretended GPU's memory, and what it refuses there; see `pretend_gpu`."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

import torch
import torch._dynamo  # modes load it when first used, which must not meet what is pretended
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda", 0)
CPU = torch.device("cpu")

SHARED_MEMORY = (
    "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
    "Please clone() the tensor before performing the operation."
)
PLACED: dict[int, StorageWeakRef] = {}
"""The device's memory. A weak reference keeps a storage's address from being used again, so it is a name for good; kept
from one GPU to the next, because the package keeps constants on a device."""


class CaptureError(RuntimeError):
    """What a graph cannot hold."""


class RaceError(RuntimeError):
    """Memory touched while the device may still be copying."""


class DeviceError(RuntimeError):
    """Tensors of two devices in one operator."""


class Generator(torch.Generator):
    """A generator of either device; the numbers are the processor's."""

    def __new__(cls, device: torch.device | str | int = "cpu") -> Generator:
        made = super().__new__(cls)
        made.pretended = CUDA if torch.device(device).type == "cuda" else CPU
        return made

    def __init__(self, device: torch.device | str | int = "cpu") -> None: ...

    @property
    def device(self) -> torch.device:
        return self.pretended


class Graph:
    """The operators that were dispatched while it was recorded."""

    def __init__(self) -> None:
        self.recorded: list[tuple[Any, Sequence[Any], dict[str, Any], Any]] = []

    def replay(self) -> None:
        with torch.no_grad(), _disable_current_modes():
            for operator, args, kwargs, results in self.recorded:
                repeated = operator(*args, **kwargs)
                if operator._schema.is_mutable:
                    continue
                for old, new in zip(tensors_of(results), tensors_of(repeated), strict=True):
                    old.copy_(new)


class Gpu:
    """What is known of memory: which of it is the device's, which is pinned, and what is being copied."""

    def __init__(self) -> None:
        self.placed = PLACED
        self.pinned: dict[int, StorageWeakRef] = {}
        self.leaving: dict[int, Tensor] = {}
        self.arriving: dict[int, Tensor] = {}
        self.graph: Graph | None = None
        self.waits: list[str] = []

    def holds(self, tensor: Tensor) -> bool:
        return address_of(tensor) in self.placed

    def place(self, tensor: Tensor, device: torch.device) -> None:
        if device.type == "cuda":
            storage = tensor.untyped_storage()
            self.placed[storage._cdata] = StorageWeakRef(storage)
        else:
            self.placed.pop(address_of(tensor), None)

    def device_of(self, tensor: Tensor) -> torch.device:
        return CUDA if self.holds(tensor) else tensor.device

    def synchronize(self, reason: str = "synchronize", *_: Any) -> None:
        """End all copies, as a host that waits for the device finds them."""
        if self.graph is not None:
            raise CaptureError(f"operation not permitted when stream is capturing: {reason}")
        self.waits.append(f"{reason} at {_caller()}")
        self.leaving.clear()
        self.arriving.clear()

    def transfer(self, source: Tensor, target: Tensor, non_blocking: bool) -> None:
        """Note a copy between the devices."""
        if self.graph is not None:
            raise CaptureError("a copy between the host and the device inside a recorded phase")
        to_host = self.holds(source)
        if to_host and non_blocking:
            self.arriving[address_of(target)] = target
        elif not to_host and non_blocking and address_of(source) in self.pinned:
            self.leaving[address_of(source)] = source
        else:
            self.synchronize("copy to the host" if to_host else "copy from memory that is not pinned")

    def pin(self, tensor: Tensor) -> Tensor:
        if self.holds(tensor):
            raise RuntimeError(f"cannot pin '{tensor.type()}' only dense CPU tensors can be pinned")
        if address_of(tensor) in self.pinned:
            return tensor
        if any(size > 1 and stride == 0 for size, stride in zip(tensor.shape, tensor.stride(), strict=True)):
            raise RuntimeError(SHARED_MEMORY)
        if self.graph is not None:
            raise CaptureError("pinning memory inside a recorded phase")
        pinned = tensor.clone()
        storage = pinned.untyped_storage()
        self.pinned[storage._cdata] = StorageWeakRef(storage)
        return pinned


class Event:
    """A moment of the device's work: waiting for it ends the copies that were begun before."""

    gpu: Gpu

    def __init__(self, device: torch.device) -> None:
        self.copies: list[dict[int, Tensor]] = [{}, {}]

    def record(self) -> None:
        self.copies = [dict(self.gpu.leaving), dict(self.gpu.arriving)]

    def synchronize(self) -> None:
        for running, begun in zip((self.gpu.leaving, self.gpu.arriving), self.copies, strict=True):
            for address in begun:
                running.pop(address, None)


def tensors_of(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def address_of(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage()._cdata
    except (RuntimeError, NotImplementedError):  # a layout without storage
        return 0


def _caller() -> str:
    frames = [f for f in traceback.extract_stack() if "usgan_cli" in f.filename]
    return f"{frames[-1].filename.rpartition('usgan_cli/')[2]}:{frames[-1].lineno}" if frames else "a test"
