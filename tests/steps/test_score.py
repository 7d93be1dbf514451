"""`usgan score` on two folders and on a training's snapshots: what it takes, what it writes, what it says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import score
from tiny_gan import tiny_document

from usgan_cli.core.errors import DataError, MissingError, SettingsError, WeightsError
from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.core.formats.generator import Architecture
from usgan_cli.core.formats.score import ScoreRecord, SnapshotsRecord
from usgan_cli.core.formats.tensors import write_tensors
from usgan_cli.core.images import codec
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.progress import Silent
from usgan_cli.core.store import files
from usgan_cli.core.store.document import PlanDocument
from usgan_cli.core.store.step import Outcome
from usgan_cli.core.store.workspace import Workspace, fold_left_out
from usgan_cli.data.source import folders
from usgan_cli.data.source.folders import content_digest
from usgan_cli.gan.networks import Generator
from usgan_cli.metrics import features
from usgan_cli.steps.inputs import find_data
from usgan_cli.steps.score import _load_workspace, _subset_of
from usgan_cli.terminal.session import Session

ARCHITECTURE = Architecture(
    resolution=16, img_channels=1, c_dim=2, z_dim=8, w_dim=8, mapping_layers=1, channel_base=64, channel_max=8
)
FEW: dict[str, Any] = {"ssim_pairs": 10, "repeats": 5, "extractor": "efficientnet-lite0", "device": "cpu"}


class Fine:
    """An extractor whose features are the images' 4 x 4 block means."""

    name, dim = "fine@1", 16
    computed = 0

    def __call__(self, pixels: codec.Pixels, **_: object) -> features.Features:
        Fine.computed += len(pixels)
        n, c, h, w = pixels.shape
        return pixels.reshape(n, c, 4, h // 4, 4, w // 4).mean(axis=(1, 3, 5)).reshape(n, 16).astype(np.float32)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    Fine.computed = 0
    for module in ("score", "snapshots"):
        monkeypatch.setattr(f"usgan_cli.steps.{module}.make_extractor", lambda *_, **__: Fine())


def pixels_of(seed: int, channels: int = 1, size: int = 16) -> codec.Pixels:
    rng = np.random.default_rng(seed)
    return np.repeat(rng.integers(0, 256, (1, size, size), dtype=np.uint8), channels, axis=0)


def folder(path: Path, counts: dict[str, int], seed: int = 0) -> Path:
    for place, (name, count) in enumerate(counts.items()):
        (path / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            codec.write_png(path / name / f"{i:03d}.png", pixels_of(1000 * seed + 100 * place + i))
    return path


def load(paths: list[Path]) -> list[ImageSet]:
    return folders.load_folders(paths, fit="stretch", bits=None, progress=Silent())[0]


class Shown:
    def __init__(self) -> None:
        self.rows: list[Sequence[str]] = []

    def __call__(self, _title: str, _head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.rows += rows


def session(work: Path, **changes: Any) -> Session:
    return Session(Workspace(work), Silent(), **changes)


def test_two_folders_need_no_workspace(tmp_path: Path) -> None:
    real, fake = folder(tmp_path / "r", {"a": 14, "b": 12}), folder(tmp_path / "f", {"a": 13, "b": 11}, seed=1)
    (real / ".DS_Store").write_text("x")
    (real / "notes.txt").write_text("x")
    shown = Shown()
    outcome = score(session(tmp_path / "work", table=shown), real=real, fake=fake, **FEW)
    assert outcome.path == tmp_path / "work" / "scores" / "f.json"
    record = ScoreRecord.read(outcome.path)
    assert (record.settings.reference_count, record.settings.count, set(record.fake.classes)) == (26, 24, {"a", "b"})
    assert record.real_name == "one half of the real images against the other"
    assert any(row[0] == "f" for row in shown.rows)
    assert [path.name for path in outcome.path.parent.iterdir() if path.suffix == ".png"] == []
    # Again: nothing to do; after a change of an image: refused; forced: only the changed folder is computed.
    assert score(session(tmp_path / "work"), real=real, fake=fake, **FEW).status == "skipped"
    codec.write_png(fake / "a" / "000.png", pixels_of(9999))
    with pytest.raises(SettingsError, match="'fake' has changed"):
        score(session(tmp_path / "work"), real=real, fake=fake, **FEW)
    Fine.computed = 0
    score(session(tmp_path / "work", force=True), real=real, fake=fake, **FEW)
    assert Fine.computed == 24


def test_training_images_bring_the_floor_copies_and_pictures(tmp_path: Path) -> None:
    real, train = folder(tmp_path / "real", {"": 20}), folder(tmp_path / "train", {"": 15}, seed=1)
    fake = folder(tmp_path / "fake", {"": 4}, seed=2)
    for i in range(8):
        files.write_bytes(fake / f"copy{i}.png", (train / f"{i:03d}.png").read_bytes())
    where = session(tmp_path / "work")
    outcome = score(where, real=real, fake=fake, train=train, baselines=True, pictures=True, **FEW)
    record = ScoreRecord.read(outcome.path)
    assert record.memorization is not None and record.memorization.verdict == "copies"
    assert any("copies training images" in warning for warning in where.progress.warnings)  # type: ignore[attr-defined]
    assert record.memorization.closest[0].generated.startswith("copy")
    assert set(record.baselines) == {"blurred", "noisy"}
    assert set(record.pictures) == {f"fake-{kind}.png" for kind in ("nearest", "grays", "distances")}
    for name, digest in record.pictures.items():
        assert files.sha256_file(outcome.path.parent / name) == digest
    assert outcome.result["memorization"]["verdict"] == "copies"


def test_what_was_changed_for_a_comparison_is_recorded(tmp_path: Path) -> None:
    real, fake = folder(tmp_path / "real", {"": 12}), tmp_path / "fake"
    for i in range(12):
        codec.write_png(fake / f"{i}.png", pixels_of(500 + i, size=32))
        outline = np.zeros((1, 16, 16), np.uint8)
        outline[:, 3:9, 4 : 8 + i % 5] = 255
        codec.write_png(real / f"{i:03d}_tumor.png", outline)
    record = ScoreRecord.read(score(session(tmp_path / "work"), real=real, fake=fake, **FEW).path)
    assert record.settings.reference_count == 12
    assert record.notes[:2] == [
        "12 masks in real left out.",
        "12 images of 12 in fake brought to 16 x 16 pixels (rows x columns, --fit stretch).",
    ]
    with pytest.raises(SettingsError, match="has changed"):
        score(session(tmp_path / "work"), real=real, fake=fake, fit="crop", **FEW, bits=6)


def test_some_of_a_folder_are_of_all_its_classes(tmp_path: Path) -> None:
    real, fake = folder(tmp_path / "real", {"a": 12, "b": 12}), folder(tmp_path / "fake", {"a": 30, "b": 30}, seed=1)
    record = ScoreRecord.read(score(session(tmp_path / "work"), real=real, fake=fake, count=40, **FEW).path)
    assert record.fake.count == 40
    assert all(scores.count > 10 for scores in record.fake.classes.values())


def test_gray_and_colour_may_be_mixed(tmp_path: Path) -> None:
    real, fake = folder(tmp_path / "real", {"": 6}), folder(tmp_path / "fake", {"": 6}, seed=1)
    codec.write_png(fake / "gray.png", pixels_of(50, channels=3))
    one, other = load([real, fake])
    assert (one.pixels.shape[1], other.pixels.shape[1]) == (1, 1)  # three equal channels are gray
    colour = pixels_of(51, channels=3)
    colour[0] //= 2
    codec.write_png(fake / "colour.png", colour)
    one, other = load([real, fake])
    assert (one.pixels.shape[1], other.pixels.shape[1]) == (3, 3)
    assert score(session(tmp_path / "work"), real=real, fake=fake, **FEW).status == "done"


def test_the_digest_of_a_folder_is_of_its_content(tmp_path: Path) -> None:
    (one,) = load([folder(tmp_path / "one", {"a": 3, "b": 2})])
    (same,) = load([folder(tmp_path / "elsewhere", {"a": 3, "b": 2})])
    (other,) = load([folder(tmp_path / "other", {"a": 3, "c": 2})])
    assert content_digest(one) == content_digest(same) != content_digest(other)
    assert (one.classes, one.files[0], one.class_counts()) == (("a", "b"), "a/000.png", {"a": 3, "b": 2})


def test_bad_folders_are_named(tmp_path: Path) -> None:
    real, work = folder(tmp_path / "real", {"": 6}), session(tmp_path / "work")
    with pytest.raises(MissingError, match="nowhere"):
        score(work, real=real, fake=tmp_path / "nowhere", **FEW)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no images"):
        score(work, real=real, fake=tmp_path / "empty", **FEW)
    one = folder(tmp_path / "one", {"": 1})
    with pytest.raises(DataError, match="'one' has 1 images; a Fréchet distance needs at least two"):
        score(work, real=real, fake=one, **FEW)
    mixed = folder(tmp_path / "mixed", {"": 6}, seed=1)
    (mixed / "odd.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"odd\.png cannot be decoded"):
        score(work, real=real, fake=mixed, **FEW)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"real": "r"}, "--real needs --fake"),
        ({"real": "r", "fake": "f", "aug": "ada"}, "leave out --aug"),
        ({"real": "r", "fake": "f", "snapshots": True}, "leave out --snapshots"),
        ({"train": "t", "aug": "ada", "n": 6}, "--train goes with --real and --fake"),
        ({"real": "r", "fake": "f", "baselines": True}, "--train DIR"),
        ({"aug": "ada", "n": 6, "snapshots": True, "baselines": True}, "leave out --baselines"),
        ({"gan": "g"}, "--gan is for --snapshots"),
        ({"aug": "ada", "n": 6, "fit": "pad"}, "--fit is for the folders"),
        ({}, "--aug and --n"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    paths = {"real", "fake", "train", "gan"}
    given = {name: Path(value) if name in paths else value for name, value in options.items()}
    with pytest.raises(SettingsError) as caught:
        score(session(tmp_path), **given)
    assert words in str(caught.value)


def test_weights_that_are_absent_are_named_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("USGAN_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("USGAN_WEIGHTS", raising=False)
    real, fake = folder(tmp_path / "real", {"": 6}), folder(tmp_path / "fake", {"": 6}, seed=1)
    with pytest.raises(WeightsError) as caught:
        score(session(tmp_path / "work"), real=real, fake=fake, device="cpu")
    assert "Fetch https://github.com/" in str(caught.value) and "USGAN_WEIGHTS" in str(caught.value)
    assert not (tmp_path / "work" / "scores" / "fake.json").exists()


@pytest.fixture
def trained(tmp_path: Path) -> Workspace:
    """A workspace with a GAN that kept three generators; the second makes the training images' gray."""
    import torch

    workspace = Workspace(tmp_path / "work")
    listed = []
    for i in range(40):
        name, split = "ab"[i % 2], "test" if i % 4 < 2 else "train"
        file = f"images/{name}/{i}.png"
        flat = np.clip(np.random.default_rng(i).normal(128, 3, (1, 16, 16)), 0, 255).astype(np.uint8)
        digest = codec.write_png(workspace.data / file, flat)
        listed.append({"file": file, "class": name, "split": split, "group": i, "sha256": digest, "source": file})
    manifest = DataManifest.model_validate(
        {
            "classes": ["a", "b"],
            "size": 16,
            "channels": 1,
            "layout": "class folders",
            "resampling": "lanczos",
            "fit": "stretch",
            "test_share": 0.5,
            "seed": 0,
            "images": listed,
            "left_out": [],
            "duplicates": [],
            "conflicts": [],
        }
    )
    manifest.write(workspace.data / "manifest.json")
    chosen = [image["file"] for image in listed if image["split"] == "train"]
    digest = manifest.content_digest()
    Subset(n=20, seed=0, data=digest, classes=["a", "b"], images=chosen).write(workspace.subset(20, 0))
    gan = workspace.gan("ada", 20, 0)
    generator = Generator(ARCHITECTURE, init=torch.Generator().manual_seed(0))
    for kimg, strength in ((1, 1.0), (2, 0.0), (3, 0.5)):
        scaled = {
            name: value * (strength if "torgb" in name and name.endswith("weight") else 1)
            for name, value in generator.state_dict().items()
        }
        write_tensors(gan / "snapshots" / f"kimg{kimg:09.3f}.safetensors", scaled)
    settings = {"n": 20, "seed": 0, **ARCHITECTURE.model_dump()}
    PlanDocument(command="train-gan", revision=1, settings=settings, inputs={}).write(gan / "config.json")
    return workspace


def snapshots(workspace: Workspace, **changes: Any) -> Outcome:
    options = {"extractor": "efficientnet-lite0", "device": "cpu", "repeats": 5, "count": 12} | changes
    outcome = score(Session(workspace, Silent()), aug="ada", n=20, snapshots=True, **options)
    assert isinstance(outcome, Outcome)
    return outcome


def test_snapshots_of_an_unfinished_training_give_a_curve_and_the_best(trained: Workspace) -> None:
    outcome = snapshots(trained, pictures=True)
    assert outcome.path == trained.score("ada-n20-s0-snapshots")
    record = SnapshotsRecord.read(outcome.path)
    assert [one.kimg for one in record.snapshots] == [1, 2, 3]
    assert (record.best_kimg, record.lowest_kimg, record.best_by) == (2, 2, "fd_train")
    assert (record.reference_count, record.train_count, record.count) == (20, 20, 12)
    assert Fine.computed == 20 + 20 + 3 * 12  # real images once
    for one in record.snapshots:
        assert one.fd_interval is not None and one.fd_interval[0] <= one.fd <= one.fd_interval[1]
        assert one.sha256 == files.sha256_file(trained.gan("ada", 20, 0) / one.file)
    assert set(record.pictures) == {"ada-n20-s0-snapshots.png"}
    assert json.loads(json.dumps(outcome.result))["best_kimg"] == 2
    assert snapshots(trained, pictures=True).status == "skipped"


def test_new_snapshots_and_the_end_of_the_training_are_taken_in(trained: Workspace) -> None:
    first = SnapshotsRecord.read(snapshots(trained).path)
    gan = trained.gan("ada", 20, 0)
    files.write_bytes(gan / "snapshots" / "kimg00004.000.safetensors", (gan / first.snapshots[0].file).read_bytes())
    document = tiny_document(name="ada-n20-s0", architecture=ARCHITECTURE, n=20, kimg=4.0, tensors="")
    document.model_copy(update={"classes": ["a", "b"], "class_counts": {"a": 10, "b": 10}}).write(
        gan / "generator.json"
    )
    outcome = snapshots(trained)
    assert outcome.status == "done"
    again = SnapshotsRecord.read(outcome.path)
    assert [one.fd for one in again.snapshots] == [*(one.fd for one in first.snapshots), first.snapshots[0].fd]


def test_without_the_subset_the_test_images_choose_and_it_is_said(trained: Workspace) -> None:
    trained.subset(20, 0).unlink()
    record = SnapshotsRecord.read(snapshots(trained).path)
    assert (record.best_by, record.train_count, record.snapshots[0].fd_train) == ("fd", None, None)


@pytest.mark.parametrize("name", ["ada-n20-s0", "ada-n20-s0-fold0of5", "best-n20-s0"])
def test_the_training_images_of_a_gan_are_known_by_its_name_wherever_it_lies(trained: Workspace, name: str) -> None:
    own = _subset_of(name, find_data(session(trained.root), None), session(trained.root))
    assert own is not None
    assert (own.n, own.seed) == (20, 0)


@pytest.mark.parametrize(
    ("name", "words"),
    [("ada-n20-s1", "subset that ada-n20-s1 was trained on is not in"), ("mine", "not known which subset mine")],
)
def test_where_they_are_not_known_it_is_said(trained: Workspace, name: str, words: str) -> None:
    said: list[str] = []
    asking = session(trained.root)
    asking.progress.note = said.append  # type: ignore[method-assign]
    assert _subset_of(name, find_data(asking, None), asking) is None
    assert len(said) == 1
    assert words in said[0]
    assert "copies are looked for among all training images" in said[0]


def test_a_subset_of_that_name_with_other_images_is_not_taken_for_the_gans(trained: Workspace) -> None:
    """Splits and workspaces each have a subset of the same n and seed."""
    drawn = Subset.read(trained.subset(20, 0)).content_digest()
    said: list[str] = []
    asking = session(trained.root)
    asking.progress.note = said.append  # type: ignore[method-assign]
    assert _subset_of("ada-n20-s0", find_data(asking, None), asking, trained_on=drawn) is not None
    assert said == []
    assert _subset_of("ada-n20-s0", find_data(asking, None), asking, trained_on="another's") is None
    assert "is not in this workspace: copies are looked for among all training images" in said[0]


def test_snapshots_are_not_measured_against_another_subset_of_that_name(trained: Workspace) -> None:
    plan = trained.gan("ada", 20, 0) / "config.json"
    document = PlanDocument.read(plan)
    document.model_copy(update={"inputs": {"subset": Subset.read(trained.subset(20, 0)).content_digest()}}).write(plan)
    assert SnapshotsRecord.read(snapshots(trained).path).train_count == 20
    document.model_copy(update={"inputs": {"subset": "another's"}}).write(plan)
    assert SnapshotsRecord.read(snapshots(trained).path).train_count is None


@pytest.mark.parametrize(
    ("changes", "count"), [({}, 20), ({"fold": 1, "folds": 4}, 15), ({"fold": 0}, 16), ({"stop": "auto"}, 16)]
)
def test_images_that_were_left_out_of_a_training_are_not_its_training_images(
    trained: Workspace, changes: dict[str, Any], count: int
) -> None:
    plan = trained.gan("ada", 20, 0) / "config.json"
    document = PlanDocument.read(plan)
    document.model_copy(update={"settings": document.settings | changes}).write(plan)
    assert SnapshotsRecord.read(snapshots(trained).path).train_count == count


def test_images_of_a_folds_gan_are_compared_with_what_it_saw(trained: Workspace) -> None:
    session_ = session(trained.root)
    data = find_data(session_, None)
    subset = Subset.read(trained.subset(20, 0))
    whole, part = (
        _load_workspace(data.test_images, data, subset, fold_left_out(f"ada-n20-s0{of}")) for of in ("", "-fold1of4")
    )
    assert whole.subset is not None
    assert part.subset is not None
    assert (len(whole.subset), len(part.subset)) == (20, 15)
    assert set(part.subset.files) < set(whole.subset.files)


def test_snapshots_that_are_not_there_or_do_not_fit_are_refused(trained: Workspace) -> None:
    with pytest.raises(MissingError, match="--fd-every"):
        gan = trained.root / "other"
        write = PlanDocument(command="train-gan", revision=1, settings={"n": 1, "seed": 0}, inputs={})
        write.model_copy(update={"settings": {"n": 20, "seed": 0, **ARCHITECTURE.model_dump()}}).write(
            gan / "config.json"
        )
        score(Session(trained, Silent()), gan=gan, snapshots=True, device="cpu")
    with pytest.raises(MissingError, match="holds no generator"):
        score(Session(trained, Silent()), gan=trained.root / "nowhere", snapshots=True, device="cpu")
