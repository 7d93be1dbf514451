"""Masks known by their gray values, and images that only resemble masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from configs import prepare_config
from PIL import Image

from usgan_cli.core.progress import Silent
from usgan_cli.data.prepare import prepare
from usgan_cli.data.source import masks
from usgan_cli.data.source.masks import Look, find_masks, masks_by_content, tones


def speckle(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2, 30, (24, 30)).clip(0, 255).astype(np.uint8)


def outline(seed: int, inside: int = 255) -> np.ndarray:
    mask = np.zeros((24, 30), np.uint8)
    mask[4 + seed % 5 : 15, 6 : 20 + seed % 7] = inside
    return mask


def save(array: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def images_and(tmp_path: Path, name: str, mask: np.ndarray | None = None, count: int = 6) -> Path:
    """Write two classes of images, each with a second file named by `name`, in which {} is the image's own name."""
    for c, class_ in enumerate(("benign", "malignant")):
        for i in range(count):
            save(speckle(100 * c + i), tmp_path / "s" / class_ / f"case{i:03}.png")
            save(outline(i) if mask is None else mask, tmp_path / "s" / class_ / name.format(f"case{i:03}"))
    return tmp_path / "s"


@pytest.mark.parametrize(
    "name",
    [
        *("{}_tumor.png", "{}_other1.png", "{}_lesion.png", "{}-seg.png", "{}.segmentation.png", "{}_GT.png"),
        *("{} ground truth.png", "{}_Annotation.png", "{}_label_2.png", "{}_roi.bmp", "gt_{}.png", "{}.bmp"),
    ],
)
def test_masks_named_after_their_image_are_left_out_and_counted(tmp_path: Path, name: str) -> None:
    progress = Silent()
    manifest = prepare(prepare_config(16, 1, 4), images_and(tmp_path, name), tmp_path / "data", progress)
    assert len(manifest.images) == 12
    assert [item.reason for item in manifest.left_out] == [masks.MASK] * 12
    assert "Left out 12 masks found beside the images." in progress.notes
    assert len(list((tmp_path / "data" / "images").rglob("*.png"))) == 12


@pytest.mark.parametrize("name", ["m{}.png", "{}b.png", "x-{}-9.png"])
def test_two_gray_values_make_a_mask_of_any_name(tmp_path: Path, name: str) -> None:
    progress = Silent()
    manifest = prepare(prepare_config(16, 1, 4), images_and(tmp_path, name), tmp_path / "data", progress)
    assert len(manifest.images) == 12
    assert {item.reason for item in manifest.left_out} == {masks.MASK_BY_CONTENT}
    assert any("12 entries (a mask, by its two gray values)" in warning for warning in progress.warnings)


@pytest.mark.parametrize(
    "mask",
    [
        outline(3, inside=1),
        np.zeros((24, 30), np.uint8),
        np.dstack([outline(2), np.zeros((24, 30, 2), np.uint8)]),
        outline(1) // 3 + outline(4) // 3,
        outline(1) > 0,
        np.kron(outline(1), np.ones((2, 2), np.uint8)),
    ],
    ids=["0 and 1", "empty", "red", "three values", "one bit", "of twice the size"],
)
def test_masks_with_a_name_may_be_painted_in_many_ways(tmp_path: Path, mask: np.ndarray) -> None:
    manifest = prepare(prepare_config(16, 1, 4), images_and(tmp_path, "{}_seg.png", mask), tmp_path / "d", Silent())
    assert len(manifest.images) == 12
    assert {item.reason for item in manifest.left_out} == {masks.MASK}


def test_compressed_masks_with_a_name_are_known(tmp_path: Path) -> None:
    manifest = prepare(prepare_config(16, 1, 4), images_and(tmp_path, "{}_tumor.jpg"), tmp_path / "d", Silent())
    assert len(manifest.images) == 12


@pytest.mark.parametrize("name", ["{}_tumor.png", "{}_seg.png", "{}_label.png", "gt_{}.png"])
def test_images_with_a_masks_name_are_images(tmp_path: Path, name: str) -> None:
    """A crop of the tumour is an image: a word alone proves nothing."""
    for c, class_ in enumerate("ab"):
        for i in range(4):
            save(speckle(100 * c + i), tmp_path / "s" / class_ / f"{i}.png")
            save(speckle(1000 + 100 * c + i), tmp_path / "s" / class_ / name.format(i))
    assert len(prepare(prepare_config(16, 1, 4), tmp_path / "s", tmp_path / "d", Silent()).images) == 16


def test_a_mask_needs_images_beside_it() -> None:
    looks = [Look("a/1.png", (8, 8), "many"), Look("a/2.png", (9, 9), "two"), Look("b/3.png", (8, 8), "two")]
    assert masks_by_content(looks) == {}
    assert masks_by_content([*looks, Look("a/4.png", (8, 8), "two")]) == {3: masks.MASK_BY_CONTENT}
    assert masks_by_content([*looks, Look("a/4.png", (8, 8), "few"), Look("a/5.png", (8, 8), "one")]) == {}


def test_how_many_tones_an_image_has() -> None:
    assert tones(speckle(0)[None]) == "many"
    assert tones(outline(0)[None]) == "two"
    assert tones(np.full((1, 4, 4), 7, np.uint8)) == "one"
    assert tones(np.arange(8, dtype=np.uint8).reshape(1, 2, 4)) == "few"
    soft = outline(0).astype(int)
    soft[0, :9] = np.arange(2, 11)
    assert tones(soft[None].astype(np.uint8)) == "nearly two"
    assert tones(np.stack([outline(0), outline(0) * 0, outline(0) * 0])) == "two"


def test_a_name_without_its_image_is_not_enough() -> None:
    assert find_masks(["a/1_seg.png", "a/mask_3.png", "a/2_tumor.png"]) == ({}, set())
    assert find_masks(["a/1_mask.png"]) == ({"a/1_mask.png": masks.MASK_WITHOUT_IMAGE}, set())
