"""Comparisons as tables for other programs: CSV with every figure, LaTeX with the study's columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from usgan_cli.core.formats.comparison import Comparison, SeedComparison, SeedsRecord, TTestRecord
from usgan_cli.core.formats.measured import Measured
from usgan_cli.core.table import AdjustedP, Cell, Column, PValue, Table, Words
from usgan_cli.core.text import number, training_label

STARS = "Stars: p adjusted by Holm below 0.05, 0.01, 0.001."


@dataclass(frozen=True)
class _Row:
    """A training set that was compared with the baseline, or (without a comparison) the baseline itself."""

    name: str
    f1: Measured
    scores: Sequence[float]
    """Those by fold or seed that the CSV file lists."""
    item: Comparison | SeedComparison | None


def comparison_table(record: TTestRecord) -> Table:
    """Return the comparisons of one subset: in CSV F1 is from 0 to 1, in LaTeX in percent."""
    columns = [
        Column("n", "n", lambda _: record.n, shown=False),
        Column("Seed", "seed", lambda _: record.seed, shown=False),
        *_first_columns(record.score),
        Column("", "corrected", _corrected_interval, shown=False, endings=("_low", "_high")),
        _hidden("t"),
        *P_COLUMNS,
        _hidden("t_corrected"),
        PValue("p, corrected", "p_corrected", partial(_value, path="p_corrected")),
        *(_hidden(path) for path in ("p_corrected_holm", "p_wilcoxon", "effect_size")),
        *(_hidden(f"mcnemar.{path}") for path in ("only_baseline", "only_other", "p")),
        *(_hidden(f"mcnemar_images.{path}") for path in ("only_baseline", "only_other")),
        PValue("p, McNemar", "mcnemar_images_p", partial(_value, path="mcnemar_images.p")),
        *_score_columns([f"fold_{i}" for i in range(len(record.baseline_folds))]),
    ]
    rows = [_Row(record.baseline, record.baseline_f1, record.baseline_folds, None)]
    rows += [_Row(item.name, item.f1, item.folds, item) for item in record.comparisons]
    caption = (
        f"n = {record.n}, seed {record.seed}: {record.score}, mean and standard deviation of "
        f"{len(record.baseline_folds)} folds."
    )
    return Table.of("comparisons", caption, columns, [("", rows)], [STARS, "McNemar: one prediction a test image."])


def seeds_table(record: SeedsRecord) -> Table:
    """Return the comparisons over several seeds, in the same units."""
    columns = [
        Column("n", "n", lambda _: record.n, shown=False),
        *_first_columns(record.score),
        Column("SD, seeds / folds", "sd", _seeds_and_folds, endings=("_seeds", "_folds")),
        _hidden("t"),
        *P_COLUMNS,
        PValue("p, corrected", "p_corrected", partial(_value, path="p_corrected")),
        *_score_columns([f"{what}_seed_{seed}" for what in ("baseline", "this") for seed in record.seeds]),
    ]
    rows = [_Row(record.baseline, record.baseline_f1, [], None)]
    rows += [_Row(item.name, item.f1, [*item.baseline_by_seed, *item.by_seed], item) for item in record.comparisons]
    caption = (
        f"n = {record.n}, seeds {', '.join(map(str, record.seeds))}: {record.score}, mean and standard deviation of "
        f"the seeds' means over {record.folds} folds; p and interval: Student's t over seeds."
    )
    return Table.of("comparisons", caption, columns, [("", rows)], [STARS])


def _value(row: _Row, path: str) -> Any:
    """Return a field of the comparison, by its dotted name; None for the baseline."""
    return None if row.item is None else attrgetter(path)(row.item)


def _hidden(path: str) -> Column[_Row]:
    """Return a column for CSV alone."""
    return Column(path, path.replace(".", "_"), partial(_value, path=path), None, shown=False)


P_COLUMNS: list[Column[_Row]] = [
    PValue("p", "p", partial(_value, path="p")),
    AdjustedP("p, Holm", "p_holm", partial(_value, path="p_holm")),
]


def _first_columns(score: str) -> list[Column[_Row]]:
    """Return what every table begins with: the training set, its F1, and the difference from the baseline."""
    return [
        Words("Training images", "", _training, endings=("name", "aug", "ratio", "control", "variant")),
        Column("F1, %", score, _f1, endings=("_mean", "_sd")),
        Column("Difference [95 %]", "", _difference, endings=("difference", "interval_low", "interval_high")),
    ]


def _score_columns(keys: Sequence[str]) -> list[Column[_Row]]:
    """Return a column for CSV alone for each fold or seed."""

    def score(row: _Row, i: int) -> float | None:
        return row.scores[i] if i < len(row.scores) else None

    return [Column(key, key, partial(score, i=i), None, shown=False) for i, key in enumerate(keys)]


def _training(row: _Row) -> Cell:
    item = row.item
    if item is None:
        return Cell(training_label(None), (row.name, "", 0.0, "", ""))
    label = training_label(item.aug, item.ratio, item.variant, item.control)
    return Cell(label, (row.name, item.aug or "", item.ratio, item.control or "", item.variant))


def _f1(row: _Row) -> Cell:
    return Cell(f"{number(100 * row.f1.mean, 2)} ± {number(100 * row.f1.sd, 2)}", (row.f1.mean, row.f1.sd))


def _difference(row: _Row) -> Cell | None:
    if row.item is None:
        return None
    low, high = row.item.interval
    points = number(100 * row.item.difference, 2, sign=True)
    interval = f"[{number(100 * low, 2)}, {number(100 * high, 2)}]"
    return Cell(points, (row.item.difference, low, high), interval)


def _corrected_interval(row: _Row) -> Cell | None:
    interval: tuple[float, float] | None = _value(row, "interval_corrected")
    return None if interval is None else Cell("", interval)


def _seeds_and_folds(row: _Row) -> Cell | None:
    item = row.item
    if not isinstance(item, SeedComparison):
        return None
    return Cell(f"{number(100 * item.sd_seeds, 2)} / {number(100 * item.sd_folds, 2)}", (item.sd_seeds, item.sd_folds))
