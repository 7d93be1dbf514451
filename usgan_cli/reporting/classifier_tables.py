"""The tables of classifiers: scores, the comparisons with real images alone, and those over several seeds.

Each table holds classifiers that were trained with the same settings. Only adjusted p-values have stars.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np

from usgan_cli.core.formats.classifier import ClassifierRecord, ExternalSummary
from usgan_cli.core.formats.comparison import SHARED_TEST_IMAGES, Comparison, SeedComparison
from usgan_cli.core.formats.measured import Measured, measured
from usgan_cli.core.store.workspace import BASELINE, SeedsKey, SubsetKey
from usgan_cli.core.table import AdjustedP, Cell, Column, Interval, PValue, Spread, Table, Words
from usgan_cli.core.text import joined, training_label
from usgan_cli.reporting import paper
from usgan_cli.reporting.groups import ClassifierGroup
from usgan_cli.reporting.tables import LEAD, by_subset, published_p

T = TypeVar("T")
C = TypeVar("C")
AGAINST, RESAMPLED = "Against real alone", "Resampled t-test"
EXTERNAL = "External test sets"
MCNEMAR, SPREAD = "McNemar, by image", "Spread of Δ between"
STARS = "Stars stand at adjusted p-values alone: * below 0.05, ** below 0.01, *** below 0.001."
CONTROLS = (
    "Copies: further copies of real training images in place of generated ones; augmented copies: the same under "
    "strong ordinary augmentation; labels shuffled: generated images that teach nothing about the classes. A GAN's "
    "gain is its difference to the copies."
)
VALIDATION = "F1 val., %"
SEEN = (
    "†: the GAN behind these classifiers’ images was trained on their validation images too, so this score flatters "
    "it; no verdict uses it. With strict = true under [classifier] in the study’s file, or train-cls --strict, each "
    "fold has a GAN that never saw them."
)
MORE_RATIOS = "Values were published for +100 % synthetic images alone."
APART = "Trained with other settings than the first table's classifiers, so kept apart"


@dataclass(frozen=True)
class Row(Generic[T, C]):
    """A training set with its F1 on the test images."""

    key: SubsetKey | SeedsKey
    trained: T
    """What says which training set it is: a classifier's record or a comparison; None for real images alone."""
    f1: Measured
    test: C
    """Its comparison with real images alone."""

    @property
    def subset(self) -> SubsetKey:
        """The subset of real training images."""
        return self.key if isinstance(self.key, SubsetKey) else SubsetKey(self.key.n, self.key.seeds[0])


ClassifierRow = Row[ClassifierRecord, Comparison | None]
TestsRow = Row[Comparison, Comparison]
SeedsRow = Row[SeedComparison | None, SeedComparison | None]
AnyRow = Row[Any, Any]


def _training(row: AnyRow) -> Cell:
    item = row.trained
    if item is None or (item.aug or item.control) is None:
        return Cell(training_label(None), ("real", 0))
    label = training_label(item.aug, item.ratio, item.variant, item.control)
    return Cell(label, (item.aug or item.control, item.ratio))


def _published(row: AnyRow) -> paper.Published | None:
    """Return what was published of a training set at its n; with GANs' images only one ratio was published."""
    item, size = row.trained, row.key.n
    if item is None or (item.aug or item.control) is None:
        return paper.values_at(size, None)
    ordinary = item.ratio == paper.RATIO and not item.variant and item.control is None
    return paper.values_at(size, item.aug) if ordinary else None


F1: Column[AnyRow] = Spread("F1 test, %", "test_micro_f1", lambda row: row.f1, 2, 100)
TRAINING: Column[AnyRow] = Words("Training images", "", _training, endings=("aug", "ratio"))
COMPARED: list[Column[AnyRow]] = [
    Interval("Δ", "difference", lambda row: _difference(row.test), 2, 100, group=AGAINST, sign=True),
    PValue("p", "p", lambda row: row.test and row.test.p, group=AGAINST),
    AdjustedP("p, Holm", "p_holm", lambda row: row.test and row.test.p_holm, group=AGAINST),
    PValue("p, corrected", "p_corrected", lambda row: row.test and row.test.p_corrected, group=AGAINST),
]
PUBLISHED: list[Column[AnyRow]] = [
    Spread("F1 test, %", "published_f1", lambda row: (known := _published(row)) and known.f1, 2, group=paper.PUBLISHED),
    Column("p", "published_p", lambda row: published_p(_published(row)), group=paper.PUBLISHED),
]


