"""Resampling against the original authors' public implementation (see the README beside the reference tensors),
and derivatives of the convolutions against finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import resampling
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from usgan_cli.gan import losses
from usgan_cli.gan.kernels import activation, conv, filters


def check_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-6) -> None:
    """Every value within `tolerance` of the expected tensor's largest value."""
    assert actual.shape == expected.shape
    assert float((actual - expected).abs().max() / expected.abs().max()) <= tolerance


def draw(*shape: int, seed: int = 0, grad: bool = True) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values.requires_grad_(grad)


def test_resampling_agrees(reference_dir: Path) -> None:
    ref = load_file(reference_dir / "resampling.safetensors")
    x, f, w = ref["x"], ref["filter"], ref["conv_weight"]
    check_close(resampling.setup_filter(filters.BINOMIAL), f)
    check_close(resampling.upsample2d(x, f), ref["upsample2d"])
    check_close(resampling.downsample2d(x, f), ref["downsample2d"])
    check_close(resampling.upfirdn2d(x, f, padding=(2, 1, 2, 1)), ref["filter2d"])
    general = resampling.upfirdn2d(x, f, up=3, down=2, padding=(1, 2, 3, 0), flip_filter=True, gain=2)
    check_close(general, ref["upfirdn2d_up3_down2_pad_1_2_3_0_gain2_flip"])
    # Enlarging turns the kernel round, as the generator does.
    up = resampling.conv2d_resample(x, w, f, up=2, padding=1, flip_weight=False)
    check_close(up, ref["conv2d_resample_up2"])
    check_close(resampling.conv2d_resample(x, w, f, down=2, padding=1), ref["conv2d_resample_down2"])


def test_fast_paths_agree_with_the_general_ones() -> None:
    f = resampling.setup_filter(filters.BINOMIAL)
    x, w = draw(2, 3, 8, 6, grad=False), draw(5, 3, 3, 3, seed=1, grad=False)
    bias = draw(5, seed=2, grad=False)
    check_close(filters.binomial_upsample(x), resampling.upsample2d(x, f), 1e-12)
    check_close(filters.binomial_downsample(x), resampling.downsample2d(x, f), 1e-12)
    up = resampling.conv2d_resample(x, w, f, up=2, padding=1, flip_weight=False)
    check_close(filters.binomial_conv_up(x, w), up, 1e-12)
    down = resampling.conv2d_resample(x, w, f, down=2, padding=1) + bias[None, :, None, None]
    check_close(conv.conv2d(filters.binomial_blur(x, padding=2), w, bias, stride=2), down, 1e-12)


def test_negative_padding_crops() -> None:
    x = draw(1, 2, 9, 9, grad=False)
    identity = torch.ones(1, 1)
    assert torch.equal(resampling.upfirdn2d(x, identity, padding=(-1, -2, -3, 0)), x[:, :, 3:, 1:-2])


def test_an_uneven_filter_shows_which_way_round_it_is() -> None:
    impulse = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    impulse[0, 0, 2, 2] = 1
    f = torch.tensor([[1.0, 2.0, 3.0]] * 3)
    assert resampling.upfirdn2d(impulse, f, padding=(1, 1, 1, 1))[0, 0, 2, 1:4].tolist() == [1, 2, 3]
    assert resampling.upfirdn2d(impulse, f, padding=(1, 1, 1, 1), flip_filter=True)[0, 0, 2, 1:4].tolist() == [3, 2, 1]


