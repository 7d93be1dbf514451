"""What a report says first besides its verdicts: what was run, what the data hold, and the facts beside it.

Every sentence is computed from the records, and claims no more than they show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.formats.score import distance_name, network_name
from usgan_cli.core.text import gan_label, joined, number, plural, short_digests
from usgan_cli.reporting import paper
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.records import StudyRecords, aug_order
from usgan_cli.reporting.verdict import Verdicts, counted

MOST_NAMED = 2
"""Copies that are named; the data's own audit has all of them."""
MOST_LENGTHS = 3
"""Lengths of training that the head of the page lists."""


def dataset_name(data: DataManifest) -> str:
    """Return BUSI where the dataset is recognised as it, else its layout."""
    if paper.is_busi(data):
        return "BUSI"
    return "simulated images (phantoms)" if data.layout == "phantoms" else "own images"


def lengths(records: StudyRecords) -> list[str]:
    """Return how long the finished trainings were, kimg, from short to long; of many lengths the ends alone."""
    found = sorted({round(gan.kimg, 3) for gan in records.finished_gans()})
    if len(found) > MOST_LENGTHS:
        return [f"{found[0]:.3g} to {found[-1]:.3g}"]
    return [f"{kimg:g}" for kimg in found]


def facts(study: Study, verdicts: Verdicts) -> Iterator[tuple[str, str]]:
    """Yield the figures that stand at the head of the page."""
    records, gans = study.records, study.records.finished_gans()
    if records.subset_keys():
        yield "Training images, n", ", ".join(map(str, records.sizes()))
    if records.gans or records.synthetic or records.scores or any(r.aug for _, r in records.all_classifiers()):
        seeds = len({gan.key.seed for gan in gans})
        yield "GANs", f"{len(gans)} trained{f', {seeds} seeds' if seeds > 1 else ''}"
    if gans:
        yield "GAN training", f"{' / '.join(lengths(records))} kimg"
    if verdicts.of_gans:
        yield "Verdicts", counted(verdicts)
    copying = [score.memorization.verdict for score in records.scores.values() if score.memorization is not None]
    if copying:
        yield "GANs that copy", f"{copying.count('copies')} of {len(copying)}"


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
    if extractors := dict.fromkeys(network_name(group.settings.extractor) for group in study.scores):
        yield f"Fréchet distances in the features of {joined(extractors)}."
    for group in study.classifiers:
        settings = group.settings
        training = "frozen, with a new head" if settings.freeze else "fine-tuned"
        yield (
            f"{plural(len(group.items), 'classifier')}: {settings.backbone} ({network_name(settings.weights)}), "
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
        own = data.split_from == "source"
        yield {
            "group": f"Copies were kept on one side of {'' if own else 'the split and of '}every fold.",
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


def _first(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return "; ".join(names[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


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


def digests(study: Study) -> list[str]:
    """Return the dataset and the networks with the first eight digits of their digests."""
    data = study.records.data
    versions = [] if data is None else [f"dataset {data.content_digest()[:8]}"]
    networks = [group.settings.extractor for group in study.scores]
    networks += [group.settings.weights for group in study.classifiers]
    return versions + [short_digests(name) for name in dict.fromkeys(networks) if short_digests(name) != name]
