"""Numbers of more than 8 bits: read whole from every carrier, and scaled by the bits that are really used."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from usgan_cli.core.errors import UndecodableError
from usgan_cli.core.images import codec, deep
from usgan_cli.core.images.deep import Bits, Deep, fixed_bits

TWELVE = np.arange(0, 4096, 17, dtype=np.uint16)[:240].reshape(12, 20)
"""Gray values 0, 17 ... 4063: of 12 bits, level v / 4095 * 255."""


def measured(data: bytes) -> tuple[str, int] | None:
    """Return carrier and bits of a file with more than 8."""
    numbers = codec.read_deep(data)
    return numbers and (numbers.carrier, numbers.used())


def png(values: np.ndarray) -> bytes:
    """Return a PNG file of 16 bits, written by hand: gray, gray and alpha, RGB or RGBA, by the number of channels."""
    height, width, channels = (*values.shape, 1)[:3]
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(values: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def levels(values: np.ndarray, bits: int) -> np.ndarray:
    return np.rint(values / (2**bits - 1) * 255).clip(0, 255).astype(np.uint8)


RGB = np.stack([TWELVE, TWELVE[::-1], TWELVE[:, ::-1]], axis=-1)
OPAQUE = np.full_like(TWELVE, 65535)


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (png(TWELVE), TWELVE),
        (png(np.dstack([TWELVE, OPAQUE])), TWELVE),
        (png(RGB), RGB),
        (png(np.dstack([RGB, OPAQUE])), RGB),
        (tiff(TWELVE), TWELVE),
        (tiff(TWELVE, byteorder=">"), TWELVE),
        (tiff(TWELVE, compression="zlib"), TWELVE),
        (tiff(TWELVE, tile=(16, 16)), TWELVE),
        (tiff(TWELVE.astype(np.int16)), TWELVE),
        (tiff(TWELVE.astype(np.int32)), TWELVE),
        (tiff(TWELVE.astype(np.float32)), TWELVE),
        (tiff(RGB, photometric="rgb"), RGB),
        (tiff(RGB, photometric="rgb", byteorder=">"), RGB),
        (tiff(RGB, photometric="rgb", compression="zlib"), RGB),
        (tiff(RGB, photometric="rgb", compression="zlib", byteorder=">"), RGB),
        (tiff(np.dstack([RGB, OPAQUE]), photometric="rgb", extrasamples=["unassalpha"]), RGB),
    ],
)
def test_every_carrier_is_read_whole_and_scaled_by_the_bits_used(data: bytes, values: np.ndarray) -> None:
    planes = np.stack([values] * 3) if values.ndim == 2 else values.transpose(2, 0, 1)
    carrier, used = measured(data) or ("none", 0)
    assert used == 12
    np.testing.assert_array_equal(codec.decode_bytes(data, 3).pixels, levels(planes, 12))
    # Together with images that use 14 bits, and where the user says 16.
    bits = Bits({carrier: 14})  # type: ignore[dict-item]
    np.testing.assert_array_equal(codec.decode_bytes(data, 3, bits=bits).pixels, levels(planes, 14))
    np.testing.assert_array_equal(codec.decode_bytes(data, 3, bits=fixed_bits(16)).pixels, levels(planes, 16))


@pytest.mark.parametrize(("top", "used"), [(3, 8), (255, 8), (256, 9), (1023, 10), (4095, 12), (4096, 13), (65535, 16)])
def test_the_bits_used_are_those_of_the_largest_number(top: int, used: int) -> None:
    values = np.array([[0, top // 2, top]], dtype=np.uint16)
    assert measured(png(values)) == measured(tiff(values)) == ("integers", used)


def test_transparency_of_16_bits_is_black() -> None:
    alpha = np.where(np.arange(20) < 10, 0, 65535).astype(np.uint16) * np.ones((12, 1), np.uint16)
    for channels in (TWELVE, RGB):
        data = png(np.dstack([channels, alpha]))
        gray = codec.decode_bytes(data, 3).pixels
        assert (gray[:, :, :10] == 0).all()
        assert gray[:, :, 10:].max() > 200


def test_white_may_be_zero() -> None:
    data = tiff(TWELVE, photometric="miniswhite")
    np.testing.assert_array_equal(codec.decode_bytes(data).pixels[0], 255 - levels(TWELVE, 12))


@pytest.mark.parametrize("top", [255, 65535])
def test_a_tiff_palette_of_16_bits_may_hold_numbers_of_8(top: int) -> None:
    index = np.arange(240, dtype=np.uint8).reshape(12, 20)
    ramp = (np.arange(256) * (top // 255)).astype(np.uint16)
    data = tiff(index, photometric="palette", colormap=np.stack([ramp, ramp // 2, ramp // 4]))
    gray = codec.decode_bytes(data, 3).pixels
    assert np.abs(gray[0].astype(int) - index).max() <= 1
    assert np.abs(gray[1].astype(int) - index // 2).max() <= 1


def test_floats_have_the_range_they_use() -> None:
    ramp = np.linspace(0, 1, 240, dtype=np.float32).reshape(12, 20)
    for top, bits in ((1.0, 1), (1.02, 1), (255.0, 8), (255.4, 8), (4000.0, 12)):
        data = tiff(ramp * np.float32(top))
        assert measured(data) == ("floats", bits)
        np.testing.assert_array_equal(codec.decode_bytes(data).pixels[0], levels(ramp * np.float32(top), bits))
    # A filter's overshoot below 0 is black.
    assert codec.decode_bytes(tiff(ramp * 255 - 3)).pixels.min() == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff(np.full((4, 4), np.nan, np.float32)), "not a number"),
        (tiff(np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)), "negative floats"),
        (tiff(np.full((4, 4), -1, np.int16)), "negative integers"),
        (tiff(RGB.transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate"), "cannot be read"),
        (png(RGB)[:60], "truncated"),
        (tiff(TWELVE.astype(np.float64)), "TIFF file of a kind that cannot be read"),
    ],
)
def test_what_cannot_be_scaled_has_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UndecodableError, match=reason):
        codec.decode_bytes(data)


def test_the_rotation_is_applied_to_deep_colours(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = Image.open(io.BytesIO(png(TWELVE)))
    plain.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(codec.decode(tmp_path / "turned.png")[0], np.rot90(levels(TWELVE, 12), -1))
    chunk = (tmp_path / "turned.png").read_bytes()
    start = chunk.index(b"eXIf") - 4
    whole = png(RGB)
    at = whole.index(b"IDAT") - 4
    end = start + 12 + int.from_bytes(chunk[start : start + 4], "big")
    turned = codec.decode_bytes(whole[:at] + chunk[start:end] + whole[at:], 3).pixels
    np.testing.assert_array_equal(turned, np.rot90(levels(RGB.transpose(2, 0, 1), 12), -1, axes=(1, 2)))


def test_files_of_8_bits_are_scaled_only_where_the_user_says_so() -> None:
    values = np.arange(16, dtype=np.uint8).reshape(4, 4)
    data = codec.encode_png(values[None])
    assert measured(data) is None
    for bits in (None, Bits({"integers": 12}), fixed_bits(8), fixed_bits(16)):
        np.testing.assert_array_equal(codec.decode_bytes(data, bits=bits).pixels[0], values)
    np.testing.assert_array_equal(codec.decode_bytes(data, bits=fixed_bits(4)).pixels[0], values * 17)


def test_images_are_together_as_deep_as_the_deepest() -> None:
    assert deep.together([("integers", 9), ("floats", 1), ("integers", 12), ("integers", 10)]).of == {
        "integers": 12,
        "floats": 1,
    }
    assert deep.together([]).of == {}


def test_signed_numbers_count_from_the_lowest() -> None:
    values = np.array([[-1000, 0, 2047]])
    assert Deep(values, "signed", 16).used() == 12
    assert Deep(np.array([[-2049, 0]]), "signed", 16).used() == 13
    assert np.asarray(Deep(values, "signed", 16).to_image()).tolist() == [[65, 128, 255]]  # (v + 2048) / 4095 * 255


def test_what_may_be_deep_is_seen_by_the_first_bytes() -> None:
    assert deep.may_be_deep(png(TWELVE)[: deep.PNG_HEAD]) and deep.may_be_deep(tiff(TWELVE)[: deep.PNG_HEAD])
    assert not deep.may_be_deep(codec.encode_png(np.zeros((1, 4, 4), np.uint8))[: deep.PNG_HEAD])
    for head in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"BM"):
        assert not deep.may_be_deep(head)
