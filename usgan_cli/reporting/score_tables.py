"""The tables of image quality: this study's values, with the published ones in columns of their own.

Each table holds scores that were measured with the same settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from usgan_cli.core.formats.measured import Measured, measured
from usgan_cli.core.formats.score import (
    CONSERVATIVE,
    Probe,
    Quality,
    ScoreRecord,
    Scores,
    SetScores,
    distance_name,
    is_fid,
    kernel_name,
    network_name,
)
from usgan_cli.core.store.workspace import SubsetKey
from usgan_cli.core.table import Cell, Column, Interval, Spread, Table, Words
from usgan_cli.core.text import gan_label
from usgan_cli.reporting import paper
from usgan_cli.reporting.groups import ScoreGroup
from usgan_cli.reporting.paper import PUBLISHED, MeanSd, Published
from usgan_cli.reporting.records import aug_order
from usgan_cli.reporting.tables import LEAD, GanRow, by_subset

APART = "Measured with other settings than the first table, so kept apart"


@dataclass(frozen=True)
class ScoreRow:
    """Images that were scored: a GAN's, or real ones."""

    subset: SubsetKey | None
    label: str
    scores: SetScores
    aug: str | None = None
    class_: str = ""
    repeats: list[SetScores] = field(default_factory=list)
    """Scores for each seed, where the row is of several trainings."""

    @property
    def published(self) -> Published | None:
        """What was published of the GAN at the same n."""
        return None if self.subset is None or self.aug is None else paper.values_at(self.subset.n, self.aug)


IMAGES: list[Column[ScoreRow]] = [*LEAD, Words("Images", "images", lambda row: row.label)]
COUNT: Column[ScoreRow] = Column("Count", "count", lambda row: row.scores.count)
JS: Column[ScoreRow] = Column("JS", "js", lambda row: row.scores.js, 3)
SSIM: Column[ScoreRow] = Spread("SSIM", "ssim", lambda row: row.scores.ssim, 3)
THEIR_SCORES: list[Column[ScoreRow]] = [
    Spread("FID", "published_fid", lambda row: row.published and row.published.fid, None, group=PUBLISHED),
    Column("JS", "published_js", lambda row: row.published and row.published.js, None, group=PUBLISHED),
    Spread("SSIM", "published_ssim", lambda row: row.published and row.published.ssim, None, group=PUBLISHED),
]


def _published(group: ScoreGroup) -> list[Column[ScoreRow]]:
    """Return the columns of published values where there are any: of the same dataset and number of images."""
    if not (group.busi and any(key.n in paper.SIZES for key, _ in group.items)):
        return []
    return THEIR_SCORES if is_fid(group.settings.extractor) else THEIR_SCORES[1:]


def _sections(group: ScoreGroup) -> list[tuple[str, list[ScoreRow]]]:
    """Return the GANs of every subset with their own training images, then the yardsticks, under their headings."""
    rows = []
    for subset in dict.fromkeys(key.subset for key, _ in group.items):
        members = [(key, score) for key, score in group.items if key.subset == subset]
        rows += [ScoreRow(subset, gan_label(key.aug), score.fake, key.aug) for key, score in members]
        own = next((score.subset for _, score in members if score.subset is not None), None)
        rows += [] if own is None else [ScoreRow(subset, "Their own training images", own)]
    return [*by_subset(rows), ("Yardsticks", _yardsticks(group))]


def _yardsticks(group: ScoreGroup) -> list[ScoreRow]:
    """Return the real images, then the baselines, each once: repeats differ in what they drew of them alone."""
    rows: dict[tuple[str, int], ScoreRow] = {}
    for _, score in group.items:
        name = "Real training images" if score.real_name == "train" else f"Real images: {score.real_name}"
        kinds = {name: score.real} | {f"{k.capitalize()} training images": v for k, v in score.baselines.items()}
        for label, scores in kinds.items():
            rows.setdefault((label, scores.count), ScoreRow(None, label, scores))
    return sorted(rows.values(), key=lambda row: not row.label.startswith("Real"))


def quality_table(group: ScoreGroup) -> Table:
    """Return the study's table 1: Fréchet distance, JS and SSIM of every GAN, and of real images."""
    settings, distance = group.settings, distance_name(group.settings.extractor)
    fid = is_fid(settings.extractor)
    published = _published(group)
    columns: list[Column[ScoreRow]] = [
        *IMAGES,
        COUNT,
        Spread(distance, "fd", lambda row: MeanSd(row.scores.fd, row.scores.fd_spread.sd), 1),
        JS,
        SSIM,
        *published,
    ]
    features = network_name(settings.extractor)
    caption = (
        f"Images against the {settings.reference_count} real test images: "
        f"{'FID' if fid else f'Fréchet distance (FD) in the features of {features}'}, Jensen-Shannon distance of gray "
        "values (JS), and mean structural similarity of random pairs (SSIM). A GAN can hardly come nearer than the "
        "real training images do."
    )
    notes = [
        f"± of {distance}: standard deviation over {settings.repeats} draws of half of both sets, conservative where "
        "images are nearly like the real ones; "
        f"± of SSIM: over {settings.ssim_pairs} pairs. JS: {settings.js_bins} gray values. Lower FD and JS are nearer."
    ]
    if not fid:
        notes.append("FD in these features is not FID: published FIDs cannot be compared with it.")
    return Table.of(f"quality{group.suffix}", caption, columns, _sections(group), [*notes, *group.apart(APART)])


