"""How long the report of the published study's grid with three seeds takes, and how large its page is.

    python scripts/bench/report.py            # 3 GANs x 4 sizes x 3 seeds, 128 pixels
    python scripts/bench/report.py --keep DIR # leaves the workspace and its report there

The records are those that the tests make (tests/helpers/study_records.py): nothing is trained.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "helpers"))

from study_records import FULL, write_study

from usgan_cli.core.progress import Silent
from usgan_cli.reporting.build import build_report


def measure(root: Path) -> None:
    copying = [f"none-n50-s{seed}" for seed in FULL["seeds"]]
    begin = time.perf_counter()
    workspace = write_study(root, copying=copying, snapshots=True, **FULL)
    print(f"records      {time.perf_counter() - begin:6.1f} s")
    begin, cpu = time.perf_counter(), time.process_time()
    summary = build_report(workspace, workspace.report, Silent())
    print(f"report       {time.perf_counter() - begin:6.1f} s, processor {time.process_time() - cpu:.1f} s")
    page = workspace.report / "index.html"
    print(f"index.html   {page.stat().st_size / 1e6:6.1f} MB")
    everything = sum(path.stat().st_size for path in workspace.report.rglob("*") if path.is_file())
    print(f"whole folder {everything / 1e6:6.1f} MB")
    print(f"{summary.gans} GANs, {summary.classifiers} classifiers, {len(summary.figures)} figures", end=", ")
    print(f"{len(summary.tables)} tables")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="empty folder for the workspace (default: one that is removed)")
    options = parser.parse_args()
    if options.keep is not None:
        measure(options.keep)
        return
    with tempfile.TemporaryDirectory() as place:
        measure(Path(place))


if __name__ == "__main__":
    main()
