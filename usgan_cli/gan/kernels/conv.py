"""Convolutions whose derivatives of every order are again plain convolutions.

The gradient penalties of StyleGAN2 (R1, Mescheder et al. 2018; path length, Karras et al. 2020, "Analyzing and
Improving the Image Quality of StyleGAN", section 3.2) differentiate a gradient. A convolution is bilinear, so
its input gradient is the transposed convolution, its weight gradient is bilinear again, and the two functions
here are closed under differentiation: each derivative costs one convolution and computes nothing unneeded.

How each convolution is computed depends on its size, type and device, for speed alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.gan.kernels.types import HALF_TYPES, is_traced

_Sizes = tuple[int, int]

_parameters_rest = 0


@contextmanager
def input_gradients_only() -> Iterator[None]:
    """Leave out gradients by kernels, biases and noise strengths while a gradient by images or latents is taken.

    A gradient penalty differentiates by inputs first. A function cannot know which of its gradients a call of
    `torch.autograd.grad` uses, so that it would compute every layer's weight gradient for nothing.
    """
    # A plain global: a backward pass on a GPU runs in a thread of its own.
    global _parameters_rest  # noqa: PLW0603
    _parameters_rest += 1
    try:
        yield
    finally:
        _parameters_rest -= 1


def parameters_matter() -> bool:
    """Return False within `input_gradients_only`."""
    return _parameters_rest == 0


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
        ctx.settings = (stride, padding, output_padding, transposed)
        if transposed and _parts_pay(weight, stride, padding):
            return _spread_by_parts(x, weight, output_padding)
        return torch.convolution(
            x, packed(weight), bias, [stride] * 2, [padding] * 2, [1, 1], transposed, list(output_padding), 1
        )

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, weight = ctx.saved_tensors
        grad_x, grad_weight = gradients(grads[0], x, weight, *ctx.settings, needed=ctx.needs_input_grad)
        grad_bias = grads[0].sum((0, 2, 3)) if ctx.needs_input_grad[2] and parameters_matter() else None
        return grad_x, grad_weight, grad_bias, None, None, None, None


class _WeightGradient(torch.autograd.Function):
    """Gradient of a convolution with respect to its weight, bilinear in input and output gradient.

    `turned` says that the weight lies in memory with its first channels innermost; so does the gradient then.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        grad: Tensor,
        weight_shape: torch.Size,
        turned: bool,
        stride: int,
        padding: int,
        output_padding: _Sizes,
        transposed: bool,
    ) -> Tensor:
        ctx.save_for_backward(x, grad)
        ctx.settings = (stride, padding, output_padding, transposed)
        small, large = (x, grad) if transposed else (grad, x)
        if _products_pay(small, large, weight_shape, stride):
            return _weight_gradient_by_products(small, large, stride, padding, turned)
        result: Tensor = torch.ops.aten.convolution_backward(
            grad,
            x,
            grad.new_empty(weight_shape),
            None,
            [stride] * 2,
            [padding] * 2,
            [1, 1],
            transposed,
            list(output_padding),
            1,
            [False, True, False],
        )[1]
        return packed(result.transpose(0, 1)).transpose(0, 1) if turned else result

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, grad = ctx.saved_tensors
        weight: Tensor = grads[0]
        stride, padding, output_padding, transposed = ctx.settings
        grad_x = grad_grad = None
        if ctx.needs_input_grad[0]:
            grad_x = _input_gradient(grad, x, weight, stride, padding, transposed)
        if ctx.needs_input_grad[1]:
            grad_grad = _Convolution.apply(x, weight, None, stride, padding, output_padding, transposed)
        return grad_x, grad_grad, None, None, None, None, None, None


def gradients(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: int,
    padding: int,
    output_padding: _Sizes,
    transposed: bool,
    *,
    needed: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None]:
    """Return a convolution's gradients by its input and by its weight, where needed, both differentiable again."""
    grad_x = grad_weight = None
    if needed[0]:
        grad_x = _input_gradient(grad, x, weight, stride, padding, transposed)
    if needed[1] and parameters_matter():
        grad_weight = _WeightGradient.apply(
            x, grad, weight.shape, _is_turned(weight), stride, padding, output_padding, transposed
        )
    return grad_x, grad_weight


def _input_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, transposed: bool) -> Tensor:
    restored = (0, 0)
    if not transposed:
        # The adjoint has to restore the rows and columns at the end of `x` that the stride never reached.
        height, width = ((x.shape[axis] + 2 * padding - weight.shape[axis]) % stride for axis in (2, 3))
        restored = height, width
    return cast(Tensor, _Convolution.apply(grad, weight, None, stride, padding, restored, not transposed))


def _is_packed(weight: Tensor) -> bool:
    return weight.is_contiguous(memory_format=torch.channels_last)


def _is_turned(weight: Tensor) -> bool:
    return not _is_packed(weight) and _is_packed(weight.transpose(0, 1))


