"""What follows a convolution of the generator, in one pass over memory, in Triton; likewise its derivatives.

From a convolution's output c, with demodulation d, bias b, noise z of strength s, and the styles t of the next layer:

    v = c d + b + s z,   a = clamp(leaky_relu(v)),   the results are a ("plain") and a t ("scaled").

With gradients g_p and g_s of the two results, and the slope m of the activation at v:

    g_v = m (g_p + g_s t),   g_c = g_v d,
    g_d = sum g_v c,   g_b = sum g_v,   g_strength = sum g_v z,   g_t = sum g_s a,

the sums over the pixels (for b and s over the images too). With gradients h of those five in turn, and
q = h_c d + h_d c + h_b + h_strength z, the second derivatives are

    by g_p: m q,   by g_s: m q t + h_t a,   by c: h_d g_v + h_t g_s m d,
    by d: sum (h_c g_v + h_t g_s m c),   by b: sum h_t g_s m,   by s: sum h_t g_s m z,   by t: sum m q g_s.

Nothing of the activation is kept: v is computed again from c. Sums are taken in float32 and in a fixed order.
Import this module only where Triton is installed.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from usgan_cli.gan.kernels.types import LEAKY_SLOPE, Epilogue

# Measured on an H200: with these, first derivatives pass over memory at 3.3 and second ones at 3.0 of its 4.3 TB/s.
TILE = 1024
"""Numbers that one program computes at a time: a block of pixels times a block of channels."""
MOST_CHANNELS = 64
TURNS = 32
"""Blocks of pixels that one program passes through where it sums over them."""
WARPS = 4
SLOPE = tl.constexpr(LEAKY_SLOPE)


@triton.jit
def _places(n, first, size, channels, BP: tl.constexpr, BC: tl.constexpr):
    """Return pixels [BP], channels [BC], offsets and mask [BP, BC] of a tile."""
    pixel = first + tl.arange(0, BP)
    channel = tl.program_id(2) * BC + tl.arange(0, BC)
    at = (n * size + pixel[:, None]) * channels + channel[None, :]
    return pixel, channel, at, (pixel < size)[:, None] & (channel < channels)[None, :]


@triton.jit
def _row(values, n, channel, channels):
    """Load one image's factors of the channels, as a row [1, BC] in float32."""
    return tl.load(values + n * channels + channel, mask=channel < channels, other=0.0).to(tl.float32)[None, :]


@triton.jit
def _noise(z, n, pixel, size, step):
    return tl.load(z + n * step + pixel, mask=pixel < size, other=0.0).to(tl.float32)[:, None]


