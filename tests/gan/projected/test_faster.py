"""A network that is computed faster gives the maps and gradients that it gave before."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame
from torch import Tensor, nn

from usgan_cli.gan.projected.faster import Clamp, clamp_in_place, faster, fold_normalisation, pad_in_kernels


def network_of(name: str) -> Any:
    """A random frozen network whose normalisations do something, in double precision: no rounding turns a gate."""
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False, num_classes=0).eval().double()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.8, 1.2)
                module.bias.uniform_(-0.2, 0.2)
    return network.requires_grad_(False)


def count(network: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in network.modules())


def maps_and_gradient(network: Any, image: Tensor) -> list[Tensor]:
    image = image.clone().requires_grad_(True)
    maps = network.forward_intermediates(image, intermediates_only=True)
    draws = torch.Generator().manual_seed(3)
    torch.autograd.backward(maps, [torch.randn(one.shape, generator=draws, dtype=one.dtype) for one in maps])
    assert image.grad is not None
    return [*(one.detach() for one in maps), image.grad]


@pytest.mark.parametrize("size", [64, 100], ids=["even", "odd maps"])
@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet10t", "densenet121"])
def test_maps_and_gradients_are_as_before(name: str, size: int) -> None:
    network, image = network_of(name), torch.rand(2, 3, size, size, dtype=torch.float64)
    before = maps_and_gradient(network, image)
    quick = faster(network, size)
    assert count(quick, nn.BatchNorm2d) < count(network, nn.BatchNorm2d)
    for one, other in zip(before, maps_and_gradient(quick, image), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-10 * float(one.abs().max()))


def test_efficientnet_lite_is_changed_in_every_way() -> None:
    network = network_of("tf_efficientnet_lite0")
    quick = faster(network, 64)
    assert (count(network, Conv2dSame), count(quick, Conv2dSame)) == (5, 0)
    assert count(quick, Clamp) == count(network, nn.ReLU6) > 0
    assert count(network, nn.BatchNorm2d) > 0 == count(quick, nn.BatchNorm2d)


def test_uneven_padding_stays_where_a_map_has_an_odd_side() -> None:
    assert count(faster(network_of("tf_efficientnet_lite0"), 100), Conv2dSame) == 5


@pytest.mark.parametrize("side", [3, 5])
def test_a_kernel_with_zeros_first_pads_as_tensorflow_does(side: int) -> None:
    """Against TensorFlow's rule: of an even side and stride 2, (side - 2) // 2 zeros before, the rest behind."""
    network = nn.Sequential(Conv2dSame(4, 4, side, stride=2, groups=4).double())
    x = torch.randn(2, 4, 16, 16, dtype=torch.float64)
    first, total = (side - 2) // 2, side - 2
    conv = network[0]
    padded = F.pad(x, (first, total - first, first, total - first))
    expected = F.conv2d(padded, conv.weight, conv.bias, 2, groups=4)
    with torch.no_grad():
        pad_in_kernels(network)
    assert type(network[0]) is nn.Conv2d
    torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)


def test_clamping_in_place_has_the_slope_of_relu6() -> None:
    values = torch.tensor([-1.0, 0.0, 1e-9, 3.0, 6.0, 7.0], requires_grad=True)
    weights = torch.arange(1.0, 7.0)
    (expected,) = torch.autograd.grad((F.relu6(values) * weights).sum(), values)
    (slope,) = torch.autograd.grad((Clamp()(values * 1) * weights).sum(), values)
    assert torch.equal(slope, expected)
    assert slope.tolist() == [0, 0, 3, 4, 0, 0]


def test_a_result_that_others_need_is_not_overwritten() -> None:
    network = nn.Sequential(nn.ReLU6(), nn.ReLU6(inplace=True))
    clamp_in_place(network)
    assert [type(layer) for layer in network] == [nn.ReLU6, Clamp]


class DeclaredInAnotherOrder(nn.Module):
    """Its normalisation does not follow the convolution that it is declared after."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.norm.running_mean.fill_(0.7)

    def forward_features(self, x: Tensor) -> Tensor:
        return self.conv(F.relu(self.norm(x)))


def test_layers_that_do_not_follow_one_another_are_left_as_they_are() -> None:
    network = DeclaredInAnotherOrder().eval()
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        before = network.forward_features(image)
        assert torch.equal(faster(network, 8).forward_features(image), before)
        fold_normalisation(network)
        assert not torch.allclose(network.forward_features(image), before), "folding is wrong here"
