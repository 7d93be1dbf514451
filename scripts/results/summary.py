"""What a study found in one table, and whether the published study's orderings are seen in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.score import ScoreRecord, SetScores, distance_name, kernel_name
from usgan_cli.core.store.workspace import GanKey, TrainingSet
from usgan_cli.core.table import Cell, Column, Interval, Table, Words
from usgan_cli.core.text import DASH, gan_label, joined, number, training_label
from usgan_cli.reporting import paper
from usgan_cli.reporting.copying_tables import VERDICTS
from usgan_cli.reporting.records import StudyRecords, aug_order, training_order
from usgan_cli.reporting.verdict import Verdict, Verdicts

PUBLISHED_F1 = {(one.n, one.aug): one.f1.mean for one in paper.VALUES}
BEHIND = max(max(PUBLISHED_F1[n, aug] for aug in ("ada", "diffaug")) - PUBLISHED_F1[n, "none"] for n in paper.SIZES)
"""Points of F1 by which the paper's StyleGAN2 lay behind the better of ADA and DiffAug, at most."""
OWN_IMAGES = "their own training images, which stand for how near a GAN can come"


@dataclass(frozen=True)
class Arm:
    """A training set at one n: its classifiers, its GAN's scores, and what is said of it."""

    label: str
    classifiers: list[ClassifierRecord]
    """One for each repeat."""
    images: list[SetScores] = field(default_factory=list)
    """Of the GAN's images for each repeat; of real images alone: of the training images."""
    scores: list[ScoreRecord] = field(default_factory=list)
    verdict: Verdict | None = None


def arms_of(records: StudyRecords, verdicts: Verdicts, n: int) -> list[Arm]:
    """Return the training sets at one n, in the order of all tables."""
    classifiers: dict[str, list[ClassifierRecord]] = {}
    for key, record in records.all_classifiers():
        if key.n == n:
            classifiers.setdefault(record.name, []).append(record)
    judged = {one.effect.name: one for one in verdicts.each if one.n == n}
    return [
        _arm(records, n, repeats, judged.get(name))
        for name, repeats in sorted(classifiers.items(), key=lambda item: training_order(item[1][0]))
    ]


def _arm(records: StudyRecords, n: int, repeats: list[ClassifierRecord], verdict: Verdict | None) -> Arm:
    name, first = repeats[0].name, repeats[0]
    which = TrainingSet.parse(name) or TrainingSet()
    label = training_label(which.aug, which.ratio, "labels shuffled" * (which.control == "shuffled"), which.control)
    of_n = [(key, score) for key, score in records.scores.items() if key.n == n]
    if first.is_baseline:
        own = {key.seed: score.subset for key, score in of_n if score.subset is not None}
        return Arm(label, repeats, list(own.values()))
    if first.control is not None:
        return Arm(label, repeats, verdict=verdict)
    scores = [score for key, score in of_n if key.aug == first.aug]
    return Arm(label, repeats, [score.fake for score in scores], scores, verdict)


def table(records: StudyRecords, verdicts: Verdicts) -> Table:
    """Return every training set of every n with what was found, each value a mean over repeats."""
    extractors = {score.settings.extractor for score in records.scores.values()}
    extractor = extractors.pop() if len(extractors) == 1 else ""
    distance, kernel = (distance_name(extractor), kernel_name(extractor)) if extractor else ("FD", "KD")
    columns: list[Column[Arm]] = [
        Words("Training images", "training", lambda arm: arm.label),
        _over_images(distance, "fd", lambda scores: scores.fd, 1),
        _over_images(f"{kernel} × 1000", "kid", lambda scores: scores.kid, 0, 1000),
        _over_images("JS", "js", lambda scores: scores.js, 3),
        _over_images("SSIM", "ssim", lambda scores: scores.ssim.mean, 3),
        _over_images("Recall", "recall", lambda scores: scores.recall, 2),
        Words("Copies", "copies", _copies),
        Interval("F1, %", "f1", lambda arm: _ends([one.test_micro_f1.mean for one in arm.classifiers]), 1, 100),
        Interval("Difference, points", "difference", _difference, 1, 100, sign=True),
        Words("Verdict", "verdict", lambda arm: arm.verdict and arm.verdict.word),
    ]
    groups = [(f"n = {n}", rows) for n in records.sizes() if len(rows := arms_of(records, verdicts, n)) > 1]
    note = (
        "Means over repeats, each on its own subset; in brackets the least and the most of them. "
        f"{distance} and {kernel} of real images alone are those of {OWN_IMAGES}. "
        "F1 is micro-averaged, on the test images. Difference: of accuracy, to copies of as many real images at "
        "equally many updates (copies: to real images alone), with its 95 % interval over repeats and test images, not "
        "adjusted; the verdict is by p adjusted over the whole report."
    )
    return Table.of("summary", "What was found, in one table.", columns, groups, [note])


def _over_images(
    title: str, key: str, measure: Callable[[SetScores], float | None], digits: int, scale: float = 1
) -> Column[Arm]:
    return Interval(title, key, lambda arm: _ends([measure(scores) for scores in arm.images]), digits, scale)


