"""Where a training's time goes outside the networks, and whether its rate and memory stay what they are.

    python scripts/bench/loop.py --kimg 200            # drift over a whole training
    python scripts/bench/loop.py --kimg 4 --parts      # shares of one iteration's time

Phantoms of 32 pixels, preset `tiny` unless told otherwise. Drift is read off the training's own log. Shares are timed
inside one training: networks (forward and backward, with the augmentation), optimiser (with replacing gradients that
are not finite), average, and the rest (random draws, cutting, sums, reports), which is the loop's own overhead.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from usgan_cli.core.checkpoint import LogRow, read_log
from usgan_cli.core.datasets import ImageSet
from usgan_cli.core.device import resolve_precision
from usgan_cli.gan.config import GanConfig, make_config
from usgan_cli.gan.steps import Steps
from usgan_cli.gan.train import GanRun, train


def noise_images(count: int, size: int) -> ImageSet:
    """Images to train on; their content does not matter for time."""
    draws = np.random.default_rng(0)
    pixels = draws.integers(0, 256, (count, 1, size, size)).astype(np.uint8)
    labels = np.arange(count) % 3
    return ImageSet("noise", pixels, labels, ("a", "b", "c"), tuple(map(str, range(count))), np.arange(count))


class Timers:
    """Seconds spent in methods of `Steps`, those inside one another counted once."""

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


def third(rows: list[LogRow], which: int) -> LogRow:
    """Return the row in the middle of a third of the log."""
    return rows[(2 * which + 1) * len(rows) // 6]


def drift(config: GanConfig, data: ImageSet, folder: Path) -> None:
    train(config, data, folder, GanRun("loop", len(data), torch.device("cpu")))
    rows = read_log(folder)
    print(f"{config.kimg:g} kimg, preset {config.preset}, {config.aug}, {config.precision}: s/kimg and memory")
    for part, which in (("start", 0), ("middle", 1), ("end", 2)):
        mine = rows[which * len(rows) // 3 : (which + 1) * len(rows) // 3]
        rate = sorted(row.s_per_kimg for row in mine)[len(mine) // 2]
        print(f"{part:8s}{rate:8.2f} s/kimg (median){third(rows, which).memory_mb:10.0f} MB")


def shares(config: GanConfig, data: ImageSet, folder: Path) -> None:
    timers = Timers()
    for name, label in (("_computed", "networks"), ("_lengths", "networks")):
        timers.wrap(name, label)
    timers.wrap("_update", "optimiser")
    timers.wrap("average_step", "average")
    train(config, data, folder, GanRun("loop", len(data), torch.device("cpu")))
    total = read_log(folder)[-1].seconds
    timers.spent["rest"] = total - sum(timers.spent.values())
    for label, seconds in timers.spent.items():
        print(f"{label:12s}{seconds / config.kimg:8.3f} s/kimg{100 * seconds / total:7.1f} %")


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
    config = make_config(
        aug=arguments.aug,
        preset=arguments.preset,
        resolution=arguments.size,
        img_channels=1,
        c_dim=3,
        seed=0,
        precision=resolve_precision(arguments.precision, torch.device("cpu")),
        kimg=arguments.kimg,
        save_kimg=arguments.kimg if arguments.parts else None,
    )
    with tempfile.TemporaryDirectory() as folder:
        (shares if arguments.parts else drift)(config, noise_images(100, arguments.size), Path(folder))


if __name__ == "__main__":
    main()
