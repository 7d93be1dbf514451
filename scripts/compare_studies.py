"""Carry a study out undisturbed, killed at random moments, and by Snakemake, and compare every file they leave.

    python scripts/compare_studies.py my.toml --moments 5 --jobs 2

The study should say `threads` under [run]: with other numbers of threads, last digits differ. A killed study (SIGKILL)
is started again with the same command until it ends without being killed. Exit status 1 if an artefact differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TIMES = {"seconds", "s_per_kimg", "memory_mb"}
"""Fields of the log that say how long it took and on how much memory, not what was learned."""
OF_FILES = {"self_sha256", "files", "log_bytes", "log_sha256"}
"""Digests and lengths of files that hold times."""
NOT_ARTEFACTS = ("cache/", "snakemake/", "study.json", "report/")
"""The report shows how long every step took; it is compared by what it depends on, the records."""


def command(study: str, source: str | None, work: Path, *options: str) -> list[str]:
    data = [] if source is None else ["--source", source]
    return [sys.executable, "-m", "usgan_cli", "study", study, *data, "--work", str(work), "--quiet", *options]


def without_run(value: Any) -> Any:
    """Return a record without when, where and how fast it was made."""
    if isinstance(value, dict):
        return {k: without_run(v) for k, v in value.items() if k not in TIMES | {"run", "source"} | OF_FILES}
    return [without_run(item) for item in value] if isinstance(value, list) else value


def contents(work: Path) -> dict[str, str]:
    """Return the digest of every file of a workspace's artefacts, by its place."""
    digests = {}
    for path in sorted(work.rglob("*")):
        place = path.relative_to(work).as_posix()
        if not path.is_file() or place.startswith(NOT_ARTEFACTS) or "/." in f"/{place}":
            continue
        data = path.read_bytes()
        if path.suffix in {".json", ".jsonl"}:
            lines = [data.decode()] if path.suffix == ".json" else data.decode().splitlines()
            data = json.dumps([without_run(json.loads(line)) for line in lines], sort_keys=True).encode()
        digests[place] = hashlib.sha256(data).hexdigest()
    return digests


def kill_group(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def disturbed(words: list[str], moments: list[float]) -> None:
    """Kill the study at each moment, seconds after it was begun (again), then let it end."""
    for after in moments:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            kill_group(process)
            print(f"  killed after {after:.0f} s", flush=True)
        else:
            print("  it had ended before", flush=True)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def compare(title: str, plain: dict[str, str], other: dict[str, str]) -> bool:
    differ = [place for place in sorted(plain.keys() | other.keys()) if plain.get(place) != other.get(place)]
    print(
        f"{title}: {len(other)} files, {f'{len(differ)} differ: {differ[:5]}' if differ else 'all the same'}",
        flush=True,
    )
    return not differ


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="a shipped study or a TOML file")
    parser.add_argument("--source", help="folder of images in place of the study's own")
    parser.add_argument("--moments", type=int, default=5, help="kills")
    parser.add_argument("--jobs", type=int, default=2, help="of Snakemake, at once; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    draws = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        works = {name: Path(folder) / name / "work" for name in ("plain", "killed", "jobs")}
        began = time.perf_counter()
        subprocess.run(
            command(arguments.study, arguments.source, works["plain"]), check=True, stdout=subprocess.DEVNULL
        )
        spent = time.perf_counter() - began
        print(f"undisturbed: {spent:.0f} s", flush=True)
        plain = contents(works["plain"])
        share = spent / max(arguments.moments, 1)
        moments = [draws.uniform(0.2, 1.2) * share for _ in range(arguments.moments)]
        disturbed(command(arguments.study, arguments.source, works["killed"]), moments)
        same = compare("killed", plain, contents(works["killed"]))
        if arguments.jobs:
            began = time.perf_counter()
            words = command(arguments.study, arguments.source, works["jobs"], "--engine", "snakemake")
            subprocess.run([*words, "--jobs", str(arguments.jobs)], check=True, stderr=subprocess.DEVNULL)
            print(f"Snakemake, {arguments.jobs} jobs: {time.perf_counter() - began:.0f} s", flush=True)
            same &= compare("Snakemake", plain, contents(works["jobs"]))
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
