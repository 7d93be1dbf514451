"""What a study says: the verdict on every training setting, from the analysis over repeats and test images alone.

The t-test records hold each comparison's effect (`usgan_cli.stats.arms`). What may be said of one depends on all
comparisons of the report, so they are judged here, where all of them are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.comparison import ArmEffect, SeedsRecord, SplitsRecord, TTestRecord
from usgan_cli.core.store.workspace import SeedsKey, SplitsKey, SubsetKey, TrainingSet
from usgan_cli.core.table import Column, Interval, PValue, Table, Words
from usgan_cli.core.text import all_of, gan_label, joined, number, plural, training_label
from usgan_cli.reporting.gan_quality import CurrentScores, GanQuality, gan_quality
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.records import training_order
from usgan_cli.stats.arms import effect_from
from usgan_cli.stats.mrmc import MARGIN, TARGET, Finding, judge, ways_to_show
from usgan_cli.stats.mrmc import Verdict as Found

Word = Found | Literal["too weak"]
Compared = tuple[SplitsKey | SeedsKey | SubsetKey, SplitsRecord | SeedsRecord | TTestRecord]
ENOUGH_REPEATS = 5
MOST_TOLD = 3
NOT_TESTED = "Do generated images help the classifier? It has not been tested yet"
FOLD_TESTS = (
    "These are the published study's tests, and their like: they say nothing about whether generated images help. All "
    "folds are scored on the same test images, and the luck of those images looks like an effect. Of 10,000 simulated "
    "comparisons of two equally good classifiers (n = 50, 100, 500) the paired t-test over folds called 50, 54 and 69 "
    "% different at p < 0.05, the resampled t-test 32, 37 and 56 %, McNemar's test 12, 7 and 5 %."
)
"""Null rates by `scripts/bench/fold_tests.py`."""
UNSCORED = "Not scored, or not with their present images, so that it is not known whether they are too weak to judge"


@dataclass(frozen=True)
class Analysis:
    """What a study declares before it is run."""

    margin: float = MARGIN
    """Differences of accuracy within ± margin are of no consequence (0 to 1)."""
    primary: str | None = None
    """The primary comparison: "ada-x1 n100"."""
    planned: tuple[str, ...] = ()
    """Every comparison of the plan, by such names."""


@dataclass(frozen=True)
class Verdict:
    """One comparison of the report with what it allows to be said."""

    n: int
    seeds: tuple[int, ...]
    effect: ArmEffect
    finding: Finding
    primary: bool
    quality: GanQuality
    splits: tuple[int, ...] = ()
    """Seeds of the splits, each of which counts as one repeat; empty where there is one split."""

    @property
    def word(self) -> Word:
        """The verdict: that the GAN is too weak to judge comes before all others."""
        return "too weak" if self.quality.too_weak else self.finding.verdict

    @property
    def name(self) -> str:
        """ada-x1 n100."""
        return comparison_name(self.effect.name, self.n)

    @property
    def of_gan(self) -> bool:
        """Whether a GAN's images are judged, not a control."""
        return self.effect.aug is not None and self.effect.control is None

    @property
    def unit(self) -> str:
        """What counts as one repeat: a "split" where several are pooled, else a "repeat"."""
        return "split" if self.splits else "repeat"

    @property
    def training(self) -> str:
        """The training set for readers: "+ 50 % ADA"."""
        one = self.effect
        return training_label(one.aug, one.ratio, one.variant, one.control)

    @property
    def against(self) -> str:
        """What it is compared with: "+ 50 % copies"."""
        control = TrainingSet.parse(self.effect.against) or TrainingSet()
        return training_label(control.aug, control.ratio, control=control.control)

    def sentence(self) -> str:
        """Return what is compared with what, and the verdict in words."""
        what = f"{self.training} at n = {self.n}, against {self.against.lower()}"
        if self.word == "too weak":
            points = number(100 * self.effect.difference, 1, sign=True)
            return f"{what}: the GAN is too weak to judge: {joined(self.quality.reasons)}; {points} points"
        return f"{what}: {self.finding.sentence(self.unit)}"


@dataclass(frozen=True)
class Verdicts:
    """All comparisons of a report, judged together."""

    each: list[Verdict]
    missing: list[str]
    """Planned comparisons that were not made; they count in the family."""

    @property
    def of_gans(self) -> list[Verdict]:
        """Those that the headline is about."""
        return [one for one in self.each if one.of_gan]

    @property
    def total(self) -> int:
        """Comparisons of the family."""
        return len(self.each) + len(self.missing)


def comparison_name(training: str, n: int) -> str:
    """Return what a study's file calls a comparison: "ada-x1 n100"."""
    return f"{training} n{n}"


