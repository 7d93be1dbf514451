"""Measure a study's GANs as is often done, against the images they were trained on, beside its own scores.

    python scripts/results/as_others.py WORK [NAME] [--seeds 0]

The scores go to `scripts/results/records/NAME/as-others`, one document a GAN with its command and digests; what is
there is left alone. `make_results.py` sets them beside the scores against test images.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import usgan_cli as usgan
from usgan_cli.core.formats.dataset import Subset, read_manifest
from usgan_cli.core.formats.score import ScoreRecord
from usgan_cli.core.store.workspace import GanKey, Workspace

RECORDS = Path(__file__).resolve().parent / "records"
FOLDER = "as-others"
"""Where the scores are in a study's records."""


def main() -> None:
    """Score every GAN that the study has scored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="workspace of the study")
    parser.add_argument("name", nargs="?", help="name of its records (default: the workspace's)")
    parser.add_argument("--seeds", type=int, nargs="+", help="these repeats alone (default: all)")
    options = parser.parse_args()
    workspace = Workspace(options.work)
    target = RECORDS / (options.name or options.work.resolve().name) / FOLDER
    for key in sorted(workspace.listed("scores", GanKey.parse, ".json")):
        if options.seeds is None or key.seed in options.seeds:
            against_training_images(workspace, key, target / f"{key.name}.json")


def against_training_images(workspace: Workspace, key: GanKey, target: Path) -> None:
    """Write the scores of one GAN's images against its training images."""
    if target.exists():
        return
    record = ScoreRecord.read(workspace.score(key.name))
    images = Subset.read(workspace.subset(key.n, key.seed)).pick(read_manifest(workspace.data))
    with tempfile.TemporaryDirectory() as folder:
        real = Path(folder) / f"training images of {key.name}"
        for image in images:
            place = real / image.class_ / Path(image.file).name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(workspace.data / image.file, place)
        usgan.score(
            real=real,
            fake=workspace.synthetic(key.aug, key.n, key.seed),
            extractor=record.settings.extractor.split("@")[0],
            count=record.settings.count,
            ssim_pairs=2,  # the distance alone is wanted
            repeats=2,
            out=target,
            quiet=True,
        )


if __name__ == "__main__":
    main()
