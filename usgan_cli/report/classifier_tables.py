"""The tables of classifiers: scores, the comparisons with real images alone, and those over several seeds.

Every table is of classifiers that were trained with the same settings. Stars stand at adjusted p-values alone.
"""

from __future__ import annotations

from collections.abc import Callable

from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.comparison import SHARED_TEST_IMAGES, Comparison, TTestRecord
from usgan_cli.core.formats.measured import Measured, measured
from usgan_cli.report import paper
from usgan_cli.report.cells import (
    ANOTHER_SIZE,
    LEAD_COLUMNS,
    PUBLISHED,
    adjusted,
    count,
    lead,
    p_cell,
    plain,
    published_size,
    short_name,
    size_cell,
    spread,
    subset_title,
    training_label,
    words,
)
from usgan_cli.report.groups import ClassifierGroup, in_order
from usgan_cli.report.records import SeedsKey
from usgan_cli.report.table_model import Cell, Column, RowGroup, Table, empty, number

TRAINING = Column("Training images", ("aug", "ratio"), text=True)
AGAINST = "Against real alone"
STARS = "Stars stand at adjusted p-values alone: * below 0.05, ** below 0.01, *** below 0.001."
MORE_RATIOS = "Values were published for +100 % synthetic images alone."


def _of_training(record: ClassifierRecord) -> Cell:
    text = training_label(record.aug, record.ratio, record.variant)
    return Cell(text, (record.aug or "real", record.ratio if record.aug else 0))


def _by_subset(
    group: ClassifierGroup, row: Callable[[ClassifierRecord, TTestRecord | None], list[Cell]]
) -> list[RowGroup]:
    """Return one row for each classifier, under its subset's heading."""
    subsets = group.subsets
    return [
        RowGroup(
            subset_title(subset, subsets),
            [
                [*lead(subset), _of_training(record), *row(record, group.ttests.get(subset))]
                for key, record in group.items
                if key == subset
            ],
        )
        for subset in subsets
    ]


def _apart(group: ClassifierGroup) -> list[str]:
    if group.difference is None:
        return []
    difference = short_name(group.difference)
    return [f"Trained with other settings than the first table's classifiers, so kept apart ({difference})."]


def f1_table(group: ClassifierGroup, name: str) -> Table:
    """Return the study's table 2: F1 on the test images of every training set, compared with real images alone."""
    settings = group.settings
    differs, size_column = published_size([key.n for key in group.subsets])
    columns = [
        *LEAD_COLUMNS,
        TRAINING,
        Column("F1 test, %", ("test_micro_f1", "test_micro_f1_sd")),
        Column("F1 val., %", ("val_micro_f1", "val_micro_f1_sd")),
        Column("Δ", ("difference", "difference_low", "difference_high"), AGAINST),
        Column("p", ("p",), AGAINST),
        Column("p, Holm", ("p_holm",), AGAINST),
        Column("p, corrected", ("p_corrected",), AGAINST),
        *size_column,
        Column("F1 test, %", ("published_f1", "published_f1_sd"), PUBLISHED),
        Column("p", ("published_p",), PUBLISHED),
    ]

    def row(record: ClassifierRecord, ttest: TTestRecord | None) -> list[Cell]:
        f1 = [spread(value, 2, 100) for value in (record.test_micro_f1, record.val_micro_f1)]
        size = paper.nearest_size(record.n)
        theirs = _published_f1(size, record.aug, record.ratio, record.variant)
        known = size if theirs[0].values[0] is not None else None
        return [*f1, *_compared(comparison_of(ttest, record.name)), *size_cell(known, differs), *theirs]

    caption = (
        f"Micro-averaged F1 on the test images of {settings.folds} models, one for each fold, mean ± standard "
        f"deviation: {settings.backbone}{', frozen' if settings.freeze else ', fine-tuned'}."
    )
    notes = [
        "p: two-sided paired t-test over folds, as in the study. Holm: that p corrected over all comparisons of one "
        "subset. Corrected: resampled t-test of Nadeau and Bengio, which allows for the folds' shared training images, "
        f"not adjusted. Δ in percentage points of F1, with its 95 % interval. {STARS}",
        SHARED_TEST_IMAGES,
        *([ANOTHER_SIZE] if differs else []),
    ]
    if any(record.aug is not None and record.ratio != paper.RATIO for _, record in group.items):
        notes.append(MORE_RATIOS)
    return Table(name, caption, columns, _by_subset(group, row), notes + _apart(group))


