"""Which kernels compute on a device: Triton's on a CUDA device that can build them, the library's elsewhere.

The environment variable USGAN_KERNELS chooses: `auto` (the default), `triton` (an error where it does not work) or
`torch`. Before Triton's kernels are used on a device they are built once and compared with the library's results.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from usgan_cli.core.errors import SettingsError
from usgan_cli.gan.kernels.types import HALF_TYPES

VARIABLE = "USGAN_KERNELS"
CHOICES = ("auto", "triton", "torch")
LEAST_CAPABILITY = (7, 0)
"""Oldest generation of GPUs that Triton builds for (Volta)."""

PROBE_TOLERANCE = 1e-5
TYPES = (torch.float32, *HALF_TYPES)


@dataclass(frozen=True)
class Kernels:
    """The kernels of a device."""

    name: Literal["triton", "torch"]
    problem: str = ""
    """Why Triton's are not used on a CUDA device, in words; empty where nothing is wrong."""


def requested() -> str:
    """Return the value of USGAN_KERNELS; `SettingsError` if it is unknown."""
    name = os.environ.get(VARIABLE, "auto") or "auto"
    if name not in CHOICES:
        raise SettingsError(f"{VARIABLE} is {name!r}.", f"Set it to one of: {', '.join(CHOICES)}.")
    return name


@cache
def kernels_of(device: torch.device) -> Kernels:
    """Return the kernels that serve a device; builds and checks Triton's at the first call (a few seconds).

    `SettingsError` if USGAN_KERNELS asks for Triton's kernels where they do not work.
    """
    name = requested()
    if name == "torch" or (device.type != "cuda" and not interpreted()):
        if name == "triton":
            raise SettingsError(f"Triton's kernels need a CUDA device, not {device}.", f"Unset {VARIABLE}.")
        return Kernels("torch")
    problem = _problem(device)
    if not problem:
        return Kernels("triton")
    if name == "triton":
        raise SettingsError(f"Triton's kernels do not work here: {problem}.", f"Unset {VARIABLE}.")
    return Kernels("torch", problem)


def uses_triton(x: Tensor) -> bool:
    """Return whether a tensor is computed on by Triton's kernels; they have no float64."""
    return x.dtype in TYPES and (x.is_cuda or interpreted()) and kernels_of(x.device).name == "triton"


@cache
def interpreted() -> bool:
    """Return whether Triton's interpreter stands in for a GPU, which is how the tests run these kernels."""
    return os.environ.get("TRITON_INTERPRET") == "1" and requested() == "triton"


def _problem(device: torch.device) -> str:
    """Return why Triton's kernels cannot serve a device, or nothing."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < LEAST_CAPABILITY:
        return "the GPU is older than Triton builds for"
    if device.type == "cuda" and os.environ.get("TRITON_INTERPRET") == "1":
        return "TRITON_INTERPRET is set, which would run them in Python"
    try:
        from usgan_cli.gan.kernels import probe
    except ImportError as error:
        return f"Triton cannot be loaded ({error})"
    if interpreted():
        return ""
    try:
        difference = probe.largest_error(device)
    except Exception as error:
        # A compiler may raise anything; the library's kernels still work.
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"building them failed ({first})"
    return "" if difference <= PROBE_TOLERANCE else f"they differ from the library's results by {difference:.2g}"
