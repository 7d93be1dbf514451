"""Does a generator store its training images?

For every generated image the nearest training image and the nearest held-out real image are found, in a network's
features and in aligned pixels. Real images define what is near: a distance counts as close when it is at most the 1st
percentile of the distances of held-out real images, which nobody can have copied, to their nearest training image. Of a
generator that has learned the distribution, about one image in a hundred is that close; the verdict asks for a fifth
less than that distance, which real images hardly ever fall below and copies do.

Held-out images that are copies of training images would make copying look normal: as few as three among 280 bring the
1st percentile to the distance of a copy, and a disguised copy lies further away than an exact one. So they are left
out of all of it, and counted.

Smooth images are near to everything: in pixels any blurred image would count as a copy. So distances in pixels are
relative, as in Carlini et al., "Extracting training data from diffusion models" (2023): the distance to the
nearest image over the mean distance to the next ten.

Authenticity: Alaa et al., "How faithful is your synthetic data?" (2022), section 3.3: an image is authentic unless it
lies closer to its nearest training image than that one's own nearest neighbour in the training set.

`scripts/bench/copycat.py` plants copies in disguise and counts false alarms.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from usgan_cli.core.errors import DataError
from usgan_cli.core.formats.score import COPIES_FOUND, NEARER, Copying, Memorization, NearestPair
from usgan_cli.core.images.codec import Pixels, fit, sheet
from usgan_cli.core.text import plural
from usgan_cli.metrics.features import Embedded, Features
from usgan_cli.metrics.prdc import Matrix, euclidean
from usgan_cli.metrics.three_sample import c_t

PERCENTILE = 1.0
COPYING_SHARE = 0.05
CHANCE = 0.001
MARGIN = 0.8
"""Share of the 1st percentile within which an image counts for the verdict."""

ROUNDING = 1e-4
"""Distances this small, compared with the median one, are 0."""

NEXT = 10
"""Further images that a distance in pixels is relative to."""

THUMBNAIL = 32
"""Pixels a side at which images are aligned: coarse enough that speckle and noise do not hide a copy."""

SHIFT = 2
"""Largest shift searched, in pixels of the thumbnail, along each axis."""

SHEET_PAIRS = 10
Measure = Literal["features", "pixels"]
Verdict = Literal["none", "some", "copies"]
VERDICTS: tuple[Verdict, ...] = ("none", "some", "copies")


@dataclass(frozen=True)
class Nearest:
    """Index [N] and distance [N] of the nearest real image of every image."""

    index: NDArray[np.int64]
    distance: NDArray[np.float64]


def feature_distances(images: NDArray[np.floating], real: NDArray[np.floating]) -> Matrix:
    """Return the Euclidean distances [N, M] between features [N, D] and [M, D]."""
    return euclidean(images, real.copy())


def pixel_distances(images: Pixels, real: Pixels) -> Matrix:
    """Return the distances [N, M] of images [N, C, H, W] to real ones [M, C, H, W] after alignment.

    Both are reduced to 32 pixels a side. An image's middle is compared with every place up to 2 pixels away in the
    real image and in its mirror image; each window is scaled to mean 0 and length 1, so brightness and contrast do not
    matter. The distance is the length of the difference of the two windows.
    """
    middle = _windows(_thumbnails(images), places=[(SHIFT, SHIFT)])[0]
    small = _thumbnails(real)
    every = [(top, left) for top in range(2 * SHIFT + 1) for left in range(2 * SHIFT + 1)]
    best = np.full((len(images), len(real)), -1.0, dtype=np.float32)
    for version in (small, small[..., ::-1]):
        for window in _windows(version, every):
            np.maximum(best, middle @ window.T, out=best)
    return np.asarray(np.sqrt(np.maximum(2 - 2 * best.astype(np.float64), 0)))


def nearest_by_features(distances: Matrix) -> Nearest:
    """Return the nearest real image of every image, from distances [N, M] between features."""
    index = distances.argmin(axis=1)
    return Nearest(index, distances[np.arange(len(distances)), index])


def nearest_by_pixels(distances: Matrix) -> Nearest:
    """Return the nearest real image of every image, from distances [N, M] between pixels to at least two real images.

    The distance is relative to the mean of those to the ten next nearest: 0 for a copy, and at most 1.
    """
    last = min(NEXT + 1, distances.shape[1])
    others = np.sort(np.partition(distances, last - 1, axis=1)[:, :last], axis=1)[:, 1:].mean(axis=1)
    nearest = nearest_by_features(distances)
    return Nearest(nearest.index, nearest.distance / np.maximum(others, np.finfo(np.float64).tiny))


def closeness(generated: Nearest, other_real: Nearest) -> Copying:
    """Compare generated images' distances to their nearest in a set with those of other real images to theirs."""
    if not len(other_real.distance):
        raise DataError("Only a comparison with other real images shows copies; there are no other real images.")
    threshold = float(np.percentile(other_real.distance, PERCENTILE, method="lower"))
    # Where real images are copies themselves, the threshold is 0 up to rounding.
    margin = MARGIN * threshold + ROUNDING * float(np.median(other_real.distance))
    clear, clear_expected = (float((near.distance <= margin).mean()) for near in (generated, other_real))
    return Copying(
        threshold=threshold,
        share=float((generated.distance <= threshold).mean()),
        expected=float((other_real.distance <= threshold).mean()),
        clear=clear,
        verdict=judge(clear, clear_expected, len(generated.distance)),
    )


