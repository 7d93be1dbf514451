"""A damaged or edited file never gives another number without a word: whatever reads it names it and what mends it."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from calls import call
from damage import edit, rewrite, write_sealed
from study_records import write_study
from tiny_data import noise_folders

from usgan_cli import cli
from usgan_cli.core.errors import DamagedError, DataError, FormatError, MissingError, UsganError
from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.dataset import Subset
from usgan_cli.core.formats.generator import GeneratorDocument
from usgan_cli.core.formats.tensors import read_tensors, write_tensors
from usgan_cli.core.progress import Silent
from usgan_cli.core.store import files
from usgan_cli.core.store.document import PlanDocument, RunDocument
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.reporting.reading import collect
from usgan_cli.steps.inventory import take_inventory
from usgan_cli.steps.verify import examine
from usgan_cli.terminal.session import Session

N = 12
GAN: dict[str, Any] = {"preset": "tiny", "kimg": 0.016, "batch": 4, "precision": "float32", "device": "cpu"}
HEAD: dict[str, Any] = {"backbone": "test_efficientnet", "weights": "none", "freeze": True, "size": 32, "folds": 3}
HEAD |= {"device": "cpu"}
SCORE: dict[str, Any] = {"aug": "none", "count": 12, "ssim_pairs": 10, "repeats": 5, "device": "cpu"}


def session(workspace: Workspace, **changes: Any) -> Session:
    return Session(workspace, Silent(), **changes)


def run(workspace: Workspace, command: str, *, force: bool = False, **options: Any) -> Any:
    return call(command, session(workspace, force=force), **options)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, means: None) -> Path:
    """A finished workspace: every command once, in a folder whose name has a blank and a quote."""
    top = tmp_path_factory.mktemp("it's whole")
    source = noise_folders(top / "source", {"a": 14, "b": 14})
    work = Workspace(top / "work")
    run(work, "prepare", source=source, size=16, test=10)
    run(work, "subsample", n=(N,))
    run(work, "train-gan", aug="none", n=N, **GAN | {"fd_every": 0.008})
    run(work, "generate", aug="none", n=N, count=24)
    run(work, "generate", aug="none", n=N, grid="4")
    run(work, "score", n=N, **SCORE)
    run(work, "score", n=N, aug="none", snapshots=True, count=12, repeats=5, device="cpu")
    run(work, "train-cls", n=N, **HEAD)
    run(work, "train-cls", n=N, aug="none", **HEAD)
    run(work, "ttest", n=N)
    run(work, "report")
    return top


@pytest.fixture
def work(made: Path, tmp_path: Path) -> Workspace:
    """A copy to damage."""
    shutil.copytree(made, tmp_path / "it's whole")
    return Workspace(tmp_path / "it's whole" / "work")


def findings(workspace: Workspace) -> list[tuple[str, str]]:
    found = examine(workspace, take_inventory(workspace))
    return [(one.state, one.path.relative_to(workspace.root).as_posix()) for one in found]


def body(path: Path) -> Any:
    return json.loads(path.read_text())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def first_digit(path: Path, after: str = "") -> None:
    """Change a digit that follows `after`."""
    text = path.read_text()
    start = text.index(after) + len(after)
    at = next(i for i in range(start, len(text)) if text[i].isdigit())
    path.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :])


def other_classes(path: Path) -> None:
    manifest = body(path)
    for image in manifest["images"][:6]:
        image["class"] = "b" if image["class"] == "a" else "a"
    edit(path, images=manifest["images"])


def other_name(path: Path) -> None:
    edit(path, images=["images/a/none.png", *body(path)["images"][1:]])


def flip_bits_of_all(path: Path) -> None:
    for picture in path.parent.glob("*.png"):
        flip_a_bit(picture)


def better_folds(path: Path) -> None:
    folds = body(path)["folds"]
    edit(path, folds=[fold | {"test_micro_f1": 0.95} for fold in folds])


def better_folds_with_a_digest_that_fits(path: Path) -> None:
    record = ClassifierRecord.read(path)
    record.model_copy(
        update={"folds": [fold.model_copy(update={"test_micro_f1": 0.95}) for fold in record.folds]}
    ).write(path)


def rotate_columns(path: Path) -> None:
    lines = path.read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    turned = [",".join([*row[:4], *row[5:], row[4]]) if row[1] == "test" else ",".join(row) for row in rows]
    path.write_text("\n".join([lines[0], *turned]) + "\n")


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4] ^= 8
    path.write_bytes(bytes(data))


def exchange(path: Path) -> None:
    """Exchange a file with the next of its folder, as a careless copy would."""
    other = next(
        other for other in sorted(path.parent.glob(f"*{path.suffix}")) if other.read_bytes() != path.read_bytes()
    )
    own = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(own)


Damage = Callable[[Path], None]
Consumer = tuple[str, dict[str, Any]]
SUBSAMPLE: Consumer = ("subsample", {"n": (N,)})
TRAIN: Consumer = ("train-gan", {"aug": "none", "n": N, **GAN, "fd_every": 0.008})
LONGER: Consumer = ("train-gan", {"aug": "none", "n": N, **GAN, "fd_every": 0.008, "kimg": 0.024})
GENERATE: Consumer = ("generate", {"aug": "none", "n": N, "seeds": "5"})
GRID: Consumer = ("generate", {"aug": "none", "n": N, "grid": "4"})
SCORING: Consumer = ("score", {"n": N, **SCORE, "count": 8})
SNAPSHOTS: Consumer = ("score", {"n": N, "aug": "none", "snapshots": True, "count": 8, "repeats": 5, "device": "cpu"})
BASELINE: Consumer = ("train-cls", {"n": N, **HEAD})
AUGMENTED: Consumer = ("train-cls", {"n": N, "aug": "none", **HEAD})
TTEST: Consumer = ("ttest", {"n": N})
REPORT: Consumer = ("report", {})
CLASSIFIER, GAN_FOLDER, SCORES = f"classifiers/n{N}-s0", f"gans/none-n{N}-s0", f"scores/none-n{N}-s0"
CHECKPOINT = f"{GAN_FOLDER}/checkpoint/kimg00000.016.json"

TABLE: list[tuple[str, Damage, Consumer, bool, str]] = [
    # file, change, consumer, whether it is forced, command that mends it
    (f"{CLASSIFIER}/none-x1/predictions.csv", rotate_columns, TTEST, True, "train-cls"),
    (f"{CLASSIFIER}/real/predictions.csv", cut, TTEST, True, "train-cls"),
    (f"{CLASSIFIER}/real/predictions.csv", Path.unlink, TTEST, True, "train-cls"),
    (f"{CLASSIFIER}/none-x1/result.json", better_folds, TTEST, False, "train-cls"),
    (f"{CLASSIFIER}/none-x1/result.json", better_folds, REPORT, False, "train-cls"),
    (f"{CLASSIFIER}/none-x1/result.json", better_folds_with_a_digest_that_fits, TTEST, False, "train-cls"),
    (f"{CLASSIFIER}/none-x1/result.json", better_folds_with_a_digest_that_fits, REPORT, False, "train-cls"),
    (f"{CLASSIFIER}/real/result.json", cut, AUGMENTED, False, ""),
    (f"{CLASSIFIER}/real/run.json", first_digit, BASELINE, False, "train-cls"),
    (f"subsets/n{N}-s0.json", other_name, TRAIN, False, "subsample"),
    (f"subsets/n{N}-s0.json", empty, BASELINE, False, "subsample"),
    (f"subsets/n{N}-s0.json", lambda p: edit(p, seed=1), SCORING, True, "subsample"),
    (CHECKPOINT, lambda p: edit(p, step=1), LONGER, False, "train-gan"),
    (CHECKPOINT, lambda p: edit(p, p=0.5), LONGER, False, "train-gan"),
    (CHECKPOINT, lambda p: edit(p, images=20), LONGER, False, "train-gan"),
    (CHECKPOINT, lambda p: p.rename(p.with_name("kimg00000.020.json")), LONGER, False, "train-gan"),
    (f"{SCORES}.json", lambda p: edit(p, fake=body(p)["fake"] | {"fd": 0.5}), REPORT, False, "score"),
    (f"{SCORES}-snapshots.json", lambda p: first_digit(p, '"fd": '), REPORT, False, "score"),
    (f"{SCORES}.json", cut, ("score", {"n": N, **SCORE}), False, "score"),
    (f"{SCORES}-nearest.png", flip_a_bit, ("score", {"n": N, **SCORE}), False, "score"),
    (f"ttests/n{N}-s0.json", lambda p: first_digit(p, '"p": '), REPORT, False, "ttest"),
    (f"ttests/n{N}-s0.json", lambda p: first_digit(p, '"difference": '), TTEST, False, "ttest"),
    (f"ttests/n{N}-s0.csv", first_digit, TTEST, False, "ttest"),
    ("data/manifest.json", other_classes, SUBSAMPLE, False, "prepare"),
    ("data/manifest.json", other_classes, SUBSAMPLE, True, "prepare"),
    ("data/manifest.json", other_classes, BASELINE, True, "prepare"),
    ("data/manifest.json", lambda p: edit(p, duplicates=[["x", "y"]]), TTEST, True, "prepare"),
    ("data/images/a/0.png", flip_bits_of_all, TRAIN, True, "prepare"),
    ("data/run.json", first_digit, SUBSAMPLE, False, "prepare"),
    (f"synthetic/none-n{N}-s0/manifest.json", other_classes, SCORING, False, "generate"),
    (f"synthetic/none-n{N}-s0/manifest.json", other_classes, AUGMENTED, True, "generate"),
    (f"synthetic/none-n{N}-s0/manifest.json", other_classes, REPORT, False, "generate"),
    (f"synthetic/none-n{N}-s0/a/seed00000000.png", flip_a_bit, AUGMENTED, True, "generate"),
    (f"{GAN_FOLDER}/log.jsonl", empty, LONGER, False, "train-gan"),
    (f"{GAN_FOLDER}/log.jsonl", empty, REPORT, False, "train-gan"),
    (f"{GAN_FOLDER}/log.jsonl", lambda p: first_digit(p, '"loss_g": '), REPORT, False, "train-gan"),
    (f"{GAN_FOLDER}/generator.json", lambda p: edit(p, class_counts={"a": 1, "b": 11}), GENERATE, False, "train-gan"),
    (f"{GAN_FOLDER}/generator.safetensors", flip_a_bit, GENERATE, False, "train-gan"),
    (f"{GAN_FOLDER}/config.json", first_digit, REPORT, False, "train-gan"),
    (f"{GAN_FOLDER}/snapshots/kimg00000.016.safetensors", flip_a_bit, SNAPSHOTS, True, "train-gan"),
    (f"{GAN_FOLDER}/samples/kimg00000.016.png", flip_a_bit, REPORT, False, "train-gan"),
    (f"{GAN_FOLDER}/samples/kimg00000.016.png", flip_a_bit, LONGER, False, "train-gan"),
    (f"synthetic/none-n{N}-s0/a/seed00000000.png", exchange, AUGMENTED, True, "generate"),
    (f"synthetic/none-n{N}-s0/a/seed00000000.png", exchange, SCORING, True, "generate"),
    ("data/images/a/0.png", exchange, TRAIN, True, "prepare"),
    (f"pictures/none-n{N}-s0-grid.png", flip_a_bit, GRID, False, "generate"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "damage", "consumer", "force", "mend"), TABLE)
def test_a_damaged_file_is_named_with_the_command_that_makes_it_again(
    work: Workspace, place: str, damage: Damage, consumer: Consumer, force: bool, mend: str, means: None
) -> None:
    path, (command, options) = work.root / place, consumer
    damage(path)
    if not mend:  # what this command does not read
        assert run(work, command, force=force, **options).status == "skipped"
        return
    with pytest.raises((DamagedError, MissingError)) as caught:
        run(work, command, force=force, **options)
    message = str(caught.value)
    assert path.stem in message or path.parent.name in message
    assert f"usgan {mend} " in message and "--force" in message
    assert f"--work '{str(work.root).replace(chr(39), chr(39) + chr(34) + chr(39) + chr(34) + chr(39))}'" in message
    assert "--refresh" not in message and "--adopt" not in message


def test_the_command_of_the_message_mends_it(work: Workspace, means: None) -> None:
    whole = body(work.subset(N, 0))
    for damage in (empty, cut, first_digit):
        damage(work.subset(N, 0))
        with pytest.raises(DamagedError):
            run(work, *TRAIN[:1], **TRAIN[1])
        assert run(work, "subsample", force=True, n=(N,))[0].status == "done"
        assert body(work.subset(N, 0))["images"] == whole["images"]
    for name in ("run.json", "result.json", "config.json"):
        empty(work.classifier(N, 0) / name)
        assert run(work, "train-cls", force=True, **BASELINE[1]).status == "done"
    empty(work.synthetic("none", N, 0) / "manifest.json")
    assert run(work, "generate", force=True, aug="none", n=N, count=24).status == "done"
    assert run(work, *BASELINE[:1], **BASELINE[1]).status == "skipped"


@pytest.mark.parametrize("damage", [empty, cut, flip_a_bit])
def test_a_damaged_cache_is_computed_again_with_a_warning(work: Workspace, damage: Damage, means: None) -> None:
    before = ClassifierRecord.read(work.classifier(N, 0) / "result.json")
    for path in work.cache.rglob("*.safetensors"):
        damage(path)
    speaking = session(work, force=True)
    call("train-cls", speaking, **BASELINE[1])
    assert ClassifierRecord.read(work.classifier(N, 0) / "result.json") == before
    assert isinstance(speaking.progress, Silent)
    assert any("damaged; they are computed again" in warning for warning in speaking.progress.warnings)
    speaking = session(work, force=True)
    call("score", speaking, n=N, **SCORE)
    assert isinstance(speaking.progress, Silent)
    assert any("damaged; they are computed again" in warning for warning in speaking.progress.warnings)


def test_features_under_the_name_of_others_are_not_taken(work: Workspace, means: None) -> None:
    one, other, *_ = sorted(work.cache.glob("*.safetensors"))
    one_data, other_data = one.read_bytes(), other.read_bytes()
    one.write_bytes(other_data)
    other.write_bytes(one_data)
    speaking = session(work, force=True)
    before = body(work.score(f"none-n{N}-s0"))["fake"]
    call("score", speaking, n=N, **SCORE)
    assert body(work.score(f"none-n{N}-s0"))["fake"] == before


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("fold0.json", lambda p: edit(p, scores=body(p)["scores"] | {"test_micro_f1": 0.99})),
        ("fold1.json", cut),
        ("fold2.csv", rotate_columns),
        ("fold0.csv", Path.unlink),
        ("fold1.json", lambda p: shutil.copy(p.with_name("fold2.json"), p)),
        ("fold1.json", lambda p: shutil.copy(p.parents[2] / "none-x1" / "folds" / "fold1.json", p)),
    ],
)
def test_a_damaged_fold_is_not_continued_from(work: Workspace, name: str, damage: Damage) -> None:
    folder = work.classifier(N, 0)
    (folder / "run.json").unlink()
    damage(folder / "folds" / name)
    with pytest.raises(DamagedError, match=name.split(".", maxsplit=1)[0]) as caught:
        run(work, "train-cls", **BASELINE[1])
    assert "usgan train-cls" in str(caught.value) and "--force" in str(caught.value)


@pytest.mark.parametrize("damage", [empty, lambda p: p.unlink(), lambda p: first_digit(p, '"r_t": '), cut])
def test_an_unfinished_training_needs_the_log_of_its_state(work: Workspace, damage: Damage, means: None) -> None:
    (work.gan("none", N, 0) / "run.json").unlink()
    damage(work.gan("none", N, 0) / "log.jsonl")
    for command, options in (LONGER, REPORT):
        with pytest.raises(DamagedError, match=r"log\.jsonl does not begin as it did"):
            run(work, command, **options)
    assert any(place.endswith(f"gans/none-n{N}-s0") for _, place in findings(work))


def test_an_unfinished_training_is_shown_with_its_own_samples_alone(work: Workspace, means: None) -> None:
    folder = work.gan("none", N, 0)
    (folder / "run.json").unlink()
    flip_a_bit(folder / "samples" / "kimg00000.016.png")
    for command, options in (LONGER, REPORT):
        with pytest.raises(DamagedError, match=r"kimg00000\.016\.png is not the file"):
            run(work, command, **options)
    assert ("damaged", f"gans/none-n{N}-s0") in findings(work)


@pytest.mark.parametrize("kind", ["generated", "real"])
def test_a_report_shows_no_images_that_were_exchanged(work: Workspace, kind: str, means: None) -> None:
    shown = work.data / Subset.read(work.subset(N, 0)).images[0]
    if kind == "generated":
        shown = work.synthetic("none", N, 0) / "a" / "seed00000000.png"
    exchange(shown)
    folder = shown.parent.relative_to(work.root).as_posix()
    speaking = session(work, force=True)
    call("report", speaking)
    assert isinstance(speaking.progress, Silent)
    assert any("cannot be shown" in warning and folder in warning for warning in speaking.progress.warnings)
    assert ("damaged", folder) in {(state, place.rpartition("/")[0]) for state, place in findings(work)}


def test_a_generator_that_is_not_finite_is_refused_by_all_that_use_it(work: Workspace, means: None) -> None:
    folder = work.gan("none", N, 0)
    for place in (folder, folder / "best"):
        tensors = read_tensors(place / "generator.safetensors")
        name = next(name for name in tensors if name.endswith("torgb.weight"))
        tensors[name] = torch.full_like(tensors[name], float("nan"))
        digest = write_tensors(place / "generator.safetensors", tensors)
        document = GeneratorDocument.read(place / "generator.json").model_copy(update={"tensors": digest})
        rewrite(place / "generator.json", document)
    write_tensors(folder / "snapshots" / "kimg00000.004.safetensors", tensors)
    calls: list[Consumer] = [
        GENERATE,
        ("generate", {"aug": "none", "n": N, "grid": "6"}),
        ("generate", {"gan": folder / "best", "count": 3}),
        SNAPSHOTS,
        ("train-gan", {"aug": "ada", "n": N, "init": folder, **GAN}),
    ]
    for command, options in calls:
        with pytest.raises(FormatError, match=r"safetensors holds numbers that are not finite|not finite, in"):
            run(work, command, force=True, **options)


@pytest.mark.parametrize("names", ["unknown", "twice", "test", "short"])
def test_a_subset_must_be_of_training_images_that_exist(work: Workspace, names: str) -> None:
    path = work.subset(N, 0)
    subset = Subset.read(path)
    test = next(i["file"] for i in body(work.data / "manifest.json")["images"] if i["split"] == "test")
    first = {"unknown": ["images/a/none.png"], "twice": [subset.images[1]], "test": [test], "short": []}[names]
    subset.model_copy(update={"images": [*first, *subset.images[1:]]}).write(path)
    for command, options in (TRAIN, BASELINE, SCORING):
        with pytest.raises(DataError, match=f"n={N}, seed 0") as caught:
            run(work, command, force=True, **options)
        assert "usgan subsample" in str(caught.value)


def test_a_record_under_the_name_of_another_is_noticed(work: Workspace, means: None) -> None:
    run(work, "subsample", n=(8,))
    shutil.copy(work.subset(8, 0), work.subset(N, 0))
    with pytest.raises(DamagedError, match="is the subset n=8, seed 0"):
        run(work, *BASELINE[:1], **BASELINE[1])
    with pytest.raises(DamagedError, match="is the record of another artefact"):
        run(work, "report")
    assert ("damaged", f"subsets/n{N}-s0.json") in findings(work)


def test_the_plan_of_another_training_is_noticed(tmp_path: Path) -> None:
    work = write_study(tmp_path / "study", sizes=(40,))
    one, other = (work.gan(aug, 40, 0) / "config.json" for aug in ("none", "ada"))
    collect(work)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    with pytest.raises(DamagedError, match="is the record of another artefact: its aug is"):
        collect(work)


@pytest.mark.parametrize("of", ["gans", "classifiers"])
def test_verify_notices_the_plan_of_another_artefact(work: Workspace, of: str) -> None:
    paths = sorted((work.root / of).rglob("config.json"))
    assert paths and not [state for state, path in findings(work) if path.endswith("config.json")]
    plan = PlanDocument.read(paths[0])
    plan.model_copy(update={"settings": plan.settings | {"seed": 99}}).write(paths[0])
    assert ("damaged", paths[0].relative_to(work.root).as_posix()) in findings(work)


def test_a_file_of_an_older_version_says_what_to_do(work: Workspace) -> None:
    path = work.subset(N, 0)
    old = {name: value for name, value in body(path).items() if name != "self_sha256"}
    path.write_text(json.dumps(old))
    with pytest.raises(FormatError, match=r"older usgan made it[^$]*usgan subsample --n 12 --seed 0 --force"):
        run(work, *BASELINE[:1], **BASELINE[1])
    write_sealed(path, old | {"version": 99})
    with pytest.raises(FormatError, match=r"version 99[^$]*usgan subsample --n 12"):
        run(work, *BASELINE[:1], **BASELINE[1])


def test_a_whole_workspace_has_no_findings_and_every_damage_is_one(work: Workspace) -> None:
    assert findings(work) == []
    draws = random.Random(0)
    pictures = [path for path in work.root.rglob("*.png") if path.is_file()]
    others = [path for path in work.root.rglob("*") if path.is_file() and path.suffix not in {".png", ".lock"}]
    for path in [*draws.sample(pictures, 8), *others]:
        whole = path.read_bytes()
        damage = draws.choice([empty, cut, flip_a_bit])
        damage(path)
        found = findings(work)
        assert found, (path, damage)
        place = path.relative_to(work.root)
        assert any(name == str(place) or name in map(str, place.parents) for _, name in found), (place, found)
        path.write_bytes(whole)
    assert findings(work) == []


def verify(work: Workspace, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    code = cli.run(["verify", str(work.root), *options])
    out, err = capsys.readouterr()
    return code, out, err


def test_verify_ends_with_1_where_something_is_damaged_or_missing(
    work: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = verify(work, capsys)
    assert (code, out) == (0, f"{work.root}\n")
    assert "nothing damaged or missing" in err
    (work.data / "images" / "a" / "0.png").unlink()
    edit(work.subset(N, 0), n=5)
    code, out, err = verify(work, capsys, "--json")
    assert code == 1
    rows = json.loads(out)["findings"]
    assert {(row["state"], Path(row["path"]).name) for row in rows} >= {
        ("missing", "0.png"),
        ("damaged", f"n{N}-s0.json"),
    }
    assert all("usgan " in row["mend"] for row in rows)
    assert "1 damaged and 1 missing" in err
    assert cli.run(["verify", str(work.root / "nowhere")]) == 1


def test_a_report_that_was_just_made_is_whole(work: Workspace) -> None:
    """Its link to the audit is an input of it and no record."""
    run(work, "report")
    assert "audit" in json.loads((work.report / "run.json").read_text())["run"]["inputs"]
    assert findings(work) == []


def test_verify_tells_records_of_other_versions_from_damaged_ones(
    work: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    score, ttest, real = work.score(f"none-n{N}-s0"), work.ttest(N, 0), work.classifier(N, 0)
    write_sealed(score, body(score) | {"version": 1})
    write_sealed(ttest, body(ttest) | {"version": 99})
    write_sealed(real / "result.json", body(real / "result.json") | {"version": 2})
    unsealed = {name: value for name, value in body(work.subset(N, 0)).items() if name != "self_sha256"}
    work.subset(N, 0).write_text(json.dumps(unsealed))
    code, out, err = verify(work, capsys, "--json")
    states = {
        row["path"].removeprefix(f"{work.root}/"): row["state"]
        for row in json.loads(out)["findings"]
        if row["state"] != "out of date"
    }
    assert states == {
        f"{SCORES}.json": "older version",
        f"{CLASSIFIER}/real/result.json": "older version",
        f"subsets/n{N}-s0.json": "older version",
        f"ttests/n{N}-s0.json": "newer version",
    }
    assert code == 1
    assert "3 made by an older usgan and 1 made by a newer usgan" in err.replace("\n", " ")
    assert "damaged" not in err


def test_what_was_made_from_replaced_inputs_is_out_of_date_and_may_be_cleaned(
    work: Workspace, capsys: pytest.CaptureFixture[str], means: None
) -> None:
    run(work, "train-gan", force=True, aug="none", n=N, **GAN | {"kimg": 0.008})
    stale = {place for state, place in findings(work) if state == "out of date"}
    assert stale >= {
        f"synthetic/none-n{N}-s0",
        f"{SCORES}.json",
        f"{CLASSIFIER}/none-x1",
        f"ttests/n{N}-s0.json",
        "report",
    }
    assert not stale & {"data", f"subsets/n{N}-s0.json", f"{CLASSIFIER}/real", GAN_FOLDER}
    (work.synthetic("none", N, 0) / "notes.txt").write_text("mine")
    (work.root / "notes.txt").write_text("mine")
    before = {path for path in work.root.rglob("*") if path.is_file()}
    assert cli.run(["clean", str(work.root)]) == 0
    assert {path for path in work.root.rglob("*") if path.is_file()} == before, "a dry run removes nothing"
    with files.locked(work.score(f"none-n{N}-s0")):
        assert cli.run(["clean", str(work.root), "--yes"]) == 0
    capsys.readouterr()
    assert not list(work.cache.rglob("*.safetensors"))
    assert not (work.classifier(N, 0).parent / "none-x1").exists() and not work.ttest(N, 0).exists()
    assert not work.ttest(N, 0).with_suffix(".csv").exists()
    assert work.score(f"none-n{N}-s0").exists(), "somebody holds its lock"
    assert (work.synthetic("none", N, 0) / "notes.txt").exists(), "a folder with a person's file stays"
    assert (work.root / "notes.txt").exists() and work.classifier(N, 0).exists() and work.subset(N, 0).exists()


def test_an_artefact_whose_input_is_gone_is_orphaned(work: Workspace) -> None:
    shutil.rmtree(work.synthetic("none", N, 0))
    found = examine(work, take_inventory(work))
    orphans = {one.path.relative_to(work.root).as_posix(): one for one in found if one.state == "orphaned"}
    assert {f"{SCORES}.json", f"{CLASSIFIER}/none-x1"} <= orphans.keys()
    assert "usgan generate --aug none --n 12 --seed 0" in orphans[f"{SCORES}.json"].mend
    work.score(f"none-n{N}-s0").unlink()
    assert ("missing", f"{SCORES}.json") in findings(work), "the report was made from it"


def test_status_lists_what_is_there_without_a_study(work: Workspace, tmp_path: Path) -> None:
    (work.classifier(N, 0) / "run.json").unlink()
    empty(work.subset(N, 0))
    outcome = run(work, "status")
    states = {entry["artefact"]: entry["state"] for entry in outcome.result["artefacts"]}
    assert states["data"] == states[GAN_FOLDER] == "done"
    assert states[f"{CLASSIFIER}/real"] == "unfinished"
    assert "not valid JSON" in states[f"subsets/n{N}-s0.json"]
    nothing = tmp_path / "nothing"
    with pytest.raises(MissingError, match="There is nothing in") as caught:
        run(Workspace(nothing), "status")
    assert f"usgan study demo --work {nothing}" in str(caught.value.hint)


def test_a_study_leaves_alone_what_was_made_by_hand_with_other_settings(work: Workspace, made: Path) -> None:
    study = work.root.parent / "mine.toml"
    study.write_text(
        f'name = "mine"\n[data]\nsource = "{work.root.parent / "source"}"\nsize = 16\ntest = 10\n'
        f'[grid]\nsizes = [{N}]\nseeds = [0]\ngans = ["none"]\n[gan]\npreset = "tiny"\nkimg = 0.008\nbatch = 4\n'
        'precision = "float32"\ndevice = "cpu"\n[classifier]\ncontrols = []\n'
    )
    only = ("train-gan",)
    whole = (work.gan("none", N, 0) / "run.json").read_bytes()
    with pytest.raises(UsganError, match=r"was made by hand[^$]*--work DIR[^$]*--adopt"):
        run(work, "study", name=str(study), only=only)
    assert (work.gan("none", N, 0) / "run.json").read_bytes() == whole
    run(work, "study", name=str(study), only=only, adopt=True)
    record = RunDocument.read(work.gan("none", N, 0) / "run.json")
    assert (record.run.study, record.run.settings["kimg"]) == ("mine", 0.008)
    # From now on it is the study's own, and follows the study's file.
    study.write_text(study.read_text().replace("kimg = 0.008", "kimg = 0.004"))
    run(work, "study", name=str(study), only=only)
    assert RunDocument.read(work.gan("none", N, 0) / "run.json").run.settings["kimg"] == 0.004
