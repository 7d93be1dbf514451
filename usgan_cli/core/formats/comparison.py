"""Formats of comparisons of classifiers: over the folds of one subset, and over several seeds."""

from __future__ import annotations

from pydantic import Field

from usgan_cli.core.formats.classifier import ClassifierSettings
from usgan_cli.core.formats.measured import Measured
from usgan_cli.core.store.document import Document, Part
from usgan_cli.core.store.workspace import ControlName
from usgan_cli.core.text import number


class McNemar(Part):
    """Exact test of McNemar (1947) on paired right and wrong predictions."""

    only_baseline: int
    """Images that only the baseline classifies correctly."""
    only_other: int
    p: float
    """Two-sided, binomial; 1 where both counts are 0."""


SHARED_TEST_IMAGES = (
    "All folds are scored on the same test images: tests over folds tell how training varies, not which way other test "
    "images would decide. McNemar's test, on one prediction an image, allows for that."
)
"""A caution for every reader of a `Comparison`."""


class VarianceParts(Part):
    """As in `usgan_cli.stats.mrmc.Variances`."""

    training: float
    own: float
    shared: float


class ArmEffect(Part):
    """A training setting against its control, by `usgan_cli.stats.mrmc`: repeats and test images are random.

    Units are shares of the test images (0 to 1). What it allows to be said depends on all comparisons of a report.
    """

    name: str
    aug: str | None
    """As in `ClassifierRecord`, like ratio, control and variant."""
    ratio: float
    control: ControlName | None
    variant: str
    against: str
    """Name of the control: copies-x1, or real."""
    more_updates: bool
    """Whether equal epochs gave the control fewer updates: a gain may come from these alone."""
    difference: float
    interval: tuple[float, float]
    """95 % confidence interval; with one repeat for the classifiers of this repeat alone."""
    p: float | None
    """Two-sided, not adjusted; None where no image is classified differently."""
    by_repeat: list[float]
    standard_error: float
    df: float
    hillis_df: float | None
    """None where it is infinite, as where all repeats differ by the same amount."""
    images: int
    clusters: int
    """Test images, and clusters of those that belong together: copies, one patient."""
    variances: VarianceParts | None
    """None with one repeat."""
    only_treated: float
    only_control: float
    images_by_repeat: list[int] = Field(default_factory=list)
    """Test images of each repeat, where repeats are splits, of which `images` are the union; else empty."""
    trainings: list[list[float]] = Field(default_factory=list)
    """Differences of the trainings within each repeat, where a repeat is a split with several; else empty."""
    false_claim: float
    """Probability that the one with the higher accuracy is not the better one (see `mrmc.Effect`)."""


class RealImages(Part):
    """How many real images: from `low` to `high`, which are equal for one number; open where the curve ends."""

    low: float
    high: float
    below: bool = False
    """Whether it goes on below `low`, the curve's smallest size."""
    above: bool = False
    """Whether it goes on above `high`, the curve's largest size."""

    def words(self, beyond: int = 0) -> str:
        """Return it in words: "182", "100 to 250", "more than 500"; beyond so many images "+82", "more than +400"."""
        low, high = (number(value - beyond, 0, sign=bool(beyond)) for value in (self.low, self.high))
        first, last = "less than " * self.below + low, "more than " * self.above + high
        if low != high:
            return f"{first} to {last}"
        return last if self.above else first


class CurvePoint(Part):
    """Real images alone at one size."""

    n: int
    by_repeat: list[float]
    """Accuracy in each repeat, or split, mean over folds."""
    fitted: float
    """The monotone curve's value."""


class ArmExchange(Part):
    """How many real images alone do as well as a training setting, by `usgan_cli.stats.exchange`."""

    name: str
    aug: str | None
    """As in `ClassifierRecord`, like ratio, control and variant."""
    ratio: float
    control: ControlName | None
    variant: str
    accuracy: float
    """Mean over repeats."""
    real: RealImages
    """A range where the curve is flat."""
    interval: RealImages
    """95 % confidence interval."""


