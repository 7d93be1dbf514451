"""Options of `usgan ttest`."""

from __future__ import annotations

from pathlib import Path

from usgan_cli.commands.common import OfSubset, StepOptions, ToPlace
from usgan_cli.core.options import selector


class Ttest(ToPlace, OfSubset, StepOptions):
    """Every classifier against its control over repeats and test images, and the study's own paired t-tests over folds.

    Writes the same as JSON, CSV and LaTeX (.json, .csv, .tex).
    """

    COMMAND = "ttest"

    seeds: tuple[int, ...] = selector(
        "Several repeats, which a verdict needs, in place of one seed.",
        default=(),
        metavar="SEED",
        least=0,
    )
    splits: tuple[int, ...] = selector(
        "Several splits of the data, by their seeds, each with these --seeds (or --seed): the first is the workspace's "
        "own, each further one the workspace WORK/splits/sSEED. A split counts as one repeat (default: the workspace's "
        "own).",
        default=(),
        metavar="SEED",
        least=0,
    )
    baseline: Path | None = selector(
        "Folder of the classifier on real images alone, in place of --n --seed; with --classifier and --out. Such a "
        "comparison has the tests over folds alone and is no part of the report.",
        default=None,
        metavar="DIR",
    )
    classifier: tuple[Path, ...] = selector(
        "With --baseline: folder of a classifier with generated images.", default=(), metavar="DIR"
    )
