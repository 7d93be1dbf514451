"""`usgan ttest`: compare every classifier with its control, and as the published study did with the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from usgan_cli.commands.ttest import Ttest
from usgan_cli.core.errors import DataError, MissingError, SettingsError
from usgan_cli.core.formats.classifier import ClassifierRecord, Predictions
from usgan_cli.core.formats.comparison import (
    SHARED_TEST_IMAGES,
    ArmEffect,
    Comparison,
    Exchange,
    McNemar,
    SeedComparison,
    SeedsRecord,
    SplitsRecord,
    TTestRecord,
)
from usgan_cli.core.formats.dataset import DataManifest, read_manifest
from usgan_cli.core.store.document import RunDocument, read_main
from usgan_cli.core.store.lifecycle import Making, making_file
from usgan_cli.core.store.step import Outcome, Step
from usgan_cli.core.store.workspace import BASELINE, SplitsKey, SubsetKey, work_option
from usgan_cli.core.table import Table
from usgan_cli.core.text import p_text, plural, stars
from usgan_cli.data.copies.groups import clusters_of
from usgan_cli.stats.arms import arm_effects, pooled_effects
from usgan_cli.stats.compare import Classified, check_alike, check_complete, compare, compare_seeds
from usgan_cli.stats.exchange import exchange_rates, on_one_curve
from usgan_cli.stats.export import comparison_table, seeds_table
from usgan_cli.steps.inputs import SPLIT, compared_folder
from usgan_cli.terminal.session import Session

REVISION = 4
Family = tuple[Classified, list[Classified]]
"""A baseline, and the classifiers that are compared with it."""
Readers = Sequence[Sequence[Family]]
Baselines = dict[int, list[list[Classified]]]
"""Classifiers on real images alone, by their number: [readers, repeats]."""


def run(options: Ttest, session: Session) -> Outcome:
    """Compare the classifiers of one subset, or of several seeds."""
    if options.out is not None and options.out.suffix != ".json":
        raise SettingsError(
            f"--out names the JSON file, beside which the .csv and .tex are written; it is {options.out}.",
            f"Give --out {options.out.with_suffix('.json')}",
        )
    if options.baseline is not None or options.classifier:
        return _compare_named(options, session)
    if options.n is None:
        raise SettingsError(
            "Which classifiers? Give --n (and --seed), or --baseline DIR, --classifier DIR and --out FILE."
        )
    if options.splits:
        return _compare_splits(options, session, options.n)
    if options.seeds:
        families = [_family(session, options.n, seed) for seed in options.seeds]
        return _compare_seeds(options, session, options.n, families)
    family = _family(session, options.n, options.seed)
    place = session.workspace.classifiers(options.n, options.seed)
    folders = [place / one.name for one in (family[0], *family[1])]
    return _compare_one_seed(options, session, family, folders, _clusters(session, [family]))


def _compare_named(options: Ttest, session: Session) -> Outcome:
    """Compare classifiers whose folders are named outright; the workspace's own comparison is left alone."""
    selected = options.n is not None or options.seed or options.seeds or options.splits
    if options.baseline is None or not options.classifier or selected:
        raise SettingsError(
            "--baseline and --classifier belong together and name the records outright.",
            "Give both, without --n, --seed, --seeds and --splits.",
        )
    if options.out is None:
        raise SettingsError(
            "Comparisons of folders that are named outright need --out: they have no place in the workspace.",
            "Name the JSON file to write: --out FILE.json",
        )
    if (session.workspace.place_of(options.out) or "").startswith("ttests/"):
        raise SettingsError(
            f"{options.out.parent} holds the workspace's own comparisons, of all classifiers with their controls.",
            "Give an --out outside of that folder, or compare all of a subset: usgan ttest --n N",
        )
    family = _read(options.baseline), [_read(folder) for folder in options.classifier]
    return _compare_one_seed(options, session, family, [options.baseline, *options.classifier], {})


def _compare_one_seed(
    options: Ttest, session: Session, family: Family, folders: Sequence[Path], clusters: Mapping[str, int]
) -> Outcome:
    """Compare classifiers of one subset, which lie in `folders`; without clusters by the study's own tests alone."""
    baseline, others = family
    n, seed = baseline.record.n, baseline.record.settings.seed
    target = options.out or session.workspace.ttest(n, seed)
    settings = {"n": n, "seed": seed} | ({"named": True} if options.baseline is not None else {})
    paths = {one.name: folder for one, folder in zip([baseline, *others], folders, strict=True)}
    places = session.workspace.places(target, paths)
    step = Step("ttest", REVISION, options.recorded() | settings, _digests(family), places)
    with making_file(target, step, _summary, session.request, on_new_inputs="redo") as making:
        if making.needed:
            record = compare(baseline, others)
            record = record.model_copy(update={"effects": arm_effects([family], clusters) if clusters else []})
            tables = _put_tables(making, target.stem, comparison_table(record))
            making.document = record.model_copy(update={"tables": tables})
    if making.outcome.status != "planned":
        _show(session, TTestRecord.read(target))
    return making.outcome


