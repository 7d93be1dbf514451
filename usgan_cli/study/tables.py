"""The report's tables: this study's values, with the published ones in columns of their own.

Every table is of records that were made with the same settings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from usgan_cli.core.records import (
    ClassifierRecord,
    ClassifierSettings,
    Comparison,
    Measured,
    ScoreRecord,
    Scores,
    ScoreSettings,
    TTestRecord,
    measured,
)
from usgan_cli.study import published
from usgan_cli.study.report_data import GanKey, Group, StudyRecords, SubsetKey, label, valid_ttest
from usgan_cli.study.table_model import Cell, Column, RowGroup, Table, empty, number, p_value

PUBLISHED = f"Published ({published.CITATION})"
SHORT_LABELS = {"none": "StyleGAN2", "ada": "ADA", "diffaug": "DiffAug", "ada+diffaug": "ADA + DiffAug"}


def spread(value: Measured | published.Spread, digits: int, scale: float = 1) -> Cell:
    """Return a cell with mean ± sd."""
    mean, sd = value.mean * scale, value.sd * scale
    return Cell(f"{number(mean, digits)} ± {number(sd, digits)}", (mean, sd))


def short_name(name: str) -> str:
    """Return a name with long digests in it cut to eight digits."""
    return re.sub(r"([0-9a-f]{8})[0-9a-f]{8,}", r"\1", name)


def is_fid(extractor: str) -> bool:
    """Return whether an extractor is the FID Inception network, whose Fréchet distance alone is called FID."""
    return re.match(r"inception(?![a-z])", extractor, flags=re.IGNORECASE) is not None


def distance_name(extractor: str) -> str:
    """Return what the Fréchet distance of an extractor is called."""
    return "FID" if is_fid(extractor) else "FD"


def subset_title(key: SubsetKey, keys: Sequence[SubsetKey]) -> str:
    """Return "n = 100", with the seed where a number of images was drawn with more than one."""
    repeated = sum(other.n == key.n for other in keys) > 1
    return f"n = {key.n}, seed {key.seed}" if repeated or key.seed else f"n = {key.n}"


def _lead(key: SubsetKey) -> list[Cell]:
    return [Cell(str(key.n), (key.n,)), Cell(str(key.seed), (key.seed,))]


LEAD_COLUMNS = [Column("n", ("n",), shown=False), Column("Seed", ("seed",), shown=False)]


def _published_size(sizes: Sequence[int]) -> tuple[bool, list[Column]]:
    """Return whether a column must say which n the published values are for, and that column."""
    differs = any(published.nearest_size(n) != n for n in sizes)
    return differs, [Column("n", ("published_n",), PUBLISHED)] if differs else []


def _size_cell(n: int | None, differs: bool) -> list[Cell]:
    if not differs:
        return []
    return [empty(1) if n is None else Cell(str(n), (n,))]


def quality_table(group: Group[ScoreSettings, GanKey, ScoreRecord], number_of: str, name: str) -> Table:
    """Return the study's table 1: Fréchet distance, JS and SSIM of every GAN, and of real images."""
    settings = group.settings
    fid = is_fid(settings.extractor)
    differs, size_column = _published_size([key.n for key, _ in group.items])
    columns = [
        *LEAD_COLUMNS,
        Column("Images", ("images",), text=True),
        Column("Count", ("count",)),
        Column(distance_name(settings.extractor), ("fd", "fd_sd")),
        Column("JS", ("js",)),
        Column("SSIM", ("ssim", "ssim_sd")),
        *size_column,
        *([Column("FID", ("published_fid", "published_fid_sd"), PUBLISHED)] if fid else []),
        Column("JS", ("published_js",), PUBLISHED),
        Column("SSIM", ("published_ssim", "published_ssim_sd"), PUBLISHED),
    ]
    blank = [*(empty(1) for _ in size_column), *([empty(2)] if fid else []), empty(1), empty(2)]
    subsets = list(dict.fromkeys(key.subset for key, _ in group.items))
    groups = []
    for subset in subsets:
        members = [(key, score) for key, score in group.items if key.subset == subset]
        rows = []
        for key, score in members:
            size = published.nearest_size(key.n)
            values = None if size is None else published.GANS.get((size, key.aug))
            shown = blank if values is None else [*_size_cell(size, differs), *_published_quality(values, fid)]
            rows.append([*_lead(subset), *_quality(label(key.aug), settings.count, score.fake), *shown])
        own = next((score for _, score in members if score.subset is not None), None)
        if own is not None and own.subset is not None:
            rows.append([*_lead(subset), *_quality("Their own training images", own.subset_count, own.subset), *blank])
        groups.append(RowGroup(subset_title(subset, subsets), rows))
    groups.append(RowGroup("Real against real", _real_rows(group, blank)))
    extractor = short_name(settings.extractor)
    caption = (
        f"Table {number_of}. Generated images against the {settings.reference_count} real test images: "
        f"{'FID' if fid else 'Fréchet distance (FD) in the features of ' + extractor}, Jensen-Shannon distance of gray "
        f"values (JS), and mean structural similarity of random pairs (SSIM)."
    )
    return Table(name, caption, columns, groups, _quality_notes(settings, fid, group.difference, differs))


