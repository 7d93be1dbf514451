"""The binomial filter [1, 3, 3, 1] on a GPU, in Triton: one pass over memory for every stride.

The library's depthwise convolutions reach a small part of the memory's speed with channels innermost. These kernels
read every pixel once from memory and its neighbours from the cache; they sum in float32 for every type of images.
Import this module only where Triton is installed.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 1024
"""Numbers that one program holds: a block of pixels times a block of channels."""
MOST_CHANNELS = 64
ROWS = 4
"""Rows of the result that one program makes where nothing is enlarged or halved."""


@triton.jit
def _line(x, n, row, left, channel, height, width, channels, valid):
    """Filter along one row from column `left` on: [BP, BC] in float32; outside the image there are zeros."""
    inside = valid & (row >= 0) & (row < height)
    at = (n * height + row) * width
    known = (channel < channels)[None, :]
    total = tl.zeros([left.shape[0], channel.shape[0]], tl.float32)
    for k in tl.static_range(4):
        column = left + k
        mask = (inside & (column >= 0) & (column < width))[:, None] & known
        value = tl.load(x + (at + column)[:, None] * channels + channel[None, :], mask=mask, other=0.0).to(tl.float32)
        total += value * (3.0 if (k == 1 or k == 2) else 1.0)
    return total


@triton.jit
def _put(y, values, n, row, column, channel, height, width, channels, valid):
    at = (n * height + row) * width + column
    mask = (valid & (row < height) & (column < width))[:, None] & (channel < channels)[None, :]
    tl.store(y + at[:, None] * channels + channel[None, :], values.to(y.dtype.element_ty), mask=mask)


# Only the number of channels decides how memory is read; variants for special sizes would only cost compilation.
SIZES = ["count", "height", "width", "out_height", "out_width", "pad"]


@triton.jit(do_not_specialize=SIZES)
def _smooth(
    x, y, gain, count, height, width, channels, out_height, out_width, pad, BP: tl.constexpr, BC: tl.constexpr
):  # fmt: skip
    place = tl.program_id(0) * BP + tl.arange(0, BP)
    channel = tl.program_id(1) * BC + tl.arange(0, BC)
    strips = tl.cdiv(out_height, 4)
    column = place % out_width
    first = (place // out_width) % strips * 4
    n = (place // (out_width * strips)).to(tl.int64)
    valid = n < count
    out0 = tl.zeros([BP, BC], tl.float32)
    out1 = tl.zeros([BP, BC], tl.float32)
    out2 = tl.zeros([BP, BC], tl.float32)
    out3 = tl.zeros([BP, BC], tl.float32)
    for r in tl.static_range(7):
        line = _line(x, n, first + (r - pad), column - pad, channel, height, width, channels, valid)
        if r < 4:
            out0 += line * (3.0 if (r == 1 or r == 2) else 1.0)
        if r >= 1 and r < 5:
            out1 += line * (3.0 if (r == 2 or r == 3) else 1.0)
        if r >= 2 and r < 6:
            out2 += line * (3.0 if (r == 3 or r == 4) else 1.0)
        if r >= 3:
            out3 += line * (3.0 if (r == 4 or r == 5) else 1.0)
    _put(y, out0 * gain, n, first, column, channel, out_height, out_width, channels, valid)
    _put(y, out1 * gain, n, first + 1, column, channel, out_height, out_width, channels, valid)
    _put(y, out2 * gain, n, first + 2, column, channel, out_height, out_width, channels, valid)
    _put(y, out3 * gain, n, first + 3, column, channel, out_height, out_width, channels, valid)


@triton.jit(do_not_specialize=SIZES)
def _halve(
    x, y, gain, count, height, width, channels, out_height, out_width, pad, BP: tl.constexpr, BC: tl.constexpr
):  # fmt: skip
    place = tl.program_id(0) * BP + tl.arange(0, BP)
    channel = tl.program_id(1) * BC + tl.arange(0, BC)
    column = place % out_width
    row = (place // out_width) % out_height
    n = (place // (out_width * out_height)).to(tl.int64)
    valid = n < count
    total = tl.zeros([BP, BC], tl.float32)
    for r in tl.static_range(4):
        line = _line(x, n, 2 * row + (r - pad), 2 * column - pad, channel, height, width, channels, valid)
        total += line * (3.0 if (r == 1 or r == 2) else 1.0)
    _put(y, total * gain, n, row, column, channel, out_height, out_width, channels, valid)


@triton.jit(do_not_specialize=SIZES)
def _enlarge(
    x, y, gain, count, height, width, channels, out_height, out_width, pad, BP: tl.constexpr, BC: tl.constexpr
):  # fmt: skip
    place = tl.program_id(0) * BP + tl.arange(0, BP)
    channel = tl.program_id(1) * BC + tl.arange(0, BC)
    column = place % out_width
    row = (place // out_width) % out_height
    n = (place // (out_width * out_height)).to(tl.int64)
    valid = n < count
    known = (channel < channels)[None, :]
    # Between the zeros put in, a pixel of the result meets two pixels each way: taps 0 and 2, weighted 1 and 3, or
    # taps 1 and 3, weighted 3 and 1.
    odd_row = (row + pad) % 2
    odd_column = (column + pad) % 2
    total = tl.zeros([BP, BC], tl.float32)
    for i in tl.static_range(2):
        # `pad` is added before halving and taken off after, so that nothing is negative.
        from_row = (row + odd_row + pad) // 2 - pad + i
        for k in tl.static_range(2):
            from_column = (column + odd_column + pad) // 2 - pad + k
            inside = valid & (from_row >= 0) & (from_row < height) & (from_column >= 0) & (from_column < width)
            at = ((n * height + from_row) * width + from_column)[:, None] * channels + channel[None, :]
            value = tl.load(x + at, mask=inside[:, None] & known, other=0.0).to(tl.float32)
            weight = tl.where((odd_row + i) % 2 == 1, 3.0, 1.0) * tl.where((odd_column + k) % 2 == 1, 3.0, 1.0)
            total += value * weight[:, None]
    _put(y, total * gain, n, row, column, channel, out_height, out_width, channels, valid)


def binomial(x: Tensor, gain: float, up: int, down: int, pad: int, size: tuple[int, int]) -> Tensor:
    """Insert zeros, filter with [1, 3, 3, 1], whose sum is `gain`, and keep every `down`-th pixel.

    x [N, C, H, W] in float32, bfloat16 or float16 gives [N, C, *size], channels innermost. (up, down) is (1, 1),
    (1, 2) or (2, 1); `pad`, 0 to 3, counts the zeros before the first row and column.
    """
    n, channels, height, width = x.shape
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.empty([n, channels, *size], dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    kernel = _enlarge if up == 2 else _halve if down == 2 else _smooth
    places = n * size[1] * (triton.cdiv(size[0], ROWS) if kernel is _smooth else size[0])
    block = min(MOST_CHANNELS, triton.next_power_of_2(channels))
    pixels = TILE // block
    kernel[(triton.cdiv(places, pixels), triton.cdiv(channels, block))](
        x, y, gain / 64, n, height, width, channels, *size, pad, BP=pixels, BC=block, num_warps=4
    )
    return y
