"""Formats of scores: generated images against real ones, and the saved generators of one training.

A record carries the settings that must agree before two scores may stand in one table.
"""

from __future__ import annotations

import re
from typing import Literal

from usgan_cli.core.formats.measured import Measured
from usgan_cli.core.store.document import Document, InnerFile, Part

COPIES_FOUND = (
    "Copies that are mirrored, shifted, noisy, recompressed or blurred are found; copies that are rotated, enlarged "
    "from a crop or mixed from several images may not be."
)
"""What the check for copies can and cannot see (`scripts/bench/copycat.py`), for every reader of its verdict."""
NEARER = -3.0
"""Below this C_T, generated images as a whole are nearer to the training images than held-out test images are; above
its negative, further away (Meehan et al. 2020)."""


CONSERVATIVE = (
    "Intervals of the Fréchet and the kernel distance by half samples are conservative where images are nearly like "
    "the real ones: about twice as wide as new samples would vary. Where images differ clearly they fit."
)
"""Of every interval of these two (`scripts/bench/half_samples.py`: 1.7 and 2.2 times the spread of new samples for two
samples of one distribution, 1.0 for different ones)."""


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
    ssim_pairs: int
    """Random pairs behind a mean SSIM over all images; the classes share the same number of pairs equally."""
    ms_ssim_pairs: int
    kid_subsets: int
    precision_k: int
    """Neighbours that set the radius of a ball for precision and recall; `density_k` for density and coverage."""
    density_k: int
    repeats: int
    """Draws of half of the images, from which the intervals come."""
    seed: int


class SetScores(Part):
    """Scores of one set of images against real ones; None where images are too few or too small."""

    reference_count: int
    count: int
    fd: float
    """Fréchet distance of all images; called FID only where the extractor is the FID Inception network."""
    fd_infinite: float | None
    """The same extrapolated to infinitely many images of both sets; None for classes and few images. With fewer images
    than features this takes away a part of the bias only."""
    fd_spread: Measured
    """Over draws of half of both sets. Fewer images bias the mean upward: only the spread is of use."""
    kid: float | None
    """Kernel distance, polynomial of degree 3, unbiased (so it can be negative); called KID only with that network."""
    kid_subset_size: int | None
    """Images in each of its subsets: the size of the smaller set, at most 1000."""
    precision: float | None
    """Share of these images that lie within the real ones' balls."""
    recall: float | None
    """Share of the real images that lie within these images' balls."""
    density: float | None
    coverage: float | None
    js: float
    """Jensen-Shannon distance of the gray-value histograms."""
    ssim: Measured
    """Mean structural similarity of random pairs (real test image, image of this set)."""
    ms_ssim: Measured | None
    diversity_ssim: Measured
    """Mean structural similarity of random pairs of this set: lower is more diverse."""
    diversity_ms_ssim: Measured | None
    diversity_features: float
    """Mean squared distance of two images of this set in features of length 1 (0 to 4): higher is more diverse."""
    intervals: dict[str, tuple[float, float]]
    """95 % interval over images of each score, by field name; absent where images are too few."""


class Scores(SetScores):
    """Scores of all images, and of each class that has enough images in both sets."""

    classes: dict[str, SetScores]


class Copying(Part):
    """How close generated images come to one set of real images."""

    threshold: float
    """1st percentile of other real images' distances to their nearest image of the set."""
    share: float
    """Share of the generated images whose nearest image of the set is within the threshold."""
    expected: float
    """Share of those other real images within it, which an ideal generator would match."""
    clear: float
    """Share of the generated images within four fifths of the threshold, which decides the verdict."""
    verdict: Literal["none", "some", "copies"]


class NearestPair(Part):
    """A generated image and its closest training image."""

    generated: str
    train: str
    nearest_by: Literal["features", "pixels"]
    """Which distance makes the pair this close."""
    distance: float
    """Between features, or between aligned thumbnails, as a share of that to the next ten training images (0 to 1)."""


class Memorization(Part):
    """Whether the generator reproduces images it was trained on."""

    train_name: str
    train_count: int
    test_count: int
    """Held-out test images, without those that are left out."""
    left_out: int | None
    """Test images that are copies of training images, which would make copying look normal; None if not known."""
    train_features: Copying
    train_pixels: Copying
    test_features: Copying
    """Against the held-out test images, which no generator may have seen."""
    test_pixels: Copying
    c_t: float | None
    """The C_T test in standard errors (see `NEARER`); None with fewer than ten images of either."""
    authenticity: float
    """Share of the generated images no closer to their nearest training image than another training image is."""
    authenticity_test: float
    """The authenticity of the real test images, for comparison."""
    verdict: Literal["none", "some", "copies"]
    """The worst of the four above; `words` add its threshold, for readers."""
    words: str
    closest: list[NearestPair]
    """By distance: the columns of the sheet."""