def _ends(values: Sequence[float | None]) -> tuple[float | None, tuple[float, float] | None]:
    """Return the mean of the repeats with the least and the most; nothing where one was not measured."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None, None
    return float(np.mean(known)), (min(known), max(known)) if len(known) > 1 else None


def _difference(arm: Arm) -> tuple[float | None, tuple[float, float] | None]:
    if arm.verdict is None:
        return None, None
    return arm.verdict.effect.difference, arm.verdict.effect.interval


def _copies(arm: Arm) -> Cell:
    found = [score.memorization.verdict for score in arm.scores if score.memorization is not None]
    if not found:
        return Cell(DASH, ("",))
    counts = {VERDICTS[one]: found.count(one) for one in dict.fromkeys(found)}
    text = joined(
        [word if count == len(found) else f"{word} ({count} of {len(found)})" for word, count in counts.items()]
    )
    return Cell(text, (text,))


def orderings(records: StudyRecords, verdicts: Verdicts) -> Iterator[str]:
    """Yield whether the orderings that the paper found are seen, in distance and in F1; nothing without its GANs."""
    rows: list[str] = []
    for n in records.sizes():
        arms = {name: arm for arm in arms_of(records, verdicts, n) for name in [arm.classifiers[0].name]}
        gans = {aug: arms[name] for aug in paper.AUGS if (name := TrainingSet(aug, paper.RATIO).name) in arms}
        if len(gans) == len(paper.AUGS) and "real" in arms:
            rows += _orderings_at(n, gans, arms["real"])
    if rows:
        yield from ("### The paper’s orderings", "")
        yield "Orders of means over repeats, untested: the verdicts above say what a difference of these is worth."
        yield from ("", "| n | the paper found | here |", "|---:|---|---|", *rows, "")


def _orderings_at(n: int, gans: dict[str, Arm], real: Arm) -> Iterator[str]:
    distances = {aug: _ends([scores.fd for scores in arm.images])[0] for aug, arm in gans.items()}
    if all(value is not None for value in distances.values()):
        seen = all((distances[aug] or 0) < (distances["none"] or 0) for aug in ("ada", "diffaug"))
        yield _line(n, "ADA and DiffAug nearer to the test images than StyleGAN2", seen, _words(distances, 1, 1))
    f1 = {aug: _mean_f1(arm) for aug, arm in gans.items()}
    alone = _mean_f1(real)
    words = f"{_words(f1, 100, 1)}; real images alone {number(100 * alone, 1)}"
    yield _line(n, "every GAN’s images raise F1 above that of real images alone", min(f1.values()) > alone, words)
    best = max(f1["ada"], f1["diffaug"])
    apart = number(100 * (f1["none"] - best), 1, sign=True)
    yield _line(
        n,
        f"StyleGAN2’s images raise F1 about as much as ADA’s and DiffAug’s (at most {number(BEHIND, 1)} points less)",
        100 * (best - f1["none"]) <= BEHIND,
        f"{apart} points to the better of these",
    )


def _mean_f1(arm: Arm) -> float:
    return float(np.mean([one.test_micro_f1.mean for one in arm.classifiers]))


def _words(values: dict[str, float | None] | dict[str, float], scale: float, digits: int) -> str:
    order = sorted(values, key=lambda aug: values[aug] if values[aug] is not None else math.inf)
    return ", ".join(f"{gan_label(aug)} {number(scale * (values[aug] or math.nan), digits)}" for aug in order)


def _line(n: int, found: str, seen: bool, words: str) -> str:
    return f"| {n} | {found} | {'seen' if seen else 'not seen'}: {words} |"


def _repeats(keys: Iterable[GanKey]) -> str:
    seeds = sorted({key.seed for key in keys})
    return f"seeds {joined(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]} alone"


def as_others(records: StudyRecords, folder: Path) -> Iterator[str]:
    """Yield each GAN as is often published beside what it should be: `folder` has its scores against training images.

    See `as_others.py`, which measures them.
    """
    against = {
        key: ScoreRecord.read(path) for path in sorted(folder.glob("*.json")) if (key := GanKey.parse(path.stem))
    }
    if not against:
        return
    yield from ("### Measured as is often done", "")
    yield (
        "Often published are distances to the images that a GAN was trained on, and F1 of the images by which a "
        "classifier was chosen. These are the same GANs and classifiers, measured in both ways. A distance to few "
        "images is larger for their number alone, and smaller where a GAN copies, so the first two columns are not one "
        "measure; what a random split gives is the leak, below. Values are "
        f"means over {_repeats(against)}."
    )
    yield from ("", "| n | images | FD, to training images | FD, to test images | F1, validation, % | F1, test, % |")
    yield "|---:|---|---:|---:|---:|---:|"
    for n, aug in sorted({(key.n, key.aug) for key in against}, key=lambda one: (-one[0], aug_order(one[1]))):
        keys = [key for key in against if (key.n, key.aug) == (n, aug) and key in records.scores]
        name = TrainingSet(aug, paper.RATIO).name
        made = [of[name] for key in keys if name in (of := records.classifiers.get(key.subset, {}))]
        values = [
            (1, 1, [against[key].fake.fd for key in keys]),
            (1, 1, [records.scores[key].fake.fd for key in keys]),
            (100, 1, [one.val_micro_f1.mean for one in made]),
            (100, 1, [one.test_micro_f1.mean for one in made]),
        ]
        cells = [number(scale * float(np.mean(of)), digits) if of else DASH for scale, digits, of in values]
        yield f"| {n} | {gan_label(aug)} | {' | '.join(cells)} |"
    yield ""
