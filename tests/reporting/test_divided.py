"""What the source's own split divides is a caution, and neither card, checklist nor protocol denies it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from study_records import run_of, write_study

from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.store.document import RunDocument
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.reporting.cards import dataset_card
from usgan_cli.reporting.cautions import cautions
from usgan_cli.reporting.claim import checklist
from usgan_cli.reporting.divided import Divided, divided
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.protocol import protocol_points
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.verdict import Analysis, judge_study

LAST = 3
"""Training images that are of the same patients as as many test images."""


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return write_study(tmp_path / "work", sizes=(8,), ratios=(1.0,))


def keep_split_of_source(
    work: Workspace, *, patients: bool = False, copies: bool = False, **changes: Any
) -> DataManifest:
    """Let the split be the source's, with images of three patients, or copies of three images, on both sides."""
    data = DataManifest.read(work.data / DataManifest.FILE)
    images, test = list(data.images), data.of("test")
    first = data.of("train")[-LAST:]
    for train, other in zip(first, test[:LAST], strict=True) if patients or copies else ():
        at = images.index(other)
        images[at] = other.model_copy(update={"group": train.group})
    pairs = [[one.file, other.file] for one, other in zip(first, test, strict=False)]
    changes |= {"split_from": "source", "images": images, "duplicates": pairs if copies else []}
    changes |= {"groups_from": "PatientID"} if patients else {}
    data = data.model_copy(update=changes)
    data.write(work.data / DataManifest.FILE)
    RunDocument(content=data.content_digest(), run=run_of("prepare")).write(work.data / RunDocument.FILE)
    return data


def texts(work: Workspace) -> tuple[str, str, dict[str, str]]:
    """The cautions, the checklist's row 21, and this run's side of the protocol."""
    study = Study.of(collect(work))
    verdicts = judge_study(study, Analysis())
    said = " ".join(one.text for one in cautions(study, verdicts))
    row = next(line for line in checklist(study, verdicts).splitlines() if line.startswith("| 21 |"))
    return said, row, {point.aspect: point.ours for point in protocol_points(study)}


def test_patients_on_both_sides_of_the_sources_split_are_said_everywhere(work: Workspace) -> None:
    data = keep_split_of_source(work, patients=True)
    assert divided(data) == Divided(copies=0, patients=LAST)
    said, row, points = texts(work)
    assert "3 groups of images of one patient lie on both sides of the split: test scores leak." in said
    card = dataset_card(data, "")
    assert "stratified" not in card and "each on one side" not in card
    assert "- Patients: from PatientID; 3 lie on both sides." in card
    assert "3 patients (from PatientID) lie on both sides of the split" in row and "likewise" not in row
    assert points["Patients"] == "from PatientID, 3 on both sides of the split"


def test_copies_across_the_sources_split_are_not_denied(work: Workspace) -> None:
    data = keep_split_of_source(work, copies=True)
    assert divided(data) == Divided(copies=LAST, patients=0), "the groups are copies alone"
    said, row, points = texts(work)
    assert "3 groups of copies lie on both sides of the split: test scores leak." in said
    assert "of one patient" not in said
    assert "- Split: the source’s own; 3 groups of copies lie on both sides." in dataset_card(data, "")
    assert "3 groups of copies lie on both sides of the split, so test scores leak; folds divide none" in row
    assert points["Copies in the dataset"] == "3 groups on both sides of the split, kept together in every fold"


def test_a_split_that_divides_nothing_says_so(work: Workspace) -> None:
    data = keep_split_of_source(work, groups_from="folder")
    said, row, points = texts(work)
    assert "both sides" not in said
    card = dataset_card(data, "")
    assert "- Split: the source’s own; copies of an image lie on one side." in card
    assert "- Patients: from folder, each on one side." in card
    assert "Copies of an image lie on one side of every partition; patients (from folder) likewise." in row
    assert points["Patients"] == "from folder, each on one side of every split"
    drawn = data.model_copy(update={"split_from": "usgan"})
    assert "drawn with seed 0, stratified by class; copies" in dataset_card(drawn, "")
