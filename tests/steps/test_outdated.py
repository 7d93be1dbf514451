"""`usgan verify` knows what each artefact was made from, wherever in the workspace that lies, and looks no further."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from calls import call
from damage import rewrite
from tiny_data import noise_folders

from usgan_cli import cli
from usgan_cli.core.formats.dataset import Subset
from usgan_cli.core.formats.generator import BEST_FOLDER, GeneratorDocument
from usgan_cli.core.formats.score import ScoreRecord
from usgan_cli.core.formats.synthetic import SyntheticManifest, read_synthetic_manifest
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.document import RunDocument
from usgan_cli.core.store.files import sha256_file
from usgan_cli.core.store.workspace import SPLITS, Workspace
from usgan_cli.reporting.cautions import cautions
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.outdated import current_scores, current_snapshots
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.verdict import Analysis, judge_study
from usgan_cli.steps.inventory import Finding, take_inventory
from usgan_cli.steps.outdated import find_outdated
from usgan_cli.steps.verify import examine
from usgan_cli.terminal.session import Session

N, MORE, FOLDS = 12, 16, 3
GAN: dict[str, Any] = {"preset": "tiny", "kimg": 0.016, "batch": 4, "precision": "float32", "device": "cpu"}
GAN |= {"fd_every": 0.008}
HEAD: dict[str, Any] = {"backbone": "test_efficientnet", "weights": "none", "freeze": True, "size": 32, "folds": FOLDS}
HEAD |= {"device": "cpu"}
SCORE: dict[str, Any] = {"count": 12, "ssim_pairs": 10, "repeats": 5, "device": "cpu"}
SNAPSHOTS: dict[str, Any] = {"snapshots": True, "count": 12, "repeats": 5, "device": "cpu"}
IMAGES, CLASSIFIERS = f"synthetic/none-n{N}-s0", f"classifiers/n{N}-s0"
FOLD0 = f"none-n{N}-s0-fold0of{FOLDS}"


def run(workspace: Workspace, command: str, *, force: bool = False, refresh: bool = False, **options: Any) -> Any:
    return call(command, Session(workspace, Silent(), force=force, refresh=refresh), **options)


def make_best_an_earlier_one(gan: Path) -> None:
    """Make the best generator of a training another one than its last."""
    place = f"{BEST_FOLDER}/{GeneratorDocument.FILE}"
    GeneratorDocument.read(gan / place).model_copy(update={"kimg": 0.008}).write(gan / place)
    record = RunDocument.read(gan / RunDocument.FILE)
    assert GeneratorDocument.read(gan / place).content_digest() != record.content
    record.model_copy(update={"files": record.files | {place: sha256_file(gan / place)}}).write(gan / RunDocument.FILE)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, means: None) -> Path:
    """`work`, in which everything is made from everything; `lent`, which has no dataset of its own."""
    top = tmp_path_factory.mktemp("made")
    source = noise_folders(top / "source", {"a": 14, "b": 14})
    work, lent = Workspace(top / "work"), Workspace(top / "lent")
    run(work, "prepare", source=source, size=16, test=10)
    run(work, "prepare", external=(f"clinic={noise_folders(top / 'clinic', {'a': 3, 'b': 3}, seed=1)}",))
    run(work, "subsample", n=(N, MORE))
    for n in (N, MORE):
        run(work, "train-gan", aug="none", n=n, **GAN)
        run(work, "generate", aug="none", n=n, count=24)
        run(work, "train-cls", n=n, **HEAD)
    make_best_an_earlier_one(work.gan("none", N, 0))
    run(work, "train-gan", aug="ada", n=N, init=work.gan("none", N, 0), **GAN)
    run(work, "generate", gan=work.gan("none", N, 0) / "best", count=13, out=work.named_synthetic("best"))
    run(work, "generate", aug="none", n=N, grid="4")
    run(work, "score", aug="none", n=N, **SCORE)
    run(work, "score", aug="none", n=N, **SNAPSHOTS)
    run(work, "train-cls", aug="none", n=N, **HEAD)
    run(work, "train-cls", synthetic=work.synthetic("none", N, 0), n=N, **HEAD)
    run(work, "train-cls", synthetic=work.synthetic("none", MORE, 0), n=N, **HEAD)
    for fold in range(FOLDS):
        run(work, "train-gan", aug="none", n=N, fold=fold, folds=FOLDS, **GAN)
        run(work, "generate", gan=work.gan("none", N, 0, (fold, FOLDS)), count=N)
    run(work, "score", synthetic=work.named_synthetic(FOLD0), **SCORE)
    run(work, "score", gan=work.named_gan(FOLD0), **SNAPSHOTS)
    run(work, "train-cls", aug="none", n=N, strict=True, **HEAD)
    run(work, "ttest", n=N)
    run(work, "card")

    run(lent, "subsample", n=(N,), data=work.data)
    run(lent, "train-gan", aug="none", n=N, data=work.data, **GAN)
    run(lent, "generate", gan=work.gan("none", MORE, 0), count=24)
    run(lent, "generate", gan=work.gan("none", MORE, 0), grid="4")
    run(lent, "score", synthetic=work.synthetic("none", N, 0), data=work.data, **SCORE)
    run(lent, "score", gan=work.gan("none", MORE, 0), data=work.data, **SNAPSHOTS)
    run(lent, "train-cls", n=N, data=work.data, **HEAD)
    run(lent, "train-cls", n=N, data=work.data, synthetic=work.synthetic("none", N, 0), **HEAD)
    pair = [work.classifiers(N, 0) / name for name in ("real", "none-x1")]
    run(lent, "ttest", baseline=pair[0], classifier=(pair[1],), out=lent.root / "pair.json")
    return top


@pytest.fixture
def top(made: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(made, tmp_path / "made"))


@pytest.fixture
def work(top: Path) -> Workspace:
    return Workspace(top / "work")


@pytest.fixture
def lent(top: Path) -> Workspace:
    return Workspace(top / "lent")


def outdated(workspace: Workspace) -> dict[str, Finding]:
    found = find_outdated(take_inventory(workspace))
    return {one.path.relative_to(workspace.root).as_posix(): one for one in found}


def states(workspace: Workspace) -> dict[str, str]:
    return {place: one.state for place, one in outdated(workspace).items()}


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def forget_places(workspace: Workspace, **changes: Any) -> None:
    """Leave out of every record where the inputs lay, as records had it before that was noted."""
    for artefact in take_inventory(workspace):
        document, path = artefact.document, artefact.path
        if path.is_dir():
            document, path = RunDocument.read(path / RunDocument.FILE), path / RunDocument.FILE
        assert document is not None and document.run is not None
        before = document.run.model_copy(update={"places": None, **changes})
        document.model_copy(update={"run": before}).write(path)
        assert '"places"' not in path.read_text()


def test_nothing_is_wrong_with_what_was_just_made(made: Path) -> None:
    for name in ("work", "lent"):
        workspace = Workspace(made / name)
        assert examine(workspace, take_inventory(workspace)) == []


def test_a_record_says_where_in_the_workspace_its_inputs_lie(made: Path) -> None:
    work, lent = Workspace(made / "work"), Workspace(made / "lent")

    def places(path: Path) -> Any:
        return RunDocument.read(path / RunDocument.FILE).run.places

    ours = {"data": "data", "subset": f"subsets/n{N}-s0.json", "external test set clinic": "external/clinic"}
    assert places(work.classifier(N, 0)) == ours
    named = work.classifiers(N, 0) / f"none-n{MORE}-s0-x1"
    assert places(named) == ours | {"synthetic": f"synthetic/none-n{MORE}-s0"}
    strict = places(work.classifiers(N, 0) / "none-x1-strict")
    assert strict["synthetic of fold 1"] == f"synthetic/none-n{N}-s0-fold1of{FOLDS}"
    assert places(work.named_synthetic("best")) == {"gan": f"gans/none-n{N}-s0/best"}
    assert places(work.gan("ada", N, 0))["init"] == f"gans/none-n{N}-s0"
    assert places(lent.gan("none", N, 0)) == {"subset": f"subsets/n{N}-s0.json"}
    assert places(lent.synthetic("none", MORE, 0)) == {}
    assert places(work.data) is None, "what a dataset is made from lies elsewhere"


STRICT, ALONE = f"{CLASSIFIERS}/none-x1-strict", f"{CLASSIFIERS}/none-n{N}-s0-x1"
OF_MORE = f"{CLASSIFIERS}/none-n{MORE}-s0-x1"
GONE = [
    # what is gone, what was made from it, command that makes it again
    (f"synthetic/{FOLD0}", {STRICT, f"scores/{FOLD0}.json"}, f"usgan generate --gan WORK/gans/{FOLD0}"),
    (f"synthetic/none-n{N}-s0-fold2of{FOLDS}", {STRICT}, "usgan generate --gan"),
    (f"synthetic/none-n{MORE}-s0", {OF_MORE}, f"usgan generate --aug none --n {MORE} --seed 0"),
    (
        IMAGES,
        {f"scores/none-n{N}-s0.json", f"{CLASSIFIERS}/none-x1", ALONE},
        f"usgan generate --aug none --n {N} --seed 0",
    ),
    (
        f"gans/{FOLD0}",
        {f"synthetic/{FOLD0}", f"scores/{FOLD0}-snapshots.json"},
        f"usgan train-gan --aug none --n {N} --seed 0 --fold 0 --folds {FOLDS}",
    ),
    (
        f"gans/none-n{N}-s0",
        {
            f"gans/ada-n{N}-s0",
            IMAGES,
            "synthetic/best",
            f"scores/none-n{N}-s0-snapshots.json",
            f"pictures/none-n{N}-s0-grid.png.json",
        },
        f"usgan train-gan --aug none --n {N} --seed 0",
    ),
    ("external/clinic", None, "usgan prepare --external clinic=DIR"),
    ("data", None, "usgan prepare SOURCE"),
]


@pytest.mark.parametrize(("place", "orphans", "mend"), GONE)
def test_every_input_of_the_workspace_is_missed_when_it_is_gone(
    work: Workspace, place: str, orphans: set[str] | None, mend: str
) -> None:
    remove(work.root / place)
    found = {path: one for path, one in outdated(work).items() if one.state == "orphaned"}
    if orphans is None:  # of all classifiers, and with the dataset of nearly everything
        orphans = {path for path in found if path.startswith("classifiers/")}
        assert len(orphans) == 6
    assert orphans <= found.keys()
    for one in orphans:
        assert f"was made from {place}{'/best' * (one == 'synthetic/best')}, which is gone" in found[one].why
        assert mend.replace("WORK", str(work.root)) in found[one].mend


def test_the_best_generator_is_missed_when_it_alone_is_gone(work: Workspace) -> None:
    remove(work.gan("none", N, 0) / "best")
    orphan = outdated(work)["synthetic/best"]
    assert f"was made from gans/none-n{N}-s0/best, which is gone" in orphan.why
    assert f"usgan train-gan --aug none --n {N} --seed 0 --force" in orphan.mend


def test_a_subset_that_is_gone_is_missed_by_all_that_was_made_from_it(work: Workspace) -> None:
    remove(work.subset(N, 0))
    found = outdated(work)
    gan, *others = f"gans/{FOLD0}", f"scores/{FOLD0}.json", f"scores/{FOLD0}-snapshots.json", STRICT, ALONE
    for one in (gan, *others):
        assert f"was made from subsets/n{N}-s0.json, which is gone" in found[one].why
        assert f"usgan subsample --n {N} --seed 0 --force" in found[one].mend
    assert not [place for place in found if place.startswith((f"gans/none-n{MORE}", f"classifiers/n{MORE}"))]


def other_images(folder: Path) -> None:
    """Make the manifest of generated images that of others."""
    manifest = read_synthetic_manifest(folder)
    rewrite(folder / SyntheticManifest.FILE, manifest.model_copy(update={"truncation_psi": 0.5}))


def test_a_strict_classifier_is_out_of_date_once_one_folds_images_are_made_again(work: Workspace) -> None:
    other_images(work.synthetic("none", N, 0, (1, FOLDS)))
    assert states(work) == {STRICT: "out of date", f"ttests/n{N}-s0.json": "out of date"}
    assert "--strict --refresh" in outdated(work)[STRICT].mend
    texts = [one.text for one in cautions_of(work) if one.topic == "Out of date"]
    assert any("trained on other images" in text and f"n{N}-s0/none-x1-strict" in text for text in texts)


@pytest.mark.parametrize("n", [N, MORE])
def test_images_that_were_named_outright_are_looked_at_where_they_lie(work: Workspace, n: int) -> None:
    other_images(work.synthetic("none", n, 0))
    classifiers = {place for place, state in states(work).items() if place.startswith("classifiers/")}
    assert classifiers == ({ALONE, f"{CLASSIFIERS}/none-x1"} if n == N else {OF_MORE})
    named = outdated(work)[ALONE if n == N else OF_MORE].mend
    assert f"--synthetic {work.synthetic('none', n, 0)} --ratio 1 --refresh" in named
    (caution,) = [one.text for one in cautions_of(work) if "trained on other images" in one.text]
    assert all(place.removeprefix("classifiers/") in caution for place in classifiers)


def cautions_of(workspace: Workspace) -> Any:
    study = Study.of(collect(workspace))
    return cautions(study, judge_study(study, Analysis(0.02)))


def out_of_date_for_a_report(workspace: Workspace) -> set[str]:
    """The scores, and with "saved" those of saved generators, that a report holds to be of what has been replaced."""
    records = collect(workspace)
    saved = {f"{key.name} saved" for key in records.snapshots.keys() - current_snapshots(records).keys()}
    return {key.name for key in records.scores.keys() - current_scores(records).keys()} | saved


def test_a_report_calls_the_scores_out_of_date_that_are(work: Workspace, lent: Workspace) -> None:
    for workspace in (work, lent):
        assert out_of_date_for_a_report(workspace) == set(), "they were just made"
        forget_places(workspace)
        assert out_of_date_for_a_report(workspace) == set(), "older records are not called so falsely"
    assert len(collect(work).scores) == len(collect(work).snapshots) == 1
    other_images(work.synthetic("none", N, 0))
    assert out_of_date_for_a_report(work) == {f"none-n{N}-s0"}


def test_a_report_calls_scores_of_a_gan_that_was_trained_again_out_of_date(work: Workspace, lent: Workspace) -> None:
    run(work, "train-gan", force=True, aug="none", n=N, **GAN | {"lr": 0.001})
    assert out_of_date_for_a_report(work) == {f"none-n{N}-s0", f"none-n{N}-s0 saved"}
    assert out_of_date_for_a_report(lent) == set(), "its score is of images that lie elsewhere"


def test_what_was_made_with_the_best_generator_is_that_ones(work: Workspace) -> None:
    shutil.rmtree(work.synthetic("none", N, 0))
    run(work, "generate", gan=work.gan("none", N, 0) / "best", count=24)
    assert IMAGES not in states(work)
    run(work, "score", force=True, aug="none", n=N, **SCORE)
    forgotten = Workspace(shutil.copytree(work.root, work.root.with_name("older")))
    forget_places(forgotten)
    for workspace in (work, forgotten):
        assert not [one for one in cautions_of(workspace) if "earlier version of their GAN" in one.text]
        assert out_of_date_for_a_report(workspace) == set()
    run(work, "train-gan", force=True, aug="none", n=N, **GAN | {"lr": 0.001})
    assert states(work)[IMAGES] == states(work)["synthetic/best"] == "out of date"
    assert [one for one in cautions_of(work) if "earlier version of their GAN" in one.text]
    assert f"none-n{N}-s0" in out_of_date_for_a_report(work)


def test_a_training_that_starts_from_another_is_out_of_date_with_it_whatever_they_are_called(work: Workspace) -> None:
    run(work, "train-gan", force=True, aug="none", n=N, **GAN | {"lr": 0.001})
    found = outdated(work)
    for place in (
        f"gans/ada-n{N}-s0",
        f"scores/none-n{N}-s0-snapshots.json",
        f"pictures/none-n{N}-s0-grid.png.json",
        "synthetic/best",
    ):
        assert found[place].state == "out of date", place
    run(work, "generate", aug="ada", n=N, count=12)
    assert f"gans/ada-n{N}-s0 is out of date" in outdated(work)[f"synthetic/ada-n{N}-s0"].why


def test_a_file_that_a_training_starts_from_is_looked_at_too(work: Workspace) -> None:
    first = work.gan("none", N, 0) / "generator.safetensors"
    run(work, "train-gan", aug="diffaug", n=N, init=first, **GAN)
    assert states(work) == {}
    run(work, "train-gan", force=True, aug="none", n=N, **GAN | {"lr": 0.001})
    assert states(work)[f"gans/diffaug-n{N}-s0"] == "out of date"


def test_a_training_goes_on_while_what_started_from_it_stays_as_it_is(work: Workspace) -> None:
    """What a training that has not finished will be cannot be told."""
    (work.gan("none", N, 0) / RunDocument.FILE).unlink()
    found = states(work)
    assert f"gans/ada-n{N}-s0" not in found and f"scores/none-n{N}-s0-snapshots.json" not in found


def test_cards_are_out_of_date_once_a_record_of_theirs_is_another(work: Workspace) -> None:
    def found() -> list[Finding]:
        return [one for one in examine(work, take_inventory(work)) if one.path == work.cards]

    assert found() == []
    other_images(work.synthetic("none", N, 0))
    (one,) = found()
    assert one.state == "out of date" and "usgan card" in one.mend and "--refresh" in one.mend
    run(work, "card")
    assert found() == []


def test_nothing_outside_of_the_workspace_is_looked_at(top: Path, lent: Workspace) -> None:
    assert states(lent) == {}
    shutil.rmtree(top / "work")
    assert states(lent) == {}


def test_what_lies_outside_is_not_taken_for_the_workspaces_own_of_the_same_name(
    top: Path, work: Workspace, lent: Workspace
) -> None:
    run(lent, "prepare", source=noise_folders(top / "source2", {"a": 14, "b": 14}, seed=2), size=16, test=10)
    run(lent, "generate", aug="none", n=N, count=18)
    run(lent, "subsample", n=(MORE,))
    run(lent, "train-gan", aug="none", n=MORE, **GAN)
    assert states(lent) == {}


def test_inputs_of_another_workspace_are_outside_where_out_leads_into_it(work: Workspace, lent: Workspace) -> None:
    run(work, "train-cls", aug="none", n=MORE, out=lent.classifiers(MORE, 0) / "none-x1", **HEAD)
    assert states(lent) == {}


def test_a_workspace_reached_by_a_link_or_from_within_is_the_same(
    work: Workspace, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / "link").symlink_to(work.root)
    by_link, inside = Workspace(top / "link"), work.root / "gans" / ".." / "synthetic"
    run(by_link, "score", synthetic=inside / "best", **SCORE)
    monkeypatch.chdir(work.root.parent)
    run(Workspace(Path("work")), "score", synthetic=work.synthetic("none", MORE, 0), **SCORE)
    for name in ("best", f"none-n{MORE}-s0"):
        record = ScoreRecord.read(work.score(name))
        assert record.run is not None and record.run.places is not None
        assert record.run.places["synthetic"] == f"synthetic/{name}"
        remove(work.named_synthetic(name))
    assert {state for place, state in states(work).items() if place.startswith("scores/")} == {"orphaned"}


def test_a_dataset_that_is_a_link_is_the_workspaces_own(top: Path, work: Workspace) -> None:
    shutil.move(work.data, top / "elsewhere")
    work.data.symlink_to(top / "elsewhere")
    run(work, "subsample", n=(4,))
    record = Subset.read(work.subset(4, 0))
    assert record.run is not None and record.run.places == {"data": "data"}


def test_older_records_are_not_taken_to_be_made_from_what_may_lie_outside(work: Workspace, lent: Workspace) -> None:
    for workspace in (work, lent):
        forget_places(workspace)
        assert states(workspace) == {}
    shutil.rmtree(work.data)
    assert set(states(work)) == {"external/clinic"}, "only that is always made for the workspace's own dataset"


@pytest.mark.parametrize(
    ("place", "orphans"),
    [
        (f"subsets/n{N}-s0.json", {f"gans/{FOLD0}", f"scores/{FOLD0}.json", f"scores/{FOLD0}-snapshots.json", STRICT}),
        (f"synthetic/none-n{N}-s0-fold1of{FOLDS}", {STRICT}),
        (IMAGES, {f"{CLASSIFIERS}/none-x1"}),
        ("external/clinic", {STRICT, ALONE, f"{CLASSIFIERS}/real"}),
    ],
)
def test_older_records_miss_what_can_only_have_been_in_the_workspace(
    work: Workspace, place: str, orphans: set[str]
) -> None:
    forget_places(work)
    remove(work.root / place)
    assert orphans <= {one for one, state in states(work).items() if state == "orphaned"}


def test_older_records_of_a_study_miss_everything_since_it_names_nothing_outright(work: Workspace) -> None:
    forget_places(work, study="mine")
    remove(work.gan("none", N, 0))
    assert {IMAGES, f"scores/none-n{N}-s0-snapshots.json", f"pictures/none-n{N}-s0-grid.png.json"} <= states(
        work
    ).keys()
    remove(work.data)
    assert states(work)[f"subsets/n{N}-s0.json"] == "orphaned"


def test_older_records_are_out_of_date_where_what_has_their_inputs_name_is_another(work: Workspace) -> None:
    forget_places(work)
    run(work, "train-gan", force=True, aug="none", n=N, **GAN | {"lr": 0.001})
    for fold in range(FOLDS):
        other_images(work.synthetic("none", N, 0, (fold, FOLDS)))
    found = states(work)
    assert {IMAGES, f"scores/none-n{N}-s0-snapshots.json", f"pictures/none-n{N}-s0-grid.png.json", STRICT} <= {
        place for place, state in found.items() if state == "out of date"
    }
    assert f"gans/ada-n{N}-s0" not in found, "an older record does not say which GAN it started from"


def test_a_classifier_of_a_further_split_is_looked_at_by_the_comparison_over_splits(tmp_path: Path) -> None:
    source, work = noise_folders(tmp_path / "source", {"a": 14, "b": 14}), Workspace(tmp_path / "work")
    for seed, home in ((0, work), (1, work.split(1))):
        run(home, "prepare", source=source, size=16, test=10, split="new", seed=seed)
        run(home, "subsample", n=(N,))
        run(home, "train-cls", n=N, **HEAD)
        run(home, "train-cls", n=N, control="copies", **HEAD)
    pooled = run(work, "ttest", n=N, splits=(0, 1)).path.relative_to(work.root).as_posix()
    assert states(work) == {}
    whole = Path(shutil.copytree(work.root, tmp_path / "whole"))
    run(work.split(1), "train-cls", refresh=True, n=N, **HEAD | {"size": 48})
    assert states(work) == {pooled: "out of date"}
    for older in (False, True):
        copy = Workspace(Path(shutil.copytree(whole, tmp_path / f"copy{older}")))
        if older:
            forget_places(copy)
        shutil.rmtree(copy.split(1).classifier(N, 0))
        found = outdated(copy)
        assert f"{SPLITS}/s1/classifiers/n{N}-s0/real, which is gone" in found[pooled].why
        assert f"usgan train-cls --n {N} --seed 0 --force --work {copy.split(1).root}" in found[pooled].mend


def test_only_what_is_out_of_date_may_be_cleaned(work: Workspace, lent: Workspace) -> None:
    other_images(work.synthetic("none", N, 0, (1, FOLDS)))
    remove(work.synthetic("none", MORE, 0))
    for workspace in (work, lent):
        assert cli.run(["clean", str(workspace.root), "--only", "outdated", "--yes"]) == 0
    assert not (work.root / STRICT).exists() and (work.root / OF_MORE).exists()
    assert lent.gan("none", N, 0).exists() and lent.score(f"none-n{N}-s0").exists()