def compared(study: Study) -> list[Compared]:
    """Return the records that verdicts come from: of each n those over splits, else over seeds, else of its subsets."""
    chosen: list[Compared] = []
    kinds: tuple[Sequence[Compared], ...] = (study.over_splits, study.over_seeds, study.ttests)
    for kind in kinds:
        sizes = {key.n for key, _ in chosen}
        chosen += [(key, record) for key, record in kind if record.effects and key.n not in sizes]
    return chosen


def judge_study(study: Study, analysis: Analysis) -> Verdicts:
    """Judge all comparisons: of each n those over splits, else over the most repeats, else those of its subsets.

    Raises
    ------
    SettingsError
        The primary comparison is neither planned nor made.
    """
    made = [(key, effect) for key, record in compared(study) for effect in sorted(record.effects, key=training_order)]
    names = [comparison_name(effect.name, key.n) for key, effect in made]
    missing = [name for name in analysis.planned if name not in names]
    family = [*names, *missing]
    if analysis.primary is not None and family and analysis.primary not in family:
        raise SettingsError(
            f"There is no comparison {analysis.primary!r} to be the primary one.", f"There are: {', '.join(family)}"
        )
    primary = family.index(analysis.primary) if analysis.primary is not None and family else None
    current = CurrentScores.of(study.records)
    findings = judge([effect_from(effect) for _, effect in made], analysis.margin, primary, len(missing))
    return Verdicts(
        [
            Verdict(
                key.n,
                seeds,
                effect,
                finding,
                i == primary,
                gan_quality(current, effect, key.n, seeds, splits),
                splits,
            )
            for i, ((key, effect), finding) in enumerate(zip(made, findings, strict=True))
            for seeds in [(key.seed,) if isinstance(key, SubsetKey) else key.seeds]
            for splits in [key.splits if isinstance(key, SplitsKey) else ()]
        ],
        missing,
    )


def headline(verdicts: Verdicts) -> str:
    """Return what the study says in one line; the primary comparison's verdict if it has one."""
    gans = verdicts.of_gans
    if not gans:
        return NOT_TESTED
    for one in gans:
        if one.primary and one.word not in {"undecided", "too weak"}:
            return f"{one.sentence()}{_by_updates([one])}"
    if all(one.word == "too weak" for one in gans):
        return "The GANs are too weak to judge: their images are not yet like the real ones"
    return _of_all(gans)


def _of_all(gans: Sequence[Verdict]) -> str:
    """Return what the comparisons of GANs say together, where not all of these are too weak."""
    counts = Counter(one.word for one in gans)
    total = f"of {plural(len(gans), 'comparison')}"
    total += f"; in {counts['too weak']} the GAN is too weak to judge" * bool(counts["too weak"])
    primary = [one.word.replace("too weak", "of a GAN too weak to judge") for one in gans if one.primary]
    but = f"The primary comparison is {primary[0]}; generated" if primary else "Generated"
    if counts["helped"] or counts["hurt"]:
        parts = [f"{verdict} in {counts[verdict]}" for verdict in ("helped", "hurt") if counts[verdict]]
        return f"{but} images {' and '.join(parts)} {total}{_by_updates(gans)}"
    if counts["equivalent"]:
        rest = f", {counts['undecided']} undecided" if counts["undecided"] else ""
        margin = f"{100 * gans[0].finding.margin:g}"
        return f"{but} images change no more than ± {margin} points in {counts['equivalent']}{rest} {total}"
    if all(one.finding.effect.repeats == 1 for one in gans):
        return "Undecided: one repeat cannot say whether generated images help"
    if counts["too weak"]:
        return f"Undecided whether generated images help, in {counts['undecided']} {total}"
    return f"Undecided whether generated images help, in {all_of(len(gans), 'comparison')}"


def counted(verdicts: Verdicts) -> str:
    """Return how often each verdict was given to GANs' images: "1 helped, 8 undecided"."""
    counts = Counter(one.word for one in verdicts.of_gans)
    return ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])


def _by_updates(verdicts: Sequence[Verdict]) -> str:
    helped = [one for one in verdicts if one.word == "helped"]
    return ", but with more optimiser updates" if any(one.effect.more_updates for one in helped) else ""


def summary(verdicts: Verdicts) -> str:
    """Return the verdicts in a paragraph: the primary one, those decided, and what the study could have shown."""
    return " ".join(_summary(verdicts))


