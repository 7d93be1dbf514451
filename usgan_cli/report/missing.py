"""What a study lacks, with the command that makes it."""

from __future__ import annotations

from dataclasses import dataclass

from usgan_cli.core.store.workspace import format_ratio, setting_name
from usgan_cli.report.records import GanKey, StudyRecords


@dataclass(frozen=True)
class Missing:
    """A part of the study that has not been made, with the command that makes it."""

    kind: str
    name: str
    command: str


def find_missing(records: StudyRecords) -> list[Missing]:
    """Return what the study lacks.

    The study is taken to be the grid of all sizes, GANs and ratios that appear anywhere in the workspace.
    """
    if records.data is None:
        return [Missing("Dataset", "the prepared images", "usgan prepare SOURCE")]
    if not records.subset_keys():
        return [Missing("Subsets", "all", "usgan subsample --n N")]
    augs = records.augs()
    ratios = sorted({r.ratio for _, r in records.all_classifiers() if r.aug is not None and not r.variant})
    found: list[Missing] = []
    for subset in records.subset_keys():
        where = f"--n {subset.n} --seed {subset.seed}"
        if subset not in records.subsets:
            found.append(Missing("Subsets", subset.name, f"usgan subsample {where}"))
        for aug in augs:
            found += _missing_gan(records, GanKey(aug, *subset))
        trained = records.classifiers.get(subset, {})
        wanted: list[tuple[str | None, float]] = [(None, 0.0), *((aug, ratio) for aug in augs for ratio in ratios)]
        for setting, ratio in wanted:
            name = setting_name(setting, ratio)
            if name not in trained:
                option = "" if setting is None else f" --aug {setting} --ratio {format_ratio(ratio)}"
                found.append(Missing("Classifiers", f"{subset.name}/{name}", f"usgan train-cls {where}{option}"))
        if subset not in records.ttests:
            found.append(Missing("Comparisons", subset.name, f"usgan ttest {where}"))
    return found + _missing_over_seeds(records)


def _missing_over_seeds(records: StudyRecords) -> list[Missing]:
    """Return the sizes drawn with several seeds that have no comparison over all of them."""
    found = []
    for n in records.sizes():
        seeds = tuple(sorted(key.seed for key in records.subset_keys() if key.n == n))
        if len(seeds) > 1 and not any(key.n == n and set(key.seeds) == set(seeds) for key in records.seeds):
            options = " ".join(f"--seeds {seed}" for seed in seeds)
            name = f"n{n}-s{'+'.join(map(str, seeds))}"
            found.append(Missing("Comparisons over seeds", name, f"usgan ttest --n {n} {options}"))
    return found


def _missing_gan(records: StudyRecords, key: GanKey) -> list[Missing]:
    options = f"--aug {key.aug} --n {key.n} --seed {key.seed}"
    found = []
    gan = records.gans.get(key)
    if gan is None:
        found.append(Missing("GANs", key.name, f"usgan train-gan {options}"))
    elif gan.document is None:
        found.append(Missing("Unfinished GANs", f"{key.name} (at {gan.kimg:g} kimg)", f"usgan train-gan {options}"))
    if key not in records.synthetic:
        found.append(Missing("Generated images", key.name, f"usgan generate {options}"))
    if key not in records.scores:
        found.append(Missing("Scores", key.name, f"usgan score {options}"))
    return found
