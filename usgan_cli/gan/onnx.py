"""A generator as an ONNX model that any runtime can use, checked against the original before it is kept.

While an exporter traces them, the networks compute with ordinary operations in place of their own autograd functions.
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
from usgan_cli.gan.networks import Generator
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
OTHER_VERSIONS = "Try other versions of torch, onnxscript and onnxruntime: pip install --upgrade 'usgan[onnx]'"


class DisagreementError(UsganError):
    """The exported model does not make the images that the generator makes."""


class TruncatedGenerator(nn.Module):
    """A generator as the model has it: [z, c, truncation] to images, with one w for all layers."""

    def __init__(self, generator: Generator, noise: str) -> None:
        super().__init__()
        self.generator = generator
        self.noise = noise

    def forward(self, z: Tensor, c: Tensor, truncation: Tensor) -> Tensor:
        """Make images [N, C, H, W], about in [-1, 1], of z [N, z_dim], one-hot c [N, c_dim] and psi [] in [0, 1]."""
        w_avg = self.generator.mapping.w_avg
        ws = w_avg + (self.generator.mapping(z, c) - w_avg) * truncation
        images: Tensor = self.generator.synthesis(ws, self.noise)
        return images


def require_packages() -> None:
    """Raise `MissingError` if a package that the export needs is absent."""
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
    """Write a generator on the CPU to `path` as an ONNX model, if onnxruntime makes the generator's own images with it.

    Inputs: `z` float32 [batch, z_dim], standard normal; `c` float32 [batch, c_dim], one-hot;
    `truncation` float32 [], 0 to 1. Output: `image` float32 [batch, C, H, W], about in [-1, 1]. The model's metadata
    hold its name, classes and use. `noise` is "const" or "none".

    Returns
    -------
    dict
        Facts about the model: opset, digest of the generator, the greatest difference seen, and so on.

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
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in about.items()}
    onnx.helper.set_model_props(model, {**metadata, "usage": USAGE})
    data = model.SerializeToString()
    greatest = greatest_difference(data, generator, noise)
    # Written so that a difference that is not a number is refused too.
    if not greatest <= TOLERANCE:
        raise DisagreementError(
            f"The model's pixels differ from the generator's by up to {greatest:.3g}; {TOLERANCE:g} is allowed.",
            OTHER_VERSIONS,
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
            TruncatedGenerator(generator, noise).eval(),
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
        raise DisagreementError("torch's exporter returned no model.", OTHER_VERSIONS)
    model: Any = program.model_proto
    model.producer_name, model.producer_version = "usgan", __version__
    del model.metadata_props[:]
    for part in [*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info]:
        del part.metadata_props[:]
        part.doc_string = ""
    return model


@torch.no_grad()
def greatest_difference(model: bytes, generator: Generator, noise: str) -> float:
    """Return the greatest difference between pixels that onnxruntime and the generator make of the same inputs."""
    session = _package("onnxruntime").InferenceSession(model, providers=["CPUExecutionProvider"])
    c_dim = generator.architecture.c_dim
    z = latents(CHECK_SEEDS, generator.architecture.z_dim)
    c = F.one_hot(torch.arange(len(z)) % max(c_dim, 1), max(c_dim, 1))[:, :c_dim].float()
    greatest = 0.0
    for psi in CHECK_TRUNCATIONS:
        ours = generator(z, c, truncation_psi=psi, noise=noise).numpy()
        # Two sizes of batch, so that a size frozen by the export shows.
        for size in (1, len(z)):
            inputs = {"z": z[:size].numpy(), "c": c[:size].numpy(), "truncation": np.array(psi, dtype=np.float32)}
            (theirs,) = session.run(["image"], inputs)
            greatest = float(np.maximum(greatest, np.abs(theirs - ours[:size]).max()))
    return greatest
