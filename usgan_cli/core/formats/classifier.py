"""Formats of a classifier: its record, its finished folds, and their predictions."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from usgan_cli.core.budget import Budget
from usgan_cli.core.errors import FormatError, MissingError
from usgan_cli.core.formats.measured import Measured
from usgan_cli.core.store import files
from usgan_cli.core.store.document import ClassName, Document, Part
from usgan_cli.core.store.remedy import remedy
from usgan_cli.core.store.workspace import ControlName
from usgan_cli.core.table import csv_text, plain_text


class ExternalScores(Part):
    """One fold's model, scored on an external test set; classes that the set lacks do not count."""

    micro_f1: float
    macro_f1: float
    """Unweighted mean of the F1 of the classes that occur in the set."""
    balanced_accuracy: float
    confusion: list[list[int]]
    """Row true class, column predicted class."""


class ExternalSummary(Part):
    """An external test set, and the folds' scores on it."""

    digest: str
    """Content digest of its manifest."""
    images: int
    missing: list[ClassName]
    """Classes of the dataset that it lacks."""
    near_training: int
    """Images that are copies of training images of the dataset."""
    micro_f1: Measured
    macro_f1: Measured
    balanced_accuracy: Measured


class FoldScores(Part):
    """One fold's model, scored on its validation images and on the test images."""

    fold: int
    train_real: int
    train_synthetic: int
    epoch: int
    """Epochs after which the model was best on the validation fold; 0 for a linear head, which has none."""
    updates: int
    """Optimiser updates that the training took in all; 0 for a linear head."""
    kept_updates: int
    """Updates after which the model was best on the validation fold."""
    images_seen: int
    """Images in the batches of all updates, each as often as it was drawn; 0 for a linear head."""
    data_weight: float | None
    """Sum of the training images' weights in a linear head's loss; None for a fine-tuned network."""
    val_micro_f1: float
    val_macro_f1: float
    test_micro_f1: float
    test_macro_f1: float
    test_class_f1: dict[str, float]
    test_balanced_accuracy: float
    test_class_auc: dict[str, float]
    """Area under the ROC curve of each class against the others."""
    test_auc: float
    """Unweighted mean of `test_class_auc`."""
    test_brier: float
    """Mean squared distance of the probabilities from the one-hot truth, summed over classes: 0 to 2."""
    test_calibration_error: float
    """Expected calibration error of the predicted class's probability, 15 bins of equal width: 0 to 1."""
    test_confusion: list[list[int]]
    """Row true class, column predicted class."""
    validation: str
    """Digest of the names of the fold's validation images: equal folds have equal digests."""
    synthetic: str | None
    """Content digest of the generated images used, or of those they were selected from."""
    external: dict[str, ExternalScores] = Field(default_factory=dict)
    """By the name of the external test set."""


class FoldRecord(Document):
    """`folds/fold0.json`: one finished fold of a classifier, and the images it was trained on."""

    FORMAT = "usgan/classifier-fold"
    VERSION = 3

    scores: FoldScores
    train: list[str]
    """Real training images, relative to the dataset's folder."""
    synthetic: list[str]
    """Synthetic ones, relative to their own folder."""
    c: float | None
    """Inverse strength of the linear head's L2 penalty; None for a fine-tuned network."""
    predictions: str
    """SHA-256 of `fold0.csv`, the fold's predictions."""
    external: str | None = None
    """SHA-256 of `fold0-external.csv`, those for external test sets; None where there are none."""


Protocol = Literal["standard", "strict"]
"""standard: one GAN, which saw the whole subset; strict: each fold's GAN never saw its validation images."""
Selection = Literal["confidence", "distance"]
"""What synthetic images are ranked by before the best are used."""


class ClassifierSettings(Part):
    """What two classifiers must have in common to be compared: everything but the synthetic images."""

    backbone: str
    weights: str
    """Name of the pretrained weights with the digest of their file; "none" for random ones."""
    freeze: bool
    size: int
    budget: Budget
    epochs: int
    """Passes over the training images, at most; with a budget of updates the parts into which they are divided: the
    network is validated after each. 0 for a linear head."""
    updates: int | None
    """Optimiser updates of every fold; None where epochs or a linear head decide."""
    folds: int
    seed: int
    subset: str
    """Content digest, as is `test`, of the dataset that the test images belong to."""
    test: str
    training: dict[str, float | int | str | bool]


