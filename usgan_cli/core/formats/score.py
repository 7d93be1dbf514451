"""Formats of results: scores, classifiers with their predictions, and comparisons.

Every record says what was measured against what, and how, so that two of them can be refused a place in one
table when their settings differ.
"""

from __future__ import annotations

from typing import Literal

from usgan_cli.core.formats.measured import Measured
from usgan_cli.core.store.document import Document, Part


class ScoreSettings(Part):
    """What must be equal for two scores to stand in one table."""

    extractor: str
    """Name of the feature extractor with the digest of its weights."""
    reference: str
    """Content digest of the real test images."""
    reference_count: int
    count: int
    """Number of generated images."""
    js_bins: int
    js_log_base: float
    """Base of the logarithm; 2.718... is the natural one."""
    ssim_pairs: int
    """Random pairs behind a mean SSIM; each class has an equal part of as many again."""
    ms_ssim_pairs: int
    """The same for MS-SSIM."""
    kid_subsets: int
    """Random subsets over which KID is averaged."""
    precision_k: int
    """Neighbours within a ball of precision and recall."""
    density_k: int
    """Neighbours within a ball of density and coverage."""
    repeats: int
    """Draws of half of the images behind every interval."""
    seed: int


class SetScores(Part):
    """Every number for some images against real ones; None where there are too few images, or they are too small."""

    reference_count: int
    """Number of real images compared with."""
    count: int
    fd: float
    """Fréchet distance of all images; called FID only where the extractor is the FID Inception network."""
    fd_spread: Measured
    """Over draws of half of both sets; biased upward by the smaller number, so it tells the spread alone."""
    kid: float | None
    """Kernel distance (polynomial kernel of degree 3, unbiased, so it may be below 0); KID with that network alone."""
    kid_subset_size: int | None
    """Images in each of its subsets: as many as both sets hold, at most 1000."""
    precision: float | None
    """Share of the images that lie among the real ones."""
    recall: float | None
    """Share of the real images that lie among these."""
    density: float | None
    coverage: float | None
    js: float
    """Jensen-Shannon distance of the gray-value histograms."""
    ssim: Measured
    """Mean structural similarity of random pairs (real test image, other image)."""
    ms_ssim: Measured | None
    """The same at several scales."""
    diversity_ssim: Measured
    """Mean structural similarity of random pairs of these images: the lower, the more diverse."""
    diversity_ms_ssim: Measured | None
    diversity_features: float
    """Mean squared distance of two of these images in features of length 1 (0 to 4): the higher, the more diverse."""
    intervals: dict[str, tuple[float, float]]
    """95 % interval over images of each number, by the field's name; absent where there are too few images."""


class Scores(SetScores):
    """The numbers for all images, and for each class that has enough images on both sides."""

    classes: dict[str, SetScores]


class Copying(Part):
    """How close generated images come to one set of real images."""

    threshold: float
    """1st percentile of other real images' distances to their nearest image of the set."""
    share: float
    """Share of the generated images whose nearest image of the set is within the threshold."""
    expected: float
    """Share of those other real images within it: what a generator that has learned the distribution reaches."""
    clear: float
    """Share of the generated images within four fifths of the threshold: what the verdict goes by."""
    verdict: Literal["none", "some", "copies"]


class NearestPair(Part):
    """A generated image and the training image that it is closest to."""

    generated: str
    train: str
    nearest_by: Literal["features", "pixels"]
    """By which of the two it is the closest of all."""
    distance: float
    """Euclidean in features, or of aligned thumbnails, relative to that of the next ten training images (0 to 1)."""


class Memorization(Part):
    """Whether the generator stores images it has seen."""

    train_name: str
    train_count: int
    test_count: int
    train_features: Copying
    train_pixels: Copying
    test_features: Copying
    """The same for the held-out test images, which no generator may have seen."""
    test_pixels: Copying
    authenticity: float
    """Share of the generated images that are not closer to their nearest training image than another one is."""
    authenticity_test: float
    """The same share of the real test images."""
    verdict: Literal["none", "some", "copies"]
    """The worst of the four."""
    words: str
    """The verdict with its threshold, for readers."""
    closest: list[NearestPair]
    """The closest pairs, the closest first: the columns of the sheet."""


class ScoreRecord(Document):
    """`scores/NAME.json`."""

    FORMAT = "usgan/score"
    VERSION = 2

    name: str
    gan_name: str
    settings: ScoreSettings
    fake: Scores
    real: Scores
    """The same for the real training images: what the best generator could reach with as many images."""
    real_name: str
    real_count: int
    subset: Scores | None
    """The same for the GAN's own training images."""
    subset_count: int | None
    baselines: dict[str, Scores]
    """The same for trivial baselines, made from training images."""
    memorization: Memorization | None
    """None where the training images are not known."""
    notes: list[str]
    """What could not be measured, and why."""
    pictures: dict[str, str]
    """SHA-256 of each picture beside the record, by file name."""


class SnapshotScore(Part):
    """One saved generator of a training."""

    kimg: float
    file: str
    sha256: str
    fd: float
    """Fréchet distance to the real test images."""
    fd_interval: tuple[float, float] | None
    kid: float
    precision: float | None
    recall: float | None
    fd_train: float | None
    """Fréchet distance to the GAN's own training images."""


class SnapshotsRecord(Document):
    """`scores/NAME-snapshots.json`: every saved generator of one training."""

    FORMAT = "usgan/snapshot-scores"

    name: str
    extractor: str
    reference: str
    """Content digest of the real test images."""
    reference_count: int
    train_count: int | None
    count: int
    """Images made by each generator, from the same seeds."""
    snapshots: list[SnapshotScore]
    """From the first to the last."""
    best_kimg: float
    """Where the distance named by `best_by` is least."""
    best_by: Literal["fd_train", "fd"]
    """To the training images where they are known: one chosen by the test images would look better than it is."""
    lowest_kimg: float
    """Where the distance to the test images is least."""
    pictures: dict[str, str]
