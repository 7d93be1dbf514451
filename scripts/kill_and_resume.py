"""Stop trainings at random moments, continue them, and compare their generators with those of undisturbed ones.

    python scripts/kill_and_resume.py --moments 20 --kimg 4

Every training is stopped again and again, by SIGKILL (nothing can be tidied up), SIGINT (Ctrl-C) and SIGTERM in turn,
and the same command run once more until it finishes; its generator must then be the same bytes as that of an
undisturbed training. After SIGINT and SIGTERM during the training, its state must be that of the last line of the log.
On a CPU in float32 with one thread. Exit status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from usgan_cli.core.formats.generator import latest_state, read_log

SIGNALS = (signal.SIGTERM, signal.SIGKILL, signal.SIGINT)
AUGS = ("none", "ada", "diffaug")
IMAGES = 48
USGAN = [sys.executable, "-m", "usgan_cli"]


def usgan(work: Path, *arguments: str) -> None:
    subprocess.run([*USGAN, *arguments, "--work", str(work), "--quiet"], check=True, stdout=subprocess.DEVNULL)


def training(work: Path, aug: str, kimg: float, out: Path) -> list[str]:
    options = ["--preset", "tiny", "--kimg", f"{kimg:g}", "--precision", "float32", "--save-kimg", "0.25"]
    options += ["--ada-kimg", "5", "--threads", "1", "--out", str(out), "--work", str(work), "--quiet"]
    return [*USGAN, "train-gan", "--aug", aug, "--n", str(IMAGES), *options]


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "generator.safetensors").read_bytes()).hexdigest()


def stopped(command: list[str], after_s: float, number: signal.Signals) -> bool:
    """Run a command and send it a signal after a while; return whether it was still running."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        process.communicate(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        _, messages = process.communicate()
        # Before Python runs, a signal ends a process at once.
        if process.returncode not in (130, -number):
            raise SystemExit(f"{number.name}: exit status {process.returncode}\n{messages.decode()}") from None
        return True
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return False


def check_saved(folder: Path) -> None:
    """Raise if the newest state is not that of the last line of the log."""
    rows, state = read_log(folder), latest_state(folder / "checkpoint")
    if rows and (state is None or state.images != round(rows[-1].kimg * 1000)):
        raise SystemExit(f"{folder}: logged {rows[-1].kimg:g} kimg, saved {states(folder)}")


def states(folder: Path) -> str:
    return ", ".join(path.stem for path in (folder / "checkpoint").glob("kimg*.json")) or "nothing saved"


def disturb(work: Path, aug: str, kimg: float, moments: int, draws: random.Random) -> bool:
    """Return whether a training stopped `moments` times has the undisturbed result."""
    plain, disturbed = work / f"{aug}-plain", work / f"{aug}-disturbed"
    began = time.perf_counter()
    subprocess.run(training(work, aug, kimg, plain), check=True, stdout=subprocess.DEVNULL)
    spent = time.perf_counter() - began
    for moment in range(1, moments + 1):
        # Late enough to have begun, early enough that the next one finds work left.
        number = SIGNALS[moment % len(SIGNALS)]
        if not stopped(training(work, aug, kimg, disturbed), draws.uniform(0.2, 0.2 + 1.5 / moments) * spent, number):
            print(f"{aug}: finished before moment {moment}; it begins again", flush=True)
            subprocess.run(["rm", "-r", str(disturbed)], check=True)
            continue
        print(f"{aug}: {number.name} at moment {moment}; {states(disturbed)}", flush=True)
        if number != signal.SIGKILL:
            check_saved(disturbed)
    subprocess.run(training(work, aug, kimg, disturbed), check=True, stdout=subprocess.DEVNULL)
    same = digest(plain) == digest(disturbed)
    print(f"{aug}: {digest(disturbed)[:16]} {'the same' if same else f'differs from {digest(plain)[:16]}'}", flush=True)
    return same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=20, help="stops in all, shared by the three GANs")
    parser.add_argument("--kimg", type=float, default=4, help="length of each training")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    # The background jobs of a shell, and all that they start, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    draws = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        usgan(work, "phantom", str(work / "phantoms"), "--count", "78", "--size", "32")
        usgan(work, "prepare", str(work / "phantoms"), "--size", "32")
        usgan(work, "subsample", "--n", str(IMAGES))
        shares = [arguments.moments // 3 + (i < arguments.moments % 3) for i in range(3)]
        same = [disturb(work, aug, arguments.kimg, share, draws) for aug, share in zip(AUGS, shares, strict=True)]
    sys.exit(0 if all(same) else 1)


if __name__ == "__main__":
    main()
