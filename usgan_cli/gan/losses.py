"""Losses of StyleGAN2: non-saturating logistic loss, R1 (Mescheder et al. 2018, equation 9) and path length
regularisation (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", equation 4).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.gan.kernels.conv import input_gradients_only


def generator_loss(logits: Tensor) -> Tensor:
    """Return softplus(-logits) [N, 1] for generated images: small once the discriminator takes them for real."""
    return F.softplus(-logits)


def discriminator_loss_fake(logits: Tensor) -> Tensor:
    """Return softplus(logits) [N, 1] for generated images."""
    return F.softplus(logits)


def discriminator_loss_real(logits: Tensor) -> Tensor:
    """Return softplus(-logits) [N, 1] for real images."""
    return F.softplus(-logits)


def r1_penalty(logits: Tensor, image: Tensor) -> Tensor:
    """Return [N], differentiable: the squared norm of the gradient of the logits with respect to each image.

    The logits [N, 1] are computed from `image`: real images [N, C, H, W] before augmentation, requiring a gradient.
    """
    with input_gradients_only():
        (gradient,) = torch.autograd.grad(logits.sum(), image, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))


def path_lengths(image: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """Return [N], differentiable: how far each image moves, in a random direction, per step of its w.

    That is the root of the mean over layers of the squared norm of the gradient. The images [N, C, H, W] are computed
    from `ws` [N, num_ws, w_dim]; `noise`, standard normal and of the images' shape, is the direction.
    """
    scaled = noise / math.sqrt(image.shape[2] * image.shape[3])
    with input_gradients_only():
        (gradient,) = torch.autograd.grad((image * scaled).sum(), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
