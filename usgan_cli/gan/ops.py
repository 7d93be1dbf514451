"""Resampling with a small filter, filtered convolution, and bias with activation.

StyleGAN2 (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN") filters whenever it
changes the resolution, with the binomial filter [1, 3, 3, 1] (Zhang 2019, "Making Convolutional Networks
Shift-Invariant Again"). The general functions here are written with public operations and serve any filter;
the networks use the `binomial_*` functions, which give the same numbers for that one filter and cost less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.gan.conv import (
    HALF_TYPES,
    Taps,
    conv_transpose2d,
    fixed_filter,
    fixed_filter_down2,
    fixed_filter_up2,
    gradients,
    packed,
)

LEAKY_SLOPE = 0.2
"""Slope of the leaky ReLU for negative inputs."""

FEW_CHANNELS = 8
"""Number of input channels below which a convolution of single pixels is a product of matrices."""

LEAKY_GAIN = math.sqrt(2)
"""Gain that keeps the second moment of a leaky ReLU's output near that of its input."""

BINOMIAL = (1.0, 3.0, 3.0, 1.0)
"""The filter used by both networks, before normalisation."""


def setup_filter(
    f: Sequence[float] | Sequence[Sequence[float]] | Tensor, *, normalize: bool = True, gain: float = 1.0
) -> Tensor:
    """Make a two-dimensional filter from its taps.

    Parameters
    ----------
    f : sequence or Tensor
        Taps of a separable filter ([k]) or a whole filter ([kh, kw]).
    normalize : bool
        Divide by the sum, so that a constant image is kept.
    gain : float
        Factor on the whole filter.

    Returns
    -------
    Tensor
        [kh, kw], float32.
    """
    taps = torch.as_tensor(f, dtype=torch.float32)
    if taps.ndim == 1:
        taps = torch.outer(taps, taps)
    if normalize:
        taps = taps / taps.sum()
    return taps * gain


