"""What follows a convolution, by Triton's kernels, as functions that can be inputs_needed any number of times.

First and second derivatives are kernels themselves; derivatives beyond these are taken of the same formulas in ordinary
operations. Import this module only where Triton is installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.gan.kernels import triton_activation, triton_synthesis
from usgan_cli.gan.kernels.conv import parameters_matter
from usgan_cli.gan.kernels.types import LEAKY_SLOPE, Epilogue


class Gate(torch.autograd.Function):
    """Multiply a gradient by the slope of the activation at c + bias; linear in the gradient."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, c: Tensor, bias: Tensor | None, clamp: float | None) -> Tensor:
        ctx.save_for_backward(c, bias)
        ctx.clamp = clamp
        return triton_activation.gate(grad, c, bias, clamp, sums=False)[0]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return Gate.apply(grads[0], *ctx.saved_tensors, ctx.clamp), None, None, None


class Activation(torch.autograd.Function):
    """Return clamp(leaky_relu(c + bias)) + rest, in one pass."""

    @staticmethod
    def forward(ctx: Any, c: Tensor, bias: Tensor | None, rest: Tensor | None, clamp: float | None) -> Tensor:
        ctx.save_for_backward(c, bias)
        ctx.clamp = clamp
        return triton_activation.forward(c, bias, rest, clamp)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        c, bias = ctx.saved_tensors
        wants_bias = bias is not None and ctx.needs_input_grad[1] and parameters_matter()
        if torch.is_grad_enabled():
            by_c = Gate.apply(grad, c.detach(), None if bias is None else bias.detach(), ctx.clamp)
            by_bias = by_c.sum((0, 2, 3), dtype=torch.float32).to(bias.dtype) if wants_bias else None
        else:
            by_c, by_bias = triton_activation.gate(grad, c, bias, ctx.clamp, sums=wants_bias)
            by_bias = by_bias if by_bias is None else by_bias.to(bias.dtype)
        return by_c, by_bias, grad if ctx.needs_input_grad[2] else None, None


class _EpilogueGradients(torch.autograd.Function):
    """The first derivatives of what follows a convolution of the generator, as a function of all that they need."""

    @staticmethod
    def forward(
        ctx: Any, clamp: float | None, parameters: bool, gp: Tensor | None, gs: Tensor | None, *inputs: Any
    ) -> tuple[Tensor | None, ...]:
        ctx.save_for_backward(gp, gs, *inputs)
        ctx.clamp, ctx.parameters = clamp, parameters
        ctx.set_materialize_grads(False)
        by_c, sums = triton_synthesis.backward(gp, gs, Epilogue(*inputs), clamp, parameters)
        return by_c, *sums

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        gp, gs, *inputs = ctx.saved_tensors
        if torch.is_grad_enabled():
            return None, None, *_inputs_needed_again(gp, gs, inputs, ctx.clamp, grads, ctx.needs_input_grad[2:])
        by_gp, by_gs, by_c, sums = triton_synthesis.second(gp, gs, Epilogue(*inputs), ctx.clamp, grads)
        by_d, by_b, by_s, by_t = sums
        by_s = None if by_s is None else by_s.reshape(inputs[4].shape)
        return None, None, by_gp, by_gs, by_c, by_d, by_b, None, by_s, by_t


def _inputs_needed_again(
    gp: Tensor | None,
    gs: Tensor | None,
    inputs: Sequence[Tensor | None],
    clamp: float | None,
    grads: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Return second derivatives that can be inputs_needed further: of the same formulas in ordinary operations."""
    # Views, because the gradients may themselves depend on the inputs, and that is not to be followed here.
    own: list[Any] = [None if x is None else x.view_as(x) for x in (gp, gs, *inputs)]
    outputs = synthesis_gradients(own[0], own[1], Epilogue(*own[2:]), clamp)
    pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if o is not None and g is not None]
    inputs_needed = [x for x, need in zip(own, needed, strict=True) if x is not None and need]
    results = iter(
        torch.autograd.grad(
            [o for o, _ in pairs], inputs_needed, [g for _, g in pairs], create_graph=True, allow_unused=True
        )
    )
    return [next(results) if x is not None and need else None for x, need in zip(own, needed, strict=True)]


def synthesis_gradients(
    gp: Tensor | None, gs: Tensor | None, inputs: Epilogue, clamp: float | None
) -> tuple[Tensor | None, ...]:
    """Return the gradients by c, d, b, s and t in ordinary operations; the formulas are in `triton_synthesis`."""
    c, d, b, z, s, t = inputs
    v = c * d[:, :, None, None] + b[None, :, None, None]
    if z is not None and s is not None:
        v = v + z * s
    a = F.leaky_relu(v, LEAKY_SLOPE)
    slope = torch.where(v > 0, 1.0, LEAKY_SLOPE)
    if clamp is not None:
        slope = torch.where(a.abs() >= clamp, 0.0, slope)
        a = a.clamp(-clamp, clamp)
    g: Any = 0 if gp is None else gp
    if gs is not None and t is not None:
        g = g + gs * t[:, :, None, None]
    g = g * slope.detach()
    return (
        (g * d[:, :, None, None]).to(c.dtype),
        (g * c).sum((2, 3)),
        g.sum((0, 2, 3)),
        None if z is None else (g * z).sum(),
        None if gs is None else (gs * a).sum((2, 3)),
    )


class SynthesisEpilogue(torch.autograd.Function):
    """What follows a convolution of the generator; see `triton_synthesis` for the formulas."""

    @staticmethod
    def forward(
        ctx: Any, clamp: float | None, plain: bool, dtype: torch.dtype, *inputs: Any
    ) -> tuple[Tensor | None, Tensor | None]:
        ctx.save_for_backward(*inputs)
        ctx.clamp = clamp
        ctx.set_materialize_grads(False)
        return triton_synthesis.forward(Epilogue(*inputs), clamp, plain, dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        inputs = ctx.saved_tensors
        by_c, by_d, by_b, by_s, by_t = _EpilogueGradients.apply(ctx.clamp, parameters_matter(), *grads, *inputs)
        by_s = None if by_s is None else by_s.reshape(inputs[4].shape)
        return None, None, None, by_c, by_d, by_b, None, by_s, by_t