@triton.jit
def _tile(values, at, mask):
    return tl.load(values + at, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _slope(v, limit, LIMITED: tl.constexpr):
    """Return the slope of leaky ReLU and clamp where their input is v."""
    slope = tl.where(v > 0, 1.0, SLOPE)
    if LIMITED:
        slope = tl.where(tl.abs(v * slope) >= limit, 0.0, slope)
    return slope


@triton.jit
def _activate(v, limit, LIMITED: tl.constexpr):
    a = tl.where(v > 0, v, v * SLOPE)
    if LIMITED:
        a = tl.minimum(tl.maximum(a, -limit), limit)
    return a


@triton.jit
def _put(values, tile, at, mask):
    tl.store(values + at, tile.to(values.dtype.element_ty), mask=mask)


@triton.jit
def _put_sum(sums, tile, n, channel, channels):
    """Store the sum over a program's pixels; sums is [N, programs, C]."""
    at = (n * tl.num_programs(1) + tl.program_id(1)) * channels + channel
    tl.store(sums + at, tl.sum(tile, axis=0), mask=channel < channels)


@triton.jit
def _forward(
    c, d, b, z, s, t, plain, scaled, size, channels, step, limit,
    NOISE: tl.constexpr, LIMITED: tl.constexpr, PLAIN: tl.constexpr, SCALED: tl.constexpr,
    BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64)
    pixel, channel, at, mask = _places(n, tl.program_id(1) * BP, size, channels, BP, BC)
    v = _tile(c, at, mask) * _row(d, n, channel, channels) + _row(b, 0, channel, channels)
    if NOISE:
        v += _noise(z, n, pixel, size, step) * tl.load(s).to(tl.float32)
    a = _activate(v, limit, LIMITED)
    if PLAIN:
        _put(plain, a, at, mask)
    if SCALED:
        _put(scaled, a * _row(t, n, channel, channels), at, mask)


@triton.jit
def _backward(
    gp, gs, c, d, b, z, s, t, gc, sum_d, sum_b, sum_s, sum_t, size, channels, step, limit,
    NOISE: tl.constexpr, LIMITED: tl.constexpr, PLAIN: tl.constexpr, SCALED: tl.constexpr, PARAMETERS: tl.constexpr,
    TURNS: tl.constexpr, BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64)
    _, channel, _, _ = _places(n, 0, size, channels, BP, BC)
    factor, bias = _row(d, n, channel, channels), _row(b, 0, channel, channels)
    if SCALED:
        style = _row(t, n, channel, channels)
    if NOISE:
        strength = tl.load(s).to(tl.float32)
    for_d = tl.zeros([BP, BC], tl.float32)
    for_b = tl.zeros([BP, BC], tl.float32)
    for_s = tl.zeros([BP, BC], tl.float32)
    for_t = tl.zeros([BP, BC], tl.float32)
    for turn in range(TURNS):
        pixel, channel, at, mask = _places(n, (tl.program_id(1) * TURNS + turn) * BP, size, channels, BP, BC)
        cv = _tile(c, at, mask)
        v = cv * factor + bias
        if NOISE:
            noise = _noise(z, n, pixel, size, step)
            v += noise * strength
        g = tl.zeros([BP, BC], tl.float32)
        if PLAIN:
            g += _tile(gp, at, mask)
        if SCALED:
            own = _tile(gs, at, mask)
            g += own * style
            for_t += own * _activate(v, limit, LIMITED)
        g = g * _slope(v, limit, LIMITED)
        _put(gc, g * factor, at, mask)
        for_d += g * cv
        if PARAMETERS:
            for_b += g
            if NOISE:
                for_s += g * noise
    _put_sum(sum_d, for_d, n, channel, channels)
    if SCALED:
        _put_sum(sum_t, for_t, n, channel, channels)
    if PARAMETERS:
        _put_sum(sum_b, for_b, n, channel, channels)
        if NOISE:
            _put_sum(sum_s, for_s, n, channel, channels)


@triton.jit
def _second(
    gp, gs, c, d, b, z, s, t, hc, hd, hb, hs, ht, by_gp, by_gs, by_c, sum_d, sum_b, sum_s, sum_t,
    size, channels, step, limit,
    NOISE: tl.constexpr, LIMITED: tl.constexpr, PLAIN: tl.constexpr, SCALED: tl.constexpr,
    HC: tl.constexpr, HD: tl.constexpr, HB: tl.constexpr, HS: tl.constexpr, HT: tl.constexpr,
    TURNS: tl.constexpr, BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64)
    _, channel, _, _ = _places(n, 0, size, channels, BP, BC)
    factor, bias = _row(d, n, channel, channels), _row(b, 0, channel, channels)
    if SCALED:
        style = _row(t, n, channel, channels)
    if NOISE:
        strength = tl.load(s).to(tl.float32)
    if HD:
        on_d = _row(hd, n, channel, channels)
    if HB:
        on_b = _row(hb, 0, channel, channels)
    if HS:
        on_s = tl.load(hs).to(tl.float32)
    if HT:
        on_t = _row(ht, n, channel, channels)
    for_d = tl.zeros([BP, BC], tl.float32)
    for_b = tl.zeros([BP, BC], tl.float32)
    for_s = tl.zeros([BP, BC], tl.float32)
    for_t = tl.zeros([BP, BC], tl.float32)
    for turn in range(TURNS):
        pixel, channel, at, mask = _places(n, (tl.program_id(1) * TURNS + turn) * BP, size, channels, BP, BC)
        cv = _tile(c, at, mask)
        v = cv * factor + bias
        if NOISE:
            noise = _noise(z, n, pixel, size, step)
            v += noise * strength
        slope = _slope(v, limit, LIMITED)
        g = tl.zeros([BP, BC], tl.float32)
        if PLAIN:
            g += _tile(gp, at, mask)
        if SCALED:
            own = _tile(gs, at, mask)
            g += own * style
        g = g * slope
        q = tl.zeros([BP, BC], tl.float32)
        to_c = tl.zeros([BP, BC], tl.float32)
        if HC:
            on_c = _tile(hc, at, mask)
            q += on_c * factor
            for_d += on_c * g
        if HD:
            q += on_d * cv
            to_c += on_d * g
        if HB:
            q += on_b
        if HS:
            q += on_s * noise
        q = tl.where(mask, q * slope, 0.0)
        if PLAIN:
            _put(by_gp, q, at, mask)
        if SCALED:
            to_own = q * style
            for_t += q * own
            if HT:
                to_own += on_t * _activate(v, limit, LIMITED)
                through = on_t * own * slope
                to_c += through * factor
                for_d += through * cv
                for_b += through
                if NOISE:
                    for_s += through * noise
            _put(by_gs, to_own, at, mask)
        _put(by_c, to_c, at, mask)
    _put_sum(sum_d, for_d, n, channel, channels)
    if SCALED:
        _put_sum(sum_t, for_t, n, channel, channels)
        if HT:
            _put_sum(sum_b, for_b, n, channel, channels)
            if NOISE:
                _put_sum(sum_s, for_s, n, channel, channels)


class _Launch:
    """How a kernel is spread over a tensor [N, C, H, W], and its inputs as it reads them."""

    def __init__(self, inputs: Epilogue) -> None:
        c, d, b, z, s, t = inputs
        self.c = inner(c)
        self.n, self.channels, height, width = c.shape
        self.size = height * width
        self.block = min(MOST_CHANNELS, triton.next_power_of_2(self.channels))
        self.pixels = TILE // self.block
        # One or the other, and not as many as fit, so that few variants of a kernel are compiled.
        self.turns = 1 if self.size <= self.pixels else TURNS
        self.inputs = [self.c, *(self.or_any(x if x is None else x.contiguous()) for x in (d, b, z, s, t))]
        self.step = 0 if z is None or z.ndim < 4 or len(z) == 1 else self.size
        self.noise = z is not None

    def or_any(self, x: Tensor | None) -> Tensor:
        """Return x, or any tensor at all where the kernel is to leave it alone."""
        return self.c if x is None else x

    def grid(self, turns: int) -> tuple[int, int, int]:
        return (self.n, triton.cdiv(self.size, self.pixels * turns), triton.cdiv(self.channels, self.block))

    def sums(self) -> Tensor:
        """Return room for each program's sum over its pixels, [N, programs, C]."""
        return self.c.new_empty([self.n, self.grid(self.turns)[1], self.channels], dtype=torch.float32)

    def numbers(self, clamp: float | None) -> tuple[int, int, int, float]:
        return (self.size, self.channels, self.step, 0.0 if clamp is None else clamp)


def inner(x: Tensor) -> Tensor:
    """Return x with its channels innermost in memory."""
    return x.contiguous(memory_format=torch.channels_last)


def forward(
    inputs: Epilogue, clamp: float | None, plain: bool, dtype: torch.dtype
) -> tuple[Tensor | None, Tensor | None]:
    """Return the plain result, if asked for, and the scaled one in `dtype`, where there are styles."""
    launch = _Launch(inputs)
    first = torch.empty_like(launch.c) if plain else None
    second = None if inputs.t is None else torch.empty_like(launch.c, dtype=dtype)
    _forward[launch.grid(1)](
        *launch.inputs, launch.or_any(first), launch.or_any(second), *launch.numbers(clamp),
        NOISE=launch.noise, LIMITED=clamp is not None, PLAIN=plain, SCALED=inputs.t is not None,
        BP=launch.pixels, BC=launch.block, num_warps=WARPS,
    )  # fmt: skip
    return first, second


Sums = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]
"""Gradients by d [N, C], b [C], s [] and t [N, C]."""


