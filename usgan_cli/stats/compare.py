"""Comparison of classifiers with the baseline: which records pair, every test of each pair, and several seeds."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.classifier import ClassifierRecord, ClassifierSettings, Predictions
from usgan_cli.core.formats.comparison import Comparison, SeedComparison, SeedsRecord, TTestRecord
from usgan_cli.core.formats.measured import measured
from usgan_cli.core.store.document import first_difference
from usgan_cli.core.store.workspace import generator_words
from usgan_cli.stats.tests import corrected_resampled_t, effect_size, holm, mcnemar, mean_interval, paired_t, wilcoxon

SCORE = "test_micro_f1"


@dataclass(frozen=True)
class Classified:
    """A classifier's record with the predictions that it was computed from."""

    record: ClassifierRecord
    predictions: Predictions

    @property
    def name(self) -> str:
        """Name of the record."""
        return self.record.name

    def scores(self) -> list[float]:
        """Return the score of each fold, by the folds' numbers."""
        return [fold.test_micro_f1 for fold in sorted(self.record.folds, key=lambda fold: fold.fold)]

    def test_files(self) -> list[tuple[int, str]]:
        """Return fold and file of every test prediction, in order."""
        rows = self._test_rows()
        return [(int(self.predictions.fold[i]), self.predictions.files[i]) for i in rows]

    def right(self) -> NDArray[np.bool_]:
        """Return whether each test prediction is right, in the order of `test_files`."""
        rows = self._test_rows()
        right: NDArray[np.bool_] = self.predictions.probability[rows].argmax(1) == self.predictions.label[rows]
        return right

    def test_images(self) -> list[str]:
        """Return the test images, in the order of `right_by_fold`."""
        files = [file for _, file in self.test_files()]
        images, folds = sorted(set(files)), len(self.record.folds)
        if files != images * folds:
            raise DataError(
                f"The predictions of {self.name!r} do not hold every test image once for each of its folds.",
                "Train it again: usgan train-cls --force",
            )
        return images

    def right_by_fold(self) -> NDArray[np.bool_]:
        """Return whether each fold's model classifies each test image correctly [folds, images]."""
        return self.right().reshape(len(self.record.folds), -1)

    def right_by_image(self) -> NDArray[np.bool_]:
        """Return whether each test image is classified correctly by the mean probability of all folds' models."""
        rows = self._test_rows()
        images = len(self.test_images())
        mean = self.predictions.probability[rows].reshape(len(self.record.folds), images, -1).mean(0)
        right: NDArray[np.bool_] = mean.argmax(1) == self.predictions.label[rows[:images]]
        return right

    def _test_rows(self) -> NDArray[np.int64]:
        rows = np.flatnonzero(self.predictions.part == "test")
        keys = [(int(self.predictions.fold[i]), self.predictions.files[i]) for i in rows]
        return rows[np.array(sorted(range(len(rows)), key=keys.__getitem__), dtype=np.int64)]


Family = tuple[Classified, Sequence[Classified]]
"""A baseline, and the classifiers that are compared with it."""


def compare(baseline: Classified, others: Sequence[Classified]) -> TTestRecord:
    """Compare classifiers with synthetic images, and controls, with the one on real images alone, paired by fold.

    Holm's correction covers `others`. Records that differ in more than the images added, or in the updates they took,
    and a baseline that has some are a `SettingsError`; folds or test images that do not match are a `DataError`.
    """
    n, seed = baseline.record.n, baseline.record.settings.seed
    if not others:
        raise DataError(
            f"No classifier with synthetic images to compare with the baseline (n={n}, seed {seed}).",
            f"Train one: usgan train-cls --n {n} --aug diffaug --ratio 1",
        )
    if not baseline.record.is_baseline:
        raise SettingsError(
            f"The baseline {baseline.name!r} has images of a GAN or is a control, not real ones alone.",
            f"Train one on real images alone: usgan train-cls --n {n}",
        )
    for other in others:
        check_pair(baseline, other)
    names = [other.name for other in others]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SettingsError(f"Two of the classifiers are called {min(twice)!r}; name each once.")
    raw = [_compare_one(baseline, other) for other in others]
    adjusted = holm([comparison.p for comparison in raw])
    corrected = holm([comparison.p_corrected for comparison in raw])
    return TTestRecord(
        n=n,
        seed=seed,
        score=SCORE,
        baseline=baseline.name,
        baseline_f1=measured(baseline.scores()),
        baseline_folds=baseline.scores(),
        settings=baseline.record.settings,
        comparisons=[
            comparison.model_copy(update={"p_holm": p, "p_corrected_holm": q})
            for comparison, p, q in zip(raw, adjusted, corrected, strict=True)
        ],
    )