def judge(clear: float, expected: float, count: int) -> Verdict:
    """Return whether chance explains the share of `count` images that lie clearly within the threshold ("none").

    "some": of the `expected` share of real images (at least 1 %) chance gives as many or more in fewer than one of 1000
    samples (binomial); "copies": moreover they are at least 5 % of the images.
    """
    if float(stats.binom.sf(round(clear * count) - 1, count, max(expected, PERCENTILE / 100))) >= CHANCE:
        return "none"
    return "copies" if clear >= COPYING_SHARE else "some"


def authenticity(images: NDArray[np.floating], train: NDArray[np.floating]) -> float:
    """Return the share of images that are not closer to their nearest training image than another training image is.

    From features [N, D] of the images and [M, D] of at least two training images: 0 for copies; a little over a half
    for another sample of the training images' distribution.
    """
    if len(train) < 2:
        raise DataError("Authenticity needs at least two training images.")
    own = euclidean(train, train)
    np.fill_diagonal(own, np.inf)
    nearest = nearest_by_features(feature_distances(images, train))
    return float((nearest.distance > own.min(axis=1)[nearest.index]).mean())


@dataclass(frozen=True)
class Suspects:
    """The verdict on copies, and the pairs to look at."""

    record: Memorization
    sheet: Pixels
    """The closest pairs: generated images above, their nearest training images below."""
    distances: dict[str, tuple[NDArray[np.float64], NDArray[np.float64], float]]
    """By "features" and "pixels": the generated images' distances to their nearest training image, the held-out test
    images' to theirs, and the threshold."""


def nearest_among(real: Embedded, features: Features, pixels: Pixels) -> dict[Measure, Nearest]:
    """Return the nearest real image of every image, whose features [N, D] and pixels [N, C, H, W] are given."""
    return {
        "features": nearest_by_features(feature_distances(features, real.features)),
        "pixels": nearest_by_pixels(pixel_distances(pixels, real.images.pixels)),
    }


def look_for_copies(
    generated: Embedded, train: Embedded, test: Embedded, leaked: NDArray[np.bool_] | None
) -> Suspects | None:
    """Compare generated images with the training images and with the held-out test images.

    Features are of one extractor, images of one size. `leaked` [N] says which of the test images are copies of training
    images; None if that is not known. Returns None where fewer than two other test images remain.
    """
    left_out = 0 if leaked is None else int(leaked.sum())
    if leaked is not None:
        test = test.take(np.flatnonzero(~leaked))
    if len(test) < 2:
        return None
    nearest, other_real = (nearest_among(train, one.features, one.images.pixels) for one in (generated, test))
    to_train = closest_by_measure(nearest, other_real)
    to_test = closest_by_measure(*(nearest_among(test, one.features, one.images.pixels) for one in (generated, train)))
    authentic = authenticity(generated.features, train.features)
    shift = c_t(train.features, test.features, generated.features, seed=0)
    pairs = [(i, by, nearest[by]) for i, by in _closest(nearest, to_train)]
    record = Memorization(
        train_name=train.images.name,
        train_count=len(train),
        test_count=len(test),
        left_out=left_out if leaked is not None else None,
        train_features=to_train["features"],
        train_pixels=to_train["pixels"],
        test_features=to_test["features"],
        test_pixels=to_test["pixels"],
        c_t=shift,
        authenticity=authentic,
        authenticity_test=authenticity(test.features, train.features),
        verdict=worst([*to_train.values(), *to_test.values()]),
        words=_words(len(generated), to_train, to_test, authentic, left_out, shift),
        closest=[
            NearestPair(
                generated=generated.images.files[i],
                train=train.images.files[near.index[i]],
                nearest_by=by,
                distance=float(near.distance[i]),
            )
            for i, by, near in pairs
        ],
    )
    rows = [
        [generated.images.pixels[i] for i, _, _ in pairs],
        [train.images.pixels[near.index[i]] for i, _, near in pairs],
    ]
    distances: dict[str, tuple[NDArray[np.float64], NDArray[np.float64], float]] = {
        by: (near.distance, other_real[by].distance, to_train[by].threshold) for by, near in nearest.items()
    }
    return Suspects(record, sheet(rows), distances)


