"""Numbers on a device without making the host wait for it."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Return values on a device and in a type.

    Parameters
    ----------
    values : Tensor
        Any shape; converted where they are.
    device : torch.device
        Where they are wanted.
    dtype : torch.dtype, optional
        Their type there; as it is without one.

    Returns
    -------
    Tensor
        From the host to a CUDA device they travel through pinned memory, behind the work already queued there; only
        the way from an accelerator to the host waits.
    """
    values = values if dtype is None else values.to(dtype)
    if values.device.type != "cpu" or device.type != "cuda":
        return values.to(device)
    # Pinning keeps a view's strides, and refuses one whose elements share memory, such as an expanded row.
    return values.contiguous().pin_memory().to(device, non_blocking=True)


@cache
def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return fixed numbers as a tensor, which is made once for each device and type and must not be changed."""
    # A tensor born in inference mode could not take part in training later.
    with torch.inference_mode(mode=False):
        return torch.tensor(values, dtype=dtype).to(device)