@pytest.fixture(params=["library", "products", "products of some"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How convolutions of any size are computed: by the library, or by parts and matrix products."""
    always, never = 0, 2**62
    product = request.param != "library"
    monkeypatch.setattr(conv, "PARTS_FROM", always if product else never)
    monkeypatch.setattr(conv, "PRODUCTS_FROM", always if product else never)
    monkeypatch.setattr(conv, "PRODUCT_PIXELS", never)
    monkeypatch.setattr(conv, "PATCHES_AT_ONCE", 1 if request.param == "products of some" else never)
    return str(request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("stride", "padding", "size"), [(1, 1, 4), (2, 0, 5), (2, 1, 6), (2, 0, 6)])
def test_convolution_derivatives(stride: int, padding: int, size: int) -> None:
    # 6 pixels at stride 2 leave a row that the kernel never reaches, which the adjoint has to restore.
    x, w, b = draw(3, 2, size, size), draw(4, 2, 3, 3, seed=1), draw(4, seed=2)

    def run(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return conv.conv2d(x, w, b, stride=stride, padding=padding)

    check_close(run(x, w, b).detach(), F.conv2d(x, w, b, stride, padding).detach(), 1e-12)
    assert torch.autograd.gradcheck(run, (x, w, b), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, w, b), fast_mode=True)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("turned", [False, True])
def test_transposed_convolution_derivatives(turned: bool) -> None:
    x, w = draw(2, 2, 3, 4), draw(4, 2, 3, 3, seed=1)

    def run(x: Tensor, w: Tensor) -> Tensor:
        kernel = conv.packed(w).transpose(0, 1) if turned else conv.packed(w.transpose(0, 1))
        return conv.conv_transpose2d(x, kernel, stride=2)

    expected = F.conv_transpose2d(x, w.transpose(0, 1), stride=2)
    check_close(run(x, w).detach(), expected.detach(), 1e-12)
    assert torch.autograd.gradcheck(run, (x, w), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, w), fast_mode=True)


def test_ways_of_convolving_agree_in_every_type(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w, big = draw(3, 16, 5, 4, grad=False), draw(8, 16, 3, 3, seed=1, grad=False), draw(3, 8, 11, 9, grad=False)

    def outcome(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        a, k = x.to(dtype).clone().requires_grad_(True), conv.packed(w.to(dtype)).clone().requires_grad_(True)
        y = conv.conv_transpose2d(a, k.transpose(0, 1), stride=2)
        grad_a, grad_k = torch.autograd.grad(y, (a, k), big.to(dtype))
        return y.detach().double(), grad_a.double(), grad_k.double()

    expected = outcome(torch.float64)
    monkeypatch.setattr(conv, "PARTS_FROM", 0)
    monkeypatch.setattr(conv, "PRODUCTS_FROM", 0)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.02)):
        for one, other in zip(outcome(dtype), expected, strict=True):
            check_close(one, other, tolerance)


@pytest.mark.parametrize("clamp", [None, 0.7, 100.0])
@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "padding"), [(2, 3, 1, 1), (9, 1, 1, 0), (1, 1, 1, 0), (2, 3, 2, 0)]
)
def test_convolution_with_activation(
    channels: int, kernel: int, stride: int, padding: int, clamp: float | None
) -> None:
    x, w, b = draw(2, channels, 5, 5), draw(3, channels, kernel, kernel, seed=1), draw(3, seed=2)

    def run(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return activation.conv_lrelu(x, w, b, stride=stride, padding=padding, clamp=clamp)

    expected = F.leaky_relu(F.conv2d(x, w, b, stride, padding), 0.2).detach()
    expected = expected if clamp is None else expected.clamp(-clamp, clamp)
    check_close(run(x, w, b).detach(), expected, 1e-12)
    assert torch.autograd.gradcheck(run, (x, w, b), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda *given: run(*given).square(), (x, w, b), fast_mode=True)
    # In single precision the processor's library takes bias and activation into the convolution.
    check_close(run(x.float(), w.float(), b.float()).detach(), expected.float(), 1e-5)


def test_a_value_that_is_not_a_number_stays_one_under_a_clamp() -> None:
    x = torch.tensor([[1.0, math.nan, 300.0]])
    y = activation.leaky_clamp_(x, 256.0)
    assert y[0, 0] == 1
    assert y[0, 1].isnan()
    assert y[0, 2] == 256


@pytest.mark.parametrize(
    "run",
    [filters.binomial_upsample, filters.binomial_downsample, lambda x: filters.binomial_blur(x, 2)],
    ids=["enlarge", "halve", "smooth"],
)
def test_filter_derivatives(run: Callable[[Tensor], Tensor]) -> None:
    x = draw(2, 2, 6, 4)
    assert torch.autograd.gradcheck(run, (x,))
    assert torch.autograd.gradgradcheck(run, (x,))


def test_a_gradient_by_inputs_computes_no_weight_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []
    forward = conv._WeightGradient.forward

    def counted(*arguments: object) -> Tensor:
        computed.append(arguments)
        return forward(*arguments)  # type: ignore[no-any-return]

    monkeypatch.setattr(conv._WeightGradient, "forward", staticmethod(counted))
    x, w, b = draw(2, 3, 6, 6), draw(4, 3, 3, 3, seed=1), draw(4, seed=2)
    y = activation.conv_lrelu(x, w, b, padding=1)
    penalty = losses.r1_penalty(y.sum((1, 2, 3))[:, None], x)
    assert not computed
    penalty.sum().backward()
    assert computed
    assert w.grad is not None


@pytest.mark.parametrize("clamp", [None, 0.5])
def test_leaky_clamp_derivatives(clamp: float | None) -> None:
    x = draw(4, 7)

    def run(x: Tensor) -> Tensor:
        return activation.leaky_clamp_(x * 1.5, clamp)

    expected = F.leaky_relu(x * 1.5, 0.2)
    expected = expected if clamp is None else expected.clamp(-clamp, clamp)
    assert torch.allclose(run(x), expected)
    assert torch.autograd.gradcheck(run, (x,))
    assert torch.autograd.gradgradcheck(lambda x: run(x).square(), (x,))


def test_bias_act_orders_bias_activation_gain_and_clamp() -> None:
    x = torch.tensor([[1.0, -3.0]])
    y = activation.bias_act(x, torch.tensor([1.0, 1.0]), gain=2.0, clamp=3.0)
    assert torch.allclose(y, torch.tensor([[3.0, -0.8]]))
    with pytest.raises(ValueError, match="activation"):
        activation.bias_act(x, activation="relu")


def test_a_filter_first_used_for_generation_can_train_later() -> None:
    x = draw(1, 11, 4, 4)
    with torch.inference_mode():
        filters.binomial_upsample(x)
    filters.binomial_upsample(x).sum().backward()
    assert x.grad is not None
