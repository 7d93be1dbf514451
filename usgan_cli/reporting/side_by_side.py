"""Two studies side by side: what was set differently, how good each GAN's images are, and what each comparison said.

Values are means over seeds. Two image scores stand beside one another only where they were measured in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from usgan_cli.core.formats.score import ScoreRecord, SetScores
from usgan_cli.core.store.document import first_difference
from usgan_cli.core.table import Column, Interval, Table, Words
from usgan_cli.core.text import gan_label, joined, plural, short_digests
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.protocol import protocol_points
from usgan_cli.reporting.records import aug_order
from usgan_cli.reporting.verdict import Verdict, Verdicts

OF_ONE_GAN = frozenset({"n", "seed", "aug"})
"""Settings of a training that say which one it is."""
SAME = "Both studies were made with the same settings, as far as the records say."


@dataclass(frozen=True)
class Side:
    """One of the two studies."""

    name: str
    """The workspace's folder."""
    study: Study
    verdicts: Verdicts


@dataclass(frozen=True)
class _Setting:
    aspect: str
    first: str
    second: str


@dataclass(frozen=True)
class _Quality:
    n: int
    aug: str
    sides: tuple[list[ScoreRecord], list[ScoreRecord]]
    problem: str
    """Why the two must not be compared; "" where they may."""

    def value(self, side: int, field: str) -> float | None:
        """Return a score's mean over the seeds of one side; None on the second where it must not be compared."""
        if side == 1 and self.problem:
            return None
        records = self.sides[side]
        return _mean([record.fake for record in records], field)


@dataclass(frozen=True)
class _Pair:
    """One comparison with a control, in both studies; with another control it is another comparison."""

    n: int
    name: str
    sides: tuple[Verdict | None, Verdict | None]

    def word(self, side: int) -> str | None:
        """Return the verdict of one side."""
        verdict = self.sides[side]
        return None if verdict is None else verdict.word

    def difference(self, side: int) -> tuple[float, tuple[float, float]] | None:
        """Return the difference to the control with its interval."""
        verdict = self.sides[side]
        return None if verdict is None else (verdict.effect.difference, verdict.effect.interval)


def _mean(scores: Sequence[SetScores], field: str) -> float | None:
    values = [value for one in scores if (value := getattr(one, field)) is not None]
    return float(np.mean(values)) if values else None


def side_by_side(first: Side, second: Side) -> list[Table]:
    """Return the tables of two studies, without those that have no rows."""
    tables = [settings_table(first, second), quality_table(first, second), verdicts_table(first, second)]
    return [table for table in tables if table.groups]


def settings_table(first: Side, second: Side) -> Table:
    """Return the settings in which two studies differ."""
    ours, theirs = (_settings_of(side.study) for side in (first, second))
    rows = [
        _Setting(aspect, ours.get(aspect, "–"), theirs.get(aspect, "–"))
        for aspect in dict.fromkeys([*ours, *theirs])
        if ours.get(aspect) != theirs.get(aspect)
    ]
    columns: list[Column[_Setting]] = [
        Words("Setting", "setting", lambda one: one.aspect),
        Words(first.name, "first", lambda one: one.first),
        Words(second.name, "second", lambda one: one.second),
    ]
    return Table.of("settings", "Settings that differ", columns, [("", rows)], [] if rows else [SAME], wordy=True)