def _seen(record: ClassifierRecord) -> str:
    """Return whether the GAN behind a classifier's images was trained on its validation images."""
    return "yes" if record.aug is not None and record.protocol == "standard" else "no"


def _validation(row: ClassifierRow) -> Cell:
    plain = Spread[ClassifierRow](VALIDATION, "", lambda one: one.trained.val_micro_f1, 2, 100).cell(row)
    return plain if _seen(row.trained) == "no" else replace(plain, text=f"{plain.text} †")


def _theirs(group: ClassifierGroup, sizes: Iterable[int]) -> list[Column[AnyRow]]:
    """Return the columns of published values where there are any: of the same dataset and number of images."""
    return PUBLISHED if group.busi and set(sizes) & set(paper.SIZES) else []


def _difference(item: Comparison | SeedComparison | None) -> tuple[float, tuple[float, float]] | None:
    return None if item is None else (item.difference, item.interval)


def _rows(group: ClassifierGroup) -> list[tuple[str, list[ClassifierRow]]]:
    """Return a row for each classifier, under its subset's heading."""
    rows: list[ClassifierRow] = []
    for key, record in group.items:
        ttest = group.ttests.get(key)
        comparisons = {} if ttest is None else {item.name: item for item in ttest.comparisons}
        rows.append(Row(key, record, record.test_micro_f1, comparisons.get(record.name)))
    return by_subset(rows)


def f1_table(group: ClassifierGroup) -> Table:
    """Return the study's table 2: F1 on the test images of every training set, compared with real images alone."""
    settings = group.settings
    theirs = _theirs(group, (key.n for key in group.subsets))
    columns: list[Column[ClassifierRow]] = [
        *LEAD,
        TRAINING,
        F1,
        Spread(VALIDATION, "val_micro_f1", _validation, 2, 100),
        Words("F1 val. seen by the GAN", "val_seen_by_gan", lambda row: _seen(row.trained), shown=False),
        *_external_columns(group),
        *COMPARED,
        *theirs,
    ]
    caption = (
        f"Micro-averaged F1 on the test images of {settings.folds} models, one for each fold, mean ± standard "
        f"deviation: {settings.backbone}{', frozen' if settings.freeze else ', fine-tuned'}."
    )
    notes = [
        "p: two-sided paired t-test over folds, as in the study. Holm: that p corrected over all comparisons of one "
        "subset. Corrected: resampled t-test of Nadeau and Bengio, which allows for the folds' shared training images, "
        f"not adjusted. Δ in percentage points of F1, with its 95 % interval. {STARS}",
        SHARED_TEST_IMAGES,
        *([SEEN] if any(_seen(record) == "yes" for _, record in group.items) else []),
        *([CONTROLS] if any(record.control is not None for _, record in group.items) else []),
        *_external_notes(group),
    ]
    if theirs and any(record.aug is not None and record.ratio != paper.RATIO for _, record in group.items):
        notes.append(MORE_RATIOS)
    return Table.of(f"f1{group.suffix}", caption, columns, _rows(group), notes + group.apart(APART))


def tests_table(group: ClassifierGroup) -> Table:
    """Return the tests that the study did not make."""
    corrected = ("difference", "corrected_low", "corrected_high")

    def interval(row: TestsRow) -> tuple[float, tuple[float, float]]:
        return row.test.difference, row.test.interval_corrected

    columns: list[Column[TestsRow]] = [
        *LEAD,
        TRAINING,
        Column("Effect size", "effect_size", lambda row: row.test.effect_size, 2),
        Interval("Δ", "", interval, 2, 100, group=RESAMPLED, endings=corrected, sign=True),
        PValue("p", "p_corrected", lambda row: row.test.p_corrected, group=RESAMPLED),
        AdjustedP("p, Holm", "p_corrected_holm", lambda row: row.test.p_corrected_holm, group=RESAMPLED),
        PValue("p", "p_wilcoxon", lambda row: row.test.p_wilcoxon, group="Wilcoxon"),
        Column(
            "Only real right", "mcnemar_only_baseline", lambda row: row.test.mcnemar_images.only_baseline, group=MCNEMAR
        ),
        Column("Only this right", "mcnemar_only_other", lambda row: row.test.mcnemar_images.only_other, group=MCNEMAR),
        PValue("p", "mcnemar_p", lambda row: row.test.mcnemar_images.p, group=MCNEMAR),
    ]
    folds = group.settings.folds
    note = (
        "Effect size: Cohen's d of paired samples. Resampled t-test: its own 95 % interval, and its p adjusted by "
        f"Holm. Wilcoxon's p over {folds} folds cannot be less than {2.0 ** (1 - folds):.3g}. McNemar: test images "
        f"that one of the two alone has right, one prediction an image by the mean of the folds' models. {STARS}"
    )
    rows = [Row(key, item, item.f1, item) for key, ttest in group.ttests.items() for item in ttest.comparisons]
    caption = "Tests that the published study did not make, against real images alone."
    return Table.of(
        f"tests{group.suffix}", caption, columns, by_subset(rows, group.subsets), [note, *group.apart(APART)]
    )


