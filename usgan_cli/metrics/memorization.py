"""Does a generator store its training images?

For every generated image the nearest training image and the nearest held-out real image are found, in a network's
features and in aligned pixels. What is near is told by real images: a distance counts as close when it is not above
the 1st percentile of the distances of held-out real images, which nobody can have copied, to their nearest training
image. Of a generator that has learned the distribution, about one image in a hundred is that close; the verdict asks
for a fifth less than that distance, which real images hardly ever fall below and copies do.

Smooth images are near to everything: among pixels a blurred image of anything would count as a copy. So distances in
pixels are relative, as in Carlini et al., "Extracting training data from diffusion models" (2023): the distance to the
nearest image over the mean distance to the next ten.

Authenticity: Alaa et al., "How faithful is your synthetic data?" (2022), section 3.3: an image is authentic unless it
lies closer to its nearest training image than that one's own nearest neighbour in the training set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from usgan_cli.core.errors import DataError
from usgan_cli.core.formats.score import Copying, Memorization, NearestPair
from usgan_cli.core.images.codec import Pixels, resize, sheet
from usgan_cli.metrics.features import Embedded
from usgan_cli.metrics.prdc import Matrix, euclidean

PERCENTILE = 1.0
COPYING_SHARE = 0.05
CHANCE = 0.001
MARGIN = 0.8
"""Share of the 1st percentile within which an image counts for the verdict."""

ROUNDING = 1e-4
"""Distances this small, beside a usual one, are 0."""

NEXT = 10
"""Further images that a distance in pixels is relative to."""

THUMBNAIL = 32
"""Pixels a side at which images are aligned: coarse enough that speckle and noise do not hide a copy."""

SHIFT = 2
"""Largest shift searched, in pixels of the thumbnail, along each axis."""

SHEET_PAIRS = 10
Verdict = Literal["none", "some", "copies"]
VERDICTS: tuple[Verdict, ...] = ("none", "some", "copies")


@dataclass(frozen=True)
class Nearest:
    """The nearest real image of every image.

    Attributes
    ----------
    index : int64 array [N]
    distance : float64 array [N]
    """

    index: NDArray[np.int64]
    distance: NDArray[np.float64]


@dataclass(frozen=True)
class Closeness:
    """How close generated images come to one set of real images, beside how close other real images come to it.

    Attributes
    ----------
    threshold : float
        1st percentile of the other real images' distances to their nearest in the set.
    share : float
        Share of generated images whose nearest lies within the threshold.
    expected : float
        The same share of the other real images: 0.01, or more where they are few or equally close.
    clear : float
        Share of generated images whose nearest lies within four fifths of the threshold.
    clear_expected : float
        The same share of the other real images.
    count : int
        Number of generated images.
    """

    threshold: float
    share: float
    expected: float
    clear: float
    clear_expected: float
    count: int

    @property
    def verdict(self) -> Verdict:
        """Whether so many images clearly within the threshold are chance, more than that, or a habit.

        "some": of an expected 1 % (or the real images' share, if larger) chance gives as many or more in fewer than one
        of 1000 samples (binomial); "copies": moreover they are at least 5 % of the images.
        """
        found = round(self.clear * self.count)
        expected = max(self.clear_expected, PERCENTILE / 100)
        if float(stats.binom.sf(found - 1, self.count, expected)) >= CHANCE:
            return "none"
        return "copies" if self.clear >= COPYING_SHARE else "some"


def nearest_by_features(images: NDArray[np.floating], real: NDArray[np.floating]) -> Nearest:
    """Return the nearest real image of every image, from features [N, D] and [M, D], by Euclidean distance."""
    return _nearest(euclidean(images, real.copy()))


def nearest_by_pixels(images: Pixels, real: Pixels) -> Nearest:
    """Return the nearest real image of every image by the relative distance of aligned thumbnails.

    Both are reduced to 32 pixels a side. An image's middle is compared with every place up to 2 pixels away in the
    real image and in its mirror image; each window is scaled to mean 0 and length 1, so brightness and contrast do not
    matter. The distance is the length of the difference of the two windows, over the mean of those to the ten next
    nearest: 0 for a copy, and at most 1.

    Parameters
    ----------
    images : uint8 array [N, C, H, W]
    real : uint8 array [M, C, H, W]
        At least two.
    """
    wanted = _windows(_thumbnails(images), places=[(SHIFT, SHIFT)])[0]
    small = _thumbnails(real)
    every = [(top, left) for top in range(2 * SHIFT + 1) for left in range(2 * SHIFT + 1)]
    best = np.full((len(images), len(real)), -1.0, dtype=np.float32)
    for version in (small, small[..., ::-1]):
        for window in _windows(version, every):
            np.maximum(best, wanted @ window.T, out=best)
    distances = np.sqrt(np.maximum(2 - 2 * best.astype(np.float64), 0))
    last = min(NEXT + 1, len(real))
    others = np.sort(np.partition(distances, last - 1, axis=1)[:, :last], axis=1)[:, 1:].mean(axis=1)
    found = _nearest(distances)
    return Nearest(found.index, found.distance / np.maximum(others, np.finfo(np.float64).tiny))


def closeness(generated: Nearest, other_real: Nearest) -> Closeness:
    """Compare generated images' distances to their nearest in a set with those of other real images to theirs.

    Raises
    ------
    DataError
        There are no other real images to compare with.
    """
    if not len(other_real.distance):
        raise DataError("Whether generated images are copies is told by other real images; there are none.")
    threshold = float(np.percentile(other_real.distance, PERCENTILE, method="lower"))
    # Where real images are copies themselves, the threshold is 0 but for rounding.
    clear = MARGIN * threshold + ROUNDING * float(np.median(other_real.distance))
    return Closeness(
        threshold=threshold,
        share=float((generated.distance <= threshold).mean()),
        expected=float((other_real.distance <= threshold).mean()),
        clear=float((generated.distance <= clear).mean()),
        clear_expected=float((other_real.distance <= clear).mean()),
        count=len(generated.distance),
    )


def authenticity(images: NDArray[np.floating], train: NDArray[np.floating]) -> float:
    """Return the share of images that are not closer to their nearest training image than another training image is.

    Parameters
    ----------
    images : float array [N, D]
        Features.
    train : float array [M, D]
        Features of the training images, at least two.

    Returns
    -------
    float
        0 for copies; a little over a half for another sample of the training images' distribution.
    """
    if len(train) < 2:
        raise DataError("Authenticity needs at least two training images.")
    own = euclidean(train, train)
    np.fill_diagonal(own, np.inf)
    found = nearest_by_features(images, train)
    return float((found.distance > own.min(axis=1)[found.index]).mean())


@dataclass(frozen=True)
class Suspects:
    """What was found, and the pairs to look at.

    Attributes
    ----------
    record : Memorization
    sheet : uint8 array [C, H, W]
        The closest pairs: generated images above, their nearest training images below.
    distances : dict
        By "features" and "pixels": the generated images' distances to their nearest training image, the held-out test
        images' to theirs, and the threshold.
    """

    record: Memorization
    sheet: Pixels
    distances: dict[str, tuple[NDArray[np.float64], NDArray[np.float64], float]]


def look_for_copies(generated: Embedded, train: Embedded, test: Embedded) -> Suspects:
    """Compare generated images with the training images and with the held-out test images.

    Parameters
    ----------
    generated, train, test : Embedded
        Features are of one extractor, images of one size.
    """
    features = {
        "train": nearest_by_features(generated.features, train.features),
        "test": nearest_by_features(generated.features, test.features),
        "test to train": nearest_by_features(test.features, train.features),
        "train to test": nearest_by_features(train.features, test.features),
    }
    made, seen, held_out = (found.images.pixels for found in (generated, train, test))
    pixels = {
        "train": nearest_by_pixels(made, seen),
        "test": nearest_by_pixels(made, held_out),
        "test to train": nearest_by_pixels(held_out, seen),
        "train to test": nearest_by_pixels(seen, held_out),
    }
    both = {"features": features, "pixels": pixels}
    train_close = {how: closeness(found["train"], found["test to train"]) for how, found in both.items()}
    test_close = {how: closeness(found["test"], found["train to test"]) for how, found in both.items()}
    authentic = authenticity(generated.features, train.features)
    closest = _closest(features["train"], pixels["train"], train_close)
    record = Memorization(
        train_name=train.images.name,
        train_count=len(train),
        test_count=len(test),
        train_features=_record(train_close["features"]),
        train_pixels=_record(train_close["pixels"]),
        test_features=_record(test_close["features"]),
        test_pixels=_record(test_close["pixels"]),
        authenticity=authentic,
        authenticity_test=authenticity(test.features, train.features),
        verdict=max((found.verdict for found in (*train_close.values(), *test_close.values())), key=VERDICTS.index),
        words=_words(train_close, test_close, authentic),
        closest=[
            NearestPair(
                generated=generated.images.files[i],
                train=train.images.files[both[how]["train"].index[i]],
                nearest_by=how,
                distance=float(both[how]["train"].distance[i]),
            )
            for i, how in closest
        ],
    )
    rows = [
        [made[i] for i, _ in closest],
        [seen[both[how]["train"].index[i]] for i, how in closest],
    ]
    distances = {
        how: (found["train"].distance, found["test to train"].distance, train_close[how].threshold)
        for how, found in both.items()
    }
    return Suspects(record, sheet(rows), distances)


def _closest(
    features: Nearest, pixels: Nearest, thresholds: dict[str, Closeness]
) -> list[tuple[int, Literal["features", "pixels"]]]:
    """Return the generated images that are closest to a training image for what is usual, and by which measure."""
    by_features = features.distance / max(thresholds["features"].threshold, np.finfo(np.float64).tiny)
    by_pixels = pixels.distance / max(thresholds["pixels"].threshold, np.finfo(np.float64).tiny)
    order = np.argsort(np.minimum(by_features, by_pixels), kind="stable")[:SHEET_PAIRS]
    return [(int(i), "features" if by_features[i] <= by_pixels[i] else "pixels") for i in order]


def _record(found: Closeness) -> Copying:
    return Copying(
        threshold=found.threshold,
        share=found.share,
        expected=found.expected,
        clear=found.clear,
        verdict=found.verdict,
    )


def _words(train: dict[str, Closeness], test: dict[str, Closeness], authentic: float) -> str:
    """Return the verdict with its threshold."""
    named = {"training": train, "test": test}
    worst = {name: max((c.verdict for c in found.values()), key=VERDICTS.index) for name, found in named.items()}
    said = []
    for name, verdict in worst.items():
        if verdict == "copies":
            said.append(f"The generator copies {name} images.")
        elif verdict == "some":
            said.append(f"Some generated images may be copies of {name} images: look at the closest pairs.")
    if not said:
        said.append("No sign that the generator copies training or test images.")
    for name, found in named.items():
        shares = " and ".join(f"{100 * c.share:.3g} % by {how}" for how, c in found.items())
        clear = " and ".join(f"{100 * c.clear:.3g} %" for c in found.values())
        said.append(
            f"Of {found['features'].count} generated images {shares} lie as close to a {name} image as the closest "
            f"{PERCENTILE:g} % of other real images do, {clear} within {MARGIN:g} of that distance."
        )
    said.append(
        f"It is called copying when {100 * COPYING_SHARE:g} % or more lie within {MARGIN:g} of it by either measure "
        f"and chance gives as many in fewer than one of {1 / CHANCE:g} samples. Authentic (further from the nearest "
        f"training image than that one's own nearest): {100 * authentic:.3g} %."
    )
    return " ".join(said)


def _nearest(distances: Matrix) -> Nearest:
    index = distances.argmin(axis=1)
    return Nearest(index, distances[np.arange(len(distances)), index])


def _thumbnails(images: Pixels) -> NDArray[np.float32]:
    size = min(THUMBNAIL, *images.shape[2:])
    return np.stack([resize(image, size) for image in images]).astype(np.float32)


def _windows(thumbnails: NDArray[np.float32], places: list[tuple[int, int]]) -> list[NDArray[np.float32]]:
    """Return the windows [N, F] at some places (top, left), each scaled to mean 0 and length 1."""
    size = thumbnails.shape[2] - 2 * SHIFT
    found = []
    for top, left in places:
        window = thumbnails[:, :, top : top + size, left : left + size].reshape(len(thumbnails), -1)
        window = window - window.mean(axis=1, keepdims=True)
        found.append(window / np.maximum(np.linalg.norm(window, axis=1, keepdims=True), 1e-6))
    return found
