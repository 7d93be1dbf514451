"""Check this package on a GPU: is it right, how fast is it, and what does a training come to in the time that is left.

    python scripts/gpu_check.py --minutes 6 --out gpu-check --data Dataset_BUSI_with_GT
    python scripts/gpu_check.py --small --device cpu          (the check itself, on a processor, about a minute)

Sections run in order of worth in a process of their own, each within its share of the time; the results of each are
written to OUT/results.json at once, so that nothing is lost when the check is cut off. A section that fails, hangs or
takes the device down is recorded, and the next one runs. Exit status 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# This checkout's package, here and in every process that is started, whether or not it is installed.
sys.path.insert(1, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])

from gpu.results import Check, Results, Section, table, wrong  # noqa: E402

SHARES = {
    "device": 0.04,
    "correctness": 0.2,
    "training": 0.32,
    "generation": 0.05,
    "profile": 0.08,
    "loop": 0.08,
    "commands": 0.2,
    "classifier": 0.07,
    "real training": 1.0,
}
"""Sections in order of worth, with the share of all time that each may take; the last one takes what is left."""
AS_TRAINED = ("generation", "profile", "loop")
"""Sections that compute with the device set up as a training sets it up."""
GRACE_S = 30.0
"""How long a section may overrun before its process is ended."""
LEAST_S = 5.0


@dataclass(frozen=True)
class Options:
    """Of the command line."""

    minutes: float
    out: Path
    data: Path | None
    device: str
    small: bool
    only: tuple[str, ...]


FUNCTIONS = {
    "device": "machine.device_and_floors",
    "correctness": "correctness.correctness",
    "training": "speed.training_speed",
    "generation": "speed.generation_speed",
    "profile": "speed.costly_kernels",
    "loop": "loop.loop",
    "commands": "uses.commands",
    "classifier": "speed.classifier_speed",
    "real training": "uses.real_training",
}


def function(name: str) -> Callable[[Check, Section], None]:
    """Return what a section does; loaded only now, so that one that cannot be loaded takes no other with it."""
    module, _, attribute = FUNCTIONS[name].partition(".")
    section: Callable[[Check, Section], None] = getattr(importlib.import_module(f"gpu.{module}"), attribute)
    return section


def work(check: Check, names: list[str]) -> None:
    """Run sections one after the other, in a process of their own; end it where the device no longer answers."""
    import torch

    from usgan_cli.core.machine import device as devices

    results = Results(check.out / "results.json")
    for name in names:
        left = check.ends - time.time()
        if left < LEAST_S:
            return
        seconds = left if name == names[-1] and SHARES[name] == 1 else min(SHARES[name] * check.minutes * 60, left)
        print(f"{name} ({seconds:.0f} s)", flush=True)
        section = Section(results, name, seconds)
        try:
            as_trained = name in AS_TRAINED
            with devices.prepared(torch.device(check.device)) if as_trained else contextlib.nullcontext():
                function(name)(check, section)
            section.end("done")
        except Exception:
            section.end("failed", traceback.format_exc(limit=-6))
            print(section.entry["error"], flush=True)
        if check.device == "cuda":
            try:
                torch.cuda.synchronize()
            except RuntimeError:
                print("The device does not answer; the next section begins in a new process.", flush=True)
                sys.exit(3)


def supervise(options: Options, ends: float) -> Results:
    """Run all sections; end a process that overruns and go on in a new one."""
    path = options.out / "results.json"
    command = [sys.executable, __file__, "--worker", str(ends), "--minutes", str(options.minutes)]
    command += ["--out", str(options.out), "--device", options.device, *(["--small"] if options.small else [])]
    command += [] if options.data is None else ["--data", str(options.data)]
    remaining = list(options.only)
    while remaining and time.time() < ends - LEAST_S:
        process = subprocess.Popen([*command, "--only", *remaining])
        began = time.time()
        while process.poll() is None and not _overruns(Results(path), began, ends, options.minutes):
            time.sleep(0.25)
        if process.poll() is None:
            process.kill()
        process.wait()
        results = Results(path)
        for section in results.sections.values():
            if section["status"] == "running":
                section.update(status="cut off", seconds=round(time.time() - section["began"], 1))
        results.write()
        before, remaining = remaining, [name for name in remaining if name not in results.sections]
        if before == remaining:  # it did not even begin
            break
    results = Results(path)
    for name in remaining:
        results.sections[name] = {"status": "not run", "rows": []}
    results.write()
    return results


def _overruns(results: Results, began: float, ends: float, minutes: float) -> bool:
    now = time.time()
    if now > ends:
        return True
    running = [(name, entry) for name, entry in results.sections.items() if entry["status"] == "running"]
    if not running:
        return now - began > 2 * GRACE_S and not results.sections
    name, entry = running[0]
    return now - max(entry["began"], began) > SHARES[name] * minutes * 60 + GRACE_S


def parse() -> tuple[Options, float | None]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=6, help="for everything together")
    parser.add_argument("--out", type=Path, default=Path("gpu-check"), help="folder of results.json and pictures")
    parser.add_argument("--data", type=Path, help="images of the training: prepared, or a folder of class folders")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--small", action="store_true", help="tiny networks, to check the check itself")
    parser.add_argument("--only", nargs="+", choices=tuple(SHARES), default=tuple(SHARES), help="sections to run")
    parser.add_argument("--worker", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.device == "auto":
        import torch

        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    small = args.small or args.device == "cpu"
    only = tuple(name for name in SHARES if name in args.only)
    return Options(args.minutes, args.out, args.data, args.device, small, only), args.worker


def main() -> None:
    options, worker = parse()
    if worker is not None:
        check = Check(options.device, options.small, options.minutes, worker, options.out, options.data)
        work(check, list(options.only))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").unlink(missing_ok=True)
    results = supervise(options, time.time() + options.minutes * 60)
    print("\n" + table(results))
    problems = wrong(results)
    print("\n" + ("Everything is as it should be." if not problems else "Look at:\n  " + "\n  ".join(problems)))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