def scores_table(group: ClassifierGroup) -> Table:
    """Return every classifier's scores on the test images."""
    columns: list[Column[ClassifierRow]] = [
        *LEAD,
        TRAINING,
        F1,
        Spread("Macro F1, %", "test_macro_f1", lambda row: row.trained.test_macro_f1, 1, 100),
        Spread(
            "Balanced accuracy, %", "test_balanced_accuracy", lambda row: row.trained.test_balanced_accuracy, 1, 100
        ),
        Spread("AUC", "test_auc", lambda row: row.trained.test_auc, 3),
        Spread("Brier", "test_brier", lambda row: row.trained.test_brier, 3),
        Spread("Calibration error", "test_calibration_error", lambda row: row.trained.test_calibration_error, 3),
        *_external_columns(group),
    ]
    note = (
        "AUC: unweighted mean over classes, each against the others; 0.5 is chance. Brier: squared distance of the "
        "probabilities from the truth, summed over classes, 0 to 2; calibration error: 15 bins. Of both, lower is "
        "better."
    )
    caption = "Scores on the test images, mean ± standard deviation over folds."
    notes = [note, *_external_notes(group), *group.apart(APART)]
    return Table.of(f"scores{group.suffix}", caption, columns, _rows(group), notes)


def _external_sets(group: ClassifierGroup) -> dict[str, list[ExternalSummary]]:
    """Return what the group's classifiers say of each external test set, by its name."""
    sets: dict[str, list[ExternalSummary]] = {}
    for _, record in group.items:
        for name, summary in record.external.items():
            sets.setdefault(name, []).append(summary)
    return dict(sorted(sets.items()))


def _external_columns(group: ClassifierGroup) -> list[Column[AnyRow]]:
    """Return a column for each external test set."""
    records = {(key, record.name): record for key, record in group.items}
    return [
        Spread(
            f"F1, {name}, %",
            f"external_{name}_micro_f1",
            partial(_external_f1, name=name, records=records),
            2,
            100,
            group=EXTERNAL,
        )
        for name in _external_sets(group)
    ]


def _external_f1(row: AnyRow, name: str, records: Mapping[tuple[SubsetKey, str], ClassifierRecord]) -> Measured | None:
    """Return F1 on an external test set over folds, or over the means of several seeds; None where one lacks it."""
    trained = BASELINE.name if row.trained is None else row.trained.name
    if isinstance(row.key, SubsetKey):
        summary = records[row.key, trained].external.get(name)
        return None if summary is None else summary.micro_f1
    found = [records[SubsetKey(row.key.n, seed), trained].external.get(name) for seed in row.key.seeds]
    means = [summary.micro_f1.mean for summary in found if summary is not None]
    return measured(means) if len(means) == len(found) else None


def _external_class_columns(group: ClassifierGroup) -> list[Column[ClassifierRow]]:
    """Return a column for each class of each external test set, but for those that the set lacks."""
    return [
        Spread(
            one,
            f"external_{name}_f1_{one}",
            partial(_external_of_class, name=name, class_=one),
            1,
            100,
            group=f"F1, {name}, %",
        )
        for name, summaries in _external_sets(group).items()
        for one in dict.fromkeys(c for _, record in group.items for c in record.classes)
        if any(one not in summary.missing for summary in summaries)
    ]


