"""The numbers of every table are those of the records, on the page and at full precision in the files beside it."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import rewrite
from report_page import Page, read_table
from study_records import AUGS, DIGEST, FLOOR, write_data, write_score, write_study, write_ttest

from usgan_cli.core.formats.classifier import ExternalScores, ExternalSummary
from usgan_cli.core.formats.comparison import SeedsRecord
from usgan_cli.core.formats.measured import measured
from usgan_cli.core.formats.score import is_fid
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import GanKey, SubsetKey, TrainingSet, Workspace
from usgan_cli.core.text import gan_label, number, p_value, stars, training_label
from usgan_cli.reporting import paper
from usgan_cli.reporting.build import build_report
from usgan_cli.reporting.classifier_tables import class_table, f1_table, scores_table, seeds_table
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.records import StudyRecords
from usgan_cli.reporting.score_tables import quality_table
from usgan_cli.reporting.verdict import Analysis, judge_study
from usgan_cli.reporting.verdict import table as verdicts_table


@pytest.fixture(scope="module")
def records(study: Workspace) -> StudyRecords:
    return collect(study)


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page(report)


def one(rows: list[dict[str, str]], **wanted: object) -> dict[str, str]:
    found = [row for row in rows if all(row[name] == str(value) for name, value in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


def ranged(value: float, bounds: tuple[float, float] | None, digits: int, scale: float = 1) -> str:
    text = number(scale * value, digits)
    return text if bounds is None else f"{text} [{', '.join(number(scale * bound, digits) for bound in bounds)}]"


def test_scores(records: StudyRecords, report: Path, page: Page) -> None:
    rows = read_table(report, "quality")
    for key, record in records.scores.items():
        row, shown = (
            one(rows, n=key.n, images=gan_label(key.aug)),
            page.row("quality", f"n = {key.n}", gan_label(key.aug)),
        )
        fake = record.fake
        assert (float(row["fd"]), float(row["fd_sd"])) == (fake.fd, fake.fd_spread.sd)
        assert (float(row["js"]), float(row["ssim"]), float(row["ssim_sd"])) == (fake.js, fake.ssim.mean, fake.ssim.sd)
        assert shown[2:5] == [
            f"{fake.fd:.1f} ± {fake.fd_spread.sd:.1f}",
            f"{fake.js:.3f}",
            f"{fake.ssim.mean:.3f} ± {fake.ssim.sd:.3f}",
        ]
    real = [row for row in rows if row["images"] == "Real training images"]
    assert len(real) == 1 and float(real[0]["fd"]) == FLOOR, "the floor stands once"


def test_nearness_with_intervals(records: StudyRecords, report: Path, page: Page) -> None:
    rows = read_table(report, "nearness")
    for key, record in records.scores.items():
        row, shown = (
            one(rows, n=key.n, images=gan_label(key.aug)),
            page.row("nearness", f"n = {key.n}", gan_label(key.aug)),
        )
        fake, cells = record.fake, []
        for name, digits, scale in (
            ("fd", 1, 1),
            ("kid", 2, 1000),
            ("precision", 2, 1),
            ("recall", 2, 1),
            ("density", 2, 1),
            ("coverage", 2, 1),
        ):
            bounds = fake.intervals.get(name)
            assert float(row[name]) == pytest.approx(scale * getattr(fake, name), rel=1e-12)
            told = [row[f"{name}_low"], row[f"{name}_high"]]
            assert told == ["", ""] if bounds is None else [float(b) / scale for b in told] == pytest.approx(bounds)
            cells.append(ranged(getattr(fake, name), bounds, digits, scale))
        assert shown[1:] == cells


def test_real_images_stand_once_though_each_repeat_drew_its_own_pairs_of_them(records: StudyRecords) -> None:
    keys = list(records.scores)
    other = records.scores[keys[0]].real.model_copy(update={"kid": 0.5})
    changed = {**records.scores, keys[0]: records.scores[keys[0]].model_copy(update={"real": other})}
    for group in Study.of(replace(records, scores=changed)).scores:
        text = quality_table(group).to_markdown()
        assert text.count("| Real training images |") == 1


def test_variety_and_classes(records: StudyRecords, report: Path, page: Page) -> None:
    for key, record in records.scores.items():
        row = one(read_table(report, "variety"), n=key.n, images=gan_label(key.aug))
        assert record.fake.ms_ssim is not None
        assert float(row["ms_ssim"]) == record.fake.ms_ssim.mean
        assert float(row["diversity_ssim"]) == record.fake.diversity_ssim.mean
        assert float(row["diversity_features"]) == record.fake.diversity_features
        assert row["diversity_ms_ssim"] == "", "what was not measured is empty"
        for name, scores in record.fake.classes.items():
            row = one(
                read_table(report, "quality-by-class"), **{"n": key.n, "images": gan_label(key.aug), "class": name}
            )
            assert (float(row["fd"]), int(row["count"])) == (scores.fd, scores.count)
    assert page.row("variety", "Yardsticks", "Real training images")[3] == "–"


def test_copies(records: StudyRecords, report: Path, page: Page) -> None:
    rows = read_table(report, "copies")
    for key, record in records.scores.items():
        found = record.memorization
        assert found is not None
        row, shown = one(rows, n=key.n, gan=gan_label(key.aug)), page.row("copies", f"n = {key.n}", gan_label(key.aug))
        assert row["verdict"] == found.verdict
        assert float(row["training_features"]) == 100 * found.train_features.share
        assert float(row["test_pixels_real"]) == 100 * found.test_pixels.expected
        assert float(row["authenticity"]) == 100 * found.authenticity
        assert shown[1] == {"none": "no sign of copies", "copies": "copies"}[found.verdict]
        assert shown[2] == f"{100 * found.train_features.share:.1f} ({100 * found.train_features.expected:.1f})"
    pairs = [word for word in page.words if word.endswith("(limit 5.50)")]
    assert "1.50 by features (limit 5.50)" in pairs and pairs.count("6.00 by features (limit 5.50)") == 5


def test_f1(records: StudyRecords, report: Path, page: Page) -> None:
    rows = read_table(report, "f1")
    assert len(rows) == len(records.all_classifiers()) == 14
    for key, record in records.all_classifiers():
        row = one(rows, n=key.n, aug=record.aug or "real", ratio=record.ratio if record.aug else 0)
        shown = page.row("f1", f"n = {key.n}", training_label(record.aug, record.ratio))
        assert float(row["test_micro_f1"]) == pytest.approx(100 * record.test_micro_f1.mean)
        assert shown[1] == f"{100 * record.test_micro_f1.mean:.2f} ± {100 * record.test_micro_f1.sd:.2f}"
        mark = "" if record.is_baseline else " †"
        assert shown[2] == f"{100 * record.val_micro_f1.mean:.2f} ± {100 * record.val_micro_f1.sd:.2f}{mark}"
        assert row["val_seen_by_gan"] == ("yes" if mark else "no")
        found = next((item for item in records.ttests[key].comparisons if item.name == record.name), None)
        assert (found is None) == (record.aug is None)
        if found is not None:
            told = {name: float(row[name]) for name in ("p", "p_holm", "p_corrected")}
            assert told == {"p": found.p, "p_holm": found.p_holm, "p_corrected": found.p_corrected}
            assert float(row["difference"]) == pytest.approx(100 * found.difference)
            assert shown[3].startswith(number(100 * found.difference, 2, sign=True))
            assert shown[4:7] == [p_value(found.p), p_value(found.p_holm), p_value(found.p_corrected)]


def test_stars_stand_at_adjusted_values_alone(study: Workspace, tmp_path: Path, undrawn: None) -> None:
    workspace = write_study(tmp_path, sizes=(40,), ratios=(1.0,))
    path = workspace.ttest(40, 0)
    record = collect(workspace).ttests[SubsetKey(40, 0)]
    values: list[dict[str, Any]] = [
        {"p": 0.0004, "p_holm": 0.2, "p_corrected": 0.001},
        {"p": 0.01, "p_holm": 0.03, "p_corrected": 0.2},
        {"p": 0.0001, "p_holm": 0.0009, "p_corrected": 0.0001},
    ]
    changed = [c.model_copy(update=v) for c, v in zip(record.comparisons, values, strict=True)]
    record.model_copy(update={"comparisons": changed}).write(path)
    build_report(workspace, workspace.report, Silent())
    page = Page(workspace.report)
    shown = [page.row("f1", "n = 40", f"+ 100 % {aug}")[4:7] for aug in ("StyleGAN2", "ADA", "DiffAug")]
    assert shown[0] == ["< 0.001", "0.200", "0.001"]
    assert shown[1] == ["0.010", "0.030 *", "0.200"]
    assert shown[2] == ["< 0.001", "< 0.001 ***", "< 0.001"]
    assert [stars(p) for p in (None, 0.05, 0.0499, 0.0099, 0.00099)] == ["", "", "*", "**", "***"]


def test_other_tests_and_scores(records: StudyRecords, report: Path, page: Page) -> None:
    for key, ttest in records.ttests.items():
        for item in ttest.comparisons:
            row = one(read_table(report, "tests"), n=key.n, aug=item.aug, ratio=item.ratio)
            assert float(row["effect_size"]) == item.effect_size
            assert float(row["p_corrected_holm"]) == item.p_corrected_holm
            assert float(row["p_wilcoxon"]) == item.p_wilcoxon
            assert int(row["mcnemar_only_baseline"]) == item.mcnemar_images.only_baseline
    for key, record in records.all_classifiers():
        row = one(read_table(report, "scores"), n=key.n, aug=record.aug or "real", ratio=record.ratio or 0)
        shown = page.row("scores", f"n = {key.n}", training_label(record.aug, record.ratio))
        for name, scale in (
            ("test_micro_f1", 100),
            ("test_macro_f1", 100),
            ("test_balanced_accuracy", 100),
            ("test_auc", 1),
            ("test_brier", 1),
            ("test_calibration_error", 1),
        ):
            value = getattr(record, name)
            assert (float(row[name]), float(row[f"{name}_sd"])) == pytest.approx((scale * value.mean, scale * value.sd))
        assert shown[4] == f"{record.test_auc.mean:.3f} ± {record.test_auc.sd:.3f}"
        row = one(read_table(report, "f1-by-class"), n=key.n, aug=record.aug or "real", ratio=record.ratio or 0)
        folds = record.folds
        assert float(row["f1_normal"]) == pytest.approx(100 * np.mean([f.test_class_f1["normal"] for f in folds]))
        assert float(row["auc_normal"]) == pytest.approx(np.mean([f.test_class_auc["normal"] for f in folds]))


def test_saved_generators(records: StudyRecords, report: Path) -> None:
    assert len(records.snapshots) == 6
    for key, record in records.snapshots.items():
        row = one(read_table(report, "snapshots"), n=key.n, gan=gan_label(key.aug))
        assert (float(row["best_kimg"]), float(row["last_kimg"])) == (4.5, 6.0)
        assert float(row["best_fd"]) == record.snapshots[2].fd and float(row["last_fd"]) == record.snapshots[3].fd


def test_several_seeds(tmp_path: Path, undrawn: None) -> None:
    workspace = write_study(tmp_path, seeds=(0, 1, 4), sizes=(40,), ratios=(1.0,))
    summary = build_report(workspace, workspace.report, Silent())
    page, records = Page(workspace.report), collect(workspace)
    record = SeedsRecord.read(workspace.ttest(40, 0, 1, 4))
    rows = read_table(workspace.report, "f1-seeds")
    for item in record.comparisons:
        row = one(rows, n=40, aug=item.aug)
        shown = page.row("f1-seeds", "n = 40, seeds 0, 1, 4", training_label(item.aug, 1))
        assert float(row["test_micro_f1"]) == 100 * item.f1.mean
        assert [float(row[name]) for name in ("p", "p_holm", "p_corrected")] == [item.p, item.p_holm, item.p_corrected]
        assert (float(row["sd_seeds"]), float(row["sd_folds"])) == (100 * item.sd_seeds, 100 * item.sd_folds)
        assert shown[1] == f"{100 * item.f1.mean:.2f} ± {100 * item.f1.sd:.2f}"
        assert shown[4] == f"{p_value(item.p_holm)} {stars(item.p_holm)}".strip()
    assert "published_f1" not in rows[0], "values of another dataset"
    for aug in AUGS:
        row = one(read_table(workspace.report, "quality-seeds"), n=40, gan=gan_label(aug))
        values = [score.fake.fd for key, score in records.scores.items() if key.aug == aug]
        assert float(row["fd"]) == pytest.approx(np.mean(values))
        assert float(row["fd_sd"]) == pytest.approx(np.std(values, ddof=1)) and int(row["seeds"]) == 3
    assert "seeds-n40-s0-1-4" in summary.figures
    assert list(summary.verdicts) == ["none-x1 n40", "ada-x1 n40", "diffaug-x1 n40"], "not each seed's again"
    assert any(warning.startswith("3 repeats are few") for warning in summary.warnings)


def test_published_values_stand_beside_the_same_dataset_and_n_alone(
    report: Path, tmp_path: Path, undrawn: None
) -> None:
    for name in ("quality", "f1"):
        assert not any(column.startswith("published") for column in read_table(report, name)[0]), "own images"
    assert not (report / "tables" / "published.csv").exists()
    workspace = write_study(tmp_path, seeds=(0, 1), layout="BUSI with masks")
    build_report(workspace, workspace.report, Silent())
    rows = read_table(workspace.report, "quality")
    ada = one(rows, n=100, images="StyleGAN2 + ADA", seed=0)
    assert float(ada["published_js"]) == 0.1
    assert one(rows, n=40, images="StyleGAN2 + ADA", seed=0)["published_js"] == "", "50 is another n"
    assert "published_fid" not in ada, "FID cannot stand beside a distance in other features"
    rows = read_table(workspace.report, "f1")
    assert all(row["published_f1"] == "" for row in rows if row["ratio"] == "0.5" or row["n"] == "40")
    assert float(one(rows, n=100, seed=0, aug="ada", ratio="1.0")["published_f1"]) == 74.14
    assert read_table(workspace.report, "f1-seeds")[0]["published_f1"] == "62.79"
    assert len(read_table(workspace.report, "published")) == 16


def test_published_values_are_the_papers() -> None:
    """Each mean but the paper's one exception is a multiple of 1/1400: five models, 280 test images."""
    means = {(values.n, values.aug): values.f1.mean for values in paper.VALUES}
    odd = [key for key, mean in means.items() if abs(round(mean * 14) / 14 - mean) > 0.0051]
    assert odd == [(100, "none")]
    assert [(n, aug) for n in paper.SIZES for aug in (None, *paper.AUGS)] == list(means)