def comparison_of(ttest: TTestRecord | None, name: str) -> Comparison | None:
    """Return the comparison of the classifier called `name`, if there is one."""
    return None if ttest is None else next((item for item in ttest.comparisons if item.name == name), None)


def _compared(found: Comparison | None) -> list[Cell]:
    if found is None:
        return [empty(3), empty(1), empty(1), empty(1)]
    difference = _points(found.difference, found.interval)
    return [difference, p_cell(found.p), adjusted(found.p_holm), p_cell(found.p_corrected)]


def _points(difference: float, interval: tuple[float, float]) -> Cell:
    points, low, high = (100 * value for value in (difference, *interval))
    return Cell(number(points, 2, sign=True), (points, low, high), f"[{number(low, 2)}, {number(high, 2)}]")


def _published_f1(size: int | None, aug: str | None, ratio: float, variant: str) -> list[Cell]:
    """Return the published F1 and p of a way of training; only one ratio was published."""
    if size is not None and aug is None:
        return [spread(paper.BASELINES[size], 2), empty(1)]
    values = None
    if size is not None and aug is not None and ratio == paper.RATIO and not variant:
        values = paper.GANS.get((size, aug))
    return [empty(2), empty(1)] if values is None else [spread(values.f1, 2), words(str(values.p))]


def tests_table(group: ClassifierGroup, name: str) -> Table | None:
    """Return the tests that the study did not make, or None where nothing was compared."""
    columns = [
        *LEAD_COLUMNS,
        TRAINING,
        Column("Effect size", ("effect_size",)),
        Column("Δ", ("difference", "corrected_low", "corrected_high"), "Resampled t-test"),
        Column("p", ("p_corrected",), "Resampled t-test"),
        Column("p, Holm", ("p_corrected_holm",), "Resampled t-test"),
        Column("p", ("p_wilcoxon",), "Wilcoxon"),
        Column("Only real right", ("mcnemar_only_baseline",), "McNemar, by image"),
        Column("Only this right", ("mcnemar_only_other",), "McNemar, by image"),
        Column("p", ("mcnemar_p",), "McNemar, by image"),
    ]
    subsets, groups = group.subsets, []
    for subset, ttest in group.ttests.items():
        rows = [
            [
                *lead(subset),
                Cell(training_label(item.aug, item.ratio, item.variant), (item.aug, item.ratio)),
                plain(item.effect_size, 2),
                _points(item.difference, item.interval_corrected),
                p_cell(item.p_corrected),
                adjusted(item.p_corrected_holm),
                p_cell(item.p_wilcoxon),
                count(item.mcnemar_images.only_baseline),
                count(item.mcnemar_images.only_other),
                p_cell(item.mcnemar_images.p),
            ]
            for item in in_order(ttest.comparisons)
        ]
        groups.append(RowGroup(subset_title(subset, subsets), rows))
    folds = group.settings.folds
    notes = [
        "Effect size: Cohen's d of paired samples. Resampled t-test: its own 95 % interval, and its p adjusted by "
        f"Holm. Wilcoxon's p over {folds} folds cannot be less than {2.0 ** (1 - folds):.3g}. McNemar: test images "
        f"that one of the two alone has right, one prediction an image by the mean of the folds' models. {STARS}"
    ]
    caption = "Tests that the published study did not make, against real images alone."
    return Table(name, caption, columns, groups, notes + _apart(group)) if groups else None


def scores_table(group: ClassifierGroup, name: str) -> Table:
    """Return every classifier's other scores on the test images."""
    fields: tuple[tuple[str, str, int, float], ...] = (
        ("Macro F1, %", "test_macro_f1", 1, 100),
        ("Balanced accuracy, %", "test_balanced_accuracy", 1, 100),
        ("AUC", "test_auc", 3, 1),
        ("Brier", "test_brier", 3, 1),
        ("Calibration error", "test_calibration_error", 3, 1),
    )
    columns = [*LEAD_COLUMNS, TRAINING, *(Column(title, (field, f"{field}_sd")) for title, field, _, _ in fields)]

    def row(record: ClassifierRecord, _: TTestRecord | None) -> list[Cell]:
        return [spread(getattr(record, field), digits, scale) for _, field, digits, scale in fields]

    notes = [
        "AUC: unweighted mean over classes, each against the others; 0.5 is chance. Brier: squared distance of the "
        "probabilities from the truth, summed over classes, 0 to 2; calibration error: 15 bins. Of both, lower is "
        "better.",
        *_apart(group),
    ]
    caption = "Other scores on the test images, mean ± standard deviation over folds."
    return Table(name, caption, columns, _by_subset(group, row), notes)