def _settings_of(study: Study) -> dict[str, str]:
    """Return what a study's records say was set: the points of the protocol, and each recorded setting by its name."""
    points: dict[str, dict[str, None]] = {}
    for point in protocol_points(study):
        points.setdefault(point.aspect, {})[point.ours] = None
    for gan in study.records.finished_gans():
        for name, value in gan.settings.items():
            if name not in OF_ONE_GAN:
                points.setdefault(f"{gan_label(gan.key.aug)}: {name}", {})[_shown(value)] = None
    for records in study.records.classifiers.values():
        for record in records.values():
            settings = record.settings.model_dump(exclude={"seed", "subset", "test", "training"})
            for name, value in (settings | record.settings.training).items():
                points.setdefault(f"classifiers: {name}", {})[_shown(value)] = None
    return {aspect: joined(sorted(values)) for aspect, values in points.items()}


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def quality_table(first: Side, second: Side) -> Table:
    """Return the image quality of each GAN in both studies."""
    scores: list[dict[tuple[int, str], list[ScoreRecord]]] = []
    for side in (first, second):
        by_gan: dict[tuple[int, str], list[ScoreRecord]] = {}
        for key, score in side.study.records.scores.items():
            by_gan.setdefault((key.n, key.aug), []).append(score)
        scores.append(by_gan)
    keys = sorted({*scores[0], *scores[1]}, key=lambda key: (-key[0], aug_order(key[1])))
    rows = [
        _Quality(n, aug, (scores[0].get((n, aug), []), scores[1].get((n, aug), [])), _problem(scores, (n, aug)))
        for n, aug in keys
    ]
    columns: list[Column[_Quality]] = [
        Column("n", "n", lambda one: one.n),
        Words("GAN", "gan", lambda one: gan_label(one.aug)),
    ]
    for title, field, scale, digits in (
        ("FD", "fd", 1, 1),
        ("recall", "recall", 1, 2),
        ("JS", "js", 1, 3),
    ):
        for index, place in enumerate((first, second)):
            columns.append(
                Column(
                    f"{title}, {place.name}",
                    f"{field}_{index + 1}",
                    lambda one, side=index, field=field: one.value(side, field),  # type: ignore[misc]
                    digits,
                    scale,
                )
            )
    left_out = f"must not be compared, so that of {second.name} is left out"
    notes = [f"{gan_label(row.aug)} at n = {row.n} {left_out}: {row.problem}." for row in rows if row.problem]
    used = sorted({record.settings.extractor for row in rows for side in row.sides for record in side})
    notes += [f"FD in features of {short_digests(joined(used))}. Means over seeds."] if used else []
    return Table.of("quality", "Image quality", columns, [("", rows)], notes)


def _problem(scores: Sequence[dict[tuple[int, str], list[ScoreRecord]]], key: tuple[int, str]) -> str:
    first, second = (by_gan.get(key, []) for by_gan in scores)
    if not first or not second:
        return ""
    one, other = (records[0].settings.model_copy(update={"seed": 0}) for records in (first, second))
    difference = first_difference(one, other)
    return "" if difference is None else f"measured with {short_digests(difference)}"


def verdicts_table(first: Side, second: Side) -> Table:
    """Return the verdict on each comparison in both studies."""
    judged = [{(one.n, one.effect.name, one.against): one for one in side.verdicts.each} for side in (first, second)]
    keys = sorted({*judged[0], *judged[1]}, key=lambda key: (-key[0], *key[1:]))
    rows = [_Pair(key[0], key[1], (judged[0].get(key), judged[1].get(key))) for key in keys]
    columns: list[Column[_Pair]] = [
        Column("n", "n", lambda one: one.n),
        Words("Training images", "training", lambda one: next(v.training for v in one.sides if v is not None)),
        Words("Against", "against", lambda one: next(v.against for v in one.sides if v is not None)),
    ]
    for side, place in enumerate((first, second)):
        columns += [
            Interval(
                f"Difference, {place.name}",
                f"difference_{side + 1}",
                lambda one, side=side: one.difference(side),  # type: ignore[misc]
                1,
                100,
                sign=True,
            ),
            Words(
                f"Verdict, {place.name}",
                f"verdict_{side + 1}",
                lambda one, side=side: one.word(side),  # type: ignore[misc]
            ),
        ]
    both = sum(None not in row.sides for row in rows)
    notes = [
        "Difference of accuracy to the control, in points, with its 95 % interval; each study's verdicts are adjusted "
        f"for its own comparisons. {plural(both, 'comparison')} in both."
    ]
    return Table.of("verdicts", "Differences to the control", columns, [("", rows)], notes)
