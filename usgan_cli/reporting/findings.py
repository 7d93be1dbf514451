"""What a report says first: the finding in one line and in a paragraph, what was run, and the facts beside it.

Every sentence is computed from the records, and claims no more than they show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from usgan_cli.core.formats.comparison import Comparison, SeedComparison
from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.formats.score import distance_name
from usgan_cli.core.text import gan_label, joined, number, p_equals, plural, short_digests, training_label
from usgan_cli.reporting import paper
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.records import StudyRecords, aug_order, subset_title

ALPHA = 0.05
MOST_NAMED = 2
"""Copies that are named; the data's own audit has all of them."""

NamedComparison = tuple[str, Comparison | SeedComparison]
"""A comparison and where it was made: "n = 100, seed 1"."""


def below(p: float | None) -> bool:
    """Return whether there is a p-value and it is below 0.05."""
    return p is not None and p < ALPHA


def dataset_name(data: DataManifest) -> str:
    """Return BUSI where the dataset is recognised as it, else its layout."""
    if data.class_counts() == paper.CLASS_COUNTS or data.layout == "BUSI with masks":
        return "BUSI"
    return "simulated images (phantoms)" if data.layout == "phantoms" else "own images"


def lengths(records: StudyRecords) -> list[str]:
    """Return how long the finished trainings were, kimg, from short to long."""
    return [f"{kimg:g}" for kimg in sorted({round(gan.kimg, 3) for gan in records.finished_gans()})]


def facts(study: Study) -> Iterator[tuple[str, str]]:
    """Yield the figures that stand at the head of the page."""
    records, gans = study.records, study.records.finished_gans()
    yield "Dataset", "no dataset" if records.data is None else dataset_name(records.data)
    if records.subset_keys():
        yield "Training images, n", ", ".join(map(str, records.sizes()))
    if records.gans or records.synthetic or records.scores or any(r.aug for _, r in records.all_classifiers()):
        seeds = len({key.seed for key in records.subset_keys()})
        yield "GANs", f"{len(gans)} trained{f', {seeds} seeds' if seeds > 1 else ''}"
    if gans:
        yield "Training", f"{' / '.join(lengths(records))} kimg"
    if compared := tested(study):
        yield "Significant after correction", f"{sum(below(item.p_holm) for _, item in compared)} of {len(compared)}"
    verdicts = [score.memorization.verdict for score in records.scores.values() if score.memorization is not None]
    if verdicts:
        yield "GANs that copy", f"{verdicts.count('copies')} of {len(verdicts)}"


def what_was_run(study: Study) -> Iterator[str]:
    """Yield in words what was run on what."""
    records = study.records
    if (data := records.data) is not None:
        classes = joined(f"{count} {name}" for name, count in data.class_counts().items())
        yield (
            f"Dataset: {dataset_name(data)}, {len(data.images)} in all ({classes}) at {data.size} × {data.size} "
            f"pixels, split into {len(data.of('train'))} for training and {len(data.of('test'))} for testing."
        )
    if finished := records.finished_gans():
        augs = joined(dict.fromkeys(gan_label(gan.key.aug) for gan in finished))
        presets = joined(sorted({gan.document.preset for gan in finished if gan.document is not None}))
        sizes = joined(dict.fromkeys(gan.key.n for gan in finished))
        seeds = sorted({gan.key.seed for gan in finished})
        drawn = f", drawn with seeds {joined(seeds)}," if len(seeds) > 1 else ""
        yield (
            f"{plural(len(finished), 'GAN')} ({augs}) trained on subsets of {sizes} images{drawn} for "
            f"{joined(lengths(records))} kimg with the preset {presets}."
        )
    if extractors := dict.fromkeys(short_digests(group.settings.extractor) for group in study.scores):
        yield f"Fréchet distances in the features of {joined(extractors)}."
    for group in study.classifiers:
        settings = group.settings
        training = "frozen, with a new head" if settings.freeze else "fine-tuned"
        yield (
            f"{plural(len(group.items), 'classifier')}: {settings.backbone} ({short_digests(settings.weights)}), "
            f"{training}, {settings.folds} folds each."
        )


def audit(data: DataManifest) -> Iterator[str]:
    """Yield which copies, conflicts and unusable files the source had."""
    if data.duplicates:
        copies, groups = sum(len(group) for group in data.duplicates), plural(len(data.duplicates), "group")
        yield f"{copies} files are copies of one another, exact or near, in {groups}."
        if data.near_copies:
            pairs = _first([f"{Path(pair.first).name} ≈ {Path(pair.second).name}" for pair in data.near_copies])
            yield f"Near-copies: {plural(len(data.near_copies), 'pair')} ({pairs})."
        yield {
            "group": "Copies were kept on one side of the split and of every fold.",
            "drop": "Of every group of copies one image was kept.",
            "ignore": "Copies were ignored when the split was drawn.",
        }[data.duplicate_policy]
    else:
        yield "No two files show the same picture."
    if data.conflicts:
        files = _first([" = ".join(Path(file).name for file in group) for group in data.conflicts])
        kept = "they were left out" if data.conflict_policy == "drop" else "they were kept"
        yield f"Under more than one class: {plural(len(data.conflicts), 'group')}; {kept} ({files})."
    if data.left_out:
        counts = sorted(Counter(item.reason for item in data.left_out).items(), key=lambda item: (-item[1], item[0]))
        reasons = "; ".join(f"{reason} ({count})" for reason, count in counts[:10])
        yield f"{plural(len(data.left_out), 'file')} of the source left out: {reasons}."
    else:
        yield "No file of the source was left out."
    yield "Pictures of all of them: data/audit.html in the workspace."


