"""A generator as an ONNX model that any runtime can use, checked against the original before it is kept.

The networks compute with autograd functions of their own, which no exporter follows. `PlainGenerator` is the same
arithmetic in ordinary operations, on the same parameters, for inference in float32.
"""

from __future__ import annotations

import importlib
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from usgan_cli import __version__
from usgan_cli.core.errors import MissingError, UsganError
from usgan_cli.gan import ops
from usgan_cli.gan.layers import EPS, SynthesisLayer, ToRGB
from usgan_cli.gan.networks import Generator, SynthesisBlock
from usgan_cli.gan.sample import latents

if TYPE_CHECKING:
    from usgan_cli.core.formats.generator import GeneratorDocument

OPSET = 18
TOLERANCE = 1e-3
"""Greatest difference allowed between a pixel of the model and of the generator; pixels span [-1, 1]."""

CHECK_SEEDS = (0, 1, 2, 3, 4)
CHECK_TRUNCATIONS = (1.0, 0.5)
USAGE = (
    "z: float32 [batch, z_dim], standard normal; c: float32 [batch, classes], one-hot in the order of `classes`; "
    "truncation: float32 scalar, 0 to 1, where 1 is the whole distribution; "
    "8-bit pixels are round(image * 127.5 + 128), kept in 0 to 255"
)
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class DisagreementError(UsganError):
    """The exported model does not make the images that the generator makes."""


class PlainGenerator(nn.Module):
    """A generator in operations that exporters know: [z, c, truncation] to images.

    Parameters
    ----------
    generator : Generator
        Its parameters are shared, not copied.
    noise : {"const", "none"}
        The same planes for every image, or no noise.
    """

    smooth: Tensor

    def __init__(self, generator: Generator, noise: str = "const") -> None:
        super().__init__()
        self.generator = generator
        self.noise = noise
        # After doubling by zeros in between, four times the normalised filter keeps the mean.
        self.register_buffer("smooth", ops.setup_filter(ops.BINOMIAL, gain=4.0), persistent=False)

    def forward(self, z: Tensor, c: Tensor, truncation: Tensor) -> Tensor:
        """Make images [N, C, H, W], about in [-1, 1], of z [N, z_dim], one-hot c [N, c_dim] and psi [] in [0, 1]."""
        w_avg = self.generator.mapping.w_avg
        w = self.generator.mapping(z, c)[:, 0]
        w = w_avg + (w - w_avg) * truncation
        x: Tensor = self.generator.synthesis.get_submodule("b4").const[None]  # type: ignore[index]
        image: Tensor | None = None
        for resolution in self.generator.synthesis.block_resolutions:
            block: SynthesisBlock = self.generator.synthesis.get_submodule(f"b{resolution}")  # type: ignore[assignment]
            if not block.first:
                x = self._layer(block.conv0, x, w)
            x = self._layer(block.conv1, x, w)
            share = self._to_rgb(block.torgb, x, w)
            image = share if image is None else self._enlarge(image) + share
        if image is None:
            raise ValueError("a generator has one block at the least")
        return image

    def _layer(self, layer: SynthesisLayer, x: Tensor, w: Tensor) -> Tensor:
        styles = layer.affine(w)
        demodulation = (styles.square() @ layer.weight.square().sum(dim=(2, 3)).t() + EPS).rsqrt()
        x = x * styles[:, :, None, None]
        if layer.up:
            y = F.conv_transpose2d(x, layer.weight.transpose(0, 1), stride=2)
            y = F.conv2d(y, self._depthwise(y.shape[1]), padding=1, groups=y.shape[1])
        else:
            y = F.conv2d(x, layer.weight, padding=1)
        y = y * demodulation[:, :, None, None] + layer.bias[:, None, None]
        if self.noise == "const":
            y = y + layer.noise_const * layer.noise_strength
        y = F.leaky_relu(y, ops.LEAKY_SLOPE) * ops.LEAKY_GAIN
        return y if layer.clamp is None else y.clamp(-layer.clamp, layer.clamp)

    def _to_rgb(self, layer: ToRGB, x: Tensor, w: Tensor) -> Tensor:
        styles = layer.affine(w) * layer.weight_gain
        y = F.conv2d(x * styles[:, :, None, None], layer.weight, layer.bias)
        return y if layer.clamp is None else y.clamp(-layer.clamp, layer.clamp)

    def _enlarge(self, image: Tensor) -> Tensor:
        channels = image.shape[1]
        return F.conv_transpose2d(image, self._depthwise(channels), stride=2, padding=1, groups=channels)

    def _depthwise(self, channels: int) -> Tensor:
        return self.smooth.expand(channels, 1, *self.smooth.shape)


