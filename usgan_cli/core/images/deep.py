"""Gray values of more than 8 bits: what a file holds, how many bits of it are used, and the way to 8 bits.

A carrier of 16 bits often holds numbers of 10 or 12, so its own range says little. The range is that of the bits which
all images of a dataset use together, the same for all of them, or that which the user names.
"""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from usgan_cli.core.errors import UndecodableError

Carrier = Literal["integers", "signed", "floats"]
"""Numbers from 0, two's complement, and floating-point numbers, each with a range of its own."""

PNG_HEAD = 26
"""Bytes of a PNG file that say how deep it is."""
_PNG, _PNG_DEPTH, _PNG_COLOUR = b"\x89PNG\r\n\x1a\n", 24, 25
_GRAY_AND_ALPHA, _RGBA = 4, 6
_MAY_BE_DEEP = (
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"P2",
    b"P3",
    b"P5",
    b"P6",
    b"\0\0\0\x0cjP  ",
    b"\xff\x4f\xff\x51",
)
"""First bytes of TIFF, PNM and JPEG 2000 files."""

_OVERSHOOT = 0.05
"""How far below 0 a filter takes floats, as a share of their maximum; further down, their range is another one."""
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_COLOURS, _WHITE_IS_ZERO = 258, 262, 320, 0


@dataclass(frozen=True)
class Bits:
    """The range of gray values that becomes 0 to 255, the same for all images of a dataset."""

    of: Mapping[Carrier, int]
    """Bits b of each carrier: the range is 0 to 2^b - 1 (1 bit of floats: 0 to 1), or -2^(b - 1) to 2^(b - 1) - 1."""
    fixed: bool = False
    """Whether the user names them: then they hold for files of 8 bits and in place of DICOM's windows too."""


def fixed_bits(count: int) -> Bits:
    """Return the bits that a user names, for every carrier."""
    return Bits({"integers": count, "signed": count, "floats": count}, fixed=True)


@dataclass(frozen=True)
class Deep:
    """The numbers of one image, as its file holds them."""

    values: NDArray[Any]
    """Of shape [H, W], or [H, W, C] with C of 2 (gray and alpha), 3 or 4; alpha has 16 bits."""
    carrier: Carrier
    declared: int
    """Bits that the file says it uses, which are never exceeded."""
    inverted: bool = False
    """Whether small numbers are bright."""

    def used(self) -> int:
        """Return the number of bits that the image's gray values or colours need, at least 8 (floats up to 1: 1)."""
        colours = self._colours()
        low, high = colours.min(), colours.max()
        if self.carrier == "floats":
            # A filter takes numbers meant for 0 to 1 a little above 1.
            return 1 if high < 2 else max(8, int(high).bit_length())
        if self.carrier == "signed":
            return max(8, int(high).bit_length() + 1, int(-min(int(low), -1) - 1).bit_length() + 1)
        return max(8, int(high).bit_length())

    def to_image(self, bits: Bits | None = None) -> Image.Image:
        """Scale to an 8-bit image; without `bits`, from the bits that this image uses itself."""
        count = min(self.declared, (bits.of.get(self.carrier) if bits else None) or self.used())
        low, high = (-(2 ** (count - 1)), 2 ** (count - 1) - 1) if self.carrier == "signed" else (0, 2**count - 1)
        colours = scale(self._colours(), low, high)
        if self.inverted:
            colours = 255 - colours
        if not self._has_alpha():
            return Image.fromarray(colours)
        return Image.fromarray(np.concatenate([colours, scale(self.values[..., -1:], 0, 65535)], axis=2))

    def _has_alpha(self) -> bool:
        return self.values.ndim == 3 and self.values.shape[2] in {2, 4}

    def _colours(self) -> NDArray[Any]:
        return self.values[..., :-1] if self._has_alpha() else self.values


def together(used: Iterable[tuple[Carrier, int]]) -> Bits:
    """Return the bits that many images use together, each given by its carrier and its own."""
    most: dict[Carrier, int] = {}
    for carrier, count in used:
        most[carrier] = max(count, most.get(carrier, 0))
    return Bits(most)


def of_few_bits(image: Image.Image, bits: Bits | None) -> Image.Image:
    """Scale an image of 8 bits where the user says that it uses fewer."""
    count = bits.of["integers"] if bits and bits.fixed else 8
    if count >= 8 or image.mode == "1":
        return image
    plain = image if image.mode in {"L", "LA", "RGB", "RGBA"} else image.convert("RGB")
    brighter = [round(min(1, level / (2**count - 1)) * 255) for level in range(256)]
    same = list(range(256))
    return plain.point([x for band in plain.getbands() for x in (same if band == "A" else brighter)])


