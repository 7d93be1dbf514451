"""The plan as jobs: each step a rule with its markers, its command and what it asks a cluster for."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.study.config import STEP_ORDER, Hours, StudyConfig, load_study, parse_study
from usgan_cli.study.plan import plan_study
from usgan_cli.study.snakemake import Machine, _failure, snakemake_command, write_workflow


def study(**changes: Any) -> StudyConfig:
    grid = {"sizes": [20, 10], "gans": ["none", "ada"], "ratios": [1.0]}
    return parse_study({"name": "mine", "grid": grid} | changes)


def written(tmp_path: Path, config: StudyConfig, todo: set[int] | None = None, *, force: bool = False) -> list[Any]:
    workspace = Workspace(tmp_path / "some work")
    steps = plan_study(config, workspace)
    chosen = set(range(len(steps))) if todo is None else todo
    plan: dict[str, Any] = json.loads(write_workflow(config, steps, chosen, workspace, force=force).read_text())
    assert plan["retries"] == config.cluster.retries
    assert len(plan["steps"]) == len(chosen)
    return list(plan["steps"])


def test_every_rule_needs_what_an_earlier_one_makes(tmp_path: Path) -> None:
    made: set[str] = set()
    rules = written(tmp_path, study())
    for rule in rules:
        assert set(rule["needs"]) <= made
        made.add(rule["marker"])
    assert len({rule["rule"] for rule in rules}) == len({rule["log"] for rule in rules}) == len(made) == len(rules)
    assert all(rule["rule"].isidentifier() for rule in rules)


def test_artefacts_are_never_what_snakemake_deletes(tmp_path: Path) -> None:
    for rule in written(tmp_path, study()):
        assert (Path(rule["marker"]).parent, Path(rule["log"]).parent) == (Path("done"), Path("logs"))


def test_what_is_done_is_no_job_and_holds_nobody_up(tmp_path: Path) -> None:
    steps = plan_study(study(), Workspace(tmp_path / "some work"))
    score = next(i for i, step in enumerate(steps) if step.command == "score")
    (rule,) = written(tmp_path, study(), {score})
    assert rule["needs"] == []
    assert rule["rule"].startswith("score")


def test_markers_of_an_earlier_run_are_cleared(tmp_path: Path) -> None:
    marker = tmp_path / "some work" / "snakemake" / written(tmp_path, study())[0]["marker"]
    marker.parent.mkdir(parents=True)
    marker.touch()
    written(tmp_path, study())
    assert not marker.exists()


def test_jobs_call_the_command_line_and_make_again_what_is_out_of_date(tmp_path: Path) -> None:
    config = study()
    workspace = Workspace(tmp_path / "some work")
    for rule, step in zip(written(tmp_path, config), plan_study(config, workspace), strict=True):
        assert shlex.split(rule["command"]) == [
            "env", f"USGAN_STUDY={config.name}",
            sys.executable, "-m", "usgan_cli", *step.options.replace(refresh=True).words(),
        ]  # fmt: skip
    assert "--force" in shlex.split(written(tmp_path, config, force=True)[0]["command"])


def test_a_number_of_threads_holds_wherever_a_job_runs(tmp_path: Path) -> None:
    config = study(run={"threads": 3}, cluster={"program": "usgan"})
    for rule in written(tmp_path, config):
        words = shlex.split(rule["command"])
        assert words[:2] == ["env", f"USGAN_STUDY={config.name}"]
        assert words[2:6] == ["OMP_NUM_THREADS=3", "OPENBLAS_NUM_THREADS=3", "MKL_NUM_THREADS=3", "usgan"]
        assert rule["threads"] == 3


def test_a_cluster_is_asked_for_gpus_memory_and_time(tmp_path: Path) -> None:
    config = study(gan={"gpus": 4}, cluster={"gpus": 1, "mem_gb": 24, "cpus": 6, "hours": {"train-gan": 0.5}})
    asked = {rule["command"].split()[5]: rule for rule in written(tmp_path, config)}
    assert asked["train-gan"]["resources"] == {"mem_mb": 24000, "runtime": 30, "gpu": 4}
    assert asked["score"]["resources"] == {"mem_mb": 24000, "runtime": 60 * Hours().score, "gpu": 1}
    assert "gpu" not in asked["prepare"]["resources"]
    assert {command for command, rule in asked.items() if rule["here"]} == {"subsample", "ttest", "report"}
    assert {rule["threads"] for rule in asked.values()} == {6}
    none = study(cluster={"gpus": 0})
    assert all("gpu" not in rule["resources"] for rule in written(tmp_path, none))


def test_hours_are_of_known_steps(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "x"\n[grid]\nsizes = [4]\ngans = ["ada"]\n[cluster.hours]\ntrain-gam = 3\n')
    with pytest.raises(SettingsError, match=r"unknown key 'cluster.hours.train-gam'; did you mean 'train-gan'"):
        load_study(str(file))
    assert set(STEP_ORDER) == {step.command for step in plan_study(study(), Workspace(tmp_path))}


@pytest.mark.parametrize(
    ("limits", "options", "expected", "absent"),
    [
        (["--cores", "6"], [], ["--cores", "6"], ["--jobs"]),
        (["--jobs", "2"], ["--profile", "slurm"], ["--jobs", "2", "--profile", "slurm"], ["--cores"]),
        (["--cores", "6"], ["-j", "9"], ["mtime", "-j", "9"], ["--cores", "6"]),
        (["--cores", "6"], ["--cores=3", "--dry-run"], ["mtime", "--cores=3", "--dry-run"], ["--cores", "6"]),
    ],
)
def test_what_the_user_says_goes_before(
    limits: list[str], options: list[str], expected: list[str], absent: list[str]
) -> None:
    words = snakemake_command(Path("plan.json"), limits, options)
    assert words[-len(expected) :] == expected
    assert not set(absent) & set(words)
    assert Path(words[words.index("--snakefile") + 1]).is_file()
    assert f'plan="{Path.cwd() / "plan.json"}"' in words


@pytest.mark.parametrize(
    ("cores", "jobs", "threads", "limit"),
    [(2, None, 2, 2), (2, 2, 1, 2), (2, 5, 1, 5), (64, None, 4, 64), (64, 4, 4, 16), (6, 2, 3, 6)],
)
def test_jobs_on_this_machine_do_not_fight_for_its_cores(
    cores: int, jobs: int | None, threads: int, limit: int
) -> None:
    machine = Machine(cores, jobs, gpus=0)
    assert machine.threads(study()) == threads
    assert machine.options(threads, 0) == ["--cores", str(limit)]


def test_jobs_on_this_machine_take_turns_at_its_gpus(tmp_path: Path) -> None:
    def asked(gpus: int) -> set[int | None]:
        config, workspace = study(), Workspace(tmp_path)
        steps = plan_study(config, workspace)
        path = write_workflow(config, steps, range(len(steps)), workspace, force=False, machine=Machine(8, 2, gpus))
        return {rule["resources"].get("gpu") for rule in json.loads(path.read_text())["steps"]}

    assert asked(0) == {None}
    assert asked(1) == {None, 1}
    assert Machine(8, 2, 1).options(4, 1) == ["--cores", "8", "--resources", "gpu=1"]


@pytest.mark.parametrize(
    "output", ["", "a\nb", "a\n" * 50, "note\nError: too few.\nUse more.", "Error: a\n" + "b\n" * 50]
)
def test_a_failed_job_s_own_words_are_in_the_message(output: str, tmp_path: Path) -> None:
    rule = written(tmp_path, study())[0]
    log = tmp_path / "some work" / "snakemake" / rule["log"]
    log.parent.mkdir()
    log.write_text(output)
    message = str(_failure(log.parent.parent / "plan.json", []))
    assert rule["command"] in message
    assert str(log) in message
    own = message.splitlines()[1:-1]
    assert len(own) <= 12
    if "Error" in output:
        assert own[0].startswith("Error: ")
        assert own[1] in {"Use more.", "b"}
