"""Triton's kernels against ordinary operations, through second derivatives, in Triton's interpreter."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.gan.kernels import activation, choice, filters

pytestmark = pytest.mark.usefixtures("interpreted")

T = TypeVar("T")

SHAPES = [(1, 1, 1, 1), (1, 1, 5, 7), (2, 3, 4, 6), (3, 70, 3, 5), (1, 64, 8, 8)]
"""One image, one channel, and sizes that no block divides."""


def by_both_ways(compute: Callable[[], T], monkeypatch: pytest.MonkeyPatch) -> tuple[T, T]:
    """Return what is computed, derivatives included, with Triton's kernels and without them."""
    by_triton = compute()
    with monkeypatch.context() as patch:
        patch.setattr(choice, "uses_triton", lambda _: False)
        return by_triton, compute()


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_(True)


def check_close(found: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    assert found.shape == expected.shape, what
    error = float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-6))
    assert error <= tolerance, f"{what}: {error:.2g}"


def check(
    run: Callable[..., tuple[Tensor, ...]],
    inputs: list[Tensor],
    monkeypatch: pytest.MonkeyPatch,
    tolerance: float = 1e-6,
) -> None:
    """Compare results, first derivatives, and derivatives of these, each in a random direction."""

    def compute() -> tuple[tuple[Tensor | None, ...], ...]:
        own = [x.detach().clone().requires_grad_(True) for x in inputs]
        results = run(*own)
        directions = [draw(*y.shape, seed=90 + i) for i, y in enumerate(results)]
        kept = torch.autograd.grad(results, own, directions, retain_graph=True)
        first = torch.autograd.grad(results, own, directions, create_graph=True)
        weights = [draw(*g.shape, seed=70 + i).detach() for i, g in enumerate(first)]
        total = sum((g * w).sum() for g, w in zip(first, weights, strict=True))
        second = torch.autograd.grad(total, [*own, *directions], allow_unused=True)
        return results, first, second, kept

    outcomes = by_both_ways(compute, monkeypatch)
    for name, allowed, found, expected in zip(
        ("result", "first", "second", "first without a graph"), (tolerance, 1e-5, 1e-5, 1e-5), *outcomes, strict=True
    ):
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            if one is not None or other is not None:
                zero = torch.zeros_like(one if other is None else other)
                pair = [(zero if value is None else value).detach() for value in (one, other)]
                check_close(*pair, allowed, f"{name} {i}")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", ["enlarge", "halve", "smooth1", "smooth2"])