def backward(
    gp: Tensor | None, gs: Tensor | None, inputs: Epilogue, clamp: float | None, parameters: bool
) -> tuple[Tensor, Sums]:
    """Return the gradient by c and, by b and s only where `parameters` asks for them, those of the rest."""
    launch = _Launch(inputs)
    gc = torch.empty_like(launch.c)
    scaled = gs is not None
    sums = [launch.sums() if needed else None for needed in (True, parameters, parameters and launch.noise, scaled)]
    _backward[launch.grid(launch.turns)](
        *(launch.c if g is None else inner(g) for g in (gp, gs)), *launch.inputs, gc,
        *(launch.or_any(x) for x in sums), *launch.numbers(clamp),
        NOISE=launch.noise, LIMITED=clamp is not None, PLAIN=gp is not None, SCALED=scaled, PARAMETERS=parameters,
        TURNS=launch.turns, BP=launch.pixels, BC=launch.block, num_warps=WARPS,
    )  # fmt: skip
    return gc, _added(sums)


def second(
    gp: Tensor | None, gs: Tensor | None, inputs: Epilogue, clamp: float | None, gradients: tuple[Tensor | None, ...]
) -> tuple[Tensor | None, Tensor | None, Tensor, Sums]:
    """Return the second derivatives by gp, gs, c, and by the rest; `gradients` are those of c, d, b, s and t."""
    launch = _Launch(inputs)
    hc, hd, hb, hs, ht = gradients
    scaled = gs is not None
    if not scaled:
        ht = None
    by_gp = None if gp is None else torch.empty_like(launch.c, dtype=gp.dtype)
    by_gs = None if gs is None else torch.empty_like(launch.c, dtype=gs.dtype)
    by_c = torch.empty_like(launch.c)
    styled = ht is not None
    sums = [launch.sums() if needed else None for needed in (True, styled, styled and launch.noise, scaled)]
    _second[launch.grid(launch.turns)](
        *(launch.c if g is None else inner(g) for g in (gp, gs)), *launch.inputs,
        launch.c if hc is None else inner(hc), *(launch.c if h is None else h.contiguous() for h in (hd, hb, hs, ht)),
        launch.or_any(by_gp), launch.or_any(by_gs), by_c,
        *(launch.or_any(x) for x in sums), *launch.numbers(clamp),
        NOISE=launch.noise, LIMITED=clamp is not None, PLAIN=gp is not None, SCALED=scaled,
        HC=hc is not None, HD=hd is not None, HB=hb is not None, HS=hs is not None and launch.noise, HT=styled,
        TURNS=launch.turns, BP=launch.pixels, BC=launch.block, num_warps=WARPS,
    )  # fmt: skip
    return by_gp, by_gs, by_c, _added(sums)


def _added(sums: list[Tensor | None]) -> Sums:
    for_d, for_b, for_s, for_t = sums
    return (
        None if for_d is None else for_d.sum(1),
        None if for_b is None else for_b.sum((0, 1)),
        None if for_s is None else for_s.sum(),
        None if for_t is None else for_t.sum(1),
    )
