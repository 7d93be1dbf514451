"""Records sorted into groups that may stand in one table, and the comparisons that the classifiers on disk bear out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from usgan_cli.core.formats.classifier import ClassifierRecord, ClassifierSettings
from usgan_cli.core.formats.comparison import Comparison, SeedComparison, SeedsRecord, TTestRecord
from usgan_cli.core.formats.score import ScoreRecord, ScoreSettings, SnapshotsRecord
from usgan_cli.core.store.document import Part, first_difference
from usgan_cli.report.records import GanKey, SeedsKey, StudyRecords, SubsetKey, setting_order

K = TypeVar("K")
P = TypeVar("P", bound=Part)
T = TypeVar("T")
C = TypeVar("C", Comparison, SeedComparison)


@dataclass(frozen=True)
class Group(Generic[P, K, T]):
    """Records that were made with the same settings and may stand in one table."""

    settings: P
    items: list[tuple[K, T]]
    difference: str | None
    """The first setting in which it differs from the first group, in words; None for the first group."""


ScoreGroup = Group[ScoreSettings, GanKey, ScoreRecord]


@dataclass(frozen=True)
class ClassifierGroup(Group[ClassifierSettings, SubsetKey, ClassifierRecord]):
    """Classifiers of one group with the comparisons that were made of them."""

    ttests: dict[SubsetKey, TTestRecord] = field(default_factory=dict)
    seeds: dict[SeedsKey, SeedsRecord] = field(default_factory=dict)

    @property
    def subsets(self) -> list[SubsetKey]:
        """The subsets that anything was trained on, in order."""
        return list(dict.fromkeys(key for key, _ in self.items))


class SnapshotSettings(Part):
    """What must be equal for the scores of saved generators to stand in one table."""

    extractor: str
    reference: str
    reference_count: int
    count: int
    best_by: str


SnapshotGroup = Group[SnapshotSettings, GanKey, SnapshotsRecord]


@dataclass(frozen=True)
class Study:
    """The records of a workspace with everything that is worked out of them more than once."""

    records: StudyRecords
    scores: list[ScoreGroup]
    classifiers: list[ClassifierGroup]
    snapshots: list[SnapshotGroup]
    rejected: list[str]
    """Comparisons that are not shown, each with the reason, where that should be mended."""

    @classmethod
    def of(cls, records: StudyRecords) -> Study:
        """Sort the records."""
        groups, rejected = classifier_groups(records)
        return cls(records, score_groups(records), groups, snapshot_groups(records), rejected)

    @property
    def comparisons(self) -> list[tuple[SubsetKey, Comparison]]:
        """Every comparison over folds that the classifiers on disk bear out."""
        return [
            (key, comparison)
            for group in self.classifiers
            for key, ttest in group.ttests.items()
            for comparison in ttest.comparisons
        ]

    @property
    def over_seeds(self) -> list[tuple[SeedsKey, SeedsRecord]]:
        """For every n the comparison over the most seeds that the classifiers on disk bear out."""
        widest: dict[int, tuple[SeedsKey, SeedsRecord]] = {}
        for key, record in (found for group in self.classifiers for found in group.seeds.items()):
            if key.n not in widest or len(key.seeds) > len(widest[key.n][0].seeds):
                widest[key.n] = (key, record)
        return [widest[n] for n in sorted(widest, reverse=True)]


def in_order(comparisons: Iterable[C]) -> list[C]:
    """Return comparisons by GAN and ratio, as every table and figure shows them."""
    return sorted(comparisons, key=lambda item: (setting_order(item.aug, item.ratio), item.variant))


def score_groups(records: StudyRecords) -> list[ScoreGroup]:
    """Return the scores in groups of equal settings, the largest group first."""
    ordered = sorted(records.scores.items(), key=lambda item: item[0].order)
    follows = all(score.settings.seed == key.seed for key, score in ordered)
    return _group([(key, score, _without_seed(score.settings, follows)) for key, score in ordered])


def snapshot_groups(records: StudyRecords) -> list[SnapshotGroup]:
    """Return the scores of saved generators in groups of equal settings, the largest group first."""
    ordered = sorted(records.snapshots.items(), key=lambda item: item[0].order)
    names = list(SnapshotSettings.model_fields)
    return _group([(key, one, SnapshotSettings(**{n: getattr(one, n) for n in names})) for key, one in ordered])


def classifier_groups(records: StudyRecords) -> tuple[list[ClassifierGroup], list[str]]:
    """Return the classifiers in groups of settings that are equal but for the subset, the largest group first.

    Every row names its subset, so that may differ from row to row; but of one n and seed there is one subset.

    Returns
    -------
    list of ClassifierGroup
    list of str
        Comparisons that belong to no group, or not to the classifiers that are there, each with the reason.
    """
    ordered = records.all_classifiers()
    follows = all(record.settings.seed == key.seed for key, record in ordered)
    subsets: dict[SubsetKey, str] = {}
    items = []
    for key, record in ordered:
        settings = _without_seed(record.settings, follows)
        if settings.subset == subsets.setdefault(key, settings.subset):
            settings = settings.model_copy(update={"subset": ""})
        items.append((key, record, settings))
    rejected: list[str] = []
    groups = []
    for group in _group(items):
        ttests = {key: ttest for key in _subsets(group) if (ttest := _valid_ttest(records, key, group, rejected))}
        seeds = {key: found for key, found in sorted(records.seeds.items(), key=_by_size) if _bears_out(group, found)}
        groups.append(ClassifierGroup(group.settings, group.items, group.difference, ttests, seeds))
    for key, ttest in records.ttests.items():
        if all(ttest.settings != classifier.settings for classifier in records.classifiers.get(key, {}).values()):
            rejected.append(f"The comparison {key.name} belongs to classifiers that are not there; it is left out.")
    shown = {key for group in groups for key in group.seeds}
    rejected += [_seeds_rejected(key) for key in sorted(records.seeds) if key not in shown]
    return groups, rejected


def _by_size(item: tuple[SeedsKey, SeedsRecord]) -> tuple[int, tuple[int, ...]]:
    return (-item[0].n, item[0].seeds)


def _subsets(group: Group[P, SubsetKey, T]) -> list[SubsetKey]:
    return list(dict.fromkeys(key for key, _ in group.items))


def _without_seed(settings: P, follows: bool) -> P:
    """Return settings without the seed if every record's seed is that of its row, which the table names."""
    return settings.model_copy(update={"seed": 0}) if follows else settings


