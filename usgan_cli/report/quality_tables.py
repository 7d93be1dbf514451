"""The tables of image quality: this study's values, with the published ones in columns of their own.

Every table is of scores that were measured with the same settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from usgan_cli.core.formats.measured import Measured, measured
from usgan_cli.core.formats.score import Copying, ScoreRecord, Scores, SetScores
from usgan_cli.report import paper
from usgan_cli.report.cells import (
    ANOTHER_SIZE,
    LEAD_COLUMNS,
    PUBLISHED,
    count,
    distance_name,
    is_fid,
    kernel_name,
    lead,
    plain,
    published_size,
    ranged,
    short_name,
    size_cell,
    spread,
    subset_title,
    words,
)
from usgan_cli.report.groups import ScoreGroup, SnapshotGroup
from usgan_cli.report.records import GanKey, SubsetKey, label
from usgan_cli.report.table_model import Cell, Column, RowGroup, Table, empty, number

VERDICTS = {"none": "no sign of copies", "some": "some may be copies", "copies": "copies"}


@dataclass(frozen=True)
class _Row:
    """Some images that were scored: a GAN's, or real ones."""

    subset: SubsetKey | None
    label: str
    scores: Scores
    aug: str | None = None

    @property
    def start(self) -> list[Cell]:
        """Cells of the hidden columns, and what the images are."""
        hidden = [empty(1), empty(1)] if self.subset is None else lead(self.subset)
        return [*hidden, words(self.label)]


def _sections(group: ScoreGroup) -> Iterator[tuple[str, list[_Row]]]:
    """Yield the GANs of every subset with their own training images, then the yardsticks, under their headings."""
    subsets = list(dict.fromkeys(key.subset for key, _ in group.items))
    for subset in subsets:
        members = [(key, score) for key, score in group.items if key.subset == subset]
        rows = [_Row(subset, label(key.aug), score.fake, key.aug) for key, score in members]
        own = next((score.subset for _, score in members if score.subset is not None), None)
        if own is not None:
            rows.append(_Row(subset, "Their own training images", own))
        yield subset_title(subset, subsets), rows
    yardsticks: list[_Row] = []
    for _, score in group.items:
        name = "Real training images" if score.real_name == "train" else f"Real images: {score.real_name}"
        found = {name: score.real} | {f"{k.capitalize()} training images": v for k, v in score.baselines.items()}
        yardsticks += [_Row(None, k, v) for k, v in found.items() if _Row(None, k, v) not in yardsticks]
    yardsticks.sort(key=lambda row: not row.label.startswith("Real"))
    yield "Yardsticks", yardsticks


def _interval(scores: SetScores, name: str, digits: int, scale: float = 1) -> Cell:
    value = getattr(scores, name)
    return ranged(value.mean if isinstance(value, Measured) else value, scores.intervals.get(name), digits, scale)


def _interval_keys(name: str) -> tuple[str, str, str]:
    return (name, f"{name}_low", f"{name}_high")


def _apart(group: ScoreGroup) -> list[str]:
    if group.difference is None:
        return []
    return [f"Measured with other settings than the first table, so kept apart ({short_name(group.difference)})."]


def quality_table(group: ScoreGroup, name: str) -> Table:
    """Return the study's table 1: Fréchet distance, JS and SSIM of every GAN, and of real images."""
    settings = group.settings
    fid = is_fid(settings.extractor)
    differs, size_column = published_size([key.n for key, _ in group.items])
    columns = [
        *LEAD_COLUMNS,
        Column("Images", ("images",), text=True),
        Column("Count", ("count",)),
        Column(distance_name(settings.extractor), ("fd", "fd_sd")),
        Column("JS", ("js",)),
        Column("SSIM", ("ssim", "ssim_sd")),
        *size_column,
        *([Column("FID", ("published_fid", "published_fid_sd"), PUBLISHED)] if fid else []),
        Column("JS", ("published_js",), PUBLISHED),
        Column("SSIM", ("published_ssim", "published_ssim_sd"), PUBLISHED),
    ]
    groups = [
        RowGroup(
            title,
            [
                [*row.start, count(row.scores.count), *_paper_scores(row.scores), *_published(row, fid, differs)]
                for row in rows
            ],
        )
        for title, rows in _sections(group)
    ]
    extractor = short_name(settings.extractor)
    caption = (
        f"Images against the {settings.reference_count} real test images: "
        f"{'FID' if fid else 'Fréchet distance (FD) in the features of ' + extractor}, Jensen-Shannon distance of gray "
        "values (JS), and mean structural similarity of random pairs (SSIM). A GAN can hardly come nearer than the "
        "real training images do."
    )
    return Table(name, caption, columns, groups, _quality_notes(group, fid, differs))


