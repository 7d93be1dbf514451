"""Keep the records of a study under `scripts/results/records/NAME`, and sheets of its GANs under docs/pictures/results.

    python scripts/results/collect.py WORK [NAME]

What is kept is a workspace without images and tensors: `usgan report --work scripts/results/records/NAME` reads it, and
every record has the command and the digests that it came from. Images are listed by digest alone.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from usgan_cli.core.formats.dataset import read_manifest
from usgan_cli.core.formats.generator import SAMPLES_FOLDER
from usgan_cli.core.images import codec
from usgan_cli.core.store.workspace import GanKey, Workspace
from usgan_cli.study.document import StudyDocument

RECORDS = Path(__file__).resolve().parent / "records"
PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "results"
KEPT = (
    "study.json",
    "data/manifest.json",
    "data/run.json",
    "subsets/*.json",
    "gans/*/config.json",
    "gans/*/generator.json",
    "gans/*/run.json",
    "gans/*/log.jsonl",
    "synthetic/*/run.json",
    "scores/*.json",
    "classifiers/*/*/result.json",
    "classifiers/*/*/run.json",
    "ttests/*.json",
)
"""What a report is made of, by pattern."""
MOST_BYTES = 6_000_000
REAL_SHEET = "real.png"


def main() -> None:
    """Copy the records, replacing those of an earlier run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="workspace of the study")
    parser.add_argument("name", nargs="?", help="name of the records (default: the workspace's)")
    options = parser.parse_args()
    name = options.name or options.work.resolve().name
    keep(options.work, RECORDS / name, PICTURES / name)
    size = sum(path.stat().st_size for top in (RECORDS, PICTURES) for path in top.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        raise SystemExit(f"{RECORDS} has {size:,} bytes; {MOST_BYTES:,} are the most that are kept here.")


def keep(work: Path, target: Path, pictures: Path) -> None:
    """Copy a workspace's records to `target`.

    To `pictures` go a sheet of real images (real.png), and one of each GAN's first repeat.
    """
    shutil.rmtree(target, ignore_errors=True)
    shutil.rmtree(pictures, ignore_errors=True)
    for pattern in KEPT:
        for path in sorted(work.glob(pattern)):
            if not path.name.startswith("."):
                copy(path, target / path.relative_to(work))
    name_source(target / "study.json")
    gans = Workspace(work).listed("gans", GanKey.parse)
    first = min((key.seed for key in gans), default=0)
    for key, folder in gans.items():
        if key.seed == first and (sheets := sorted((folder / SAMPLES_FOLDER).glob("kimg*.png"))):
            copy(sheets[-1], pictures / f"{key.name}.png")
    write_real_sheet(work / "data", pictures / REAL_SHEET)


def name_source(study: Path) -> None:
    """Let a study's record name the folder of its images alone, not where on a machine that was."""
    if study.is_file():
        document = StudyDocument.read(study)
        data = document.study.get("data", {})
        if "source" in data:
            data["source"] = Path(data["source"]).name
        document.write(study)


def write_real_sheet(data: Path, target: Path, columns: int = 8) -> None:
    """Write the first real training images of each class, a row a class, as sheets of generated images are laid out."""
    manifest = read_manifest(data)
    rows = []
    for name in manifest.classes:
        files = [image.file for image in manifest.of("train") if image.class_ == name]
        first = [file for file in files if (data / file).is_file()][:columns]
        rows += [[codec.decode(data / file, manifest.channels) for file in first]] if first else []
    if rows:
        codec.write_png(target, codec.sheet(rows))


def copy(path: Path, target: Path) -> None:
    """Copy one file, with its folders."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


if __name__ == "__main__":
    main()
