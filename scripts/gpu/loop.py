"""Whether trainings repeat: with and without CUDA graphs, interrupted or not."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from gpu.gan import free, settings, start, use_kernels
from gpu.results import Check, Section
from usgan_cli.core.formats.generator import Log, latest_state
from usgan_cli.core.machine.precision import resolve_precision
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.steps import Steps
from usgan_cli.gan.train import iterate

FEW, FEWER = 12, 3
"""Iterations of each training; fewer in the small form."""
EXACT = 1e-6
"""How far two trainings in float64 may drift apart in so few iterations, relative to the norm: where sums have no
fixed order, a generator and a discriminator together amplify rounding."""
FAST = 0.1
"""The same for losses in the fast precision."""


def loop(check: Check, section: Section) -> None:
    """Train a few iterations twice, as graphs, and in two parts; compare networks in float64, losses in fast types."""
    device = torch.device(check.device)
    use_kernels("triton", check.device)
    config = _config(check, "float64")
    plain, _ = _trained(check, config)
    _drift(section, "the same again", plain, _trained(check, config)[0])
    if check.device == "cuda":
        _drift(section, "as CUDA graphs", plain, _trained(check, config, graphs=True)[0])
    _drift(section, "saved and continued", plain, _in_two_parts(check, config))
    precision = resolve_precision("auto", device.type)
    config = _config(check, precision)
    means = _trained(check, config)[1]
    for what, graphs in (("the same again", False), ("as CUDA graphs", True))[: 2 if check.device == "cuda" else 1]:
        others = _trained(check, config, graphs=graphs)[1]
        worst = max(abs(others[name] - means[name]) / max(abs(means[name]), 0.1) for name in means)
        section.row(f"{what}: losses in {precision} differ by", worst, "relative", ok=worst < FAST)


def _config(check: Check, precision: str) -> GanConfig:
    size = {"channel_base": 256, "channel_max": 16} if check.small else {"channel_base": 2048, "channel_max": 64}
    resolution, preset, batch = (16, "tiny", 4) if check.small else (64, "small", 8)
    return settings(resolution, precision, preset=preset, aug="ada", batch=batch, **size)


def _trained(
    check: Check, config: GanConfig, *, graphs: bool = False
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    steps = start(config, check.device, graphs=graphs, p=0.5)
    _iterate(steps, _count(check))
    return _networks(steps), steps.means.take()


def _in_two_parts(check: Check, config: GanConfig) -> dict[str, torch.Tensor]:
    with tempfile.TemporaryDirectory() as folder:
        first = start(config, check.device, p=0.5)
        _iterate(first, _count(check) // 2)
        first.training.save(Path(folder), Log(Path(folder)))
        second = start(config, check.device)
        state = latest_state(Path(folder))
        assert state is not None
        second.training.load(state, Path(folder))
        _iterate(second, _count(check) - first.training.step)
    return _networks(second)


def _count(check: Check) -> int:
    return FEWER if check.small else FEW


def _iterate(steps: Steps, count: int) -> None:
    for _ in range(count):
        iterate(steps.config, steps.training, steps)


def _networks(steps: Steps) -> dict[str, torch.Tensor]:
    state = {name: value.detach().double().cpu() for name, value in steps.training.tensors().items()}
    free()
    return {name: value for name, value in state.items() if name.startswith(("g/", "d/", "ema/"))}


def _drift(section: Section, what: str, one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Report how far networks are apart: not at all, or the norm of the difference relative to the norm."""
    if all(torch.equal(one[name], other[name]) for name in one):
        section.row(f"{what}: networks", "identical", ok=True)
        return
    apart = sum((one[name] - other[name]).square().sum() for name in one) / sum(v.square().sum() for v in one.values())
    section.row(f"{what}: networks differ by", float(apart**0.5), "relative", ok=float(apart**0.5) < EXACT)
