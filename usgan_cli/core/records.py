"""Formats of results: scores, classifiers with their predictions, and comparisons.

Every record says what was measured against what, and how, so that two of them can be refused a place in one
table when their settings differ.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core import files
from usgan_cli.core.documents import Document, Part
from usgan_cli.core.errors import FormatError, MissingError


class Measured(Part):
    """A mean over draws or pairs, with its spread."""

    mean: float
    sd: float
    """Sample standard deviation (n - 1); 0 where only one value was measured."""
    count: int
    """Number of values behind the mean."""


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


class FoldScores(Part):
    """One fold's model, scored on its validation images and on the test images."""

    fold: int
    train_real: int
    train_synthetic: int
    epoch: int
    """Number of epochs after which the validation fold liked the model best; 0 for a linear head without epochs."""
    val_micro_f1: float
    val_macro_f1: float
    test_micro_f1: float
    test_macro_f1: float
    test_class_f1: dict[str, float]
    test_balanced_accuracy: float
    test_class_auc: dict[str, float]
    """Area under the ROC curve of each class against the others."""
    test_auc: float
    """Unweighted mean of the classes'."""
    test_brier: float
    """Mean squared distance of the probabilities from the truth, summed over classes: 0 to 2."""
    test_calibration_error: float
    """Expected calibration error of the named class's probability, 15 bins of equal width: 0 to 1."""
    test_confusion: list[list[int]]
    """Row true class, column predicted class."""
    validation: str
    """Digest of the names of the fold's validation images: equal where folds are equal."""
    synthetic: str | None
    """Content digest of the generated images that are used, or chosen among."""


class FoldRecord(Document):
    """`folds/fold0.json`: one finished fold of a classifier, and exactly which images it was trained on."""

    FORMAT = "usgan/classifier-fold"

    scores: FoldScores
    train: list[str]
    """Real training images, relative to the dataset's folder."""
    synthetic: list[str]
    """Synthetic training images, relative to their own folder."""
    c: float | None
    """Inverse strength of the linear head's L2 penalty; None for a fine-tuned network."""
    predictions: str
    """SHA-256 of `fold0.csv`, the fold's predictions."""


Protocol = Literal["standard", "strict"]
"""standard: one GAN, which saw the whole subset; strict: each fold's GAN never saw its validation images."""
Selection = Literal["confidence", "distance"]


class ClassifierSettings(Part):
    """What must be equal for two classifiers to be compared: everything but the synthetic images."""

    backbone: str
    weights: str
    """Name of the pretrained weights with the digest of their file, or "none" where the user asked for none."""
    freeze: bool
    size: int
    epochs: int
    folds: int
    seed: int
    subset: str
    """Content digest of the subset."""
    test: str
    """Content digest of the dataset whose test images were used."""
    training: dict[str, float | int | str | bool]
    """Optimisation and augmentation settings."""


class ClassifierRecord(Document):
    """`result.json` of a classifier."""

    FORMAT = "usgan/classifier"
    VERSION = 2

    name: str
    """real, diffaug-x1, diffaug-x1-strict, ..."""
    n: int
    aug: str | None
    """The GAN behind the synthetic images; None for the baseline."""
    ratio: float
    synthetic: str | None
    """Content digest of the generated images that are used, or chosen among; of all sets in the strict protocol."""
    protocol: Protocol
    synthetic_only: bool
    """Whether it was trained on synthetic images alone."""
    select: Selection | None
    """How the synthetic images were chosen from their set; None: the first ones."""
    classes: list[str]
    settings: ClassifierSettings
    c: float | None
    """Inverse strength of the linear head's L2 penalty, one for all folds; None for fine-tuned networks."""
    folds: list[FoldScores]
    confusion: list[list[int]]
    """Over all folds' test predictions: row true class, column predicted class."""
    test_micro_f1: Measured
    val_micro_f1: Measured
    test_macro_f1: Measured
    test_balanced_accuracy: Measured
    test_auc: Measured
    test_brier: Measured
    test_calibration_error: Measured

    @property
    def variant(self) -> str:
        """In words what is unlike the study's protocol; empty where nothing is."""
        words = {
            "synthetic alone": self.synthetic_only,
            "strict": self.protocol == "strict",
            f"by {self.select}": self.select is not None,
        }
        return ", ".join(word for word, holds in words.items() if holds)


