"""Convolutions whose derivatives of every order are again plain convolutions.

The gradient penalties of StyleGAN2 (R1, Mescheder et al. 2018; path length, Karras et al. 2020, "Analyzing and
Improving the Image Quality of StyleGAN", section 3.2) differentiate a gradient. A convolution is bilinear, so
its input gradient is the transposed convolution, its weight gradient is bilinear again, and the two functions
here are closed under differentiation: each derivative costs one convolution and computes nothing unneeded.
A fixed filter needs even less: only its input has a gradient, which is one more filtering.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

_Sizes = tuple[int, int]


class _Convolution(torch.autograd.Function):
    """Ordinary or transposed convolution, bilinear in input and weight."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        padding: int,
        output_padding: _Sizes,
        transposed: bool,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.settings = (stride, padding, transposed)
        ctx.output_padding = output_padding
        return torch.convolution(
            x, weight, bias, [stride] * 2, [padding] * 2, [1, 1], transposed, list(output_padding), 1
        )

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, weight = ctx.saved_tensors
        grad: Tensor = grads[0]
        stride, padding, transposed = ctx.settings
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            # The adjoint of an ordinary convolution has to restore the rows that its stride never reached.
            output_padding = (0, 0) if transposed else _unreached(x, weight, stride, padding)
            grad_x = _Convolution.apply(grad, weight, None, stride, padding, output_padding, not transposed)
        if ctx.needs_input_grad[1]:
            grad_weight = _WeightGradient.apply(x, grad, weight.shape, stride, padding, ctx.output_padding, transposed)
        if ctx.needs_input_grad[2]:
            grad_bias = grad.sum((0, 2, 3))
        return grad_x, grad_weight, grad_bias, None, None, None, None


class _WeightGradient(torch.autograd.Function):
    """Gradient of a convolution with respect to its weight, bilinear in input and output gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        grad: Tensor,
        weight_shape: torch.Size,
        stride: int,
        padding: int,
        output_padding: _Sizes,
        transposed: bool,
    ) -> Tensor:
        ctx.save_for_backward(x, grad)
        ctx.settings = (stride, padding, output_padding, transposed)
        shape_only = grad.new_empty(weight_shape)
        result = torch.ops.aten.convolution_backward(
            grad,
            x,
            shape_only,
            None,
            [stride] * 2,
            [padding] * 2,
            [1, 1],
            transposed,
            list(output_padding),
            1,
            [False, True, False],
        )
        return cast(Tensor, result[1])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, grad = ctx.saved_tensors
        weight: Tensor = grads[0]
        stride, padding, output_padding, transposed = ctx.settings
        grad_x = grad_grad = None
        if ctx.needs_input_grad[0]:
            restored = (0, 0) if transposed else _unreached(x, weight, stride, padding)
            grad_x = _Convolution.apply(grad, weight, None, stride, padding, restored, not transposed)
        if ctx.needs_input_grad[1]:
            grad_grad = _Convolution.apply(x, weight, None, stride, padding, output_padding, transposed)
        return grad_x, grad_grad, None, None, None, None, None


def _unreached(x: Tensor, weight: Tensor, stride: int, padding: int) -> _Sizes:
    """Rows and columns at the end of `x` that a strided ordinary convolution leaves out."""
    height = (x.shape[2] + 2 * padding - weight.shape[2]) % stride
    width = (x.shape[3] + 2 * padding - weight.shape[3]) % stride
    return height, width


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """Cross-correlate as `torch.nn.functional.conv2d` does, with cheap derivatives of every order.

    Parameters
    ----------
    x : Tensor
        Input, [N, I, H, W].
    weight : Tensor
        Kernel, [O, I, kh, kw].
    bias : Tensor, optional
        Added per output channel, [O].
    stride, padding : int
        The same for both axes; pixels.

    Returns
    -------
    Tensor
        [N, O, H', W'].
    """
    return cast(Tensor, _Convolution.apply(x, weight, bias, stride, padding, (0, 0), False))


def conv_transpose2d(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """Convolve as `torch.nn.functional.conv_transpose2d` does, with cheap derivatives of every order.

    Parameters
    ----------
    x : Tensor
        Input, [N, I, H, W].
    weight : Tensor
        Kernel, [I, O, kh, kw].
    stride, padding : int
        The same for both axes; pixels.

    Returns
    -------
    Tensor
        [N, O, H', W'] with H' = (H - 1) * stride - 2 * padding + kh.
    """
    return cast(Tensor, _Convolution.apply(x, weight, None, stride, padding, (0, 0), True))


@lru_cache(maxsize=256)
def _depthwise_weight(
    taps: tuple[tuple[float, ...], ...], channels: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    # Made outside inference mode, so that a filter first used for generation can serve training later.
    with torch.inference_mode(False):
        one = torch.tensor(taps, dtype=dtype, device=device)
        return one.expand(channels, 1, *one.shape).contiguous()


class _FixedFilter(torch.autograd.Function):
    """Correlate every channel with one constant filter; transposed, the adjoint of that."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        taps: tuple[tuple[float, ...], ...],
        stride: int,
        padding: _Sizes,
        output_padding: _Sizes,
        transposed: bool,
    ) -> Tensor:
        ctx.settings = (taps, stride, padding, transposed)
        ctx.in_shape = x.shape[2:]
        if transposed and x.device.type == "cpu" and x.dtype in (torch.bfloat16, torch.float16):
            return _spread_and_filter(x, taps, stride, padding, output_padding)
        weight = _depthwise_weight(taps, x.shape[1], x.dtype, x.device)
        return torch.convolution(
            x,
            weight,
            None,
            [stride] * 2,
            list(padding),
            [1, 1],
            transposed,
            list(output_padding),
            x.shape[1],
        )

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        taps, stride, padding, transposed = ctx.settings
        size = (len(taps), len(taps[0]))
        if stride == 1:
            # The adjoint of an unstrided filtering is a forward one with the filter turned by 180 degrees,
            # which runs about ten times faster than the library's depthwise backward.
            turned = tuple(tuple(row[::-1]) for row in taps[::-1])
            opposite = (size[0] - 1 - padding[0], size[1] - 1 - padding[1])
            grad = _FixedFilter.apply(grads[0], turned, 1, opposite, (0, 0), False)
        else:
            output_padding = (0, 0)
            if not transposed:
                output_padding = tuple((ctx.in_shape[i] + 2 * padding[i] - size[i]) % stride for i in range(2))
            grad = _FixedFilter.apply(grads[0], taps, stride, padding, output_padding, not transposed)
        return grad, None, None, None, None, None


