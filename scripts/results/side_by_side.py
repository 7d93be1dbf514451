"""Put the samples of trainings beside real images: the first columns of each training's last sheet, none chosen.

    python scripts/results/side_by_side.py DATA --title "n = 100, 256 pixels" --out docs/pictures/best-256.png \
        --panel "best, 93 seconds" GAN_FOLDER --panel "StyleGAN2 + ADA, 93 seconds" GAN_FOLDER

DATA is a prepared dataset; its first training images of each class stand on the left.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from collect import write_real_sheet
from make_pictures import cut, write_small

from usgan_cli.core.formats.dataset import read_manifest
from usgan_cli.reporting.thumbnails import samples_chart


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--title", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--panel", nargs=2, action="append", required=True, metavar=("NAME", "GAN_FOLDER"))
    args = parser.parse_args()
    manifest = read_manifest(args.data)
    size, classes = manifest.size, manifest.classes
    with tempfile.TemporaryDirectory() as folder:
        real = Path(folder) / "real.png"
        write_real_sheet(args.data, real)
        panels = {"Real training images": cut(real, size, len(classes))}
    for name, gan in args.panel:
        sheets = sorted((Path(gan) / "samples").glob("kimg*.png"))
        if not sheets:
            parser.error(f"{gan} has no samples.")
        panels[name] = cut(sheets[-1], size, len(classes))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_small(args.out, samples_chart(panels, classes, args.title, "samples").png)


if __name__ == "__main__":
    main()
