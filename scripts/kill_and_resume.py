"""Kill trainings at random moments, continue them, and compare what they come to with undisturbed ones.

    python scripts/kill_and_resume.py --moments 20 --kimg 4

Every training is killed again and again (SIGKILL, nothing can be tidied up), and the same command run once more until
it finishes; its generator must then be the same bytes as that of a training nobody disturbed. On a CPU in
float32 with one thread. Exit status 1 if one differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def killed(command: list[str], after_s: float) -> bool:
    """Run a command and kill it after a while; return whether it was still running."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return False


def states(folder: Path) -> str:
    return ", ".join(path.stem for path in (folder / "checkpoint").glob("kimg*.json")) or "nothing saved"


def disturb(work: Path, aug: str, kimg: float, moments: int, draws: random.Random) -> bool:
    """Return whether a training killed `moments` times came to the undisturbed result."""
    plain, disturbed = work / f"{aug}-plain", work / f"{aug}-disturbed"
    began = time.perf_counter()
    subprocess.run(training(work, aug, kimg, plain), check=True, stdout=subprocess.DEVNULL)
    spent = time.perf_counter() - began
    for moment in range(1, moments + 1):
        # Late enough to have begun, early enough that the next one finds work left.
        if not killed(training(work, aug, kimg, disturbed), draws.uniform(0.2, 0.2 + 1.5 / moments) * spent):
            print(f"{aug}: finished before moment {moment}; it begins again", flush=True)
            subprocess.run(["rm", "-r", str(disturbed)], check=True)
            continue
        print(f"{aug}: killed at moment {moment}; {states(disturbed)}", flush=True)
    subprocess.run(training(work, aug, kimg, disturbed), check=True, stdout=subprocess.DEVNULL)
    same = digest(plain) == digest(disturbed)
    print(f"{aug}: {digest(disturbed)[:16]} {'the same' if same else f'differs from {digest(plain)[:16]}'}", flush=True)
    return same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=20, help="kills in all, shared by the three GANs")
    parser.add_argument("--kimg", type=float, default=4, help="length of each training")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
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