def packed(weight: Tensor) -> Tensor:
    """Return a kernel [O, I, kh, kw] with its input channels innermost in memory, as the library's fast paths want."""
    if weight.device.type != "cpu":
        return weight
    if not _is_turned(weight):
        return weight.contiguous(memory_format=torch.channels_last)
    # Tap by tap, as small matrices, a processor turns channels round ten times faster than in one copy.
    result = torch.empty_like(weight, memory_format=torch.channels_last)
    for row in range(weight.shape[2]):
        for column in range(weight.shape[3]):
            result[:, :, row, column] = weight[:, :, row, column]
    return result


# A processor's library rearranges weights for every call, which for wide layers of small images takes longer than the
# products themselves, above all in strided and half type convolutions. The bounds below are measured.
PARTS_FROM = 2**20
"""Size of a kernel from which a transposed convolution of stride 2 is done in four parts."""
PRODUCTS_FROM = 2**13
"""Product of both numbers of channels from which a weight gradient may be a matrix product."""
PRODUCT_PIXELS = 512
"""Pixels of the whole batch up to which a wide kernel's gradient without stride is one."""
PRODUCT_PATCHES = 2**22
"""Size of the patches up to which a strided one in a half type is one; a float32 one always is."""
PATCHES_AT_ONCE = 2**23
"""Size of the patches made at once, if they are of more than one image."""


def _parts_pay(weight: Tensor, stride: int, padding: int) -> bool:
    doubles = stride == 2 and padding == 0 and weight.shape[2:] == (3, 3)
    return doubles and weight.device.type == "cpu" and weight.numel() >= PARTS_FROM


def _spread_by_parts(x: Tensor, weight: Tensor, output_padding: _Sizes) -> Tensor:
    """Transposed 3 x 3 convolution of stride 2: even and odd rows and columns see parts of the kernel each."""
    n, _, height, width = x.shape
    kernel = packed(weight.transpose(0, 1))
    reached = [2 * height + 1, 2 * width + 1]
    y = torch.empty(
        [n, len(kernel), reached[0] + output_padding[0], reached[1] + output_padding[1]],
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last,
    )
    y[:, :, reached[0] :] = 0
    y[:, :, :, reached[1] :] = 0
    inside = y[:, :, : reached[0], : reached[1]]
    for row in range(2):
        for column in range(2):
            part = packed(kernel[:, :, row::2, column::2].flip(2, 3))
            inside[:, :, row::2, column::2] = F.conv2d(x, part, padding=(1 - row, 1 - column))
    return y


def _products_pay(small: Tensor, large: Tensor, weight_shape: torch.Size, stride: int) -> bool:
    channels = small.shape[1] * large.shape[1]
    if small.device.type != "cpu" or weight_shape[2:] != (3, 3) or channels < PRODUCTS_FROM:
        return False
    pixels = len(small) * small.shape[2] * small.shape[3]
    if stride == 1:
        return pixels <= PRODUCT_PIXELS
    return small.dtype not in HALF_TYPES or 9 * pixels * large.shape[1] <= PRODUCT_PATCHES


def _weight_gradient_by_products(small: Tensor, large: Tensor, stride: int, padding: int, turned: bool) -> Tensor:
    """Products of the pixels of one side with the patches of the other that a 3 x 3 kernel joined them with."""
    n, channels, height, width = small.shape
    pixels = small.permute(0, 2, 3, 1)
    around = F.pad(large.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding)).contiguous()
    inner = around.shape[3]
    step = [around.stride(0), stride * around.stride(1), stride * around.stride(2), *around.stride()[1:]]
    # Sums over several products would be rounded to a half type in between, so that it takes them all at once.
    each = 9 * height * width * inner
    count = n if small.dtype in HALF_TYPES else max(1, PATCHES_AT_ONCE // each)
    total: Tensor | None = None
    for first in range(0, n, count):
        some = around[first : first + count]
        patches = some.as_strided([len(some), height, width, 3, 3, inner], step, some.storage_offset())
        a = pixels[first : first + count].reshape(-1, channels)
        b = patches.reshape(-1, 9 * inner)
        a, b = (b, a) if turned else (a, b)
        total = a.t() @ b if total is None else total.addmm_(a.t(), b)
    if total is None:
        raise ValueError("a batch has at least one image")
    if turned:
        rows = total.view(3, 3, inner, channels).permute(2, 0, 1, 3).contiguous()
        return rows.permute(3, 0, 1, 2)
    return total.view(channels, 3, 3, inner).permute(0, 3, 1, 2)


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """Cross-correlate as `torch.nn.functional.conv2d` does, with cheap derivatives of every order.

    x [N, I, H, W] with weight [O, I, kh, kw] and bias [O] give [N, O, H', W']; stride and padding, in pixels, are the
    same for both axes.
    """
    if is_traced():
        return F.conv2d(x, weight, bias, stride, padding)
    return cast(Tensor, _Convolution.apply(x, weight, bias, stride, padding, (0, 0), False))


def conv_transpose2d(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """Convolve as `torch.nn.functional.conv_transpose2d` does, with cheap derivatives of every order.

    x [N, I, H, W] with weight [I, O, kh, kw] gives [N, O, H', W'], H' = (H - 1) * stride - 2 * padding + kh; stride
    and padding, in pixels, are the same for both axes.
    """
    if is_traced():
        return F.conv_transpose2d(x, weight, None, stride, padding)
    return cast(Tensor, _Convolution.apply(x, weight, None, stride, padding, (0, 0), True))
