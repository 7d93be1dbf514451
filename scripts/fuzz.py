"""Give every reader changed files; each must be read, or refused with a message.

    python scripts/fuzz.py --seed 1 --count 100000

Sound files of every kind are changed (bits, cuts, splices, values and keys of JSON and TOML, cells of tables) and read
in this process. Anything but success and a `UsganError` is a finding: it is counted by the place in the package that
raised it, and with --keep one file of each is written to tests/corpus, where the tests read it ever after. A case that
takes more than 10 seconds is a finding too. Exit status 1 if there are any.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import logging
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from harness.readers import Reader, all_readers, changed, run_one

CORPUS = Path(__file__).resolve().parent.parent / "tests" / "corpus"
LONGEST_S = 10
MEMORY = 6 << 30


class TooLongError(BaseException):
    """A case took more than LONGEST_S seconds."""


def _too_long(*_: object) -> None:
    raise TooLongError


def place_of(error: BaseException) -> str:
    """Return the error's type and the innermost line of the package that it passed through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "usgan_cli" in frame.filename]
    where = f"{frames[-1].filename.rpartition('usgan_cli/')[2]}:{frames[-1].lineno}" if frames else "elsewhere"
    return f"{type(error).__name__} at {where}"


def shares(readers: list[Reader], count: int) -> dict[str, int]:
    """Return how many of `count` cases each reader gets."""
    whole = sum(reader.share for reader in readers)
    return {reader.name: max(1, round(count * reader.share / whole)) for reader in readers}


def fuzz(reader: Reader, folder: Path, count: int, seed: int) -> dict[str, tuple[int, bytes, str]]:
    """Return findings of one reader: place -> (how often, a file, the last lines of the traceback)."""
    draws = random.Random(f"{seed} {reader.name}")
    found: dict[str, tuple[int, bytes, str]] = {}
    for _ in range(count):
        data = changed(reader, draws)
        signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
        error = run_one(reader, folder, data)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if error is not None:
            key = place_of(error)
            before = found.get(key)
            smaller = data if before is None or len(data) < len(before[1]) else before[1]
            lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
            found[key] = (1 + (before[0] if before else 0), smaller, lines[-1][:160] if lines else "")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the changes")
    parser.add_argument("--count", type=int, default=100_000, help="cases in all")
    parser.add_argument("--only", default="", help="only readers whose name holds this")
    parser.add_argument("--keep", action="store_true", help="keep one file of each finding in tests/corpus")
    options = parser.parse_args()
    faulthandler.enable()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    readers = [reader for reader in all_readers() if options.only in reader.name]
    signal.signal(signal.SIGALRM, _too_long)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY + _mapped(), resource.RLIM_INFINITY))
    counts, table, amiss = shares(readers, options.count), Counter[str](), 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        for reader in readers:
            began = time.perf_counter()
            found = fuzz(reader, Path(folder) / "case", counts[reader.name], options.seed)
            wrong = sum(times for times, _, _ in found.values())
            table["cases"] += counts[reader.name]
            amiss += wrong
            spent = time.perf_counter() - began
            print(f"{reader.name:40}{counts[reader.name]:8} cases {wrong:6} amiss {spent:7.1f} s", flush=True)
            for key, (times, data, line) in sorted(found.items()):
                print(f"    {times:6} x {key}: {line}", flush=True)
                if options.keep:
                    place = CORPUS / reader.name.replace("/", "-").replace(" ", "-")
                    place.mkdir(parents=True, exist_ok=True)
                    (place / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    print(f"seed {options.seed}: {table['cases']} cases of {len(readers)} readers, {amiss} amiss")
    sys.exit(1 if amiss else 0)


def _mapped() -> int:
    """Bytes of address space in use."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main()
