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
from typing import ClassVar

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
    fd_repeats: int
    """Number of bootstrap draws behind the spread of the Fréchet distance."""
    seed: int


class Scores(Part):
    """The study's three numbers for one set of images against the real test images."""

    fd: float
    """Fréchet distance of all images; called FID only where the extractor is the FID Inception network."""
    fd_spread: Measured
    """Over bootstrap draws of both sets; biased upward by the repeats in a draw, so it tells the spread alone."""
    js: float
    """Jensen-Shannon distance of the gray-value histograms."""
    ssim: Measured
    """Mean structural similarity of random pairs (real test image, other image)."""


class ScoreRecord(Document):
    """`scores/NAME.json`."""

    FORMAT = "usgan/score"

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

    name: str
    """real, diffaug-x1, ..."""
    n: int
    aug: str | None
    """The GAN behind the synthetic images; None for the baseline."""
    ratio: float
    synthetic: str | None
    """Content digest of the synthetic set."""
    classes: list[str]
    settings: ClassifierSettings
    folds: list[FoldScores]
    confusion: list[list[int]]
    """Over all folds' test predictions: row true class, column predicted class."""
    test_micro_f1: Measured
    val_micro_f1: Measured
    test_macro_f1: Measured


class Comparison(Part):
    """One classifier with synthetic images against the baseline, paired by fold."""

    name: str
    aug: str
    ratio: float
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
    p_corrected: float | None
    """Corrected resampled t-test, which allows for the folds' shared training images."""
    p_wilcoxon: float | None


class TTestRecord(Document):
    """`ttests/n100-s0.json`."""

    FORMAT = "usgan/ttest"

    n: int
    seed: int
    score: str
    """Which score was compared: "test_micro_f1"."""
    baseline: str
    baseline_f1: Measured
    baseline_folds: list[float]
    settings: ClassifierSettings
    comparisons: list[Comparison]


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
