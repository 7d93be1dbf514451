"""Images of another program's generator go through train-cls, score, ttest and report as a GAN's do, or are refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import report, score, train_cls, ttest
from PIL import Image
from tiny_data import zipped
from tiny_workspace import CLASSES, COUNTS, FAST, N, new_workspace, picture

from usgan_cli.core.errors import DataError, SettingsError, UsganError
from usgan_cli.core.formats.classifier import ClassifierRecord, FoldRecord
from usgan_cli.core.formats.comparison import TTestRecord
from usgan_cli.core.formats.dataset import DataManifest, read_manifest
from usgan_cli.core.formats.score import ScoreRecord
from usgan_cli.core.images import codec
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.metrics import features
from usgan_cli.reporting.verdict import UNSCORED
from usgan_cli.steps.foreign import Foreign, is_foreign, load_foreign, name_of
from usgan_cli.steps.inventory import take_inventory
from usgan_cli.steps.outdated import find_outdated
from usgan_cli.terminal.session import Session

ENOUGH = dict(zip(CLASSES, COUNTS, strict=True))


def made(top: Path, counts: Mapping[str, int] = ENOUGH, *, seed: int = 7, size: int = 32) -> Path:
    """Write images as another program would: any size, numbered, a folder for each class."""
    draws = np.random.default_rng(seed)
    for name, count in counts.items():
        for i in range(count):
            pixels = picture(draws, CLASSES.index(name) if name in CLASSES else 0)
            codec.write_png(top / name / f"{i:04d}.png", codec.fit(pixels, size))
    return top


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return new_workspace(tmp_path_factory.mktemp("foreign"))


def train(work: Workspace, folder: Path, progress: Silent | None = None, **options: Any) -> Any:
    return train_cls(Session(work, progress or Silent()), n=N, synthetic=folder, **(FAST | options))


def folds_of(folder: Path) -> list[FoldRecord]:
    records = [FoldRecord.read(path) for path in sorted((folder / "folds").glob("*.json"))]
    assert records, "a loop over none would pass"
    return records


def load(work: Workspace, folder: Path, **changes: Any) -> Foreign:
    manifest = read_manifest(work.data).model_copy(update=changes)
    return load_foreign(folder, "x", manifest, COUNTS, None, Silent())


def test_a_plain_folder_stands_beside_the_baseline_and_the_copies_under_its_own_name(
    work: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usgan_cli.steps.score.make_extractor", lambda *_, **__: Blocks())
    folder, session = made(tmp_path / "diffusion", dict.fromkeys(CLASSES, 20), size=48), Session(work, Silent())
    train_cls(session, n=N, **FAST)
    train_cls(session, n=N, control="copies", **FAST)
    outcome = train(work, folder)
    assert outcome.path == work.classifiers(N, 0) / "diffusion-x1"
    record = ClassifierRecord.read(outcome.path / "result.json")
    assert (record.name, record.aug, record.control, record.ratio) == ("diffusion-x1", "diffusion", None, 1)
    for fold in folds_of(outcome.path):
        first = [f"{name}/{i:04d}.png" for name in CLASSES for i in range(ENOUGH[name])]
        assert fold.synthetic == first, "the first of each class, in the proportions of the subset"
    compared = TTestRecord.read(ttest(session, n=N).path)
    (effect,) = [one for one in compared.effects if one.aug == "diffusion"]
    assert (effect.name, effect.against) == ("diffusion-x1", "copies-x1")
    scored = score(session, synthetic=folder, n=N, ssim_pairs=10, repeats=5, device="cpu")
    assert scored.path == work.score(f"diffusion-n{N}-s0")
    page = (report(session).path.parent / "index.html").read_text()
    assert "+ 100 % diffusion" in page
    assert not find_outdated(take_inventory(work)), "what is outside of the workspace is not looked at"
    assert f"{UNSCORED}: diffusion-n{N}-s0" not in page
    csv = (work.ttest(N, 0)).with_suffix(".csv").read_text()
    assert "diffusion-x1,diffusion,1.0,," in csv


class Blocks:
    """An extractor whose features are the images' block means."""

    name, dim = "blocks@1", 16

    def __call__(self, pixels: codec.Pixels, **_: object) -> features.Features:
        n, c, h, w = pixels.shape
        return pixels.reshape(n, c, 4, h // 4, 4, w // 4).mean(axis=(1, 3, 5)).reshape(n, 16).astype(np.float32)


def test_images_are_brought_to_the_datasets_size_and_channels_by_its_own_fit(work: Workspace, tmp_path: Path) -> None:
    for i, name in enumerate(CLASSES):
        (tmp_path / "d" / name).mkdir(parents=True)
        wide = np.random.default_rng(i).integers(0, 256, (40, 90, 3), dtype=np.uint8)
        Image.fromarray(wide).save(tmp_path / "d" / name / "a.png")
    source = codec.read_picture(tmp_path / "d" / "benign" / "a.png", 1).pixels
    for fit in ("stretch", "pad", "crop"):
        images = load(work, tmp_path / "d", fit=fit).images
        assert images.pixels.shape == (3, 1, 32, 32)
        assert np.array_equal(images.pixels[0], codec.fit(source, 32, fit))
    assert load(work, tmp_path / "d", channels=3).images.pixels.shape == (3, 3, 32, 32)


def test_masks_are_left_out_and_deep_files_are_scaled_by_the_bits_they_use(work: Workspace, tmp_path: Path) -> None:
    folder = made(tmp_path / "d")
    for path in sorted(folder.glob("*/*.png")):
        pixels = np.asarray(Image.open(path)).astype(np.uint16) * 16
        pixels[0, :2] = 0, 4095
        Image.fromarray(pixels).save(path)
    outline = np.zeros((1, 32, 32), np.uint8)
    outline[:, 5:9, 5:9] = 255
    codec.write_png(folder / "benign" / "0000_mask.png", outline)
    progress = Silent()
    foreign = load_foreign(folder, "d", read_manifest(work.data), COUNTS, None, progress)
    assert foreign.images.class_counts() == ENOUGH
    assert foreign.images.pixels.max() == 255
    assert any("1 mask in d left out" in note for note in progress.notes)
    assert any("0 to 4095 (12 bits)" in note for note in progress.notes)
    dark = load_foreign(folder, "d", read_manifest(work.data), COUNTS, 16, Silent()).images
    assert dark.pixels.max() == 16


def trainers_zip(path: Path, names: list[str], labels: list[Any]) -> Path:
    draws = np.random.default_rng(3)
    with zipfile.ZipFile(path, "w") as archive:
        files = [f"00000/img{i:08d}.png" for i in range(len(names))]
        for file, name in zip(files, names, strict=True):
            archive.writestr(file, codec.encode_png(picture(draws, CLASSES.index(name))))
        archive.writestr("dataset.json", json.dumps({"labels": list(zip(files, labels, strict=True))}))
    return path


@pytest.mark.parametrize("form", ["numbers", "one-hot", "names"])
def test_the_original_trainers_archive_counts_the_datasets_classes(form: str, work: Workspace, tmp_path: Path) -> None:
    names = [CLASSES[i % 3] for i in range(12)][::-1]
    numbers = [CLASSES.index(name) for name in names]
    labels: list[Any] = {"numbers": numbers, "one-hot": np.eye(3, dtype=int)[numbers].tolist(), "names": names}[form]
    images = load(work, trainers_zip(tmp_path / "gen.zip", names, labels)).images
    assert [CLASSES[label] for label in images.labels] == names
    assert name_of(tmp_path / "gen.zip") == "gen"


def test_numbers_are_names_where_the_dataset_calls_its_classes_so(work: Workspace, tmp_path: Path) -> None:
    archive = trainers_zip(tmp_path / "gen.zip", ["benign", "malignant", "normal"], [2, 1, 0])
    like = ["0", "2", "1"]
    manifest = DataManifest.model_construct(classes=like, channels=1, size=32, fit="stretch")
    images = load_foreign(archive, "x", manifest, [1, 1, 1], None, Silent()).images
    assert [like[label] for label in images.labels] == ["2", "1", "0"]


def test_an_archive_of_class_folders_is_read_as_its_folder(work: Workspace, tmp_path: Path) -> None:
    folder = made(tmp_path / "d")
    plain, packed = load(work, folder), load(work, zipped(folder, tmp_path / "d.zip", inside="out/"))
    assert plain.digest(None) == packed.digest(None)
    assert plain.digest(8) == packed.digest(8) != plain.digest(9)


def test_a_class_may_be_called_as_its_folder_in_the_dataset(work: Workspace, tmp_path: Path) -> None:
    manifest = DataManifest.model_construct(classes=["a/b", "c"], channels=1, size=32, fit="stretch")
    folder = made(tmp_path / "d", {"a%2Fb": 2, "c": 1})
    images = load_foreign(folder, "x", manifest, [1, 1], None, Silent()).images
    assert images.class_counts() == {"a/b": 2, "c": 1}


def test_more_images_change_nothing_and_other_images_are_refused(work: Workspace, tmp_path: Path) -> None:
    folder = made(tmp_path / "resumed")
    first = train(work, folder)
    for name in ("run.json", "result.json", "predictions.csv", "folds/fold2.json"):
        (first.path / name).unlink()  # interrupted
    before = [fold.synthetic for fold in folds_of(first.path)]
    made(folder / "later", {}, seed=1)
    codec.write_png(folder / "benign" / "9999.png", picture(np.random.default_rng(1), 0))
    assert train(work, folder).status == "done"
    assert [fold.synthetic for fold in folds_of(first.path)] == [*before, before[0]]
    assert train(work, folder).status == "skipped"
    codec.write_png(folder / "benign" / "0000.png", picture(np.random.default_rng(2), 0))
    with pytest.raises(SettingsError, match="'images' has changed"):
        train(work, folder)


def test_a_folder_named_after_its_subset_gives_the_generators_name(work: Workspace, tmp_path: Path) -> None:
    assert train(work, made(tmp_path / f"ldm-n{N}-s0")).path.name == "ldm-x1"
    assert train(work, made(tmp_path / "ldm-n999-s0")).path.name == "ldm-n999-s0-x1"


@pytest.mark.parametrize("name", ["[red]x[-]", "=1+1", "a;b", "<b>", "..x", "良性"])
def test_a_hostile_name_of_the_folder_stays_one_folder(name: str, work: Workspace, tmp_path: Path) -> None:
    outcome = train(work, made(tmp_path / name))
    assert outcome.path.parent == work.classifiers(N, 0)
    assert ClassifierRecord.read(outcome.path / "result.json").aug == name
    assert any(one.aug == name for one in TTestRecord.read(ttest_of(work)).comparisons)


def ttest_of(work: Workspace) -> Path:
    session = Session(work, Silent())
    train_cls(session, n=N, **FAST)
    return ttest(session, n=N).path


@pytest.mark.parametrize(
    ("counts", "options", "words", "hint"),
    [
        ({"benign": 18, "malignant": 4, "normal": 2}, {}, r"4 of 'malignant' \(9 needed\) and 2 of 'normal'", "0.2"),
        ({"benign": 18, "malignant": 9}, {}, "no image of 'normal'", "benign, malignant and normal"),
        ({"benign": 18}, {}, "no image of 'malignant' and no image of 'normal'", "a folder for each class"),
        (ENOUGH | {"Cyst": 3}, {}, "3 images of 'Cyst', which is no class of the dataset", "benign"),
        (ENOUGH | {"": 2}, {}, "2 images in no folder of a class", "dataset.json"),
        (ENOUGH | {"test": 2}, {}, "named for a side of a split", "Name the folder"),
        (ENOUGH | {"x\x1b[31m\ny": 2}, {}, r"2 images of 'x\\x1b\[31m\\ny', which", "benign"),
        (ENOUGH | {"n" * 230: 2}, {}, "2 images of 'n{40}...', which", "benign"),
        (ENOUGH, {"select": "distance"}, "none can be selected", "Make more"),
        (ENOUGH, {"strict": True}, "give --aug, not --synthetic", ""),
        (ENOUGH, {"ratio": 2.0}, r"18 of 'benign' \(36 needed\)", "--ratio of 1 or less"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_message(
    counts: dict[str, int], options: dict[str, Any], words: str, hint: str, work: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(UsganError, match=words) as caught:
        train(work, made(tmp_path / "d", counts), **options)
    assert hint in (caught.value.hint or "")
    assert not (work.classifiers(N, 0) / "d-x1").exists()


def test_the_ratio_that_a_refusal_names_is_accepted(work: Workspace, tmp_path: Path) -> None:
    folder = made(tmp_path / "few", {"benign": 18, "malignant": 4, "normal": 2})
    with pytest.raises(DataError) as caught:
        train(work, folder)
    ratio = float((caught.value.hint or "").rpartition("--ratio of ")[2].split()[0])
    assert train(work, folder, ratio=ratio).status == "done"
    foreign = load(work, folder)
    assert foreign.fits(foreign.most())
    assert not foreign.fits(foreign.most() + 1)


@pytest.mark.parametrize("name", ["ada", "Best", "copies", "real", f"diffaug-n{N}-s0", "two\nlines", "\u202ex"])
def test_names_that_mean_something_else_are_refused(name: str, work: Workspace, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="called as") as caught:
        train(work, made(tmp_path / name))
    assert "Rename the folder" in (caught.value.hint or "")


def test_an_empty_folder_and_usgans_own_are_told_apart(work: Workspace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        train(work, tmp_path / "empty")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "manifest.json").write_text("{}")
    assert not is_foreign(tmp_path / "own")
    with pytest.raises(UsganError, match=r"manifest\.json"):
        train(work, tmp_path / "own")
    with pytest.raises(SettingsError, match="--bits is for images of other programs"):
        train(work, tmp_path / "own", bits=12)


def test_a_score_takes_the_class_shares_of_the_real_images(
    work: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usgan_cli.steps.score.make_extractor", lambda *_, **__: Blocks())
    few: dict[str, Any] = {"ssim_pairs": 10, "repeats": 5, "device": "cpu"}
    folder, progress = made(tmp_path / "gen", {"benign": 30, "malignant": 12, "normal": 12}), Silent()
    outcome = score(Session(work, progress), synthetic=folder, **few)
    record = ScoreRecord.read(outcome.path)
    assert (outcome.path, record.settings.count) == (work.score("gen"), 49)
    counts = {name: scores.count for name, scores in record.fake.classes.items()}
    assert counts == {"benign": 25}, "which leaves 24 for the two others, too few for numbers of their own"
    assert any("which subset gen was trained on" in note for note in progress.notes)
    assert any("fewer than 500" in warning for warning in progress.warnings)
    assert record.subset is None
    with_n = score(Session(work, Silent()), synthetic=folder, n=N, count=20, **few)
    known = ScoreRecord.read(with_n.path)
    assert (with_n.path, known.settings.count) == (work.score(f"gen-n{N}-s0"), 20)
    assert known.subset is not None
    assert score(Session(work, Silent()), synthetic=folder, n=N, count=20, **few).status == "skipped"
    with pytest.raises(DataError, match="no image of 'normal'"):
        score(Session(work, Silent()), synthetic=made(tmp_path / "two", {"benign": 3, "malignant": 3}), **few)
