"""`usgan ttest`: compare every classifier with generated images against the baseline, paired by fold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usgan_cli import options
from usgan_cli.commands.inputs import work_option
from usgan_cli.commands.session import Session
from usgan_cli.core.errors import MissingError, SettingsError

if TYPE_CHECKING:
    from usgan_cli.core.formats.comparison import McNemar, SeedsRecord, TTestRecord
    from usgan_cli.core.store.lifecycle import Outcome
    from usgan_cli.stats.compare import Classified

REVISION = 2


def ttest(
    session: Session,
    n: options.MaybeN = None,
    seed: options.Seed = 0,
    seeds: Annotated[
        list[int] | None,
        typer.Option(
            "--seeds",
            min=0,
            help="Several repeats, given once for each: a summary over seeds and folds in place of one seed's tests.",
            rich_help_panel=options.WHICH,
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the classifier on real images alone, in place of --n --seed.",
            rich_help_panel=options.WHICH,
        ),
    ] = None,
    classifier: Annotated[
        list[Path] | None,
        typer.Option(
            help="With --baseline: folder of a classifier with generated images; give it once for each.",
            rich_help_panel=options.WHICH,
        ),
    ] = None,
    out: options.Out = None,
) -> Outcome:
    """Paired t-tests over folds, with Holm's correction, the corrected resampled test, Wilcoxon's and McNemar's beside.

    Writes the same as JSON, CSV and LaTeX (.json, .csv, .tex).
    """
    if out is not None and out.suffix != ".json":
        raise SettingsError(
            f"--out names the JSON file, beside which the .csv and .tex are written; it is {out}.",
            f"Give --out {out.with_suffix('.json')}",
        )
    if baseline is not None or classifier:
        if baseline is None or not classifier or n is not None or seeds:
            raise SettingsError(
                "--baseline and --classifier belong together and name the records outright.",
                "Give both, without --n and --seeds.",
            )
        return _one_seed(session, _read(baseline), [_read(folder) for folder in classifier], out)
    if n is None:
        raise SettingsError("Which classifiers? Give --n (and --seed), or --baseline DIR and --classifier DIR.")
    if seeds:
        return _several_seeds(session, n, seeds, out)
    return _one_seed(session, *_family(session, n, seed), out)


def _one_seed(session: Session, baseline: Classified, others: list[Classified], out: Path | None) -> Outcome:
    from usgan_cli.core.store import files, lifecycle
    from usgan_cli.stats.compare import compare
    from usgan_cli.stats.export import comparison_table

    n, seed = baseline.record.n, baseline.record.settings.seed
    target = out or session.workspace.ttest(n, seed)

    def work() -> TTestRecord:
        record = compare(baseline, others)
        table = comparison_table(record)
        files.write_text(target.with_suffix(".csv"), table.to_csv())
        files.write_text(target.with_suffix(".tex"), table.to_latex())
        return record

    step = lifecycle.Step("ttest", REVISION, {"n": n, "seed": seed}, _digests([baseline, *others]))
    outcome = lifecycle.make_file(target, step, work, _summary, session.request, on_new_inputs="redo")
    if outcome.status != "planned":
        _show(session, target)
    return outcome


def _several_seeds(session: Session, n: int, seeds: list[int], out: Path | None) -> Outcome:
    from usgan_cli.core.store import files, lifecycle
    from usgan_cli.stats.compare import compare_seeds
    from usgan_cli.stats.export import seeds_table

    families = [_family(session, n, seed) for seed in seeds]
    target = out or session.workspace.ttest(n, *seeds)

    def work() -> SeedsRecord:
        record = compare_seeds(families)
        table = seeds_table(record)
        files.write_text(target.with_suffix(".csv"), table.to_csv())
        files.write_text(target.with_suffix(".tex"), table.to_latex())
        return record

    inputs = {
        f"seed {seed} {name}": digest
        for seed, (baseline, others) in zip(seeds, families, strict=True)
        for name, digest in _digests([baseline, *others]).items()
    }
    step = lifecycle.Step("ttest", REVISION, {"n": n, "seeds": list(seeds)}, inputs)
    outcome = lifecycle.make_file(target, step, work, _seeds_summary, session.request, on_new_inputs="redo")
    if outcome.status != "planned":
        _show_seeds(session, target)
    return outcome


def _digests(classifiers: list[Classified]) -> dict[str, str]:
    return {classifier.name: classifier.record.content_digest() for classifier in classifiers}


def _read(folder: Path) -> Classified:
    """Read a finished classifier."""
    from usgan_cli.core.formats.classifier import ClassifierRecord, Predictions
    from usgan_cli.stats.compare import Classified

    if not (folder / "run.json").is_file():
        raise MissingError(f"There is no finished classifier in {folder}.", "Train it: usgan train-cls")
    record = ClassifierRecord.read(folder / "result.json")
    return Classified(record, Predictions.read(folder / "predictions.csv"))


def _family(session: Session, n: int, seed: int) -> tuple[Classified, list[Classified]]:
    """Read the baseline and every other finished classifier of one subset."""
    folder = session.workspace.classifiers(n, seed)
    where = f"--n {n} --seed {seed}{work_option(session)}"
    names = [path.parent.name for path in sorted(folder.glob("[!.]*/run.json"))]
    if "real" not in names:
        raise MissingError(
            f"There is no baseline for n={n}, seed {seed}: {folder / 'real'} is missing or unfinished.",
            f"Train it: usgan train-cls {where}",
        )
    others = [_read(folder / name) for name in names if name != "real"]
    if not others:
        raise MissingError(
            f"There is nothing to compare with the baseline of n={n}, seed {seed}.",
            f"Train a classifier with generated images: usgan train-cls --aug diffaug {where}",
        )
    return _read(folder / "real"), others


def _summary(path: Path) -> dict[str, Any]:
    from usgan_cli.core.formats.comparison import TTestRecord

    return TTestRecord.read(path).model_dump(mode="json", exclude={"run"})


def _seeds_summary(path: Path) -> dict[str, Any]:
    from usgan_cli.core.formats.comparison import SeedsRecord

    return SeedsRecord.read(path).model_dump(mode="json", exclude={"run"})


def _show(session: Session, path: Path) -> None:
    from usgan_cli.core.formats.comparison import SHARED_TEST_IMAGES, TTestRecord

    record = TTestRecord.read(path)
    first = _percent(record.baseline_f1.mean, record.baseline_f1.sd)
    rows: list[tuple[str, ...]] = [("real (baseline)", first, "", "", "")]
    rows += [
        (
            other.name,
            _percent(other.f1.mean, other.f1.sd),
            _difference(other.difference, other.interval),
            _p(other.p),
            _adjusted(other.p_holm),
        )
        for other in record.comparisons
    ]
    title = f"n = {record.n}: {record.score} over {len(record.baseline_folds)} folds; stars at Holm's p alone"
    session.table(title, ("classifier", "F1 %", "difference [95 %]", "p", "p Holm"), rows)
    more = [
        (
            other.name,
            "-" if other.effect_size is None else f"{other.effect_size:+z.2f}",
            _p(other.p_corrected),
            _p(other.p_corrected_holm),
            _p(other.p_wilcoxon),
            _mcnemar(other.mcnemar_images),
        )
        for other in record.comparisons
    ]
    head = ("classifier", "d", "p corrected", "its Holm", "p Wilcoxon", "p McNemar (b:c)")
    session.table("Beside it: effect size, and tests that the study did not make", head, more)
    session.progress.note(SHARED_TEST_IMAGES)


def _show_seeds(session: Session, path: Path) -> None:
    from usgan_cli.core.formats.comparison import SeedsRecord

    record = SeedsRecord.read(path)
    rows: list[tuple[str, ...]] = [
        ("real (baseline)", _percent(record.baseline_f1.mean, record.baseline_f1.sd), *[""] * 5)
    ]
    rows += [
        (
            other.name,
            _percent(other.f1.mean, other.f1.sd),
            _difference(other.difference, other.interval),
            f"{100 * other.sd_seeds:.2f} / {100 * other.sd_folds:.2f}",
            _p(other.p),
            _adjusted(other.p_holm),
            _p(other.p_corrected),
        )
        for other in record.comparisons
    ]
    head = ("classifier", "F1 %", "difference [95 %]", "sd seeds / folds", "p", "p Holm", "p corrected")
    session.table(f"n = {record.n}: {record.score} over {len(record.seeds)} seeds", head, rows)


def _percent(mean: float, sd: float) -> str:
    return f"{100 * mean:.2f} ± {100 * sd:.2f}"


def _difference(mean: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * mean:+z.2f} [{100 * low:+z.2f}, {100 * high:+z.2f}]"


def _p(value: float | None) -> str:
    from usgan_cli.core.text import p_text

    return p_text(value)


def _adjusted(value: float | None) -> str:
    """Return an adjusted p-value with its stars."""
    from usgan_cli.core.text import stars

    return f"{_p(value)} {stars(value)}".strip()


def _mcnemar(found: McNemar) -> str:
    return f"{_p(found.p)} ({found.only_baseline}:{found.only_other})"
