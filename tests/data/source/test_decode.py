"""Decoding every image of a source: hostile files, frames, squares, file names, order."""

from __future__ import annotations

import struct
import time
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from configs import prepare_config
from PIL import Image

from usgan_cli.core.images import codec
from usgan_cli.core.progress import Silent
from usgan_cli.data.prepare import prepare
from usgan_cli.data.source.contents import SourceOptions
from usgan_cli.data.source.decode import UNDECODABLE
from usgan_cli.data.source.names import safe_name, unique_names
from usgan_cli.data.source.threads import ordered_map

SMALL = prepare_config(size=16, test=12)


def test_broken_files_are_left_out(source: Path, tmp_path: Path) -> None:
    (source / "benign" / "benign (3).png").write_bytes(b"not an image")
    whole = (source / "benign" / "benign (4).png").read_bytes()
    (source / "benign" / "benign (4).png").write_bytes(whole[: len(whole) // 2])
    progress = Silent()
    manifest = prepare(SMALL, source, tmp_path / "data", progress)
    assert len(manifest.images) == 28
    assert [(i.source, i.reason) for i in manifest.left_out] == [
        ("benign/benign (3).png", f"{UNDECODABLE}: its content is not a known image format"),
        ("benign/benign (4).png", f"{UNDECODABLE}: truncated, damaged or of an unknown kind"),
    ]
    message = (
        "Left out 2 images that cannot be decoded: benign/benign (3).png (its content is not a known image format), ben"
    )
    assert any(message in warning for warning in progress.warnings)


def test_hostile_files_are_left_out_with_reasons(source: Path, tmp_path: Path) -> None:
    benign = source / "benign"
    (benign / "empty.png").write_bytes(b"")
    (benign / "text [1].png").write_text("hello")
    (benign / "two\nlines.png").write_text("hello")
    (benign / "bomb.png").write_bytes(black_png(30000, 30000))
    (benign / "large.png").write_bytes(black_png(10000, 9000))  # where Pillow only warns
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(benign / "float.tif")
    Image.fromarray(np.full((8, 8), -7, np.int32)).save(benign / "deep.tif")
    progress = Silent()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        manifest = prepare(SMALL, source, tmp_path / "data", progress)
    assert len(manifest.images) == 30
    reasons = {i.source.removeprefix("benign/"): i.reason.removeprefix(f"{UNDECODABLE}: ") for i in manifest.left_out}
    assert reasons == {
        "empty.png": "the file is empty",
        "text [1].png": "its content is not a known image format",
        "two\nlines.png": "its content is not a known image format",
        "bomb.png": f"more than {codec.MAX_PIXELS} pixels",
        "large.png": f"10000 x 9000 pixels are more than {codec.MAX_PIXELS}",
        "float.tif": "its pixels are floats, some of them infinite or not a number",
        "deep.tif": "its pixels are negative integers, whose range is unknown",
    }
    assert len(progress.warnings) == 1
    assert "\n" not in progress.warnings[0]


def black_png(width: int, height: int) -> bytes:
    """Return a PNG file of one bit per pixel, much smaller than what it unpacks to."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width // 8 + 1) * height), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_transparency_lies_on_black(source: Path, tmp_path: Path) -> None:
    hidden = np.full((8, 8, 4), 255, np.uint8)
    hidden[:4, :, 3] = 0
    Image.fromarray(hidden).save(source / "benign" / "rgba.png")
    Image.fromarray(hidden[..., 2:]).save(source / "benign" / "la.png")
    pixels = [codec.decode(source / "benign" / name)[0] for name in ("rgba.png", "la.png")]
    for gray in pixels:
        assert (gray[:4] == 0).all()
        assert (gray[4:] == 255).all()


def test_squares(source: Path, tmp_path: Path) -> None:
    picture = np.full((1, 40, 20), 200, np.uint8)
    picture[0, :10] = 100
    codec.write_png(source / "benign" / "tall.png", picture)
    made = {}
    for how in ("stretch", "pad", "crop"):
        manifest = prepare(prepare_config(16, 1, 12, fit=how), source, tmp_path / how, Silent())  # type: ignore[arg-type]
        assert (manifest.fit, manifest.resampling) == (how, "lanczos")
        made[how] = codec.decode(tmp_path / how / "images" / "benign" / "tall.png")[0]
    assert made["stretch"][0, 0] == 100
    assert made["stretch"][8, 8] == 200
    assert (made["pad"][:, :4] == 0).all()
    assert (made["pad"][:, 12:] == 0).all()
    assert made["pad"][8, 8] == 200
    assert (made["crop"] == 200).all()


def test_pages_of_a_tiff_stay_together(source: Path, tmp_path: Path) -> None:
    pages = [Image.new("L", (20, 20), value) for value in (10, 20, 30)]
    pages[0].save(source / "benign" / "stack.tif", save_all=True, append_images=pages[1:])
    for frames, values in (("first", [10]), ("middle", [20]), ("all", [10, 20, 30])):
        config = prepare_config(16, 1, 12, reading=SourceOptions(frames=frames))  # type: ignore[arg-type]
        manifest = prepare(config, source, tmp_path / frames, Silent())
        found = [image for image in manifest.images if "stack" in image.source]
        assert [codec.decode(tmp_path / frames / i.file).max() for i in found] == values
        assert len({image.group for image in found}) == len({image.split for image in found}) == 1
        assert manifest.frames == frames
    assert [image.source for image in found] == [f"benign/stack.tif#{i}" for i in (1, 2, 3)]
    assert found[1].file == "images/benign/stack-f2.png"


def test_results_come_in_order_and_not_far_ahead() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            drawn.append(i)
            yield i

    def slow(i: int) -> int:
        time.sleep(0.002 * (i % 3))
        return i * i

    results = ordered_map(slow, items(), 3)
    assert [next(results) for _ in range(10)] == [i * i for i in range(10)]
    assert len(drawn) <= 10 + 3 * 4
    assert list(results) == [i * i for i in range(10, 100)]

    def fails(i: int) -> int:
        if i == 5:
            raise ValueError(i)
        return i

    with pytest.raises(ValueError, match="5"):
        list(ordered_map(fails, range(1000), 3))


def test_names_are_safe_and_unique() -> None:
    assert safe_name("benign (12)") == "benign-12"
    assert safe_name("Läsion ../x") == "Lasion-..-x"
    assert safe_name("...") == safe_name("画像") == "image"
    assert unique_names(["a (1)", "a-1", "A 1", "a-1-2"]) == ["a-1", "a-1-2", "A-1-3", "a-1-2-2"]
