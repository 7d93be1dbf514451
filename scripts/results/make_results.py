"""Write docs/results.md from the records under `scripts/results/records`, and nothing else.

    python scripts/results/make_results.py

Every table comes from records of real runs, which name their command, settings and digests. What was not run is listed
with what it would take.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parent))

import figures
import summary
from as_others import FOLDER as AS_OTHERS

from usgan_cli.core.store.files import write_bytes
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.core.table import Table
from usgan_cli.core.text import number
from usgan_cli.reporting import classifier_tables, copying_tables, exchange, score_tables, verdict
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.records import StudyRecords
from usgan_cli.reporting.verdict import judge_study
from usgan_cli.steps.report import declared_analysis

RECORDS = Path(__file__).resolve().parent / "records"
TARGET = Path(__file__).resolve().parents[2] / "docs" / "results.md"
PICTURES = TARGET.parent / "pictures" / "results"
WORDS = Path(__file__).resolve().parent
"""Where the words stand that no record says: what was not run (`not_run.md`), and what a study shows (its name)."""

LEAK_WORDS = (
    "Which split is used decides part of a published F1: compare only figures of the same kind of split. A small "
    "subset holds few copies of test images, so the leak fades with n. Each split has other test images, so one "
    "split's difference says little; the intervals are over splits. A network that is fine-tuned can remember more "
    "than a linear head, so this may be less than what the leak is worth there."
)


def main() -> None:
    """Draw the figures and write the page."""
    for folder in studies():
        draw_figures(folder)
    TARGET.write_text(page(), encoding="utf-8")


def studies() -> list[Path]:
    """Return the folders of the studies whose records are kept."""
    return sorted(path.parent for path in RECORDS.glob("*/study.json"))


def page() -> str:
    """Return the page."""
    lines = [
        "<!-- made by scripts/results/make_results.py -->",
        "",
        "# Results on BUSI",
        "",
        "Our own runs on the 780 images of BUSI (437 benign, 210 malignant, 133 normal), whatever they say. The "
        "records are in `scripts/results/records`; `python scripts/results/make_results.py` makes this page from them.",
    ]
    for folder in studies():
        lines += ["", *study_section(folder)]
    if (RECORDS / "leak.json").is_file():
        lines += ["", *leak_section(json.loads((RECORDS / "leak.json").read_text(encoding="utf-8")))]
    lines += ["", "## What was not run", "", (WORDS / "not_run.md").read_text(encoding="utf-8")]
    return "\n".join(lines).rstrip() + "\n"


def study_section(folder: Path) -> Iterator[str]:
    """Yield the lines of one study: verdicts, image quality, copies, F1, and the published values beside them."""
    workspace = Workspace(folder)
    study = Study.of(collect(workspace))
    verdicts = judge_study(study, declared_analysis(workspace))
    yield from (f"## {folder.name}", "", f"**{verdict.headline(verdicts)}.** {verdict.summary(verdicts)}", "")
    if (words := WORDS / f"{folder.name}.md").is_file():
        yield from (words.read_text(encoding="utf-8").rstrip(), "")
    yield from _shown(summary.table(study.records, verdicts))
    yield from _figures(folder)
    yield from _shown(verdict.table(verdicts))
    yield from _shown(exchange.table(study))
    yield from summary.orderings(study.records, verdicts)
    yield from summary.as_others(study.records, folder / AS_OTHERS)
    for group in study.scores:
        yield from _shown(score_tables.seeds_quality_table(group))
    for group in study.classifiers:
        yield from _shown(classifier_tables.seeds_table(group))
    yield from _folded("Image quality of every repeat", [score_tables.quality_table(group) for group in study.scores])
    yield from _folded("Are the GANs good enough?", [score_tables.enough_table(group) for group in study.scores])
    yield from _folded("Copies", [copying_tables.copying_table(group) for group in study.scores])
    yield from _folded("F1 of every repeat", [classifier_tables.f1_table(group) for group in study.classifiers])
    yield from _sheets(folder)
    yield from ("", *_records_of(study.records))


def _shown(table: Table | None) -> Iterator[str]:
    if table is not None and table.groups:
        yield table.to_markdown(brief=True)


def _folded(title: str, tables: Sequence[Table]) -> Iterator[str]:
    """Yield tables that are opened by a click, in GitHub's pages and in the site's."""
    lines = [line for table in tables for line in _shown(table)]
    if lines:
        yield from ("<details markdown>", f"<summary>{title}</summary>", "", *lines, "</details>", "")


def _figures(folder: Path) -> Iterator[str]:
    for name, what in figures.TITLES.items():
        if (PICTURES / folder.name / f"{name}.png").is_file():
            yield from (f"![{what}](pictures/results/{folder.name}/{name}.png)", "")


def draw_figures(folder: Path) -> None:
    """Draw a study's figures beside its sheets of samples."""
    study = Study.of(collect(Workspace(folder)))
    verdicts = judge_study(study, declared_analysis(Workspace(folder)))
    for name, picture in figures.draw(study, verdicts).items():
        write_bytes(PICTURES / folder.name / f"{name}.png", picture)


