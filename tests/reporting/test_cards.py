"""Cards say what the records know, mark what they do not know, and call no copying generator shareable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from usgan_cli.cli import run
from usgan_cli.core.store import files
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.reporting.cards import CardsSummary, croissant, write_cards
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.markdown import plain
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.verdict import Analysis, headline, judge_study


@pytest.fixture(scope="module")
def cards(study: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("cards")
    judged = Study.of(collect(study))
    write_cards(judged, judge_study(judged, Analysis()), "CC-BY-4.0", target)
    return target


def test_a_copying_generator_is_never_called_shareable(cards: Path) -> None:
    summary = CardsSummary.read(cards / CardsSummary.FILE)
    assert summary.shareable["none-n40-s0"] is False
    assert "Do not share" in (cards / "models/none-n40-s0.md").read_text()
    assert summary.shareable["ada-n40-s0"] is True
    assert "Do not share" not in (cards / "models/ada-n40-s0.md").read_text()


def test_a_generator_that_was_not_checked_for_copies_is_not_shareable_either(study: Workspace, tmp_path: Path) -> None:
    records = collect(study)
    records.scores.clear()
    unscored = Study.of(records)
    summary = write_cards(unscored, judge_study(unscored, Analysis()), "", tmp_path)
    assert set(summary.shareable.values()) == {False}
    assert "Not checked for copies" in (tmp_path / "models/ada-n40-s0.md").read_text()


def test_every_finished_gan_has_a_card_with_the_digest_of_its_tensors(study: Workspace, cards: Path) -> None:
    for gan in collect(study).finished_gans():
        assert gan.document is not None
        assert gan.document.tensors in (cards / f"models/{gan.key.name}.md").read_text()


def test_the_checklist_has_all_items_and_gives_the_headline(study: Workspace, cards: Path) -> None:
    text = (cards / "claim.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and line.split("|")[1].strip().isdigit()]
    assert len(rows) == 42
    judged = Study.of(collect(study))
    assert headline(judge_study(judged, Analysis())) in rows[35]
    assert "authors’ to answer" in rows[41]  # funding: no record knows


def test_croissant_describes_the_manifest_that_lies_on_disk(study: Workspace) -> None:
    data = collect(study).data
    assert data is not None
    described = croissant(data, "CC-BY-4.0")
    (file,) = [item for item in described["distribution"] if item["@type"] == "cr:FileObject"]
    assert file["sha256"] == files.sha256_file(study.data / file["contentUrl"])
    manifest = json.loads((study.data / "manifest.json").read_text())
    for field in described["recordSet"][0]["field"]:
        key = field["source"]["extract"]["jsonPath"].removeprefix("$.images[*].")
        assert all(key in image for image in manifest["images"])
    assert "license" not in croissant(data, "")


def test_names_from_the_data_cannot_be_markdown() -> None:
    assert plain("a|b\n# *c* <d> [e](f)") == "a\\|b \\# \\*c\\* \\<d\\> \\[e\\](f)"


def test_the_command_writes_once_and_again_when_a_record_changes(
    study: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["card", "--work", str(study.root), "--out", str(tmp_path / "cards")]
    assert run(command) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "cards")
    before = (tmp_path / "cards/run.json").read_bytes()
    assert run(command) == 0
    assert (tmp_path / "cards/run.json").read_bytes() == before
    assert run([*command, "--license", "CC-BY-4.0", "--refresh"]) == 0
    assert "CC-BY-4.0" in (tmp_path / "cards/dataset.md").read_text()


def test_without_a_dataset_it_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["card", "--work", str(tmp_path)]) == 1
    assert "usgan prepare" in capsys.readouterr().err
