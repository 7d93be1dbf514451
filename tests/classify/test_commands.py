"""The commands train-cls and ttest on a small workspace, with generated images of three GANs that the test makes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from usgan_cli.classify.folds import class_quotas
from usgan_cli.commands.session import Session
from usgan_cli.commands.train_cls import train_cls
from usgan_cli.commands.ttest import ttest
from usgan_cli.core import datasets, images, synthetic
from usgan_cli.core.documents import RunDocument, RunRecord
from usgan_cli.core.errors import DataError, MissingError, SettingsError, UsganError
from usgan_cli.core.manifest import DataManifest, Subset, SyntheticManifest
from usgan_cli.core.progress import Silent
from usgan_cli.core.records import ClassifierRecord, FoldRecord, Predictions, SeedsRecord, TTestRecord
from usgan_cli.core.workspace import Workspace, gan_name

CLASSES = ["benign", "malignant", "normal"]
COUNTS = [18, 9, 9]
N, FOLDS = sum(COUNTS), 3
FAST: dict[str, Any] = {
    "backbone": "test_efficientnet",
    "weights": "none",
    "freeze": True,
    "size": 32,
    "folds": FOLDS,
    "device": "cpu",
}
AUGS = ("none", "ada", "diffaug")


def picture(rng: np.random.Generator, label: int) -> np.ndarray:
    pixels = rng.normal(110, 15, (1, 32, 32))
    y, x = rng.integers(2, 18, 2)
    pixels[0, y : y + 12, x : x + 12] += (90, -90, 0)[label]
    return pixels.clip(0, 255).astype(np.uint8)


def write_data(work: Workspace) -> DataManifest:
    rng = np.random.default_rng(0)
    listed = []
    for split, counts in (("train", COUNTS), ("test", [12, 6, 6])):
        for label, count in enumerate(counts):
            for i in range(count):
                file = work.data / "images" / CLASSES[label] / f"{split}{i}.png"
                data = images.encode_png(picture(rng, label))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
                listed.append(
                    {
                        "file": file.relative_to(work.data).as_posix(),
                        "class": CLASSES[label],
                        "split": split,
                        "group": len(listed) // 2 if split == "train" else 500 + len(listed),
                        "sha256": __import__("hashlib").sha256(data).hexdigest(),
                        "source": file.name,
                    }
                )
    body: dict[str, Any] = {
        "classes": CLASSES,
        "size": 32,
        "channels": 1,
        "layout": "class folders",
        "resampling": "none",
        "fit": "none",
        "test_share": 0.4,
        "seed": 0,
        "images": listed,
        "left_out": [],
        "duplicates": [],
        "conflicts": [],
    }
    known = DataManifest.model_fields
    manifest = DataManifest.model_validate({name: value for name, value in body.items() if name in known})
    manifest.write(work.data / "manifest.json")
    return manifest


def write_synthetic(work: Workspace, aug: str, seed: int = 0, fold: tuple[int, int] | None = None) -> SyntheticManifest:
    """Generated images in the order of `usgan generate`: twice the subset, and a few more."""
    folder, rng = work.synthetic(aug, N, seed, fold), np.random.default_rng([AUGS.index(aug), *(fold or ())])
    total = 2 * N + 12
    order = [
        int(np.argmax(np.subtract(class_quotas(COUNTS, k + 1), class_quotas(COUNTS, k) if k else [0] * 3)))
        for k in range(total)
    ]
    folder.mkdir(parents=True)
    with synthetic.open_writer(folder, "png", CLASSES, total, (1, 32, 32)) as writer:
        listed = [writer.add(picture(rng, label), label, i) for i, label in enumerate(order)]
    manifest = SyntheticManifest(
        classes=CLASSES,
        size=32,
        channels=1,
        gan=f"digest of {gan_name(aug, N, seed, fold)}",
        gan_name=gan_name(aug, N, seed, fold),
        truncation_psi=1.0,
        noise="random",
        class_shares={},
        images=listed,
    )
    manifest.write(folder / "manifest.json")
    return manifest


def write_gan(work: Workspace, manifest: SyntheticManifest, part: tuple[int, int], subset: str, **changes: Any) -> None:
    settings = {"fold": part[0], "folds": part[1], "seed": 0} | changes
    run = RunRecord(
        command="train-gan",
        revision=1,
        settings=settings,
        inputs={"subset": subset},
        packages={},
        device="cpu",
        started="",
        wall_s=0,
        peak_memory_mb=0,
    )
    folder = work.gan("ada", N, 0, part)
    folder.mkdir(parents=True, exist_ok=True)
    RunDocument(content=manifest.gan, run=run).write(folder / "run.json")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("commands") / "work")
    manifest = write_data(made)
    for seed in (0, 1):
        files = [image.file for image in manifest.of("train")]
        Subset(n=N, seed=seed, data=manifest.content_digest(), classes=CLASSES, images=files).write(
            made.subset(N, seed)
        )
    for aug in AUGS:
        write_synthetic(made, aug)
    write_synthetic(made, "ada", 1)
    return made


@pytest.fixture(scope="module")
def trained(work: Workspace) -> Workspace:
    session = Session(work, Silent())
    train_cls(session, N, **FAST)
    for ratio in (0.5, 1.0, 2.0):
        train_cls(session, N, aug="ada", ratio=ratio, **FAST)
    for aug in ("none", "diffaug"):
        train_cls(session, N, aug=aug, **FAST)
    return work


def folds_of(folder: Path) -> list[FoldRecord]:
    return [FoldRecord.read(path) for path in sorted((folder / "folds").glob("*.json"))]


def test_ratios_of_one_set_are_nested_and_in_the_subsets_proportions(trained: Workspace) -> None:
    listed = datasets.read_synthetic_manifest(trained.synthetic("ada", N, 0)).images
    before: set[str] = set()
    for ratio in (0.5, 1.0, 2.0):
        count = round(ratio * N)
        for fold in folds_of(trained.classifier(N, 0, "ada", ratio)):
            assert fold.synthetic == [image.file for image in listed[:count]]
            per_class = [sum(file.startswith(name) for file in fold.synthetic) for name in CLASSES]
            assert np.abs(np.subtract(per_class, ratio * np.array(COUNTS))).max() <= 0.5
        assert before < set(fold.synthetic)
        before = set(fold.synthetic)


def test_no_image_or_member_of_its_group_is_on_both_sides_by_the_files_alone(trained: Workspace) -> None:
    manifest = datasets.read_manifest(trained.data)
    group = {image.file: image.group for image in manifest.images}
    test = {image.file for image in manifest.of("test")}
    for folder in sorted(trained.classifiers(N, 0).iterdir()):
        if not (folder / "result.json").is_file():
            continue
        predictions = Predictions.read(folder / "predictions.csv")
        for fold in folds_of(folder):
            rows = predictions.fold == fold.scores.fold
            files = np.array(predictions.files)
            val = set(files[rows & (predictions.part == "val")])
            assert set(files[rows & (predictions.part == "test")]) == test
            held_out = {group[file] for file in val | test}
            assert not held_out & {group[file] for file in fold.train}
            assert not set(fold.synthetic) & set(group)


def test_asking_for_more_than_exists_says_how_to_generate_the_rest(trained: Workspace) -> None:
    with pytest.raises(DataError, match="84 generated images; 108 are needed") as caught:
        train_cls(Session(trained, Silent()), N, aug="ada", ratio=3.0, **FAST)
    assert f"usgan generate --aug ada --n {N} --seed 0 --count 108 --force" in (caught.value.hint or "")
    with pytest.raises(DataError, match="none can be selected"):
        train_cls(Session(trained, Silent()), N, aug="ada", ratio=84 / N, select="distance", **FAST)


def test_what_is_beyond_the_study_has_artefacts_of_its_own(trained: Workspace) -> None:
    session = Session(trained, Silent())
    only = train_cls(session, N, aug="ada", synthetic_only=True, **FAST)
    chosen = train_cls(session, N, aug="ada", select="confidence", **FAST)
    assert (only.path.name, chosen.path.name) == ("ada-x1-only", "ada-x1-confidence")
    assert only.result["synthetic_only"] is True
    assert chosen.result["select"] == "confidence"
    record = ttest(session, N).result
    variants = {c["name"]: c["variant"] for c in record["comparisons"]}
    assert variants["ada-x1-only"] == "synthetic alone"
    assert variants["ada-x1-confidence"] == "by confidence"
    assert variants["ada-x1"] == ""


def test_strict_needs_gans_that_never_saw_the_fold(trained: Workspace) -> None:
    session = Session(trained, Silent())
    subset = Subset.read(trained.subset(N, 0)).content_digest()

    def strict() -> Any:
        return train_cls(session, N, aug="ada", strict=True, **FAST)

    with pytest.raises(MissingError, match="leaves out fold 0 is not there") as caught:
        strict()
    assert f"usgan train-gan --aug ada --n {N} --seed 0" in (caught.value.hint or "")
    assert f"--fold 0 --folds {FOLDS}" in (caught.value.hint or "")
    for fold in range(FOLDS):
        part = (fold, FOLDS)
        write_gan(trained, write_synthetic(trained, "ada", fold=part), part, subset)
    made = [datasets.read_synthetic_manifest(trained.synthetic("ada", N, 0, (fold, FOLDS))) for fold in range(FOLDS)]

    write_gan(trained, made[1], (1, FOLDS), subset, fold=0)  # a GAN that left out another fold
    with pytest.raises(DataError, match="without the validation images of fold 1 of 3"):
        strict()
    write_gan(trained, made[1], (1, FOLDS), "another subset")
    with pytest.raises(DataError, match="not trained on this subset"):
        strict()
    write_gan(trained, made[0], (1, FOLDS), subset)  # images of another GAN
    with pytest.raises(DataError, match="made by another GAN"):
        strict()
    write_gan(trained, made[1], (1, FOLDS), subset)
    outcome = strict()
    assert outcome.path.name == "ada-x1-strict"
    record = ClassifierRecord.read(outcome.path / "result.json")
    assert [fold.synthetic for fold in record.folds] == [manifest.content_digest() for manifest in made]
    assert strict().status == "skipped"


def test_an_unfinished_classifier_is_continued_and_not_compared(trained: Workspace, tmp_path: Path) -> None:
    session = Session(trained, Silent())
    folder = trained.classifier(N, 0, "diffaug", 1)
    before = {
        p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in {".json", ".csv"} and p.name != "run.json"
    }
    for name in ("run.json", "result.json", "predictions.csv", "folds/fold2.json"):
        (folder / name).unlink()
    assert "diffaug-x1" not in [c["name"] for c in ttest(session, N).result["comparisons"]]
    assert train_cls(session, N, aug="diffaug", **FAST).status == "done"
    after = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in {".json", ".csv"} and p.name != "run.json"}
    assert after == before
    assert "diffaug-x1" in [c["name"] for c in ttest(session, N).result["comparisons"]]


def test_ttest_writes_three_forms_and_takes_records_by_name(trained: Workspace, tmp_path: Path) -> None:
    session = Session(trained, Silent())
    whole = ttest(session, N)
    record = TTestRecord.read(whole.path)
    assert whole.path.with_suffix(".csv").is_file()
    assert r"\begin{tabular}" in whole.path.with_suffix(".tex").read_text()
    real, ada = trained.classifier(N, 0, None, 0), trained.classifier(N, 0, "ada", 1)
    one = ttest(session, baseline=real, classifier=[ada], out=tmp_path / "one.json")
    (alone,) = TTestRecord.read(one.path).comparisons
    among = next(c for c in record.comparisons if c.name == "ada-x1")
    assert alone.p == among.p
    assert alone.p_holm == alone.p  # a family of one
    again = {"p_holm": None, "p_corrected_holm": None}
    assert alone.model_copy(update=again) == among.model_copy(update=again)
    for wrong in ({"baseline": real}, {"classifier": [ada]}, {"n": N, "baseline": real, "classifier": [ada]}):
        with pytest.raises(SettingsError, match="belong together"):
            ttest(session, **wrong)
    with pytest.raises(SettingsError, match="Which classifiers"):
        ttest(session)


def test_records_of_other_folds_are_refused(trained: Workspace, tmp_path: Path) -> None:
    session = Session(trained, Silent())
    other = train_cls(session, N, aug="ada", out=tmp_path / "two", **(FAST | {"folds": 2}))
    with pytest.raises(SettingsError, match="differ in folds: 3 and 2"):
        ttest(session, baseline=trained.classifier(N, 0, None, 0), classifier=[other.path], out=tmp_path / "t.json")


def test_seeds_are_summarised(trained: Workspace) -> None:
    session = Session(trained, Silent())
    quick = dataclasses.replace(session, progress=Silent())
    train_cls(quick, N, seed=1, **FAST)
    with pytest.raises(MissingError, match="nothing to compare"):
        ttest(session, N, seeds=[0, 1])
    train_cls(quick, N, seed=1, aug="ada", **FAST)
    with pytest.raises(DataError, match="Seed 1 has no classifier"):
        ttest(session, N, seeds=[0, 1])
    # Only what both seeds have: leave the others where ttest does not look.
    for folder in trained.classifiers(N, 0).iterdir():
        if folder.is_dir() and folder.name not in {"real", "ada-x1"}:
            folder.rename(trained.root / folder.name)
    outcome = ttest(session, N, seeds=[0, 1])
    assert outcome.path.name == f"n{N}-s0+1.json"
    (one,) = SeedsRecord.read(outcome.path).comparisons
    assert len(one.by_seed) == 2
    assert json.loads(outcome.path.read_text())["format"] == "usgan/ttest-seeds"


def changed_png(work: Workspace) -> None:
    path = work.data / datasets.read_manifest(work.data).images[3].file
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("settings", "prepare", "words"),
    [
        ({"epochs": 0}, None, "epochs must be at least 1"),
        ({"folds": 10}, None, "'benign' has 18 images in 9 groups"),
        ({"weights": "absent.pth"}, None, "no file or folder absent.pth"),
        ({"select": "luck"}, None, "called 'luck'"),
        ({"strict": True}, None, "--strict needs generated images"),
        ({"synthetic_only": True}, None, "--synthetic-only needs generated images"),
        ({"class_weights": "few"}, None, "class_weights"),
        ({"freeze": False, "epochs": 1, "lr": 1e30, "head_lr": 1e30}, None, "diverged"),
        ({}, changed_png, "train3.png|cannot be|changed"),
    ],
    ids=str,
)
def test_bad_input_gives_a_clear_message(settings: dict[str, Any], prepare: Any, words: str, tmp_path: Path) -> None:
    own = Workspace(tmp_path / "work")
    manifest = write_data(own)
    files = [image.file for image in manifest.of("train")]
    subset = Subset(n=N, seed=0, data=manifest.content_digest(), classes=CLASSES, images=files)
    subset.write(own.subset(N, 0))
    if prepare is not None:
        prepare(own)
    with pytest.raises(UsganError, match=words):
        train_cls(Session(own, Silent()), N, **(FAST | settings))
