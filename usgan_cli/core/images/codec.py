"""One image in and out: decoding, resizing, PNG files, sheets, and the conversion between pixels and floats.

Pixels are uint8 arrays of shape [C, H, W]; floats are in [-1, 1].
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from usgan_cli.core.errors import DamagedError, DataError, UndecodableError
from usgan_cli.core.images import deep
from usgan_cli.core.images.deep import Bits, Deep
from usgan_cli.core.store import files
from usgan_cli.core.store.remedy import remedy

if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8]
IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm", ".pnm", ".jp2"}
)

Fit = Literal["stretch", "pad", "crop"]

MAX_PIXELS = 89_478_485
"""Pillow's limit, above which it suspects a decompression bomb."""

COLOUR_SPREAD = 16
"""Difference between a pixel's channels, in levels, above which it is colour and not a tint or compression noise."""


@dataclass(frozen=True)
class Picture:
    """A decoded image at its own size."""

    pixels: Pixels
    coloured: bool
    """Whether the red, green and blue of some pixel in the file differ by more than `COLOUR_SPREAD` levels."""


def decode(path: Path, channels: Literal[1, 3] = 1) -> Pixels:
    """Decode an image file to pixels of shape [C, H, W] (see `read_picture`)."""
    return read_picture(path, channels).pixels


