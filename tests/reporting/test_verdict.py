"""The headline and the verdicts come from the comparisons with controls, all of them judged together."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from report_page import Page, read_table
from study_records import write_study

from usgan_cli.commands.report import Report
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.comparison import ArmEffect, SplitsRecord
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.step import Outcome
from usgan_cli.core.store.workspace import SplitsKey, Workspace
from usgan_cli.reporting.build import build_report
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.result_charts import verdicts_plate
from usgan_cli.reporting.verdict import UNSCORED, Analysis, Verdicts, doubts, headline, judge_study, place, summary
from usgan_cli.stats.arms import recorded
from usgan_cli.stats.mrmc import effect_of
from usgan_cli.steps import report
from usgan_cli.study.config import parse_study
from usgan_cli.study.document import claim_workspace
from usgan_cli.study.plan import plan_study, planned_comparisons
from usgan_cli.terminal.session import Session

SEEDS = (0, 1, 2, 3, 4)
SIZES = (100, 40)
SETTINGS = SimpleNamespace(budget="updates")


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two sizes, five repeats, three GANs at one ratio."""
    return write_study(tmp_path_factory.mktemp("five"), seeds=SEEDS, sizes=SIZES, ratios=(1.0,))


def with_gaps(workspace: Workspace, gaps: dict[str, float], spread: float = 0.004) -> Study:
    """The study with these differences ("ada-x1 n40"; none elsewhere), nearly the same in all repeats."""
    study = Study.of(collect(workspace))
    for group in study.classifiers:
        for key, record in group.seeds.items():
            effects = [effect(one, gaps.get(f"{one.name} n{key.n}", 0.0), spread) for one in record.effects]
            group.seeds[key] = record.model_copy(update={"effects": effects})
    return study


def effect(one: ArmEffect, gap: float, spread: float) -> ArmEffect:
    by_repeat = gap + spread * np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    analysed = effect_of(by_repeat, np.diag([1e-4] * 5), 280, 233, 9.0, 3.0)
    new = recorded(collected(one), "copies-x1", analysed)
    return new.model_copy(update={"more_updates": False})


def collected(one: ArmEffect) -> ClassifierRecord:
    names = ("name", "aug", "ratio", "control")
    fields = {name: getattr(one, name) for name in names}
    return ClassifierRecord.model_construct(
        **fields, synthetic_only=False, protocol="standard", select=None, settings=SETTINGS
    )


def verdicts(workspace: Workspace, gaps: dict[str, float], **declared: Any) -> Verdicts:
    return judge_study(with_gaps(workspace, gaps, declared.pop("spread", 0.004)), Analysis(**declared))


def of(judged: Verdicts) -> dict[str, str]:
    return {one.name: one.finding.verdict for one in judged.each}


def test_a_gain_is_the_headline(repeated: Workspace) -> None:
    judged = verdicts(repeated, {"ada-x1 n40": 0.06, "none-x1 n100": -0.05}, margin=0.0001)
    assert of(judged)["ada-x1 n40"] == "helped" and of(judged)["none-x1 n100"] == "hurt"
    assert headline(judged) == "Generated images helped in 1 and hurt in 1 of 6 comparisons"
    text = summary(judged)
    assert "+ 100 % ADA at n = 40, against + 100 % copies: helped: +6.0 points (95 % interval +5.6 to +6.4)." in text
    assert "+ 100 % StyleGAN2 at n = 100, against + 100 % copies: hurt: −5.0 points" in text
    assert "Holm’s method covers all 6 comparisons of this report:" in text


def test_the_primary_comparison_is_the_headline(repeated: Workspace) -> None:
    judged = verdicts(repeated, {"ada-x1 n40": 0.06, "none-x1 n100": 0.05}, primary="none-x1 n100")
    assert headline(judged).startswith("+ 100 % StyleGAN2 at n = 100, against + 100 % copies: helped: +5.0 points")
    judged = verdicts(repeated, {"ada-x1 n40": 0.06}, primary="none-x1 n100", margin=0.0001)
    assert headline(judged) == "The primary comparison is undecided; generated images helped in 1 of 6 comparisons"


def test_no_difference_within_the_margin(repeated: Workspace) -> None:
    assert headline(verdicts(repeated, {})) == "Generated images change no more than ± 2 points in 6 of 6 comparisons"


def test_an_undecided_study_says_what_it_could_have_shown(repeated: Workspace) -> None:
    judged = verdicts(repeated, {}, spread=0.05)
    assert headline(judged) == "Undecided whether generated images help, in all 6 comparisons"
    finding = judged.each[0].finding
    assert finding.detectable is not None and finding.repeats_needed is not None
    said = f"this study could have shown {100 * finding.detectable:.1f} points, {finding.repeats_needed} repeats would"
    assert said in summary(judged)


