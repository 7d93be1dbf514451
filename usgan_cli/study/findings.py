"""What a report says in words: the summary, what differs from the published protocol, and what to beware of.

Every sentence is computed from the records, and says no more than they do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from usgan_cli.core.records import Comparison, first_difference
from usgan_cli.study import published
from usgan_cli.study.report_data import (
    GanKey,
    GanRun,
    StudyRecords,
    SubsetKey,
    classifier_groups,
    label,
    score_groups,
    valid_ttest,
)
from usgan_cli.study.table_model import number, p_value
from usgan_cli.study.tables import distance_name, is_fid, short_name, subset_title, training_label

ALPHA = 0.05
P_LEAKS, P_IDLE, R_T_WINNING = 0.8, 0.01, 0.9
ENOUGH_FOLDS = 5


@dataclass(frozen=True)
class Difference:
    """One point of the protocol: as published, and in this run."""

    aspect: str
    published: str
    ours: str
    same: bool


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


def valid_comparisons(records: StudyRecords) -> list[tuple[SubsetKey, Comparison]]:
    """Return every comparison that the classifiers on disk bear out."""
    found = []
    for group in classifier_groups(records):
        for key in dict.fromkeys(key for key, _ in group.items):
            ttest, _ = valid_ttest(records, key, group)
            found += [] if ttest is None else [(key, comparison) for comparison in ttest.comparisons]
    return found


def dataset_name(records: StudyRecords) -> str:
    """Return BUSI where the dataset is recognised as it, else its layout."""
    if records.data is None:
        return "no dataset"
    counts = {name: sum(image.class_ == name for image in records.data.images) for name in records.data.classes}
    if counts == published.CLASS_COUNTS or records.data.layout == "BUSI with masks":
        return "BUSI"
    if records.data.layout == "phantoms":
        return "simulated images (phantoms)"
    return "own images"


def what_was_run(records: StudyRecords) -> str:
    """Return in words what was run on what."""
    parts: list[str] = []
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
        parts.append(
            f"{plural(len(finished), 'GAN')} ({augs}) trained on subsets of {sizes} images for {kimg} kimg with the "
            f"preset {presets}."
        )
    extractors = listed(dict.fromkeys(short_name(group.settings.extractor) for group in score_groups(records)))
    if extractors:
        parts.append(f"Fréchet distances in the features of {extractors}.")
    for group in classifier_groups(records):
        settings = group.settings
        how = "frozen, with a new head" if settings.freeze else "fine-tuned"
        parts.append(
            f"{plural(len(group.items), 'classifier')}: {settings.backbone} ({short_name(settings.weights)}), {how}, "
            f"{settings.folds} folds each."
        )
    return " ".join(parts)


def main_finding(records: StudyRecords) -> str:
    """Return what the comparisons say about adding generated images, and no more than that."""
    found = valid_comparisons(records)
    if not found:
        return "No classifier has been compared with its baseline yet, so there is no finding to report."
    keys = records.subset_keys()
    total = plural(len(found), "comparison")
    after = [(key, item) for key, item in found if _below(item.p_holm)]
    before = sum(_below(item.p) for _, item in found)
    corrected = sum(_below(item.p_corrected) for _, item in found)
    changes = [100 * item.difference for _, item in found]
    if after:
        named = listed(
            f"{training_label(item.aug, item.ratio, item.variant)} at {subset_title(key, keys)} "
            f"({number(100 * item.difference, 2, sign=True)} points, adjusted p {_p(item.p_holm)})"
            for key, item in after
        )
        verb = "is" if len(after) == 1 else "are"
        text = f"After Holm's correction, {len(after)} of {total} with real images alone {verb} significant: {named}."
    else:
        text = f"After Holm's correction, none of {total} with real images alone is significant."
    text += (
        f" Without correction {before} would be; by the resampled t-test, which allows for the folds' shared training "
        f"images, {corrected}. Mean differences of F1 range from {number(min(changes), 2, sign=True)} to "
        f"{number(max(changes), 2, sign=True)} percentage points."
    )
    if len(after) < len(found):
        text += " A difference that is not significant has not been shown to be absent."
    return text


def quality_finding(records: StudyRecords) -> str:
    """Return which GAN came nearest to the test images, for every n."""
    groups = score_groups(records)
    if not groups:
        return ""
    group, parts = groups[0], []
    what = distance_name(group.settings.extractor)
    for n in sorted({key.n for key, _ in group.items}, reverse=True):
        distances = {
            aug: float(np.mean([score.fake.fd for key, score in group.items if (key.n, key.aug) == (n, aug)]))
            for aug in dict.fromkeys(key.aug for key, _ in group.items if key.n == n)
        }
        order = sorted(distances, key=lambda aug: distances[aug])
        values = ", ".join(f"{label(aug)} {number(distances[aug], 1)}" for aug in order)
        parts.append(f"at n = {n}, {values}")
    floor = listed(number(value, 1) for value in sorted({score.real.fd for _, score in group.items}))
    return f"{what} to the test images, nearest first: {'; '.join(parts)}. Real training images: {floor}."


def _below(p: float | None) -> bool:
    return p is not None and p < ALPHA


def _p(p: float | None) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def protocol_differences(records: StudyRecords) -> list[Difference]:
    """Return the points of the published protocol that the records tell of, each beside this run's."""
    return [*_data_protocol(records), *_gan_protocol(records), *_classifier_protocol(records)]