def _four(padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """Spell padding out as (left, right, top, bottom)."""
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if len(padding) == 2:
        return padding[0], padding[0], padding[1], padding[1]
    left, right, top, bottom = padding
    return left, right, top, bottom


def upfirdn2d(
    x: Tensor,
    f: Tensor,
    up: int = 1,
    down: int = 1,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Insert zeros, pad, filter and keep every `down`-th pixel.

    Parameters
    ----------
    x : Tensor
        Images, [N, C, H, W].
    f : Tensor
        Filter, [kh, kw].
    up, down : int
        Whole factors, at least 1.
    padding : int or sequence of int
        Zeros around the enlarged image: one number, (x, y) or (left, right, top, bottom); negative crops.
    flip_filter : bool
        False convolves, True correlates.
    gain : float
        Factor on the result.

    Returns
    -------
    Tensor
        [N, C, (H * up + top + bottom - kh) // down + 1, (W * up + left + right - kw) // down + 1].
    """
    n, c, h, w = x.shape
    if up > 1:
        x = F.pad(x.reshape(n, c, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
    x = F.pad(x, _four(padding))
    f = f.to(x.dtype) * gain
    if not flip_filter:
        f = f.flip((0, 1))
    return F.conv2d(x, f.expand(c, 1, *f.shape), stride=down, groups=c)


def upsample2d(
    x: Tensor, f: Tensor, up: int = 2, padding: int = 0, flip_filter: bool = False, gain: float = 1.0
) -> Tensor:
    """Enlarge images by a whole factor, keeping a constant image constant away from the borders.

    Parameters
    ----------
    x, f, up, flip_filter, gain
        As for `upfirdn2d`.
    padding : int
        Pixels by which the result is larger on each side.

    Returns
    -------
    Tensor
        [N, C, H * up + 2 * padding, W * up + 2 * padding].
    """
    kh, kw = f.shape
    pad = _up_padding(kw, up, padding) + _up_padding(kh, up, padding)
    return upfirdn2d(x, f, up=up, padding=pad, flip_filter=flip_filter, gain=gain * up**2)


def downsample2d(
    x: Tensor, f: Tensor, down: int = 2, padding: int = 0, flip_filter: bool = False, gain: float = 1.0
) -> Tensor:
    """Shrink images by a whole factor.

    Parameters
    ----------
    x, f, down, flip_filter, gain
        As for `upfirdn2d`.
    padding : int
        Pixels of the input that are kept more on each side.

    Returns
    -------
    Tensor
        [N, C, H // down, W // down] for padding 0 and an even filter and factor.
    """
    kh, kw = f.shape
    pad = _down_padding(kw, down, padding) + _down_padding(kh, down, padding)
    return upfirdn2d(x, f, down=down, padding=pad, flip_filter=flip_filter, gain=gain)


def _up_padding(taps: int, up: int, padding: int) -> tuple[int, int]:
    return padding + (taps + up - 1) // 2, padding + (taps - up) // 2


def _down_padding(taps: int, down: int, padding: int) -> tuple[int, int]:
    return padding + (taps - down + 1) // 2, padding + (taps - down) // 2


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: int | Sequence[int] = 0,
    flip_weight: bool = True,
    flip_filter: bool = False,
) -> Tensor:
    """Enlarge, convolve and shrink, filtering at the higher resolution.

    Parameters
    ----------
    x : Tensor
        Input, [N, I, H, W].
    w : Tensor
        Kernel, [O, I, kh, kw].
    f : Tensor, optional
        Filter, [fh, fw]; None repeats or drops pixels without filtering.
    up, down : int
        Whole factors, at least 1.
    padding : int or sequence of int
        Padding of the convolution at the enlarged resolution.
    flip_weight, flip_filter : bool
        True correlates, False convolves.

    Returns
    -------
    Tensor
        [N, O, H * up / down, W * up / down] when the padding keeps the convolution's size.
    """
    f = x.new_ones(1, 1) if f is None else f
    left, right, top, bottom = _four(padding)
    fh, fw = f.shape
    if up > 1:
        left, top = left + _up_padding(fw, up, 0)[0], top + _up_padding(fh, up, 0)[0]
        right, bottom = right + _up_padding(fw, up, 0)[1], bottom + _up_padding(fh, up, 0)[1]
    if down > 1:
        left, top = left + _down_padding(fw, down, 0)[0], top + _down_padding(fh, down, 0)[0]
        right, bottom = right + _down_padding(fw, down, 0)[1], bottom + _down_padding(fh, down, 0)[1]
    # Filtering and convolving at the high resolution commute, so the filter goes first for every factor.
    x = upfirdn2d(x, f, up=up, padding=(left, right, top, bottom), flip_filter=flip_filter, gain=up**2)
    return F.conv2d(x, w if flip_weight else w.flip((2, 3)), stride=down)


def _binomial_taps(gain: float) -> Taps:
    total = sum(BINOMIAL)
    return tuple(tuple(gain * a * b / total**2 for b in BINOMIAL) for a in BINOMIAL)


_KEEP, _ENLARGE = _binomial_taps(1.0), _binomial_taps(4.0)


def binomial_upsample(x: Tensor) -> Tensor:
    """Enlarge images twice with [1, 3, 3, 1], as `upsample2d` does.

    Parameters
    ----------
    x : Tensor
        [N, C, H, W].

    Returns
    -------
    Tensor
        [N, C, 2 H, 2 W].
    """
    return fixed_filter_up2(x, _ENLARGE, padding=1)


def binomial_downsample(x: Tensor) -> Tensor:
    """Shrink images to half with [1, 3, 3, 1], as `downsample2d` does.

    Parameters
    ----------
    x : Tensor
        [N, C, H, W] with even H and W.

    Returns
    -------
    Tensor
        [N, C, H / 2, W / 2].
    """
    return fixed_filter_down2(x, _KEEP, padding=1)


def binomial_conv_up(x: Tensor, w: Tensor) -> Tensor:
    """Convolve into twice the resolution with [1, 3, 3, 1], as `conv2d_resample(up=2, flip_weight=False)`.

    Parameters
    ----------
    x : Tensor
        [N, I, H, W].
    w : Tensor
        Kernel, [O, I, 3, 3].

    Returns
    -------
    Tensor
        [N, O, 2 H, 2 W].
    """
    return fixed_filter(conv_transpose2d(x, w.transpose(0, 1), stride=2), _ENLARGE, padding=1)


def binomial_blur(x: Tensor, padding: int) -> Tensor:
    """Filter images with [1, 3, 3, 1], as `upfirdn2d` does.

    Parameters
    ----------
    x : Tensor
        [N, C, H, W].
    padding : int
        Zeros added on each side; pixels.

    Returns
    -------
    Tensor
        [N, C, H + 2 * padding - 3, W + 2 * padding - 3].
    """
    return fixed_filter(x, _KEEP, padding)


class _Gate(torch.autograd.Function):
    """Multiply a gradient by the slope of the leaky ReLU and clamp that gave `y`; linear in the gradient."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, y: Tensor, limit: float | None) -> Tensor:
        ctx.save_for_backward(y)
        ctx.limit = limit
        grad = torch.ops.aten.leaky_relu_backward(grad, y, LEAKY_SLOPE, True)
        return grad if limit is None else cast(Tensor, torch.ops.aten.hardtanh_backward(grad, y, -limit, limit))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _Gate.apply(grads[0], *ctx.saved_tensors, ctx.limit), None, None


def _clamped(y: Tensor, clamp: float | None) -> tuple[Tensor, float | None]:
    """Return y clamped, and the limit if any value reached it.

    On a processor a look at the extremes is cheaper than a pass that clamps nothing and one in the derivative.
    """
    if clamp is None:
        return y, None
    if y.device.type == "cpu" and not _traced():
        dense = y.permute(0, 2, 3, 1) if y.ndim == 4 and y.is_contiguous(memory_format=torch.channels_last) else y
        lowest, highest = torch.aminmax(dense)
        if -clamp < float(lowest) and float(highest) < clamp:
            return y, None
    return y.clamp_(-clamp, clamp), clamp


def _traced() -> bool:
    """Whether an exporter or a compiler is watching, who cannot follow a look at values."""
    return bool(torch.jit.is_tracing()) or torch.compiler.is_compiling()  # type: ignore[no-untyped-call,attr-defined]


class _LeakyClamp(torch.autograd.Function):
    """Leaky ReLU and clamp: the output tells both slopes, so nothing else is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, clamp: float | None) -> Tensor:
        if x.device.type == "cpu" and x.dtype in HALF_TYPES:
            # A processor's half type kernels are up to three times slower in place.
            y = F.leaky_relu(x, LEAKY_SLOPE)
        else:
            y = F.leaky_relu_(x, LEAKY_SLOPE)
            ctx.mark_dirty(x)
        y, ctx.limit = _clamped(y, clamp)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (y,) = ctx.saved_tensors
        return _Gate.apply(grads[0], y.detach(), ctx.limit), None


def leaky_clamp_(x: Tensor, clamp: float | None = None) -> Tensor:
    """Apply the leaky ReLU (slope 0.2, no gain), in place where that is faster, then clamp.

    Parameters
    ----------
    x : Tensor
        Any shape; may be overwritten. It must not be needed by the derivative of what made it.
    clamp : float, optional
        Largest absolute value of the result.

    Returns
    -------
    Tensor
        The shape of x.
    """
    return cast(Tensor, _LeakyClamp.apply(x, clamp))


class _ConvLeakyClamp(torch.autograd.Function):
    """Convolution with bias, leaky ReLU and clamp; on a processor the library does the first three in one pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, clamp: float | None
    ) -> Tensor:
        if _fuses(x):
            y = torch.ops.mkldnn._convolution_pointwise(
                x, packed(weight), bias, [padding] * 2, [stride] * 2, [1, 1], 1, "leaky_relu", [LEAKY_SLOPE], ""
            )
        else:
            y = F.leaky_relu_(F.conv2d(x, weight, bias, stride, padding), LEAKY_SLOPE)
        y, ctx.limit = _clamped(y, clamp)
        ctx.save_for_backward(x, weight, y)
        ctx.settings = (stride, padding)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, weight, y = ctx.saved_tensors
        stride, padding = ctx.settings
        grad = _Gate.apply(grads[0], y.detach(), ctx.limit)
        grad_x, grad_weight = gradients(
            grad, x, weight, stride, padding, (0, 0), transposed=False, needed=ctx.needs_input_grad
        )
        grad_bias = grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return grad_x, grad_weight, grad_bias, None, None, None


def _fuses(x: Tensor) -> bool:
    """Whether the processor's library takes the activation into a convolution of this input."""
    if x.device.type != "cpu" or _traced():
        return False
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not available or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    return x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and _multiplies_bfloat16())


@lru_cache(maxsize=1)
def _multiplies_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def conv_lrelu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    clamp: float | None = None,
) -> Tensor:
    """Convolve, add a bias, apply the leaky ReLU (slope 0.2, no gain) and clamp.

    Parameters
    ----------
    x : Tensor
        Input, [N, I, H, W].
    weight : Tensor
        Kernel, [O, I, kh, kw].
    bias : Tensor, optional
        [O].
    stride, padding : int
        The same for both axes; pixels.
    clamp : float, optional
        Largest absolute value of the result.

    Returns
    -------
    Tensor
        [N, O, H', W'].
    """
    if weight.shape[2:] == (1, 1) and x.shape[1] < FEW_CHANNELS and stride == 1 and padding == 0:
        # The library's convolutions of so few channels are far slower than a product of matrices.
        n, _, height, width = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
        y = pixels @ weight[:, :, 0, 0].t() if bias is None else torch.addmm(bias, pixels, weight[:, :, 0, 0].t())
        return leaky_clamp_(y.reshape(n, height, width, -1).permute(0, 3, 1, 2), clamp)
    return cast(Tensor, _ConvLeakyClamp.apply(x, weight, bias, stride, padding, clamp))


def bias_act(
    x: Tensor,
    bias: Tensor | None = None,
    *,
    activation: str = "lrelu",
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Add a bias, apply the activation, multiply by a gain and clamp.

    Parameters
    ----------
    x : Tensor
        [N, C, ...].
    bias : Tensor, optional
        [C].
    activation : {"lrelu", "linear"}
        Leaky ReLU with slope 0.2, or nothing.
    gain : float, optional
        Factor after the activation; by default sqrt(2) for "lrelu" and 1 for "linear".
    clamp : float, optional
        Largest absolute value of the result.

    Returns
    -------
    Tensor
        [N, C, ...], a new tensor.

    Raises
    ------
    ValueError
        For another activation.
    """
    if activation not in ("lrelu", "linear"):
        raise ValueError(f"activation must be 'lrelu' or 'linear', not {activation!r}")
    if bias is not None:
        x = x + bias.to(x.dtype).reshape(1, -1, *([1] * (x.ndim - 2)))
    if activation == "lrelu":
        x = F.leaky_relu(x, LEAKY_SLOPE)
        gain = LEAKY_GAIN if gain is None else gain
    if gain is not None and gain != 1:
        x = x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)
