"""What a reader sees first: what the report is of, the size of the effects in words, and all of them in one plot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from usgan_cli.core.text import joined, number, plural
from usgan_cli.reporting import paper
from usgan_cli.reporting.charts import colour
from usgan_cli.reporting.findings import dataset_name
from usgan_cli.reporting.records import StudyRecords
from usgan_cli.reporting.verdict import Verdict, Verdicts, place

MOST_BARS = 14
"""With more comparisons than this the plot shows those with the published ratio alone."""
TOLD = 3
"""Kinds of controls named in the plot's caption."""


@dataclass(frozen=True)
class Heading:
    """What the report is of, besides its records.

    Attributes
    ----------
    study : str
        The study's name; empty where the workspace was not begun as a study.
    command : str
        What makes this report again.
    audit : str
        The page of the dataset's copies and conflicts, relative to this one; empty where there is none.
    """

    study: str = ""
    command: str = "usgan report"
    audit: str = ""


@dataclass(frozen=True)
class Bar:
    """One comparison in the plot; places are percent of its width."""

    label: str
    colour: str
    """Empty for a control."""
    low: float
    point: float
    high: float
    points: str
    """The difference with its interval, in words."""
    word: str
    primary: bool


@dataclass(frozen=True)
class Effects:
    """Differences to the control with their intervals, by number of training images, all on one scale."""

    groups: list[tuple[str, list[Bar]]]
    band: tuple[float, float]
    """Left end and width of what is of no consequence, percent."""
    zero: float
    ticks: list[tuple[float, str]]
    caption: str


def dates(records: StudyRecords) -> str:
    """Return the first and the last day on which anything was made, by the records: "2026-01-31 to 2026-02-02"."""
    days = sorted({run.started[:10] for run in records.runs})
    return "" if not days else days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def about(records: StudyRecords, heading: Heading) -> list[str]:
    """Return the study's name, its dates and its dataset."""
    data = records.data
    dataset = "no dataset" if data is None else f"{dataset_name(data)}, {plural(len(data.images), 'image')}"
    return [text for text in (heading.study and f"Study “{heading.study}”", dates(records), dataset) if text]


def size_of_effect(verdicts: Verdicts) -> str:
    """Return how large the effects are, and which ones the study could have shown, in a few words."""
    return " ".join(_sizes(verdicts))


def _sizes(verdicts: Verdicts) -> Iterator[str]:
    gans = verdicts.of_gans
    if not gans:
        yield "No classifier with generated images has been compared with its control yet."
        return
    for one in gans:
        if one.primary or len(gans) == 1:
            what = "Primary comparison, " * one.primary + f"{one.training} at n = {one.n}"
            yield f"{what}, against {one.against.lower()}: {_points(one)} points of accuracy (95 % interval)."
    if len(gans) > 1:
        ends = _ends([100 * one.effect.difference for one in gans], sign=True)
        of = "Over" if any(one.primary for one in gans) else "Accuracy differs from the control’s by"
        if of == "Over":
            yield f"Over all {len(gans)} comparisons of generated images: {ends} points."
        else:
            yield f"{of} {ends} points over {len(gans)} comparisons."
    detectable = [100 * one.finding.detectable for one in gans if one.finding.detectable is not None]
    if detectable and any(one.word == "undecided" for one in gans):
        yield f"More than one of five such studies would have missed an effect below {_ends(detectable)} points."
    if all(one.finding.effect.repeats == 1 for one in gans):
        yield "Intervals over one repeat hold for the trained classifiers alone; three repeats can give a verdict."


def _ends(values: Sequence[float], *, sign: bool = False) -> str:
    return " to ".join(dict.fromkeys(number(value, 1, sign=sign) for value in (min(values), max(values))))


def _points(one: Verdict) -> str:
    middle, low, high = (number(100 * value, 1, sign=True) for value in (one.effect.difference, *one.effect.interval))
    return f"{middle} [{low}, {high}]"