def _summary(verdicts: Verdicts) -> Iterator[str]:
    gans = verdicts.of_gans
    if not gans:
        yield "No classifier with generated images has been compared with its control yet."
        return
    primary = [one for one in gans if one.primary]
    yield from (f"Primary comparison: {one.sentence()}." for one in primary)
    decided = [one for one in gans if one.word not in {"undecided", "too weak"} and not one.primary]
    yield from (f"{one.sentence()}." for one in decided[:MOST_TOLD])
    if len(decided) > MOST_TOLD:
        yield f"{len(decided) - MOST_TOLD} more verdicts stand in the table."
    undecided = [one for one in gans if one.word == "undecided" and not one.primary]
    if undecided:
        yield _undecided(undecided)
    weak = [one for one in gans if one.word == "too weak" and not one.primary]
    if weak:
        names = joined(dict.fromkeys(f"{gan_label(str(one.effect.aug))} at n = {one.n}" for one in weak), MOST_TOLD)
        yield (
            f"Too weak to judge: {names}. Of the first, {joined(weak[0].quality.reasons)}. Such comparisons say what "
            "poor images do, not whether good ones would help."
        )
    if any(one.finding.effect.repeats == 1 for one in gans):
        yield (
            "One repeat gives no verdict: its interval holds for the classifiers that it trained, not for other "
            "trainings. Three repeats can give one: [grid] seeds = [0, 1, 2]."
        )
    of = [f"{count} of controls" for count in (len(verdicts.each) - len(gans),) if count]
    of += [f"{len(verdicts.missing)} not made"] * bool(verdicts.missing)
    among = f" ({joined(of)})" if of else ""
    yield (
        f"Holm’s method covers {all_of(verdicts.total, 'comparison')} of this report{among}: the probability that "
        "any “helped” or “hurt” is false is 5 % or less."
    )


def _undecided(verdicts: Sequence[Verdict]) -> str:
    points = [100 * one.effect.difference for one in verdicts]
    count = plural(len(verdicts), "comparison is", "comparisons are")
    text = f"{count} undecided, with differences of {_range(points)} points"
    detectable = [100 * one.finding.detectable for one in verdicts if one.finding.detectable is not None]
    if not detectable:
        return f"{text}."
    text += f"; this study could have shown {_range(detectable, sign=False)} points"
    if max(detectable) <= 100 * TARGET:
        return f"{text}."
    reach = []
    for unit in dict.fromkeys(one.unit for one in verdicts):
        of_unit = [one.finding for one in verdicts if one.unit == unit]
        readers, images = [one.repeats_needed for one in of_unit], [one.images_needed for one in of_unit]
        reach.append(ways_to_show(readers, images, unit))
    return f"{text}, {', and '.join(reach)} would show {100 * TARGET:g} points in all of them."


def _range(values: Sequence[float], *, sign: bool = True) -> str:
    ends = list(dict.fromkeys(number(value, 1, sign=sign) for value in (min(values), max(values))))
    return " to ".join(ends)


def doubts(study: Study, verdicts: Verdicts) -> Iterator[str]:
    """Yield what limits the verdicts."""
    places = {
        "Took more optimiser updates than what they are compared with, so a gain may come from these alone": [
            one for one in verdicts.each if one.effect.more_updates
        ],
        "Images under shuffled labels helped, which teach nothing about the classes: gains are not what they seem": [
            one for one in verdicts.each if one.effect.control == "shuffled" and one.finding.verdict == "helped"
        ],
    }
    for text, some in places.items():
        if some:
            yield f"{text}: {joined([f'{one.training} at n = {one.n}' for one in some], MOST_TOLD)}."
    if any(one.finding.effect.repeats == 1 for one in verdicts.each):
        yield "Compared over one repeat: another training of the same GAN and classifiers could differ."
    for unit in ("repeat", "split"):
        readers = {one.finding.effect.repeats for one in verdicts.each if one.unit == unit}
        if few := sorted(count for count in readers if 1 < count < ENOUGH_REPEATS):
            yield f"{joined(few)} {unit}s are few: they show large differences alone."
    if splits := {one.splits for one in verdicts.each if one.splits}:
        pooled, first = sorted(set().union(*splits)), joined(sorted({seeds[0] for seeds in splits}))
        yield f"The verdicts pool splits {joined(pooled)} of the data; what stands below is of split {first} alone."
    subsets = study.records.subsets
    for n, seeds in dict.fromkeys((one.n, one.seeds) for one in verdicts.each if not one.splits):
        images = {frozenset(subsets[key].images) for seed in seeds if (key := SubsetKey(n, seed)) in subsets}
        if len(seeds) > 1 and len(images) == 1:
            yield f"All repeats of n = {n} train on the same images: its verdicts hold for trainings on these alone."
    partly = list(dict.fromkeys(name for one in verdicts.each if not one.quality.too_weak for name in one.quality.weak))
    if partly:
        yield f"Too weak to judge, but in fewer than half of the repeats: {joined(partly, MOST_TOLD)}."
    unknown = list(dict.fromkeys(name for one in verdicts.each for name in one.quality.unknown))
    if unknown:
        yield f"{UNSCORED}: {joined(unknown, MOST_TOLD)}."
    if verdicts.missing:
        what = plural(len(verdicts.missing), "planned comparison was", "planned comparisons were")
        yield f"{what} not made; each counts as undecided: {joined(verdicts.missing, MOST_TOLD)}."


