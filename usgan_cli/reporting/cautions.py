"""What a reader should know before believing the results, in words.

Every sentence is computed from the records. Cases of the same kind share a sentence, so that a large study stays
readable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from usgan_cli.core.formats.generator import ADA_KIMG, ADA_TARGET, LEAK_THRESHOLD, WINNING_R_T
from usgan_cli.core.formats.score import Memorization, ScoreRecord, distance_name
from usgan_cli.core.store.workspace import GanKey
from usgan_cli.core.text import gan_label, joined, number, plural
from usgan_cli.reporting import paper
from usgan_cli.reporting.divided import divided
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.outdated import (
    current_scores,
    current_snapshots,
    outdated_classifiers,
    outdated_images,
    outdated_subsets,
)
from usgan_cli.reporting.records import GanRun, StudyRecords
from usgan_cli.reporting.verdict import Verdicts, doubts

IDLE_P = 0.01
"""An ADA whose p stayed below this hardly augmented."""
STEADY_RISE = 0.75
"""A p that came at least this far of what its speed allows was held back by that speed."""
ENOUGH_FOLDS = 5
MOST_NAMED = 6


@dataclass(frozen=True)
class Caution:
    """One reason for doubt, with what it is about in a word or two."""

    topic: str
    text: str


def cautions(study: Study, verdicts: Verdicts) -> list[Caution]:
    """Return what should change how far a reader believes the results, in words, what weighs most first."""
    records = study.records
    scores = current_scores(records)
    topics: list[tuple[str, Iterable[str]]] = [
        ("Weak GANs", _weak(scores)),
        ("Copies", _copying(records)),
        ("Leaks", [] if records.data is None else divided(records.data).cautions(records.data)),
        ("Verdicts", doubts(study, verdicts)),
        ("Unreadable", _unreadable(records)),
        ("Out of date", [*_stale(records, scores), *study.rejected]),
        ("Data", _conflicts(records)),
        ("Training", [*_discriminators(records), *_lengths(records)]),
        ("Scores", _scores(study)),
        ("Classifiers", [*dict.fromkeys(_classifiers(study)), *_majority(records)]),
    ]
    return [Caution(topic, text) for topic, texts in topics for text in texts]


def _of(names: Sequence[str], text: str) -> list[str]:
    """Return the sentence that something holds of these; none where there are none."""
    return [f"{text}: {joined(names, MOST_NAMED)}."] if names else []


def _weak(scores: Mapping[GanKey, ScoreRecord]) -> Iterator[str]:
    weak = {key: score.quality for key, score in scores.items() if score.quality.weak}
    if weak:
        counts = Counter((key.aug, key.n) for key in weak)
        names = joined(_trainings(counts, scores), MOST_NAMED)
        reasons = joined(next(iter(weak.values())).reasons)
        yield (
            f"Images of {names} are not yet like real ones: {'of the first, ' * (len(counts) > 1)}{reasons}. What they "
            "do to a classifier says nothing about good generated images."
        )


def _trainings(counts: Counter[tuple[str, int]], scores: Iterable[GanKey]) -> list[str]:
    """Return GANs, by how many of their scored trainings are counted, with all sizes n for which it is as many.

    "StyleGAN2 and StyleGAN2 + ADA at n = 100 and 50 (3 of 3 trainings each)".
    """
    trained = Counter((key.aug, key.n) for key in scores)
    gans: dict[tuple[int, int, int], list[str]] = {}
    for (aug, n), count in counts.items():
        gans.setdefault((n, count, trained[aug, n]), []).append(gan_label(aug))
    sizes: dict[tuple[tuple[str, ...], int, int], list[str]] = {}
    for (n, count, total), names in gans.items():
        sizes.setdefault((tuple(names), count, total), []).append(str(n))
    return [
        f"{joined(names)} at n = {joined(of)}"
        + f" ({count} of {total} trainings{' each' * (len(names) * len(of) > 1)})" * (total > 1)
        for (names, count, total), of in sizes.items()
    ]


def _unreadable(records: StudyRecords) -> Iterator[str]:
    reasons = [reason.rstrip(".") for reason in records.unreadable]
    if reasons:
        what = plural(len(reasons), "record could not be read and is", "records could not be read and are")
        yield f"{what} left out: {'; '.join(reasons[:MOST_NAMED])}{'; …' * (len(reasons) > MOST_NAMED)}."


def _stale(records: StudyRecords, scores: Mapping[GanKey, ScoreRecord]) -> Iterator[str]:
    """Yield in words which records were made from inputs that have since been replaced."""
    other_subset, other_images = outdated_classifiers(records)
    saved = current_snapshots(records)
    kinds = {
        "Subsets drawn from another version of the dataset": [key.name for key in outdated_subsets(records)],
        "Images made by an earlier version of their GAN": [key.name for key in outdated_images(records)],
        "Scores of images or a dataset that have since been replaced": [
            key.name for key in records.scores if key not in scores
        ],
        "Scores of saved generators, or of a dataset, that have since been replaced": [
            key.name for key in records.snapshots if key not in saved
        ],
        "Classifiers trained on another version of their subset": other_subset,
        "Classifiers trained on other images than their GAN's folder has now": other_images,
    }
    for text, names in kinds.items():
        yield from _of(names, text)


def _copying(records: StudyRecords) -> Iterator[str]:
    for verdict, what in (("copies", "GANs that copy real images"), ("some", "GANs that may copy some real images")):
        names = [
            f"{key.name} ({_clear_shares(score.memorization)})"
            for key, score in records.scores.items()
            if score.memorization is not None and score.memorization.verdict == verdict
        ]
        yield from _of(names, f"{what} (see the closest pairs)")


def _clear_shares(copying: Memorization) -> str:
    """Return which share of the images is clearly too close to which real ones."""
    sides = {
        "training": (copying.train_features, copying.train_pixels),
        "test": (copying.test_features, copying.test_pixels),
    }
    return joined(
        f"{number(100 * max(side.clear for side in both), 1)} % far too close to {name} images"
        for name, both in sides.items()
        if any(side.verdict == copying.verdict for side in both)
    )


def _conflicts(records: StudyRecords) -> Iterator[str]:
    data = records.data
    if data is not None and data.conflicts and data.conflict_policy != "drop":
        groups = plural(len(data.conflicts), "group of copies has", "groups of copies have")
        yield f"{groups} more than one class: no classifier can get all of those images right."


def _discriminators(records: StudyRecords) -> Iterator[str]:
    """Yield where ADA augmented too much or hardly, and which discriminators overfitted."""
    ends = [
        (gan, gan.key.name if gan.document is not None else f"{gan.key.name}, unfinished", gan.log[-1])
        for gan in records.logged_gans()
    ]
    yield from ada_cautions([(gan, name) for gan, name, _ in ends if gan.uses("ada")])
    yield from _of(
        [
            f"{name} (r_t = {number(end.r_t, 2)})"
            for gan, name, end in ends
            if end.r_t > WINNING_R_T and gan.settings.get("discriminator") != "projected"  # there it is no sign of it
        ],
        f"The discriminator was winning at the end (r_t above {WINNING_R_T}): it knew real images from generated "
        "ones almost without fail, as it does once it has learned them by heart",
    )


def ada_cautions(gans: Sequence[tuple[GanRun, str]]) -> Iterator[str]:
    """Yield which GANs ADA augmented too much, hardly, or less than its target asked for."""
    yield from _of(
        [f"{name} (p = {number(gan.log[-1].p, 2)})" for gan, name in gans if gan.log[-1].p > LEAK_THRESHOLD],
        f"ADA's p stayed above {LEAK_THRESHOLD} to the end, where its augmentations begin to show in the generated "
        "images",
    )
    idle, slow = ([name for gan, name in gans if test(gan)] for test in (_idle, _held_back))
    hardly = f"ADA hardly augmented (p stayed below {IDLE_P})"
    same = "this is the GAN without ADA with other random draws"
    yield from _of(
        [name for name in idle if name not in slow],
        f"{hardly}, because the discriminator did not overfit (r_t was seldom above its target): {same}",
    )
    yield from _of(
        [name for name in idle if name in slow],
        f"{hardly}, because p may not rise faster in so short a training, although the discriminator overfitted "
        f"(r_t above its target): {same}. A smaller ada-kimg lets it augment",
    )
    yield from _of(
        [f"{name} (p = {number(gan.log[-1].p, 2)})" for gan, name in gans if name in slow and name not in idle],
        "ADA's p was still rising as fast as it may at the end (r_t above its target), so it augmented less than it "
        "would; a smaller ada-kimg or a longer training lets it",
    )


def _idle(gan: GanRun) -> bool:
    """Return whether ADA left the images of this training alone all the time."""
    return max(row.p for row in gan.log) < IDLE_P


def _held_back(gan: GanRun) -> bool:
    """Return whether p rose as fast as ada_kimg allows to the end, and its target asked for more."""
    end = gan.log[-1]
    reach = end.kimg / float(gan.settings.get("ada_kimg", ADA_KIMG))
    return reach < 1 and end.p >= STEADY_RISE * reach and end.r_t > float(gan.settings.get("ada_target", ADA_TARGET))


def _lengths(records: StudyRecords) -> Iterator[str]:
    """Yield where GANs were trained differently, and that each was trained once."""
    gans = [(gan.key, round(gan.kimg, 3), gan.document.preset) for gan in records.gans.values() if gan.document]
    for n in records.sizes():
        trainings = sorted({(kimg, preset) for key, kimg, preset in gans if key.n == n})
        if len(trainings) > 1:
            names = joined(f"{kimg:g} kimg with preset {preset}" for kimg, preset in trainings)
            yield f"The GANs of n = {n} were trained differently ({names}), so they cannot be compared fairly."
    if gans and len({(key.n, key.aug) for key, _, _ in gans}) == len(gans):
        yield (
            "Every GAN was trained once for each n. How much another training of the same GAN would differ is not in "
            "any of these numbers."
        )


def _scores(study: Study) -> Iterator[str]:
    for group in study.scores:
        count, what = group.settings.count, distance_name(group.settings.extractor)
        others = sorted({score.real_count for _, score in group.items} - {count})
        if others:
            yield (
                f"The floor is of {joined(others)} real images, the GANs' {what} of {count} generated ones: the "
                "estimate falls with the number of images, so the two cannot quite be compared."
            )
    yield from _apart("Scores were measured", len(study.scores))


def _apart(what: str, groups: int) -> Iterator[str]:
    if groups > 1:
        yield (
            f"{what} with {groups} different settings and have as many tables; values from different tables cannot be "
            "compared."
        )


def _classifiers(study: Study) -> Iterator[str]:
    yield from _apart("Classifiers were trained", len(study.classifiers))
    for group in study.classifiers:
        folds = group.settings.folds
        if folds < ENOUGH_FOLDS:
            yield f"{folds} folds are too few for a t-test to be trusted; the study used {paper.FOLDS}."
        if group.settings.weights == "none":
            yield "The classifier was not pretrained; the study's was, on ImageNet."


def _majority(records: StudyRecords) -> list[str]:
    if records.data is None or not records.data.of("test"):
        return []
    share = max(records.data.class_counts("test").values()) / len(records.data.of("test"))
    names = [f"{k.name}/{r.name}" for k, r in records.all_classifiers() if r.test_micro_f1.mean <= share]
    return _of(names, f"No better than always naming the commonest class (F1 {number(100 * share, 2)} %)")