class Exchange(Part):
    """Every training setting of one size against the curve of real images alone over all sizes."""

    curve: list[CurvePoint]
    arms: list[ArmExchange]
    """Empty where nothing can be told."""
    lacking: str = ""
    """Why nothing can be told, and what to add."""


class Comparison(Part):
    """One classifier with synthetic images, or a control, against the baseline, paired by fold."""

    name: str
    aug: str | None
    """As in `ClassifierRecord`, like ratio, control and variant."""
    ratio: float
    control: ControlName | None
    variant: str
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
    """`p` after Holm's correction over all comparisons of the record, as for `p_corrected_holm`."""
    t_corrected: float | None
    p_corrected: float | None
    """Corrected resampled t-test, which allows for the folds' shared training images."""
    p_corrected_holm: float | None
    interval_corrected: tuple[float, float]
    """95 % interval of the mean difference with the corrected test's variance."""
    p_wilcoxon: float | None
    effect_size: float | None
    """Cohen's d of paired samples: mean difference over the differences' standard deviation."""
    mcnemar: McNemar
    """On the pooled test predictions of all folds. Each test image counts once per fold, so p is too small."""
    mcnemar_images: McNemar
    """On one prediction per test image, from the mean probability of the folds' models: independent pairs."""


class TTestRecord(Document):
    """`ttests/n100-s0.json`: comparisons over the folds of one subset."""

    FORMAT = "usgan/ttest"
    VERSION = 4

    n: int
    seed: int
    score: str
    baseline: str
    baseline_f1: Measured
    baseline_folds: list[float]
    settings: ClassifierSettings
    comparisons: list[Comparison]
    effects: list[ArmEffect] = Field(default_factory=list)
    """One repeat's; empty for classifiers whose folders were named, since their dataset is not known."""
    tables: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each table beside this record, by file name."""

    def beside(self) -> dict[str, str]:
        """Return the digest of each table."""
        return self.tables


class SeedComparison(Part):
    """One training setting against the baseline over several seeds, each with its own subset and folds."""

    name: str
    aug: str | None
    """As in `ClassifierRecord`, like ratio, control and variant."""
    ratio: float
    control: ControlName | None
    variant: str
    baseline_by_seed: list[float]
    """Mean over folds of the baseline's score, per seed; `by_seed` is this classifier's."""
    by_seed: list[float]
    f1: Measured
    """Over the seeds' means."""
    difference: float
    """Mean over seeds of the mean over folds of (this - baseline)."""
    interval: tuple[float, float]
    """95 % confidence interval of the difference (Student's t over seeds)."""
    sd_seeds: float
    """Standard deviation of the difference between seeds, beyond what folds within a seed explain."""
    sd_folds: float
    """Standard deviation of the difference between folds of one seed."""
    t: float | None
    p: float | None
    """Two-sided t-test on the seeds' mean differences: folds of a seed are dependent, seeds nearly independent."""
    p_holm: float | None
    p_corrected: float | None
    """Corrected t-test for repeated cross-validation, over all seeds and folds."""


class SeedsRecord(Document):
    """`ttests/n100-s0+1+2.json`: comparisons over seeds and folds."""

    FORMAT = "usgan/ttest-seeds"
    VERSION = 3

    n: int
    seeds: list[int]
    folds: int
    score: str
    baseline: str
    baseline_f1: Measured
    """Over the seeds' means."""
    comparisons: list[SeedComparison]
    effects: list[ArmEffect] = Field(default_factory=list)
    exchange: Exchange | None = None
    tables: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each table beside this record, by file name."""

    def beside(self) -> dict[str, str]:
        """Return the digest of each table."""
        return self.tables


class SplitsRecord(Document):
    """`ttests/n100-s0+1-splits0+1+2.json`: comparisons over several splits, each of which counts as one repeat."""

    FORMAT = "usgan/ttest-splits"

    n: int
    seeds: list[int]
    """Repeats within each split."""
    splits: list[int]
    """Seeds of the splits; the first is the workspace's own."""
    folds: int
    baseline: str
    baseline_by_split: list[list[float]]
    """Mean over folds of the baseline's micro-averaged F1 on the test images [splits, seeds]."""
    effects: list[ArmEffect]
    exchange: Exchange | None = None