def _first(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return "; ".join(names[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def tested(study: Study) -> list[NamedComparison]:
    """Return the comparisons of GANs, not of controls: of each n those over seeds, or over folds if it has none."""
    keys, over_seeds = study.records.subset_keys(), study.over_seeds
    sizes = {key.n for key, _ in over_seeds}
    compared: list[NamedComparison] = [
        *((f"n = {key.n}", item) for key, record in over_seeds for item in record.comparisons),
        *((subset_title(key, keys), item) for key, item in study.comparisons if key.n not in sizes),
    ]
    return [one for one in compared if one[1].control is None]


def headline(study: Study) -> str:
    """Return the finding in one line."""
    compared = tested(study)
    if not compared:
        return "Do generated images help the classifier? It has not been tested yet"
    after = [item for _, item in compared if below(item.p_holm)]
    helped, hurt = sum(item.difference > 0 for item in after), sum(item.difference < 0 for item in after)
    total = f"of {plural(len(compared), 'comparison')}"
    doubted = all(isinstance(item, Comparison) and not below(item.p_corrected) for item in after)
    alone = ", by the study’s t-test alone" if doubted else ""
    if helped and hurt:
        return f"Generated images helped in {helped} {total} and hurt in {hurt}{alone}"
    if helped:
        return f"Generated images helped in {helped} {total}{alone}"
    if hurt:
        return f"Generated images hurt in {hurt} {total} and helped in none{alone}"
    return f"Generated images have not been shown to help: none {total} is significant"


def main_finding(study: Study) -> str:
    """Return what the comparisons say about adding generated images, and no more than that."""
    compared = tested(study)
    if not compared:
        return "No classifier has been compared with its baseline yet, so there is nothing to conclude."
    over_seeds = all(isinstance(item, SeedComparison) for _, item in compared)
    total = plural(len(compared), "comparison") + (" over several seeds" if over_seeds else "")
    after = [one for one in compared if below(one[1].p_holm)]
    count, verb = str(len(after) or "none"), "is" if len(after) < 2 else "are"
    examples = f": {joined([_described(one) for one in after], 3)}" if after else ""
    text = f"After Holm's correction, {count} of {total} with real images alone {verb} significant{examples}."
    before = sum(below(item.p) for _, item in compared)
    corrected = sum(below(item.p_corrected) for _, item in compared)
    changes = [100 * item.difference for _, item in compared]
    text += (
        f" Without correction {before} would be; by the resampled t-test, which allows for the folds' shared training "
        f"images, {corrected}. Mean differences of F1 range from {number(min(changes), 2, sign=True)} to "
        f"{number(max(changes), 2, sign=True)} percentage points."
    )
    if len(after) < len(compared):
        text += " A difference that is not significant has not been shown to be absent."
    return text


def training_at(one: NamedComparison) -> str:
    """Return what was compared: "+ 50 % ADA at n = 100"."""
    place, item = one
    return f"{training_label(item.aug, item.ratio, item.variant, item.control)} at {place}"


def _described(one: NamedComparison) -> str:
    points = number(100 * one[1].difference, 2, sign=True)
    return f"{training_at(one)} ({points} points, adjusted p {p_equals(one[1].p_holm)})"


def quality_finding(study: Study) -> str:
    """Return which GAN came nearest to the test images, for every n."""
    if not study.scores:
        return ""
    group, nearest = study.scores[0], []
    what = distance_name(group.settings.extractor)
    distances: dict[int, dict[str, list[float]]] = {}
    for key, score in group.items:
        distances.setdefault(key.n, {}).setdefault(key.aug, []).append(score.fake.fd)
    for n, by_aug in distances.items():
        distance, _, best = min((float(np.mean(values)), aug_order(aug), aug) for aug, values in by_aug.items())
        nearest.append((gan_label(best), n, number(distance, 1)))
    floors = joined(number(value, 1) for value in sorted({score.real.fd for _, score in group.items}))
    if len(nearest) > 1 and len({name for name, _, _ in nearest}) == 1:
        text = f"{nearest[0][0]} at every n, with {what} {joined(f'{value} (n = {n})' for _, n, value in nearest)}"
    else:
        text = joined(f"{name} at n = {n} ({what} {value})" for name, n, value in nearest)
    return f"Nearest to the test images: {text}; real training images reach {floors}."