def class_table(group: ClassifierGroup, name: str) -> Table:
    """Return F1 and AUC of every class on the test images."""
    classes = list(dict.fromkeys(c for _, record in group.items for c in record.classes))
    columns = [
        *LEAD_COLUMNS,
        TRAINING,
        *(Column(c, (f"f1_{c}", f"f1_{c}_sd"), "F1, %") for c in classes),
        *(Column(c, (f"auc_{c}", f"auc_{c}_sd"), "AUC") for c in classes),
    ]

    def row(record: ClassifierRecord, _: TTestRecord | None) -> list[Cell]:
        f1 = [_class_mean([fold.test_class_f1.get(c) for fold in record.folds], 1, 100) for c in classes]
        return f1 + [_class_mean([fold.test_class_auc.get(c) for fold in record.folds], 3, 1) for c in classes]

    caption = "F1 and AUC of each class on the test images, mean ± standard deviation over folds."
    return Table(name, caption, columns, _by_subset(group, row), _apart(group))


def _class_mean(values: list[float | None], digits: int, scale: float) -> Cell:
    known = [value for value in values if value is not None]
    return spread(measured(known), digits, scale) if known else empty(2)


def seeds_table(group: ClassifierGroup, name: str) -> Table | None:
    """Return the comparisons over several seeds, or None where there are none."""
    columns = [
        Column("n", ("n",), shown=False),
        Column("Seeds", ("seeds",), shown=False),
        TRAINING,
        Column("F1 test, %", ("test_micro_f1", "test_micro_f1_sd")),
        Column("Δ", ("difference", "difference_low", "difference_high"), AGAINST),
        Column("p", ("p",), AGAINST),
        Column("p, Holm", ("p_holm",), AGAINST),
        Column("p, corrected", ("p_corrected",), AGAINST),
        Column("Seeds", ("sd_seeds",), "Spread of Δ between"),
        Column("Folds", ("sd_folds",), "Spread of Δ between"),
        Column("F1 test, %", ("published_f1", "published_f1_sd"), PUBLISHED),
        Column("p", ("published_p",), PUBLISHED),
    ]
    groups, differs, ratios = [], False, False
    for key, record in group.seeds.items():
        size = paper.nearest_size(key.n)
        rows = [[*_seeds_start(key), *_seeds_baseline(record.baseline_f1), *_published_f1(size, None, 0, "")]]
        for item in in_order(record.comparisons):
            rows.append(
                [
                    *_seeds_start(key),
                    Cell(training_label(item.aug, item.ratio, item.variant), (item.aug, item.ratio)),
                    spread(item.f1, 2, 100),
                    _points(item.difference, item.interval),
                    p_cell(item.p),
                    adjusted(item.p_holm),
                    p_cell(item.p_corrected),
                    plain(item.sd_seeds, 2, 100),
                    plain(item.sd_folds, 2, 100),
                    *_published_f1(size, item.aug, item.ratio, item.variant),
                ]
            )
            ratios = ratios or item.ratio != paper.RATIO
        differs = differs or size != key.n
        near = f" (published: n = {size})" if size is not None and size != key.n else ""
        groups.append(RowGroup(f"n = {key.n}, seeds {', '.join(map(str, key.seeds))}{near}", rows))
    if not groups:
        return None
    caption = (
        "Micro-averaged F1 on the test images over several seeds, each with its own subset, GANs and folds: mean ± "
        "standard deviation of the seeds' means."
    )
    notes = [
        "p: two-sided t-test of the seeds' mean differences; folds of one seed share images, seeds nearly do not. "
        "Holm: that p corrected over all comparisons of one n. Corrected: t-test for repeated cross-validation "
        "over all seeds and folds, not adjusted. Δ and its spread in percentage points of F1; the spread between seeds "
        f"is what remains beyond the folds'. {STARS}",
        *([ANOTHER_SIZE] if differs else []),
        *([MORE_RATIOS] if ratios else []),
    ]
    return Table(name, caption, columns, groups, notes + _apart(group))


def _seeds_start(key: SeedsKey) -> list[Cell]:
    return [count(key.n), words(" ".join(map(str, key.seeds)))]


def _seeds_baseline(f1: Measured) -> list[Cell]:
    blank = [empty(1) for _ in range(3)]
    return [Cell("Real alone", ("real", 0)), spread(f1, 2, 100), empty(3), *blank, empty(1), empty(1)]
