"""The commands train-cls and ttest on a small workspace, with generated images of three GANs that the test makes."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from calls import train_cls, ttest
from tiny_workspace import (
    AUGS,
    CLASSES,
    COUNTS,
    FAST,
    FOLDS,
    N,
    new_workspace,
    write_gan,
    write_synthetic,
    write_tiny_gan,
)

from usgan_cli import cli
from usgan_cli.core.errors import DataError, MissingError, SettingsError, UsganError
from usgan_cli.core.formats.classifier import ClassifierRecord, FoldRecord, Predictions
from usgan_cli.core.formats.comparison import SeedsRecord, TTestRecord
from usgan_cli.core.formats.dataset import Subset, read_manifest
from usgan_cli.core.formats.synthetic import read_synthetic_manifest
from usgan_cli.core.images.sets import load_synthetic
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import TrainingSet, Workspace
from usgan_cli.steps import ttest as ttest_step
from usgan_cli.terminal.session import Session


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = new_workspace(tmp_path_factory.mktemp("commands"), (0, 1))
    for aug in AUGS:
        write_synthetic(made, aug)
    write_synthetic(made, "ada", 1)
    return made


@pytest.fixture(scope="module")
def trained(work: Workspace) -> Workspace:
    session = Session(work, Silent())
    train_cls(session, n=N, **FAST)
    for ratio in (0.5, 1.0, 2.0):
        train_cls(session, n=N, aug="ada", ratio=ratio, **FAST)
    for aug in ("none", "diffaug"):
        train_cls(session, n=N, aug=aug, **FAST)
    return work


def folds_of(folder: Path) -> list[FoldRecord]:
    records = [FoldRecord.read(path) for path in sorted((folder / "folds").glob("*.json"))]
    assert records, "a loop over none would pass"
    return records


def test_ratios_of_one_set_are_nested_and_in_the_subsets_proportions(trained: Workspace) -> None:
    listed = read_synthetic_manifest(trained.synthetic("ada", N, 0)).images
    before: set[str] = set()
    for ratio in (0.5, 1.0, 2.0):
        count = round(ratio * N)
        for fold in folds_of(trained.classifier(N, 0, TrainingSet("ada", ratio))):
            assert fold.synthetic == [image.file for image in listed[:count]]
            per_class = [sum(file.startswith(name) for file in fold.synthetic) for name in CLASSES]
            assert np.abs(np.subtract(per_class, ratio * np.array(COUNTS))).max() <= 0.5
        assert before < set(fold.synthetic)
        before = set(fold.synthetic)


def test_no_image_or_member_of_its_group_is_on_both_sides_by_the_files_alone(trained: Workspace) -> None:
    manifest = read_manifest(trained.data)
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
        train_cls(Session(trained, Silent()), n=N, aug="ada", ratio=3.0, **FAST)
    assert f"usgan generate --aug ada --n {N} --seed 0 --count 108 --force" in (caught.value.hint or "")
    with pytest.raises(DataError, match="none can be selected"):
        train_cls(Session(trained, Silent()), n=N, aug="ada", ratio=84 / N, select="distance", **FAST)


def test_images_of_a_gan_that_was_trained_on_other_images_do_not_join_unsaid(tmp_path: Path) -> None:
    own = new_workspace(tmp_path)
    made, drawn = write_synthetic(own, "ada"), Subset.read(own.subset(N, 0)).content_digest()
    folder = own.synthetic("ada", N, 0)

    def trained_on(subset: str, **which: Any) -> list[str]:
        made.model_copy(update={"subset": subset}).write(folder / "manifest.json")
        train_cls(Session(own, heard := Silent(), force=True), n=N, **which, **FAST)
        return heard.warnings

    assert trained_on(drawn, aug="ada") == []
    with pytest.raises(
        DataError, match="ada-n36-s0 was trained on other images than the subset n=36, seed 0"
    ) as caught:
        trained_on("another's", aug="ada")
    assert f"usgan train-gan --aug ada --n {N} --seed 0 --force" in (caught.value.hint or "")
    assert trained_on(drawn, synthetic=folder) == []
    assert ["was trained on other images" in one for one in trained_on("another's", synthetic=folder)] == [True]


@pytest.mark.parametrize("named", [False, True], ids=["by --aug", "by --synthetic"])
def test_the_command_that_an_error_prints_mends_it(
    named: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the images were not made as usual: other settings would replace those that were trained on."""
    own = new_workspace(tmp_path)
    write_tiny_gan(own)
    where = own.root / "mine" if named else own.synthetic("diffaug", N, 0)
    fast = [word for key, value in FAST.items() for word in ([f"--{key}"] if value is True else [f"--{key}", value])]
    which = ["--synthetic", where] if named else ["--aug", "diffaug"]

    def run(*words: object) -> tuple[int, str]:
        code = cli.run([*map(str, words)])
        return code, capsys.readouterr().err

    def pixels() -> np.ndarray:
        return load_synthetic(where).pixels

    def train(ratio: float, out: str) -> tuple[int, str]:
        return run("train-cls", "--n", N, *which, "--ratio", ratio, *fast, "--work", own.root, "--out", tmp_path / out)

    if not named:
        code, said = train(3, "none")
        assert (code, run(*shlex.split(said.partition("Make them: usgan ")[2]))[0]) == (1, 0)
        assert len(pixels()) == 500
    make = ["generate", "--gan", own.gan("diffaug", N, 0), "--count", 20, "--truncation", 0.5, "--noise", "const"]
    assert run(*make, "--out", where, "--force", "--work", own.root)[0] == 0
    few = pixels()
    assert train(0.5, "half")[0] == 0
    code, said = train(1, "whole")
    assert code == 1
    assert "20 generated images; 36 are needed" in said
    assert run(*shlex.split(said.partition("Make more: usgan ")[2]))[0] == 0
    assert train(1, "whole")[0] == 0
    assert np.array_equal(pixels()[:20], few)
    half, whole = (FoldRecord.read(tmp_path / name / "folds" / "fold0.json").synthetic for name in ("half", "whole"))
    assert set(half) < set(whole)