def _compare_seeds(options: Ttest, session: Session, n: int, families: list[Family]) -> Outcome:
    seeds = list(options.seeds)
    target = options.out or session.workspace.ttest(n, *seeds)
    clusters, readers = _clusters(session, families), [[family] for family in families]
    real = _real_alone([(session, (seed,)) for seed in seeds], readers)
    inputs = _inputs(readers, real)
    places = session.workspace.places(target, {role: compared_folder(session.workspace, role) for role in inputs})
    step = Step("ttest", REVISION, options.recorded() | {"n": n, "seeds": seeds}, inputs, places)
    with making_file(target, step, _seeds_summary, session.request, on_new_inputs="redo") as making:
        if making.needed:
            record = compare_seeds(families)
            effects, exchange = arm_effects(families, clusters), exchange_rates(readers, real, clusters)
            record = record.model_copy(update={"effects": effects, "exchange": exchange})
            tables = _put_tables(making, target.stem, seeds_table(record))
            making.document = record.model_copy(update={"tables": tables})
    if making.outcome.status != "planned":
        _show_seeds(session, SeedsRecord.read(target))
    return making.outcome


def _compare_splits(options: Ttest, session: Session, n: int) -> Outcome:
    """Compare over several splits, each of which is one reader."""
    seeds, splits = options.seeds or (options.seed,), options.splits
    if len(set(splits)) != len(splits) or len(splits) < 2:
        raise SettingsError(
            "--splits needs two or more splits, each once.", "Without it, this workspace's is compared."
        )
    homes = [session, *(replace(session, workspace=session.workspace.split(seed)) for seed in splits[1:])]
    manifests = [read_manifest(home.workspace.data) for home in homes]
    _check_split_seeds(splits, manifests, homes)
    readers = [[_family(home, n, seed) for seed in seeds] for home in homes]
    _check_arms(splits, seeds, readers, homes)
    clusters, *_ = [_clusters(home, families) for home, families in zip(homes, readers, strict=True)]
    real = _real_alone([(home, seeds) for home in homes], readers)
    inputs = _inputs(readers, real, splits)
    key = SplitsKey(n, seeds, splits)
    target = options.out or session.workspace.pooled(key)
    paths = {role: compared_folder(session.workspace, role, splits[0]) for role in inputs}
    places = session.workspace.places(target, paths)
    step = Step("ttest", REVISION, options.recorded() | {"n": n, "seeds": seeds, "splits": splits}, inputs, places)
    with making_file(target, step, _splits_summary, session.request, on_new_inputs="redo") as making:
        if making.needed:
            families = [family for repeats in readers for family in repeats]
            check_alike(families, splits=True)
            first = families[0][0].record
            making.document = SplitsRecord(
                n=n,
                seeds=list(seeds),
                splits=list(splits),
                folds=len(first.folds),
                baseline=first.name,
                baseline_by_split=[[float(np.mean(one.scores())) for one, _ in repeats] for repeats in readers],
                effects=pooled_effects(readers, clusters),
                exchange=exchange_rates(readers, real, clusters),
            )
    if making.outcome.status != "planned":
        record = SplitsRecord.read(target)
        _show_effects(session, n, record.effects, "split")
        _show_exchange(session, n, record.exchange)
    return making.outcome


def _check_arms(splits: Sequence[int], seeds: Sequence[int], readers: Readers, homes: Sequence[Session]) -> None:
    """Refuse splits and seeds that do not have the same training sets."""
    of_seed = {seed: f", seed {seed}," if len(seeds) > 1 else "" for seed in seeds}
    works = [work_option(home.workspace.root) for home in homes]
    places = [
        (f"Split {split}{of_seed[seed]}", work) for split, work in zip(splits, works, strict=True) for seed in seeds
    ]
    check_complete([family for repeats in readers for family in repeats], places)


def _check_split_seeds(splits: Sequence[int], manifests: Sequence[DataManifest], homes: Sequence[Session]) -> None:
    """Refuse splits that are not of the same images, or not drawn with the seeds that are named."""
    images = [{(image.file, image.class_, image.group, image.sha256) for image in one.images} for one in manifests]
    for seed, manifest, there, home in zip(splits, manifests, images, homes, strict=True):
        again = f"Prepare it: usgan prepare SOURCE --split new --seed {seed}{work_option(home.workspace.root)} --force"
        if manifest.seed != seed or manifest.split_from != "usgan":
            raise DataError(f"{home.workspace.data} is not the split that usgan draws with seed {seed}.", again)
        if there != images[0]:
            raise DataError(
                f"{home.workspace.data} has other images, or groups, than {homes[0].workspace.data}.", again
            )