def scale(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Map `low` to 0 and `high` to 255."""
    if values.dtype == np.uint8 and (low, high) == (0, 255):
        return values
    if not high > low:
        raise UndecodableError("the range of its gray values is empty")
    share = (values.astype(np.float64) - low) / (high - low)
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)


def may_be_deep(head: bytes) -> bool:
    """Return whether a file with these first `PNG_HEAD` bytes may hold more than 8 bits."""
    return _is_deep_png(head) or head.startswith(_MAY_BE_DEEP)


def _is_deep_png(head: bytes) -> bool:
    return head.startswith(_PNG) and len(head) > _PNG_COLOUR and head[_PNG_DEPTH] == 16


def read_deep(opened: Image.Image, data: bytes, frame: int = 0) -> Deep | None:
    """Return the numbers of a loaded image with its EXIF rotation applied, None where they have 8 bits or fewer.

    `data` are the bytes of its file, and `frame` its page there.
    """
    if opened.format == "PNG" and _is_deep_png(data) and data[_PNG_COLOUR] != 0:
        gray = data[_PNG_COLOUR] == _GRAY_AND_ALPHA
        return _gray_and_alpha(data) if gray else _with_low_bytes(opened, data, frame)
    if opened.format == "TIFF" and opened.mode == "P":
        return _tiff_palette(opened)
    if opened.format == "TIFF" and opened.mode in {"RGB", "RGBA", "CMYK", "LA"}:
        return _with_low_bytes(opened, data, frame) if max(_tag(opened, _TIFF_BITS, (8,))) > 8 else None
    if opened.mode == "F":
        return _floats(np.asarray(opened, dtype=np.float64))
    if not opened.mode.startswith("I"):
        return None
    values = np.asarray(opened).astype(np.int64)
    if values.min() < 0:
        raise UndecodableError("its pixels are negative integers, whose range is unknown")
    white_is_zero = opened.format == "TIFF" and _tag(opened, _TIFF_PHOTOMETRIC, (1,))[0] == _WHITE_IS_ZERO
    return Deep(values, "integers", 16 if values.max() < 2**16 else 32, inverted=white_is_zero)


def _tag(opened: Image.Image, number: int, absent: tuple[int, ...]) -> tuple[int, ...]:
    found = getattr(opened, "tag_v2", {}).get(number, absent)
    return found if isinstance(found, tuple) else (found,)


def _floats(values: NDArray[np.float64]) -> Deep:
    if not np.isfinite(values).all():
        raise UndecodableError("its pixels are floats, some of them infinite or not a number")
    if values.min() < -_OVERSHOOT * max(values.max(), 0):
        raise UndecodableError("its pixels are negative floats, whose range is unknown")
    return Deep(values, "floats", 32)


def _gray_and_alpha(data: bytes) -> Deep:
    """Read a PNG file of 16-bit gray and alpha as one of four 8-bit numbers, whose rows have the same bytes."""
    head = data[12:_PNG_DEPTH] + bytes([8, _RGBA]) + data[_PNG_COLOUR + 1 : 29]
    with Image.open(io.BytesIO(data[:12] + head + zlib.crc32(head).to_bytes(4, "big") + data[33:])) as opened:
        opened.load()
        ImageOps.exif_transpose(opened, in_place=True)
        parts = np.asarray(opened, dtype=np.uint16)
    return Deep((parts[..., ::2] << 8) | parts[..., 1::2], "integers", 16)


def _tiff_palette(opened: Image.Image) -> Deep | None:
    """Look up the colours, which a TIFF file holds in 16 bits and some programs fill with numbers of 8."""
    colours = np.array(_tag(opened, _TIFF_COLOURS, ()), dtype=np.uint16)
    if colours.size == 0 or colours.size % 3 or not (colours % 256).any():
        return None  # Pillow's own reading, of the high bytes alone, is right
    return Deep(colours.reshape(3, -1).T[np.asarray(opened)], "integers", 16)


def _with_low_bytes(opened: Image.Image, data: bytes, frame: int) -> Deep:
    """Read the low bytes of 16-bit colours too, which Pillow passes over, by naming the other order of the bytes."""
    other = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
    again: Any
    with Image.open(io.BytesIO(data)) as again:
        again.seek(frame)
        tiles = []
        for tile in again.tile:
            codec, extents, offset, args = tile
            mode, *more = args if isinstance(args, tuple) else (args,)
            if mode[:-1] not in {"RGB;16", "RGBA;16", "RGBX;16"}:
                raise UndecodableError("its colours have 16 bits in an order that cannot be read")
            mode = mode[:-1] + other[mode[-1]]
            args = (mode, *more) if isinstance(args, tuple) else mode
            tiles.append(tile._replace(args=args) if hasattr(tile, "_replace") else (codec, extents, offset, args))
        again.tile = tiles
        again.load()
        ImageOps.exif_transpose(again, in_place=True)
        low = np.asarray(again, dtype=np.uint16)
    return Deep((np.asarray(opened, dtype=np.uint16) << 8) | low, "integers", 16)