def _paper_scores(scores: SetScores) -> list[Cell]:
    distance = Cell(f"{number(scores.fd, 1)} ± {number(scores.fd_spread.sd, 1)}", (scores.fd, scores.fd_spread.sd))
    return [distance, plain(scores.js, 3), spread(scores.ssim, 3)]


def _published(row: _Row, fid: bool, differs: bool) -> list[Cell]:
    size = None if row.subset is None else paper.nearest_size(row.subset.n)
    values = None if size is None or row.aug is None else paper.GANS.get((size, row.aug))
    if values is None:
        return [*size_cell(None, differs), *([empty(2)] if fid else []), empty(1), empty(2)]
    return [*size_cell(size, differs), *published_quality(values, fid)]


def published_quality(values: paper.GanValues, fid: bool) -> list[Cell]:
    """Return the cells of the published FID (where `fid`), JS and SSIM, with the digits that were published."""
    distance = [empty(2) if values.fid is None else _as_published(values.fid)] if fid else []
    return [*distance, Cell(f"{values.js:g}", (values.js,)), _as_published(values.ssim)]


def _as_published(value: paper.Spread) -> Cell:
    return Cell(f"{value.mean:g} ± {value.sd:g}", (value.mean, value.sd))


def _quality_notes(group: ScoreGroup, fid: bool, differs: bool) -> list[str]:
    settings = group.settings
    notes = [
        f"± of {'FID' if fid else 'FD'}: standard deviation over {settings.repeats} draws of half of both sets; "
        f"± of SSIM: over {settings.ssim_pairs} pairs. JS: {settings.js_bins} gray values. Lower FD and JS are nearer."
    ]
    if not fid:
        notes.append(
            "FD in these features is not FID and cannot be compared with the published FID, which is in the table of "
            "published values."
        )
    return [*notes, *([ANOTHER_SIZE] if differs else []), *_apart(group)]


def nearness_table(group: ScoreGroup, name: str) -> Table:
    """Return the distances in features with their intervals, and whether images lie among the real ones."""
    settings = group.settings
    kernel = kernel_name(settings.extractor)
    fields = (
        (distance_name(settings.extractor), "fd", 1, 1.0, "Distance"),
        (f"{kernel} × 1000", "kid", 2, 1000.0, "Distance"),
        ("Precision", "precision", 2, 1.0, "Among the real ones"),
        ("Recall", "recall", 2, 1.0, "Among the real ones"),
        ("Density", "density", 2, 1.0, "Among the real ones"),
        ("Coverage", "coverage", 2, 1.0, "Among the real ones"),
    )
    sizes = sorted({s.fake.kid_subset_size for _, s in group.items if s.fake.kid_subset_size is not None})
    caption = (
        f"How near, and among them? {kernel} is the kernel distance, unbiased at any number of images. Precision: "
        "share of these images that lie among the real test images; recall: share of the test images that lie among "
        "these; density and coverage are their counterparts that outliers sway less. Below each its 95 % interval."
    )
    notes = [
        f"Intervals over images, from {settings.repeats} half samples. {kernel} in {settings.kid_subsets} subsets of "
        f"{' or '.join(map(str, sizes)) or 'no'} images, times 1000; precision and recall with {settings.precision_k} "
        f"neighbours, density and coverage with {settings.density_k}.",
        *_apart(group),
    ]
    return _interval_table(group, name, caption, fields, notes)


def variety_table(group: ScoreGroup, name: str) -> Table:
    """Return structural similarity at several scales, and how unlike one another the images are."""
    fields = (
        ("MS-SSIM to test images", "ms_ssim", 3, 1.0, ""),
        ("SSIM of two", "diversity_ssim", 3, 1.0, "Among themselves"),
        ("MS-SSIM of two", "diversity_ms_ssim", 3, 1.0, "Among themselves"),
        ("Distance of two", "diversity_features", 3, 1.0, "Among themselves"),
    )
    caption = (
        "Variety: two of a GAN's images should be about as unlike as two real ones. Similarity above the real images' "
        "and distance below theirs are signs of a generator that repeats itself."
    )
    notes = ["Distance of two: mean squared distance in features of length 1 (0 to 4). Below each its 95 % interval."]
    return _interval_table(group, name, caption, fields, notes + _apart(group))


