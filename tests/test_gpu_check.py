"""The check of a GPU, in its small form on a processor and on a GPU that is pretended."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pretend_gpu import pretend_gpu
from processes import Forked

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "gpu_check.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    sys.path.insert(0, str(SCRIPT.parent))
    import gpu_check

    module: ModuleType = gpu_check
    return module


def class_folders(folder: Path) -> Path:
    draws = np.random.default_rng(0)
    for name in ("benign", "malignant"):
        (folder / name).mkdir(parents=True)
        for i in range(12):
            pixels = draws.integers(0, 256, (32, 32), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def check(script: ModuleType, out: Path, device: str) -> Any:
    from gpu.results import Check

    return Check(device, small=True, minutes=1.0, ends=time.time() + 60, out=out, data=None)


def sections(out: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((out / "results.json").read_text())["sections"]
    return found


def whole_check(script: ModuleType, words: list[str]) -> int:
    """Run the script in this process, the sections too, for which it would start another one."""
    from gpu.results import Check, Results

    def supervise(options: Any, ends: float) -> Results:
        made = Check(options.device, options.small, options.minutes, ends, options.out, options.data)
        script.work(made, list(options.only))
        return Results(options.out / "results.json")

    script.supervise = supervise  # type: ignore[attr-defined]
    sys.argv = [str(SCRIPT), *words]
    script.main()
    return 0


@pytest.mark.slow
def test_the_small_form_finds_a_processor_in_order(tmp_path: Path, script: ModuleType) -> None:
    words = ["--device", "cpu", "--minutes", "4", "--out", str(tmp_path / "out")]
    words += ["--data", str(class_folders(tmp_path / "images"))]
    process = Forked(lambda: whole_check(script, words))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out[-3000:] + err[-3000:]
    found = sections(tmp_path / "out")
    assert list(found) == list(script.SHARES)
    assert {section["status"] for section in found.values()} == {"done"}
    assert any(row["unit"] == "s/kimg" and row["value"] > 0 for row in found["training"]["rows"])
    assert sum(row["ok"] is True for row in found["commands"]["rows"]) >= 10
    assert (tmp_path / "out" / "grid.png").is_file()
    assert "Everything is as it should be." in out


@pytest.mark.parametrize(
    "name", ["correctness", pytest.param("loop", marks=pytest.mark.slow), "generation", "classifier"]
)
def test_a_section_finds_a_pretended_gpu_in_order(tmp_path: Path, script: ModuleType, name: str) -> None:
    from gpu.results import Results, Section, wrong

    results = Results(tmp_path / "results.json")
    with pretend_gpu():
        section = Section(results, name, 60)
        script.function(name)(check(script, tmp_path, "cuda"), section)
    section.end("done")
    assert section.entry["rows"]
    assert wrong(results) == []
    if name == "loop":
        assert any("as CUDA graphs" in row["what"] for row in section.entry["rows"])


def test_distances_are_kept_as_they_are_measured(
    tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpu import uses
    from gpu.results import Results, Section

    class Means:
        name = "means"

        def __call__(self, pixels: Any) -> Any:
            return pixels.reshape(len(pixels), 4, -1).mean(2)

    monkeypatch.setattr(uses, "find_extractor", lambda check, where: Means())
    monkeypatch.setattr(uses, "SCORED_IMAGES", 16)
    section = Section(Results(tmp_path / "results.json"), "real training", 60)
    small = replace(check(script, tmp_path, "cpu"), data=class_folders(tmp_path / "images"))
    uses.real_training(small, section)
    rows = sections(tmp_path)["real training"]["rows"]
    measured = [row["value"] for row in rows if row["what"].startswith("distance after")]
    assert len(measured) >= 2
    assert measured == [row["distance"] for row in rows if row["unit"] == "s/kimg" and row["distance"] is not None]
    assert (tmp_path / "curve.png").is_file()


def test_wrong_numbers_are_reported(tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpu import correctness
    from gpu.results import Results, Section, wrong

    quantities = correctness._network_quantities

    def twice(device: str, precision: str, *size: int) -> dict[str, Any]:
        found = quantities(device, precision, *size)
        return found if precision == "float64" else found | {"R1": found["R1"] * 2}

    monkeypatch.setattr(correctness, "_network_quantities", twice)
    results = Results(tmp_path / "results.json")
    correctness.correctness(check(script, tmp_path, "cpu"), Section(results, "correctness", 60))
    reported = [row for row in wrong(results) if "correctness: torch" in row]
    assert reported == ["correctness: torch float32: R1", "correctness: torch bf16: R1"]


def test_a_failed_section_is_recorded_and_the_next_one_runs(
    tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(check: object, section: Any) -> None:
        section.row("before", 1)
        raise ValueError("of the section")

    def works(check: object, section: Any) -> None:
        section.row("after", 2.0, "s", ok=True)

    monkeypatch.setattr(script, "function", {"device": fails, "loop": works}.get)
    script.work(check(script, tmp_path, "cpu"), ["device", "loop"])
    found = sections(tmp_path)
    assert (found["device"]["status"], found["loop"]["status"]) == ("failed", "done")
    assert found["device"]["rows"][0]["what"] == "before"
    assert "ValueError: of the section" in found["device"]["error"]


def test_a_section_that_hangs_is_ended_and_what_does_not_fit_is_named(
    tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper = tmp_path / "sleeper.py"
    sleeper.write_text(
        "import json, pathlib, sys, time\n"
        "path = pathlib.Path(sys.argv[sys.argv.index('--out') + 1]) / 'results.json'\n"
        "found = json.loads(path.read_text()) if path.is_file() else {'sections': {}}\n"
        "name = sys.argv[sys.argv.index('--only') + 1]\n"
        "found['sections'][name] = {'status': 'running', 'began': time.time(), 'rows': []}\n"
        "path.write_text(json.dumps(found))\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(script, "__file__", str(sleeper))
    monkeypatch.setattr(script, "GRACE_S", 0.5)
    monkeypatch.setattr(script, "LEAST_S", 1.0)
    options = script.Options(0.05, tmp_path, None, "cpu", small=True, only=tuple(script.SHARES))
    script.supervise(options, time.time() + 3)
    statuses = [section["status"] for section in sections(tmp_path).values()]
    assert statuses[0] == "cut off"
    assert statuses[-1] == "not run"
    assert len(statuses) == len(script.SHARES)