class ClassifierRecord(Document):
    """`result.json` of a classifier."""

    FORMAT = "usgan/classifier"
    VERSION = 4
    FILE = "result.json"

    name: str
    n: int
    aug: str | None
    """The GAN behind the synthetic images; None for the baseline and for controls without them."""
    ratio: float
    control: ControlName | None
    synthetic: str | None
    """As in `FoldScores`; in the strict protocol of the sets of all folds."""
    protocol: Protocol
    synthetic_only: bool
    select: Selection | None
    """None: the first images of their set, in its order."""
    classes: list[ClassName]
    settings: ClassifierSettings
    c: float | None
    """As in `FoldRecord`: one for all folds."""
    folds: list[FoldScores]
    confusion: list[list[int]]
    """Sum of the folds' `test_confusion`."""
    test_micro_f1: Measured
    val_micro_f1: Measured
    test_macro_f1: Measured
    test_balanced_accuracy: Measured
    test_auc: Measured
    test_brier: Measured
    test_calibration_error: Measured
    external: dict[str, ExternalSummary] = Field(default_factory=dict)
    """Scores on external test sets, by name; nothing was chosen by them."""

    @property
    def is_baseline(self) -> bool:
        """Whether it was trained on real images alone, in the ordinary way."""
        return self.aug is None and self.control is None

    @property
    def variant(self) -> str:
        """How training differed from the study's protocol, in words; empty if it did not."""
        words = {
            "synthetic alone": self.synthetic_only,
            "strict": self.protocol == "strict",
            f"by {self.select}": self.select is not None,
            "labels shuffled": self.control == "shuffled",
        }
        return ", ".join(word for word, holds in words.items() if holds)


@dataclass(frozen=True)
class Predictions:
    """`predictions.csv`: class probabilities of every fold's model for its validation images and the test images.

    For N predictions among K classes `probability` has the shape [N, K] and the other arrays [N]. `part` is "val" or
    "test", or in `external.csv` the name of an external test set; `label` is the index of the true class; `files` are
    relative to the folder of the dataset, or of that set.
    """

    FILE: ClassVar[str] = "predictions.csv"
    EXTERNAL: ClassVar[str] = "external.csv"
    """The same for external test sets; there is no such file where there are none."""
    HEAD: ClassVar[tuple[str, ...]] = ("fold", "part", "file", "label")

    fold: NDArray[np.int64]
    part: NDArray[np.str_]
    files: tuple[str, ...]
    label: NDArray[np.int64]
    probability: NDArray[np.float64]
    classes: tuple[str, ...]

    @classmethod
    def joined(cls, parts: Sequence[Predictions]) -> Predictions:
        """Return predictions for the same classes as one table, in order."""
        return cls(
            np.concatenate([part.fold for part in parts]),
            np.concatenate([part.part for part in parts]),
            tuple(file for part in parts for file in part.files),
            np.concatenate([part.label for part in parts]),
            np.concatenate([part.probability for part in parts]),
            parts[0].classes,
        )

    def write(self, path: Path) -> None:
        """Write a CSV file with one row per prediction; probabilities keep nine significant digits."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([*self.HEAD, *(f"p_{name}" for name in self.classes)])
        for fold, part, file, label, row in zip(
            self.fold, self.part, self.files, self.label, self.probability, strict=True
        ):
            texts = [csv_text(file), csv_text(self.classes[label])]
            writer.writerow([fold, part, *texts, *(f"{value:.9g}" for value in row)])
        files.write_text(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Read the file that `write` writes."""
        if not path.is_file():
            raise MissingError(f"{path} does not exist.", remedy(path))
        try:
            with path.open(encoding="utf-8", newline="") as file:
                head, *rows = list(csv.reader(file)) or [[]]
        except (UnicodeDecodeError, csv.Error) as error:
            raise FormatError(f"{path} is not a CSV file in UTF-8: {error}.", remedy(path)) from None
        if tuple(head[:4]) != cls.HEAD or not all(name.startswith("p_") for name in head[4:]):
            raise FormatError(
                f"{path}: the header should be {','.join(cls.HEAD)},p_CLASS,...; it is {','.join(head)}.", remedy(path)
            )
        classes = tuple(name[2:] for name in head[4:])
        for number, row in enumerate(rows, start=2):
            if len(row) != len(head):
                raise FormatError(
                    f"{path}, line {number}: {len(row)} values; the header names {len(head)}.", remedy(path)
                )
        try:
            return cls(
                np.array([int(row[0]) for row in rows], dtype=np.int64),
                np.array([row[1] for row in rows], dtype=np.str_),
                tuple(plain_text(row[2]) for row in rows),
                np.array([classes.index(plain_text(row[3])) for row in rows], dtype=np.int64),
                np.array([[float(value) for value in row[4:]] for row in rows], dtype=np.float64),
                classes,
            )
        except (ValueError, IndexError, OverflowError) as error:
            raise FormatError(f"{path}: a row cannot be read: {error}.", remedy(path)) from None