def _interval_table(
    group: ScoreGroup,
    name: str,
    caption: str,
    fields: Sequence[tuple[str, str, int, float, str]],
    notes: list[str],
) -> Table:
    columns = [*LEAD_COLUMNS, Column("Images", ("images",), text=True)]
    columns += [Column(title, _interval_keys(field), span) for title, field, _, _, span in fields]
    groups = [
        RowGroup(
            title,
            [
                [*row.start, *(_interval(row.scores, f, digits, scale) for _, f, digits, scale, _ in fields)]
                for row in rows
            ],
        )
        for title, rows in _sections(group)
    ]
    return Table(name, caption, columns, groups, notes)


def class_quality_table(group: ScoreGroup, name: str) -> Table | None:
    """Return the scores of each class, or None where no class has enough images."""
    columns = [
        *LEAD_COLUMNS,
        Column("Images", ("images",), text=True),
        Column("Class", ("class",), text=True),
        Column("Count", ("count",)),
        Column(distance_name(group.settings.extractor), _interval_keys("fd")),
        Column(f"{kernel_name(group.settings.extractor)} × 1000", _interval_keys("kid")),
        Column("Precision", _interval_keys("precision")),
        Column("Recall", _interval_keys("recall")),
        Column("JS", ("js",)),
        Column("SSIM", ("ssim", "ssim_sd")),
    ]
    groups = []
    for title, rows in _sections(group):
        cells = [
            [
                *row.start,
                words(class_),
                count(scores.count),
                _interval(scores, "fd", 1),
                _interval(scores, "kid", 2, 1000),
                _interval(scores, "precision", 2),
                _interval(scores, "recall", 2),
                plain(scores.js, 3),
                spread(scores.ssim, 3),
            ]
            for row in rows
            for class_, scores in row.scores.classes.items()
        ]
        groups += [RowGroup(title, cells)] if cells else []
    caption = "The same for each class that has enough images on both sides, against the test images of that class."
    return Table(name, caption, columns, groups, _apart(group)) if groups else None


def seeds_quality_table(group: ScoreGroup, name: str) -> Table | None:
    """Return every GAN's scores over several trainings, or None where each was trained once."""
    settings, fid = group.settings, is_fid(group.settings.extractor)
    differs, size_column = published_size([key.n for key, _ in group.items])
    members: dict[tuple[int, str], list[Scores]] = {}
    for key, score in sorted(group.items, key=lambda item: (-item[0].n, item[0].order[2:], item[0].seed)):
        members.setdefault((key.n, key.aug), []).append(score.fake)
    if all(len(found) == 1 for found in members.values()):
        return None
    kernel = kernel_name(settings.extractor)
    measures: list[tuple[str, str, int, Callable[[Scores], float | None]]] = [
        (distance_name(settings.extractor), "fd", 1, lambda s: s.fd),
        (f"{kernel} × 1000", "kid", 2, lambda s: None if s.kid is None else 1000 * s.kid),
        ("Precision", "precision", 2, lambda s: s.precision),
        ("Recall", "recall", 2, lambda s: s.recall),
        ("JS", "js", 3, lambda s: s.js),
        ("SSIM", "ssim", 3, lambda s: s.ssim.mean),
    ]
    columns = [
        Column("n", ("n",), shown=False),
        Column("GAN", ("gan",), text=True),
        Column("Seeds", ("seeds",), shown=False),
    ]
    columns += [Column(title, (key, f"{key}_sd")) for title, key, _, _ in measures]
    columns += [*size_column, *([Column("FID", ("published_fid", "published_fid_sd"), PUBLISHED)] if fid else [])]
    columns += [
        Column("JS", ("published_js",), PUBLISHED),
        Column("SSIM", ("published_ssim", "published_ssim_sd"), PUBLISHED),
    ]
    groups: dict[int, list[list[Cell]]] = {}
    for (n, aug), found in members.items():
        row = [count(n), words(label(aug)), count(len(found))]
        row += [_over([value(scores) for scores in found], digits) for _, _, digits, value in measures]
        row += _published(_Row(SubsetKey(n, 0), label(aug), found[0], aug), fid, differs)
        groups.setdefault(n, []).append(row)
    caption = (
        "Every GAN over its trainings with several seeds, each on its own subset: mean ± standard deviation between "
        "seeds."
    )
    seeds = {n: sorted({len(found) for (other, _), found in members.items() if other == n}) for n in groups}
    rows = [RowGroup(f"n = {n}, {' or '.join(map(str, seeds[n]))} seeds", cells) for n, cells in groups.items()]
    title, yardsticks = list(_sections(group))[-1]
    shown = []
    for yardstick in yardsticks:
        values = [_over([value(yardstick.scores)], digits) for _, _, digits, value in measures]
        shown.append([empty(1), words(yardstick.label), empty(1), *values, *_published(yardstick, fid, differs)])
    rows.append(RowGroup(title, shown))
    return Table(name, caption, columns, rows, [*([ANOTHER_SIZE] if differs else []), *_apart(group)])


