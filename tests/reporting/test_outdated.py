"""Scores of images that have since been replaced decide nothing, and the report says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_records import run_of, write_study

from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.formats.generator import GeneratorDocument
from usgan_cli.core.formats.score import ScoreRecord, SnapshotsRecord
from usgan_cli.core.formats.synthetic import SyntheticManifest, read_synthetic_manifest
from usgan_cli.core.store.document import RunDocument, RunRecord
from usgan_cli.core.store.workspace import GanKey, Workspace
from usgan_cli.reporting.cards import CardsSummary, write_cards
from usgan_cli.reporting.cautions import cautions
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.outdated import current_scores
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.verdict import Analysis, judge_study

KEY = GanKey("ada", 40, 0)
COUNT = 8
"""Images of the set that are scored, fewer than it holds."""


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    """A study whose score of one GAN, too weak to judge, says what it was made from."""
    work = write_study(tmp_path / "work", sizes=(40,), ratios=(1.0,), weak=[KEY.name], snapshots=True)
    write_score_of(work, role="synthetic", digest=used_digest(work), place=f"synthetic/{KEY.name}")
    return work


def used_digest(work: Workspace) -> str:
    made = read_synthetic_manifest(work.named_synthetic(KEY.name))
    return made.model_copy(update={"images": made.images[:COUNT]}).content_digest()


def write_score_of(work: Workspace, *, role: str, digest: str, place: str | None, placed: bool = True) -> None:
    """Write again the score of the GAN, with a record of its inputs; `placed` is False for an older one."""
    score = ScoreRecord.read(work.score(KEY.name))
    inputs = {"data": DataManifest.read(work.data / DataManifest.FILE).content_digest(), role: digest}
    places = {"data": "data"} | ({} if place is None else {role: place})
    run = run_of("score").model_copy(update={"inputs": inputs, "places": places if placed else None})
    settings = score.settings.model_copy(update={"count": COUNT})
    score.model_copy(update={"run": run, "settings": settings}).write(work.score(KEY.name))


def replace_gan(work: Workspace, key: GanKey = KEY, saved: str | None = None) -> str:
    """Replace a GAN by one that was trained for longer; its digest."""
    folder = work.gan(*key)
    document = GeneratorDocument.read(folder / GeneratorDocument.FILE).model_copy(update={"kimg": 12.0})
    document.write(folder / GeneratorDocument.FILE)
    files = {} if saved is None else {"snapshots/kimg00001.500.safetensors": saved}
    finish(folder, document.content_digest(), run_of("train-gan"), files)
    return document.content_digest()


def replace_images(work: Workspace, gan: str) -> None:
    folder = work.named_synthetic(KEY.name)
    manifest = read_synthetic_manifest(folder).model_copy(update={"gan": gan})
    manifest.write(folder / SyntheticManifest.FILE)
    finish(folder, manifest.content_digest(), run_of("generate"))


def finish(folder: Path, content: str, run: RunRecord, files: dict[str, str] | None = None) -> None:
    RunDocument(content=content, run=run, files=files or {}).write(folder / RunDocument.FILE)


def said(work: Workspace) -> str:
    study = Study.of(collect(work))
    return " ".join(one.text for one in cautions(study, judge_study(study, Analysis())))


def test_a_score_of_replaced_images_is_called_out_of_date_and_decides_nothing(work: Workspace, tmp_path: Path) -> None:
    before = judge_study(Study.of(collect(work)), Analysis())
    assert {one.name: one.word for one in before.each}["ada-x1 n40"] == "too weak"
    assert "Scores of" not in said(work)
    replace_images(work, replace_gan(work))
    assert f"Scores of images or a dataset that have since been replaced: {KEY.name}." in said(work)
    assert "not yet like real ones" not in said(work)
    study = Study.of(collect(work))
    judged = judge_study(study, Analysis())
    assert {one.name: one.word for one in judged.each}["ada-x1 n40"] != "too weak"
    (ada,) = [one for one in judged.each if one.effect.aug == "ada"]
    assert ada.quality.unknown == (KEY.name,)
    summary = write_cards(study, judged, "", tmp_path / "cards")
    card = (tmp_path / "cards/models" / f"{KEY.name}.md").read_text()
    assert "Not checked for copies" in card and "Not measured yet" in card
    assert CardsSummary.read(tmp_path / "cards" / CardsSummary.FILE).shareable == summary.shareable
    assert summary.shareable == {"none-n40-s0": True, KEY.name: False, "diffaug-n40-s0": True}


def test_a_score_of_images_by_a_replaced_gan_is_not_of_that_gan(work: Workspace) -> None:
    replace_gan(work)
    assert KEY not in current_scores(collect(work))


def test_a_score_against_another_version_of_the_dataset_is_out_of_date(work: Workspace) -> None:
    data = DataManifest.read(work.data / DataManifest.FILE).model_copy(update={"seed": 7})
    data.write(work.data / DataManifest.FILE)
    finish(work.data, data.content_digest(), run_of("prepare"))
    assert KEY not in current_scores(collect(work))


def test_more_images_behind_those_that_were_scored_change_nothing(work: Workspace) -> None:
    folder = work.named_synthetic(KEY.name)
    made = read_synthetic_manifest(folder)
    more = made.model_copy(update={"images": made.images[:-1]})
    more.write(folder / SyntheticManifest.FILE)
    finish(folder, more.content_digest(), run_of("generate"))
    assert KEY in current_scores(collect(work))


@pytest.mark.parametrize(
    ("role", "place", "placed"),
    [
        ("images", None, True),  # other programs' images
        ("synthetic", None, True),  # images outside of the workspace
        ("synthetic", "synthetic/another", True),
    ],
)
def test_a_score_of_what_lies_elsewhere_is_not_called_out_of_date(
    work: Workspace, role: str, place: str | None, placed: bool
) -> None:
    write_score_of(work, role=role, digest="0" * 64, place=place, placed=placed)
    replace_images(work, replace_gan(work))
    assert KEY in current_scores(collect(work))


def test_an_older_record_is_judged_by_its_name_and_one_without_inputs_not_at_all(work: Workspace) -> None:
    write_score_of(work, role="synthetic", digest=used_digest(work), place=None, placed=False)
    assert KEY in current_scores(collect(work))
    replace_images(work, replace_gan(work))
    records = collect(work)
    assert KEY not in current_scores(records)
    assert GanKey("none", 40, 0) in current_scores(records)


def test_scores_of_saved_generators_that_were_replaced_are_called_out_of_date(work: Workspace) -> None:
    scored = SnapshotsRecord.read(work.score(f"{KEY.name}-snapshots")).snapshots[0]
    first = scored.model_copy(update={"file": "snapshots/kimg00001.500.safetensors"})
    for key, saved in ((KEY, "0" * 64), (GanKey("none", 40, 0), first.sha256)):
        path = work.score(f"{key.name}-snapshots")
        SnapshotsRecord.read(path).model_copy(update={"snapshots": [first]}).write(path)
        replace_gan(work, key, saved)
    text = "Scores of saved generators, or of a dataset, that have since been replaced"
    assert f"{text}: {KEY.name}." in said(work)