WORDS: dict[Word, str] = {
    "helped": "helped",
    "hurt": "hurt",
    "equivalent": "no more than ± {margin} points",
    "undecided": "undecided",
    "too weak": "too weak to judge",
}


def _words(one: Verdict) -> str:
    words = WORDS[one.word].format(margin=f"{100 * one.finding.margin:g}")
    return f"{words} (primary)" if one.primary else words


def _spread(one: Verdict) -> float | None:
    parts = one.finding.effect.variances
    return None if parts is None else sqrt(parts.training)


def table(verdicts: Verdicts) -> Table:
    """Return every comparison with its verdict and what it rests on."""
    pooled = bool(verdicts.each) and all(one.splits for one in verdicts.each)
    shows = f"Would show {100 * TARGET:g} points"
    columns: list[Column[Verdict]] = [
        Column("n", "n", lambda one: one.n, shown=False),
        Words("Name", "name", lambda one: one.effect.name, shown=False),
        Words("Training images", "training", lambda one: one.training),
        Words("Against", "against", lambda one: one.against),
        Words("Verdict", "verdict", _words),
        Words("Were the GAN good enough", "apart_from_quality", lambda one: one.finding.verdict, shown=False),
        Interval(
            "Difference, points",
            "difference",
            lambda one: (one.effect.difference, one.effect.interval),
            1,
            100,
            sign=True,
        ),
        PValue("p, Holm", "p_holm", lambda one: one.finding.p_adjusted),
        Column("Could show, points", "detectable", lambda one: one.finding.detectable, 1, 100),
        Column(
            "Splits" if pooled else "Repeats", "repeats_needed", lambda one: one.finding.repeats_needed, group=shows
        ),
        Column(
            "Test images each" if pooled else "Test images",
            "images_needed",
            lambda one: one.finding.images_needed,
            group=shows,
        ),
        Column("SD between trainings, points", "sd_trainings", _spread, 1, 100),
        Column("False claim, %", "false_claim", lambda one: one.effect.false_claim, 1, 100),
        PValue("p", "p", lambda one: one.effect.p, shown=False),
        PValue("p, equivalence", "p_equivalence", lambda one: one.finding.p_equivalence, shown=False),
        Column("Margin, points", "margin", lambda one: one.finding.margin, None, 100, shown=False),
        Column("Comparisons judged together", "family", lambda _: verdicts.total, shown=False),
        Column("Splits", "splits", lambda one: max(len(one.splits), 1), shown=False),
        Words("Seeds", "seeds", lambda one: " ".join(map(str, one.seeds)), shown=False),
        Column("Repeats", "repeats", lambda one: one.finding.effect.repeats, shown=False),
        Column("Test images", "images", lambda one: one.effect.images, shown=False),
        Column("Clusters", "clusters", lambda one: one.effect.clusters, shown=False),
    ]
    groups: dict[str, list[Verdict]] = {}
    for one in verdicts.each:
        groups.setdefault(place(one), []).append(one)
    notes = [
        "Difference: accuracy (micro-averaged F1) on the test images, in points, with its 95 % interval over "
        "repeats and test images, not adjusted; copies of an image and images of one patient count together. Verdict: "
        "from p adjusted by Holm's method over all rows, each size and control included. Could show: the difference "
        "that four of five such studies would show. Too weak to judge: in half of the repeats or more the GAN's images "
        "are not yet like the real ones. False claim: probability that the one with the higher accuracy is not the "
        "better of the two, for these trained classifiers. SD between trainings: of the difference, over all "
        "test images that there could be; of several splits it is that between splits, of each of which the mean over "
        "its repeats counts."
    ]
    if any(one.splits for one in verdicts.each):
        notes.append("Where several splits are pooled, the repeats are splits, and so many test images each has.")
    caption = "Does it help? Each training set against its control, by multi-reader multi-case analysis."
    return Table.of("verdicts", caption, columns, groups.items(), notes)


def place(one: Verdict) -> str:
    """Return the heading over a size's comparisons."""
    effect = one.finding.effect
    repeats = f"{plural(len(one.seeds), 'repeat')} (seed{'s' * (len(one.seeds) > 1)} {joined(one.seeds)})"
    if one.splits:
        repeats = f"{len(one.splits)} splits ({joined(one.splits)}) of {repeats}"
    images = f"{effect.images} test images in {effect.clusters} clusters"
    if effect.images_by_repeat:
        images = f"{effect.images_each} test images each, together {images}"
    return f"n = {one.n}: {repeats}, {images}"
