"""One range of gray values for a whole dataset, from the bits that its files really use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from configs import prepare_config
from PIL import Image
from tiny_data import table, zipped

from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.images import codec
from usgan_cli.core.progress import Silent
from usgan_cli.data.prepare import prepare
from usgan_cli.data.source.contents import SourceOptions
from usgan_cli.data.source.depth import measure_bits
from usgan_cli.data.source.scan import scan


def speckle(seed: int, top: int = 255) -> np.ndarray:
    draws = np.random.default_rng(seed).gamma(1.5, 1, (16, 16))
    return np.round(draws / draws.max() * top)


def source(top: Path, suffix: str, levels: dict[int, int], kind: type = np.uint16) -> Path:
    """Write two classes of images; `levels` says how bright the brightest pixel of each number is."""
    for c, class_ in enumerate("ab"):
        for i, level in levels.items():
            path = top / class_ / f"{i}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            values = speckle(100 * c + i, level).astype(kind)
            if suffix == ".tif":
                tifffile.imwrite(path, values)
            else:
                Image.fromarray(values).save(path)
    return top


def made(found: Path, tmp_path: Path, **reading: object) -> tuple[DataManifest, dict[str, int], Silent]:
    """Prepare a source; return its manifest, the brightest pixel of each image, and what was reported."""
    progress = Silent()
    config = prepare_config(16, 1, 4, reading=SourceOptions(**reading))  # type: ignore[arg-type]
    target = tmp_path / f"data{len(list(tmp_path.iterdir()))}"
    manifest = prepare(config, found, target, progress)
    return manifest, {i.source: int(codec.decode(target / i.file).max()) for i in manifest.images}, progress


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_depth_is_that_of_all_images_together(tmp_path: Path, suffix: str) -> None:
    found = source(tmp_path / "s", suffix, {0: 4000, 1: 2000, 2: 1000, 3: 255})
    listed = table(tmp_path / "t.csv", "path,label", [(f"s/{c}/{i}{suffix}", c) for c in "ab" for i in range(4)])
    for form in (found, zipped(found, tmp_path / "s.zip", inside="top/"), listed):
        manifest, brightest, progress = made(form, tmp_path)
        assert manifest.bits == {"integers": 12}
        # 4000, 2000, 1000 and 255 of 4095: one scale for all, so that they stay comparable.
        assert [level for name, level in brightest.items() if "a/" in name] == [249, 125, 62, 16]
        assert any("from 0 to 4095 (12 bits)" in note and "--bits" in note for note in progress.notes)
        assert progress.warnings == []


@pytest.mark.parametrize(
    ("kind", "level", "carrier", "bits"),
    [
        (np.uint16, 1023, "integers", 10),
        (np.int16, 16383, "integers", 14),
        (np.int32, 100000, "integers", 17),
        (np.float32, 255, "floats", 8),
        (np.float32, 1, "floats", 1),
        (np.float32, 4095, "floats", 12),
    ],
)
def test_tiff_files_of_every_number(tmp_path: Path, kind: type, level: int, carrier: str, bits: int) -> None:
    found = source(tmp_path / "s", ".tif", dict.fromkeys(range(4), level), kind)
    manifest, brightest, progress = made(found, tmp_path)
    assert manifest.bits == {carrier: bits}
    assert min(brightest.values()) > 180
    assert progress.warnings == []


def test_files_of_8_bits_stay_as_they_are_beside_deep_ones(tmp_path: Path) -> None:
    found = source(tmp_path / "s", ".png", {0: 4095, 1: 4095})
    source(found, ".bmp", {2: 200, 3: 90}, np.uint8)
    manifest, brightest, _ = made(found, tmp_path)
    assert manifest.bits == {"integers": 12}
    assert [brightest[f"a/{i}"] for i in ("0.png", "1.png", "2.bmp", "3.bmp")] == [255, 255, 200, 90]


def test_ordinary_datasets_record_nothing(tmp_path: Path) -> None:
    manifest, _, progress = made(source(tmp_path / "s", ".png", dict.fromkeys(range(4), 255), np.uint8), tmp_path)
    assert manifest.bits == {} and "bits" not in manifest.to_json()
    assert not any("bits" in note for note in progress.notes)


def test_the_user_may_fix_the_bits(tmp_path: Path) -> None:
    found = source(tmp_path / "s", ".png", dict.fromkeys(range(4), 4095))
    manifest, brightest, progress = made(found, tmp_path, bits=16)
    assert manifest.bits == {"integers": 16, "signed": 16, "floats": 16}
    assert set(brightest.values()) == {16}
    assert any("All images are dark: none has a gray level above 16 of 255" in words for words in progress.warnings)
    assert "--bits" in progress.warnings[-1]
    assert set(made(found, tmp_path, bits=13)[1].values()) == {127}  # 4095 / 8191 * 255 = 127.48
    assert set(made(found, tmp_path, bits=10)[1].values()) == {255}


@pytest.mark.parametrize(("level", "bits"), [(15, 4), (20, 5), (25, 5)])
def test_dark_files_of_8_bits_are_warned_of_and_can_be_scaled(tmp_path: Path, level: int, bits: int) -> None:
    found = source(tmp_path / "s", ".png", {0: level, 1: level // 2, 2: level, 3: 3}, np.uint8)
    _, brightest, progress = made(found, tmp_path)
    assert max(brightest.values()) == level
    assert any("All images are dark" in words for words in progress.warnings)
    _, brightest, progress = made(found, tmp_path, bits=bits)
    assert max(brightest.values()) == round(level / (2**bits - 1) * 255)
    assert not any("dark" in words for words in progress.warnings)


def test_one_bright_image_is_enough(tmp_path: Path) -> None:
    found = source(tmp_path / "s", ".png", {0: 15, 1: 15, 2: 15, 3: 26}, np.uint8)
    assert not any("dark" in words for words in made(found, tmp_path)[2].warnings)


def test_broken_files_count_for_nothing(tmp_path: Path) -> None:
    found = source(tmp_path / "s", ".png", dict.fromkeys(range(4), 1023))
    whole = (found / "a" / "0.png").read_bytes()
    (found / "a" / "broken.png").write_bytes(whole[: len(whole) // 2])
    assert measure_bits(scan(found)).of == {"integers": 10}
    assert measure_bits(scan(found), workers=1).of == {"integers": 10}


@pytest.mark.parametrize(
    ("name", "colours"),
    [
        ("{}_tumor", [0, 65535]),
        ("{}_tumor", [65535]),
        ("{}_tumor", [0, 30000, 65535]),
        ("outline of {}", [0, 65535]),
    ],
)
def test_masks_by_content_do_not_widen_the_range(tmp_path: Path, name: str, colours: list[int]) -> None:
    found = source(tmp_path / "s", ".png", dict.fromkeys(range(4), 4095))
    for path in sorted(found.rglob("*.png")):
        mask = np.resize(np.array(colours, np.uint16), (16, 16))
        Image.fromarray(mask).save(path.with_stem(name.format(path.stem)))
    manifest, brightest, progress = made(found, tmp_path)
    assert manifest.bits == {"integers": 12}
    assert list(brightest.values()) == [255] * 8
    assert not any("dark" in words for words in progress.warnings)


def test_images_of_two_values_alone_count(tmp_path: Path) -> None:
    for class_ in "ab":
        (tmp_path / "s" / class_).mkdir(parents=True)
        for i in range(4):
            values = np.random.default_rng(i + 10 * (class_ == "b")).choice(np.array([0, 1023], np.uint16), (16, 16))
            Image.fromarray(values).save(tmp_path / "s" / class_ / f"{i}.png")
    assert measure_bits(scan(tmp_path / "s")).of == {"integers": 10}