def _put_tables(making: Making, stem: str, table: Table) -> dict[str, str]:
    """Put the comparison beside its record, for other programs; return the digest of each file."""
    texts = {f"{stem}.csv": table.to_csv(), f"{stem}.tex": table.to_latex()}
    return {name: making.put_beside(name, text.encode()) for name, text in texts.items()}


def _digests(family: Family) -> dict[str, str]:
    baseline, others = family
    return {one.name: one.record.content_digest() for one in [baseline, *others]}


def _inputs(readers: Readers, real: Baselines, splits: Sequence[int] = ()) -> dict[str, str]:
    """Return the digests of the compared classifiers, and of the baselines of every size: "split 1 n50-s0/real"."""
    inputs = {}
    for i, repeats in enumerate(readers):
        split = f"{SPLIT}{splits[i]} " if splits else ""
        there = [one for baseline, others in repeats for one in (baseline, *others)]
        for one in there + [one for trained in real.values() for one in trained[i]]:
            subset = SubsetKey(one.record.n, one.record.settings.seed).name
            inputs[f"{split}{subset}/{one.name}"] = one.record.content_digest()
    return inputs


def _read(folder: Path) -> Classified:
    """Read a finished classifier."""
    if (run := RunDocument.find(folder)) is None:
        raise MissingError(f"There is no finished classifier in {folder}.", "Train it: usgan train-cls")
    record = read_main(folder, ClassifierRecord)
    run.check_file(folder, Predictions.FILE)
    return Classified(record, Predictions.read(folder / Predictions.FILE))


def _family(session: Session, n: int, seed: int) -> Family:
    """Read the baseline and every other finished classifier of one subset."""
    folder = session.workspace.classifiers(n, seed)
    which = f"--n {n} --seed {seed}{work_option(session.workspace.root)}"
    names = [path.parent.name for path in sorted(folder.glob("[!.]*/run.json"))]
    if "real" not in names:
        raise MissingError(
            f"There is no baseline for n={n}, seed {seed}: {folder / 'real'} is missing or unfinished.",
            f"Train it: usgan train-cls {which}",
        )
    others = [_read(folder / name) for name in names if name != "real"]
    if not others:
        raise MissingError(
            f"There is nothing to compare with the baseline of n={n}, seed {seed}.",
            f"Train a classifier with generated images: usgan train-cls --aug diffaug {which}",
        )
    return _read(folder / "real"), others


def _real_alone(homes: Sequence[tuple[Session, Sequence[int]]], readers: Readers) -> Baselines:
    """Return the baselines of every size that all readers have, trained as those of `readers` were.

    `homes` are the workspace and the seeds of each reader.
    """
    sizes = [_sizes(home, seeds) for home, seeds in homes]
    real: Baselines = {}
    for n in sorted(set.intersection(*sizes)):
        trained = [[_read(home.workspace.classifier(n, seed)) for seed in seeds] for home, seeds in homes]
        alike = all(
            on_one_curve(baseline.record, one.record)
            for repeats, families in zip(trained, readers, strict=True)
            for one, (baseline, _) in zip(repeats, families, strict=True)
        )
        real |= {n: trained} if alike else {}
    return real


def _sizes(session: Session, seeds: Sequence[int]) -> set[int]:
    """Return the sizes at which there is a finished baseline of every seed."""
    there = {
        key
        for key, path in session.workspace.listed("classifiers", SubsetKey.parse).items()
        if (path / BASELINE.name / RunDocument.FILE).is_file()
    }
    return {key.n for key in there if all(SubsetKey(key.n, seed) in there for seed in seeds)}


def _clusters(session: Session, families: Sequence[Family]) -> dict[str, int]:
    """Return the number of the cluster of each image of the dataset: copies, a patient's images, frames of one file."""
    manifest = read_manifest(session.workspace.data)
    digest = manifest.content_digest()
    for baseline, _ in families:
        if baseline.record.settings.test != digest:
            raise DataError(
                "The classifiers were tested on another version of the dataset than the one that is there.",
                f"Train them again: usgan train-cls --n {baseline.record.n} --seed {baseline.record.settings.seed}"
                f"{work_option(session.workspace.root)} --refresh",
            )
    return clusters_of(manifest)


def _summary(path: Path) -> dict[str, Any]:
    record = TTestRecord.read(path)
    record.check_beside(path)
    return record.model_dump(mode="json", exclude={"run", "tables"})


