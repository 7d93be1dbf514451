"""Options of `usgan ttest`."""

from __future__ import annotations

from pathlib import Path

from usgan_cli.commands.common import OfSubset, StepOptions, ToPlace
from usgan_cli.core.options import selector


class Ttest(ToPlace, OfSubset, StepOptions):
    """Paired t-tests over folds, with Holm's correction, the corrected resampled test, Wilcoxon's and McNemar's beside.

    Writes the same as JSON, CSV and LaTeX (.json, .csv, .tex).
    """

    COMMAND = "ttest"

    seeds: tuple[int, ...] = selector(
        "Several repeats: a summary over seeds and folds in place of one seed's tests.",
        default=(),
        metavar="SEED",
        least=0,
    )
    baseline: Path | None = selector(
        "Folder of the classifier on real images alone, in place of --n --seed.", default=None, metavar="DIR"
    )
    classifier: tuple[Path, ...] = selector(
        "With --baseline: folder of a classifier with generated images.", default=(), metavar="DIR"
    )