def _real_rows(group: Group[ScoreSettings, GanKey, ScoreRecord], blank: list[Cell]) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    seen: list[Scores] = []
    for _, score in group.items:
        if score.real not in seen:
            seen.append(score.real)
            title = "Real training images" if score.real_name == "train" else f"Real images: {score.real_name}"
            rows.append([empty(1), empty(1), *_quality(title, score.real_count, score.real), *blank])
    return rows


def _quality(title: str, count: int | None, scores: Scores) -> list[Cell]:
    distance = Cell(
        f"{number(scores.fd, 1)} ± {number(scores.fd_spread.sd, 1)}",
        (scores.fd, scores.fd_spread.sd),
    )
    return [
        Cell(title, (title,)),
        empty(1) if count is None else Cell(str(count), (count,)),
        distance,
        Cell(number(scores.js, 3), (scores.js,)),
        spread(scores.ssim, 3),
    ]


def _published_quality(values: published.GanValues, fid: bool) -> list[Cell]:
    distance = [empty(2) if values.fid is None else _as_published(values.fid)] if fid else []
    return [*distance, Cell(f"{values.js:g}", (values.js,)), _as_published(values.ssim)]


def _as_published(value: published.Spread) -> Cell:
    """Return a cell with the digits that were published, and no more."""
    return Cell(f"{value.mean:g} ± {value.sd:g}", (value.mean, value.sd))


def _quality_notes(settings: ScoreSettings, fid: bool, difference: str | None, differs: bool) -> list[str]:
    notes = [
        f"± of {'FID' if fid else 'FD'}: standard deviation over {settings.repeats} draws of half of both sets; "
        f"± of SSIM: over {settings.ssim_pairs} pairs. JS: {settings.js_bins} gray values. Lower FD and JS are nearer."
    ]
    if not fid:
        notes.append(
            "FD in these features is not FID and cannot be compared with the published FID, which is in the table of "
            "published values."
        )
    if differs:
        notes.append("Published values are of the nearest published n within a factor of two, which is named.")
    if difference is not None:
        notes.append(f"Measured with other settings than the first table, so kept apart ({short_name(difference)}).")
    return notes


def f1_table(
    records: StudyRecords, group: Group[ClassifierSettings, SubsetKey, ClassifierRecord], number_of: str, name: str
) -> Table:
    """Return the study's table 2: F1 on the test images of every training set, compared with real images alone."""
    settings = group.settings
    subsets = list(dict.fromkeys(key for key, _ in group.items))
    differs, size_column = _published_size([key.n for key in subsets])
    columns = [
        *LEAD_COLUMNS,
        Column("Training images", ("aug", "ratio"), text=True),
        Column("F1 test, %", ("test_micro_f1", "test_micro_f1_sd")),
        Column("F1 val., %", ("val_micro_f1", "val_micro_f1_sd")),
        Column("Δ [95 % interval]", ("difference", "difference_low", "difference_high"), "Against real alone"),
        Column("p", ("p",), "Against real alone"),
        Column("p, Holm", ("p_holm",), "Against real alone"),
        Column("p, corrected", ("p_corrected",), "Against real alone"),
        Column("p, Wilcoxon", ("p_wilcoxon",), "Against real alone", shown=False),
        *size_column,
        Column("F1 test, %", ("published_f1", "published_f1_sd"), PUBLISHED),
        Column("p", ("published_p",), PUBLISHED),
    ]
    groups = []
    for subset in subsets:
        ttest, _ = valid_ttest(records, subset, group)
        members = [record for key, record in group.items if key == subset]
        rows = [
            [*_lead(subset), *_f1(record), *_compared(ttest, record), *_published_f1(subset.n, record, differs)]
            for record in members
        ]
        groups.append(RowGroup(subset_title(subset, subsets), rows))
    caption = (
        f"Table {number_of}. Micro-averaged F1 on the test images of {settings.folds} models, one for each fold, "
        f"mean ± standard deviation: {settings.backbone}{', frozen' if settings.freeze else ', fine-tuned'}."
    )
    notes = [
        "p: two-sided paired t-test over folds, as in the study. Holm: corrected over all comparisons of one subset. "
        "Corrected: resampled t-test of Nadeau and Bengio, which allows for the folds' shared training images. "
        f"Δ in percentage points of F1. Wilcoxon's p is in the CSV file; over {settings.folds} folds it cannot be "
        f"less than {2.0 ** (1 - settings.folds):.3g}.",
    ]
    if differs:
        notes.append("Published values are of the nearest published n within a factor of two, which is named.")
    if any(record.aug is not None and record.ratio != published.RATIO for _, record in group.items):
        notes.append("Values were published for +100 % synthetic images alone.")
    if group.difference is not None:
        difference = short_name(group.difference)
        notes.append(f"Trained with other settings than the first table's classifiers, so kept apart ({difference}).")
    return Table(name, caption, columns, groups, notes)


