"""Options of `usgan ttest`."""

from __future__ import annotations

from pathlib import Path

from usgan_cli.commands.common import OfSubset, StepOptions, ToPlace
from usgan_cli.core.options import option


class Ttest(ToPlace, OfSubset, StepOptions):
    """Paired t-tests over folds, with Holm's correction, the corrected resampled test, Wilcoxon's and McNemar's beside.

    Writes the same as JSON, CSV and LaTeX (.json, .csv, .tex).
    """

    COMMAND = "ttest"

    seeds: tuple[int, ...] = option(
        default=(),
        help="Several repeats: a summary over seeds and folds in place of one seed's tests.",
        metavar="SEED",
        least=0,
        recorded=False,
        in_study=False,
    )
    baseline: Path | None = option(
        default=None,
        help="Folder of the classifier on real images alone, in place of --n --seed.",
        metavar="DIR",
        recorded=False,
        in_study=False,
    )
    classifier: tuple[Path, ...] = option(
        default=(),
        help="With --baseline: folder of a classifier with generated images.",
        metavar="DIR",
        recorded=False,
        in_study=False,
    )
