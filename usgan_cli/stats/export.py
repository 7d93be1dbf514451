"""Comparisons as tables for other programs: CSV with every figure, LaTeX with the study's columns."""

from __future__ import annotations

import csv
import io

from usgan_cli.core.formats.comparison import Comparison, SeedComparison, SeedsRecord, TTestRecord
from usgan_cli.core.formats.measured import Measured
from usgan_cli.core.text import p_text, stars

LATEX_NAMES = {"none": "StyleGAN2", "ada": "ADA", "diffaug": "DiffAug", "ada+diffaug": "ADA and DiffAug"}


def to_csv(record: TTestRecord) -> str:
    """Return the comparisons as CSV text, one row each, the baseline first; empty where a test is undefined."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    tests = ("t", "p", "p_holm", "t_corrected", "p_corrected", "p_corrected_holm", "p_wilcoxon", "effect_size")
    head = ["n", "seed", "name", "aug", "ratio", "variant", f"{record.score}_mean", f"{record.score}_sd", "difference"]
    head += ["interval_low", "interval_high", "corrected_low", "corrected_high", *tests]
    for kind in ("mcnemar", "mcnemar_images"):
        head += [f"{kind}_only_baseline", f"{kind}_only_other", f"{kind}_p"]
    writer.writerow([*head, *(f"fold_{i}" for i in range(len(record.baseline_folds)))])
    f1 = record.baseline_f1
    start = [record.n, record.seed, record.baseline, "", 0.0, "", f1.mean, f1.sd]
    writer.writerow([*start, *[""] * (len(head) - len(start)), *record.baseline_folds])
    for c in record.comparisons:
        described = [record.n, record.seed, c.name, c.aug, c.ratio, c.variant, c.f1.mean, c.f1.sd, c.difference]
        found = [getattr(c, test) for test in tests]
        pairs = [value for m in (c.mcnemar, c.mcnemar_images) for value in (m.only_baseline, m.only_other, m.p)]
        blank = ["" if value is None else value for value in found]
        writer.writerow([*described, *c.interval, *c.interval_corrected, *blank, *pairs, *c.folds])
    return buffer.getvalue()


def seeds_to_csv(record: SeedsRecord) -> str:
    """Return the comparisons over seeds as CSV text, one row each."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    figures = ("difference", "sd_seeds", "sd_folds", "t", "p", "p_holm", "p_corrected")
    head = ["n", "name", "aug", "ratio", "variant", f"{record.score}_mean", f"{record.score}_sd"]
    seeds = [f"{what}_seed_{seed}" for what in ("baseline", "this") for seed in record.seeds]
    writer.writerow([*head, "interval_low", "interval_high", *figures, *seeds])
    for c in record.comparisons:
        described = [record.n, c.name, c.aug, c.ratio, c.variant, c.f1.mean, c.f1.sd, *c.interval]
        found = [getattr(c, figure) for figure in figures]
        writer.writerow([*described, *("" if v is None else v for v in found), *c.baseline_by_seed, *c.by_seed])
    return buffer.getvalue()


def to_latex(record: TTestRecord) -> str:
    r"""Return the comparisons as a LaTeX table (package booktabs), in percent; stars stand at adjusted values alone."""
    rows = [f"Real alone & {_plus_minus(record.baseline_f1)} & & & & & \\\\"]
    for c in record.comparisons:
        cells = [*_described(c), _latex_p(c.p), _adjusted(c.p_holm), _latex_p(c.p_corrected)]
        rows.append(" & ".join([*cells, _latex_p(c.mcnemar_images.p)]) + r" \\")
    head = r"Training images & F1, \% & Difference [95\,\%] & $p$ & $p$, Holm & $p$, corrected & $p$, McNemar \\"
    note = (
        f"% n = {record.n}, seed {record.seed}: {record.score}, mean and standard deviation of "
        f"{len(record.baseline_folds)} folds. Stars: p adjusted by Holm below 0.05, 0.01, 0.001. "
        "McNemar: one prediction a test image."
    )
    return _tabular(note, head, rows)


def seeds_to_latex(record: SeedsRecord) -> str:
    r"""Return the comparisons over seeds as a LaTeX table like that of `to_latex`."""
    rows = [f"Real alone & {_plus_minus(record.baseline_f1)} & & & & & \\\\"]
    for c in record.comparisons:
        spread = f"${100 * c.sd_seeds:.2f}$ / ${100 * c.sd_folds:.2f}$"
        cells = [*_described(c), spread, _latex_p(c.p), _adjusted(c.p_holm), _latex_p(c.p_corrected)]
        rows.append(" & ".join(cells) + r" \\")
    head = r"Training images & F1, \% & Difference [95\,\%] & SD, seeds / folds & $p$ & $p$, Holm & $p$, corrected \\"
    note = (
        f"% n = {record.n}, seeds {', '.join(map(str, record.seeds))}: {record.score}, mean and standard deviation of "
        f"the seeds' means over {record.folds} folds; p and interval: Student's t over seeds. "
        "Stars: p adjusted by Holm below 0.05, 0.01, 0.001."
    )
    return _tabular(note, head, rows)


def _tabular(note: str, head: str, rows: list[str]) -> str:
    lines = [note, r"\begin{tabular}{lcccccc}", r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _described(c: Comparison | SeedComparison) -> list[str]:
    """Return the cells that every table begins with: what was trained on, its F1, and the difference."""
    name = LATEX_NAMES.get(c.aug, _escaped(c.aug))
    words = f"+ {100 * c.ratio:g}\\,\\% {name}" + (f" ({_escaped(c.variant)})" if c.variant else "")
    low, high = (100 * value for value in c.interval)
    return [words, _plus_minus(c.f1), f"${100 * c.difference:+z.2f}$ [${low:.2f}$, ${high:.2f}$]"]


def _adjusted(p: float | None) -> str:
    """Return an adjusted p-value with its stars."""
    return _latex_p(p) + (f"$^{{{stars(p)}}}$" if stars(p) else "")


def _plus_minus(value: Measured) -> str:
    return f"${100 * value.mean:.2f} \\pm {100 * value.sd:.2f}$"


def _latex_p(p: float | None) -> str:
    return "--" if p is None else f"${p_text(p)}$"


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "&%$#_{}" else letter for letter in text)