def check_pair(baseline: Classified, other: Classified) -> None:
    """Raise unless the two differ in the images added alone, naming what else differs."""
    one, two = baseline.record, other.record
    pair = f"{one.name!r} and {two.name!r}"
    if two.is_baseline:
        raise SettingsError(f"The classifier {two.name!r} has no synthetic images: it is a baseline itself.")
    again = "Train one of them again with the other's settings."
    for field, (mine, theirs) in {"n": (one.n, two.n), "classes": (one.classes, two.classes)}.items():
        if mine != theirs:
            raise SettingsError(f"The classifiers {pair} cannot be compared: {field}: {mine} and {theirs}.")
    check_budgets(one, two)
    if difference := settings_difference(one.settings, two.settings):
        raise SettingsError(f"The classifiers {pair} cannot be compared: they differ in {difference}.", again)
    folds, others = sorted(f.fold for f in one.folds), sorted(f.fold for f in two.folds)
    if folds != others or len(set(folds)) != len(folds):
        raise DataError(f"The folds of {pair} do not match: {folds} and {others}.")
    validated, others_validated = ({f.fold: f.validation for f in record.folds} for record in (one, two))
    for fold, digest in validated.items():
        if others_validated[fold] != digest:
            raise DataError(
                f"Fold {fold} of {pair} was validated on different images: the folds were drawn differently.", again
            )
    if baseline.test_files() != other.test_files():
        raise DataError(f"The predictions of {pair} are not for the same test images in the same folds.", again)


def check_budgets(one: ClassifierRecord, two: ClassifierRecord) -> None:
    """Raise if one of two classifiers was trained more than the other: its gain could come from that alone.

    Classifiers with equal epochs pass: that is the published study's protocol.
    """
    budgets = [record.settings.budget for record in (one, two)]
    pair = f"The classifiers {one.name!r} and {two.name!r} cannot be compared"
    if budgets == ["epochs", "epochs"]:
        return
    if budgets[0] != budgets[1]:
        raise SettingsError(
            f"{pair}: one has equal updates, the other equal epochs.",
            "Train one of them again with the other's --budget (and --refresh).",
        )
    mine, theirs = ({fold.fold: fold.updates for fold in record.folds} for record in (one, two))
    for fold in sorted(mine.keys() & theirs.keys()):
        if mine[fold] != theirs[fold]:
            raise SettingsError(
                f"{pair}: they took {mine[fold]} and {theirs[fold]} optimiser updates, and the gain of the one with "
                "more may come from that alone.",
                f"Train {two.name!r} again with --updates {mine[fold]} --refresh, or both with --budget epochs, as the "
                "paper did.",
            )


def settings_difference(one: ClassifierSettings, two: ClassifierSettings) -> str | None:
    """Return in words the first setting in which two classifiers differ, those of their training one by one."""
    if difference := first_difference(one, two.model_copy(update={"training": one.training})):
        return difference
    for name in sorted(one.training.keys() | two.training.keys()):
        values = [settings.training.get(name, "unset") for settings in (one, two)]
        if values[0] != values[1]:
            return f"{name}: {values[0]!r} and {values[1]!r}"
    return None


def _compare_one(baseline: Classified, other: Classified) -> Comparison:
    record = other.record
    f1, baseline_f1 = other.scores(), baseline.scores()
    differences = [a - b for a, b in zip(f1, baseline_f1, strict=True)]
    t, p = paired_t(f1, baseline_f1)
    # With k folds the left-out part is to the training part as 1 to k - 1.
    corrected = corrected_resampled_t(differences, len(differences) - 1, 1)
    return Comparison(
        name=record.name,
        aug=record.aug,
        ratio=record.ratio,
        control=record.control,
        variant=record.variant,
        f1=measured(f1),
        folds=f1,
        difference=float(np.mean(differences)),
        interval=mean_interval(differences),
        t=t,
        p=p,
        p_holm=None,
        t_corrected=corrected.t,
        p_corrected=corrected.p,
        p_corrected_holm=None,
        interval_corrected=mean_interval(differences, 1 / (len(differences) - 1)),
        p_wilcoxon=wilcoxon(f1, baseline_f1),
        effect_size=effect_size(differences),
        mcnemar=mcnemar(baseline.right(), other.right()),
        mcnemar_images=mcnemar(baseline.right_by_image(), other.right_by_image()),
    )