def test_fid_is_said_of_inception_alone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_data(workspace, layout="BUSI with masks")
    for aug in AUGS:
        write_score(workspace, aug, 500, 0, extractor=f"inception@{DIGEST}")
    build_report(workspace, workspace.report, Silent())
    row = one(read_table(workspace.report, "quality"), images="StyleGAN2")
    assert float(row["published_fid"]) == 140.6
    assert "KID × 1000" in Page(workspace.report).tables["nearness"][1]
    assert is_fid("inception@abc") and not is_fid("inceptionlike") and not is_fid("efficientnet")


def test_text_files_hold_the_same_tables(report: Path) -> None:
    paths = sorted((report / "tables").glob("*.csv"))
    assert len(paths) > 10
    for path in paths:
        rows = read_table(report, path.stem)
        markdown = path.with_suffix(".md").read_text(encoding="utf-8")
        assert sum(line.startswith("|") for line in markdown.splitlines()) == len(rows) + 2, path.stem
        latex = path.with_suffix(".tex").read_text(encoding="utf-8")
        body = latex[latex.index(r"\midrule") : latex.index(r"\bottomrule")]
        headings = body.count(r"\multicolumn")
        assert body.count(r" \\") == len(rows) + headings, path.stem
        assert not set("±−×Δψ’–").intersection(latex), path.stem