def test_what_is_beyond_the_study_has_artefacts_of_its_own(trained: Workspace) -> None:
    session = Session(trained, Silent())
    only = train_cls(session, n=N, aug="ada", synthetic_only=True, **FAST)
    chosen = train_cls(session, n=N, aug="ada", select="confidence", **FAST)
    assert (only.path.name, chosen.path.name) == ("ada-x1-only", "ada-x1-confidence")
    assert only.result["synthetic_only"] is True
    assert chosen.result["select"] == "confidence"
    record = ttest(session, n=N).result
    variants = {c["name"]: c["variant"] for c in record["comparisons"]}
    assert variants["ada-x1-only"] == "synthetic alone"
    assert variants["ada-x1-confidence"] == "by confidence"
    assert variants["ada-x1"] == ""


def test_controls_have_artefacts_of_their_own_and_are_compared(trained: Workspace) -> None:
    session = Session(trained, Silent())
    made = [train_cls(session, n=N, control=control, **FAST).path.name for control in ("copies", "classical")]
    made.append(train_cls(session, n=N, control="shuffled", aug="ada", ratio=2.0, **FAST).path.name)
    assert made == ["copies-x1", "classical-x1", "ada-x2-shuffled"]
    assert train_cls(session, n=N, control="copies", **FAST).status == "skipped"
    outcome = ttest(session, n=N)
    controls = {c["name"]: (c["aug"], c["control"]) for c in outcome.result["comparisons"] if c["control"]}
    assert controls == {
        "copies-x1": (None, "copies"),
        "classical-x1": (None, "classical"),
        "ada-x2-shuffled": ("ada", "shuffled"),
    }
    table = outcome.path.with_suffix(".csv").read_text()
    assert "copies-x1,,1.0,copies," in table
    assert "ada-x2-shuffled,ada,2.0,shuffled,labels shuffled" in table


def test_unequal_updates_are_refused_with_the_command_that_helps(trained: Workspace, tmp_path: Path) -> None:
    session = Session(trained, Silent())
    quick = FAST | {"freeze": False, "epochs": 1, "batch": 16}
    # 24 real training images, with as many generated ones as the subset has images: 60 in four batches.
    real = train_cls(session, n=N, out=tmp_path / "real", **quick)
    equal = train_cls(session, n=N, aug="ada", ratio=2.0, out=tmp_path / "equal", **quick)
    more = train_cls(session, n=N, aug="ada", out=tmp_path / "more", updates=5, **quick)

    def compared(*others: Any) -> TTestRecord:
        out = tmp_path / "t.json"
        found = ttest(session, baseline=real.path, classifier=[one.path for one in others], out=out)
        return TTestRecord.read(found.path)

    assert {f.updates for f in ClassifierRecord.read(equal.path / "result.json").folds} == {4}
    assert len(compared(equal).comparisons) == 1
    with pytest.raises(SettingsError, match="took 4 and 5 optimiser updates") as caught:
        compared(more)
    assert "--updates 4 --refresh" in (caught.value.hint or "")