def _point(aspect: str, theirs: str, ours: str, same: bool | None = None) -> Difference:
    return Difference(aspect, theirs, ours, theirs == ours if same is None else same)


def _data_protocol(records: StudyRecords) -> list[Difference]:
    data, found = records.data, []
    if data is not None:
        counts = {name: sum(image.class_ == name for image in data.images) for name in data.classes}
        theirs = "BUSI: " + ", ".join(f"{count} {name}" for name, count in published.CLASS_COUNTS.items())
        ours = f"{dataset_name(records)}: " + ", ".join(f"{count} {name}" for name, count in counts.items())
        found.append(_point("Dataset", theirs, ours, counts == published.CLASS_COUNTS))
        found.append(
            _point(
                "Split",
                f"{published.TRAIN_COUNT} training, {published.TEST_COUNT} test",
                f"{len(data.of('train'))} training, {len(data.of('test'))} test",
            )
        )
        found.append(_point("Size of images, pixels", str(published.SIZE), str(data.size)))
    if records.subset_keys():
        ours = ", ".join(map(str, records.sizes()))
        found.append(_point("Training images, n", ", ".join(map(str, published.SIZES)), ours))
    return found


def _gan_protocol(records: StudyRecords) -> list[Difference]:
    found = []
    gans = sorted(records.finished_gans(), key=lambda gan: gan.key.order)
    if gans:
        theirs = ", ".join(label(aug) for aug in published.AUGS)
        found.append(_point("GANs", theirs, ", ".join(dict.fromkeys(label(gan.key.aug) for gan in gans))))
        described = listed(dict.fromkeys(_training(gan) for gan in gans))
        same = all(gan.document is not None and gan.document.preset == published.PRESET for gan in gans)
        found.append(_point("GAN training", "StyleGAN2's settings for 256 × 256", described, same))
        found += _treatments(gans)
    psi = sorted({manifest.truncation_psi for manifest in records.synthetic.values()})
    if psi and psi != [1.0]:
        found.append(_point("Truncation ψ", "–", listed(f"{value:g}" for value in psi), False))
    for group in score_groups(records):
        settings = group.settings
        ours = short_name(settings.extractor)
        found.append(_point("Fréchet distance", "Inception (FID)", ours, is_fid(settings.extractor)))
        count = f"{settings.count} generated, {settings.reference_count} real test images"
        theirs = f"{published.TEST_COUNT} real test images"
        found.append(_point("Images compared", theirs, count, settings.reference_count == published.TEST_COUNT))
    return found


def _training(gan: GanRun) -> str:
    document = gan.document
    preset = "?" if document is None else f"preset {document.preset}, {document.architecture.resolution} pixels"
    batch = f", batch {gan.settings['batch']}" if "batch" in gan.settings else ""
    return f"{preset}, {gan.kimg:g} kimg{batch}"


def _treatments(gans: list[GanRun]) -> list[Difference]:
    """Return the settings of ADA and DiffAug, where the trainings recorded them."""
    wanted = [
        ("ada", "ada_ops", "ADA's operations", "bg", "pixel blitting and general geometry (bg)"),
        ("ada", "ada_fill", "ADA's border", None, "reflection"),
        ("diffaug", "diffaug_policy", "DiffAug's operations", ["translation", "cutout"], "translation, cutout"),
        ("diffaug", "diffaug_fill", "DiffAug's fill", 0.0, "zero (mid-gray)"),
    ]
    found = []
    for aug, setting, aspect, expected, words in wanted:
        values = [gan.settings[setting] for gan in gans if aug in gan.key.aug.split("+") and setting in gan.settings]
        if values:
            same = all(value == expected for value in values)
            shown = dict.fromkeys(", ".join(value) if isinstance(value, list) else str(value) for value in values)
            found.append(_point(aspect, words, words if same else listed(shown), same))
    return found


