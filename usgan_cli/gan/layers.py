"""Layers of StyleGAN2: equalised learning rate, modulated convolution, and minibatch standard deviation.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN" (modulation and demodulation, section
2.2, config F); Karras et al. 2018, "Progressive Growing of GANs" (equalised learning rate, section 4.1, and
minibatch standard deviation, section 3).

Modulation never makes a weight per sample: input channels are scaled by the style, the whole batch goes through
one ordinary convolution, and output channels are scaled by the demodulation. The gain after a leaky ReLU goes
into the small factors before it, which is the same since the function is homogeneous.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from usgan_cli.gan.kernels.activation import bias_act, conv_lrelu, synthesis_epilogue
from usgan_cli.gan.kernels.conv import conv2d, packed
from usgan_cli.gan.kernels.filters import binomial_blur, binomial_conv_up, binomial_downsample
from usgan_cli.gan.kernels.types import LEAKY_GAIN

EPS = 1e-8


def normal(shape: tuple[int, ...], init: torch.Generator | None) -> nn.Parameter:
    """Return a parameter with standard normal values drawn from `init`; a kernel lies in memory as it is used."""
    values = torch.randn(shape, generator=init)
    return nn.Parameter(packed(values) if values.ndim == 4 else values)


def normalize_second_moment(x: Tensor) -> Tensor:
    """Scale every row of x [N, D] to a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + EPS).rsqrt()


LAYOUT = torch.channels_last
"""How features lie in memory; a bench compares."""


