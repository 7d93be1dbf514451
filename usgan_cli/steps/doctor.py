"""`usgan doctor`: what this machine has, and what is lacking for which command."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from typing import Any, Literal

import torch

from usgan_cli.commands.doctor import Doctor
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.machine import device as devices
from usgan_cli.core.machine.memory import keep_freed_memory
from usgan_cli.core.machine.precision import resolve_precision
from usgan_cli.core.store.provenance import package_versions
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.gan.cuda_graph import resolve_graphs
from usgan_cli.gan.kernels.choice import VARIABLE, kernels_of, requested
from usgan_cli.steps.timing import CLASSES, seconds_per_kimg
from usgan_cli.steps.train_gan import resolve
from usgan_cli.steps.weights import NEEDS, state_of, where
from usgan_cli.terminal import console
from usgan_cli.terminal.session import Session

SCHEDULERS = ("sbatch", "qsub", "bsub", "condor_submit")
"""Programs that submit jobs to a cluster."""
FULL_BATCH_GB = 14
"""Memory that a batch of 64 images of 256 pixels needs at once."""
ARTEFACTS = {
    "external test sets": "external/*/manifest.json",
    "subsets": "subsets/*.json",
    "finished GANs": "gans/*/generator.json",
    "synthetic sets": "synthetic/*/manifest.json",
    "scores": "scores/*.json",
    "classifiers": "classifiers/*/*/result.json",
    "comparisons": "ttests/*.json",
}


def run(options: Doctor, session: Session) -> None:
    """Show what the machine has, on standard error, or with --json as one object on standard output."""
    examined = examine(session.workspace)
    if options.measure:
        examined["seconds per kimg"] = _speeds(devices.resolve_device("auto"))
    if options.json:
        console.emit_json(examined)
        return
    speeds = {name: f"{speed:,.1f} s per kimg" for name, speed in examined.get("seconds per kimg", {}).items()}
    weights = [(name, state_of(entry["found"]), entry["need"]) for name, entry in examined["weights"].items()]
    session.table("Machine", ("", "value"), _rows(examined["machine"]))
    session.table("Training a GAN (--device auto)", ("", "value"), _rows(examined["training"] | speeds))
    recipe = examined["recipe"]
    session.table("Recipe for this machine", ("", "value"), _rows(recipe))
    session.table("Packages", ("package", "version"), _rows(examined["packages"]))
    session.table("Pretrained weights (usgan weights says where)", ("weights", "", "needed for"), weights)
    session.table("Workspace", ("artefact", "number"), _rows(examined["workspace"]))


def _rows(values: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in values.items()]


def examine(workspace: Workspace) -> dict[str, Any]:
    """Return what `doctor` shows."""
    device = devices.resolve_device("auto")
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "device": devices.describe(device),
        "gpus": torch.cuda.device_count(),
        "all CPU threads against one": f"{devices.speedup_by_threads():.1f} times as fast just now",
        "large blocks kept": keep_freed_memory(),
        "executable": sys.executable,
    }
    counts: dict[str, Any] = {name: len(list(workspace.root.glob(pattern))) for name, pattern in ARTEFACTS.items()}
    prepared = (workspace.data / "manifest.json").is_file()
    return {
        "machine": machine,
        "training": _training(device),
        "recipe": recipe(device),
        "packages": package_versions(),
        "weights": {name: {"found": where(name), "need": need} for name, need in NEEDS.items()},
        "workspace": {"folder": str(workspace.root), "prepared data": prepared, **counts},
    }


def recipe(device: torch.device) -> dict[str, str]:
    """Return the shipped study that suits this machine, why, and the commands to begin with."""
    scheduler = next((name for name in SCHEDULERS if shutil.which(name)), None)
    if scheduler is not None:
        name, why = "cluster", f"{scheduler} submits jobs here"
    elif device.type != "cpu":
        memory = torch.cuda.get_device_properties(device).total_memory / 2**30
        name, why = "workstation", f"a GPU with {memory:.0f} GB"
        if memory < FULL_BATCH_GB:
            why += "; with so little memory a batch is computed in parts"
    else:
        name, why = "laptop", "no GPU"
    return {
        "study": f"{name}, because: {why}",
        "its length": f"usgan study {name} --source FOLDER --dry-run",
        "a file to edit": f"usgan study --print {name} > my.toml",
    }


def _training(device: torch.device) -> dict[str, str]:
    """Return what a training would use, with the reason where it is not what is fastest."""
    kernels, precision = kernels_of(device), resolve_precision("auto", device.type)
    reasons = {
        "kernels": kernels.problem or ("" if device.type == "cuda" else "Triton's need a CUDA device"),
        "precision": {
            "bf16": "",
            "fp16": "this GPU does not compute in bf16",
            "float32": "this processor does not multiply bf16 numbers itself",
        }[precision],
        "CUDA graphs": "" if device.type == "cuda" else "they need a CUDA device",
    }
    if requested() == "torch" and device.type == "cuda":
        reasons["kernels"] = f"{VARIABLE} asks for them"
    graphs = "off" if resolve_graphs("auto", device) == "off" else "on, if they can be recorded at the first step"
    used = {"kernels": kernels.name, "precision": precision, "CUDA graphs": graphs}
    return {name: f"{value}, because {reasons[name]}" if reasons[name] else value for name, value in used.items()}


def _speeds(device: torch.device) -> dict[str, float]:
    """Return seconds per thousand images of sizes and presets that suit the device."""
    trainings: tuple[tuple[Literal["auto", "small"], int], ...]
    trainings = (("auto", 64), ("auto", 256)) if device.type == "cuda" else (("small", 64), ("auto", 64))
    speeds = {}
    for preset, size in trainings:
        config = resolve(TrainGan(aug="ada", n=1, preset=preset), size, 1, CLASSES, device)
        speeds[f"{preset}, {size} pixels, ADA"] = seconds_per_kimg(config, device)
    return speeds