def require_packages() -> None:
    """Raise if a package that the export needs is absent.

    Raises
    ------
    MissingError
    """
    for name in PACKAGES:
        _package(name)


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise MissingError(f"The export needs the package {name}.", "pip install 'usgan[onnx]'") from None


def export_onnx(
    document: GeneratorDocument, generator: Generator, path: Path, *, noise: str = "const"
) -> dict[str, Any]:
    """Write a generator to `path` as an ONNX model, once onnxruntime has made the generator's own images with it.

    Inputs: `z` float32 [batch, z_dim], standard normal; `c` float32 [batch, c_dim], one-hot;
    `truncation` float32 [], 0 to 1. Output: `image` float32 [batch, C, H, W], about in [-1, 1]. What it is, its
    classes and its use stand in the model's metadata.

    Parameters
    ----------
    document : GeneratorDocument
    generator : Generator
        On the CPU.
    path : Path
    noise : {"const", "none"}

    Returns
    -------
    dict
        What is worth knowing of it: opset, digest of the generator, the greatest difference seen, and so on.

    Raises
    ------
    MissingError
        A package is absent.
    DisagreementError
        The model's images differ from the generator's by more than `TOLERANCE`; nothing is written.
    """
    onnx = _package("onnx")
    model = _exported(generator, noise)
    about: dict[str, Any] = {
        "name": document.name,
        "generator": document.content_digest(),
        "classes": document.classes,
        "resolution": generator.architecture.resolution,
        "channels": generator.architecture.img_channels,
        "noise": noise,
    }
    told = {key: value if isinstance(value, str) else json.dumps(value) for key, value in about.items()}
    onnx.helper.set_model_props(model, {**told, "usage": USAGE})
    data = model.SerializeToString()
    greatest = greatest_difference(data, generator, noise)
    # Written so that a difference that is not a number is refused too.
    if not greatest <= TOLERANCE:
        raise DisagreementError(
            f"The model's pixels differ from the generator's by up to {greatest:.3g}; {TOLERANCE:g} is allowed.",
            "Try other versions of torch, onnxscript and onnxruntime: pip install --upgrade 'usgan[onnx]'",
        )
    path.write_bytes(data)
    return {**about, "opset": OPSET, "max_difference": greatest, "tolerance": TOLERANCE, "bytes": len(data)}


def _exported(generator: Generator, noise: str) -> Any:
    """Return the model that torch's exporter makes, without traces of the machine that made it."""
    _package("onnxscript")
    shape = generator.architecture
    example = (torch.zeros(2, shape.z_dim), torch.zeros(2, shape.c_dim), torch.ones([]))
    free = {0: "batch"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations; the result is checked
        program = torch.onnx.export(
            PlainGenerator(generator, noise).eval(),
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=["z", "c", "truncation"],
            output_names=["image"],
            dynamic_shapes=(free, free, {}),
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise DisagreementError("torch's exporter returned no model.")
    model: Any = program.model_proto
    model.producer_name, model.producer_version = "usgan", __version__
    del model.metadata_props[:]
    for part in [*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info]:
        del part.metadata_props[:]
        part.doc_string = ""
    return model


@torch.no_grad()
def greatest_difference(model: bytes, generator: Generator, noise: str) -> float:
    """Return the greatest difference between pixels that onnxruntime and the generator make of the same inputs.

    Parameters
    ----------
    model : bytes
        An ONNX model, as `export_onnx` writes it.
    generator : Generator
    noise : {"const", "none"}
    """
    session = _package("onnxruntime").InferenceSession(model, providers=["CPUExecutionProvider"])
    c_dim = generator.architecture.c_dim
    z = latents(CHECK_SEEDS, generator.architecture.z_dim)
    c = F.one_hot(torch.arange(len(z)) % max(c_dim, 1), max(c_dim, 1))[:, :c_dim].float()
    greatest = 0.0
    for psi in CHECK_TRUNCATIONS:
        ours = generator(z, c, truncation_psi=psi, noise=noise).numpy()
        # Two sizes of batch, so that a size frozen by the export shows.
        for size in (1, len(z)):
            given = {"z": z[:size].numpy(), "c": c[:size].numpy(), "truncation": np.array(psi, dtype=np.float32)}
            (theirs,) = session.run(["image"], given)
            greatest = float(np.maximum(greatest, np.abs(theirs - ours[:size]).max()))
    return greatest