def laid_out(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return x [N, C, H, W] in the type and the layout of a block."""
    return x.to(dtype=dtype, memory_format=LAYOUT)


class FullyConnected(nn.Module):
    """Linear layer with equalised learning rate, and leaky ReLU where asked for."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
        init: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.weight = nn.Parameter(normal((out_features, in_features), init).detach() / lr_multiplier)
        self.bias = nn.Parameter(torch.full([out_features], bias_init))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """Map x [N, in] to [N, out]."""
        y = torch.addmm(self.bias, x, self.weight.t(), beta=self.bias_gain, alpha=self.weight_gain)
        return bias_act(y, activation=self.activation)


class SynthesisLayer(nn.Module):
    """Modulated 3 x 3 convolution, noise, bias and leaky ReLU, with filtered doubling of the size where asked for."""

    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        *,
        up: bool,
        clamp: float | None,
        init: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.up = up
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0, init=init)
        self.weight = normal((out_channels, in_channels, 3, 3), init)
        self.register_buffer("noise_const", torch.randn([resolution, resolution], generator=init))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros([out_channels]))

    def styles(self, w: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the factors [N, in] by which w [N, w_dim] scales the input channels, for computing in `dtype`."""
        styles: Tensor = self.affine(w)
        # The demodulation undoes any scale, so this keeps half numbers in range and changes nothing else.
        return styles / styles.abs().amax(dim=1, keepdim=True) if dtype == torch.float16 else styles

    def forward(
        self,
        x: Tensor,
        styles: Tensor,
        noise: Tensor | None,
        *,
        plain: bool,
        following: tuple[Tensor, torch.dtype] | None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Map x, scaled by this layer's styles, to features and to the next layer's scaled input.

        Parameters
        ----------
        x : Tensor
            [N, in, H, W], already multiplied by `styles` [N, in]; its type is the one that is computed in.
        noise : Tensor, optional
            One plane for each image [N, 1, resolution, resolution], or one for all.
        plain : bool
            Whether the features [N, out, resolution, resolution], in x's type, are needed themselves.
        following : tuple of Tensor and torch.dtype, optional
            The next layer's styles [N, out], by which the features are multiplied for it, and the type of its input.
        """
        weight: Tensor = self.weight
        if x.dtype == torch.float16:
            weight = weight / (weight.abs().amax(dim=(1, 2, 3), keepdim=True) * math.sqrt(weight[0].numel()))
        demodulation = (styles.square() @ weight.square().sum(dim=(2, 3)).t() + EPS).rsqrt() * LEAKY_GAIN
        kernel = laid_out(weight, x.dtype)
        y = binomial_conv_up(x, kernel) if self.up else conv2d(x, kernel, padding=1)
        return synthesis_epilogue(
            y,
            demodulation,
            self.bias * LEAKY_GAIN,
            noise,
            self.noise_strength * LEAKY_GAIN,
            self.clamp,
            plain=plain,
            following=following,
        )


class ToRGB(nn.Module):
    """Modulated 1 x 1 convolution to image channels, without demodulation, as a batched matrix product."""

    def __init__(
        self,
        in_channels: int,
        img_channels: int,
        w_dim: int,
        *,
        clamp: float | None,
        init: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0, init=init)
        self.weight = normal((img_channels, in_channels, 1, 1), init)
        self.bias = nn.Parameter(torch.zeros([img_channels]))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map x [N, in, H, W] with styles from w [N, w_dim] to [N, img_channels, H, W] in the parameters' type."""
        n, channels, height, width = x.shape
        styles = self.affine(w) * self.weight_gain
        modulated = (self.weight[None, :, :, 0, 0] * styles[:, None, :]).to(x.dtype)
        pixels = x.permute(0, 2, 3, 1).reshape(n, height * width, channels)
        y = (pixels @ modulated.transpose(1, 2)).transpose(1, 2)
        y = y.reshape(n, -1, height, width).to(self.weight.dtype)
        return bias_act(y, self.bias, activation="linear", clamp=self.clamp)


class ConvLayer(nn.Module):
    """Convolution with equalised learning rate, then leaky ReLU or nothing, with filtered halving where asked for."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        activation: str = "lrelu",
        bias: bool = True,
        down: bool = False,
        gain: float = 1.0,
        clamp: float | None = None,
        init: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.activation = activation
        self.down = down
        self.weight = normal((out_channels, in_channels, kernel, kernel), init)
        self.bias = nn.Parameter(torch.zeros([out_channels])) if bias else None
        self.act_gain = gain * (LEAKY_GAIN if activation == "lrelu" else 1.0)
        self.weight_gain = self.act_gain / math.sqrt(in_channels * kernel**2)
        self.clamp = None if clamp is None else clamp * gain

    def forward(self, x: Tensor, rest: Tensor | None = None) -> Tensor:
        """Map x [N, in, H, W] to [N, out, H, W], or to half the size, in x's type, and add `rest`."""
        weight = laid_out(self.weight * self.weight_gain, x.dtype)
        bias = None if self.bias is None else self.bias * self.act_gain
        stride, padding = 1, self.kernel // 2
        if self.down:
            # Halving before a convolution of single pixels is the same as after it, and cheaper.
            x = binomial_downsample(x) if self.kernel == 1 else binomial_blur(x, padding=2)
            stride, padding = (1 if self.kernel == 1 else 2), 0
        if self.activation == "lrelu":
            return conv_lrelu(x, weight, bias, stride=stride, padding=padding, clamp=self.clamp, rest=rest)
        y = conv2d(x, weight, None if bias is None else bias.to(x.dtype), stride=stride, padding=padding)
        y = y if self.clamp is None else y.clamp(-self.clamp, self.clamp)
        return y if rest is None else rest + y


def minibatch_std(x: Tensor, group_size: int) -> Tensor:
    """Append to x [N, C, H, W] a channel with the mean standard deviation over groups of images.

    Image i belongs to group i modulo (N / group size); N is a multiple of min(group_size, N).
    """
    n, _, height, width = x.shape
    group = min(group_size, n)
    y = x.reshape(group, n // group, -1)
    deviation = ((y - y.mean(dim=0)).square().mean(dim=0) + EPS).sqrt().mean(dim=1)
    extra = deviation.reshape(1, -1, 1, 1, 1).expand(group, -1, 1, height, width).reshape(n, 1, height, width)
    return torch.cat([x, extra], dim=1)
