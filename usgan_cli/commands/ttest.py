"""`usgan ttest`: compare every classifier with generated images against the baseline, paired by fold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from usgan_cli import options
from usgan_cli.commands.inputs import work_option
from usgan_cli.commands.session import Session
from usgan_cli.core.errors import MissingError

if TYPE_CHECKING:
    from usgan_cli.core.artefact import Outcome
    from usgan_cli.core.records import ClassifierRecord, TTestRecord

REVISION = 1


def ttest(session: Session, n: options.N, seed: options.Seed = 0, out: options.Out = None) -> Outcome:
    """Paired t-tests over folds, with Holm's correction, the corrected resampled test and Wilcoxon's beside."""
    from usgan_cli.core import artefact, files
    from usgan_cli.stats.ttest import compare, to_csv

    baseline, others = _records(session, n, seed)
    inputs = {record.name: record.content_digest() for record in (baseline, *others)}
    target = out or session.workspace.ttest(n, seed)

    def work() -> TTestRecord:
        record = compare(baseline, others, n, seed)
        files.write_text(target.with_suffix(".csv"), to_csv(record))
        return record

    step = artefact.Step("ttest", REVISION, {"n": n, "seed": seed}, inputs)
    outcome = artefact.make_file(target, step, work, _summary, session.request, on_new_inputs="redo")
    if outcome.status != "planned":
        _show(session, target)
    return outcome


def _records(session: Session, n: int, seed: int) -> tuple[ClassifierRecord, list[ClassifierRecord]]:
    """Read the baseline and every other classifier of one subset."""
    from usgan_cli.core.records import ClassifierRecord

    folder = session.workspace.classifiers(n, seed)
    where = f"--n {n} --seed {seed}{work_option(session)}"
    paths = {path.parent.name: path for path in sorted(folder.glob("[!.]*/result.json"))}
    if "real" not in paths:
        raise MissingError(
            f"There is no baseline for n={n}, seed {seed}: {folder / 'real'} is missing.",
            f"Train it: usgan train-cls {where}",
        )
    others = [ClassifierRecord.read(path) for name, path in paths.items() if name != "real"]
    if not others:
        raise MissingError(
            f"There is nothing to compare with the baseline of n={n}, seed {seed}.",
            f"Train a classifier with generated images: usgan train-cls --aug diffaug {where}",
        )
    return ClassifierRecord.read(paths["real"]), others


def _summary(path: Path) -> dict[str, Any]:
    from usgan_cli.core.records import TTestRecord

    return TTestRecord.read(path).model_dump(mode="json", exclude={"run"})


def _show(session: Session, path: Path) -> None:
    from usgan_cli.core.records import TTestRecord

    record = TTestRecord.read(path)
    rows: list[tuple[str, ...]] = [
        ("real (baseline)", _percent(record.baseline_f1.mean, record.baseline_f1.sd), "", "", "", "", "")
    ]
    for other in record.comparisons:
        low, high = other.interval
        rows.append(
            (
                other.name,
                _percent(other.f1.mean, other.f1.sd),
                f"{100 * other.difference:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]",
                *(_p(value) for value in (other.p, other.p_holm, other.p_corrected, other.p_wilcoxon)),
            )
        )
    head = ("classifier", "F1 %", "difference [95 %]", "p", "p Holm", "p corrected", "p Wilcoxon")
    session.table(f"n = {record.n}: {record.score} over {len(record.baseline_folds)} folds", head, rows)


def _percent(mean: float, sd: float) -> str:
    return f"{100 * mean:.2f} ± {100 * sd:.2f}"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
