"""Losses of StyleGAN2: non-saturating logistic loss, R1 (Mescheder et al. 2018, equation 9) and path length
regularisation (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", equation 4); and of a
projected discriminator: the hinge loss over its heads (Lim and Ye 2017; Sauer et al. 2021, "Projected GANs Converge
Faster", equation 4).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.core.store.workspace import DiscriminatorName
from usgan_cli.gan.kernels.conv import input_gradients_only

Logits = TypeVar("Logits")
"""What a discriminator returns for a batch, positive for real."""


def generator_loss(logits: Tensor) -> Tensor:
    """Return softplus(-logits) [N, 1] for generated images: small once the discriminator takes them for real."""
    return F.softplus(-logits)


def discriminator_loss_fake(logits: Tensor) -> Tensor:
    """Return softplus(logits) [N, 1] for generated images."""
    return F.softplus(logits)


def discriminator_loss_real(logits: Tensor) -> Tensor:
    """Return softplus(-logits) [N, 1] for real images."""
    return F.softplus(-logits)


class AdversarialLoss(ABC, Generic[Logits]):
    """What generator and discriminator make of the logits of a batch: one number an image, small when it is won."""

    @abstractmethod
    def generator(self, logits: Logits) -> Tensor:
        """Return the generator's loss [N, ...] on generated images."""

    @abstractmethod
    def fake(self, logits: Logits) -> Tensor:
        """Return the discriminator's loss [N, ...] on generated images."""

    @abstractmethod
    def real(self, logits: Logits) -> Tensor:
        """Return the discriminator's loss [N, ...] on real images."""

    @abstractmethod
    def opinion(self, logits: Logits) -> Tensor:
        """Return one logit an image [N, ...]: ADA asks for its sign, R1 for its gradient."""


class Logistic(AdversarialLoss[Tensor]):
    """StyleGAN2's loss of logits [N, 1]."""

    def generator(self, logits: Tensor) -> Tensor:
        """See `generator_loss`."""
        return generator_loss(logits)

    def fake(self, logits: Tensor) -> Tensor:
        """See `discriminator_loss_fake`."""
        return discriminator_loss_fake(logits)

    def real(self, logits: Tensor) -> Tensor:
        """See `discriminator_loss_real`."""
        return discriminator_loss_real(logits)

    def opinion(self, logits: Tensor) -> Tensor:
        """Return the logits."""
        return logits


class Hinge(AdversarialLoss[Sequence[Tensor]]):
    """The hinge loss of the logits [N, places] of several heads: the mean over a head's places, summed over heads.

    An image's `opinion` is the mean over heads of the mean over places: a head counts by how sure it is, and ADA's r_t
    is the share of real images that the heads together take for real, minus that of the others.
    """

    def generator(self, logits: Sequence[Tensor]) -> Tensor:
        """Return [N]: minus the logits."""
        return _over_heads([-one for one in logits])

    def fake(self, logits: Sequence[Tensor]) -> Tensor:
        """Return [N]: by how much the logits exceed -1."""
        return _over_heads([F.relu(1 + one) for one in logits])

    def real(self, logits: Sequence[Tensor]) -> Tensor:
        """Return [N]: by how much the logits fall short of 1."""
        return _over_heads([F.relu(1 - one) for one in logits])

    def opinion(self, logits: Sequence[Tensor]) -> Tensor:
        """Return [N]: the mean logit."""
        return _over_heads(logits) / len(logits)


class HingeAndLogistic(AdversarialLoss[Sequence[Tensor]]):
    """The hinge loss of several heads, and the logistic loss of a discriminator of pixels beside them.

    The last of the logits, [N, 1], are those of the pixels. To the generator they count `pixel_weight` times (Kumari et
    al. 2022, "Ensembling Off-the-shelf Models for GAN Training", who keep StyleGAN2's discriminator in the same way).
    An image's `opinion` is that of the heads alone.
    """

    def __init__(self, pixel_weight: float) -> None:
        self.pixel_weight = pixel_weight
        self.heads = Hinge()

    def generator(self, logits: Sequence[Tensor]) -> Tensor:
        """Return [N]: the sum of both, the second times its weight."""
        return self.heads.generator(logits[:-1]) + self.pixel_weight * generator_loss(logits[-1]).flatten()

    def fake(self, logits: Sequence[Tensor]) -> Tensor:
        """Return [N]: the sum of both, which have no weights in common to balance."""
        return self.heads.fake(logits[:-1]) + discriminator_loss_fake(logits[-1]).flatten()

    def real(self, logits: Sequence[Tensor]) -> Tensor:
        """Return [N]: the sum of both."""
        return self.heads.real(logits[:-1]) + discriminator_loss_real(logits[-1]).flatten()

    def opinion(self, logits: Sequence[Tensor]) -> Tensor:
        """Return [N]: the mean logit of the heads."""
        return self.heads.opinion(logits[:-1])


def _over_heads(values: Sequence[Tensor]) -> Tensor:
    return torch.stack([one.mean(dim=1) for one in values]).sum(dim=0)


def loss_of(discriminator: DiscriminatorName, pixel_weight: float) -> AdversarialLoss[Any]:
    """Return what a discriminator is trained with, and the generator against it."""
    if discriminator == "stylegan2":
        return Logistic()
    return HingeAndLogistic(pixel_weight) if pixel_weight > 0 else Hinge()


class LeCam:
    """LeCam's regularisation (Tseng et al. 2021, "Regularizing Generative Adversarial Networks under Limited Data").

    The discriminator's opinion of real images is held near its average opinion of generated ones, and the other way
    round, so that few training images cannot drive the two apart without limit. As in the authors' code opinions on
    the wrong side of the average cost nothing: of real images those below it, of generated ones those above.
    """

    DECAY = 0.99

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.means = torch.zeros(2, device=device, dtype=dtype)
        """Running averages of the opinion of real and of generated images."""

    def of_real(self, opinions: Tensor) -> Tensor:
        """Return the penalty of each opinion [N, ...] of real images."""
        return F.relu(opinions - self.means[1]).square()

    def of_generated(self, opinions: Tensor) -> Tensor:
        """Return the penalty of each opinion [N, ...] of generated images."""
        return F.relu(self.means[0] - opinions).square()

    def observe(self, real: Tensor, generated: Tensor) -> None:
        """Follow a batch's mean opinions."""
        self.means.lerp_(torch.stack([real, generated]).to(self.means), 1 - self.DECAY)


def r1_penalty(logits: Tensor, *inputs: Tensor) -> Tensor:
    """Return [N], differentiable: the squared norm of the gradient of the logits with respect to each image's inputs.

    The logits [N, ...] are computed from `inputs` [N, C, H, W], which require a gradient: of StyleGAN2 real images
    before augmentation, of a projected discriminator its features of real images at each scale.
    """
    with input_gradients_only():
        gradients = torch.autograd.grad(logits.sum(), inputs, create_graph=True)
    squares = [gradient.square().sum(dim=(1, 2, 3)) for gradient in gradients]
    return squares[0] if len(squares) == 1 else torch.stack(squares).sum(dim=0)


def path_lengths(image: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """Return [N], differentiable: how far each image moves, in a random direction, per step of its w.

    That is the root of the mean over layers of the squared norm of the gradient. The images [N, C, H, W] are computed
    from `ws` [N, num_ws, w_dim]; `noise`, standard normal and of the images' shape, is the direction.
    """
    scaled = noise / math.sqrt(image.shape[2] * image.shape[3])
    with input_gradients_only():
        (gradient,) = torch.autograd.grad((image * scaled).sum(), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