def test_strict_needs_gans_that_never_saw_the_fold(trained: Workspace) -> None:
    session = Session(trained, Silent())
    subset = Subset.read(trained.subset(N, 0)).content_digest()

    def strict() -> Any:
        return train_cls(session, n=N, aug="ada", strict=True, **FAST)

    with pytest.raises(MissingError, match="leaves out fold 0 is not there") as caught:
        strict()
    assert f"usgan train-gan --aug ada --n {N} --seed 0" in (caught.value.hint or "")
    assert f"--fold 0 --folds {FOLDS}" in (caught.value.hint or "")
    for fold in range(FOLDS):
        part = (fold, FOLDS)
        write_gan(trained, write_synthetic(trained, "ada", fold=part), part, subset)
    made = [read_synthetic_manifest(trained.synthetic("ada", N, 0, (fold, FOLDS))) for fold in range(FOLDS)]

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
    folder = trained.classifier(N, 0, TrainingSet("diffaug", 1))
    before = {
        p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in {".json", ".csv"} and p.name != "run.json"
    }
    for name in ("run.json", "result.json", "predictions.csv", "folds/fold2.json"):
        (folder / name).unlink()
    assert "diffaug-x1" not in [c["name"] for c in ttest(session, n=N).result["comparisons"]]
    assert train_cls(session, n=N, aug="diffaug", **FAST).status == "done"
    after = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in {".json", ".csv"} and p.name != "run.json"}
    assert after == before
    assert "diffaug-x1" in [c["name"] for c in ttest(session, n=N).result["comparisons"]]


def test_ttest_writes_three_forms_and_takes_records_by_name(trained: Workspace, tmp_path: Path) -> None:
    session = Session(trained, Silent())
    whole = ttest(session, n=N)
    record = TTestRecord.read(whole.path)
    assert whole.path.with_suffix(".csv").is_file()
    assert r"\begin{tabular}" in whole.path.with_suffix(".tex").read_text()
    real, ada = trained.classifier(N, 0), trained.classifier(N, 0, TrainingSet("ada", 1))
    one = ttest(session, baseline=real, classifier=[ada], out=tmp_path / "one.json")
    (alone,) = TTestRecord.read(one.path).comparisons
    assert [effect.name for effect in record.effects] == [other.name for other in record.comparisons]
    assert not TTestRecord.read(one.path).effects, "their dataset is not known"
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
    with pytest.raises(SettingsError, match="names the JSON file"):  # its own CSV would be written over it
        ttest(session, n=N, out=tmp_path / "all.csv")


def test_records_of_other_folds_are_refused(trained: Workspace, tmp_path: Path) -> None:
    session = Session(trained, Silent())
    other = train_cls(session, n=N, aug="ada", out=tmp_path / "two", **(FAST | {"folds": 2}))
    with pytest.raises(SettingsError, match="differ in folds: 3 and 2"):
        ttest(session, baseline=trained.classifier(N, 0), classifier=[other.path], out=tmp_path / "t.json")


def test_copies_of_test_images_are_one_cluster_even_where_the_split_ignored_them(tmp_path: Path) -> None:
    work = new_workspace(tmp_path, (0,))
    manifest = read_manifest(work.data)
    first, second, third = manifest.of("test")[:3]
    linked = manifest.model_copy(update={"duplicates": [[first.file, second.file]]})
    linked.write(work.data / "manifest.json")

    def tested_on(digest: str) -> Any:
        settings = SimpleNamespace(test=digest, seed=0)
        return SimpleNamespace(record=SimpleNamespace(n=N, settings=settings))

    clusters = ttest_step._clusters(Session(work, Silent()), [(tested_on(linked.content_digest()), [])])
    assert clusters[first.file] == clusters[second.file] != clusters[third.file]
    with pytest.raises(DataError, match="another version of the dataset"):
        ttest_step._clusters(Session(work, Silent()), [(tested_on(manifest.content_digest()), [])])