def _seeds_summary(path: Path) -> dict[str, Any]:
    record = SeedsRecord.read(path)
    record.check_beside(path)
    return record.model_dump(mode="json", exclude={"run", "tables"})


def _splits_summary(path: Path) -> dict[str, Any]:
    return SplitsRecord.read(path).model_dump(mode="json", exclude={"run"})


def _show(session: Session, record: TTestRecord) -> None:
    _show_effects(session, record.n, record.effects)
    first = _percent(record.baseline_f1.mean, record.baseline_f1.sd)
    rows: list[tuple[str, ...]] = [("real (baseline)", first, "", "", "")]
    rows += [(*_described(other), p_text(other.p), _adjusted(other.p_holm)) for other in record.comparisons]
    title = f"The study's own analysis, n = {record.n}: {record.score} over {len(record.baseline_folds)} folds"
    session.table(title, ("classifier", "F1 %", "difference [95 %]", "p", "p Holm"), rows)
    more = [
        (
            other.name,
            "-" if other.effect_size is None else f"{other.effect_size:+z.2f}",
            p_text(other.p_corrected),
            p_text(other.p_corrected_holm),
            p_text(other.p_wilcoxon),
            _mcnemar(other.mcnemar_images),
        )
        for other in record.comparisons
    ]
    head = ("classifier", "d", "p corrected", "its Holm", "p Wilcoxon", "p McNemar (b:c)")
    session.table("Beside it: effect size, and tests that the study did not make", head, more)
    session.explain(("micro F1", "p Holm", "p corrected", "d", "b:c"))
    session.progress.note(SHARED_TEST_IMAGES)


def _show_seeds(session: Session, record: SeedsRecord) -> None:
    _show_effects(session, record.n, record.effects)
    _show_exchange(session, record.n, record.exchange)
    first = _percent(record.baseline_f1.mean, record.baseline_f1.sd)
    rows: list[tuple[str, ...]] = [("real (baseline)", first, *[""] * 5)]
    rows += [
        (
            *_described(other),
            f"{100 * other.sd_seeds:.2f} / {100 * other.sd_folds:.2f}",
            p_text(other.p),
            _adjusted(other.p_holm),
            p_text(other.p_corrected),
        )
        for other in record.comparisons
    ]
    head = ("classifier", "F1 %", "difference [95 %]", "sd seeds / folds", "p", "p Holm", "p corrected")
    title = f"The study's own analysis, n = {record.n}: {record.score} over {len(record.seeds)} seeds"
    session.table(title, head, rows)
    session.explain(("micro F1", "p Holm", "p corrected"))
    session.progress.note(SHARED_TEST_IMAGES)


def _show_effects(session: Session, n: int, effects: Sequence[ArmEffect], unit: str = "repeat") -> None:
    """Show every difference to a control with its interval: the report has the verdicts, which depend on them all."""
    if not effects:
        return
    readers, images = plural(len(effects[0].by_repeat), unit), effects[0].images
    tested = f"{images} test images{' together' * (unit == 'split')}"
    rows = [(one.name, one.against, _points(one.difference, one.interval), p_text(one.p)) for one in effects]
    title = f"n = {n}: accuracy against the control, {readers}, {tested}"
    session.table(title, ("classifier", "against", "points [95 %]", "p, not adjusted"), rows)
    session.explain(("points", "p, not adjusted"))
    session.progress.note("Verdicts depend on all comparisons of a study together: usgan report")


def _show_exchange(session: Session, n: int, exchange: Exchange | None) -> None:
    """Show how many real images alone do as well as each training setting."""
    if exchange is None:
        return
    if exchange.lacking:
        session.progress.note(exchange.lacking)
        return
    rows = [(one.name, one.real.words(), one.interval.words(), one.real.words(n)) for one in exchange.arms]
    title = f"n = {n}: how many real images alone do as well, by their curve over {len(exchange.curve)} sizes"
    session.table(title, ("classifier", "real images", "95 %", f"beyond {n}"), rows)


def _described(other: Comparison | SeedComparison) -> tuple[str, str, str]:
    """Return a classifier's name, its F1, and the difference to the baseline with its interval, in percent."""
    return other.name, _percent(other.f1.mean, other.f1.sd), _points(other.difference, other.interval)


def _points(difference: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * difference:+z.2f} [{100 * low:+z.2f}, {100 * high:+z.2f}]"


def _percent(mean: float, sd: float) -> str:
    return f"{100 * mean:.2f} ± {100 * sd:.2f}"


def _adjusted(value: float | None) -> str:
    """Return an adjusted p-value with its stars."""
    return f"{p_text(value)} {stars(value)}".strip()


def _mcnemar(test: McNemar) -> str:
    return f"{p_text(test.p)} ({test.only_baseline}:{test.only_other})"
