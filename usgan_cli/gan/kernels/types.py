"""What the kernels share: numeric types, constants of the activation, and whether an exporter is watching."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

HALF_TYPES = (torch.bfloat16, torch.float16)

LEAKY_SLOPE = 0.2
"""Slope of the leaky ReLU for negative inputs."""

LEAKY_GAIN = math.sqrt(2)
"""Gain that keeps the second moment of a leaky ReLU's output near that of its input."""


class Epilogue(NamedTuple):
    """What follows a convolution of the generator; the letters are those of the formulas in `triton_synthesis`."""

    c: Tensor
    """Output of the convolution, [N, C, H, W]."""
    d: Tensor
    """Demodulation, [N, C]."""
    b: Tensor
    """Bias, [C]."""
    z: Tensor | None
    """Noise, [N, 1, H, W], or one plane for all images."""
    s: Tensor | None
    """Strength of the noise, []; None without noise."""
    t: Tensor | None
    """Styles of the next layer, [N, C]."""


def is_traced() -> bool:
    """Return True while an exporter or compiler traces: it cannot follow autograd functions or looks at values."""
    return bool(torch.jit.is_tracing()) or torch.compiler.is_compiling()  # type: ignore[no-untyped-call,attr-defined]