def _interval(title: str, measure: str, digits: int, scale: float = 1, group: str = "") -> Column[ScoreRow]:
    """Return the column of a measure of `SetScores`, by its field's name, with its interval below it."""
    return Interval(title, measure, partial(_with_interval, measure=measure), digits, scale, group=group)


def _with_interval(row: ScoreRow, measure: str) -> tuple[float | None, tuple[float, float] | None]:
    value = getattr(row.scores, measure)
    return value.mean if isinstance(value, Measured) else value, row.scores.intervals.get(measure)


def nearness_table(group: ScoreGroup) -> Table:
    """Return the distances in features with their intervals, and whether images lie among the real ones."""
    settings, kernel = group.settings, kernel_name(group.settings.extractor)
    distance, among = "Distance", "Among the real ones"
    columns = [
        *IMAGES,
        _interval(distance_name(settings.extractor), "fd", 1, group=distance),
        _interval(f"{kernel} × 1000", "kid", 2, 1000, group=distance),
        _interval("Precision", "precision", 2, group=among),
        _interval("Recall", "recall", 2, group=among),
        _interval("Density", "density", 2, group=among),
        _interval("Coverage", "coverage", 2, group=among),
    ]
    sizes = sorted({s.fake.kid_subset_size for _, s in group.items if s.fake.kid_subset_size is not None})
    caption = (
        f"Distance to the test images, and share among them. {kernel} is the kernel distance, unbiased at any number "
        "of images. Precision: share of these images that lie among the real test images; recall: share of the test "
        "images that lie among these; density and coverage are their counterparts that outliers sway less. Below each "
        "its 95 % interval."
    )
    note = (
        f"Intervals over images, from {settings.repeats} half samples. {kernel} in {settings.kid_subsets} subsets of "
        f"{' or '.join(map(str, sizes)) or 'no'} images, times 1000; precision and recall with {settings.precision_k} "
        f"neighbours, density and coverage with {settings.density_k}. {CONSERVATIVE}"
    )
    return Table.of(f"nearness{group.suffix}", caption, columns, _sections(group), [note, *group.apart(APART)])


def enough_table(group: ScoreGroup) -> Table:
    """Return whether the images of each GAN are good enough to be judged by what they do to a classifier."""
    distance = distance_name(group.settings.extractor)
    told = "Told from real images, AUC"
    columns: list[Column[GanRow[ScoreRecord]]] = [
        *LEAD,
        Words("GAN", "gan", lambda row: gan_label(row.key.aug)),
        Words("Good enough?", "enough", lambda row: _enough(row.record.quality)),
        Column(distance, "fd", lambda row: row.record.fake.fd, 1, group=distance),
        Column("Blurred", "blurred_fd", lambda row: row.record.quality.blurred_fd, 1, group=distance),
        Column("To infinite", "fd_infinite", lambda row: row.record.fake.fd_infinite, 1, group=distance),
        Column("Real, to infinite", "real_fd_infinite", lambda row: row.record.real.fd_infinite, 1, group=distance),
        Interval("GAN", "auc", lambda row: _auc(row.record.quality.probe), 2, group=told),
        Interval("Real", "real_auc", lambda row: _auc(row.record.quality.real_probe), 2, group=told),
        Column("Precision", "precision", lambda row: row.record.fake.precision, 2),
        Column("Coverage", "coverage", lambda row: row.record.fake.coverage, 2),
        Words("Against it", "reasons", lambda row: "; ".join(row.record.quality.reasons), shown=False),
    ]
    caption = (
        "Are the GANs good enough to be judged? Too weak: no nearer to the test images than blurred training images "
        "(nothing of the speckle is left); or a linear classifier tells them from real images almost without fail, and "
        "hardly any lie among these (precision) or reach them (coverage). What such images do to a classifier says "
        "nothing about better ones."
    )
    note = (
        "AUC: area under the ROC curve of a classifier on features in five-fold cross-validation, with its 95 % "
        "interval over images; 0.5 where the two cannot be told apart. To infinite: extrapolated to infinitely many "
        "images (Chong and Forsyth 2020); with fewer images than features a part of the bias stays, so read it beside "
        "the real images’."
    )
    rows = [GanRow(key, score) for key, score in group.items]
    return Table.of(f"enough{group.suffix}", caption, columns, by_subset(rows), [note, *group.apart(APART)])


