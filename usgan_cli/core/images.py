"""Images in and out: decoding, resizing, PNG files, sheets, and the one conversion between pixels and floats.

Arrays of pixels are uint8 of shape [N, C, H, W]; floats are in [-1, 1].
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from usgan_cli.core import files
from usgan_cli.core.errors import DataError

if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8]
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


def decode(path: Path, channels: Literal[1, 3] = 1) -> Pixels:
    """Decode an image file to pixels of shape [C, H, W].

    Colour becomes gray by ITU-R 601 luma, as Pillow does; 16-bit and float images are scaled from their own
    type's full range (16-bit) or from [0, 1] (float); EXIF rotation is applied; transparency is ignored.

    Raises
    ------
    DataError
        The file is not an image that can be decoded.
    """
    try:
        with Image.open(path) as opened:
            image: Image.Image = ImageOps.exif_transpose(opened)
            image.load()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be decoded as an image: {error}.") from None
    if image.mode in {"I;16", "I;16B", "I;16L", "I", "F"}:
        scale = 255.0 if image.mode == "F" else 255.0 / 65535.0
        values = np.asarray(image, dtype=np.float64) * scale
        image = Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"), dtype=np.uint8)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def resize(pixels: Pixels, size: int) -> Pixels:
    """Stretch pixels of shape [C, H, W] to [C, size, size] with Pillow's antialiased Lanczos filter."""
    if pixels.shape[1:] == (size, size):
        return pixels
    planes = [Image.fromarray(plane).resize((size, size), Image.Resampling.LANCZOS) for plane in pixels]
    return np.stack([np.asarray(plane, dtype=np.uint8) for plane in planes])


def encode_png(pixels: Pixels) -> bytes:
    """Return pixels of shape [C, H, W] (C of 1 or 3) as a PNG file's bytes; the same pixels give the same bytes."""
    array = pixels[0] if pixels.shape[0] == 1 else pixels.transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def write_png(path: Path, pixels: Pixels) -> str:
    """Write pixels of shape [C, H, W] as a PNG file, whole or not at all; return the file's SHA-256."""
    data = encode_png(pixels)
    files.write_bytes(path, data)
    return files.sha256_bytes(data)


def read_checked(path: Path, sha256: str, channels: int) -> Pixels:
    """Read a PNG file that a manifest lists, and check that it is still the same.

    Raises
    ------
    DataError
        The file is absent or its bytes have changed.
    """
    try:
        data = path.read_bytes()
    except OSError:
        raise DataError(f"{path} is listed in its manifest but cannot be read.") from None
    if files.sha256_bytes(data) != sha256:
        raise DataError(f"{path} has changed since its manifest was written.", "Make the folder again with --force.")
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"), dtype=np.uint8)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def to_float(pixels: torch.Tensor) -> torch.Tensor:
    """Map uint8 pixels to float32 in [-1, 1]: x / 127.5 - 1."""
    return pixels.float() / 127.5 - 1


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """Map floats in [-1, 1] to uint8 pixels: round(x * 127.5 + 128), clamped to [0, 255]."""
    import torch

    return (images.float() * 127.5 + 128).round().clamp(0, 255).to(torch.uint8)


def sheet(rows: Sequence[Sequence[Pixels]], gap: int = 2, background: int = 255) -> Pixels:
    """Lay out images of one size, shape [C, H, W] each, in rows; short rows are filled with background."""
    channels, height, width = rows[0][0].shape
    columns = max(len(row) for row in rows)
    canvas = np.full((channels, len(rows) * (height + gap) - gap, columns * (width + gap) - gap), background, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            canvas[:, top : top + height, left : left + width] = image
    return canvas
