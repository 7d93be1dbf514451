"""Filtering with the binomial filter [1, 3, 3, 1], which StyleGAN2 uses whenever the resolution changes.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN"; Zhang 2019, "Making Convolutional
Networks Shift-Invariant Again". The filter is constant and symmetric, so every derivative is one more filtering: the
adjoint of enlarging is halving, that of halving is enlarging, and that of smoothing is smoothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.gan.kernels import choice
from usgan_cli.gan.kernels.conv import conv_transpose2d
from usgan_cli.gan.kernels.types import HALF_TYPES, is_traced

BINOMIAL = (1.0, 3.0, 3.0, 1.0)
"""The filter used by both networks, before normalisation."""


@lru_cache(maxsize=256)
def _depthwise_weight(gain: float, channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    # Made outside inference mode, so that a filter first used for generation can serve training later.
    with torch.inference_mode(False):
        total = sum(BINOMIAL)
        taps = [[gain * a * b / total**2 for b in BINOMIAL] for a in BINOMIAL]
        return torch.tensor(taps, dtype=dtype, device=device).expand(channels, 1, 4, 4).contiguous()


def _binomial(x: Tensor, gain: float, up: int, down: int, pad: int, size: tuple[int, int]) -> Tensor:
    """Compute what `_Binomial` means, by the way that is fastest for this device and type."""
    if choice.uses_triton(x):
        from usgan_cli.gan.kernels import triton_filters

        return triton_filters.binomial(x, gain, up, down, pad, size)
    channels = x.shape[1]
    # What is made while tracing is a stand-in without values, which must not be kept for later.
    make_weight = _depthwise_weight.__wrapped__ if is_traced() else _depthwise_weight
    weight = make_weight(gain, channels, x.dtype, x.device)
    if up == 1:
        return F.conv2d(x, weight, stride=down, padding=pad, groups=channels)
    if x.device.type == "cpu" and x.dtype in HALF_TYPES:
        # A processor's transposed depthwise convolution in a half type is 20 to 80 times slower than this.
        return F.conv2d(_spread(x, pad, size), weight, groups=channels)
    added = [size[i] - (2 * x.shape[2 + i] + 2 * pad - 4) for i in range(2)]
    return F.conv_transpose2d(x, weight, None, 2, 3 - pad, added, channels)


def _spread(x: Tensor, pad: int, size: tuple[int, int]) -> Tensor:
    """Return x with a zero after every pixel and `pad` zeros before the first, so that 4 x 4 taps give `size`."""
    n, channels, height, width = x.shape
    shape = [n, channels, size[0] + 3, size[1] + 3]
    spread = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last).zero_()
    spread[:, :, pad : pad + 2 * height : 2, pad : pad + 2 * width : 2] = x
    return spread


class _Binomial(torch.autograd.Function):
    """Insert zeros, pad, filter and keep every `down`-th pixel: y[i] = sum over a of f[a] x[i down + a - pad]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float, up: int, down: int, pad: int, size: tuple[int, int]) -> Tensor:
        ctx.settings = (gain, down, up, 3 - pad, (x.shape[2], x.shape[3]))
        return _binomial(x, gain, up, down, pad, size)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _Binomial.apply(grads[0], *ctx.settings), None, None, None, None, None


def _apply(x: Tensor, gain: float, up: int, down: int, pad: int, size: tuple[int, int]) -> Tensor:
    if is_traced():
        return _binomial(x, gain, up, down, pad, size)
    return cast(Tensor, _Binomial.apply(x, gain, up, down, pad, size))


def binomial_upsample(x: Tensor) -> Tensor:
    """Enlarge images twice: [N, C, H, W] to [N, C, 2 H, 2 W]."""
    return _apply(x, 4.0, 2, 1, 2, (2 * x.shape[2], 2 * x.shape[3]))


def binomial_downsample(x: Tensor) -> Tensor:
    """Shrink images of even height and width to half: [N, C, H, W] to [N, C, H / 2, W / 2]."""
    return _apply(x, 1.0, 1, 2, 1, (x.shape[2] // 2, x.shape[3] // 2))


def binomial_conv_up(x: Tensor, w: Tensor) -> Tensor:
    """Convolve into twice the resolution: x [N, I, H, W] with w [O, I, 3, 3], turned round, to [N, O, 2 H, 2 W]."""
    y = conv_transpose2d(x, w.transpose(0, 1), stride=2)
    return _apply(y, 4.0, 1, 1, 1, (y.shape[2] - 1, y.shape[3] - 1))


def binomial_blur(x: Tensor, padding: int) -> Tensor:
    """Filter images with zeros around: [N, C, H, W] to [N, C, H + 2 padding - 3, W + 2 padding - 3]."""
    return _apply(x, 1.0, 1, 1, padding, (x.shape[2] + 2 * padding - 3, x.shape[3] + 2 * padding - 3))
