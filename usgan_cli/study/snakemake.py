"""Carrying out a study's plan by Snakemake: the same steps as jobs, on this machine or on a cluster.

Snakemake runs a shipped workflow with one rule for every step that is to be carried out; each rule calls the
command line that `--dry-run` shows. Whether a step is done is decided by usgan alone, before and within each job:
Snakemake sees empty markers, never the artefacts themselves, which it would delete when a job fails.
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
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from usgan_cli.commands.study import Study
from usgan_cli.core.errors import MissingError
from usgan_cli.core.machine.network import OFFLINE, is_offline
from usgan_cli.core.machine.threads import available_cores
from usgan_cli.core.store import files
from usgan_cli.core.store.step import ADOPT_VARIABLE, STUDY_VARIABLE
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.study.config import StudyConfig
from usgan_cli.study.plan import PlannedStep
from usgan_cli.study.run import StepFailedError

ON_THE_SPOT = frozenset({"subsample", "ttest", "report"})
"""Commands that take seconds; they run beside Snakemake itself rather than as jobs of a cluster."""
ON_GPUS = frozenset({"train-gan", "generate", "score", "train-cls"})
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
ELSEWHERE = ("--profile", "--workflow-profile", "--executor", "-e")
"""Options with which Snakemake's jobs run elsewhere than on this machine's cores."""
LIMITS = ("--cores", "-c", "--jobs", "-j")
"""Options by which a user limits how much runs at once."""


LAST_LINES = 12
"""Lines of a failed job's output that the study's message repeats, at most."""


@dataclass(frozen=True)
class Machine:
    """What jobs may use where they run on this machine rather than elsewhere."""

    cores: int
    jobs: int | None
    """Jobs at once; None for as many as the cores allow."""
    gpus: int

    def threads(self, config: StudyConfig) -> int:
        """Return the threads of a job, so that all jobs together use at most all cores."""
        return max(1, min(config.cluster.cpus, self.cores // (self.jobs or 1)))

    def options(self, threads: int, gpus: int) -> list[str]:
        """Return Snakemake's limits for jobs of `threads` threads and at most `gpus` GPUs."""
        cores = self.cores if self.jobs is None else self.jobs * threads
        # Jobs do not know which GPU is free: one of them at a time has the GPUs, beside jobs that need none.
        return ["--cores", str(cores), *(["--resources", f"gpu={gpus}"] if gpus else [])]


def write_workflow(
    config: StudyConfig,
    steps: Sequence[PlannedStep],
    todo: Collection[int],
    workspace: Workspace,
    *,
    force: bool,
    adopt: bool = False,
    machine: Machine | None = None,
) -> Path:
    """Write the plan that the shipped Snakefile reads, and clear the markers of earlier runs.

    Steps whose places in the plan are not in `todo` are taken to be done. Jobs that run on this `machine` keep to its
    limits; elsewhere they ask for what the study's `cluster` says.
    """
    folder = workspace.root / "snakemake"
    shutil.rmtree(folder / "done", ignore_errors=True)
    chosen = [steps[i] for i in sorted(todo)]
    names = {step.writes: re.sub(r"[^\w.+-]", "_", f"{step.command}-{step.place}") for step in chosen}
    markers = {path: f"done/{name}" for path, name in names.items()}
    rules = [
        {
            "rule": re.sub(r"\W", "_", step.label),
            "needs": [markers[path] for path in step.needs if path in markers],
            "marker": markers[step.writes],
            "log": f"logs/{names[step.writes]}.log",
            "command": _command(config, step, force=force, adopt=adopt),
            "here": step.command in ON_THE_SPOT,
            "threads": _threads(config, machine),
            "resources": _resources(config, step, machine),
        }
        for step in chosen
    ]
    path = folder / "plan.json"
    plan = {"home": str(Path.cwd()), "retries": config.cluster.retries, "steps": rules}
    files.write_text(path, json.dumps(plan, indent=1) + "\n")
    return path


def _command(config: StudyConfig, step: PlannedStep, *, force: bool, adopt: bool) -> str:
    """Return the step's command line for a shell on any node, with the number of threads that the study names."""
    program = [config.cluster.program] if config.cluster.program else [sys.executable, "-m", "usgan_cli"]
    threads = config.run.threads
    environment = ["env", f"{STUDY_VARIABLE}={config.name}", *([f"{ADOPT_VARIABLE}=1"] if adopt else [])]
    environment += [] if threads is None else [f"{name}={threads}" for name in THREAD_VARIABLES]
    environment += [f"{OFFLINE}=1"] if is_offline() else []
    options = step.options.replace(force=True) if force else step.options.replace(refresh=True)
    return shlex.join([*environment, *program, *options.words()])


