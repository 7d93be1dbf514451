"""The page of results is what the records say, and nothing else."""

from __future__ import annotations

import json
import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from study_records import write_study

from usgan_cli.core.images import codec
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.verdict import Analysis, judge_study

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts" / "results"
RECORDS = SCRIPTS / "records"


@pytest.fixture(scope="module")
def maker() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPTS / "make_results.py"), run_name="make_results")


@pytest.mark.skipif(not (ROOT / "docs" / "results.md").is_file(), reason="no results have been published yet")
def test_the_page_is_made_from_the_records(maker: dict[str, Any]) -> None:
    assert maker["page"]() == (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def test_the_records_name_no_place_on_a_machine() -> None:
    for path in RECORDS.rglob("study.json"):
        source = json.loads(path.read_text(encoding="utf-8"))["study"]["data"]["source"]
        assert Path(source).name == source


def test_the_records_are_small() -> None:
    assert sum(path.stat().st_size for path in RECORDS.rglob("*") if path.is_file()) <= 4_500_000


def test_the_leak_is_the_mean_over_splits_with_student_s_interval(maker: dict[str, Any]) -> None:
    draws = np.random.default_rng(0)
    rows = [
        {
            "policy": policy,
            "split": split,
            "n": 50,
            "test_f1": float(draws.uniform(0.6, 0.8)),
            "val_f1": float(draws.uniform(0.6, 0.8)),
            "leaked_test_images": 90 + split,
        }
        for split in range(5)
        for policy in ("group", "ignore")
    ]
    text = "\n".join(maker["leak_section"]({"rows": rows, "pixels": 64, "backbone": "x"}))
    leak = [100 * (rows[i + 1]["test_f1"] - rows[i]["test_f1"]) for i in range(0, 10, 2)]
    low, high = stats.t.interval(0.95, 4, loc=np.mean(leak), scale=stats.sem(leak))
    shown = f"{np.mean(leak):+.1f} [{low:.1f}, {high:.1f}]".replace("-", "−")
    assert shown in text
    assert "90 to 94 of 280" in text


def of_f1(value: float, fd: float) -> SimpleNamespace:
    f1 = SimpleNamespace(test_micro_f1=SimpleNamespace(mean=value))
    return SimpleNamespace(classifiers=[f1], images=[SimpleNamespace(fd=fd)])


@pytest.mark.parametrize(
    ("f1", "fd", "seen"),
    [
        ((0.71, 0.72, 0.73), (100, 90, 80), ("seen", "seen", "seen")),
        ((0.70, 0.72, 0.73), (100, 110, 80), ("not seen", "not seen", "not seen")),
    ],
)
def test_orderings_are_seen_where_they_are(
    maker: dict[str, Any], f1: tuple[float, ...], fd: tuple[float, ...], seen: tuple[str, ...]
) -> None:
    gans = {aug: of_f1(*values) for aug, *values in zip(("none", "ada", "diffaug"), f1, fd, strict=True)}
    lines = list(maker["summary"]._orderings_at(50, gans, of_f1(0.705, 0)))
    assert tuple(re.findall(r"\| (seen|not seen): ", "\n".join(lines))) == seen
    assert "real images alone 70.5" in lines[1]


def test_a_study_without_the_paper_s_gans_says_nothing_of_their_orderings(
    maker: dict[str, Any], tmp_path: Path
) -> None:
    workspace = write_study(tmp_path, seeds=(0, 1), sizes=(100,))
    study = Study.of(collect(workspace))
    verdicts = judge_study(study, Analysis())
    orderings = maker["summary"].orderings
    assert "ADA and DiffAug nearer" in "\n".join(orderings(study.records, verdicts))
    one = {
        key: {name: run for name, run in runs.items() if not name.startswith("ada")}
        for key, runs in study.records.classifiers.items()
    }
    without = Study.of(replace(study.records, classifiers=one))
    assert list(orderings(without.records, judge_study(without, Analysis()))) == []


def test_the_summary_has_the_means_of_the_repeats(maker: dict[str, Any], tmp_path: Path) -> None:
    workspace = write_study(tmp_path, seeds=(0, 1), sizes=(100,))
    study = Study.of(collect(workspace))
    arms = maker["summary"].arms_of(study.records, judge_study(study, Analysis()), 100)
    assert arms[0].label == "Real alone"
    for arm in arms:
        assert len(arm.classifiers) == 2
        if arm.verdict is not None:
            assert arm.label.startswith(arm.verdict.training)
    shown = maker["summary"].table(study.records, judge_study(study, Analysis())).to_markdown(brief=True)
    f1 = 50 * sum(one.test_micro_f1.mean for one in arms[0].classifiers)
    assert re.search(rf"\| Real alone \|.*\| {f1:.1f} \[", shown), shown


def test_scores_against_training_images_stand_beside_those_against_test_images(
    maker: dict[str, Any], tmp_path: Path
) -> None:
    workspace = write_study(tmp_path / "work", seeds=(0, 1), sizes=(100,))
    records, folder = collect(workspace), tmp_path / "as-others"
    assert list(maker["summary"].as_others(records, folder)) == []
    for key, score in records.scores.items():
        nearer = score.model_copy(update={"fake": score.fake.model_copy(update={"fd": score.fake.fd / 2})})
        folder.mkdir(exist_ok=True)
        nearer.write(folder / f"{key.name}.json")
    lines = list(maker["summary"].as_others(records, folder))
    rows = [line.split("|") for line in lines if line.startswith("| 100 |")]
    assert len(rows) == len({key.aug for key in records.scores})
    for row in rows:
        near, far, validation, test = (float(cell) if cell.strip() != "–" else None for cell in row[3:7])
        assert near == pytest.approx(far / 2, abs=0.1)
        assert (validation is None) == (test is None)


def test_records_are_kept_without_images_and_make_the_same_verdict(
    maker: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = write_study(tmp_path / "busi-test", seeds=(0, 1, 2), sizes=(40,))
    collector = runpy.run_path(str(SCRIPTS / "collect.py"), run_name="collect")
    kept = tmp_path / "records"
    collector["main"].__globals__.update(RECORDS=kept, PICTURES=tmp_path / "pictures")
    monkeypatch.setattr(sys, "argv", ["collect.py", str(workspace.root)])
    collector["main"]()
    assert not list((kept / "busi-test").rglob("*.safetensors"))
    assert not list((kept / "busi-test" / "data").rglob("*.png"))
    whole, small = (list(maker["study_section"](folder)) for folder in (workspace.root, kept / "busi-test"))
    assert whole[2] == small[2]
    assert json.loads((kept / "busi-test" / "data" / "manifest.json").read_text())


def test_the_readme_s_pictures_are_made_from_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = write_study(tmp_path / "study", seeds=(0, 1), sizes=(100, 40))
    monkeypatch.syspath_prepend(str(SCRIPTS))
    pictures = runpy.run_path(str(SCRIPTS / "make_pictures.py"), run_name="make_pictures")
    space = pictures["main"].__globals__
    target, readme = tmp_path / "docs", tmp_path / "README.md"
    readme.write_text((ROOT / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setitem(space, "TARGET", target)
    monkeypatch.setitem(space, "README", readme)
    shot = codec.encode_png(np.full((3, 760, 1000), 200, np.uint8))
    monkeypatch.setitem(space, "first_screen", lambda records, report: shot)
    monkeypatch.setattr(sys, "argv", ["make_pictures.py", str(workspace.root)])
    before = set(ROOT.glob("docs/pictures/**/*"))
    pictures["main"]()
    assert set(ROOT.glob("docs/pictures/**/*")) == before
    with Image.open(target / "samples.png") as sheet, Image.open(target / "report.png") as screen:
        assert screen.size == (1000, 760)
        assert 600 < sheet.width <= 1400
    assert all(path.stat().st_size <= 300_000 for path in target.iterdir())
    text = readme.read_text(encoding="utf-8")
    made = text[text.index(space["BEGIN"]) : text.index(space["END"])]
    assert made.count("](docs/pictures/") == 2
    assert "n = 100" in text.split("](docs/pictures/samples.png)")[0]
    pictures["main"]()
    assert readme.read_text(encoding="utf-8") == text, "made again it is the same"


def test_trainings_stand_beside_real_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = write_study(tmp_path / "study", seeds=(0,), sizes=(40,))
    monkeypatch.syspath_prepend(str(SCRIPTS))
    script = runpy.run_path(str(SCRIPTS / "side_by_side.py"), run_name="side_by_side")
    target = tmp_path / "picture.png"
    words = ["side_by_side.py", str(workspace.data), "--title", "n = 40", "--out", str(target), "--panel", "ADA"]
    monkeypatch.setattr(sys, "argv", [*words, str(workspace.root / "gans" / "ada-n40-s0")])
    script["main"]()
    with Image.open(target) as picture:
        assert picture.width > picture.height > 100
    monkeypatch.setattr(sys, "argv", [*words, str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        script["main"]()


def test_sheets_are_cut_where_the_images_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    cut = runpy.run_path(str(SCRIPTS / "make_pictures.py"), run_name="make_pictures")["cut"]
    rows = [[np.full((1, 16, 16), 50 * i + j, np.uint8) for j in range(5)] for i in range(4)]
    codec.write_png(tmp_path / "sheet.png", codec.sheet(rows))
    shown = cut(tmp_path / "sheet.png", 16, 4)
    assert [[image.mean() for image in row] for row in shown] == [[50 * i + j for j in range(3)] for i in range(4)]
    with pytest.raises(SystemExit, match="32 pixels"):
        cut(tmp_path / "sheet.png", 32, 4)