def closest_by_measure(generated: dict[Measure, Nearest], other_real: dict[Measure, Nearest]) -> dict[Measure, Copying]:
    """Return by each measure how close generated images come to a set (see `closeness`)."""
    return {by: closeness(near, other_real[by]) for by, near in generated.items()}


def _closest(nearest: dict[Measure, Nearest], thresholds: dict[Measure, Copying]) -> list[tuple[int, Measure]]:
    """Return the generated images that are closest to a training image relative to the threshold, and by what."""
    with np.errstate(over="ignore"):  # a threshold of 0: any distance is infinitely many of it
        relative = {
            by: near.distance / max(thresholds[by].threshold, np.finfo(np.float64).tiny) for by, near in nearest.items()
        }
    order = np.argsort(np.minimum(relative["features"], relative["pixels"]), kind="stable")[:SHEET_PAIRS]
    return [(int(i), "features" if relative["features"][i] <= relative["pixels"][i] else "pixels") for i in order]


def worst(closenesses: Iterable[Copying]) -> Verdict:
    """Return the worst verdict of some."""
    return max((c.verdict for c in closenesses), key=VERDICTS.index)


def _words(
    count: int,
    to_train: dict[Measure, Copying],
    to_test: dict[Measure, Copying],
    authentic: float,
    left_out: int,
    shift: float | None,
) -> str:
    """Return the verdict on `count` images with its threshold and its limits."""
    by_set = {"training": to_train, "test": to_test}
    sentences = []
    for name, close in by_set.items():
        verdict = worst(close.values())
        if verdict == "copies":
            sentences.append(f"The generator copies {name} images.")
        elif verdict == "some":
            sentences.append(f"Some generated images may be copies of {name} images: look at the closest pairs.")
    if not sentences:
        sentences.append("No sign that the generator copies training or test images.")
    for name, close in by_set.items():
        shares = " and ".join(f"{100 * c.share:.3g} % by {by}" for by, c in close.items())
        clear = " and ".join(f"{100 * c.clear:.3g} %" for c in close.values())
        sentences.append(
            f"Of {count} generated images {shares} lie as close to a {name} image as the closest "
            f"{PERCENTILE:g} % of other real images do, {clear} within {MARGIN:g} of that distance."
        )
    if left_out:
        what = plural(left_out, "test image is", "test images are")
        sentences.append(f"{what} left out, as copies of training images.")
    sentences.append(
        f"It is called copying when {100 * COPYING_SHARE:g} % or more lie within {MARGIN:g} of it by either measure "
        f"and chance gives as many in fewer than one of {1 / CHANCE:g} samples. Authentic (further from the nearest "
        f"training image than that one's own nearest): {100 * authentic:.3g} %. {COPIES_FOUND}"
    )
    if shift is not None:
        where = "nearer to the training images than" if shift < NEARER else "further away from the training images than"
        where = where if abs(shift) > -NEARER else "as far from the training images as"
        sentences.append(f"As a whole the generated images lie {where} test images do (C_T {shift:.1f}).")
    return " ".join(sentences)


def _thumbnails(images: Pixels) -> NDArray[np.float32]:
    size = min(THUMBNAIL, *images.shape[2:])
    return np.stack([fit(image, size) for image in images]).astype(np.float32)


def _windows(thumbnails: NDArray[np.float32], places: list[tuple[int, int]]) -> list[NDArray[np.float32]]:
    """Return the windows [N, F] at some places (top, left), each scaled to mean 0 and length 1."""
    size = thumbnails.shape[2] - 2 * SHIFT
    windows = []
    for top, left in places:
        window = thumbnails[:, :, top : top + size, left : left + size].reshape(len(thumbnails), -1)
        window = window - window.mean(axis=1, keepdims=True)
        windows.append(window / np.maximum(np.linalg.norm(window, axis=1, keepdims=True), 1e-6))
    return windows