class McNemar(Part):
    """Exact test of McNemar (1947) on paired right and wrong predictions."""

    only_baseline: int
    """Predictions that the baseline alone has right."""
    only_other: int
    """Predictions that the other classifier alone has right."""
    p: float
    """Two-sided binomial; 1 where the two never disagree."""


SHARED_TEST_IMAGES = (
    "All folds are scored on the same test images: tests over folds tell how training varies, not which way other test "
    "images would decide. McNemar's test, on one prediction an image, allows for that."
)
"""What every reader of a `Comparison` should know of its tests over folds."""


class Comparison(Part):
    """One classifier with synthetic images against the baseline, paired by fold."""

    name: str
    aug: str
    ratio: float
    variant: str
    """In words what is unlike the study's protocol; empty where nothing is."""
    f1: Measured
    folds: list[float]
    difference: float
    """Mean of (this - baseline), in units of F1 (0 to 1)."""
    interval: tuple[float, float]
    """95 % confidence interval of the mean difference (Student's t over folds)."""
    t: float | None
    """None where every fold differs by the same amount and t is undefined."""
    p: float | None
    """Two-sided paired t-test over folds, as in the study."""
    p_holm: float | None
    """The same after Holm's correction over all comparisons of the record."""
    t_corrected: float | None
    p_corrected: float | None
    """Corrected resampled t-test, which allows for the folds' shared training images."""
    p_corrected_holm: float | None
    """The same after Holm's correction over all comparisons of the record."""
    interval_corrected: tuple[float, float]
    """95 % interval of the mean difference with the corrected test's variance."""
    p_wilcoxon: float | None
    effect_size: float | None
    """Cohen's d of paired samples: mean difference over the differences' standard deviation."""
    mcnemar: McNemar
    """On the test predictions of all folds pooled. Every test image counts once for each fold, so p is too small."""
    mcnemar_images: McNemar
    """On one prediction for each test image, by the mean probability of the folds' models: independent pairs."""


class TTestRecord(Document):
    """`ttests/n100-s0.json`."""

    FORMAT = "usgan/ttest"
    VERSION = 2

    n: int
    seed: int
    score: str
    """Which score was compared: "test_micro_f1"."""
    baseline: str
    baseline_f1: Measured
    baseline_folds: list[float]
    settings: ClassifierSettings
    comparisons: list[Comparison]


class SeedComparison(Part):
    """One way of training against the baseline over several seeds, each with its own subset and folds."""

    name: str
    aug: str
    ratio: float
    variant: str
    baseline_by_seed: list[float]
    """Mean over folds of the baseline's score, by seed."""
    by_seed: list[float]
    """The same of this classifier."""
    f1: Measured
    """Over the seeds' means."""
    difference: float
    """Mean over seeds of the mean over folds of (this - baseline)."""
    interval: tuple[float, float]
    """95 % confidence interval of the difference: Student's t over seeds."""
    sd_seeds: float
    """Standard deviation of the difference between seeds, beyond what the folds within explain."""
    sd_folds: float
    """Standard deviation of the difference between folds of one seed."""
    t: float | None
    p: float | None
    """Two-sided t-test of the seeds' mean differences: folds of a seed are not independent, seeds nearly are."""
    p_holm: float | None
    p_corrected: float | None
    """Corrected t-test for repeated cross-validation, over all seeds and folds."""