def effects(verdicts: Verdicts) -> Effects | None:
    """Return the plot of the first screen; None where nothing was compared.

    Of many comparisons it shows those that add as many generated images as there are real ones, which is what was
    published, or else the most; the primary one always.
    """
    shown = _chosen(verdicts.each)
    if not shown:
        return None
    low, high = _limits(shown)

    def at(value: float) -> float:
        return round(100 * (min(max(100 * value, low), high) - low) / (high - low), 2)

    titles = _titles(shown)
    groups: dict[str, list[Bar]] = {}
    for one in shown:
        effect, bounds = one.effect, one.effect.interval
        word = f"within ± {100 * one.finding.margin:g}" if one.word == "equivalent" else one.word
        bar = Bar(
            one.training,
            colour(effect.aug) if one.of_gan and effect.aug is not None else "",
            at(bounds[0]),
            at(effect.difference),
            at(bounds[1]),
            _points(one),
            word,
            one.primary,
        )
        groups.setdefault(titles[place(one)], []).append(bar)
    margin = shown[0].finding.margin
    left, right = at(-margin), at(margin)
    ticks = [(at(value / 100), number(value, 0, sign=True)) for value in _ticks(low, high)]
    caption = _caption(
        verdicts, shown, cut=any(not low <= 100 * b <= high for one in shown for b in one.effect.interval)
    )
    return Effects(list(groups.items()), (left, round(right - left, 2)), at(0), ticks, caption)


def _titles(shown: Sequence[Verdict]) -> dict[str, str]:
    """Return short headings by the long ones; those that would be equal stay long."""
    short = {
        place(
            one
        ): f"n = {one.n}: {plural(one.finding.effect.repeats, one.unit)}, {one.finding.effect.images_each} test "
        f"images{' each' * bool(one.splits)}"
        for one in shown
    }
    return {long: title if list(short.values()).count(title) == 1 else long for long, title in short.items()}


def _chosen(each: Sequence[Verdict]) -> list[Verdict]:
    if len(each) <= MOST_BARS:
        return list(each)
    kinds: dict[tuple[str, object], list[Verdict]] = {}
    for one in each:
        kind = (one.effect.aug, one.effect.control, one.effect.variant)
        kinds.setdefault((place(one), kind), []).append(one)
    best = {
        id(min(some, key=lambda one: (one.effect.ratio != paper.RATIO, -one.effect.ratio))) for some in kinds.values()
    }
    return [one for one in each if id(one) in best or one.primary]


def _limits(shown: Sequence[Verdict]) -> tuple[float, float]:
    """Return the ends of the axis, points; intervals far wider than every difference and the margin run out of it."""
    margin = 100 * max(one.finding.margin for one in shown)
    most = max(abs(100 * one.effect.difference) for one in shown)
    reach = max(3 * most, 3 * margin)
    bounds = [100 * bound for one in shown for bound in one.effect.interval]
    low, high = max(min([*bounds, -1.5 * margin]), -reach), min(max([*bounds, 1.5 * margin]), reach)
    room = 0.03 * (high - low)
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if (high - low) / step <= 6)
    return [float(value) for value in range(-100, 101, step) if low <= value <= high]


def _caption(verdicts: Verdicts, shown: Sequence[Verdict], *, cut: bool) -> str:
    against = joined(dict.fromkeys(one.against.lower() for one in shown if one.of_gan), TOLD)
    text = "Difference of accuracy to the control, in points, with its 95 % interval over repeats and test images"
    text += f" (generated images against {against})" * bool(against)
    text += f". Shaded: ± {100 * shown[0].finding.margin:g} points, within which a difference is of no consequence."
    if any(not one.of_gan for one in shown):
        text += " Gray: controls, which show what else changes accuracy."
    if len(shown) < len(verdicts.each):
        which = "with as many images added as there are real ones, or else with the most"
        text += f" {len(shown)} of {len(verdicts.each)} comparisons: of each GAN and control the one {which}."
    return text + " Bars that meet the edge go on beyond it." * cut