def _classifier_protocol(records: StudyRecords) -> list[Difference]:
    found: list[Difference] = []
    groups = classifier_groups(records)
    for group in groups:
        settings = group.settings
        how = "head alone trained (frozen)" if settings.freeze else "fine-tuned"
        same = settings.backbone.startswith(published.BACKBONE) and not settings.freeze and settings.weights != "none"
        ours = f"{settings.backbone} ({short_name(settings.weights)}), {how}"
        found.append(_point("Classifier", "EfficientNet-B2 pretrained on ImageNet, fine-tuned", ours, same))
        found.append(_point("Folds", str(published.FOLDS), str(settings.folds)))
    ratios = sorted({record.ratio for _, record in records.all_classifiers() if record.aug is not None})
    if ratios:
        ours = ", ".join(f"{100 * ratio:g} %" for ratio in ratios)
        found.append(_point("Synthetic images added", ", ".join(f"{100 * r:g} %" for r in published.RATIOS), ours))
    return list(dict.fromkeys(found))


def warnings(records: StudyRecords) -> list[str]:
    """Return what should change how far a reader believes the results, in words."""
    found = [f"A record could not be read and is left out: {reason}" for reason in records.unreadable]
    found += find_stale(records)
    found += _data_warnings(records)
    found += _training_warnings(records)
    found += _score_warnings(records)
    found += _classifier_warnings(records)
    return found


def _data_warnings(records: StudyRecords) -> list[str]:
    data, found = records.data, []
    if data is None:
        return []
    if data.conflicts:
        one = len(data.conflicts) == 1
        found.append(
            f"{plural(len(data.conflicts), 'group')} of copies {'stands' if one else 'stand'} under more "
            "than one class: no classifier can get all of those images right."
        )
    side = {name: image.split for image in data.images for name in (image.source, image.file)}
    leaked = sum(len({side[name] for name in group if name in side}) > 1 for group in data.duplicates)
    if leaked:
        found.append(f"{plural(leaked, 'group')} of copies lie on both sides of the split: test scores leak.")
    return found


def _training_warnings(records: StudyRecords) -> list[str]:
    found: list[str] = []
    logged = [gan for gan in sorted(records.gans.values(), key=lambda gan: gan.key.order) if gan.log]
    leaking = [gan for gan in logged if gan.key.aug == "ada" and gan.log[-1].p > P_LEAKS]
    if leaking:
        named = listed_some([f"{_named(gan)} (p = {number(gan.log[-1].p, 2)})" for gan in leaking])
        found.append(
            f"ADA's p stayed above {P_LEAKS} to the end, where its augmentations begin to show in the generated "
            f"images: {named}."
        )
    idle = [gan for gan in logged if gan.key.aug == "ada" and max(row.p for row in gan.log) < P_IDLE]
    if idle:
        named = listed_some([_named(gan) for gan in idle])
        found.append(
            f"ADA hardly augmented (p stayed below {P_IDLE}), because the discriminator did not overfit in so short a "
            f"training: this is plain StyleGAN2 with other random draws: {named}."
        )
    winning = [gan for gan in logged if gan.log[-1].r_t > R_T_WINNING]
    if winning:
        named = listed_some([f"{_named(gan)} (r_t = {number(gan.log[-1].r_t, 2)})" for gan in winning])
        found.append(
            f"The discriminator was winning at the end (r_t above {R_T_WINNING}): it knew real images from generated "
            f"ones almost without fail, as it does once it has learned them by heart: {named}."
        )
    for n in records.sizes():
        lengths = {
            (round(gan.kimg, 3), gan.document.preset)
            for gan in records.finished_gans()
            if gan.key.n == n and gan.document
        }
        if len(lengths) > 1:
            named = listed(f"{kimg:g} kimg with preset {preset}" for kimg, preset in sorted(lengths))
            found.append(f"The GANs of n = {n} were not trained alike ({named}), so they cannot be compared fairly.")
    return found


def _named(gan: GanRun) -> str:
    return gan.key.name if gan.document is not None else f"{gan.key.name}, unfinished"