def _over(values: Sequence[float | None], digits: int) -> Cell:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return empty(2)
    return spread(measured(known), digits) if len(known) > 1 else Cell(number(known[0], digits), (known[0], None))


def copying_table(group: ScoreGroup, name: str) -> Table | None:
    """Return how many images lie as close to real ones as copies would, or None where it was not looked for."""
    columns = [
        *LEAD_COLUMNS,
        Column("GAN", ("gan",), text=True),
        Column("Verdict", ("verdict",), text=True),
        *(
            Column(f"By {how}", (f"{side}_{how}", f"{side}_{how}_real"), f"As close to a {side} image, %")
            for side in ("training", "test")
            for how in ("features", "pixels")
        ),
        Column("GAN", ("authenticity",), "Authentic, %"),
        Column("Test images", ("authenticity_test",), "Authentic, %"),
    ]
    subsets = list(dict.fromkeys(key.subset for key, _ in group.items))
    groups = []
    for subset in subsets:
        rows = [_copying_row(key, score) for key, score in group.items if key.subset == subset]
        shown = [row for row in rows if row is not None]
        groups += [RowGroup(subset_title(subset, subsets), shown)] if shown else []
    caption = (
        "Share of generated images that lie as close to a real image as only the closest 1 % of other real images do; "
        "in brackets the share of those real images. A generator that has learned the distribution has about as many; "
        "one that stores its training images has more."
    )
    notes = [
        "Authentic: not closer to the nearest training image than that one’s own nearest training image. Shares that "
        "are far above the real images’ within four fifths of that distance make the verdict."
    ]
    return Table(name, caption, columns, groups, notes) if groups else None


def _copying_row(key: GanKey, score: ScoreRecord) -> list[Cell] | None:
    found = score.memorization
    if found is None:
        return None
    verdict = Cell(VERDICTS[found.verdict], (found.verdict,), strong=found.verdict != "none")
    sides = (found.train_features, found.train_pixels, found.test_features, found.test_pixels)
    authentic = [plain(value, 0, 100) for value in (found.authenticity, found.authenticity_test)]
    return [*lead(key.subset), words(label(key.aug)), verdict, *(_share(side) for side in sides), *authentic]


def _share(found: Copying) -> Cell:
    share, expected = 100 * found.share, 100 * found.expected
    return Cell(number(share, 1), (share, expected), f"({number(expected, 1)})", strong=found.verdict != "none")


def snapshots_table(group: SnapshotGroup, name: str) -> Table:
    """Return for every training with saved generators which of them was nearest, and how far the last one was."""
    settings = group.settings
    what = distance_name(settings.extractor)
    columns = [
        *LEAD_COLUMNS,
        Column("GAN", ("gan",), text=True),
        Column("Saved", ("saved",)),
        Column("At kimg", ("best_kimg",), "Best"),
        Column(what, _interval_keys("best_fd"), "Best"),
        Column("At kimg", ("last_kimg",), "Last"),
        Column(what, _interval_keys("last_fd"), "Last"),
    ]
    subsets = list(dict.fromkeys(key.subset for key, _ in group.items))
    groups = []
    for subset in subsets:
        rows = []
        for key, record in [item for item in group.items if item[0].subset == subset]:
            best = min(record.snapshots, key=lambda one: abs(one.kimg - record.best_kimg))
            last = record.snapshots[-1]
            row = [*lead(subset), words(label(key.aug)), count(len(record.snapshots))]
            for one in (best, last):
                row += [Cell(f"{one.kimg:g}", (one.kimg,)), ranged(one.fd, one.fd_interval, 1)]
            rows.append(row)
        groups.append(RowGroup(subset_title(subset, subsets), rows))
    by = "its own training images" if settings.best_by == "fd_train" else "the test images"
    caption = (
        f"Saved generators of each training: {what} to the {settings.reference_count} test images of the best one, "
        f"which is the nearest to {by}, and of the last."
    )
    apart = [] if group.difference is None else [f"Measured with other settings ({short_name(group.difference)})."]
    return Table(name, caption, columns, groups, apart)
