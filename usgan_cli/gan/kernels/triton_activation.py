"""Bias, leaky ReLU, clamp and residual sum of the discriminator in one pass over memory, in Triton.

The slope of the activation is computed again from the convolution's output and the bias. Multiplying by it is linear
in the gradient, so the one kernel `gate` gives derivatives of all orders. Import this module only where Triton is
installed.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from usgan_cli.gan.kernels.triton_synthesis import MOST_CHANNELS, SLOPE, TILE, TURNS, WARPS, inner


@triton.jit
def _forward(
    c, b, rest, y, rows, channels, limit,
    BIAS: tl.constexpr, LIMITED: tl.constexpr, REST: tl.constexpr, BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * BP + tl.arange(0, BP)
    channel = tl.program_id(1) * BC + tl.arange(0, BC)
    at = row[:, None] * channels + channel[None, :]
    mask = (row < rows)[:, None] & (channel < channels)[None, :]
    v = tl.load(c + at, mask=mask, other=0.0).to(tl.float32)
    if BIAS:
        v += tl.load(b + channel, mask=channel < channels, other=0.0).to(tl.float32)[None, :]
    v = tl.where(v > 0, v, v * SLOPE)
    if LIMITED:
        v = tl.minimum(tl.maximum(v, -limit), limit)
    if REST:
        v += tl.load(rest + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(y + at, v.to(y.dtype.element_ty), mask=mask)


@triton.jit
def _gate(
    g, c, b, out, sums, rows, channels, limit,
    BIAS: tl.constexpr, LIMITED: tl.constexpr, SUMS: tl.constexpr,
    TURNS: tl.constexpr, BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    channel = tl.program_id(1) * BC + tl.arange(0, BC)
    if BIAS:
        bias = tl.load(b + channel, mask=channel < channels, other=0.0).to(tl.float32)[None, :]
    total = tl.zeros([BP, BC], tl.float32)
    for turn in range(TURNS):
        row = (tl.program_id(0).to(tl.int64) * TURNS + turn) * BP + tl.arange(0, BP)
        at = row[:, None] * channels + channel[None, :]
        mask = (row < rows)[:, None] & (channel < channels)[None, :]
        v = tl.load(c + at, mask=mask, other=0.0).to(tl.float32)
        if BIAS:
            v += bias
        slope = tl.where(v > 0, 1.0, SLOPE)
        if LIMITED:
            slope = tl.where(tl.abs(v * slope) >= limit, 0.0, slope)
        through = tl.load(g + at, mask=mask, other=0.0).to(tl.float32) * slope
        tl.store(out + at, through.to(out.dtype.element_ty), mask=mask)
        if SUMS:
            total += through
    if SUMS:
        to = tl.program_id(0).to(tl.int64) * channels + channel
        tl.store(sums + to, tl.sum(total, axis=0), mask=channel < channels)


def _blocks(c: Tensor) -> tuple[int, int, int, int]:
    """Return pixels of the whole batch, channels, and how many of each one program computes at a time."""
    channels = c.shape[1]
    rows = c.numel() // max(channels, 1)
    block = min(MOST_CHANNELS, triton.next_power_of_2(channels))
    return rows, channels, TILE // block, block


def forward(c: Tensor, b: Tensor | None, rest: Tensor | None, clamp: float | None) -> Tensor:
    """Return clamp(leaky_relu(c + b)) + rest of c and rest [N, C, H, W] and b [C], in c's type."""
    c = inner(c)
    rows, channels, pixels, block = _blocks(c)
    y = torch.empty_like(c)
    _forward[(triton.cdiv(rows, pixels), triton.cdiv(channels, block))](
        c, c if b is None else b, c if rest is None else inner(rest), y, rows, channels, clamp or 0.0,
        BIAS=b is not None, LIMITED=clamp is not None, REST=rest is not None, BP=pixels, BC=block, num_warps=WARPS,
    )  # fmt: skip
    return y


def gate(g: Tensor, c: Tensor, b: Tensor | None, clamp: float | None, *, sums: bool) -> tuple[Tensor, Tensor | None]:
    """Return g times the activation's slope at c + b, and, if asked for, its sum over images and pixels [C]."""
    c = inner(c)
    rows, channels, pixels, block = _blocks(c)
    turns = 1 if rows <= pixels else TURNS
    programs = triton.cdiv(rows, pixels * turns)
    out = torch.empty_like(c, dtype=g.dtype)
    added = c.new_empty([programs, channels], dtype=torch.float32) if sums else None
    _gate[(programs, triton.cdiv(channels, block))](
        inner(g), c, c if b is None else b, out, c if added is None else added, rows, channels, clamp or 0.0,
        BIAS=b is not None, LIMITED=clamp is not None, SUMS=sums,
        TURNS=turns, BP=pixels, BC=block, num_warps=WARPS,
    )  # fmt: skip
    return out, None if added is None else added.sum(0)
