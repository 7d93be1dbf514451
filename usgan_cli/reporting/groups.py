"""Records sorted into groups that may share a table, and the comparisons that match the classifiers on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from usgan_cli.core.formats.classifier import ClassifierRecord, ClassifierSettings
from usgan_cli.core.formats.comparison import SeedsRecord, SplitsRecord, TTestRecord
from usgan_cli.core.formats.score import ScoreRecord, ScoreSettings, SnapshotsRecord
from usgan_cli.core.store import files
from usgan_cli.core.store.document import Part, first_difference
from usgan_cli.core.store.workspace import GanKey, SeedsKey, SplitsKey, SubsetKey
from usgan_cli.core.text import without_digests
from usgan_cli.reporting import paper
from usgan_cli.reporting.records import StudyRecords

K = TypeVar("K")
P = TypeVar("P", bound=Part)
T = TypeVar("T")
CROWDED = 4
"""With more subsets than this, the page folds away what belongs to each one."""


@dataclass(frozen=True)
class Group(Generic[P, K, T]):
    """Records that were made with the same settings and may share a table."""

    settings: P
    items: list[tuple[K, T]]
    difference: str | None
    """The first setting in which it differs from the first group, in words; None for the first group."""
    suffix: str
    """Ends the names of its tables and figures where there are several groups: "-2"."""
    busi: bool = False
    """Whether the dataset is the published study's, so that published values of the same n may stand beside."""

    def apart(self, sentence: str) -> list[str]:
        """Return the note that says why these records have a table of their own; none for the first group."""
        return [] if self.difference is None else [f"{sentence} ({without_digests(self.difference)})."]


class SnapshotSettings(Part):
    """What must be equal for the scores of saved generators to share a table."""

    extractor: str
    reference: str
    reference_count: int
    count: int
    best_by: str


ScoreGroup = Group[ScoreSettings, GanKey, ScoreRecord]
SnapshotGroup = Group[SnapshotSettings, GanKey, SnapshotsRecord]


@dataclass(frozen=True)
class ClassifierGroup(Group[ClassifierSettings, SubsetKey, ClassifierRecord]):
    """Classifiers of one group with the comparisons that were made of them."""

    ttests: dict[SubsetKey, TTestRecord] = field(default_factory=dict)
    seeds: dict[SeedsKey, SeedsRecord] = field(default_factory=dict)

    @property
    def subsets(self) -> list[SubsetKey]:
        """The subsets that anything was trained on, in order."""
        return list(dict.fromkeys(key for key, _ in self.items))


@dataclass(frozen=True)
class Study:
    """The records of a workspace with what is derived from them more than once."""

    records: StudyRecords
    scores: list[ScoreGroup]
    classifiers: list[ClassifierGroup]
    snapshots: list[SnapshotGroup]
    rejected: list[str]
    """Comparisons that are not shown, each with the reason and, where there is one, the remedy."""
    splits: dict[SplitsKey, SplitsRecord] = field(default_factory=dict)
    """Comparisons over several splits that match the classifiers on disk."""

    @property
    def crowded(self) -> bool:
        """Whether there are so many subsets that the page folds away what belongs to each one."""
        return len(self.records.subset_keys()) > CROWDED

    @classmethod
    def of(cls, records: StudyRecords) -> Study:
        """Sort the records."""
        groups, rejected = classifier_groups(records)
        splits, replaced = current_splits(records)
        return cls(records, score_groups(records), groups, snapshot_groups(records), rejected + replaced, splits)

    @property
    def ttests(self) -> list[tuple[SubsetKey, TTestRecord]]:
        """Every subset's comparisons that match the classifiers on disk."""
        return [item for group in self.classifiers for item in group.ttests.items()]

    @property
    def over_seeds(self) -> list[tuple[SeedsKey, SeedsRecord]]:
        """For every n the comparison over the most seeds that matches the classifiers on disk."""
        widest: dict[int, tuple[SeedsKey, SeedsRecord]] = {}
        for key, record in (item for group in self.classifiers for item in group.seeds.items()):
            if key.n not in widest or len(key.seeds) > len(widest[key.n][0].seeds):
                widest[key.n] = (key, record)
        return [widest[n] for n in sorted(widest, reverse=True)]

    @property
    def over_splits(self) -> list[tuple[SplitsKey, SplitsRecord]]:
        """For every n the comparison over the most splits."""
        widest: dict[int, tuple[SplitsKey, SplitsRecord]] = {}
        for key, record in self.splits.items():
            if key.n not in widest or len(key.splits) > len(widest[key.n][0].splits):
                widest[key.n] = (key, record)
        return [widest[n] for n in sorted(widest, reverse=True)]


