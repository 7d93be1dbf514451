"""Carrying out a study's plan by Snakemake: the same steps as jobs, on this machine or on a cluster.

Snakemake runs a shipped workflow with one rule for every step that is to be carried out; each rule calls the
command line that `--dry-run` shows. Whether a step is done is decided by usgan alone, before and within each job:
what Snakemake watches are empty markers, never the artefacts themselves, which it would delete when a job fails.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from usgan_cli.core import files
from usgan_cli.core.errors import MissingError
from usgan_cli.core.workspace import Workspace
from usgan_cli.study.config import HOURS, StudyConfig
from usgan_cli.study.driver import StepFailedError
from usgan_cli.study.plan import PlannedStep

ON_THE_SPOT = frozenset({"subsample", "ttest", "report"})
"""Commands of seconds, which run where Snakemake runs rather than as jobs of a cluster."""
ON_GPUS = frozenset({"train-gan", "generate", "score", "train-cls"})
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
ELSEWHERE = ("--profile", "--workflow-profile", "--executor", "-e")
"""Options with which Snakemake's jobs run elsewhere than on this machine's cores."""


def snakemake_folder(workspace: Workspace) -> Path:
    """Return where the workflow's plan, markers and logs are."""
    return workspace.root / "snakemake"


def write_workflow(
    config: StudyConfig, steps: Sequence[PlannedStep], todo: Collection[int], workspace: Workspace, *, force: bool
) -> Path:
    """Write the plan that the shipped Snakefile reads, and clear the markers of earlier runs.

    Parameters
    ----------
    config : StudyConfig
    steps : sequence of PlannedStep
    todo : collection of int
        Places in the plan of the steps to carry out; the others are taken to be done.
    workspace : Workspace
    force : bool
        Make what is there again.

    Returns
    -------
    Path
        The plan, JSON: for each step the rule's name, its inputs and output (markers), log, command and resources.
    """
    folder = snakemake_folder(workspace)
    shutil.rmtree(folder / "done", ignore_errors=True)
    chosen = [steps[i] for i in sorted(todo)]
    markers = {step.writes: _marker(folder, step, workspace) for step in chosen}
    rules = [
        {
            "rule": re.sub(r"\W", "_", step.label(workspace)),
            "needs": [str(markers[path]) for path in step.needs if path in markers],
            "marker": str(markers[step.writes]),
            "log": str(folder / "logs" / f"{_file_name(step, workspace)}.log"),
            "command": _command(config, step, workspace, force=force),
            "here": step.command in ON_THE_SPOT,
            "threads": config.run.threads or config.cluster.cpus,
            "resources": _resources(config, step),
        }
        for step in chosen
    ]
    path = folder / "plan.json"
    files.write_text(path, json.dumps({"retries": config.cluster.retries, "steps": rules}, indent=1) + "\n")
    return path


def _file_name(step: PlannedStep, workspace: Workspace) -> str:
    return re.sub(r"[^\w.+-]", "_", f"{step.command}-{step.place(workspace)}")


def _marker(folder: Path, step: PlannedStep, workspace: Workspace) -> Path:
    return folder / "done" / _file_name(step, workspace)


def _command(config: StudyConfig, step: PlannedStep, workspace: Workspace, *, force: bool) -> str:
    """Return the step's command line for a shell on any node, with the number of threads that the study names."""
    program = [config.cluster.program] if config.cluster.program else [sys.executable, "-m", "usgan_cli"]
    threads = config.run.threads
    environment = [] if threads is None else ["env", *(f"{name}={threads}" for name in THREAD_VARIABLES)]
    return shlex.join([*environment, *program, *step.arguments(workspace), "--force" if force else "--refresh"])


def _resources(config: StudyConfig, step: PlannedStep) -> dict[str, Any]:
    cluster = config.cluster
    minutes = round(60 * cluster.hours.get(step.command, HOURS[step.command]))
    found: dict[str, Any] = {"mem_mb": round(1000 * cluster.mem_gb), "runtime": max(1, minutes)}
    gpus = cluster.gpus if step.command in ON_GPUS else 0
    if gpus and step.command == "train-gan":
        gpus = max(gpus, config.gan.gpus)
    return found | ({"gpu": gpus} if gpus else {})


def snakemake_command(plan: Path, cores: int | None, jobs: int | None, engine_options: Sequence[str]) -> list[str]:
    """Return the command line that starts Snakemake.

    Parameters
    ----------
    plan : Path
        As `write_workflow` returns it.
    cores : int, optional
        Cores of this machine to use, where jobs run on it; all by default.
    jobs : int, optional
        Jobs at once, where they run elsewhere.
    engine_options : sequence of str
        Further options for Snakemake, as the user gives them.
    """
    workflow = resources.files("usgan_cli.study") / "Snakefile"
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow), "--config", f"plan={plan}"]
    words += ["--nolock", "--rerun-incomplete", "--rerun-triggers", "mtime"]
    if any(option.split("=")[0] in ELSEWHERE for option in engine_options):
        words += [] if jobs is None else ["--jobs", str(jobs)]
    elif not any(option.split("=")[0] in {"--cores", "-c", "--jobs", "-j"} for option in engine_options):
        words += ["--cores", "all" if cores is None else str(cores)]
    return [*words, *engine_options]


def run_snakemake(
    config: StudyConfig,
    steps: Sequence[PlannedStep],
    todo: Collection[int],
    workspace: Workspace,
    *,
    jobs: int | None,
    force: bool,
    keep_going: bool,
    engine_options: Sequence[str],
) -> None:
    """Carry out steps of a plan by Snakemake, and wait for the end.

    Raises
    ------
    MissingError
        Snakemake is not installed.
    StepFailedError
        A step failed, as often as it was tried.
    """
    if importlib.util.find_spec("snakemake") is None:
        raise MissingError("Snakemake is not installed.", "Install it: pip install 'usgan[cluster]'")
    plan = write_workflow(config, steps, todo, workspace, force=force)
    cores = None if jobs is None else jobs * (config.run.threads or config.cluster.cpus)
    words = snakemake_command(plan, cores, jobs, [*(["--keep-going"] if keep_going else []), *engine_options])
    process = subprocess.Popen(words, stdout=sys.stderr)
    try:
        ended = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if ended:
        raise _failure(plan, engine_options)


def _failure(plan: Path, engine_options: Sequence[str]) -> StepFailedError:
    """Return the error that names the first step that was tried and did not come to its end."""
    for step in json.loads(plan.read_text(encoding="utf-8"))["steps"]:
        log = Path(step["log"])
        ready = all(Path(marker).exists() for marker in step["needs"])
        if ready and not Path(step["marker"]).exists() and log.is_file():
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            told = "\n".join(lines[-3:]) or "It said nothing; what Snakemake said is above."
            return StepFailedError(
                f"The step failed: {step['command']}\n{told}",
                f"All it said is in {log}. Mend it and run the study again.",
            )
    options = " ".join(engine_options)
    return StepFailedError(
        f"Snakemake ended with an error before any step did{f' (its options: {options})' if options else ''}.",
        "What it said is above.",
    )