def test_over_splits_more_splits_are_asked_for(repeated: Workspace) -> None:
    study = with_gaps(repeated, {}, spread=0.05)
    for (n, _), record in [(key, record) for group in study.classifiers for key, record in group.seeds.items()]:
        effects = [one.model_copy(update={"images_by_repeat": [140] * 5}) for one in record.effects]
        study.splits[SplitsKey(n, (0, 1), SEEDS)] = SplitsRecord.model_construct(effects=effects)
    judged = judge_study(study, Analysis())
    finding = judged.each[0].finding
    assert f" points, {finding.repeats_needed} splits would show 3 points" in summary(judged)
    assert "splits would show" in judged.each[0].sentence() and "repeats would show" not in judged.each[0].sentence()
    (heading,) = {place(one) for one in judged.each if one.n == 40}
    assert heading.endswith("(seeds 0 and 1), 140 test images each, together 280 test images in 233 clusters")
    three = [effect.model_copy(update={"by_repeat": effect.by_repeat[:3]}) for effect in effects]
    study.splits[SplitsKey(40, (0, 1), SEEDS)] = SplitsRecord.model_construct(effects=three)
    assert "3 splits are few: they show large differences alone." in list(doubts(study, judge_study(study, Analysis())))


def test_holm_covers_all_sizes_and_what_was_not_made(repeated: Workspace) -> None:
    raw = verdicts(repeated, {"ada-x1 n40": 0.01}, spread=0.01)
    ada = next(one for one in raw.each if one.name == "ada-x1 n40")
    p = ada.effect.p
    assert p is not None and ada.finding.p_adjusted == pytest.approx(6 * p), "both sizes, three GANs each"
    planned = (*(one.name for one in raw.each), "ada-x2 n40", "copies-x1 n40")
    more = verdicts(repeated, {"ada-x1 n40": 0.01}, spread=0.01, planned=planned)
    assert more.missing == ["ada-x2 n40", "copies-x1 n40"] and more.total == 8
    assert next(one for one in more.each if one.name == "ada-x1 n40").finding.p_adjusted == pytest.approx(8 * p)
    primary = verdicts(repeated, {"ada-x1 n40": 0.01}, spread=0.01, primary="ada-x1 n40")
    assert next(one for one in primary.each if one.primary).finding.p_adjusted == pytest.approx(2 * p)
    lost = verdicts(repeated, {"ada-x1 n40": 0.01}, spread=0.01, planned=planned, primary="ada-x2 n40")
    assert next(one for one in lost.each if one.name == "ada-x1 n40").finding.p_adjusted == pytest.approx(14 * p)
    with pytest.raises(SettingsError, match="no comparison 'x' to be the primary"):
        verdicts(repeated, {}, primary="x")


def test_the_table_holds_what_was_judged(repeated: Workspace, tmp_path: Path, undrawn: None) -> None:
    done = build_report(repeated, tmp_path, Silent())
    rows = {f"{row['name']} n{row['n']}": row for row in read_table(tmp_path, "verdicts")}
    judged = judge_study(Study.of(collect(repeated)), Analysis())
    assert set(rows) == set(done.verdicts) == {one.name for one in judged.each}
    for one in judged.each:
        row, parts = rows[one.name], one.finding.effect.variances
        assert parts is not None
        assert row["verdict"].startswith(done.verdicts[one.name].replace("equivalent", "no more than"))
        assert float(row["difference"]) == pytest.approx(100 * one.effect.difference)
        assert float(row["sd_trainings"]) == pytest.approx(100 * parts.training**0.5)
        assert (int(row["repeats"]), int(row["images"]), int(row["clusters"])) == (5, 40, 34)
        assert float(row["margin"]) == 2 and row["seeds"] == "0 1 2 3 4"
        assert float(row["false_claim"]) == pytest.approx(100 * one.effect.false_claim)
    page = Page(tmp_path)
    assert done.headline in page.words
    heading = "n = 40: 5 repeats (seeds 0, 1, 2, 3 and 4), 40 test images in 34 clusters"
    assert page.row("verdicts", heading, "+ 100 % ADA")


def test_more_updates_and_equal_training_images_are_said(repeated: Workspace, tmp_path: Path, undrawn: None) -> None:
    done = build_report(repeated, tmp_path, Silent())
    assert done.headline.endswith(", but with more optimiser updates"), "equal epochs against real images alone"
    warnings = " ".join(done.warnings)
    assert "so a gain may come from these alone: + 100 % StyleGAN2 at n = 100" in warnings
    assert "All repeats of n = 40 train on the same images" in warnings


STUDY = {
    "name": "mine",
    "grid": {"sizes": [8, 4], "gans": ["ada"], "seeds": [0, 1]},
    "data": {"source": "phantom"},
    "classifier": {"controls": ["copies"]},
}