def test_what_was_not_measured_is_a_dash(tmp_path: Path) -> None:
    workspace = write_study(tmp_path, sizes=(40,), ratios=(1.0,))
    path = workspace.score("ada-n40-s0")
    score = collect(workspace).scores[GanKey("ada", 40, 0)]
    gone: dict[str, Any] = dict.fromkeys(("kid", "kid_subset_size", "precision", "recall", "density", "coverage"))
    bare = score.fake.model_copy(update={**gone, "ms_ssim": None, "intervals": {}, "classes": {}})
    changes = {"fake": bare, "memorization": None, "subset": None, "subset_count": None, "pictures": {}}
    score.model_copy(update=changes).write(path)
    ttest = collect(workspace).ttests[SubsetKey(40, 0)]
    nothing = dict.fromkeys(("t", "p", "p_holm", "t_corrected", "p_corrected", "p_corrected_holm", "p_wilcoxon"))
    first = ttest.comparisons[0].model_copy(update={**nothing, "effect_size": None})
    ttest.model_copy(update={"comparisons": [first, *ttest.comparisons[1:]]}).write(workspace.ttest(40, 0))
    build_report(workspace, workspace.report, Silent())
    page = Page(workspace.report)
    assert page.row("nearness", "n = 40", "StyleGAN2 + ADA")[1:] == [f"{bare.fd:.1f}", *["–"] * 5]
    assert page.row("variety", "n = 40", "StyleGAN2 + ADA")[1] == "–"
    assert not any(cells[0] == "StyleGAN2 + ADA" for cells in page.tables["copies"])
    assert page.row("f1", "n = 40", "+ 100 % StyleGAN2")[4:7] == ["–"] * 3
    assert one(read_table(workspace.report, "tests"), aug="none")["p_corrected"] == ""


