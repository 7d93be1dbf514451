"""Make the README's two pictures from a study: its report's first screen, and generated images beside real ones.

    python scripts/results/make_pictures.py busi-cpu       # the records of that name, as collect.py keeps them
    python scripts/results/make_pictures.py WORK           # any finished workspace

Writes docs/pictures/report.png and samples.png, and the README's lines about them. Needs Chromium.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "helpers"))

from browser import find_browser, launch
from collect import PICTURES, REAL_SHEET, RECORDS, keep
from PIL import Image

from usgan_cli import cli
from usgan_cli.core.images import codec
from usgan_cli.core.store.workspace import PAGE, GanKey, Workspace
from usgan_cli.core.text import gan_label, joined
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.records import StudyRecords
from usgan_cli.reporting.thumbnails import Rows, samples_chart, with_distance
from usgan_cli.reporting.verdict import headline, judge_study
from usgan_cli.steps.report import declared_analysis

ROOT = Path(__file__).resolve().parents[2]
TARGET, README = ROOT / "docs" / "pictures", ROOT / "README.md"
BEGIN, END = "<!-- pictures: made by scripts/results/make_pictures.py -->", "<!-- end of pictures -->"
WIDTH, HEIGHT = 1000, 860
"""CSS pixels of the report's first screen that are shown, at most."""
MARGIN = 8
FINDING = """
(finding => {
  const top = finding.getBoundingClientRect().y
  const ends = [...finding.querySelectorAll('*')].map(part => part.getBoundingClientRect().bottom - top)
  return [top, Math.max(...ends.filter(end => end <= %d))]
})(document.querySelector('#finding'))
"""
"""Where the first screen begins, and its height up to the last part that ends within so many pixels."""
COLUMNS = 3
"""Images of each class that are shown of real ones, and of each GAN."""
WIDTHS, MOST_BYTES = (1400, 1200, 1000, 800), 300_000
"""Pixels, of which the first are taken that make a small enough file."""
GAP = 2
"""Pixels between the images of a sheet (`codec.sheet`)."""


def main() -> None:
    """Make both pictures, and write the README's lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="name of records under scripts/results/records, or a workspace")
    name = parser.parse_args().study
    with tempfile.TemporaryDirectory() as folder:
        records, sheets = RECORDS / name, PICTURES / name
        if Path(name).name != name or not records.is_dir():
            records, sheets = Path(folder) / "records", Path(folder) / "sheets"
            keep(Path(name), records, sheets)
        TARGET.mkdir(parents=True, exist_ok=True)
        write_small(TARGET / "report.png", first_screen(records, Path(folder) / "report"))
        study = collect(Workspace(records))
        keys, picture = samples(study, sheets)
        write_small(TARGET / "samples.png", picture)
        text = README.read_text(encoding="utf-8")
        README.write_text(with_pictures(text, lines(records, study, keys)), encoding="utf-8")


def first_screen(records: Path, report: Path) -> bytes:
    """Return what one sees first of the report that is made from the records, as a PNG file."""
    if cli.run(["report", "--work", str(records), "--out", str(report), "--quiet"]):
        raise SystemExit("The report could not be made.")
    if (program := find_browser()) is None:
        raise SystemExit("There is no Chromium on PATH.")
    picture = report / "first-screen.png"
    with launch(program) as browser:
        browser.open(report / PAGE, WIDTH, HEIGHT)
        top, height = browser.evaluate(FINDING % (HEIGHT - MARGIN))
        shown = {"x": 0, "y": top, "width": WIDTH, "height": height + MARGIN}
        browser.screenshot(picture, clip=shown)
    return picture.read_bytes()


def samples(study: StudyRecords, sheets: Path) -> tuple[list[GanKey], bytes]:
    """Return the first GANs of the largest n, and their images beside real ones as a PNG file."""
    if study.data is None or not study.gans:
        raise SystemExit("The study has no dataset, or no GAN.")
    n = max(key.n for key in study.gans)
    keys = [key for key in study.gans if key.n == n]
    keys = [key for key in keys if key.seed == keys[0].seed and (sheets / f"{key.name}.png").is_file()]
    size, classes = study.data.size, study.data.classes
    panels = {"Real training images": cut(sheets / REAL_SHEET, size, len(classes))}
    panels |= {with_distance(study, key): cut(sheets / f"{key.name}.png", size, len(classes)) for key in keys}
    return keys, samples_chart(panels, classes, f"n = {n}, {size} pixels", "samples").png


def cut(sheet: Path, size: int, classes: int) -> Rows:
    """Return the first images of each class's row in a sheet of images with `size` pixels a side."""
    pixels = codec.decode(sheet, 1 if Image.open(sheet).mode == "L" else 3)
    places = [i * (size + GAP) for i in range(max(classes, COLUMNS))]
    if pixels.shape[1] < places[classes - 1] + size or pixels.shape[2] < places[COLUMNS - 1] + size:
        raise SystemExit(f"{sheet} has no {classes} rows of {COLUMNS} images with {size} pixels.")
    return [[pixels[:, y : y + size, x : x + size] for x in places[:COLUMNS]] for y in places[:classes]]


def write_small(target: Path, picture: bytes) -> None:
    """Write a picture with no more pixels than a small file holds."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    red, green, blue = image.split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        image = red
    for width in WIDTHS:
        height = round(image.height * width / image.width)
        smaller = image if image.width <= width else image.resize((width, height), Image.Resampling.LANCZOS)
        smaller.save(target, optimize=True)
        if target.stat().st_size <= MOST_BYTES:
            return
    raise SystemExit(f"{target} has {target.stat().st_size:,} bytes; {MOST_BYTES:,} are the most.")


def lines(records: Path, study: StudyRecords, keys: Sequence[GanKey]) -> str:
    """Return the README's lines about the two pictures."""
    verdict = headline(judge_study(Study.of(study), declared_analysis(Workspace(records))))
    gans = joined([gan_label(key.aug) for key in keys])
    return (
        "A report's first screen, and the first images of that study's GANs beside real ones, none of them chosen:\n\n"
        f"![First screen of a report: {verdict}](docs/pictures/report.png)\n\n"
        f"![Real images beside those of {gans}, n = {keys[0].n}](docs/pictures/samples.png)"
    )


def with_pictures(readme: str, text: str) -> str:
    """Return the README with its lines about the pictures."""
    between = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    changed, count = between.subn(lambda _: f"{BEGIN}\n{text}\n{END}", readme)
    if count != 1:
        raise SystemExit(f"The README has {count} places for the pictures; it needs one.")
    return changed


if __name__ == "__main__":
    main()