def test_a_study_declares_margin_and_primary_comparison(tmp_path: Path) -> None:
    config = parse_study(STUDY | {"analysis": {"margin": 1.5, "primary": "ada-x1 n4"}})
    steps = plan_study(config, Workspace(tmp_path))
    assert planned_comparisons(steps) == ["copies-x1 n8", "ada-x1 n8", "copies-x1 n4", "ada-x1 n4"]
    wrong = parse_study(STUDY | {"analysis": {"primary": "ada-x1 n44"}})
    with pytest.raises(SettingsError, match="'ada-x1 n44', which the study does not compare") as caught:
        plan_study(wrong, Workspace(tmp_path))
    assert caught.value.hint == "Did you mean 'ada-x1 n4'?"


def test_the_studys_file_decides(tmp_path: Path, undrawn: None) -> None:
    workspace = write_study(tmp_path / "work", sizes=(8, 4), seeds=(0, 1), ratios=(1.0,))

    def make(**options: Any) -> Outcome:
        chosen = Report(work=workspace.root, **options)
        return report.run(chosen, Session.of(chosen))

    assert make(margin=3.0, primary="ada-x1 n4").status == "done"
    assert {row["margin"] for row in read_table(workspace.report, "verdicts")} == {"3.0"}
    claim_workspace(workspace, parse_study(STUDY | {"analysis": {"margin": 1.5}}), force=False)
    assert make(refresh=True).status == "done"
    assert {row["margin"] for row in read_table(workspace.report, "verdicts")} == {"1.5"}
    with pytest.raises(SettingsError, match="belong to the study's file"):
        make(margin=3.0)
    assert "2 planned comparisons were not made" in " ".join(Page(workspace.report).words)


def test_the_chart_shows_the_verdict(repeated: Workspace) -> None:
    judged = verdicts(repeated, {"ada-x1 n40": 0.06})
    plate = verdicts_plate(judged)
    assert plate is not None
    assert [chart.name for chart in plate.charts] == [f"verdicts-n{n}-s0-1-2-3-4" for n in SIZES]
    assert (
        "+ 100 % ADA +6.00 points, verdict helped; + 100 % DiffAug 0.00 points, verdict within ± 2"
        in plate.charts[1].alt
    )


def with_weak(study: Study, names: set[str]) -> Study:
    for key, score in study.records.scores.items():
        weak = score.quality.model_copy(update={"weak": key.name in names, "reasons": ["they are hardly among"]})
        study.records.scores[key] = score.model_copy(update={"quality": weak})
    return study


def test_too_weak_comes_before_any_other_verdict(repeated: Workspace) -> None:
    gaps = {"ada-x1 n40": 0.06, "none-x1 n100": -0.05}
    most = {f"ada-n40-s{seed}" for seed in SEEDS[:3]}
    judged = judge_study(with_weak(with_gaps(repeated, gaps), most), Analysis(margin=0.0001))
    words = {one.name: one.word for one in judged.each}
    assert (words["ada-x1 n40"], words["none-x1 n100"]) == ("too weak", "hurt")
    assert of(judged)["ada-x1 n40"] == "helped", "as its other verdict would be"
    text = "Generated images hurt in 1 of 6 comparisons; in 1 the GAN is too weak to judge"
    assert headline(judged) == text
    assert "Too weak to judge: ADA at n = 40. Of the first, they are hardly among." in summary(judged).replace(
        "StyleGAN2 + ", ""
    )
    assert next(one for one in judged.each if one.name == "none-x1 n100").finding.p_adjusted is not None
    primary = judge_study(with_weak(with_gaps(repeated, gaps), most), Analysis(margin=0.0001, primary="ada-x1 n40"))
    assert headline(primary).startswith("The primary comparison is of a GAN too weak to judge; generated images hurt")


def test_a_minority_of_weak_gans_is_said_and_decides_nothing(repeated: Workspace) -> None:
    study = with_weak(with_gaps(repeated, {"ada-x1 n40": 0.06}), {"ada-n40-s0"})
    judged = judge_study(study, Analysis())
    assert {one.name: one.word for one in judged.each}["ada-x1 n40"] == "helped"
    said = " ".join(doubts(study, judged))
    assert "Too weak to judge, but in fewer than half of the repeats: ada-n40-s0." in said


def test_gans_that_are_all_too_weak_are_the_headline(repeated: Workspace) -> None:
    names = {f"{aug}-n{n}-s{seed}" for aug in ("none", "ada", "diffaug") for n in SIZES for seed in SEEDS}
    judged = judge_study(with_weak(with_gaps(repeated, {}), names), Analysis())
    assert headline(judged).startswith("The GANs are too weak to judge")


def test_gans_without_a_score_are_said_to_be_unknown(repeated: Workspace) -> None:
    study = with_gaps(repeated, {})
    study.records.scores.clear()
    assert UNSCORED in " ".join(doubts(study, judge_study(study, Analysis())))