def _enough(quality: Quality) -> Cell:
    return Cell("too weak" if quality.weak else "yes", ("too weak" if quality.weak else "yes",), strong=quality.weak)


def _auc(probe: Probe | None) -> tuple[float | None, tuple[float, float] | None]:
    return (None, None) if probe is None else (probe.auc, probe.interval)


def variety_table(group: ScoreGroup) -> Table:
    """Return structural similarity at several scales, and how much the images differ among themselves."""
    among = "Among themselves"
    columns = [
        *IMAGES,
        _interval("MS-SSIM to test images", "ms_ssim", 3),
        _interval("SSIM of two", "diversity_ssim", 3, group=among),
        _interval("MS-SSIM of two", "diversity_ms_ssim", 3, group=among),
        _interval("Distance of two", "diversity_features", 3, group=among),
    ]
    caption = (
        "Variety: two of a GAN's images should differ about as much as two real ones. Similarity above the real "
        "images' and distance below theirs are signs of a generator that repeats itself."
    )
    note = "Distance of two: mean squared distance in features of length 1 (0 to 4). Below each its 95 % interval."
    return Table.of(f"variety{group.suffix}", caption, columns, _sections(group), [note, *group.apart(APART)])


def class_quality_table(group: ScoreGroup) -> Table:
    """Return the scores of each class that has enough images."""
    columns: list[Column[ScoreRow]] = [
        *IMAGES,
        Words("Class", "class", lambda row: row.class_),
        COUNT,
        _interval(distance_name(group.settings.extractor), "fd", 1),
        _interval(f"{kernel_name(group.settings.extractor)} × 1000", "kid", 2, 1000),
        _interval("Precision", "precision", 2),
        _interval("Recall", "recall", 2),
        JS,
        SSIM,
    ]
    groups = [(title, [one for row in rows for one in _by_class(row)]) for title, rows in _sections(group)]
    caption = "The same for each class that has enough images on both sides, against the test images of that class."
    return Table.of(f"quality-by-class{group.suffix}", caption, columns, groups, group.apart(APART))


def _by_class(row: ScoreRow) -> list[ScoreRow]:
    classes = row.scores.classes if isinstance(row.scores, Scores) else {}
    return [replace(row, scores=scores, class_=name) for name, scores in classes.items()]


def seeds_quality_table(group: ScoreGroup) -> Table | None:
    """Return every GAN's scores over several trainings, or None where each was trained once."""
    extractor = group.settings.extractor
    members: dict[tuple[int, str], list[SetScores]] = {}
    for key, score in sorted(group.items, key=lambda item: (-item[0].n, aug_order(item[0].aug), item[0].seed)):
        members.setdefault((key.n, key.aug), []).append(score.fake)
    if all(len(repeats) == 1 for repeats in members.values()):
        return None
    published = _published(group)
    columns: list[Column[ScoreRow]] = [
        LEAD[0],
        Words("GAN", "gan", lambda row: row.label),
        Column("Seeds", "seeds", lambda row: row.subset and len(row.repeats), shown=False),
        Spread(distance_name(extractor), "fd", lambda row: _over(row, lambda s: s.fd), 1),
        Spread(f"{kernel_name(extractor)} × 1000", "kid", lambda row: _over(row, lambda s: s.kid), 2, 1000),
        Spread("Precision", "precision", lambda row: _over(row, lambda s: s.precision), 2),
        Spread("Recall", "recall", lambda row: _over(row, lambda s: s.recall), 2),
        Spread("JS", "js", lambda row: _over(row, lambda s: s.js), 3),
        Spread("SSIM", "ssim", lambda row: _over(row, lambda s: s.ssim.mean), 3),
        *published,
    ]
    groups = []
    for n in dict.fromkeys(n for n, _ in members):
        own = {aug: repeats for (other, aug), repeats in members.items() if other == n}
        counts = " or ".join(str(count) for count in sorted({len(repeats) for repeats in own.values()}))
        rows = [ScoreRow(SubsetKey(n, 0), gan_label(aug), all_[0], aug, repeats=all_) for aug, all_ in own.items()]
        groups.append((f"n = {n}, {counts} seeds", rows))
    groups.append(("Yardsticks", [replace(row, repeats=[row.scores]) for row in _yardsticks(group)]))
    caption = (
        "Every GAN over its trainings with several seeds, each on its own subset: mean ± standard deviation between "
        "seeds."
    )
    return Table.of(f"quality-seeds{group.suffix}", caption, columns, groups, group.apart(APART))


def _over(row: ScoreRow, measure: Callable[[SetScores], float | None]) -> MeanSd | None:
    """Return a measure's mean over seeds, with its spread where there are several; None where a seed lacks it."""
    values = [value for scores in row.repeats if (value := measure(scores)) is not None]
    if len(values) < len(row.repeats):
        return None
    over = measured(values)
    return MeanSd(over.mean, over.sd if len(values) > 1 else None)
