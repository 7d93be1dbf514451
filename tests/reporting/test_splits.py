"""A verdict that pools several splits is about the GANs of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from study_records import AUGS, run_of, write_score, write_study

from usgan_cli.core.formats.comparison import SplitsRecord, TTestRecord
from usgan_cli.core.store.workspace import SplitsKey, Workspace
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.verdict import UNSCORED, Analysis, Verdict, doubts, judge_study

N = 40
SPLITS = (0, 1, 2)
NAME = f"ada-n{N}-s0"


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    """Three splits of one repeat each, whose comparisons are pooled."""
    work = Workspace(tmp_path / "work")
    for split in SPLITS:
        write_study(home(work, split).root, sizes=(N,), ratios=(1.0,))
    single = TTestRecord.read(work.ttest(N, 0))
    SplitsRecord(
        run=run_of("ttest"),
        n=N,
        seeds=[0],
        splits=list(SPLITS),
        folds=5,
        baseline="real",
        baseline_by_split=[[0.5]] * len(SPLITS),
        effects=[one.model_copy(update={"by_repeat": one.by_repeat * len(SPLITS)}) for one in single.effects],
    ).write(work.pooled(SplitsKey(N, (0,), SPLITS)))
    return work


def home(work: Workspace, split: int) -> Workspace:
    return work if split == SPLITS[0] else work.split(split)


def judged(work: Workspace, weak: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Verdict], str]:
    """The verdicts by GAN, where those named are too weak in some splits, and what limits them."""
    for aug in AUGS:
        for split in SPLITS:
            if home(work, split).score(f"{aug}-n{N}-s0").is_file():
                write_score(home(work, split), aug, N, 0, weak=split in weak.get(aug, ()))
    study = Study.of(collect(work))
    verdicts = judge_study(study, Analysis())
    assert all(one.splits == SPLITS for one in verdicts.each)
    return {str(one.effect.aug): one for one in verdicts.each}, " ".join(doubts(study, verdicts))


def test_weak_gans_of_further_splits_count(work: Workspace) -> None:
    verdicts, said = judged(work, {"ada": (1, 2), "none": (0,)})
    assert verdicts["ada"].word == "too weak", "in two of three splits"
    assert verdicts["none"].word != "too weak", "in one of three splits"
    assert f"Too weak to judge, but in fewer than half of the repeats: none-n{N}-s0 of split 0." in said
    assert verdicts["ada"].quality.repeats == len(SPLITS)
    assert verdicts["ada"].quality.reasons


def test_gans_of_further_splits_without_a_score_are_unknown(work: Workspace) -> None:
    work.split(2).score(NAME).unlink()
    verdicts, said = judged(work, {"ada": (0,)})
    assert f"{UNSCORED}: {NAME} of split 2." in said
    assert verdicts["ada"].word != "too weak"


def test_a_report_depends_on_the_scores_of_further_splits(work: Workspace) -> None:
    assert f"splits/s1/scores/{NAME}.json" in collect(work).digests
