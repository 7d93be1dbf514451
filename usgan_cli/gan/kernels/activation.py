"""Bias, noise, leaky ReLU and clamp after a convolution, with derivatives of every order.

On a GPU everything that follows a convolution is one pass over memory (`triton_functions`); on a
processor the library takes bias and activation into the convolution where it can.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.gan.kernels import choice, private
from usgan_cli.gan.kernels.conv import conv2d, gradients, packed, parameters_matter
from usgan_cli.gan.kernels.types import HALF_TYPES, LEAKY_GAIN, LEAKY_SLOPE, is_traced

FEW_CHANNELS = 8
"""Number of input channels below which a convolution of single pixels is a product of matrices."""


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
    if y.device.type == "cpu":
        dense = y.permute(0, 2, 3, 1) if y.ndim == 4 and y.is_contiguous(memory_format=torch.channels_last) else y
        lowest, highest = torch.aminmax(dense)
        if -clamp < float(lowest) and float(highest) < clamp:
            return y, None
    return y.clamp_(-clamp, clamp), clamp


class _LeakyClamp(torch.autograd.Function):
    """Leaky ReLU and clamp: both slopes follow from the output, so nothing else is kept."""

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
    """Apply the leaky ReLU (slope 0.2, no gain), in place where that is faster, then clamp to +-`clamp`.

    `x` may be overwritten: the derivative of what made it must not need it.
    """
    if is_traced():
        y = F.leaky_relu(x, LEAKY_SLOPE)
        return y if clamp is None else y.clamp(-clamp, clamp)
    return cast(Tensor, _LeakyClamp.apply(x, clamp))


class _ConvLeakyClamp(torch.autograd.Function):
    """Convolution with bias, leaky ReLU and clamp; on a processor the library does the first three in one pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, clamp: float | None
    ) -> Tensor:
        if x.device.type == "cpu" and private.fuses_leaky_relu(x.dtype):
            y = private.conv_leaky_relu(x, packed(weight), bias, stride, padding, LEAKY_SLOPE)
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
        grad_bias = grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] and parameters_matter() else None
        return grad_x, grad_weight, grad_bias, None, None, None


def conv_lrelu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    clamp: float | None = None,
    rest: Tensor | None = None,
) -> Tensor:
    """Convolve, add a bias, apply the leaky ReLU (slope 0.2, no gain), clamp, and add the other branch of a block.

    x [N, I, H, W] and weight [O, I, kh, kw] have the type of the result, the bias [O] that of the parameters. Stride
    and padding are those of `conv2d`. `clamp` is the largest absolute value before the branch `rest` [N, O, H', W'] is
    added.
    """
    few = weight.shape[2:] == (1, 1) and x.shape[1] < FEW_CHANNELS and stride == 1 and padding == 0
    if choice.uses_triton(x) and not is_traced():
        c = _pixels_times(x, weight) if few else conv2d(x, weight, stride=stride, padding=padding)
        from usgan_cli.gan.kernels import triton_functions

        return cast(Tensor, triton_functions.Activation.apply(c, bias, rest, clamp))
    bias = None if bias is None else bias.to(x.dtype)
    if few:
        y = leaky_clamp_(_pixels_times(x, weight, bias), clamp)
    elif is_traced():
        y = leaky_clamp_(conv2d(x, weight, bias, stride, padding), clamp)
    else:
        y = cast(Tensor, _ConvLeakyClamp.apply(x, weight, bias, stride, padding, clamp))
    return y if rest is None else rest + y


def _pixels_times(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve single pixels: the library's convolutions of few channels are far slower than a matrix product."""
    n, channels, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)
    matrix = weight[:, :, 0, 0].t()
    y = pixels @ matrix if bias is None else torch.addmm(bias, pixels, matrix)
    return y.reshape(n, height, width, -1).permute(0, 3, 1, 2)


def synthesis_epilogue(
    c: Tensor,
    demodulation: Tensor,
    bias: Tensor,
    noise: Tensor | None,
    strength: Tensor,
    clamp: float | None,
    *,
    plain: bool,
    following: tuple[Tensor, torch.dtype] | None,
) -> tuple[Tensor | None, Tensor | None]:
    """Demodulate, add bias and noise, apply leaky ReLU and clamp, and scale for the next layer.

    Returns the unscaled result in c's type, which the image needs and which may be missing unless `plain`, and the
    scaled one in the type that `following` names, if it is there; both [N, C, H, W].

    Parameters
    ----------
    c : Tensor
        Output of a convolution, [N, C, H, W]; may be overwritten.
    demodulation : Tensor
        Factors of the channels before the activation, [N, C], in the parameters' type.
    noise : Tensor, optional
        [N, 1, H, W] or one plane [H, W] for all images, multiplied by `strength` [].
    clamp : float, optional
        Largest absolute value before the result is scaled.
    following : tuple of Tensor and torch.dtype, optional
        Factors of the channels after it, the next layer's styles [N, C], and the type of the result that they scale.
    """
    styles, dtype = (None, c.dtype) if following is None else following
    if choice.uses_triton(c) and not is_traced():
        used = None if noise is None else strength
        inputs = (c, demodulation, bias, noise, used, styles)
        from usgan_cli.gan.kernels import triton_functions

        results = triton_functions.SynthesisEpilogue.apply(clamp, plain, dtype, *inputs)
        return cast(tuple[Tensor | None, Tensor | None], results)
    y = torch.addcmul(bias.to(c.dtype)[None, :, None, None], c, demodulation.to(c.dtype)[:, :, None, None])
    if noise is not None:
        added = (noise * strength).to(c.dtype)
        y = y + added if is_traced() else y.add_(added)
    y = leaky_clamp_(y, clamp)
    if styles is None:
        return y, None
    return y, y.to(dtype=dtype, memory_format=torch.channels_last) * styles.to(dtype)[:, :, None, None]


def bias_act(
    x: Tensor,
    bias: Tensor | None = None,
    *,
    activation: str = "lrelu",
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Add a bias [C] to x [N, C, ...], apply "lrelu" (slope 0.2) or "linear", multiply by a gain and clamp.

    The gain is by default sqrt(2) for "lrelu" and 1 for "linear".
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
