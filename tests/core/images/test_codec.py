"""Images of every kind decode as Pillow would have them, and pixels survive the way to floats and back."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from usgan_cli.core.errors import DataError
from usgan_cli.core.images import codec
from usgan_cli.core.store import files

COLOURS = np.array(
    [
        [[255, 0, 0], [0, 255, 0], [0, 0, 255]],
        [[255, 255, 255], [0, 0, 0], [200, 100, 50]],
    ],
    dtype=np.uint8,
)
# ITU-R BT.601 luma 0.299 R + 0.587 G + 0.114 B, rounded, by hand.
LUMA = [[76, 150, 29], [255, 0, 124]]


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_colour_becomes_luma_as_in_pillow(tmp_path: Path) -> None:
    path = save(Image.fromarray(COLOURS), tmp_path / "colour.png")
    gray = codec.decode(path)
    assert (gray.shape, gray.dtype) == ((1, 2, 3), np.uint8)
    assert gray[0].tolist() == LUMA
    everything = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(Image.fromarray(everything), tmp_path / "more.png")
    np.testing.assert_array_equal(codec.decode(path)[0], np.asarray(Image.open(path).convert("L")))


def test_colour_is_kept_where_it_is_wanted(tmp_path: Path) -> None:
    path = save(Image.fromarray(COLOURS), tmp_path / "colour.png")
    np.testing.assert_array_equal(codec.decode(path, 3), COLOURS.transpose(2, 0, 1))
    gray = save(Image.fromarray(COLOURS[..., 0]), tmp_path / "gray.png")
    np.testing.assert_array_equal(codec.decode(gray, 3), np.stack([COLOURS[..., 0]] * 3))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".PNG", ".gif", ".pgm", ".pnm", ".jp2"])
def test_gray_of_8_bits_is_exact(tmp_path: Path, suffix: str) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = save(Image.fromarray(values), tmp_path / f"gray{suffix}")
    np.testing.assert_array_equal(codec.decode(path), values[None])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_webp_is_read(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(COLOURS).resize((24, 16), 0).convert(mode)
    path = save(image, tmp_path / "one.webp", lossless=True)
    np.testing.assert_array_equal(codec.decode(path)[0], np.asarray(image.convert("RGB").convert("L")))
    assert path.suffix in codec.IMAGE_SUFFIXES
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError):
        codec.decode(path)


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    bits = np.array([[0, 1, 1], [1, 0, 1]], dtype=bool)
    for suffix in ("png", "tif", "bmp"):
        path = save(Image.fromarray(bits), tmp_path / f"bits.{suffix}")
        assert Image.open(path).mode == "1"
        np.testing.assert_array_equal(codec.decode(path), np.where(bits, 255, 0)[None])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_scaled_from_their_full_range(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 128, 129, 257], [32768, 65535, 65407, 25700]], dtype=np.uint16)
    path = save(Image.fromarray(values), tmp_path / f"deep.{suffix}")
    # v * 255 / 65535 = v / 257, rounded; a clipping or wrapping cast gives 255 or v % 256.
    assert codec.decode(path)[0].tolist() == [[0, 0, 1, 1], [128, 255, 255, 100]]
    np.testing.assert_array_equal(codec.decode(path, 3)[2], codec.decode(path)[0])


def test_floats_are_scaled_from_zero_to_one(tmp_path: Path) -> None:
    values = np.array([[0.0, 0.5, 1.0], [0.1, 0.8, 0.2]], dtype=np.float32)
    path = save(Image.fromarray(values), tmp_path / "float.tif")
    assert codec.decode(path)[0].tolist() == [[0, 128, 255], [26, 204, 51]]
    for wild in (-3.0, float("nan"), float("inf")):
        values[0, 0] = wild
        path = save(Image.fromarray(values), tmp_path / "wild.tif")
        with pytest.raises(DataError, match="floats"):
            codec.decode(path)


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    indexed = Image.fromarray(np.array([[0, 1, 2], [3, 4, 5]], dtype=np.uint8), mode="P")
    indexed.putpalette(COLOURS.reshape(-1).tolist())
    path = save(indexed, tmp_path / "palette.png")
    assert Image.open(path).mode == "P"
    assert codec.decode(path)[0].tolist() == LUMA
    np.testing.assert_array_equal(codec.decode(path, 3), COLOURS.transpose(2, 0, 1))
    path = save(indexed, tmp_path / "transparent.png", transparency=1)
    assert codec.decode(path)[0].tolist() == [[LUMA[0][0], 0, LUMA[0][2]], LUMA[1]]


def test_transparency_is_black(tmp_path: Path) -> None:
    alpha = np.array([[0, 255, 255], [0, 255, 128]], dtype=np.uint8)
    path = save(Image.fromarray(np.dstack([COLOURS, alpha])), tmp_path / "rgba.png")
    assert Image.open(path).mode == "RGBA"
    np.testing.assert_allclose(codec.decode(path)[0], np.array(LUMA) * (alpha / 255), atol=1)
    path = save(Image.fromarray(np.dstack([COLOURS[..., 0], alpha])), tmp_path / "la.png")
    assert Image.open(path).mode == "LA"
    np.testing.assert_allclose(codec.decode(path)[0], COLOURS[..., 0] * (alpha / 255), atol=1)


@pytest.mark.parametrize("suffix", ["tif", "jpg"])
def test_cmyk_decodes_to_its_luma(tmp_path: Path, suffix: str) -> None:
    path = save(Image.fromarray(COLOURS).resize((24, 16), 0).convert("CMYK"), tmp_path / f"cmyk.{suffix}")
    with Image.open(path) as opened:
        assert opened.mode == "CMYK"
        expected = np.asarray(opened.convert("L"))
    np.testing.assert_array_equal(codec.decode(path)[0], expected)
    # White is white: an inverted CMYK would be black. JPEG is lossy, hence the margin.
    np.testing.assert_allclose(codec.decode(path)[0, ::8, ::8], LUMA, atol=0 if suffix == "tif" else 40)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, [[1, 2, 3], [4, 5, 6]]),
        (2, [[3, 2, 1], [6, 5, 4]]),
        (3, [[6, 5, 4], [3, 2, 1]]),
        (4, [[4, 5, 6], [1, 2, 3]]),
        (6, [[4, 1], [5, 2], [6, 3]]),
        (8, [[3, 6], [2, 5], [1, 4]]),
    ],
)
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, expected: list[list[int]]) -> None:
    image = Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(image, tmp_path / "turned.png", exif=exif)
    assert codec.decode(path)[0].tolist() == expected


def test_what_is_not_an_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("version https://git-lfs.github.com/spec/v1")
    (tmp_path / "empty.png").write_bytes(b"")
    whole = codec.encode_png(np.random.default_rng(0).integers(0, 256, (1, 32, 32), dtype=np.uint8))
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    for name in ("text.png", "empty.png", "cut.png", "absent.png"):
        with pytest.raises(DataError, match=rf"{name} cannot be decoded"):
            codec.decode(tmp_path / name)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_damaged_files_decode_or_are_named(tmp_path: Path, suffix: str) -> None:
    draws = random.Random(0)
    whole = save(Image.fromarray(COLOURS).resize((20, 20)), tmp_path / f"whole.{suffix}").read_bytes()
    path = tmp_path / f"damaged.{suffix}"
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(draws.randint(1, 8)):
            data[draws.randrange(min(len(data), 300))] = draws.randrange(256)
        path.write_bytes(data[: draws.randint(len(data) // 2, len(data))])
        try:
            assert codec.decode(path).dtype == np.uint8
        except DataError:
            refused += 1
    assert refused > 10


def test_resizing_keeps_the_size_asked_for_and_flat_images_flat() -> None:
    flat = np.full((3, 40, 25), 77, dtype=np.uint8)
    assert codec.fit(flat, 16).shape == (3, 16, 16)
    assert (codec.fit(flat, 16) == 77).all()
    same = np.random.default_rng(0).integers(0, 256, (1, 16, 16), dtype=np.uint8)
    np.testing.assert_array_equal(codec.fit(same, 16), same)


def test_other_proportions_are_stretched_padded_or_cropped() -> None:
    tall = np.full((1, 40, 20), 200, np.uint8)
    tall[:, :10] = 100
    wanted = (20, 30)
    assert codec.fit(tall, wanted).shape == (1, 20, 30)
    padded = codec.fit(tall, wanted, "pad")[0]  # 20 x 10 in the middle
    assert (padded[:, :10] == 0).all() and (padded[:, 20:] == 0).all() and (padded[10:, 10:20] == 200).all()
    cropped = codec.fit(tall, wanted, "crop")[0]  # the middle 13 of 40 rows
    assert (cropped == 200).all()
    wide = tall.transpose(0, 2, 1)
    np.testing.assert_array_equal(codec.fit(wide, wanted[::-1], "pad")[0], padded.T)
    np.testing.assert_array_equal(codec.fit(wide, wanted[::-1], "crop")[0], cropped.T)


def test_resizing_is_antialiased() -> None:
    # Stripes finer than the new grid: their mean. Picking every fourth pixel would give 0 or 255.
    stripes = np.zeros((1, 64, 64), dtype=np.uint8)
    stripes[:, :, ::2] = 255
    assert np.abs(codec.fit(stripes, 16)[0, :, 2:-2].astype(int) - 127).max() <= 8


@settings(max_examples=25, deadline=None)
@given(npst.arrays(np.uint8, st.tuples(st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9))))
def test_png_is_lossless_and_the_same_pixels_give_the_same_bytes(pixels: codec.Pixels) -> None:
    import io

    data = codec.encode_png(pixels)
    assert codec.encode_png(pixels.copy()) == data
    assert codec.encode_png(np.asfortranarray(pixels)) == data
    array = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(array[None] if pixels.shape[0] == 1 else array.transpose(2, 0, 1), pixels)


def test_a_written_file_is_checked_when_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    path = tmp_path / "deep" / "a.png"
    digest = codec.write_png(path, pixels)
    assert digest == files.sha256_file(path)
    np.testing.assert_array_equal(codec.read_checked(path, digest, 3), pixels)
    gray = codec.read_checked(path, digest, 1)
    np.testing.assert_array_equal(gray[0], np.asarray(Image.open(path).convert("L")))
    codec.write_png(path, 255 - pixels)
    with pytest.raises(DataError, match=r"a\.png has changed since its manifest was written"):
        codec.read_checked(path, digest, 3)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.png is listed in its manifest but is missing"):
        codec.read_checked(path, digest, 3)


def test_all_gray_levels_survive_the_way_to_floats_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    floats = codec.to_float(levels)
    assert (float(floats.min()), float(floats.max())) == (-1.0, 1.0)
    assert floats.dtype == torch.float32
    assert floats.flatten()[51] == pytest.approx(51 / 127.5 - 1)
    back = codec.to_pixels(floats)
    # Real images enter as x / 127.5 - 1, generated ones leave as round(x * 127.5 + 128): half a level apart, so
    # a level comes back as itself or as its neighbour above.
    assert back.dtype == torch.uint8
    assert int((back.int() - levels.int()).abs().max()) <= 1
    # The ends are exact, and nothing is out of order.
    assert (int(back.flatten()[0]), int(back.flatten()[255])) == (0, 255)
    assert (back.flatten().int().diff() >= 0).all()


def test_pixels_are_rounded_and_clamped_not_wrapped() -> None:
    # By the formula: 0 -> 128, 1.2 -> 281 -> 255, -1.2 -> -25 -> 0, 0.0118 -> 129.5045 -> 130 (truncation: 129).
    values = torch.tensor([0.0, 1.2, -1.2, 0.0118, 1.0, -1.0])
    assert codec.to_pixels(values).tolist() == [128, 255, 0, 130, 255, 0]
    assert codec.to_pixels(values.bfloat16())[0] == 128


def test_a_sheet_has_its_images_in_their_places() -> None:
    one, two, three = (np.full((1, 2, 3), value, dtype=np.uint8) for value in (10, 20, 30))
    sheet = codec.sheet([[one, two], [three]], gap=1, background=99)
    assert sheet[0].tolist() == [
        [10, 10, 10, 99, 20, 20, 20],
        [10, 10, 10, 99, 20, 20, 20],
        [99, 99, 99, 99, 99, 99, 99],
        [30, 30, 30, 99, 99, 99, 99],
        [30, 30, 30, 99, 99, 99, 99],
    ]
    colour = codec.sheet([[np.zeros((3, 4, 4), np.uint8)] * 3] * 2)
    assert colour.shape == (3, 2 * 4 + 2, 3 * 4 + 2 * 2)
