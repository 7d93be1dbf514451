"""`usgan doctor`: what this machine has, and what is lacking for which command."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

from usgan_cli import console, options


def doctor(work: options.Work = Path("work"), json: options.Json = False) -> None:
    """Show device, precision, packages, pretrained weights and workspace of this machine; change nothing."""
    terminal = console.Terminal()
    found = examine(work)
    if json:
        console.emit_json(found)
        return
    machine = found["machine"]
    terminal.table("Machine", ("", "value"), [(name, str(value)) for name, value in machine.items()])
    terminal.table("Packages", ("package", "version"), list(found["packages"].items()))
    rows = [(name, entry["found"] or "absent", entry["need"]) for name, entry in found["weights"].items()]
    terminal.table("Pretrained weights", ("weights", "where", "needed for"), rows)
    terminal.table("Workspace", ("artefact", "number"), [(k, str(v)) for k, v in found["workspace"].items()])


def examine(work: Path) -> dict[str, Any]:
    """Return what `doctor` shows."""
    import torch

    from usgan_cli.core.machine import device as devices
    from usgan_cli.core.machine.memory import keep_freed_memory
    from usgan_cli.core.store.provenance import package_versions

    device = devices.resolve_device("auto")
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "device": devices.describe(device),
        "gpus": torch.cuda.device_count(),
        "all CPU threads against one": f"{devices.gain_of_threads():.1f} times as fast just now",
        "precision (auto)": devices.resolve_precision("auto", device),
        "processor has bf16": devices.cpu_has_bf16(),
        "large blocks kept": keep_freed_memory(),
        "executable": sys.executable,
    }
    return {
        "machine": machine,
        "packages": package_versions(),
        "weights": _weights(),
        "workspace": _workspace(work),
    }


NEEDS = {
    "inception": "score --extractor inception (the FID)",
    "efficientnet_b2": "train-cls with its default backbone",
    "tf_efficientnet_lite0": "train-cls, score: works offline",
    "tf_efficientnet_lite2": "train-cls, score: works offline",
}


def _weights() -> dict[str, dict[str, str | None]]:
    from usgan_cli.core.errors import WeightsError
    from usgan_cli.core.machine.weights import find_local

    found: dict[str, dict[str, str | None]] = {}
    for name, need in NEEDS.items():
        try:
            weights = find_local(name)
        except WeightsError as error:
            found[name] = {"found": f"unusable: {error.message}", "need": need}
        else:
            found[name] = {"found": None if weights is None else str(weights.path), "need": need}
    return found


def _workspace(work: Path) -> dict[str, Any]:
    from usgan_cli.core.store.workspace import Workspace

    workspace = Workspace(work)
    kinds = {
        "subsets": "subsets/*.json",
        "finished GANs": "gans/*/generator.json",
        "synthetic sets": "synthetic/*/manifest.json",
        "scores": "scores/*.json",
        "classifiers": "classifiers/*/*/result.json",
        "comparisons": "ttests/*.json",
    }
    counts: dict[str, Any] = {name: len(list(work.glob(pattern))) for name, pattern in kinds.items()}
    return {"folder": str(work), "prepared data": (workspace.data / "manifest.json").is_file(), **counts}