class SeedsRecord(Document):
    """`ttests/n100-s0+1+2.json`: comparisons over seeds and folds."""

    FORMAT = "usgan/ttest-seeds"

    n: int
    seeds: list[int]
    folds: int
    score: str
    baseline: str
    baseline_f1: Measured
    """Over the seeds' means."""
    comparisons: list[SeedComparison]


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of every fold's model for its validation images and for the test images.

    Attributes
    ----------
    fold : int64 array [N]
    part : str array [N]
        "val" or "test".
    files : tuple of str
        The image, relative to the dataset's folder.
    label : int64 array [N]
        Index of the true class.
    probability : float64 array [N, K]
    classes : tuple of str
    """

    HEAD: ClassVar[tuple[str, ...]] = ("fold", "part", "file", "label")

    fold: NDArray[np.int64]
    part: NDArray[np.str_]
    files: tuple[str, ...]
    label: NDArray[np.int64]
    probability: NDArray[np.float64]
    classes: tuple[str, ...]

    @classmethod
    def joined(cls, parts: Sequence[Predictions]) -> Predictions:
        """Return predictions for the same classes as one table, in the order given."""
        return cls(
            np.concatenate([part.fold for part in parts]),
            np.concatenate([part.part for part in parts]),
            tuple(file for part in parts for file in part.files),
            np.concatenate([part.label for part in parts]),
            np.concatenate([part.probability for part in parts]),
            parts[0].classes,
        )

    def write(self, path: Path) -> None:
        """Write a CSV file with one row a prediction; probabilities keep six significant digits or more."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([*self.HEAD, *(f"p_{name}" for name in self.classes)])
        for row in range(len(self.files)):
            writer.writerow(
                [
                    int(self.fold[row]),
                    self.part[row],
                    self.files[row],
                    self.classes[self.label[row]],
                    *(f"{value:.9g}" for value in self.probability[row]),
                ]
            )
        files.write_text(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Read the file that `write` writes.

        Raises
        ------
        MissingError
            There is no such file.
        FormatError
            A column is missing or a value is not what its column holds.
        """
        if not path.is_file():
            raise MissingError(f"There is no file {path}.", "Train the classifier again: usgan train-cls --force")
        with path.open(encoding="utf-8", newline="") as file:
            head, *rows = list(csv.reader(file)) or [[]]
        if tuple(head[:4]) != cls.HEAD or not all(name.startswith("p_") for name in head[4:]):
            raise FormatError(f"{path}: the header should be {','.join(cls.HEAD)},p_CLASS,...; it is {','.join(head)}.")
        classes = tuple(name[2:] for name in head[4:])
        for number, row in enumerate(rows, start=2):
            if len(row) != len(head):
                raise FormatError(f"{path}, line {number}: {len(row)} values; the header names {len(head)}.")
        try:
            return cls(
                np.array([int(row[0]) for row in rows], dtype=np.int64),
                np.array([row[1] for row in rows], dtype=np.str_),
                tuple(row[2] for row in rows),
                np.array([classes.index(row[3]) for row in rows], dtype=np.int64),
                np.array([[float(value) for value in row[4:]] for row in rows], dtype=np.float64),
                classes,
            )
        except (ValueError, IndexError) as error:
            raise FormatError(f"{path}: a row cannot be read: {error}.") from None


def measured(values: Sequence[float] | NDArray[np.float64]) -> Measured:
    """Return mean and sample standard deviation of one or more values."""
    array = np.asarray(values, dtype=np.float64)
    sd = float(array.std(ddof=1)) if array.size > 1 else 0.0
    return Measured(mean=float(array.mean()), sd=sd, count=int(array.size))


def first_difference(a: Part, b: Part) -> str | None:
    """Return the first field in which two records of the same kind differ, in words, or None."""
    left, right = a.model_dump(mode="json"), b.model_dump(mode="json")
    for field, value in left.items():
        if value != right[field]:
            return f"{field}: {value!r} and {right[field]!r}"
    return None