def test_seeds_are_summarised(trained: Workspace) -> None:
    session = Session(trained, Silent())
    quick = dataclasses.replace(session, progress=Silent())
    train_cls(quick, n=N, seed=1, **FAST)
    with pytest.raises(MissingError, match="nothing to compare"):
        ttest(session, n=N, seeds=[0, 1])
    train_cls(quick, n=N, seed=1, aug="ada", **FAST)
    with pytest.raises(DataError, match="Seed 1 has no classifier"):
        ttest(session, n=N, seeds=[0, 1])
    # Only what both seeds have: leave the others where ttest does not look.
    for folder in trained.classifiers(N, 0).iterdir():
        if folder.is_dir() and folder.name not in {"real", "ada-x1"}:
            folder.rename(trained.root / folder.name)
    outcome = ttest(session, n=N, seeds=[0, 1])
    assert outcome.path.name == f"n{N}-s0+1.json"
    assert r"\begin{tabular}" in outcome.path.with_suffix(".tex").read_text()
    (one,) = SeedsRecord.read(outcome.path).comparisons
    assert len(one.by_seed) == 2
    (effect,) = SeedsRecord.read(outcome.path).effects
    assert (effect.name, effect.against) == ("ada-x1", "real")
    assert effect.by_repeat == pytest.approx(np.subtract(one.by_seed, one.baseline_by_seed)), "micro F1 is accuracy"
    assert json.loads(outcome.path.read_text())["format"] == "usgan/ttest-seeds"


def changed_png(work: Workspace) -> None:
    path = work.data / read_manifest(work.data).images[3].file
    path.write_bytes(path.read_bytes()[:60])


def cut_subset(work: Workspace, count: dict[str, int]) -> int:
    """Write a subset with at most so many images of a class, and return its size."""
    subset = Subset.read(work.subset(N, 0))
    kept = [file for name in CLASSES for file in [f for f in subset.images if f"/{name}/" in f][: count.get(name, N)]]
    subset.model_copy(update={"n": len(kept), "images": kept}).write(work.subset(len(kept), 0))
    return len(kept)


def one_class(work: Workspace) -> int:
    return cut_subset(work, {"malignant": 0, "normal": 0})


def one_of_a_class(work: Workspace) -> int:
    return cut_subset(work, {"normal": 1})


def with_images(work: Workspace) -> None:
    write_synthetic(work, "ada")


@pytest.mark.parametrize(
    ("settings", "prepare", "words"),
    [
        ({"epochs": 0}, None, "--epochs is 0; it must be 1 or more"),
        ({"folds": 10}, None, "'malignant', has 9 images in 5 groups"),
        ({"weights": "absent.pth"}, None, "absent.pth, which should hold the weights .* does not exist"),
        ({"select": "luck"}, None, "one of confidence, distance"),
        ({"control": "none"}, None, "one of real, copies, classical, shuffled"),
        ({"control": "shuffled"}, None, "needs generated images"),
        ({"control": "copies", "aug": "ada"}, None, "has no generated images"),
        ({"control": "real"}, None, "the baseline is the control 'real' itself"),
        ({"control": "copies", "ratio": 0.0}, None, "--ratio 0 adds no images"),
        ({"control": "copies", "strict": True}, None, "--strict needs generated images"),
        ({"updates": 10}, None, "a linear head has none"),
        ({"updates": 10, "freeze": False, "budget": "epochs"}, None, "--budget epochs lets the images decide"),
        ({"updates": 10, "freeze": False}, None, "updates must be at least epochs"),
        ({"strict": True}, None, "--strict needs generated images"),
        ({"synthetic_only": True}, None, "--synthetic-only needs generated images"),
        ({"class_weights": "few"}, None, "one of none, balanced"),
        ({"freeze": False, "epochs": 1, "lr": 1e30, "head_lr": 1e30}, None, "diverged"),
        ({}, changed_png, r"train3\.png has changed"),
        ({}, one_class, "has no image of the class 'malignant': all are 'benign'"),
        ({}, one_of_a_class, "the smallest class, 'normal', has 1 image"),
        ({"backbone": "efficientnet_b99"}, None, "no network named 'efficientnet_b99'"),
        ({"aug": "ada", "ratio": 0.001}, with_images, "gives no image"),
        ({"aug": "ada", "ratio": float("inf")}, with_images, "--ratio is inf"),
        ({"aug": "ada", "ratio": 0.05, "synthetic_only": True}, with_images, "2 generated images .* none is 'normal'"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_bad_input_gives_a_clear_message(settings: dict[str, Any], prepare: Any, words: str, tmp_path: Path) -> None:
    own = new_workspace(tmp_path)
    n = (prepare(own) if prepare is not None else None) or N
    with pytest.raises(UsganError, match=words):
        train_cls(Session(own, Silent()), n=n, **(FAST | settings))
    assert not [path for path in own.classifiers(n, 0).glob("[!.]*") if path.is_dir()]