def test_filters(shape: tuple[int, ...], way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = {
        "enlarge": filters.binomial_upsample,
        "halve": filters.binomial_downsample,
        "smooth1": lambda x: filters.binomial_blur(F.pad(x, (0, 1, 0, 1)), 1),
        "smooth2": lambda x: filters.binomial_blur(x, 2),
    }
    if way == "halve" and min(shape[2:]) < 2:
        shape = (*shape[:2], 2, 3)

    def run(x: Tensor) -> tuple[Tensor]:
        return (ways[way](x),)

    check(run, [draw(*shape, seed=1)], monkeypatch)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("clamp", [None, 0.8])
@pytest.mark.parametrize("rest", [False, True])
def test_discriminators_activation(
    shape: tuple[int, ...], clamp: float | None, rest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = [draw(*shape, seed=1), draw(shape[1], shape[1], 1, 1, seed=2), draw(shape[1], seed=3)]
    inputs += [draw(*shape, seed=4)] if rest else []

    def run(x: Tensor, w: Tensor, b: Tensor, rest: Tensor | None = None) -> tuple[Tensor]:
        return (activation.conv_lrelu(x * 1.0, w, b, clamp=clamp, rest=rest),)

    # The convolution before it is summed in another order.
    check(run, inputs, monkeypatch, tolerance=5e-6)


RESULTS, NOISES, CLAMPS = [(1, 0), (0, 1), (1, 1)], [0, 1, 2], [None, 0.8]
"""The plain result, the one scaled for the next convolution, or both; no noise, one plane, or one for each image."""
VARIANTS = [(SHAPES[2], *wanted) for wanted in itertools.product(RESULTS, NOISES, CLAMPS)]
VARIANTS += [
    (shape, results, NOISES[(i + j) % 3], CLAMPS[(i + j) % 2])
    for i, shape in enumerate(SHAPES)
    for j, results in enumerate(RESULTS)
    if shape != SHAPES[2]
]
"""Every variant of the kernels at one shape, and every pair of a shape and a setting: the interpreter is slow."""


@pytest.mark.parametrize(("shape", "results", "noise", "clamp"), VARIANTS)
def test_what_follows_a_synthesis_convolution(
    shape: tuple[int, ...],
    results: tuple[int, int],
    noise: int,
    clamp: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, scaled = results
    n, channels, height, width = shape
    inputs = [draw(*shape, seed=1), draw(n, channels, seed=2), draw(channels, seed=3), draw(seed=4)]
    inputs += [draw(n, channels, seed=5)] if scaled else []
    planes = {0: None, 1: draw(height, width, seed=6).detach(), 2: draw(n, 1, height, width, seed=7).detach()}

    def run(c: Tensor, d: Tensor, b: Tensor, s: Tensor, t: Tensor | None = None) -> tuple[Tensor, ...]:
        if noise == 0:
            d = d + 0 * s
        made = activation.synthesis_epilogue(
            c * 1.0,
            d,
            b,
            planes[noise],
            s,
            clamp,
            plain=bool(plain),
            following=None if t is None else (t, torch.float32),
        )
        # Without styles the plain way returns the plain result whether asked for or not.
        return tuple(y for y, asked in zip(made, (plain or not scaled, scaled), strict=True) if asked)  # type: ignore[misc]

    check(run, inputs, monkeypatch)


def test_third_derivatives_of_what_follows_a_synthesis_convolution(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noise = draw(2, 1, 3, 4, seed=7).detach()

    def run(c: Tensor, d: Tensor, b: Tensor, s: Tensor, t: Tensor) -> Tensor:
        y, z = activation.synthesis_epilogue(c * 1.0, d, b, noise, s, 1.5, plain=True, following=(t, torch.float32))
        assert y is not None
        assert z is not None
        return (y.square() + z).square().sum()

    def compute() -> tuple[Tensor, ...]:
        inputs = [draw(2, 5, 3, 4, seed=1), *(draw(*s, seed=2 + i) for i, s in enumerate([(2, 5), (5,), (), (2, 5)]))]
        value = run(*inputs)
        for _ in range(2):
            gradients = torch.autograd.grad(value, inputs, create_graph=True)
            value = torch.stack([g.square().sum() for g in gradients]).sum()
        return torch.autograd.grad(value, inputs)

    for i, (one, other) in enumerate(zip(*by_both_ways(compute, monkeypatch), strict=True)):
        check_close(one, other, 1e-4, f"input {i}")


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2**-7), (torch.float16, 0)])
def test_half_types_round_once(dtype: torch.dtype, tolerance: float) -> None:
    c = draw(2, 3, 4, 4, seed=1).detach().to(dtype)
    d, t = draw(2, 3, seed=2).detach(), draw(2, 3, seed=3).detach()
    b = draw(3, seed=4).detach()
    y, z = activation.synthesis_epilogue(c, d, b, None, torch.ones([]), None, plain=True, following=(t, torch.float32))
    exact = F.leaky_relu(c.float() * d[:, :, None, None] + b[:, None, None], 0.2)
    assert y is not None
    assert y.dtype == dtype
    # The interpreter cuts bfloat16 off where a GPU rounds it.
    assert bool(((y.float() - exact.to(dtype).float()).abs() <= tolerance * exact.abs()).all())
    assert z is not None
    check_close(z, exact * t[:, :, None, None], 1e-6, "scaled in float32")
