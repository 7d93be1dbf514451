"""Copies are found after any change made to hide them, and images that only look similar are not called copies."""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from usgan_cli.core.errors import DataError
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.progress import Silent
from usgan_cli.data.copies.across import search_copies
from usgan_cli.metrics.features import Embedded
from usgan_cli.metrics.memorization import (
    Nearest,
    Suspects,
    authenticity,
    closeness,
    feature_distances,
    judge,
    look_for_copies,
    nearest_by_features,
    nearest_by_pixels,
    pixel_distances,
)


def pictures(count: int, seed: int, size: int = 64) -> Pixels:
    """Scenes with coarse and fine structure and speckle, no two equal."""
    rng = np.random.default_rng(seed)
    coarse = gaussian_filter(rng.standard_normal((count, 1, size, size)), (0, 0, 8, 8))
    fine = gaussian_filter(rng.standard_normal((count, 1, size, size)), (0, 0, 2, 2))
    return np.clip(110 + 900 * coarse + 160 * fine + rng.normal(0, 12, coarse.shape), 0, 255).astype(np.uint8)


def embedded(pixels: Pixels, name: str = "x") -> Embedded:
    """With features that an image's blocks have, so that copies have nearly the same."""
    labels, files = np.zeros(len(pixels), dtype=np.int64), tuple(f"{name}{i}.png" for i in range(len(pixels)))
    blocks = pixels.reshape(len(pixels), 1, 8, pixels.shape[2] // 8, 8, pixels.shape[3] // 8).mean(axis=(1, 3, 5))
    found = ImageSet(name, pixels, labels, ("all",), files, np.arange(len(pixels)))
    return Embedded(found, blocks.reshape(len(pixels), -1).astype(np.float32))


def by_pixels(images: Pixels, real: Pixels) -> Nearest:
    return nearest_by_pixels(pixel_distances(images, real))


def look(made: Embedded, train: Embedded, test: Embedded, leaked: NDArray[np.bool_] | None = None) -> Suspects:
    found = look_for_copies(made, train, test, leaked)
    assert found is not None
    return found


TRAIN, TEST, FRESH = pictures(60, 1), pictures(100, 2), pictures(100, 3)


def test_nearest_by_features_is_by_euclidean_distance() -> None:
    real = np.array([[0.0, 0.0], [3.0, 4.0]])
    found = nearest_by_features(feature_distances(np.array([[3.0, 3.5], [0.1, 0.0], [3.0, 4.0]]), real))
    np.testing.assert_array_equal(found.index, [1, 0, 1])
    np.testing.assert_allclose(found.distance, [0.5, 0.1, 0.0], atol=1e-7)


@pytest.mark.parametrize(
    "hide",
    [
        lambda x: x,
        lambda x: x[..., ::-1],
        lambda x: np.roll(x, (4, -3), (2, 3)),
        lambda x: np.roll(x[..., ::-1], 4, 3),
        lambda x: (40 + 0.7 * x).astype(np.uint8),
        lambda x: gaussian_filter(x, (0, 0, 1, 1)),
        lambda x: np.clip(x + np.random.default_rng(0).normal(0, 16, x.shape), 0, 255).astype(np.uint8),
    ],
    ids=["as it is", "mirrored", "shifted", "mirrored and shifted", "brighter", "blurred", "noisy"],
)
def test_hidden_copies_are_found_by_pixels(hide: object) -> None:
    found = by_pixels(hide(TRAIN[:20]), TRAIN)  # type: ignore[operator]
    np.testing.assert_array_equal(found.index, np.arange(20))
    close = closeness(found, by_pixels(TEST, TRAIN))
    assert (close.share, close.clear, close.verdict) == (1, 1, "copies")


@pytest.mark.parametrize("sigma", [0.0, 1.0, 2.0, 4.0])
def test_smooth_images_are_no_copies(sigma: float) -> None:
    """A blurred image is near to everything; what it is not is much nearer to one image than to others."""
    found = by_pixels(gaussian_filter(FRESH, (0, 0, sigma, sigma)), TRAIN)
    close = closeness(found, by_pixels(TEST, TRAIN))
    assert close.verdict == "none"
    assert close.clear < 0.02


def test_real_images_are_no_copies_and_their_mean_is_none(busi_dir: Path) -> None:
    paths = sorted(busi_dir.glob("*/*.png"))[::3]
    every = np.stack([codec.fit(codec.decode(path), 64) for path in paths])
    every = every[np.random.default_rng(0).permutation(len(every))]
    train, test, fresh = every[:100], every[100:180], every[180:]
    null = by_pixels(test, train)
    assert closeness(by_pixels(fresh, train), null).verdict == "none"
    mean = np.repeat(train.mean(axis=0, keepdims=True).astype(np.uint8), 20, axis=0)
    assert closeness(by_pixels(mean, train), null).verdict == "none"


def test_the_threshold_is_the_first_percentile_of_other_real_images() -> None:
    other = Nearest(np.zeros(200, dtype=np.int64), np.arange(1.0, 201.0))
    found = closeness(Nearest(np.zeros(4, dtype=np.int64), np.array([0.5, 2.0, 2.1, 100.0])), other)
    assert (found.threshold, found.share, found.expected, found.clear) == (2, 0.5, 0.01, 0.25)
    with pytest.raises(DataError, match="no other real images"):
        closeness(other, Nearest(np.zeros(0, dtype=np.int64), np.zeros(0)))


def test_the_verdict_asks_for_more_than_chance() -> None:
    def verdict(clear: float, count: int, expected: float = 0.0) -> str:
        return judge(clear, expected, count)

    assert verdict(0.0, 500) == "none"
    assert verdict(8 / 500, 500) == "none"
    assert verdict(20 / 500, 500) == "some"  # four times what chance gives, under 5 %
    assert verdict(25 / 500, 500) == "copies"
    assert verdict(1 / 10, 10) == "none"  # one of ten may be chance
    assert verdict(3 / 10, 10) == "copies"
    assert verdict(0.2, 100, expected=0.2) == "none"  # real images lie as close


def test_authenticity_by_hand() -> None:
    train = np.array([[0.0], [1.0], [10.0]])
    # 0.4 is nearer to 0 than 1 is; 12 is nearer to 10 than 1 is; -2 is further from 0 than 1 is; 22 further than 9.
    assert authenticity(np.array([[0.4], [12.0], [-2.0], [22.0]]), train) == pytest.approx(0.5)
    assert authenticity(train, train) == 0
    with pytest.raises(DataError, match="two training"):
        authenticity(train, train[:1])


@pytest.mark.parametrize("copied", ["training", "test"])
def test_a_generator_that_copies_is_called_out(copied: str) -> None:
    source = TRAIN if copied == "training" else TEST
    made = pictures(60, 5)
    made[::4] = source[:15, :, :, ::-1]  # a quarter of its images
    found = look(embedded(made, "made"), embedded(TRAIN, "train"), embedded(TEST, "test"))
    assert found.record.verdict == "copies"
    assert f"The generator copies {copied} images." in found.record.words
    assert {"training": found.record.train_pixels, "test": found.record.test_pixels}[copied].verdict == "copies"
    assert {"training": found.record.test_pixels, "test": found.record.train_pixels}[copied].verdict == "none"
    if copied == "training":
        assert {pair.generated for pair in found.record.closest} <= {f"made{i}.png" for i in range(0, 60, 4)}
        assert all(int(p.generated[4:-4]) == 4 * int(p.train[5:-4]) for p in found.record.closest)


def test_an_honest_generator_is_not_and_its_closest_pairs_are_shown() -> None:
    found = look(embedded(FRESH, "made"), embedded(TRAIN, "train"), embedded(TEST, "test"))
    record = found.record
    assert record.verdict == "none"
    assert "No sign" in record.words and "5 % or more" in record.words
    assert (record.train_count, record.test_count, len(record.closest)) == (60, 100, 10)
    assert found.sheet.shape == (1, 2 * 64 + 2, 10 * 64 + 9 * 2)
    first = record.closest[0]
    np.testing.assert_array_equal(found.sheet[:, :64, :64], FRESH[int(first.generated[4:-4])])
    np.testing.assert_array_equal(found.sheet[:, 66:, :64], TRAIN[int(first.train[5:-4])])
    assert abs(record.authenticity - record.authenticity_test) < 0.2


def test_images_nearer_to_the_training_images_as_a_whole_are_named_though_none_is_a_copy() -> None:
    near = np.clip(TRAIN + 0.4 * (FRESH[: len(TRAIN)].astype(float) - TRAIN), 0, 255).astype(np.uint8)
    for made, where in ((FRESH, "as far from the training images as"), (near, "nearer to the training images than")):
        record = look(embedded(made, "made"), embedded(TRAIN, "train"), embedded(TEST, "test")).record
        assert f"As a whole the generated images lie {where} test images do (C_T {record.c_t:.1f})." in record.words


def disguised(pixels: Pixels) -> Pixels:
    """Mirrored, moved, blurred and noisy: further from the original than a leaked test image is."""
    moved = gaussian_filter(np.roll(pixels[..., ::-1], (2, -2), (2, 3)), (0, 0, 0.7, 0.7))
    return np.clip(moved + np.random.default_rng(7).normal(0, 10, moved.shape), 0, 255).astype(np.uint8)


def test_copies_across_the_split_hide_no_copies() -> None:
    """Leaked training images among the test images set the threshold to nothing, unless they are left out."""
    test = np.concatenate([TRAIN[:5], TEST])
    leaked = np.arange(len(test)) < 5
    made = np.concatenate([disguised(TRAIN[20:40]), pictures(80, 8)])
    blind = look(embedded(made), embedded(TRAIN), embedded(test))
    found = look(embedded(made), embedded(TRAIN), embedded(test), leaked)
    assert blind.record.train_pixels.verdict == "none", "the trap"
    assert found.record.train_pixels.verdict == "copies"
    assert (found.record.test_count, found.record.left_out, blind.record.left_out) == (100, 5, None)
    assert "5 test images are left out, as copies of training images." in found.record.words
    assert "rotated" in found.record.words, "limits are said where the verdict is"
    assert found.record.test_pixels.verdict == "none", "a copy of a training image is not called one of a test image"


def test_a_test_set_of_copies_allows_no_check() -> None:
    leaked = np.arange(len(TRAIN)) > 0
    assert look_for_copies(embedded(FRESH), embedded(TRAIN), embedded(TRAIN), leaked) is None


DISGUISES = runpy.run_path(str(Path(__file__).resolve().parents[2] / "scripts" / "bench" / "copycat.py"))["DISGUISES"]


@dataclass(frozen=True)
class Divided:
    """Training images, test images with disguised copies of five of these, images in neither; known leaks."""

    train: Pixels
    test: Pixels
    fresh: Pixels
    leaked: NDArray[np.bool_]


@pytest.fixture(scope="module")
def divided(busi_dir: Path) -> Divided:
    paths = sorted(busi_dir.glob("*/*.png"))[::3]
    large = np.stack([codec.fit(codec.decode(path), 128) for path in paths])
    large = large[np.random.default_rng(0).permutation(len(large))]
    planted = np.stack([DISGUISES["several"](image, np.random.default_rng(i)) for i, image in enumerate(large[:5])])
    sides = {"train": large[:80], "test": np.concatenate([planted, large[80:170]]), "fresh": large[170:]}
    train, test, fresh = (embedded(pixels, name).images for name, pixels in sides.items())
    leaked = search_copies(test, train, Silent()) | (np.arange(len(test)) < 5)
    seen = embedded(np.concatenate([train.pixels, test.pixels]), "seen").images
    copies = search_copies(fresh, seen, Silent())
    return Divided(train.pixels, test.pixels, fresh.pixels[~copies], leaked)


@pytest.mark.parametrize("disguise", [*DISGUISES, "honest"])
def test_a_tenth_of_copies_in_disguise_is_found_and_honest_images_are_not(divided: Divided, disguise: str) -> None:
    made = divided.fresh
    if disguise != "honest":
        chosen = [DISGUISES[disguise](image, np.random.default_rng(i)) for i, image in enumerate(divided.train[-10:])]
        made = np.concatenate([np.stack(chosen), made[: 9 * len(chosen)]])
    found = look(embedded(made), embedded(divided.train), embedded(divided.test), divided.leaked)
    assert divided.leaked.sum() > 5, "copies of the dataset itself, beside those planted"
    assert found.record.verdict == ("none" if disguise == "honest" else "copies")
