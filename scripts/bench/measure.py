"""What the benches share: the ways of computing, one process for each, taking turns, and what a machine can do.

Every way of computing ("path") lives in a process of its own, so that its peak memory is its own, and the processes
take turns, so that other load on the machine affects them equally. A process computes one round whenever it reads a
line on its standard input and answers with a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import plain
import torch

from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.formats.generator import Architecture
from usgan_cli.core.machine.memory import keep_freed_memory, memory_mb
from usgan_cli.core.machine.precision import cpu_has_bf16
from usgan_cli.gan import layers
from usgan_cli.gan.networks import (
    Discriminator,
    DiscriminatorConfig,
    Generator,
)
from usgan_cli.steps.train_gan import resolve

CLASSES = 3
TYPES = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Round = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Case:
    """What is measured: networks, batch and machine."""

    size: int
    batch: int
    latent: int
    mapping_layers: int
    channel_base: int
    channel_max: int
    device: str
    threads: int
    per_sample_weights: bool


@dataclass(frozen=True)
class Way:
    """How it is computed."""

    plain: bool
    precision: str
    channels_last: bool = True

    @property
    def name(self) -> str:
        """Its name in the table."""
        layout = "" if self.channels_last else " contiguous"
        return f"{'plain' if self.plain else 'fast'} {self.precision}{layout}"


def ways(device: str) -> list[Way]:
    """Return the ways worth measuring on a device; the first is the baseline."""
    if device == "cpu":
        fast = ["float32", "bf16"] if cpu_has_bf16() else ["float32"]
        return [Way(True, "float32"), *(Way(False, precision) for precision in fast)]
    every = [Way(False, precision) for precision in ("float32", "tf32", "bf16", "fp16")]
    return [Way(True, "float32"), *every, Way(False, "bf16", False), Way(False, "fp16", False)]


def arguments(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128, 256], help="pixels")
    parser.add_argument("--preset", choices=("full", "small", "tiny"), default="full", help="width of the networks")
    parser.add_argument("--channel-base", type=int, help="features times pixels on a side; by default the preset's")
    parser.add_argument("--batch", type=int, help="images; by default 8, at 256 pixels 4, or the preset's")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3, help="rounds measured after one that is not")
    parser.add_argument("--only", nargs="+", help="names of the ways to measure, as in the table")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser


def cases(args: argparse.Namespace, *, per_sample_weights: bool) -> list[Case]:
    cases = []
    for size in args.sizes:
        width = {"z_dim": 512, "mapping_layers": 8, "channel_base": 16384, "channel_max": 512}
        batch = 4 if size >= 256 else 8
        if args.preset != "full":
            options = TrainGan(aug="none", n=1, preset=args.preset, precision="float32")
            config = resolve(options, size, 1, CLASSES, torch.device("cpu"))
            width = {name: getattr(config, name) for name in width}
            batch = config.batch
        cases.append(
            Case(
                size=size,
                batch=args.batch or batch,
                latent=width["z_dim"],
                mapping_layers=width["mapping_layers"],
                channel_base=args.channel_base or width["channel_base"],
                channel_max=width["channel_max"],
                device=args.device,
                threads=args.threads,
                per_sample_weights=per_sample_weights,
            )
        )
    return cases


def networks(case: Case, way: Way) -> tuple[Generator, Discriminator]:
    """Return both networks, set up to compute the given way."""
    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    if not way.plain:
        keep_freed_memory()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = way.precision == "tf32"
    layers.LAYOUT = torch.channels_last if way.channels_last else torch.contiguous_format
    shape = {
        "resolution": case.size,
        "img_channels": 1,
        "c_dim": CLASSES,
        "channel_base": case.channel_base,
        "channel_max": case.channel_max,
    }
    latent = {"z_dim": case.latent, "w_dim": case.latent, "mapping_layers": case.mapping_layers}
    generator = Generator(Architecture(**latent, **shape)).to(case.device)
    discriminator = Discriminator(DiscriminatorConfig(**shape)).to(case.device)
    generator.compute_dtype = discriminator.compute_dtype = TYPES[way.precision]
    return generator, discriminator


def plainly(
    case: Case, way: Way, generator: Generator, discriminator: Discriminator
) -> tuple[Generator | plain.PlainGenerator, Discriminator | plain.PlainDiscriminator]:
    """Return what makes and what judges images in a way of computing."""
    if not way.plain:
        return generator, discriminator
    made = plain.PlainGenerator(generator, per_sample_weights=case.per_sample_weights)
    return made, plain.PlainDiscriminator(discriminator)


def seconds(step: Callable[[], None], device: str) -> float:
    """Return the seconds that a step takes, with everything it started on the device."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def serve(work: str, start: Callable[[Case, Way], Round]) -> None:
    """Be the process of one way: a round for every line read, then the peak memory in MB."""
    both = json.loads(work)
    case, way = Case(**both["case"]), Way(**both["way"])
    compute = start(case, way)
    for _ in sys.stdin:
        print(json.dumps(compute()), flush=True)
    print(json.dumps({"memory": peak_memory(case.device)}), flush=True)