def _threads(config: StudyConfig, machine: Machine | None) -> int:
    return config.run.threads or (config.cluster.cpus if machine is None else machine.threads(config))


def _resources(config: StudyConfig, step: PlannedStep, machine: Machine | None) -> dict[str, Any]:
    cluster, minutes = config.cluster, round(60 * config.hours.of(step.command))
    asked: dict[str, Any] = {"mem_mb": round(1000 * cluster.mem_gb), "runtime": max(1, minutes)}
    if step.command not in ON_GPUS or cluster.gpus == 0 or (machine is not None and machine.gpus == 0):
        return asked
    return asked | {"gpu": max(cluster.gpus, config.gpus) if step.command == "train-gan" else cluster.gpus}


def snakemake_command(plan: Path, limits: Sequence[str], engine_options: Sequence[str]) -> list[str]:
    """Return the command line that starts Snakemake.

    `limits` are its options for how much runs at once; `engine_options`, the user's own, come before them.
    """
    workflow = resources.files("usgan_cli.study") / "Snakefile"
    # Snakemake reads values as YAML, in which a quoted text is that of JSON.
    named = f"plan={json.dumps(str(plan.absolute()), ensure_ascii=False)}"
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow), "--config", named]
    words += ["--directory", str(plan.absolute().parent), "--nolock", "--rerun-incomplete", "--rerun-triggers", "mtime"]
    return [*words, *([] if _has_any(engine_options, LIMITS) else limits), *engine_options]


def _has_any(engine_options: Sequence[str], names: Collection[str]) -> bool:
    return any(option.split("=")[0] in names for option in engine_options)


def run_snakemake(
    options: Study, config: StudyConfig, steps: Sequence[PlannedStep], todo: Collection[int], workspace: Workspace
) -> None:
    """Carry out steps of a plan by Snakemake, and wait for the end; raise a `StepFailedError` if a step failed."""
    if importlib.util.find_spec("snakemake") is None:
        raise MissingError("Snakemake is not installed.", "Install it: pip install 'usgan[cluster]'")
    if _has_any(options.engine_options, ELSEWHERE):
        machine, limits = None, [] if options.jobs is None else ["--jobs", str(options.jobs)]
    else:
        machine = Machine(available_cores(), options.jobs, torch.cuda.device_count())
        gpus = max(config.cluster.gpus, config.gpus) if machine.gpus and config.cluster.gpus else 0
        limits = machine.options(_threads(config, machine), gpus)
    plan = write_workflow(config, steps, todo, workspace, force=options.force, adopt=options.adopt, machine=machine)
    keep_going = ["--keep-going"] if options.keep_going else []
    words = snakemake_command(plan, limits, [*keep_going, *options.engine_options])
    process = subprocess.Popen(words, stdout=sys.stderr)
    try:
        ended = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if ended:
        raise _failure(plan, options.engine_options)


def _last_words(output: str) -> str:
    """Return what a job said of its failure: its error from the first line on, or its last lines."""
    lines = output.strip().splitlines()
    begin = max((i for i, line in enumerate(lines) if line.startswith("Error: ")), default=len(lines) - 3)
    return "\n".join(lines[max(begin, 0) :][:LAST_LINES]) or "It printed nothing; see Snakemake's output above."


def _failure(plan: Path, engine_options: Sequence[str]) -> StepFailedError:
    """Return the error that names the first step that was started and did not finish."""
    folder = plan.parent
    for step in json.loads(files.read_bytes(plan))["steps"]:
        log = folder / step["log"]
        ready = all((folder / marker).exists() for marker in step["needs"])
        if ready and not (folder / step["marker"]).exists() and log.is_file():
            return StepFailedError(
                f"The step failed: {step['command']}\n{_last_words(files.read_bytes(log).decode(errors='replace'))}",
                f"Its whole output is in {log}. Solve the problem and run the study again.",
            )
    options = " ".join(engine_options)
    return StepFailedError(
        f"Snakemake ended with an error before any step did{f' (its options: {options})' if options else ''}.",
        "See its output above.",
    )
