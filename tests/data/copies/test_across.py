"""Images that are copies of training images are known, by the manifest or by looking, whatever the split did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from configs import prepare_config
from scipy.ndimage import gaussian_filter

from usgan_cli.core.formats.dataset import read_manifest
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.sets import ImageSet, load_split
from usgan_cli.core.progress import Silent
from usgan_cli.data.copies.across import listed_copies, search_copies
from usgan_cli.data.prepare import prepare


def speckle(count: int, seed: int, size: int = 128) -> Pixels:
    rng = np.random.default_rng(seed)
    coarse = gaussian_filter(rng.standard_normal((count, 1, size, size)), (0, 0, 8, 8))
    fine = gaussian_filter(rng.standard_normal((count, 1, size, size)), (0, 0, 1, 1))
    return np.clip(110 + 900 * coarse + 120 * fine, 0, 255).astype(np.uint8)


def a_set(name: str, pixels: Pixels) -> ImageSet:
    rows = np.arange(len(pixels))
    return ImageSet(name, pixels, 0 * rows, ("all",), tuple(f"{name}{i}.png" for i in rows), rows)


def test_copies_are_found_by_looking_exact_and_near() -> None:
    train, test = speckle(20, 1), speckle(12, 2)
    test[0] = train[3]
    test[1] = np.clip(train[4] * 0.9 + 10, 0, 255)
    test[2] = train[5, :, :, ::-1]
    test[11] = test[10]  # copies on one side only
    found = search_copies(a_set("test", test), a_set("train", train), Silent())
    np.testing.assert_array_equal(np.flatnonzero(found), [0, 1, 2])


@pytest.mark.parametrize("policy", ["group", "ignore"])
def test_copies_are_known_from_the_manifest_under_every_policy(tmp_path: Path, policy: str) -> None:
    pixels = speckle(24, 3)
    for i, image in enumerate([*pixels, *pixels[:12]]):
        codec.write_png(tmp_path / "source" / "ab"[i % 2] / f"{i:02d}.png", image)
    config = prepare_config(size=128, test=0.4, split="new", duplicates=policy)
    prepare(config, tmp_path / "source", tmp_path / "data", Silent())
    manifest = read_manifest(tmp_path / "data")
    train, test = load_split(tmp_path / "data", "train"), load_split(tmp_path / "data", "test")
    assert len(manifest.duplicates) == 12
    found = listed_copies(manifest, test, train)
    names = {i.file: int(Path(i.source).stem) % 24 for i in manifest.images}
    expected = [names[file] in {names[other] for other in train.files} for file in test.files]
    np.testing.assert_array_equal(found, expected)
    assert found.any() == (policy == "ignore")
