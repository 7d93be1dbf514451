"""What a dry run says of a study's length: by command, on what the figures rest, and what would fit into a night."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from usgan_cli.core.errors import UsganError
from usgan_cli.core.formats.dataset import DataManifest, read_manifest
from usgan_cli.core.machine.precision import cpu_is_narrow, device_kind, resolve_precision
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.core.text import duration, plural
from usgan_cli.gan.presets import settings_of_preset
from usgan_cli.study.config import PHANTOM, STEP_ORDER, StudyConfig
from usgan_cli.study.estimate import Basis, Estimator, Table
from usgan_cli.study.night import NIGHT_S, Change, fits_of_a_night
from usgan_cli.study.plan import PlannedStep, plan_study
from usgan_cli.study.rates import IMAGES, MACHINES, Kind, Machine, table_seconds

WORDS: dict[Basis, str] = {
    "finished steps": "what finished steps took here",
    "calibration": "a few steps timed just now",
    "minutes": "the trainings' own limit",
    "table": "a table of what was measured on {machine}, which may be several times faster or slower than this machine",
}


def machine_kind(device: str) -> Kind:
    """Return which of the measured machines a device is like."""
    return "cpu" if device_kind(device) == "cpu" else "gpu"


def table_for(config: StudyConfig, workspace: Workspace) -> Table:
    """Return what looks a study's steps up in the table of rates, for the kind of machine that this is."""
    pixels, images = config.data.size, IMAGES
    if config.data.source == PHANTOM:
        images = config.data.phantom_count
    if (workspace.data / DataManifest.FILE).is_file():
        manifest = read_manifest(workspace.data)
        pixels, images = manifest.size, len(manifest.files("train")) + len(manifest.files("test"))
    machine = Machine(
        machine_kind(config.gan.device),
        pixels,
        float32=resolve_precision(config.gan.precision, device_kind(config.gan.device)) == "float32",
        narrow_cpu=cpu_is_narrow(),
        images=images,
        kimg_of=partial(_kimg_of, pixels),
    )
    return partial(table_seconds, machine=machine)


def _kimg_of(pixels: int, preset: str) -> float | None:
    try:
        return float(settings_of_preset(preset, pixels)["kimg"])
    except UsganError:  # the training itself says what is wrong
        return None


@dataclass(frozen=True)
class Estimates:
    """What is known of the length of a study's steps that are to be carried out."""

    config: StudyConfig
    estimator: Estimator
    steps: Sequence[PlannedStep]

    def lines(self, *, calibrated: bool) -> list[str]:
        """Return how long each command takes in all, and what that rests on."""
        by_command: dict[str, list[float]] = {}
        bases: dict[Basis, float] = {}
        for step in self.steps:
            if (found := self.estimator.estimate(step)) is not None:
                by_command.setdefault(step.command, []).append(found.seconds)
                bases[found.basis] = bases.get(found.basis, 0) + found.seconds
        if not by_command:
            return []
        order = sorted(by_command, key=STEP_ORDER.index)
        parts = [f"{name} {duration(sum(by_command[name]))} ({len(by_command[name])})" for name in order]
        machine = MACHINES[machine_kind(self.config.gan.device)]
        rests = [WORDS[basis].format(machine=machine) for basis in sorted(bases, key=lambda one: -bases[one])]
        lines = [f"By command: {', '.join(parts)}.", f"These are estimates, from {'; '.join(rests)}."]
        if "table" in bases and not calibrated:
            lines.append("For this machine: --calibrate, which takes a minute at most.")
        return lines

    def changes(self, workspace: Workspace) -> list[Change]:
        """Return what would make the study fit into a night; nothing where its length is not known."""
        if not self.steps or self.estimator.total(self.steps)[1]:
            return []
        done = {step.writes for step in plan_study(self.config, workspace)} - {step.writes for step in self.steps}
        return fits_of_a_night(self.config, partial(self._length, workspace, done))

    def _length(self, workspace: Workspace, done: set[Path], config: StudyConfig) -> float:
        """Return the seconds of a study, without what is done."""
        return self.estimator.total(step for step in plan_study(config, workspace) if step.writes not in done)[0]

    def night_lines(self, changes: Sequence[Change]) -> list[str]:
        """Return what is said about a night."""
        seconds, unknown = self.estimator.total(self.steps)
        if not self.steps or unknown or not seconds:
            return []
        if seconds <= NIGHT_S:
            return [f"That fits into a night ({duration(NIGHT_S)})."] if seconds > NIGHT_S / 16 else []
        if not changes:
            return [
                f"No part of it fits into a night ({duration(NIGHT_S)}) here: smaller images (data.size) and a "
                "narrower preset (gan.preset) do, as in `usgan study --print laptop`."
            ]
        said = [f"{change.text} (about {duration(change.seconds)})" for change in changes]
        return [
            f"Into a night ({duration(NIGHT_S)}) fits, by {plural(len(said), 'change')} of its file to choose from:"
        ] + [f"  {text}" for text in said]
