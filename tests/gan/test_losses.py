"""Losses against closed forms; their agreement with the reference tensors is tested with the networks."""

from __future__ import annotations

import math

import torch

from usgan_cli.gan import losses
from usgan_cli.gan.losses import LeCam


def test_logistic_losses_have_the_right_sign() -> None:
    logits = torch.tensor([[-20.0], [0.0], [20.0]])
    rising = torch.tensor([[0.0], [math.log(2)], [20.0]])
    assert torch.allclose(losses.discriminator_loss_fake(logits), rising, atol=1e-6)
    assert torch.allclose(losses.discriminator_loss_real(logits), rising.flip(0), atol=1e-6)
    assert torch.allclose(losses.generator_loss(logits), rising.flip(0), atol=1e-6)


def test_lecam_holds_opinions_near_the_averages_of_the_other_kind() -> None:
    lecam = LeCam(torch.device("cpu"), torch.float64)
    for _ in range(2000):
        lecam.observe(torch.tensor(3.0), torch.tensor(-1.0))
    torch.testing.assert_close(lecam.means, torch.tensor([3.0, -1.0], dtype=torch.float64))
    opinions = torch.tensor([-2.0, 0.0, 5.0])
    torch.testing.assert_close(lecam.of_real(opinions), torch.tensor([0.0, 1.0, 36.0]), check_dtype=False)
    torch.testing.assert_close(lecam.of_generated(opinions), torch.tensor([25.0, 9.0, 0.0]), check_dtype=False)


def test_r1_of_a_quadratic() -> None:
    # The gradient of a * sum(x^2) is 2 a x, and the derivative of its squared norm by a is 8 a sum(x^2).
    image = torch.randn(3, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    a = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    energy = image.square().sum(dim=(1, 2, 3))
    penalty = losses.r1_penalty((a * energy)[:, None], image)
    assert torch.allclose(penalty, 4 * a**2 * energy)
    penalty.sum().backward()
    assert torch.allclose(a.grad, (8 * a * energy).sum())


def test_path_lengths_of_a_linear_generator() -> None:
    # Each layer adds its w to every pixel, so each layer's gradient is the sum of the scaled direction.
    ws = torch.randn(2, 3, 1, dtype=torch.float64, requires_grad=True)
    image = ws.sum(dim=(1, 2))[:, None, None, None].expand(2, 1, 4, 4)
    noise = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    expected = (noise.sum(dim=(1, 2, 3)) / 4).abs()
    assert torch.allclose(losses.path_lengths(image, ws, noise), expected)
