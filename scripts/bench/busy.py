"""Time trainings with several threads on a machine that others use: how soon a waiting thread should sleep.

    python scripts/bench/busy.py --threads 2 --busy 0 1 2

Threads of GNU OpenMP that wait for one another try again so many times (GOMP_SPINCOUNT) before they sleep. Trainings of
the same GAN with each number take turns, beside as many programs that only compute as --busy says. The last column is
how many times as fast each is as with the library's own number.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from usgan_cli.core.formats.generator import read_log

USGAN = [sys.executable, "-m", "usgan_cli"]
OWN = "300000"
"""What the library takes where it is told nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spins", nargs="+", default=["20000", "2000"], help="values of GOMP_SPINCOUNT")
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1], help="other programs that compute")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kimg", type=float, default=0.32, help="length of each training")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--aug", nargs="+", default=["best", "ada"])
    parser.add_argument("--size", type=int, default=64, help="pixels")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        _run(["phantom", str(work / "images"), "--count", "200", "--size", str(args.size)], work, {})
        _run(["prepare", str(work / "images"), "--size", str(args.size)], work, {})
        _run(["subsample", "--n", "50"], work, {})
        print(f"{'GAN':8s}{'busy':>6s}  {'spins':12s}{'s/kimg':>8s}{'ratio':>8s}")
        for aug in args.aug:
            for busy in args.busy:
                found: dict[str, list[float]] = {spins: [] for spins in (OWN, *args.spins)}
                with _others(busy):
                    for _ in range(args.repeats):
                        for spins, rates in found.items():
                            rates.append(_rate(work, aug, spins, args))
                for spins, rates in found.items():
                    ratio = median(own / rate for own, rate in zip(found[OWN], rates, strict=True))
                    print(f"{aug:8s}{busy:6d}  {spins:12s}{median(rates):8.1f}{ratio:8.2f}", flush=True)


def _rate(work: Path, aug: str, spins: str, args: argparse.Namespace) -> float:
    """Return the seconds per thousand images of the second half of a training."""
    out = work / "training"
    words = ["train-gan", "--aug", aug, "--n", "50", "--preset", "small", "--kimg", str(args.kimg), "--force"]
    words += ["--tick-kimg", str(args.kimg / 2), "--threads", str(args.threads), "--out", str(out)]
    _run(words, work, {"GOMP_SPINCOUNT": spins})
    return read_log(out)[-1].s_per_kimg


def _run(words: list[str], work: Path, changes: dict[str, str]) -> None:
    subprocess.run([*USGAN, *words, "--work", str(work), "--quiet"], env=os.environ | changes, check=True, stdout=-3)


@contextmanager
def _others(count: int) -> Iterator[None]:
    """Keep so many cores busy for the block."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in others:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
