"""`usgan ttest` over several sizes: what generated images are worth in real ones, and when that is computed again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from calls import subsample, train_cls, ttest
from tiny_workspace import FAST, N, new_workspace

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.comparison import Exchange, SeedsRecord, TTestRecord
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import TrainingSet, Workspace
from usgan_cli.steps.inventory import take_inventory
from usgan_cli.steps.outdated import find_outdated
from usgan_cli.terminal.session import Session

SEEDS = (0, 1)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two repeats of a baseline at two sizes, and of copies at the larger one."""
    work = new_workspace(tmp_path_factory.mktemp("tiny"), SEEDS)
    session = Session(work, Silent())
    for seed in SEEDS:
        train_cls(session, n=N, seed=seed, **FAST)
        train_cls(session, n=N, seed=seed, control="copies", **FAST)
        subsample(session, n=(12, 24), seed=seed)
        train_cls(session, n=12, seed=seed, **FAST)
    return work


class Notes(Silent):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.said = ""

    def note(self, message: str) -> None:
        self.said += message


def compared(work: Workspace) -> tuple[str, Exchange, SeedsRecord, str]:
    notes, titles = Notes(), list[str]()
    session = Session(work, notes, table=lambda title, head, rows: titles.append(f"{title} {rows}"))
    outcome = ttest(session, n=N, seeds=list(SEEDS))
    record = SeedsRecord.read(outcome.path)
    assert record.exchange is not None
    return outcome.status, record.exchange, record, notes.said + "".join(titles)


def test_a_size_that_is_added_completes_the_curve(study: Workspace, tmp_path: Path) -> None:
    work = Workspace(shutil.copytree(study.root, tmp_path / "work"))
    _, exchange, _, said = compared(work)
    assert exchange.arms == [] and "2 sizes (12 and 36)" in exchange.lacking and exchange.lacking in said
    train_cls(Session(work, Silent()), n=24, seed=0, **FAST)
    assert compared(work)[0] == "skipped", "a size counts once every repeat has it"
    train_cls(Session(work, Silent()), n=24, seed=1, **FAST)
    status, exchange, record, said = compared(work)
    assert status == "done" and [point.n for point in exchange.curve] == [12, 24, 36]
    assert [arm.name for arm in exchange.arms] == ["copies-x1"] and exchange.arms[0].interval.words() in said
    assert record.run is not None and {"n24-s1/real", "n36-s0/copies-x1"} <= set(record.run.inputs)
    assert find_outdated(take_inventory(work)) == []
    train_cls(replace(Session(work, Silent()), refresh=True), n=24, seed=1, **FAST | {"size": 48})
    (stale,) = find_outdated(take_inventory(work))
    assert stale.path == work.ttest(N, *SEEDS) and "n24-s1/real has changed" in stale.why
    status, exchange, *_ = compared(work)
    assert status == "done" and [point.n for point in exchange.curve] == [12, 36], "of other settings, it is no part"


def test_folders_named_outright_leave_the_workspaces_own_comparison_alone(study: Workspace, tmp_path: Path) -> None:
    work = Workspace(shutil.copytree(study.root, tmp_path / "work"))
    session, out = Session(work, Silent()), tmp_path / "pair.json"
    pair = {"baseline": work.classifier(N, 0), "classifier": [work.classifier(N, 0, TrainingSet(None, 1, "copies"))]}
    with pytest.raises(SettingsError, match="need --out"):
        ttest(session, **pair)
    for own in (work.ttest(N, 0), work.ttest(N, *SEEDS), work.root / "ttests" / "pair.json"):
        with pytest.raises(SettingsError, match="holds the workspace's own comparisons"):
            ttest(session, **pair, out=own)
    for ignored in ({"seeds": list(SEEDS)}, {"splits": [0, 1]}, {"seed": 1}):
        with pytest.raises(SettingsError, match="without --n, --seed, --seeds and --splits"):
            ttest(session, **pair, out=out, **ignored)
    assert ttest(session, **pair, out=out).status == "done" and not TTestRecord.read(out).effects
    assert not work.ttest(N, 0).exists()
    whole = ttest(session, n=N)
    assert whole.status == "done" and len(TTestRecord.read(whole.path).effects) == 1
    assert ttest(session, **pair, out=out).status == "skipped"
    with pytest.raises(SettingsError):
        ttest(session, n=N, out=out)


def test_a_comparison_of_the_workspace_records_no_more_than_before(study: Workspace, tmp_path: Path) -> None:
    work = Workspace(shutil.copytree(study.root, tmp_path / "work"))
    run = TTestRecord.read(ttest(Session(work, Silent()), n=N).path).run
    assert run is not None and run.settings == {"n": N, "seed": 0}