def training_label(aug: str | None, ratio: float, variant: str = "") -> str:
    """Return a classifier's training set in words, with what is unlike the study's protocol."""
    beyond = f" ({variant})" if variant else ""
    return "Real alone" if aug is None else f"+ {100 * ratio:g} % {SHORT_LABELS.get(aug, aug)}{beyond}"


def _f1(record: ClassifierRecord) -> list[Cell]:
    words = training_label(record.aug, record.ratio, record.variant)
    return [
        Cell(words, (record.aug or "real", record.ratio if record.aug else 0)),
        spread(record.test_micro_f1, 2, 100),
        spread(record.val_micro_f1, 2, 100),
    ]


def comparison_of(ttest: TTestRecord | None, name: str) -> Comparison | None:
    """Return the comparison of the classifier called `name`, if there is one."""
    return None if ttest is None else next((item for item in ttest.comparisons if item.name == name), None)


def _compared(ttest: TTestRecord | None, record: ClassifierRecord) -> list[Cell]:
    found = comparison_of(ttest, record.name)
    if found is None:
        return [empty(3), *(empty(1) for _ in range(4))]
    points = [100 * value for value in (found.difference, *found.interval)]
    text = f"{number(points[0], 2, sign=True)} [{number(points[1], 2)}, {number(points[2], 2)}]"
    values = [found.p, found.p_holm, found.p_corrected, found.p_wilcoxon]
    return [Cell(text, tuple(points)), *(Cell(p_value(p), (p,)) for p in values)]


def _published_f1(n: int, record: ClassifierRecord, differs: bool) -> list[Cell]:
    size = published.nearest_size(n)
    if size is not None and record.aug is None:
        return [*_size_cell(size, differs), spread(published.BASELINES[size], 2), empty(1)]
    values = None
    if size is not None and record.aug is not None and record.ratio == published.RATIO and not record.variant:
        values = published.GANS.get((size, record.aug))
    if values is None:
        return [*([empty(1)] if differs else []), empty(2), empty(1)]
    return [*_size_cell(size, differs), spread(values.f1, 2), Cell(str(values.p), (str(values.p),))]


def class_table(group: Group[ClassifierSettings, SubsetKey, ClassifierRecord], number_of: str, name: str) -> Table:
    """Return the F1 of every class, their mean (macro F1) and the balanced accuracy, over folds."""
    classes = list(dict.fromkeys(c for _, record in group.items for c in record.classes))
    subsets = list(dict.fromkeys(key for key, _ in group.items))
    columns = [
        *LEAD_COLUMNS,
        Column("Training images", ("aug", "ratio"), text=True),
        *(Column(f"F1 {c}, %", (f"f1_{c}", f"f1_{c}_sd")) for c in classes),
        Column("Macro F1, %", ("macro_f1", "macro_f1_sd")),
        Column("Balanced accuracy, %", ("balanced_accuracy", "balanced_accuracy_sd")),
    ]
    groups = []
    for subset in subsets:
        rows = []
        for record in [record for key, record in group.items if key == subset]:
            by_class = [[f.test_class_f1[c] for f in record.folds if c in f.test_class_f1] for c in classes]
            balanced = measured([fold.test_balanced_accuracy for fold in record.folds])
            cells = [spread(measured(values), 1, 100) if values else empty(2) for values in by_class]
            rows.append(
                [*_lead(subset), _f1(record)[0], *cells, spread(record.test_macro_f1, 1, 100), spread(balanced, 1, 100)]
            )
        groups.append(RowGroup(subset_title(subset, subsets), rows))
    return Table(
        name,
        f"Table {number_of}. F1 of each class on the test images, mean ± standard deviation over folds.",
        columns,
        groups,
    )


def published_table(number_of: str) -> Table:
    """Return the published values, whole."""
    columns = [
        Column("n", ("n",), shown=False),
        Column("GAN", ("gan",), text=True),
        Column("FID", ("fid", "fid_sd")),
        Column("JS", ("js",)),
        Column("SSIM", ("ssim", "ssim_sd")),
        Column("F1 test, %", ("f1", "f1_sd")),
        Column("p", ("p",)),
    ]
    groups = []
    for n in published.SIZES:
        baseline = published.BASELINES[n]
        alone = "Real images alone"
        rows = [
            [Cell(str(n), (n,)), Cell(alone, (alone,)), empty(2), empty(1), empty(2), spread(baseline, 2), empty(1)]
        ]
        for aug in published.AUGS:
            values = published.GANS[n, aug]
            cells = [*_published_quality(values, fid=True), spread(values.f1, 2), Cell(str(values.p), (str(values.p),))]
            rows.append([Cell(str(n), (n,)), Cell(label(aug), (label(aug),)), *cells])
        groups.append(RowGroup(f"n = {n}", rows))
    caption = (
        f"Table {number_of}. The values of {published.CITATION} for BUSI at 256 × 256; F1 with 100 % synthetic "
        "images added to the real ones, p against real images alone."
    )
    return Table("published", caption, columns, groups)
