"""Where a training's time goes outside the networks, and whether its rate and memory stay what they are.

    python scripts/bench/loop.py --kimg 200            # drift over a whole training
    python scripts/bench/loop.py --kimg 4 --parts      # shares of one iteration's time

Random images of 32 pixels, preset `tiny` by default. Drift is read off the training's own log and the
processor's clock. Shares are timed inside one training: networks (forward and backward, with the augmentation), the
augmentation's draws, optimiser (with replacing gradients that are not finite), average, and the rest (other random
draws, cutting, sums, reports), which is the loop's own overhead.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.formats.generator import read_log
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine.memory import process_peak_memory_mb
from usgan_cli.core.progress import Silent, Task
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.outputs import GanRun
from usgan_cli.gan.steps import Steps
from usgan_cli.gan.train import train
from usgan_cli.steps.train_gan import resolve


def noise_images(count: int, size: int) -> ImageSet:
    """Images to train on; their content does not matter for time."""
    draws = np.random.default_rng(0)
    pixels = draws.integers(0, 256, (count, 1, size, size)).astype(np.uint8)
    labels = np.arange(count) % 3
    return ImageSet("noise", pixels, labels, ("a", "b", "c"), tuple(map(str, range(count))), np.arange(count))


class Timers:
    """Seconds spent in methods of `Steps`, nested calls counted once."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.open = False

    def wrap(self, name: str, label: str) -> None:
        """Time a method under a label."""
        method: Callable[..., Any] = getattr(Steps, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            if self.open:
                return method(*args, **kwargs)
            self.open, begin = True, time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.open = False
                self.spent[label] += time.perf_counter() - begin

        setattr(Steps, name, timed)


class Meter(Silent):
    """Progress that reads the processor's clock and the memory whenever training reports."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[tuple[float, float]] = []

    @contextmanager
    def task(self, title: str, total: float, unit: str, done: float = 0) -> Iterator[Task]:  # noqa: ARG002
        """Yield a task whose figures are taken as the moment of a report."""
        yield self

    def advance(self, amount: float = 1, **figures: float | str) -> None:  # noqa: ARG002
        """Take a reading: seconds of processor time, peak memory in units of 1e6 bytes."""
        if figures:
            self.read.append((time.process_time(), process_peak_memory_mb()))


def drift(config: GanConfig, data: ImageSet, folder: Path) -> None:
    meter = Meter()
    train(config, data, folder, GanRun("loop", len(data), torch.device("cpu"), meter))
    rows = read_log(folder)
    print(f"{config.kimg:g} kimg, preset {config.preset}, {config.aug}, {config.precision}, medians of each third")
    for part, which in (("start", 0), ("middle", 1), ("end", 2)):
        mine = slice(which * len(rows) // 3, (which + 1) * len(rows) // 3)
        wall = median(row.s_per_kimg for row in rows[mine])
        kimg = [row.kimg for row in rows[mine]]
        clock, memory = zip(*meter.read[mine], strict=True)
        processor = median((b - a) / (d - c) for a, b, c, d in zip(clock, clock[1:], kimg, kimg[1:], strict=False))
        print(f"{part:8s}{wall:8.2f} s/kimg{processor:8.2f} processor s/kimg{memory[-1]:8.0f} MB at its end")


def shares(config: GanConfig, data: ImageSet, folder: Path) -> None:
    timers = Timers()
    for name, label in (("_computed", "networks"), ("_lengths", "networks")):
        timers.wrap(name, label)
    timers.wrap("_draw_augmentation", "augmentation's draws")
    timers.wrap("_update", "optimiser")
    timers.wrap("average_step", "average")
    train(config, data, folder, GanRun("loop", len(data), torch.device("cpu")))
    total = read_log(folder)[-1].seconds
    timers.spent["rest"] = total - sum(timers.spent.values())
    for label, seconds in timers.spent.items():
        print(f"{label:22s}{seconds / config.kimg:8.3f} s/kimg{100 * seconds / total:7.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--size", type=int, default=32, help="pixels")
    parser.add_argument("--aug", default="ada")
    parser.add_argument("--kimg", type=float, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--parts", action="store_true", help="print shares of the time in place of drift")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    options = TrainGan(
        aug=arguments.aug,
        n=100,
        preset=arguments.preset,
        precision=arguments.precision,
        kimg=arguments.kimg,
        save_kimg=arguments.kimg if arguments.parts else None,
    )
    config = resolve(options, arguments.size, 1, 3, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        (shares if arguments.parts else drift)(config, noise_images(100, arguments.size), Path(folder))


if __name__ == "__main__":
    main()