class Probe(Part):
    """How well a linear classifier on features tells images from real test images."""

    auc: float
    """Area under the ROC curve in cross-validation: about 0.5 where they cannot be told apart, 1 without fail."""
    interval: tuple[float, float]
    """95 % interval over images."""
    images: int
    """Images of either sort."""


class Quality(Part):
    """Whether generated images are good enough to be judged by what they do to a classifier."""

    weak: bool
    """Too weak to judge: they are not yet what the real images are."""
    reasons: list[str]
    """What counts against them, in words; not each alone decides."""
    blurred_fd: float
    """Fréchet distance of real training images that were blurred until they are obviously not ultrasound."""
    blurred_count: int
    probe: Probe | None
    """None where images are too few."""
    real_probe: Probe | None
    """The same of the real training images, for comparison."""


class ScoreRecord(Document):
    """`scores/NAME.json`."""

    FORMAT = "usgan/score"
    VERSION = 4

    name: str
    gan_name: str
    settings: ScoreSettings
    fake: Scores
    real: Scores
    """Real training images: what the best generator could reach with this number of images."""
    real_name: str
    real_count: int
    subset: Scores | None
    """The GAN's own training images."""
    subset_count: int | None
    baselines: dict[str, Scores]
    """Trivial baselines, made from training images."""
    memorization: Memorization | None
    """None where the training images are unknown."""
    quality: Quality
    notes: list[str]
    pictures: dict[InnerFile, str]
    """SHA-256 of each picture beside this record, by file name."""

    def beside(self) -> dict[str, str]:
        """Return the digest of each picture."""
        return self.pictures


class SnapshotScore(Part):
    """One saved generator of a training."""

    kimg: float
    file: str
    sha256: str
    fd: float
    """Fréchet distance to the real test images; `fd_train` to the GAN's training images."""
    fd_interval: tuple[float, float] | None
    kid: float
    precision: float | None
    recall: float | None
    fd_train: float | None
    copies: float | None
    """Share of the images that are clearly too close to a training image, by the worse measure."""
    copying: Literal["none", "some", "copies"] | None
    """The verdict on these; None, as `copies`, where the training images are unknown."""


class SnapshotsRecord(Document):
    """`scores/NAME-snapshots.json`: every saved generator of one training."""

    FORMAT = "usgan/snapshot-scores"
    VERSION = 2

    name: str
    extractor: str
    reference: str
    """Content digest of the real test images."""
    reference_count: int
    train_count: int | None
    count: int
    """Images from each generator, all from the same seeds."""
    snapshots: list[SnapshotScore]
    """In the order of training."""
    best_kimg: float
    """Where the distance named by `best_by` is smallest."""
    best_by: Literal["fd_train", "fd"]
    """Distance to the training images where they are known: choosing by the test images would flatter the generator."""
    lowest_kimg: float
    """Where the distance to the test images is smallest."""
    pictures: dict[InnerFile, str]

    def beside(self) -> dict[str, str]:
        """Return the digest of each picture."""
        return self.pictures

    @property
    def best(self) -> SnapshotScore:
        """The generator at `best_kimg`."""
        return min(self.snapshots, key=lambda one: abs(one.kimg - self.best_kimg))

    @property
    def first_copying(self) -> SnapshotScore | None:
        """The first generator from which on all are called copying; None where the last is not."""
        first = None
        for one in reversed(self.snapshots):
            if one.copying != "copies":
                break
            first = one
        return first

    @property
    def last(self) -> SnapshotScore:
        """The last generator."""
        return self.snapshots[-1]


def network_name(extractor: str) -> str:
    """Return the name of an extractor's network, without the digest of its weights."""
    return extractor.partition("@")[0]


def is_fid(extractor: str) -> bool:
    """Return whether an extractor is the FID Inception network, the only one whose Fréchet distance is called FID."""
    return re.match(r"inception(?![a-z])", extractor, flags=re.IGNORECASE) is not None


def distance_name(extractor: str) -> str:
    """Return what the Fréchet distance in an extractor's features is called."""
    return "FID" if is_fid(extractor) else "FD"


def kernel_name(extractor: str) -> str:
    """Return what the kernel distance in an extractor's features is called."""
    return "KID" if is_fid(extractor) else "KD"