def read_picture(path: Path, channels: Literal[1, 3] = 1) -> Picture:
    """Decode an image file (see `decode_bytes`); an error names the file."""
    try:
        return decode_bytes(path.read_bytes(), channels)
    except (OSError, UndecodableError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.reason
        raise DataError(f"{path} cannot be decoded as an image: {reason}.") from None


def decode_bytes(data: bytes, channels: Literal[1, 3] = 1, frame: int = 0, bits: Bits | None = None) -> Picture:
    """Decode the bytes of an image file.

    Colour becomes gray by ITU-R 601 luma, as Pillow does; numbers of more than 8 bits are scaled from the range that
    `bits` gives, or from the bits that this image uses itself; EXIF rotation is applied; transparency is laid on black,
    as the surroundings of an ultrasound image are. `frame` is the page of a TIFF file, from 0. A broken image, one of
    more than `MAX_PIXELS` and numbers of unknown scale are an `UndecodableError`.
    """
    with _opened(data, frame) as image:
        numbers = deep.read_deep(image, data, frame)
        return to_picture(deep.of_few_bits(image, bits) if numbers is None else numbers.to_image(bits), channels)


def read_deep(data: bytes, frame: int = 0) -> Deep | None:
    """Return the numbers of an image file that holds more than 8 bits, None where it does not.

    Raises `UndecodableError` as `decode_bytes` does.
    """
    with _opened(data, frame) as image:
        return deep.read_deep(image, data, frame)


@contextmanager
def _opened(data: bytes, frame: int) -> Iterator[Image.Image]:
    """Yield the loaded image of a file, in the rotation that its EXIF data say."""
    if not data:
        raise UndecodableError("the file is empty")
    try:
        with Image.open(io.BytesIO(data)) as opened:
            check_size(opened.width, opened.height)
            if frame:
                opened.seek(frame)
                check_size(opened.width, opened.height)
            opened.load()
            ImageOps.exif_transpose(opened, in_place=True)
            yield opened
    except UndecodableError:
        raise
    except UnidentifiedImageError:
        kind = "a TIFF file of a kind that cannot be read" if data[:2] in {b"II", b"MM"} else "not a known image format"
        raise UndecodableError(f"its content is {kind}") from None
    except Image.DecompressionBombError:
        raise UndecodableError(f"more than {MAX_PIXELS} pixels") from None
    except Exception:  # parsers raise anything on damaged files
        raise UndecodableError("truncated, damaged or of an unknown kind") from None


def count_frames(data: bytes) -> int:
    """Return the number of pages in a TIFF file's bytes; 1 for anything else."""
    try:
        with Image.open(io.BytesIO(data), formats=["TIFF"]) as opened:
            return int(getattr(opened, "n_frames", 1))
    except Exception:  # `decode_bytes` will report it
        return 1


def check_size(width: int, height: int) -> None:
    """Raise `UndecodableError` for an image too large to decode: a bomb, or a slide that needs another tool."""
    if width * height > MAX_PIXELS:
        raise UndecodableError(f"{width} x {height} pixels are more than {MAX_PIXELS}")


def to_picture(image: Image.Image, channels: Literal[1, 3]) -> Picture:
    """Return an 8-bit Pillow image of any mode as a picture with that many channels."""
    if image.mode in {"1", "L"} and "transparency" not in image.info:
        gray = np.asarray(image if image.mode == "L" else image.convert("L"), dtype=np.uint8)[None]
        return Picture(gray if channels == 1 else np.repeat(gray, 3, axis=0), coloured=False)
    rgb = _on_black(image) if image.has_transparency_data else image.convert("RGB")
    red, green, blue = rgb.split()
    pairs = ((red, green), (green, blue), (red, blue))
    spread = max(int(np.asarray(ImageChops.difference(*pair)).max()) for pair in pairs)
    if channels == 1:
        pixels = np.asarray(rgb.convert("L"), dtype=np.uint8)[None]
    else:
        pixels = np.ascontiguousarray(np.asarray(rgb, dtype=np.uint8).transpose(2, 0, 1))
    return Picture(pixels, coloured=spread > COLOUR_SPREAD)


def _on_black(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    if np.asarray(rgba.getchannel("A")).min() == 255:
        return rgba.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")


def fit(pixels: Pixels, size: int | tuple[int, int], mode: Fit = "stretch") -> Pixels:
    """Bring pixels of shape [C, H, W] to a square or to (rows, columns) with Pillow's antialiased Lanczos filter.

    "stretch" changes proportions; "pad" keeps them and centres the whole image on black; "crop" keeps them and takes
    the largest part of the new proportions in the middle.
    """
    rows, columns = (size, size) if isinstance(size, int) else size
    height, width = pixels.shape[1:]
    if mode == "pad":
        upright = height * columns >= width * rows
        inner = (
            rows if upright else max(1, round(height * columns / width)),
            columns if not upright else max(1, round(width * rows / height)),
        )
        top, left = (rows - inner[0]) // 2, (columns - inner[1]) // 2
        canvas = np.zeros((len(pixels), rows, columns), dtype=np.uint8)
        canvas[:, top : top + inner[0], left : left + inner[1]] = _resample(pixels, *inner)
        return canvas
    if mode == "crop":
        tall = min(height, max(1, round(width * rows / columns)))
        wide = min(width, max(1, round(height * columns / rows)))
        top, left = (height - tall) // 2, (width - wide) // 2
        pixels = pixels[:, top : top + tall, left : left + wide]
    return _resample(pixels, rows, columns)


def _resample(pixels: Pixels, rows: int, columns: int) -> Pixels:
    if pixels.shape[1:] == (rows, columns):
        return pixels
    planes = [Image.fromarray(plane).resize((columns, rows), Image.Resampling.LANCZOS) for plane in pixels]
    return np.stack([np.asarray(plane, dtype=np.uint8) for plane in planes])


def encode_png(pixels: Pixels) -> bytes:
    """Return pixels of shape [C, H, W], C of 1 or 3, as a PNG file's bytes; equal pixels give equal bytes."""
    array = pixels[0] if pixels.shape[0] == 1 else pixels.transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def write_png(path: Path, pixels: Pixels) -> str:
    """Write pixels of shape [C, H, W] as a PNG file, whole or not at all; return its SHA-256."""
    data = encode_png(pixels)
    files.write_bytes(path, data)
    return files.sha256_bytes(data)


def decode_png(data: bytes, channels: int) -> Pixels:
    """Return the pixels [C, H, W] of a PNG file that `encode_png` made."""
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"), dtype=np.uint8)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def read_checked(path: Path, sha256: str, channels: int) -> Pixels:
    """Read a PNG file that a manifest lists, and check its digest."""
    try:
        data = files.read_bytes(path)
    except FileNotFoundError:
        raise DamagedError(f"{path} is listed in its manifest but is missing.", remedy(path)) from None
    if files.sha256_bytes(data) != sha256:
        raise DamagedError(f"{path} has changed since its manifest was written.", remedy(path))
    return decode_png(data, channels)


def to_float(pixels: torch.Tensor) -> torch.Tensor:
    """Map uint8 pixels to float32 in [-1, 1]: x / 127.5 - 1."""
    return pixels.float() / 127.5 - 1


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """Map floats in [-1, 1] to uint8 pixels: round(x * 127.5 + 128), clamped to [0, 255]."""
    return (images.float() * 127.5 + 128).round().clamp(0, 255).byte()


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