def _score_warnings(records: StudyRecords) -> list[str]:
    found = []
    for group in score_groups(records):
        count, what = group.settings.count, distance_name(group.settings.extractor)
        others = sorted({score.real_count for _, score in group.items} - {count})
        if others:
            found.append(
                f"The floor is of {listed(map(str, others))} real images, the GANs' {what} of {count} generated ones: "
                "the estimate falls with the number of images, so the two are not quite on one footing."
            )
    for key, score in sorted(records.scores.items(), key=lambda item: item[0].order):
        if score.memorization is not None and score.memorization.verdict != "none":
            found.append(f"{key.name}: {score.memorization.words}")
    groups = score_groups(records)
    if len(groups) > 1:
        found.append(
            f"Scores were measured with {len(groups)} different settings and stand in as many tables; values from "
            "different tables cannot be compared."
        )
    return found


def _classifier_warnings(records: StudyRecords) -> list[str]:
    found: list[str] = []
    groups = classifier_groups(records)
    if len(groups) > 1:
        found.append(
            f"Classifiers were trained with {len(groups)} different settings and stand in as many tables; values from "
            "different tables cannot be compared."
        )
    for group in groups:
        folds = group.settings.folds
        if folds < ENOUGH_FOLDS:
            found.append(f"{folds} folds are too few for a t-test to be trusted; the study used {published.FOLDS}.")
        if group.settings.weights == "none":
            found.append("The classifier was not pretrained; the study's was, on ImageNet.")
        for key in dict.fromkeys(key for key, _ in group.items):
            reason = valid_ttest(records, key, group)[1]
            found += [] if reason is None else [reason]
    for key, ttest in records.ttests.items():
        trained = records.classifiers.get(key, {}).values()
        if not any(first_difference(ttest.settings, classifier.settings) is None for classifier in trained):
            found.append(f"The comparison {key.name} belongs to classifiers that are not there; it is left out.")
    found += _majority_warning(records)
    found += _significance_warnings(records)
    return found


def _majority_warning(records: StudyRecords) -> list[str]:
    if records.data is None or not records.data.of("test"):
        return []
    share = max(records.data.class_counts("test").values()) / len(records.data.of("test"))
    below = [f"{k.name}/{r.name}" for k, r in records.all_classifiers() if r.test_micro_f1.mean <= share]
    if not below:
        return []
    return [f"No better than always naming the commonest class (F1 {number(100 * share, 2)} %): {listed_some(below)}."]


def _significance_warnings(records: StudyRecords) -> list[str]:
    found: list[str] = []
    keys, lost, doubted = records.subset_keys(), [], []
    for key, item in valid_comparisons(records):
        what = f"{training_label(item.aug, item.ratio, item.variant)} at {subset_title(key, keys)}"
        if _below(item.p) and not _below(item.p_holm):
            lost.append(f"{what} (p {_p(item.p)}, adjusted {p_value(item.p_holm)})")
        elif _below(item.p_holm) and item.p_corrected is not None and not _below(item.p_corrected):
            doubted.append(f"{what} (p {_p(item.p_corrected)})")
        if item.p is None:
            found.append(f"{what}: every fold differs by the same amount, so there is no p-value.")
    if lost:
        found.append(f"Significant alone, but not after correction for the number of comparisons: {listed_some(lost)}.")
    if doubted:
        found.append(
            "Significant by the study's t-test, but not by the test that allows for the folds' shared training "
            f"images: {listed_some(doubted)}."
        )
    if keys and all(sum(other.n == key.n for other in keys) == 1 for key in keys) and records.gans:
        found.append(
            "Every GAN was trained once for each n. How much another training of the same GAN would differ is not in "
            "any of these numbers."
        )
    return found


def find_stale(records: StudyRecords) -> list[str]:
    """Return in words which records were made from inputs that have since been replaced."""
    found: list[str] = []
    if records.data is not None:
        digest = records.data.content_digest()
        for key, subset in records.subsets.items():
            if subset.data != digest:
                found.append(f"Subset {key.name} was drawn from another version of the dataset.")
    for gan_key, manifest in records.synthetic.items():
        gan = records.gans.get(gan_key)
        if gan is not None and gan.document is not None and manifest.gan != gan.document.content_digest():
            found.append(f"The images of {gan_key.name} were made by an earlier version of that GAN.")
    for key, record in records.all_classifiers():
        drawn = records.subsets.get(key)
        if drawn is not None and record.settings.subset != drawn.content_digest():
            found.append(f"Classifier {key.name}/{record.name} was trained on another version of its subset.")
        images = None if record.aug is None else records.synthetic.get(GanKey(record.aug, *key))
        if images is not None and record.synthetic != images.content_digest():
            found.append(f"Classifier {key.name}/{record.name} was trained on other images than {images.gan_name} has.")
    return found
