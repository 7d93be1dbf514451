"""Records that were made with other settings, or of other inputs, never stand in one table."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from damage import rewrite
from report_page import Page, read_table
from study_records import AUGS, write_classifiers, write_score, write_snapshots, write_study

from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.comparison import SeedsRecord, TTestRecord
from usgan_cli.core.formats.dataset import Subset
from usgan_cli.core.formats.score import ScoreRecord
from usgan_cli.core.formats.synthetic import SyntheticManifest
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.reporting.build import build_report
from usgan_cli.reporting.groups import Study, score_groups
from usgan_cli.reporting.reading import collect

pytestmark = pytest.mark.usefixtures("undrawn")


def test_scores(tmp_path: Path) -> None:
    workspace = write_study(tmp_path, sizes=(100,))
    write_score(workspace, "ada", 100, 0, extractor="inception@abc")
    summary = build_report(workspace, workspace.report, Silent())
    for kind in ("quality", "nearness", "variety", "quality-by-class", "copies"):
        assert {f"{kind}-1", f"{kind}-2"} <= set(summary.tables) and kind not in summary.tables
        first, second = (read_table(workspace.report, f"{kind}-{i}") for i in (1, 2))
        title = "gan" if kind == "copies" else "images"
        assert {row[title] for row in first} >= {"StyleGAN2", "StyleGAN2 + DiffAug"}
        assert "StyleGAN2 + ADA" not in {row[title] for row in first}
        assert "StyleGAN2 + ADA" in {row[title] for row in second}
        assert not {"StyleGAN2", "StyleGAN2 + DiffAug"} & {row[title] for row in second}
    text = (workspace.report / "index.html").read_text()
    assert re.search(r"kept apart \(extractor: ", text)
    assert any("2 different settings" in warning for warning in summary.warnings)


def test_classifiers(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    records = collect(workspace)
    assert records.data is not None
    subset = Subset.read(workspace.subset(40, 0))
    synthetic = {aug: SyntheticManifest.read(workspace.synthetic(aug, 40, 0) / "manifest.json") for aug in AUGS}
    write_classifiers(workspace, records.data, subset, synthetic, freeze=True)
    summary = build_report(workspace, workspace.report, Silent())
    for kind in ("f1", "scores", "f1-by-class"):
        assert {row["n"] for row in read_table(workspace.report, f"{kind}-1")} == {"100"}
        assert {row["n"] for row in read_table(workspace.report, f"{kind}-2")} == {"40"}
    assert all(row["p"] == "" for row in read_table(workspace.report, "f1-2"))
    assert {row["n"] for row in read_table(workspace.report, "tests-1")} == {"100"} and "tests-2" not in summary.tables
    assert "freeze: False and True" in (workspace.report / "index.html").read_text()
    assert len(summary.verdicts) == 6 and all(name.endswith("n100") for name in summary.verdicts)
    assert any("n40-s0 belongs to classifiers that are not there" in warning for warning in summary.warnings)


def test_saved_generators(tmp_path: Path) -> None:
    workspace = write_study(tmp_path, sizes=(40,), snapshots=True)
    record = write_snapshots(workspace, "ada", 40, 0)
    record.model_copy(update={"extractor": "inception@abc"}).write(workspace.score("ada-n40-s0-snapshots"))
    build_report(workspace, workspace.report, Silent())
    assert [row["gan"] for row in read_table(workspace.report, "snapshots-2")] == ["StyleGAN2 + ADA"]
    assert len(read_table(workspace.report, "snapshots-1")) == 2


def test_a_seed_that_follows_the_subsets_is_no_difference(tmp_path: Path) -> None:
    workspace = write_study(tmp_path, seeds=(0, 1), sizes=(40,))
    summary = build_report(workspace, workspace.report, Silent())
    assert "f1" in summary.tables
    assert {row["seed"] for row in read_table(workspace.report, "f1")} == {"0", "1"}
    assert {row["seed"] for row in read_table(workspace.report, "quality")} == {"0", "1", ""}, "scores share one seed"
    assert "n = 40, seed 1" in (workspace.report / "index.html").read_text()


def test_a_seed_of_another_kind_is_a_difference(tmp_path: Path) -> None:
    workspace = write_study(tmp_path, sizes=(40,))
    path = workspace.score("ada-n40-s0")
    score = ScoreRecord.read(path)
    score.model_copy(update={"settings": score.settings.model_copy(update={"seed": 5})}).write(path)
    groups = score_groups(collect(workspace))
    assert [(len(group.items), group.difference) for group in groups] == [(2, None), (1, "seed: 0 and 5")]


def test_groups_put_the_largest_first(study: Workspace) -> None:
    groups = score_groups(collect(study))
    assert len(groups) == 1 and len(groups[0].items) == 6 and groups[0].difference is None


def test_a_comparison_of_replaced_classifiers_is_left_out(tmp_path: Path) -> None:
    workspace = write_study(tmp_path, sizes=(40,))
    ttest = TTestRecord.read(workspace.ttest(40, 0))
    ttest.model_copy(update={"baseline_folds": [0.5] * 5}).write(workspace.ttest(40, 0))
    summary = build_report(workspace, workspace.report, Silent())
    assert not summary.verdicts and "tests" not in summary.tables
    assert all(row["p"] == "" for row in read_table(workspace.report, "f1"))
    assert any("older than classifier real" in warning for warning in summary.warnings)


def with_inputs(workspace: Workspace) -> None:
    """Write into the comparisons of n = 40 which classifiers they were made from, as `usgan ttest` does."""
    of = {
        f"n40-s{seed}/{name}": one.content_digest()
        for (_, seed), classifiers in collect(workspace).classifiers.items()
        for name, one in classifiers.items()
    }
    for seed in (0, 1):
        record = TTestRecord.read(workspace.ttest(40, seed))
        own = {name.split("/")[1]: digest for name, digest in of.items() if name.startswith(f"n40-s{seed}/")}
        assert record.run is not None
        record.model_copy(update={"run": record.run.model_copy(update={"inputs": own})}).write(
            workspace.ttest(40, seed)
        )
    over_seeds = SeedsRecord.read(workspace.ttest(40, 0, 1))
    assert over_seeds.run is not None
    run = over_seeds.run.model_copy(update={"inputs": of})
    over_seeds.model_copy(update={"run": run}).write(workspace.ttest(40, 0, 1))


@pytest.mark.parametrize("change", ["gone", "settings", "predictions"])
def test_a_comparison_of_one_classifier_that_is_no_longer_there_is_left_out(tmp_path: Path, change: str) -> None:
    workspace = write_study(tmp_path, seeds=(0, 1), sizes=(40,), ratios=(1.0,))
    with_inputs(workspace)
    whole = Study.of(collect(workspace))
    assert len(whole.ttests) == 2 and len(whole.over_seeds) == 1 and not whole.rejected
    folder = workspace.classifiers(40, 1) / "ada-x1"
    record = ClassifierRecord.read(folder / "result.json")
    if change == "gone":
        shutil.rmtree(folder)
    elif change == "settings":
        other = record.settings.model_copy(update={"training": {"lr": 0.01}})
        rewrite(folder / "result.json", record.model_copy(update={"settings": other}))
    else:
        rewrite(folder / "result.json", record.model_copy(update={"confusion": [[4, 2, 0], [2, 4, 0], [0, 0, 5]]}))
    study = Study.of(collect(workspace))
    assert [key.name for key, _ in study.ttests] == ["n40-s0"] and not study.over_seeds
    text = " ".join(study.rejected)
    why = "was made with classifier ada-x1, which is gone" if change == "gone" else "is older than classifier ada-x1"
    assert f"The comparison n40-s1 {why}; it is left out. Make it again: usgan ttest --n 40 --seed 1 --force" in text
    assert text.count("usgan ttest --n 40 --seeds 0 --seeds 1 --force") == 1


@pytest.mark.parametrize("change", ["a fold", "settings of one seed"])
def test_a_comparison_over_seeds_of_other_classifiers_is_left_out(tmp_path: Path, change: str) -> None:
    workspace = write_study(tmp_path, seeds=(0, 1), sizes=(40,), ratios=(1.0,))
    assert [key.name for key, _ in Study.of(collect(workspace)).over_seeds] == ["n40-s0+1"]
    for name in ("real", *(f"{aug}-x1" for aug in AUGS)):
        path = workspace.classifiers(40, 1) / name / "result.json"
        record = ClassifierRecord.read(path)
        if change == "a fold":
            better = record.folds[0].model_copy(update={"test_micro_f1": 0.9})
            rewrite(path, record.model_copy(update={"folds": [better, *record.folds[1:]]}))
            break
        rewrite(path, record.model_copy(update={"settings": record.settings.model_copy(update={"epochs": 9})}))
    summary = build_report(workspace, workspace.report, Silent())
    assert "f1-seeds" not in summary.tables
    assert any(warning.startswith("The comparison n40-s0+1 is not of the classifiers") for warning in summary.warnings)
    assert "f1-seeds" not in Page(workspace.report).tables
