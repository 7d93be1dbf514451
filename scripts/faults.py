"""Disturb every command and damage every file of a tiny study, and see whether anything is lost or silently wrong.

    python scripts/faults.py --seed 1 --count 600 --damages 500

Each command is run undisturbed; then, for each fault, again from the same state with the fault at a drawn file-system
event, and once more undisturbed. Nothing half-written may stand under a final name, the command may not show a
traceback, and the second run must succeed with the bytes of the undisturbed one. Then every file of the finished study
is damaged in five ways, and the commands that read it must refuse or give the same numbers. Two processes at once, and
readers beside a writer, come last. Exit status 1 if anything is amiss. With `--only WORDS` only cases whose line holds
them all are run: it repeats what a line of the report says.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from harness.damages import damage_all
from harness.disturb import disturb_all
from harness.places import build_study
from harness.processes import load_everything
from harness.together import run_together


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the damages")
    parser.add_argument("--count", type=int, default=600, help="faults in all, over all commands")
    parser.add_argument("--damages", type=int, default=500, help="damages in all, over all files")
    parser.add_argument("--pairs", type=int, default=40, help="cases of two processes at once, and of readers")
    parser.add_argument("--only", nargs="*", default=[], help="run only cases whose line holds all these words")
    parser.add_argument("--base", type=Path, help="make the study in this folder, or use the one that is there")
    parser.add_argument("--quiet", action="store_true", help="print no line for each case")
    options = parser.parse_args()
    load_everything()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder).resolve() / "base"
        if options.base is None or not options.base.exists():
            build_study(base)
            if options.base is not None:
                shutil.copytree(base, options.base)
        else:
            shutil.copytree(options.base, base)
        amiss = disturb_all(base, options.seed, options.count, options.only, options.quiet)
        amiss += damage_all(base, options.seed, options.damages, options.only, options.quiet)
        amiss += run_together(base, options.seed, options.pairs, options.only, options.quiet)
    for line in amiss:
        print(f"AMISS {line}")
    sys.exit(1 if amiss else 0)


if __name__ == "__main__":
    main()