def compare_seeds(families: Sequence[Family]) -> SeedsRecord:
    """Summarise comparisons over several seeds, each with its own subset and folds.

    Folds of one seed share images, so the unit of the t-test is the seed: its mean difference over folds. A one-way
    analysis of variance separates the spread between seeds from that between the folds of a seed. The corrected
    t-test for repeated cross-validation (Bouckaert and Frank 2004) over all folds is recorded too.

    There is a family (a baseline, the others) for each seed. Records that differ in more than seed, subset and
    synthetic images are a `SettingsError`; fewer than two seeds, or one that lacks a training set, a `DataError`.
    """
    if len(families) < 2:
        raise DataError("A summary over seeds needs at least two of them.", "Give --seeds for each.")
    first = families[0][0].record
    check_alike(families)
    seeds = [baseline.record.settings.seed for baseline, _ in families]
    if len(set(seeds)) != len(seeds):
        raise SettingsError(f"Every seed counts once; these were given: {', '.join(map(str, seeds))}.")
    check_complete(families, [(f"Seed {seed}", "") for seed in seeds])
    raw = [_over_seeds(families, other.name) for other in families[0][1]]
    adjusted = holm([comparison.p for comparison in raw])
    return SeedsRecord(
        n=first.n,
        seeds=seeds,
        folds=len(first.folds),
        score=SCORE,
        baseline=first.name,
        baseline_f1=measured([float(np.mean(baseline.scores())) for baseline, _ in families]),
        comparisons=[c.model_copy(update={"p_holm": p}) for c, p in zip(raw, adjusted, strict=True)],
    )


def check_alike(families: Sequence[Family], *, splits: bool = False) -> None:
    """Raise unless families differ in seed, subset and synthetic images alone; of other `splits` in test images too."""
    first = families[0][0].record
    for baseline, others in families:
        for other in others:
            check_pair(baseline, other)
        mine, theirs = (_without_seed(record, splits=splits) for record in (first, baseline.record))
        alike = theirs.model_copy(update={"settings": mine.settings})
        if difference := settings_difference(mine.settings, theirs.settings) or first_difference(mine, alike):
            raise SettingsError(f"The baselines of different seeds cannot be summarised: they differ in {difference}.")


def check_complete(families: Sequence[Family], places: Sequence[tuple[str, str]]) -> None:
    """Raise a `DataError` if a family lacks a training set that another has: it would be compared with other controls.

    `places` says what each family is ("Seed 1") and which option, after a blank, leads to its workspace (or "").
    """
    names = [{other.name for other in others} for _, others in families]
    for (baseline, _), own, (place, work) in zip(families, names, places, strict=True):
        if missing := set().union(*names) - own:
            raise _lacking(families, min(missing), baseline.record.settings.seed, place, work)


def _lacking(families: Sequence[Family], name: str, seed: int, place: str, work: str) -> DataError:
    """Return the error that one family has no classifier `name`, with the command that trains it."""
    record = next(other.record for _, others in families for other in others if other.name == name)
    options = [f"--n {record.n} --seed {seed}"]
    options += [] if record.aug is None else [shlex.join(generator_words(record.aug))]
    options += [f"--control {record.control}"] * bool(record.control)
    options += [f"--ratio {record.ratio:g}"]
    options += ["--synthetic-only"] * record.synthetic_only + ["--strict"] * (record.protocol == "strict")
    options += [] if record.select is None else [f"--select {record.select}"]
    return DataError(
        f"{place} has no classifier {name!r}, which others of the comparison have.",
        f"Train it: usgan train-cls {' '.join(options)}{work} (and the other settings of its baseline)",
    )


def _without_seed(record: ClassifierRecord, *, splits: bool) -> ClassifierRecord:
    """Return what records of different seeds must have in common."""
    settings = record.settings.model_copy(update={"seed": 0, "subset": ""} | ({"test": ""} if splits else {}))
    scores = {name: measured([0.0]) for name, value in record if name.startswith(("test_", "val_"))}
    return record.model_copy(update={"settings": settings, "folds": [], "confusion": [], "c": None, **scores})


def _over_seeds(families: Sequence[Family], name: str) -> SeedComparison:
    pairs = [(baseline, next(other for other in others if other.name == name)) for baseline, others in families]
    record = pairs[0][1].record
    ours = np.array([other.scores() for _, other in pairs])
    theirs = np.array([baseline.scores() for baseline, _ in pairs])
    differences = ours - theirs  # [seeds, folds]
    folds = differences.shape[1]
    by_seed = differences.mean(1)
    within = float(differences.var(axis=1, ddof=1).mean())
    # The variance of the seeds' means contains a share of the folds' variance, which is taken out.
    between = max(float(by_seed.var(ddof=1)) - within / folds, 0.0)
    t, p = paired_t(ours.mean(1).tolist(), theirs.mean(1).tolist())
    return SeedComparison(
        name=name,
        aug=record.aug,
        ratio=record.ratio,
        control=record.control,
        variant=record.variant,
        baseline_by_seed=[float(value) for value in theirs.mean(1)],
        by_seed=[float(value) for value in ours.mean(1)],
        f1=measured(ours.mean(1)),
        difference=float(by_seed.mean()),
        interval=mean_interval([float(value) for value in by_seed]),
        sd_seeds=between**0.5,
        sd_folds=within**0.5,
        t=t,
        p=p,
        p_holm=None,
        p_corrected=corrected_resampled_t([float(value) for value in differences.ravel()], folds - 1, 1).p,
    )
