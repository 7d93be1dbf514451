"""The page of results is what the records say, and nothing else."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from study_records import write_study

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts" / "results"
RECORDS = SCRIPTS / "records"


@pytest.fixture(scope="module")
def maker() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPTS / "make_results.py"), run_name="make_results")


@pytest.mark.skipif(not (ROOT / "docs" / "results.md").is_file(), reason="no results have been published yet")
def test_the_page_is_made_from_the_records(maker: dict[str, Any]) -> None:
    assert maker["page"]() == (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def test_the_records_are_small() -> None:
    assert sum(path.stat().st_size for path in RECORDS.rglob("*") if path.is_file()) <= 3_000_000


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