def test_what_is_unlike_the_study_is_named(tmp_path: Path, undrawn: None) -> None:
    workspace = write_study(tmp_path, sizes=(100,), ratios=(1.0,), layout="BUSI with masks")
    record = collect(workspace).classifiers[SubsetKey(100, 0)]["ada-x1"]
    strict = record.model_copy(update={"name": "ada-x1-strict", "protocol": "strict"})
    strict.write(workspace.classifier(100, 0, TrainingSet("ada", 1.0, strict=True)) / "result.json")
    build_report(workspace, workspace.report, Silent())
    page = Page(workspace.report)
    assert page.row("f1", "n = 100", "+ 100 % ADA")[7] == "74.14 ± 4.76", "published for the study's protocol"
    assert page.row("f1", "n = 100", "+ 100 % ADA (strict)")[7:] == ["–", "–"]


def write_controls(workspace: Workspace) -> None:
    """Add controls to a study's records, with their comparisons; each size has its own number of updates."""
    for key, found in collect(workspace).classifiers.items():
        equal = {"budget": "updates", "updates": 3 * key.n}
        records = {
            name: r.model_copy(update={"settings": r.settings.model_copy(update=equal)}) for name, r in found.items()
        }
        for added in (TrainingSet(None, 1.0, "copies"), TrainingSet("ada", 1.0, "shuffled")):
            changes = {"name": added.name, "aug": added.aug, "ratio": 1.0, "control": added.control}
            records[added.name] = records["ada-x1"].model_copy(update=changes)
        for name, record in records.items():
            rewrite(workspace.classifiers(key.n, key.seed) / name / "result.json", record)
        write_ttest(workspace, collect(workspace).subsets[key], records)


