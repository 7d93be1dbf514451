"""Options of `usgan export`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from usgan_cli.commands.common import NamedGan, StepOptions
from usgan_cli.core.options import option, technical


class Export(NamedGan, StepOptions):
    """Write a generator as an ONNX model: inputs z, c (one-hot class) and truncation, any batch size, float32.

    onnxruntime must make the generator's own images with it, to 0.001 of pixels in -1 to 1, or nothing is written.
    """

    COMMAND = "export"

    onnx: Path = technical("ONNX model to write.", metavar="FILE.onnx")
    noise: Literal["const", "none"] = option(
        "const (the network's own planes, the same for every image) or none.", default="const"
    )
