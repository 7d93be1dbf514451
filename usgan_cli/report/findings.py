"""What a report says first: the finding in one line and in a paragraph, what was run, and the facts beside it.

Every sentence is computed from the records, and says no more than they do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from usgan_cli.core.formats.comparison import Comparison, SeedComparison
from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.report import paper
from usgan_cli.report.cells import distance_name, short_name, subset_title, training_label
from usgan_cli.report.groups import Study
from usgan_cli.report.records import StudyRecords, label
from usgan_cli.report.table_model import number, p_value

ALPHA = 0.05
SHOWN = 2
"""Copies that are named; all of them are in the data's own audit."""


def listed(items: Iterable[str], last: str = "and") -> str:
    """Return "a, b and c"."""
    found = list(items)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} {last} {found[-1]}" if found else ""


def listed_some(items: Sequence[str], most: int = 6) -> str:
    """Return a list of at most `most` items, and how many more there are."""
    more = len(items) - most
    return listed(items) if more <= 0 else f"{', '.join(items[:most])} and {more} more"


def plural(count: int, noun: str) -> str:
    """Return "1 image" or "2 images"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def below(p: float | None) -> bool:
    """Return whether a p-value is there and below 0.05."""
    return p is not None and p < ALPHA


def equals(p: float | None) -> str:
    """Return a p-value as it follows the letter p: "= 0.012" or "< 0.001"."""
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def dataset_name(records: StudyRecords) -> str:
    """Return BUSI where the dataset is recognised as it, else its layout."""
    if records.data is None:
        return "no dataset"
    counts = {name: sum(image.class_ == name for image in records.data.images) for name in records.data.classes}
    if counts == paper.CLASS_COUNTS or records.data.layout == "BUSI with masks":
        return "BUSI"
    if records.data.layout == "phantoms":
        return "simulated images (phantoms)"
    return "own images"


def facts(study: Study) -> list[tuple[str, str]]:
    """Return the figures that stand at the head of the page."""
    records = study.records
    found = [("Dataset", dataset_name(records))]
    if records.subset_keys():
        found.append(("Training images, n", ", ".join(map(str, records.sizes()))))
    if records.augs():
        seeds = len({key.seed for key in records.subset_keys()})
        times = f", {seeds} seeds" if seeds > 1 else ""
        found.append(("GANs", f"{len(records.finished_gans())} trained{times}"))
    lengths = sorted({round(gan.kimg, 3) for gan in records.finished_gans()})
    if lengths:
        found.append(("Training", f"{' / '.join(f'{value:g}' for value in lengths)} kimg"))
    compared = [item for _, item in tested(study)]
    if compared:
        significant = sum(below(item.p_holm) for item in compared)
        found.append(("Significant after correction", f"{significant} of {len(compared)}"))
    looked = [score.memorization for score in records.scores.values() if score.memorization is not None]
    if looked:
        copying = sum(found.verdict == "copies" for found in looked)
        found.append(("GANs that copy", f"{copying} of {len(looked)}"))
    return found


def what_was_run(study: Study) -> str:
    """Return in words what was run on what."""
    records, parts = study.records, []
    if (data := records.data) is not None:
        classes = listed(f"{sum(i.class_ == c for i in data.images)} {c}" for c in data.classes)
        parts.append(
            f"Dataset: {dataset_name(records)}, {len(data.images)} in all ({classes}) at {data.size} × {data.size} "
            f"pixels, split into {len(data.of('train'))} for training and {len(data.of('test'))} for testing."
        )
    finished = records.finished_gans()
    if finished:
        augs = listed(dict.fromkeys(label(gan.key.aug) for gan in sorted(finished, key=lambda gan: gan.key.order)))
        kimg = listed(f"{value:g}" for value in sorted({round(gan.kimg, 3) for gan in finished}))
        presets = listed(sorted({gan.document.preset for gan in finished if gan.document is not None}))
        sizes = listed(str(n) for n in sorted({gan.key.n for gan in finished}, reverse=True))
        seeds = sorted({gan.key.seed for gan in finished})
        drawn = f", drawn with seeds {listed(map(str, seeds))}," if len(seeds) > 1 else ""
        parts.append(
            f"{plural(len(finished), 'GAN')} ({augs}) trained on subsets of {sizes} images{drawn} for {kimg} kimg with "
            f"the preset {presets}."
        )
    extractors = listed(dict.fromkeys(short_name(group.settings.extractor) for group in study.scores))
    if extractors:
        parts.append(f"Fréchet distances in the features of {extractors}.")
    for group in study.classifiers:
        settings = group.settings
        how = "frozen, with a new head" if settings.freeze else "fine-tuned"
        parts.append(
            f"{plural(len(group.items), 'classifier')}: {settings.backbone} ({short_name(settings.weights)}), {how}, "
            f"{settings.folds} folds each."
        )
    return " ".join(parts)


def audit(data: DataManifest) -> list[str]:
    """Return what was found among the source's files."""
    copies, found = sum(len(group) for group in data.duplicates), []
    if data.duplicates:
        groups = plural(len(data.duplicates), "group")
        found.append(f"{copies} files are copies of one another, exact or near, in {groups}.")
        if data.near_copies:
            first = data.near_copies[:SHOWN]
            named = "; ".join(f"{Path(pair.first).name} ≈ {Path(pair.second).name}" for pair in first)
            more = f"; and {len(data.near_copies) - SHOWN} more" if len(data.near_copies) > SHOWN else ""
            found.append(f"Near-copies: {plural(len(data.near_copies), 'pair')} ({named}{more}).")
        done = {
            "group": "Copies were kept on one side of the split and of every fold.",
            "drop": "Of every group of copies one image was kept.",
            "ignore": "Copies were ignored when the split was drawn.",
        }
        found.append(done[data.duplicate_policy])
    else:
        found.append("No two files show the same picture.")
    if data.conflicts:
        named = "; ".join(" = ".join(Path(file).name for file in group) for group in data.conflicts[:SHOWN])
        more = f"; and {len(data.conflicts) - SHOWN} more" if len(data.conflicts) > SHOWN else ""
        kept = "they were left out" if data.conflict_policy == "drop" else "they were kept"
        found.append(f"Under more than one class: {plural(len(data.conflicts), 'group')}; {kept} ({named}{more}).")
    if data.left_out:
        reasons: dict[str, int] = {}
        for item in data.left_out:
            reasons[item.reason] = reasons.get(item.reason, 0) + 1
        told = "; ".join(f"{reason} ({count})" for reason, count in sorted(reasons.items(), key=lambda r: -r[1])[:10])
        found.append(f"{plural(len(data.left_out), 'file')} of the source left out: {told}.")
    else:
        found.append("No file of the source was left out.")
    found.append("Pictures of all of them: data/audit.html in the workspace.")
    return found