def _group(items: list[tuple[K, T, P]]) -> list[Group[P, K, T]]:
    kinds: list[tuple[P, list[tuple[K, T]]]] = []
    for key, record, settings in items:
        home = next((group for known, group in kinds if known == settings), None)
        if home is None:
            kinds.append((settings, [(key, record)]))
        else:
            home.append((key, record))
    kinds.sort(key=lambda kind: -len(kind[1]))
    first = kinds[0][0] if kinds else None
    return [
        Group(settings, group, None if first is None or settings is first else first_difference(first, settings))
        for settings, group in kinds
    ]


def _valid_ttest(
    records: StudyRecords,
    key: SubsetKey,
    group: Group[ClassifierSettings, SubsetKey, ClassifierRecord],
    rejected: list[str],
) -> TTestRecord | None:
    """Return a subset's comparison if it was made from the classifiers of this group that are on disk.

    Where it is of classifiers that have since been replaced, `rejected` is told.
    """
    record = records.ttests.get(key)
    members = {classifier.name: classifier for home, classifier in group.items if home == key}
    if record is None or any(record.settings != classifier.settings for classifier in members.values()):
        return None
    compared = {record.baseline: record.baseline_folds} | {c.name: c.folds for c in record.comparisons}
    for name, folds in compared.items():
        if name in members and _fold_scores(members[name]) != folds:
            rejected.append(
                f"The comparison {key.name} is older than classifier {name}; its p-values are left out. "
                f"Make it again: usgan ttest --n {key.n} --seed {key.seed} --force"
            )
            return None
    return record


def _fold_scores(record: ClassifierRecord) -> list[float]:
    return [fold.test_micro_f1 for fold in sorted(record.folds, key=lambda fold: fold.fold)]


def _bears_out(group: Group[ClassifierSettings, SubsetKey, ClassifierRecord], found: SeedsRecord) -> bool:
    """Return whether every mean of a comparison over seeds is that of a classifier of this group."""
    means = {(key, record.name): float(np.mean(_fold_scores(record))) for key, record in group.items}

    def agrees(name: str, values: Sequence[float]) -> bool:
        return len(values) == len(found.seeds) and all(
            abs(means.get((SubsetKey(found.n, seed), name), np.inf) - value) < 1e-9
            for seed, value in zip(found.seeds, values, strict=True)
        )

    return all(
        agrees(found.baseline, item.baseline_by_seed) and agrees(item.name, item.by_seed) for item in found.comparisons
    )


def _seeds_rejected(key: SeedsKey) -> str:
    options = " ".join(f"--seeds {seed}" for seed in key.seeds)
    return (
        f"The comparison {key.name} is not of the classifiers that are there, or of ones with different settings; it "
        f"is left out. Make it again: usgan ttest --n {key.n} {options} --force"
    )
