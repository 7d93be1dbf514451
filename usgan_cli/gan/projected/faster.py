"""A frozen network, computed faster: the same maps and gradients from less traffic with memory.

Everything here serves networks that are never trained. Each change is kept only where the network's output stays what
it was, since which layer follows which is guessed from the order in which they are declared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.fusion import fuse_conv_bn_eval

TOLERANCE = 1e-4
"""Largest difference, as a share of the output's largest value, that a change may make."""


@torch.no_grad()
def faster(network: nn.Module, size: int) -> nn.Module:
    """Return a frozen timm network that gives the same features [N, C, h, w] of images [N, 3, size, size]."""
    dtype = next(network.parameters()).dtype
    image = torch.linspace(-1, 1, 3 * size**2, dtype=dtype).view(1, 3, size, size)
    for change in (fold_normalisation, pad_in_kernels, clamp_in_place):
        changed = copy.deepcopy(network)
        change(changed)
        if _agree(network, changed, image):
            network = changed
    return network


def fold_normalisation(network: nn.Module) -> None:
    """Fold each normalisation into the convolution before it."""
    for parent in list(network.modules()):
        for (name, conv), (next_name, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                rest = [getattr(norm, part) for part in ("drop", "act") if hasattr(norm, part)]
                setattr(parent, next_name, nn.Sequential(*rest))


def pad_in_kernels(network: nn.Module) -> None:
    """Give convolutions that pad below and to the right by one pixel more, as TensorFlow's do, a row and column of 0.

    The zeros stand first in the kernel, so that the convolution can pad evenly by itself: the library pads unevenly by
    copying the whole map, which costs more than a depthwise convolution. Of maps with an odd side this is wrong, and
    the comparison finds it.
    """
    _replace(network, lambda layer: isinstance(layer, Conv2dSame) and layer.stride == (2, 2), _padded)


def clamp_in_place(network: nn.Module) -> None:
    """Let ReLU6 keep its result for the derivative, in place of a copy of what it overwrote."""
    _replace(network, lambda layer: isinstance(layer, nn.ReLU6) and layer.inplace, lambda _: Clamp())


class Clamp(nn.Module):
    """ReLU6 of what nobody else needs, which is overwritten."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x between 0 and 6, in its place."""
        clamped: Tensor = _Clamp.apply(x)
        return clamped


class _Clamp(torch.autograd.Function):
    """The slope is 1 where the result lies strictly between 0 and 6, and 0 elsewhere, as torch's ReLU6 has it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        result = x.clamp_(0, 6)
        ctx.mark_dirty(result)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        slope: Tensor = torch.ops.aten.hardtanh_backward(gradient, result, 0.0, 6.0)
        return slope


def _padded(conv: nn.Conv2d) -> nn.Conv2d:
    rows, columns = conv.kernel_size
    even = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        (rows + 1, columns + 1),
        stride=2,
        padding=((rows - 1) // 2, (columns - 1) // 2),
        groups=conv.groups,
        bias=conv.bias is not None,
        dtype=conv.weight.dtype,
    )
    even.weight.zero_()
    even.weight[:, :, 1:, 1:] = conv.weight
    if conv.bias is not None and even.bias is not None:
        even.bias.copy_(conv.bias)
    return even


def _replace(parent: nn.Module, which: Callable[[Any], bool], make: Callable[[Any], nn.Module]) -> None:
    for name, child in list(parent.named_children()):
        if which(child):
            setattr(parent, name, make(child))
        else:
            _replace(child, which, make)


def _agree(network: nn.Module, changed: nn.Module, image: Tensor) -> bool:
    try:
        before, after = (one.forward_features(image) for one in (network, changed))  # type: ignore[operator]
    except (AttributeError, RuntimeError):
        return False
    same_shape: bool = before.shape == after.shape
    return same_shape and bool((before - after).abs().max() <= TOLERANCE * before.abs().max())
