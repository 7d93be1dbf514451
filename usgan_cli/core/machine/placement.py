"""Tensors on a device, without making the host wait for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Return values on a device, converted to a type before they travel (None keeps theirs).

    From the host to a CUDA device they go through pinned memory, queued behind the work already there; only the way
    from a GPU to the host waits.
    """
    values = values if dtype is None else values.to(dtype)
    if values.device.type != "cpu" or device.type != "cuda":
        return values.to(device)
    # Pinning keeps a view's strides, and refuses one whose elements share memory, such as an expanded row.
    return values.contiguous().pin_memory().to(device, non_blocking=True)


def copy_to_host(values: Tensor) -> Callable[[], Tensor]:
    """Begin to copy values to the host; return a function that waits for the copy and returns it.

    It waits for what was queued on a CUDA device before the copy alone, not for what is queued after it.
    """
    copied = values.to("cpu", non_blocking=values.is_cuda)  # into pinned memory
    event = torch.Event(values.device) if values.is_cuda else None
    if event is not None:
        event.record()

    def wait() -> Tensor:
        if event is not None:
            event.synchronize()
        return copied

    return wait


@cache
def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return fixed numbers as a tensor, made once for each device and type; it must not be changed."""
    # A tensor born in inference mode could not take part in training later.
    with torch.inference_mode(mode=False):
        return torch.tensor(values, dtype=dtype).to(device)