def peak_memory(device: str) -> float:
    """Return the most memory held so far: of the GPU, or resident; units of 1e6 bytes."""
    status = Path("/proc/self/status")
    if device == "cpu" and status.exists():
        # Unlike getrusage's figure, this one starts at zero with the program.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return memory_mb(torch.device(device))


def take_turns(script: str, case: Case, compared: Iterable[Way], repeats: int) -> dict[Way, list[dict[str, float]]]:
    """Return the rounds of every way, each with its process's peak memory in the last."""
    running = {}
    for way in compared:
        work = json.dumps({"case": asdict(case), "way": asdict(way)})
        environment = os.environ | {"OMP_NUM_THREADS": str(case.threads)}
        running[way] = subprocess.Popen(
            [sys.executable, script, "--worker", work],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
    rounds: dict[Way, list[dict[str, float]]] = {way: [] for way in running}
    try:
        for turn in range(repeats + 1):
            for way, process in running.items():
                answer = _answer(process)
                if turn:
                    rounds[way].append(answer)
        for way, process in running.items():
            last, _ = process.communicate()
            rounds[way].append(json.loads(last))
    finally:
        for process in running.values():
            process.kill()
    return rounds


def _answer(process: subprocess.Popen[str]) -> dict[str, float]:
    """Let a process compute one round and return it."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a process of a bench has no pipes")
    process.stdin.write("\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a process of a bench stopped with exit status {process.wait()}")
    answer: dict[str, float] = json.loads(line)
    return answer


def matrix_peak(precision: str, device: str, side: int = 4096) -> float:
    """Return the best measured rate of a matrix product in a type: units of 1e9 operations a second."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    a, b = (torch.randn([side, side], device=device).to(TYPES[precision]) for _ in range(2))
    fastest = min(seconds(lambda: torch.mm(a, b), device) for _ in range(4))
    return 2 * side**3 / fastest / 1e9


def compared_with_peaks(args: argparse.Namespace) -> tuple[list[Way], dict[str, float]]:
    """Return the ways asked for, and the measured and printed peak of every type among them."""
    torch.set_num_threads(args.threads)
    compared = [way for way in ways(args.device) if args.only is None or way.name in args.only]
    peaks = {name: matrix_peak(name, args.device) for name in sorted({way.precision for way in compared})}
    print("matrix product: " + ", ".join(f"{name} {peak:.0f} GFLOP/s" for name, peak in peaks.items()))
    return compared, peaks


def heading(unit: str) -> str:
    return f"{'size':>5s}{'batch':>7s}  {'way':22s}{unit:>10s}{'ratio':>8s}{'peak MB':>10s}{'share':>8s}"


def row(case: Case, way: Way, value: float, ratio: float, memory: float, share: float) -> str:
    return f"{case.size:5d}{case.batch:7d}  {way.name:22s}{value:10.1f}{ratio:8.2f}{memory:10.0f}{share:8.0%}"