def tested(study: Study) -> list[tuple[str, Comparison | SeedComparison]]:
    """Return the comparisons that the finding is about, each with where it was made: over seeds where there are any."""
    keys = study.records.subset_keys()
    over = {key.n: [(f"n = {key.n}", item) for item in record.comparisons] for key, record in study.over_seeds}
    by_fold = [(subset_title(key, keys), item) for key, item in study.comparisons if key.n not in over]
    return [*(found for several in over.values() for found in several), *by_fold]


def headline(study: Study) -> str:
    """Return the finding in one line."""
    found = tested(study)
    if not found:
        return "Do generated images help the classifier? It has not been tested yet"
    after = [item for _, item in found if below(item.p_holm)]
    helped, hurt = sum(item.difference > 0 for item in after), sum(item.difference < 0 for item in after)
    of = f"of {plural(len(found), 'comparison')}"
    doubted = all(isinstance(item, Comparison) and not below(item.p_corrected) for item in after)
    alone = ", by the study’s t-test alone" if doubted else ""
    if helped and hurt:
        return f"Generated images helped in {helped} {of} and hurt in {hurt}{alone}"
    if helped:
        return f"Generated images helped in {helped} {of}{alone}"
    if hurt:
        return f"Generated images hurt in {hurt} {of} and helped in none{alone}"
    return f"Generated images have not been shown to help: none {of} is significant"


def main_finding(study: Study) -> str:
    """Return what the comparisons say about adding generated images, and no more than that."""
    found = tested(study)
    if not found:
        return "No classifier has been compared with its baseline yet, so there is no finding to report."
    over = all(isinstance(item, SeedComparison) for _, item in found)
    total = plural(len(found), "comparison") + (" over several seeds" if over else "")
    after = [(where, item) for where, item in found if below(item.p_holm)]
    if after:
        named = listed_some([f"{_described(item)} at {where} ({_points(item)})" for where, item in after], 3)
        verb = "is" if len(after) == 1 else "are"
        text = f"After Holm's correction, {len(after)} of {total} with real images alone {verb} significant: {named}."
    else:
        text = f"After Holm's correction, none of {total} with real images alone is significant."
    before = sum(below(item.p) for _, item in found)
    corrected = sum(below(item.p_corrected) for _, item in found)
    changes = [100 * item.difference for _, item in found]
    text += (
        f" Without correction {before} would be; by the resampled t-test, which allows for the folds' shared training "
        f"images, {corrected}. Mean differences of F1 range from {number(min(changes), 2, sign=True)} to "
        f"{number(max(changes), 2, sign=True)} percentage points."
    )
    if len(after) < len(found):
        text += " A difference that is not significant has not been shown to be absent."
    return text


def _described(item: Comparison | SeedComparison) -> str:
    return training_label(item.aug, item.ratio, item.variant)


def _points(item: Comparison | SeedComparison) -> str:
    return f"{number(100 * item.difference, 2, sign=True)} points, adjusted p {equals(item.p_holm)}"


def quality_finding(study: Study) -> str:
    """Return which GAN came nearest to the test images, for every n."""
    if not study.scores:
        return ""
    group, nearest = study.scores[0], []
    what = distance_name(group.settings.extractor)
    for n in sorted({key.n for key, _ in group.items}, reverse=True):
        distances = {
            aug: float(np.mean([score.fake.fd for key, score in group.items if (key.n, key.aug) == (n, aug)]))
            for aug in dict.fromkeys(key.aug for key, _ in group.items if key.n == n)
        }
        best = min(distances, key=lambda aug: distances[aug])
        nearest.append((label(best), n, number(distances[best], 1)))
    floors = listed(number(value, 1) for value in sorted({score.real.fd for _, score in group.items}))
    if len(nearest) > 1 and len({name for name, _, _ in nearest}) == 1:
        values = listed(f"{value} (n = {n})" for _, n, value in nearest)
        said = f"{nearest[0][0]} at every n, with {what} {values}"
    else:
        said = listed(f"{name} at n = {n} ({what} {value})" for name, n, value in nearest)
    return f"Nearest to the test images: {said}; real training images reach {floors}."
