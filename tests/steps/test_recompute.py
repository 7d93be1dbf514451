"""`scripts/recompute.py`: a study's comparisons computed again from its predictions, with nothing of the package."""

from __future__ import annotations

import ast
import csv
import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from calls import report, train_cls, ttest
from scipy import special, stats
from tiny_workspace import FAST, N, new_workspace, write_synthetic

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.comparison import SeedsRecord, SplitsRecord
from usgan_cli.core.formats.dataset import Subset, read_manifest
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import SplitsKey, Workspace
from usgan_cli.stats.mrmc import compare_arms
from usgan_cli.steps.inventory import take_inventory
from usgan_cli.terminal.session import Session

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "recompute.py"
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three repeats of a baseline, copies and a GAN's images, compared and reported."""
    work = new_workspace(tmp_path_factory.mktemp("tiny"), SEEDS)
    session = Session(work, Silent())
    for seed in SEEDS:
        write_synthetic(work, "ada", seed)
        train_cls(session, n=N, seed=seed, **FAST)
        train_cls(session, n=N, seed=seed, control="copies", **FAST)
        train_cls(session, n=N, seed=seed, aug="ada", **FAST)
        ttest(session, n=N, seed=seed)
    ttest(session, n=N, seeds=list(SEEDS))
    report(session, primary=f"ada-x1 n{N}")
    return work


def recompute(work: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), str(work)], capture_output=True, text=True, check=False)


def test_it_imports_nothing_of_the_package() -> None:
    nodes = list(ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8"))))
    names = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module).split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    assert names - sys.stdlib_module_names == {"numpy"}


