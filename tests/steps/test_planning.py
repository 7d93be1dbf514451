"""What a study's steps would refuse is refused when it is planned, before hours of work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from calls import study as run_study

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.steps.planning import check_study
from usgan_cli.steps.study_run import check_networks
from usgan_cli.study.config import SHIPPED, StudyConfig, load_study, parse_study
from usgan_cli.study.plan import plan_study
from usgan_cli.study.run import StepFailedError
from usgan_cli.terminal.session import Session

WORK = Workspace(Path("work"))


def study(**tables: Any) -> StudyConfig:
    body: dict[str, Any] = {
        "name": "mine",
        "data": {"size": 64},
        "grid": {"sizes": [20, 10], "gans": ["none", "best"], "seeds": [0]},
        "score": {"extractor": "efficientnet-lite0"},
    }
    gan = {"preset": "small", "device": "cpu"} | tables.pop("gan", {})
    return parse_study(body | {"gan": gan} | tables)


def refusal(*, elsewhere: bool = False, **tables: Any) -> str:
    config = study(**tables)
    with pytest.raises(SettingsError) as caught:
        check_study(config, plan_study(config, WORK), elsewhere=elsewhere)
    return str(caught.value)


def accept(*, elsewhere: bool = False, **tables: Any) -> None:
    config = study(**tables)
    check_study(config, plan_study(config, WORK), elsewhere=elsewhere)


# GANs


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_studies_can_be_carried_out(name: str) -> None:
    config = load_study(name)
    check_study(config, plan_study(config, WORK), elsewhere=False)


@pytest.mark.parametrize(("key", "value"), [("pixel_weight", 0.5), ("enlarge_last", 0.3)])
def test_a_setting_of_a_projected_discriminator_belongs_to_the_gan_that_has_one(key: str, value: float) -> None:
    assert refusal(gan={key: value}) == (
        f"The GAN none cannot be trained with gan.{key}: {key} is for a projected discriminator.\n"
        f"Leave it out. Or set {key} in [gan.best], in place of [gan], which is for every GAN."
    )
    accept(gan={"best": {key: value}})
    accept(gan={key: value, "discriminator": "projected"})
    words = refusal(gan={"none": {key: value}})
    assert f"The GAN none cannot be trained with gan.none.{key}: " in words
    assert words.endswith("\nLeave it out.")


def test_where_no_gan_of_the_grid_fits_a_setting_none_is_named() -> None:
    words = refusal(gan={"pixel_weight": 0.5}, grid={"sizes": [20], "gans": ["none", "ada"]})
    assert "The GAN none cannot be trained with gan.pixel_weight" in words
    assert words.endswith("\nLeave it out.")


def test_of_two_wrong_settings_one_is_named_and_then_the_other() -> None:
    assert "with gan.enlarge_last: " in refusal(gan={"pixel_weight": 0.5, "enlarge_last": 0.3})
    assert "with gan.pixel_weight: " in refusal(gan={"pixel_weight": 0.5})


@pytest.mark.parametrize(
    ("gan", "words"),
    [
        ({"freeze_d": 2}, "none cannot be trained with gan.freeze_d: freeze_d keeps layers as init brings them"),
        ({"batch": 7}, "none cannot be trained with gan.batch: The batch must be an even number"),
        ({"batch": 18}, "Use batch 20. Or set batch in [gan.best]"),
        ({"preset": "paper256"}, "none cannot be trained with gan.preset: The preset paper256 is for images of 256"),
        ({"feature_size": 32}, "best cannot be trained with gan.feature_size: The feature network would see"),
        ({"feature_network": "lite0"}, "best cannot be trained with gan.feature_network: There is no network 'lite0'"),
        ({"batch_gpu": 3}, "none cannot be trained with gan.batch_gpu: batch_gpu 3 does not divide the batch of 16"),
        ({"gpus": 3}, "none cannot be trained with gan.gpus: A batch of 16 in groups of 4 cannot be shared by 3"),
        ({"precision": "fp16"}, "none cannot be trained with gan.precision: fp16 is not usable on a CPU"),
        ({"cuda_graphs": "on"}, "none cannot be trained with gan.cuda_graphs: cuda_graphs on needs a GPU"),
        ({"fd_every": 5, "extractor": "lite9"}, "none cannot be trained with gan.extractor and gan.fd_every: There is"),
    ],
)
def test_what_a_training_would_refuse_is_refused_with_its_key(gan: dict[str, Any], words: str) -> None:
    assert words in refusal(gan=gan)


def test_each_gan_of_the_grid_is_tried_with_what_it_uses() -> None:
    grid = {"sizes": [20], "gans": ["none", "ada", "diffaug"]}
    assert "ada cannot be trained with gan.ada_ops: unknown ADA operations: 'bgx'" in refusal(
        grid=grid, gan={"ada_ops": "bgx"}
    )
    words = refusal(grid=grid, gan={"policy": "cutout,blur"})
    assert "diffaug cannot be trained with gan.policy: unknown DiffAug policies: blur" in words
    accept(gan={"ada_ops": "bgx"})  # neither of its GANs has ADA


def test_images_of_no_size_for_gans_are_refused() -> None:
    words = refusal(data={"size": 100})
    assert "must have a power of two of pixels on a side" in words
    assert "data.size 64" in words


# Scores, images and classifiers


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"score": {"extractor": "lite9"}}, "[score] There is no feature extractor 'lite9'"),
        ({"score": {"weights": "none"}}, "[score] The feature extractor inception means nothing without its"),
        (
            {"score": {"snapshots": True}},
            "[score] snapshots is for generators that a training keeps, and gan.fd_every is 0 for the GAN none",
        ),
        ({"generate": {"precision": "fp16", "device": "cpu"}}, "[generate] fp16 is not usable on a CPU"),
        ({"generate": {"count": 15}}, "[generate] count is 15; the classifiers of 20 real images need 20 generated"),
        (
            {"generate": {"count": 20}, "classifier": {"select": "distance"}},
            "[generate] count is 20; the classifiers of 20 real images choose 20 generated ones among more",
        ),
        ({"classifier": {"head_epochs": 40}}, "[classifier] head_epochs must be less than epochs (30); it is 40"),
        ({"classifier": {"updates": 3}}, "[classifier] updates must be at least epochs (30)"),
        ({"classifier": {"label_smoothing": 1.0}}, "[classifier] label_smoothing must be at least 0 and less than 1"),
        ({"classifier": {"precision": "fp16", "device": "cpu"}}, "[classifier] fp16 is not usable on a CPU"),
        (
            {"grid": {"sizes": [20], "gans": ["none"], "ratios": [0.01, 1.0]}},
            "grid.ratios: A ratio of 0.01 generated images to each of 20 real ones gives no image",
        ),
    ],
)
def test_what_another_step_would_refuse_is_refused_with_its_table(tables: dict[str, Any], words: str) -> None:
    assert words in refusal(**tables)


def test_what_the_other_steps_take_is_accepted() -> None:
    accept(score={"snapshots": True, "extractor": "timm:resnet18"}, gan={"fd_every": 5})
    accept(score={"snapshots": True}, gan={"stop": "auto"})
    accept(generate={"count": 20})
    accept(generate={"count": 5}, classifier={"strict": True})  # each fold's images have a count of their own
    accept(classifier={"freeze": True, "label_smoothing": 0.2})
    accept(classifier={"budget": "epochs", "controls": ["real", "copies", "shuffled"]})


def test_jobs_may_run_on_a_machine_with_a_gpu() -> None:
    accept(elsewhere=True, gan={"precision": "fp16", "device": "auto", "cuda_graphs": "on"})
    accept(elsewhere=True, gan={"device": "cuda"}, classifier={"device": "cuda:1"})
    assert "fp16 is not usable" in refusal(elsewhere=True, gan={"precision": "fp16", "device": "cpu"})
    assert "[score] 'gpu' is not a device" in refusal(score={"device": "gpu"})


def test_names_of_timm_are_looked_up_before_anything_is_carried_out() -> None:
    check_networks(study())
    for table, key in (("classifier", "backbone"), ("score", "extractor"), ("gan", "feature_network")):
        name = "efficientnet_b22" if table == "classifier" else "timm:efficientnet_b22"
        with pytest.raises(SettingsError, match=rf"^{table}.{key}: timm has no network named 'efficientnet_b22'"):
            check_networks(study(**{table: {key: name}}))
    with pytest.raises(SettingsError, match=r"^gan\.best\.feature_network: timm has no network"):
        check_networks(study(gan={"best": {"feature_network": "timm:efficientnet_b22"}}))


# The command

STUDY = """
name = "mine"
[data]
phantom_count = 40
size = 64
[grid]
sizes = [18]
seeds = [0]
gans = ["none", "best"]
[gan]
preset = "small"
pixel_weight = 0.5
[score]
extractor = "efficientnet-lite0"
"""


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_study_with_a_wrong_setting_is_refused_before_anything_is_made(tmp_path: Path, *, dry_run: bool) -> None:
    file, workspace = tmp_path / "mine.toml", Workspace(tmp_path / "work")
    file.write_text(STUDY)
    with pytest.raises(SettingsError) as caught:
        run_study(Session(workspace, Silent(), dry_run=dry_run), str(file))
    assert str(caught.value).startswith(f"{file}: The GAN none cannot be trained with gan.pixel_weight")
    assert "[gan.best]" in str(caught.value)
    assert not workspace.root.exists()


def test_refusing_a_study_loads_no_networks_either(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(STUDY)
    words = ["study", str(tmp_path / "mine.toml"), "--work", str(tmp_path / "work"), "--dry-run"]
    code = f"import sys; from usgan_cli import cli; assert cli.run({words}) == 1; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("table", "key"),
    [("gan", "init"), ("gan.best", "feature_weights"), ("score", "weights"), ("classifier", "weights")],
)
def test_a_file_that_a_later_step_reads_must_be_there(tmp_path: Path, table: str, key: str) -> None:
    file, absent = tmp_path / "mine.toml", tmp_path / "absent.pkl"
    text = STUDY.replace("pixel_weight = 0.5\n", "").replace("[score]\n", "[gan.best]\n[classifier]\n[score]\n")
    file.write_text(text.replace(f"[{table}]\n", f'[{table}]\n{key} = "{absent}"\n'))
    workspace, progress = Workspace(tmp_path / "work"), Silent()
    with pytest.raises(StepFailedError, match=rf"{key}: {absent} does not exist"):
        run_study(Session(workspace, progress), str(file))
    assert not workspace.root.exists()
    run_study(Session(workspace, progress, dry_run=True), str(file))
    assert any(note.startswith("Impossible as set: ") and str(absent) in note for note in progress.notes)


def test_a_training_may_start_from_a_gan_that_the_study_itself_makes(tmp_path: Path) -> None:
    file, workspace, progress = tmp_path / "mine.toml", Workspace(tmp_path / "work"), Silent()
    gan = workspace.gan("none", 18, 0)
    text = STUDY.replace("pixel_weight = 0.5\n", f'[gan.best]\ninit = "{gan}"\n')
    file.write_text(text)
    run_study(Session(workspace, progress, dry_run=True), str(file))
    assert not any(note.startswith("Impossible as set") for note in progress.notes)
