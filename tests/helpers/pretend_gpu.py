"""A CUDA device that is pretended on the processor, for what only a GPU demands.

Inside `pretend_gpu` the machine has one GPU, `cuda:0`. Tensors placed on it really lie in ordinary memory, so every
number can be compared with the processor's own, but torch is watched at two levels (functions and dispatched operators)
and refuses what a GPU refuses or would quietly do wrong:

- pinning a view whose elements share memory;
- an operator on tensors of both devices (a host scalar excepted, as in torch), NumPy on a tensor of the GPU;
- a generator of one device for numbers on the other;
- changing a pinned tensor, or reading the target of a copy to the host, before a `non_blocking` copy has ended;
- while a CUDA graph is recorded: reading a value, making a tensor on the host, copying between devices, waiting,
  shapes that depend on values, random numbers.

What makes the host wait for the device is counted in `waits`. A recorded graph repeats exactly the operators that were
recorded, on the memory they were recorded with: a number that the host computed stays as it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from pretend_memory import (
    CPU,
    CUDA,
    PLACED,
    CaptureError,
    DeviceError,
    Event,
    Generator,
    Gpu,
    Graph,
    RaceError,
    address_of,
    tensors_of,
)
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from usgan_cli.gan.kernels import choice

aten = torch.ops.aten

READS = {aten._local_scalar_dense.default, aten.equal.default}
"""Operators that return plain numbers."""
SHAPED_BY_VALUES = {"nonzero", "masked_select", "unique", "_unique2", "unique_dim", "unique_consecutive"}
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
"""Operators that take indices from the host, for which they wait."""


class _Functions(TorchFunctionMode):
    """Gives tensors their device's name, and places what is made on it."""

    def __init__(self, gpu: Gpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, gpu = dict(kwargs or {}), self.gpu
        name = _name(func)
        if name in _GETTERS:
            return _GETTERS[name](gpu, args[0])
        if name == "_parse_to":  # the arguments of a module's `to`
            return func(*args, **kwargs)
        if name in _METHODS and args and isinstance(args[0], Tensor):
            return _METHODS[name](gpu, func, args, kwargs)
        if isinstance(kwargs.get("generator"), Generator):
            self._check_generator(args, kwargs)
        device = kwargs.get("device")
        if device is None:
            result = func(*args, **kwargs)
            if gpu.graph is not None and name in _FACTORIES:
                raise CaptureError(f"torch.{name} makes a tensor on the host inside a recorded phase")
            return result
        kwargs["device"] = CPU if torch.device(device).type == "cuda" else device
        pinned = kwargs.pop("pin_memory", False)
        result = func(*args, **kwargs)
        if not isinstance(result, Tensor):
            return result
        if name in {"tensor", "as_tensor", "asarray"} and torch.device(device).type == "cuda":
            gpu.synchronize(f"torch.{name} on the device")
        elif gpu.graph is not None and torch.device(device).type == "cpu":
            raise CaptureError(f"torch.{name} makes a tensor on the host inside a recorded phase")
        gpu.place(result, torch.device(device))
        return gpu.pin(result) if pinned else result

    def _check_generator(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        generator = kwargs["generator"]
        device = kwargs.get("device")
        tensors = tensors_of(args)
        here = torch.device(device) if device is not None else self.gpu.device_of(tensors[0]) if tensors else CPU
        if here.type != generator.device.type:
            raise RuntimeError(
                f"Expected a '{here.type}' device type for generator but found '{generator.device.type}'"
            )


class _Operators(TorchDispatchMode):
    """Checks every operator's tensors, keeps their places, and records them."""

    def __init__(self, gpu: Gpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, gpu = kwargs or {}, self.gpu
        with torch._C.DisableTorchFunction():
            tensors = tensors_of((args, kwargs))
            on_device = [gpu.holds(tensor) for tensor in tensors]
            self._check(func, args, kwargs, tensors, on_device)
            result = func(*args, **kwargs)
            name = func._schema.name.split("::")[1]
            if name == "copy_":
                if on_device[0] != on_device[1] and not (tensors[1].ndim == 0 and on_device[0]):
                    gpu.transfer(tensors[1], tensors[0], bool(kwargs.get("non_blocking", (*args, False)[2])))
                placed = on_device[0]
            else:
                placed = any(on_device)
            if placed:
                for tensor in tensors_of(result):
                    gpu.place(tensor, CUDA)
            if gpu.graph is not None and not func.is_view:
                gpu.graph.recorded.append((func, args, kwargs, result))
        return result

    def _check(
        self, func: Any, args: Sequence[Any], kwargs: dict[str, Any], tensors: list[Tensor], on_device: list[bool]
    ) -> None:
        gpu, name = self.gpu, func._schema.name.split("::")[1]
        if any(on_device):
            if func in READS:
                gpu.synchronize(f"{name} of a tensor of the device")
            elif name in SHAPED_BY_VALUES or (name in INDEXED and _has_mask(args)):
                gpu.synchronize(f"{name}, whose shape depends on values")
            mixed = [t for t, here in zip(tensors, on_device, strict=True) if not here and t.ndim > 0]
            if mixed and name in INDEXED and on_device[0]:
                gpu.synchronize(f"{name} with indices of the host")
            elif mixed and name not in {"copy_", "set_"}:
                raise DeviceError(
                    f"Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
                    f"({name}; of the host: {[list(t.shape) for t in mixed]})"
                )
        if gpu.graph is not None and torch.Tag.nondeterministic_seeded in func.tags:
            raise CaptureError(f"{name} draws random numbers inside a recorded phase")
        if gpu.leaving or gpu.arriving:
            self._check_races(func, args, kwargs, tensors)

    def _check_races(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any], tensors: list[Tensor]) -> None:
        gpu, name = self.gpu, func._schema.name
        for tensor in tensors:
            if address_of(tensor) in gpu.arriving:
                raise RaceError(f"{name} uses a tensor of the host before its copy from the device has ended")
        for argument, value in zip(func._schema.arguments, args, strict=False):
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written and any(address_of(tensor) in gpu.leaving for tensor in tensors_of(value)):
                raise RaceError(f"{name} changes a pinned tensor before its copy to the device has ended")


def _has_mask(args: Sequence[Any]) -> bool:
    return any(tensor.dtype in {torch.bool, torch.uint8} for tensor in tensors_of(args[1]))


def _name(func: Any) -> str:
    name = getattr(func, "__name__", "")
    return f"{func.__self__.__name__}.{name}" if name in {"__get__", "__set__"} else name


def _move(
    gpu: Gpu,
    tensor: Tensor,
    device: torch.device | None,
    dtype: torch.dtype | None,
    non_blocking: bool,
    copy: bool,
    memory_format: Any,
) -> Tensor:
    here = gpu.device_of(tensor)
    options: dict[str, Any] = {} if memory_format is None else {"memory_format": memory_format}
    dtype = tensor.dtype if dtype is None else dtype
    if device is None or device.type == here.type or "meta" in {device.type, here.type}:
        target = {} if device is None or device.type in {"cpu", "cuda"} else {"device": device}
        return tensor.to(dtype=dtype, copy=copy, **options, **target)
    moved = tensor.to(dtype=dtype, copy=True, **options)
    gpu.transfer(tensor, moved, non_blocking)
    gpu.place(moved, device)
    return moved


def _to(gpu: Gpu, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    tensor, *rest = args
    copy = bool(kwargs.pop("copy", False))
    other = kwargs.pop("other", rest[0] if rest and isinstance(rest[0], Tensor) else None)
    if other is not None:
        return _move(gpu, tensor, gpu.device_of(other), other.dtype, bool(kwargs.get("non_blocking")), copy, None)
    device, dtype, non_blocking, memory_format = torch._C._nn._parse_to(*rest, **kwargs)
    return _move(gpu, tensor, device, dtype, non_blocking, copy, memory_format)


def _read(gpu: Gpu, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    if address_of(args[0]) in gpu.arriving:
        raise RaceError(f"{func.__name__} of a tensor of the host before its copy from the device has ended")
    if gpu.holds(args[0]):
        if func.__name__ == "numpy":
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
        gpu.synchronize(f"{func.__name__} of a tensor of the device")
    return func(*args, **kwargs)


_GETTERS: dict[str, Callable[[Gpu, Tensor], Any]] = {
    "device.__get__": Gpu.device_of,
    "is_cuda.__get__": Gpu.holds,
    "is_cpu.__get__": lambda gpu, tensor: gpu.device_of(tensor).type == "cpu",
    "get_device": lambda gpu, tensor: 0 if gpu.holds(tensor) else -1,
    "is_pinned": lambda gpu, tensor: address_of(tensor) in gpu.pinned,
}
_METHODS: dict[str, Callable[[Gpu, Any, Sequence[Any], dict[str, Any]], Any]] = {
    "to": _to,
    "cpu": lambda gpu, func, args, kwargs: _move(gpu, args[0], CPU, None, False, False, kwargs.get("memory_format")),
    "cuda": lambda gpu, func, args, kwargs: _move(
        gpu, args[0], CUDA, None, bool(kwargs.get("non_blocking")), False, kwargs.get("memory_format")
    ),
    "pin_memory": lambda gpu, func, args, kwargs: gpu.pin(args[0]),
    "numpy": _read,
    "tolist": _read,
}
_FACTORIES = {
    *("tensor", "as_tensor", "asarray", "from_numpy", "zeros", "ones", "full", "empty", "arange", "eye", "linspace"),
    *("rand", "randn", "randint", "randperm", "scalar_tensor"),
}


@contextmanager
def _recording(gpu: Gpu, graph: Graph) -> Iterator[None]:
    gpu.graph = graph
    try:
        yield
    finally:
        gpu.graph = None


class _Stream:
    def wait_stream(self, other: object) -> None: ...

    def synchronize(self) -> None: ...


def _cuda_functions(gpu: Gpu) -> dict[str, Any]:
    properties = SimpleNamespace(name="pretended", total_memory=2**34, major=9, minor=0, multi_processor_count=1)
    zero = {name: lambda *_: 0 for name in ("current_device", "max_memory_allocated", "memory_allocated")}
    nothing = {
        name: lambda *_, **__: None
        for name in ("set_device", "empty_cache", "reset_peak_memory_stats", "manual_seed", "manual_seed_all")
    }
    return {
        **zero,
        **nothing,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "is_bf16_supported": lambda *_, **__: True,
        "device_count": lambda: 1,
        "get_device_name": lambda *_: "pretended",
        "get_device_capability": lambda *_: (9, 0),
        "get_device_properties": lambda *_: properties,
        "get_rng_state": lambda *_: torch.get_rng_state(),
        "set_rng_state": lambda *_: None,
        "synchronize": lambda *_: gpu.synchronize(),
        "Stream": _Stream,
        "current_stream": lambda *_: _Stream(),
        "stream": lambda *_: nullcontext(),
        "CUDAGraph": Graph,
        "graph": lambda graph, **_: _recording(gpu, graph),
    }


def _clone_storage(storage: torch.UntypedStorage) -> torch.UntypedStorage:
    """Copy a storage on its own device, as a deep copy of a tensor does."""
    with _disable_current_modes():
        made = torch.UntypedStorage(storage.nbytes()).copy_(storage, False)
    if storage._cdata in PLACED:
        PLACED[made._cdata] = StorageWeakRef(made)
    return made


@contextmanager
def pretend_gpu() -> Iterator[Gpu]:
    """Pretend one GPU in this thread; kernels that only a real one can run are off."""
    gpu = Gpu()
    never = {name: lambda *_: False for name in ("has_torch_function", "has_torch_function_unary")}
    never["has_torch_function_variadic"] = lambda *_: False
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, USGAN_KERNELS="torch"))
        choice.kernels_of.cache_clear()
        stack.callback(choice.kernels_of.cache_clear)
        for name, function in _cuda_functions(gpu).items():
            stack.enter_context(patch.object(torch.cuda, name, function))
        stack.enter_context(patch.object(torch, "Generator", Generator))
        stack.enter_context(patch.object(torch, "Event", type("Event", (Event,), {"gpu": gpu})))
        stack.enter_context(patch.object(torch.UntypedStorage, "clone", _clone_storage))
        for name in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):
            if hasattr(torch.optim.Optimizer, name):  # asks the driver; by version under one name or the other
                stack.enter_context(patch.object(torch.optim.Optimizer, name, lambda _: None))
        # Functions written in Python are looked into, not at.
        for module in (torch._tensor, torch.functional, torch.nn.functional, torch.autograd):
            for name, function in never.items():
                if hasattr(module, name):
                    stack.enter_context(patch.object(module, name, function))
        stack.enter_context(_Operators(gpu))
        stack.enter_context(_Functions(gpu))
        yield gpu
