"""Snakemake carries out the plan's steps as jobs: the same bytes, and what fails leaves the rest."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from calls import phantom, study

from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.study.config import load_study
from usgan_cli.study.plan import plan_study
from usgan_cli.study.run import StepFailedError
from usgan_cli.study.snakemake import write_workflow
from usgan_cli.terminal.session import Session

pytestmark = pytest.mark.slow

pytest.importorskip("snakemake", reason="Snakemake is absent: pip install 'usgan[cluster]'")

STUDY = """
name = "jobs"
[data]
phantom_count = 40
size = 16
test = 15
[grid]
sizes = [18, 500]
seeds = [0]
gans = ["diffaug"]
[run]
threads = 1
"""
ONLY = ["phantom", "prepare", "subsample"]


def test_the_workflow_is_clean_to_snakemake_s_own_lint(tmp_path: Path) -> None:
    config, workspace = load_study("paper"), Workspace(tmp_path / "work")
    steps = plan_study(config, workspace)
    plan = write_workflow(config, steps, range(len(steps)), workspace, force=False)
    snakefile = str(resources.files("usgan_cli.study") / "Snakefile")
    words = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--config", f"plan={plan}", "--lint"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in a good condition" in done.stdout + done.stderr


def test_jobs_leave_the_same_bytes_and_a_failure_leaves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs.toml").write_text(STUDY)

    def carry_out(work: str, **options: object) -> str:
        session = Session(Workspace(Path(work)), Silent(), quiet=True)
        with pytest.raises(StepFailedError) as caught:
            study(session, "jobs.toml", only=ONLY, keep_going=True, **options)
        return str(caught.value)

    said = carry_out("here")
    told = carry_out("jobs", engine="snakemake", jobs=2)
    for message in (said, told):  # 500 images of 25 cannot be drawn
        assert "subsample --n 500" in message
        assert "25 training images" in message
    assert capfd.readouterr().err.count("Trying to restart job") == 1
    log = Path("jobs/snakemake/logs/subsample-subsets_n500-s0.json.log")
    assert str(log) in told
    assert "25 training images" in log.read_text()

    here, jobs = (
        {
            path.relative_to(work).as_posix(): path.read_bytes()
            for path in sorted(Path(work).rglob("*"))
            if path.is_file() and path.suffix == ".png"
        }
        for work in ("here", "jobs")
    )
    assert len(here) > 60
    assert here == jobs
    assert Path("jobs/subsets/n18-s0.json").is_file()


ODD = "it's {n} $HOME `x`"


@pytest.mark.parametrize("engine", ["local", "snakemake"])
def test_blanks_quotes_braces_and_dollars_may_stand_in_any_path(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / f"home {ODD}"
    home.mkdir()
    monkeypatch.chdir(home)
    session = Session(Workspace(Path("p")), Silent(), quiet=True)
    phantom(session, out=Path(f"data {ODD}"), count=40, size=16)
    Path("jobs.toml").write_text(STUDY.replace("phantom_count = 40\n", "").replace("[18, 500]", "[18]"))
    work = Path(f"work {ODD}")
    before = {path.relative_to(home) for path in home.rglob("*")}
    options = {"jobs": 2} if engine == "snakemake" else {}
    source = f"data {ODD}"
    study(
        Session(Workspace(work), Silent(), quiet=True),
        "jobs.toml",
        source=source,
        only=ONLY[1:],
        engine=engine,
        **options,
    )
    assert (work / "subsets" / "n18-s0.json").is_file()
    after = {path.relative_to(home) for path in home.rglob("*")}
    assert {path.parts[0] for path in after - before} == {work.name}