def test_every_number_of_a_study_is_found_again(study: Workspace) -> None:
    done = recompute(study.root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ada-x1 ") == 1 and "differ" in done.stdout
    compared = int(done.stdout.splitlines()[-1].split()[0])
    assert compared == 9 + 8 * 8 + 2 * 3, "9 classifiers; 8 comparisons; 2 verdicts"


def test_a_number_that_its_files_do_not_say_is_found(study: Workspace, tmp_path: Path) -> None:
    changed = shutil.copytree(study.root, tmp_path / "work")
    path = Workspace(changed).ttest(N, *SEEDS)
    record = json.loads(path.read_text())
    record["effects"][0]["p"] *= 0.9
    path.write_text(json.dumps(record))
    done = recompute(changed)
    assert done.returncode == 1 and "1 differ" in done.stdout and record["effects"][0]["name"] in done.stdout
    shutil.copy(study.ttest(N, *SEEDS), path)
    table = changed / "report" / "tables" / "verdicts.csv"
    with table.open(newline="") as file:
        head, *rows = list(csv.reader(file))
    rows[1][head.index("verdict")] = "helped"
    table.write_text("\n".join(",".join(row) for row in [head, *rows]))
    assert "stated helped" in recompute(changed).stdout


def test_nothing_to_compare_is_a_failure(tmp_path: Path) -> None:
    assert recompute(tmp_path).returncode == 1


def test_its_t_distribution_is_students(study: Workspace) -> None:
    """Against scipy, and the record's interval against the F test that it writes out."""
    scope: dict[str, object] = {"__name__": "recompute"}
    exec(compile(SCRIPT.read_text(encoding="utf-8"), str(SCRIPT), "exec"), scope)
    tail, limit = scope["t_tail"], scope["t_limit"]
    for df in (1, 2, 4, 7.5, 232):
        for t in (0.0, 0.01, 0.3, 1.0, 2.5, 12.0):
            assert tail(t, df) == pytest.approx(2 * stats.t.sf(t, df), abs=1e-12)  # type: ignore[operator]
        assert limit(df) == pytest.approx(special.stdtrit(df, 0.975), rel=1e-9)  # type: ignore[operator]
    for effect in SeedsRecord.read(study.ttest(N, *SEEDS)).effects:
        assert effect.df == 2 and len(effect.by_repeat) == 3


def test_repeats_that_differ_by_the_same_amount_are_found_again_too() -> None:
    scope: dict[str, object] = {"__name__": "recompute"}
    exec(compile(SCRIPT.read_text(encoding="utf-8"), str(SCRIPT), "exec"), scope)
    treated, control = np.zeros((2, 2, 1, 40))
    treated[0, 0, :3] = treated[1, 0, 3:6] = 1
    files = [f"{i:02}.png" for i in range(40)]
    arms = [[dict(zip(files, one.T, strict=True)) for one in arm] for arm in (treated, control)]
    again = scope["analyse"](*arms, {file: i for i, file in enumerate(files)})  # type: ignore[operator]
    effect = compare_arms(treated, control, np.arange(40))
    assert again["standard_error"] == pytest.approx(effect.standard_error) and again["p"] == pytest.approx(effect.p)


def second_split(work: Workspace) -> Workspace:
    """The same images, of which a pair of each class has changed sides with two test images."""
    other = work.split(1)
    shutil.copytree(work.data, other.data)
    manifest = read_manifest(work.data)
    images = list(manifest.images)
    for label in manifest.classes:
        own = [i for i, image in enumerate(images) if image.class_ == label]
        groups = Counter(images[i].group for i in own)
        train = [i for i in own if groups[images[i].group] == 2][:2]
        test = [i for i in own if images[i].split == "test"][:2]
        for i, side in (*((i, "test") for i in train), *((i, "train") for i in test)):
            images[i] = images[i].model_copy(update={"split": side})
    changed = manifest.model_copy(update={"images": images, "seed": 1})
    changed.write(other.data / "manifest.json")
    files = [image.file for image in changed.of("train")]
    for seed in (0, 1):
        drawn = Subset(n=N, seed=seed, data=changed.content_digest(), classes=changed.classes, images=files)
        drawn.write(other.subset(N, seed))
    return other


def test_several_splits_are_pooled_and_found_again(study: Workspace, tmp_path: Path) -> None:
    work = Workspace(shutil.copytree(study.root, tmp_path / "work"))
    other, session = second_split(work), Session(work, Silent())
    there = Session(other, Silent())
    for seed in (0, 1):
        write_synthetic(other, "ada", seed)
        train_cls(there, n=N, seed=seed, **FAST)
        train_cls(there, n=N, seed=seed, control="copies", **FAST)
        train_cls(there, n=N, seed=seed, aug="ada", **FAST)
    assert not (other.root / "cache").exists(), "one cache for all splits"
    done = ttest(session, n=N, seeds=[0, 1], splits=[0, 1])
    assert done.path == work.pooled(SplitsKey(N, (0, 1), (0, 1)))
    record = SplitsRecord.read(done.path)
    assert np.shape(record.baseline_by_split) == (2, 2)
    assert all(effect.df == 1 and np.shape(effect.trainings) == (2, 2) for effect in record.effects)
    assert record.exchange is not None and "1 size (36)" in record.exchange.lacking
    assert not [one for one in take_inventory(work) if one.findings and one.folder == "ttests"]
    report(session, primary=f"ada-x1 n{N}")
    page = (work.report / "index.html").read_text()
    assert "2 splits (0 and 1) of 2 repeats (seeds 0 and 1)" in page and "is of split 0 alone" in page
    again = recompute(work.root)
    assert again.returncode == 0, again.stdout + again.stderr
    for split, home in enumerate((work, other)):
        copies = home.classifiers(N, 1) / "copies-x1"
        copies.rename(tmp_path / "away")
        with pytest.raises(DataError, match=f"Split {split}, seed 1, has no classifier 'copies-x1'") as caught:
            ttest(session, n=N, seeds=[0, 1], splits=[0, 1])
        command = f"usgan train-cls --n {N} --seed 1 --control copies --ratio 1 --work {home.root} "
        assert command in (caught.value.hint or "")
        (tmp_path / "away").rename(copies)
    train_cls(replace(there, refresh=True), n=N, seed=1, control="copies", **FAST | {"folds": 2})
    report(session, primary=f"ada-x1 n{N}")
    page = (work.report / "index.html").read_text()
    assert f"is older than the classifier of split 1 n{N}-s1/copies-x1" in page
    with pytest.raises(SettingsError, match="two or more splits"):
        ttest(session, n=N, seeds=[0, 1], splits=[0])
    manifest = read_manifest(other.data)
    manifest.model_copy(update={"seed": 2}).write(other.data / "manifest.json")
    with pytest.raises(DataError, match="is not the split that usgan draws with seed 1"):
        ttest(session, n=N, seeds=[0, 1], splits=[0, 1])