def _sheets(folder: Path) -> Iterator[str]:
    sheets = [path for path in sorted((PICTURES / folder.name).glob("*.png")) if path.stem not in figures.TITLES]
    if sheets:
        yield from ("### Samples", "", "Rows by class; the same latents in every sheet, not chosen.", "")
    for sheet in sheets:
        yield from (f"{sheet.stem}:", "", f"![{sheet.stem}](pictures/results/{folder.name}/{sheet.name})", "")


def _records_of(records: StudyRecords) -> Iterator[str]:
    yield from ("### Where it comes from", "", "| command | device | hours | result of |", "|---|---|---:|---|")
    hours: dict[tuple[str, str], list[float]] = {}
    for run in records.runs:
        hours.setdefault((run.command, run.device), []).append(run.wall_s / 3600)
    for (command, device), values in hours.items():
        yield f"| {command} | {device} | {sum(values):.2f} | {len(values)} runs |"


def leak_section(body: dict[str, Any]) -> Iterator[str]:
    """Yield what copies on both sides of the split are worth, with intervals over split seeds."""
    rows: Sequence[dict[str, Any]] = body["rows"]
    splits = sorted({row["split"] for row in rows})
    yield from ("## What the leak is worth", "")
    leaked = [
        row["leaked_test_images"] for row in rows if row["policy"] == "ignore" and row["leaked_test_images"] is not None
    ]
    yield (
        f"Real images only, {body['pixels']} pixels, a linear head on frozen `{body['backbone']}`, five folds, "
        f"{len(splits)} split seeds. A random split by image (`--duplicates ignore`, as published) against one that "
        f"keeps copies together. With the random split {min(leaked)} to {max(leaked)} of 280 test images have a copy "
        "in training. F1 is micro-averaged, in percent; intervals are 95 %, Student's t over splits."
    )
    yield from ("", "| n | kept together | random split | leak, points | random split: validation above test, points |")
    yield "|---:|---:|---:|---:|---:|"
    for n in sorted({row["n"] for row in rows}, reverse=True):
        of = {(row["policy"], row["split"]): row for row in rows if row["n"] == n}
        group = np.array([of["group", split]["test_f1"] for split in splits])
        ignore = np.array([of["ignore", split]["test_f1"] for split in splits])
        above = np.array([of["ignore", split]["val_f1"] - of["ignore", split]["test_f1"] for split in splits])
        cells = [_mean(group), _mean(ignore), _mean(ignore - group, sign=True), _mean(above, sign=True)]
        yield f"| {n} | {' | '.join(cells)} |"
    yield from ("", LEAK_WORDS)


def _mean(values: np.ndarray[Any, np.dtype[np.float64]], *, sign: bool = False) -> str:
    mean = 100 * float(values.mean())
    reach = 100 * float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    ends = f"{number(mean - reach, 1)}, {number(mean + reach, 1)}"
    return f"{number(mean, 1, sign=sign)} [{ends}]"


if __name__ == "__main__":
    main()