def _external_of_class(row: ClassifierRow, name: str, class_: str) -> Measured | None:
    """Return a class's F1 on an external test set: twice the right ones over the true and the predicted ones."""
    record = row.trained
    if name not in record.external or class_ in record.external[name].missing:
        return None
    i = record.classes.index(class_)
    counts = [np.array(fold.external[name].confusion) for fold in record.folds if name in fold.external]
    return measured([2 * one[i, i] / (one[i].sum() + one[:, i].sum()) for one in counts]) if counts else None


def _external_notes(group: ClassifierGroup) -> list[str]:
    """Return what has to be known of each external test set beside its column."""
    notes = []
    for name, summaries in _external_sets(group).items():
        text = f"{name}: {joined(sorted({one.images for one in summaries}))} images from elsewhere"
        if missing := sorted({absent for one in summaries for absent in one.missing}):
            text += f", none of {joined(missing)}"
        if copies := max(one.near_training for one in summaries):
            text += f"; {copies} are copies of training images of the dataset, so its scores may be too high"
        if len({one.digest for one in summaries}) > 1:
            text += "; its images are not the same for all classifiers here, so the column cannot be compared"
        notes.append(f"{text}. Nothing was chosen by it.")
    return notes


def class_table(group: ClassifierGroup) -> Table:
    """Return F1 and AUC of every class on the test images."""
    classes = dict.fromkeys(c for _, record in group.items for c in record.classes)
    columns: list[Column[ClassifierRow]] = [
        *LEAD,
        TRAINING,
        *(
            Spread(c, f"f1_{c}", partial(_of_class, scores="test_class_f1", class_=c), 1, 100, group="F1, %")
            for c in classes
        ),
        *(
            Spread(c, f"auc_{c}", partial(_of_class, scores="test_class_auc", class_=c), 3, group="AUC")
            for c in classes
        ),
        *_external_class_columns(group),
    ]
    caption = "F1 and AUC of each class on the test images, mean ± standard deviation over folds."
    notes = [*_external_notes(group), *group.apart(APART)]
    return Table.of(f"f1-by-class{group.suffix}", caption, columns, _rows(group), notes)


def _of_class(row: ClassifierRow, scores: str, class_: str) -> Measured | None:
    """Return a class's score, by the field of `FoldScores` that holds it, over the folds that have the class."""
    values = [by_class[class_] for fold in row.trained.folds if class_ in (by_class := getattr(fold, scores))]
    return measured(values) if values else None


def _seeds(row: SeedsRow) -> str:
    return " ".join(str(seed) for seed in row.key.seeds) if isinstance(row.key, SeedsKey) else str(row.key.seed)


def seeds_table(group: ClassifierGroup) -> Table:
    """Return the comparisons over several seeds."""
    theirs = _theirs(group, (key.n for key in group.seeds))
    columns: list[Column[SeedsRow]] = [
        Column("n", "n", lambda row: row.key.n, shown=False),
        Words("Seeds", "seeds", _seeds, shown=False),
        TRAINING,
        F1,
        *_external_columns(group),
        *COMPARED,
        Column("Seeds", "sd_seeds", lambda row: row.test and row.test.sd_seeds, 2, 100, group=SPREAD),
        Column("Folds", "sd_folds", lambda row: row.test and row.test.sd_folds, 2, 100, group=SPREAD),
        *theirs,
    ]
    groups = []
    for key, record in group.seeds.items():
        rows: list[SeedsRow] = [Row(key, None, record.baseline_f1, None)]
        rows += [Row(key, item, item.f1, item) for item in record.comparisons]
        title = f"n = {key.n}, seeds {', '.join(map(str, key.seeds))}"
        groups.append((title, rows))
    caption = (
        "Micro-averaged F1 on the test images over several seeds, each with its own subset, GANs and folds: mean ± "
        "standard deviation of the seeds' means."
    )
    note = (
        "p: two-sided t-test of the seeds' mean differences; folds of one seed share images, seeds nearly do not. "
        "Holm: that p corrected over all comparisons of one n. Corrected: t-test for repeated cross-validation "
        "over all seeds and folds, not adjusted. Δ and its spread in percentage points of F1; the spread between seeds "
        f"is what remains beyond the folds'. {STARS}"
    )
    compared = [item for record in group.seeds.values() for item in record.comparisons]
    more = [MORE_RATIOS] if theirs and any(item.ratio != paper.RATIO for item in compared) else []
    return Table.of(
        f"f1-seeds{group.suffix}", caption, columns, groups, [note, *more, *_external_notes(group), *group.apart(APART)]
    )