def current_splits(records: StudyRecords) -> tuple[dict[SplitsKey, SplitsRecord], list[str]]:
    """Return the comparisons over several splits that match the classifiers on disk, and why the others do not."""
    current, rejected = {}, []
    for key, record in records.splits.items():
        homes = {split: records.further[split].classifiers if split in records.further else {} for split in key.splits}
        homes[key.splits[0]] = records.classifiers
        there = {
            f"split {split} {subset.name}/{name}": one.content_digest()
            for split, subsets in homes.items()
            for subset, classifiers in subsets.items()
            for name, one in classifiers.items()
        }
        if name := _changed_input(record, there):
            options = " ".join(f"--seeds {seed}" for seed in key.seeds)
            options += "".join(f" --splits {split}" for split in key.splits)
            rejected.append(
                f"The comparison {key.name} is older than the classifier of {name}; it is left out. "
                f"Make it again: usgan ttest --n {key.n} {options} --force"
            )
        else:
            current[key] = record
    return current, rejected


def score_groups(records: StudyRecords) -> list[ScoreGroup]:
    """Return the scores in groups of equal settings, the largest group first."""
    scores = records.scores.items()
    follows = all(score.settings.seed == key.seed for key, score in scores)
    items = [(key, score, _without_seed(score.settings, follows)) for key, score in scores]
    return _group(items, busi=paper.is_busi(records.data))


def snapshot_groups(records: StudyRecords) -> list[SnapshotGroup]:
    """Return the scores of saved generators in groups of equal settings, the largest group first."""
    of = SnapshotSettings.model_validate
    return _group([(key, record, of(record, from_attributes=True)) for key, record in records.snapshots.items()])


def classifier_groups(records: StudyRecords) -> tuple[list[ClassifierGroup], list[str]]:
    """Return the classifiers in groups of settings that are equal except for the subset, the largest group first.

    Every row names its subset, so that may differ from row to row, and with its size the number of updates; but each n
    and seed has one subset, and each n one number of updates.

    The comparisons that belong to no group, or not to the classifiers on disk, come second, each with the reason.
    """
    classifiers = records.all_classifiers()
    follows = all(record.settings.seed == key.seed for key, record in classifiers)
    subsets: dict[SubsetKey, str] = {}
    updates: dict[int, int | None] = {}
    items = []
    for key, record in classifiers:
        settings = _without_seed(record.settings, follows)
        if settings.subset == subsets.setdefault(key, settings.subset):
            settings = settings.model_copy(update={"subset": ""})
        if settings.updates == updates.setdefault(key.n, settings.updates):
            settings = settings.model_copy(update={"updates": None})
        items.append((key, record, settings))
    kinds = _group(items, busi=paper.is_busi(records.data))
    groups = [ClassifierGroup(kind.settings, kind.items, kind.difference, kind.suffix, kind.busi) for kind in kinds]
    rejected = []
    for key, ttest in records.ttests.items():
        made_of = (key, ttest.settings)
        home = next((g for g in groups if any((k, one.settings) == made_of for k, one in g.items)), None)
        if home is None:
            rejected.append(f"The comparison {key.name} belongs to classifiers that are not there; it is left out.")
        elif name := _replaced(ttest, own := records.classifiers[key]):
            why = (
                f"is older than classifier {name}" if name in own else f"was made with classifier {name}, which is gone"
            )
            rejected.append(
                f"The comparison {key.name} {why}; it is left out. "
                f"Make it again: usgan ttest --n {key.n} --seed {key.seed} --force"
            )
        else:
            home.ttests[key] = ttest
    there = {f"{key.name}/{record.name}": record.content_digest() for key, record in classifiers}
    for seeds_key, over_seeds in records.seeds.items():
        current = _changed_input(over_seeds, there) is None
        homes = [group for group in groups if current and _matches_means(group, over_seeds)]
        for group in homes:
            group.seeds[seeds_key] = over_seeds
        if not homes:
            options = " ".join(f"--seeds {seed}" for seed in seeds_key.seeds)
            rejected.append(
                f"The comparison {seeds_key.name} is not of the classifiers that are there, or of ones with different "
                f"settings; it is left out. Make it again: usgan ttest --n {seeds_key.n} {options} --force"
            )
    return groups, rejected