def test_controls_are_rows_beside_the_gans_and_no_finding(tmp_path: Path) -> None:
    workspace = write_study(tmp_path, ratios=(1.0,))
    write_controls(workspace)
    summary = build_report(workspace, workspace.report, Silent())
    page = Page(workspace.report)
    assert "f1-2" not in page.tables, "sizes with different numbers of updates share a table"
    for title in ("n = 100", "n = 40"):
        labels = [cells[0] for cells in page.tables["f1"] if cells[0].startswith(("+", "Real"))]
        own = labels[: len(labels) // 2]
        assert own[:2] == ["Real alone", "+ 100 % copies"]
        assert own.index("+ 100 % ADA (labels shuffled)") == own.index("+ 100 % ADA") + 1
        assert page.row("f1", title, "+ 100 % copies")[7:] == ["–"] * len(page.row("f1", title, "+ 100 % copies")[7:])
        assert page.row("tests", title, "+ 100 % copies")
    assert one(read_table(workspace.report, "f1"), n=40, aug="copies")["test_micro_f1"]
    alts = [chart for chart in summary.figures if chart.startswith("differences")]
    assert len(alts) == 2
    assert "+ 100 % copies" in (workspace.report / "index.html").read_text()
    verdicts = judge_study(Study.of(collect(workspace)), Analysis())
    assert verdicts.total == 2 * (3 + 2) and len(verdicts.of_gans) == 2 * 3, "controls count in the family alone"


def test_an_external_test_set_has_a_column_of_its_own(tmp_path: Path) -> None:
    work = write_study(tmp_path / "work")
    key, record = Study.of(collect(work)).classifiers[0].items[0]
    value = measured([0.5, 0.75])
    given = {"digest": "e" * 64, "images": 12, "missing": ["normal"], "near_training": 2}
    summary = ExternalSummary(**given, micro_f1=value, macro_f1=value, balanced_accuracy=value)
    path = work.classifiers(*key) / record.name / "result.json"
    rewrite(path, record.model_copy(update={"external": {"clinic": summary}}))
    table = scores_table(Study.of(collect(work)).classifiers[0])
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [row["external_clinic_micro_f1"] for row in rows] == ["62.5", *[""] * (len(rows) - 1)]
    assert any("clinic: 12 images from elsewhere, none of normal; 2 are copies" in note for note in table.notes)


def test_every_table_with_a_test_score_has_the_external_one_and_no_verdict_does(tmp_path: Path) -> None:
    work = write_study(tmp_path, seeds=(0, 1), sizes=(40,), ratios=(1.0,))
    before = verdicts_table(judge_study(Study.of(collect(work)), Analysis())).to_csv()
    confusion = [[3, 1, 0], [1, 5, 0], [0, 0, 0]]
    given = {"digest": "e" * 64, "images": 10, "missing": ["normal"], "near_training": 0}
    for i, (key, record) in enumerate(collect(work).all_classifiers()):
        f1 = [0.5 + i / 100] * 5
        scores = {name: measured(f1) for name in ("micro_f1", "macro_f1", "balanced_accuracy")}
        external = ExternalScores(micro_f1=f1[0], macro_f1=f1[0], balanced_accuracy=f1[0], confusion=confusion)
        folds = [fold.model_copy(update={"external": {"clinic": external}}) for fold in record.folds]
        changed = {"external": {"clinic": ExternalSummary(**given, **scores)}, "folds": folds}
        rewrite(work.classifiers(*key) / record.name / "result.json", record.model_copy(update=changed))
    study = Study.of(collect(work))
    (group,) = study.classifiers
    means = {(key, record.name): 100 * record.external["clinic"].micro_f1.mean for key, record in group.items}
    for made in (f1_table(group), scores_table(group)):
        rows = list(csv.DictReader(io.StringIO(made.to_csv())))
        for row in rows:
            name = TrainingSet(row["aug"] if row["aug"] != "real" else None, float(row["ratio"])).name
            key = SubsetKey(int(row["n"]), int(row["seed"]))
            assert float(row["external_clinic_micro_f1"]) == pytest.approx(means[key, name])
        assert len(rows) == 8 and any(note.startswith("clinic: 10 images") for note in made.notes)
    seeds = list(csv.DictReader(io.StringIO(seeds_table(group).to_csv())))
    both = [means[SubsetKey(40, seed), "ada-x1"] for seed in (0, 1)]
    assert float(one(seeds, aug="ada")["external_clinic_micro_f1"]) == pytest.approx(np.mean(both))
    assert float(one(seeds, aug="real")["external_clinic_micro_f1"]) > 0
    by_class = list(csv.DictReader(io.StringIO(class_table(group).to_csv())))
    assert "external_clinic_f1_normal" not in by_class[0], "a class that the set lacks has no column"
    assert float(by_class[0]["external_clinic_f1_benign"]) == pytest.approx(100 * 2 * 3 / (4 + 4))
    assert float(by_class[0]["external_clinic_f1_malignant"]) == pytest.approx(100 * 2 * 5 / (6 + 6))
    assert verdicts_table(judge_study(study, Analysis())).to_csv() == before