def _spread_and_filter(
    x: Tensor, taps: tuple[tuple[float, ...], ...], stride: int, padding: _Sizes, output_padding: _Sizes
) -> Tensor:
    """Transposed filtering as a plain one of the spread-out image.

    In half types a processor's transposed depthwise convolution takes a slow path, 20 to 80 times slower than this.
    """
    n, channels, height, width = x.shape
    top, left = len(taps) - 1 - padding[0], len(taps[0]) - 1 - padding[1]
    height_in = (height - 1) * stride + 1 + 2 * top + output_padding[0]
    width_in = (width - 1) * stride + 1 + 2 * left + output_padding[1]
    spread = torch.empty(
        [n, channels, height_in, width_in], dtype=x.dtype, device=x.device, memory_format=torch.channels_last
    ).zero_()
    spread[:, :, top : top + height * stride : stride, left : left + width * stride : stride][:, :, :height, :width] = x
    turned = tuple(tuple(row[::-1]) for row in taps[::-1])
    return F.conv2d(spread, _depthwise_weight(turned, channels, x.dtype, x.device), groups=channels)


Taps = tuple[tuple[float, ...], ...]
"""Rows of a constant filter, as the plain numbers that key its cached tensors."""


def fixed_filter(x: Tensor, taps: Taps, padding: int) -> Tensor:
    """Correlate every channel with one constant filter.

    Parameters
    ----------
    x : Tensor
        Input, [N, C, H, W].
    taps : tuple of tuple of float
        The filter's rows, kh x kw.
    padding : int
        Zeros added on each side, 0 to min(kh, kw) - 1 pixels.

    Returns
    -------
    Tensor
        [N, C, H + 2 * padding - kh + 1, W + 2 * padding - kw + 1].
    """
    return cast(Tensor, _FixedFilter.apply(x, taps, 1, (padding, padding), (0, 0), False))


def fixed_filter_down2(x: Tensor, taps: Taps, padding: int) -> Tensor:
    """Correlate every channel with one constant filter at every second pixel.

    Parameters
    ----------
    x : Tensor
        Input, [N, C, H, W].
    taps : tuple of tuple of float
        The filter's rows, kh x kw.
    padding : int
        Zeros added on each side; pixels.

    Returns
    -------
    Tensor
        [N, C, (H + 2 * padding - kh) // 2 + 1, (W + 2 * padding - kw) // 2 + 1].
    """
    return cast(Tensor, _FixedFilter.apply(x, taps, 2, (padding, padding), (0, 0), False))


def fixed_filter_up2(x: Tensor, taps: Taps, padding: int) -> Tensor:
    """Convolve every channel, with a zero put after each pixel, with one constant filter.

    The adjoint of `fixed_filter_down2`: of the full result, `padding` pixels are cut from each side.

    Parameters
    ----------
    x : Tensor
        Input, [N, C, H, W].
    taps : tuple of tuple of float
        The filter's rows, kh x kw.
    padding : int
        Pixels cut from each side of the result.

    Returns
    -------
    Tensor
        [N, C, 2 * H - 2 + kh - 2 * padding, 2 * W - 2 + kw - 2 * padding].
    """
    return cast(Tensor, _FixedFilter.apply(x, taps, 2, (padding, padding), (0, 0), True))