def _without_seed(settings: P, follows: bool) -> P:
    """Return settings without the seed if every record's seed is that of its row, which the table names."""
    return settings.model_copy(update={"seed": 0}) if follows else settings


def _group(items: list[tuple[K, T, P]], *, busi: bool = False) -> list[Group[P, K, T]]:
    kinds: dict[str, list[tuple[K, T, P]]] = {}
    for item in items:
        kinds.setdefault(files.digest_json(item[2].model_dump()), []).append(item)
    largest_first = sorted(kinds.values(), key=len, reverse=True)
    groups = []
    for i, members in enumerate(largest_first, start=1):
        settings, suffix = members[0][2], f"-{i}" if len(kinds) > 1 else ""
        difference = first_difference(largest_first[0][0][2], settings)
        groups.append(Group(settings, [(key, record) for key, record, _ in members], difference, suffix, busi))
    return groups


def _changed_input(record: TTestRecord | SeedsRecord | SplitsRecord, there: Mapping[str, str]) -> str | None:
    """Return the first classifier that a comparison was made from and that is gone or another one now.

    `there` are the content digests of the classifiers on disk.
    """
    inputs = {} if record.run is None else record.run.inputs
    return next((name for name, digest in inputs.items() if there.get(name) != digest), None)


def _replaced(ttest: TTestRecord, classifiers: dict[str, ClassifierRecord]) -> str | None:
    """Return the first classifier of a comparison that is gone, or is not the one that it was made from."""
    compared = {ttest.baseline: ttest.baseline_folds} | {item.name: item.folds for item in ttest.comparisons}
    for name, folds in compared.items():
        if name not in classifiers or _fold_scores(classifiers[name]) != folds:
            return name
    return _changed_input(ttest, {name: record.content_digest() for name, record in classifiers.items()})


def _fold_scores(record: ClassifierRecord) -> list[float]:
    return [fold.test_micro_f1 for fold in sorted(record.folds, key=lambda fold: fold.fold)]


def _matches_means(group: ClassifierGroup, record: SeedsRecord) -> bool:
    """Return whether every mean of a comparison over seeds is that of a classifier of this group."""
    means = {(key, one.name): float(np.mean(_fold_scores(one))) for key, one in group.items}

    def agrees(n: int, name: str, values: Sequence[float]) -> bool:
        return len(values) == len(record.seeds) and all(
            abs(means.get((SubsetKey(n, seed), name), np.inf) - value) < 1e-9
            for seed, value in zip(record.seeds, values, strict=True)
        )

    curve = [] if record.exchange is None else record.exchange.curve
    return all(
        agrees(record.n, record.baseline, item.baseline_by_seed) and agrees(record.n, item.name, item.by_seed)
        for item in record.comparisons
    ) and all(agrees(point.n, record.baseline, point.by_repeat) for point in curve)
