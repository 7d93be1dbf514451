"""Symbols that the libraries do not promise to keep, each with what is done where they are missing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=8)
def fuses_leaky_relu(dtype: torch.dtype) -> bool:
    """Return whether this processor's convolution takes bias and leaky ReLU along, for one numeric type."""
    library = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available() or not hasattr(library, "_convolution_pointwise"):  # type: ignore[no-untyped-call]
        return False
    if dtype == torch.bfloat16:
        supported = getattr(library, "_is_mkldnn_bf16_supported", None)
        return supported is not None and bool(supported())
    return dtype == torch.float32


def conv_leaky_relu(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, slope: float) -> Tensor:
    """Return leaky_relu(conv2d(x, weight, bias)) in one pass, where `fuses_leaky_relu` holds."""
    both: Sequence[int] = [padding] * 2
    result: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, both, [stride] * 2, [1, 1], 1, "leaky_relu", [slope], ""
    )
    return result
