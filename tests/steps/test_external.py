"""`usgan prepare --external`, and the classifiers that are tested on what it makes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import prepare, train_cls
from tiny_workspace import CLASSES, FAST, N, new_workspace, picture

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.dataset import DataManifest, Subset, read_manifest
from usgan_cli.core.formats.external import read_external
from usgan_cli.core.images import codec
from usgan_cli.core.images.sets import load_external
from usgan_cli.core.progress import Silent
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.steps.inventory import take_inventory
from usgan_cli.steps.outdated import find_outdated
from usgan_cli.terminal.session import Session

OPTIONS = {"external_classes": ("clinic:b=benign", "clinic:m=malignant", "clinic:cyst=")}


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    made = new_workspace(tmp_path)
    manifest = read_manifest(made.data)
    manifest.model_copy(update={"fit": "stretch"}).write(made.data / DataManifest.FILE)
    return made


@pytest.fixture
def clinic(tmp_path: Path, work: Workspace) -> Path:
    """Images of two of the dataset's classes and another one under other names; two are training images again."""
    rng = np.random.default_rng(5)
    for label, name in enumerate(("b", "m", "cyst")):
        (tmp_path / "clinic" / name).mkdir(parents=True)
        for i in range(4):
            (tmp_path / "clinic" / name / f"{i}.png").write_bytes(codec.encode_png(picture(rng, label)))
    for i in range(2):
        shutil.copy(work.data / "images" / "benign" / f"train{i}.png", tmp_path / "clinic" / "b" / f"again{i}.png")
    return tmp_path / "clinic"


def session_of(work: Workspace, **changes: Any) -> Session:
    return Session(work, Silent(), **changes)


def subset_again(work: Workspace) -> None:
    """Draw the subset from the dataset as it is now."""
    path = work.subset(N, 0)
    body = json.loads(path.read_text())
    Subset(
        **{name: body[name] for name in ("n", "seed", "classes", "images")},
        data=read_manifest(work.data).content_digest(),
    ).write(path)


def test_a_set_is_of_the_datasets_size_and_classes_and_says_what_is_wrong_with_it(
    work: Workspace, clinic: Path
) -> None:
    session = session_of(work)
    prepare(session, external=(f"clinic={clinic}",), **OPTIONS)
    manifest = read_external(work.external("clinic"))
    assert manifest.class_counts() == {"benign": 6, "malignant": 4, "normal": 0}
    assert manifest.missing == ["normal"]
    assert [image.source for image in manifest.images if image.near_training] == ["b/again0.png", "b/again1.png"]
    assert load_external(work.external("clinic")).pixels.shape == (10, 1, 32, 32)
    assert len(manifest.left_out) == 4
    text = "\n".join(session.progress.warnings)  # type: ignore[attr-defined]
    assert "no image of normal" in text and "2 of 10 images" in text
    prepare(session, external=(f"clinic={clinic}",), **OPTIONS)
    assert "up to date" in session.progress.notes[-1]  # type: ignore[attr-defined]


def test_what_does_not_fit_is_refused(work: Workspace, clinic: Path) -> None:
    session, given = session_of(work), (f"clinic={clinic}",)
    with pytest.raises(DataError, match=r"classes that the dataset lacks: b, cyst and m") as refused:
        prepare(session, external=given)
    assert refused.value.hint is not None and "--external-classes clinic:b=CLASS" in refused.value.hint
    for classes, words in (
        (("clinic:b=bengn",), "no class of the dataset"),
        (("clinic:x=benign",), "has no class 'x'"),
        (("other:b=benign",), "does not name"),
        (("clinic:b",), "NAME:THEIRS=OURS"),
        (("clinic:b=benign", "clinic:b=normal"), "twice"),
    ):
        with pytest.raises(SettingsError, match=words):
            prepare(session, external=given, external_classes=classes)
    for one in ("clinic", "../x=DIR", "val=DIR", "=DIR", "a="):
        with pytest.raises(SettingsError):
            prepare(session, external=(one,))
    with pytest.raises(SettingsError, match="twice"):
        prepare(session, external=(*given, f"Clinic={clinic}"))
    with pytest.raises(SettingsError, match="--size is for a dataset"):
        prepare(session, external=given, size=64, **OPTIONS)
    with pytest.raises(SettingsError, match="nothing to prepare"):
        prepare(session)
    assert work.externals() == []


def test_a_set_added_later_makes_classifiers_out_of_date(work: Workspace, clinic: Path) -> None:
    subset_again(work)
    train_cls(session_of(work), n=N, **FAST)
    before = (work.classifier(N, 0) / "predictions.csv").read_bytes()
    prepare(session_of(work), external=(f"clinic={clinic}",), **OPTIONS)
    with pytest.raises(SettingsError, match="'external test set clinic' was not there when it was made"):
        train_cls(session_of(work), n=N, **FAST)
    outcome = train_cls(session_of(work, refresh=True), n=N, **FAST)
    record = ClassifierRecord.read(work.classifier(N, 0) / "result.json")
    assert record.external["clinic"].near_training == 2
    assert outcome.result["external"]["clinic"]["missing"] == ["normal"]
    assert (work.classifier(N, 0) / "predictions.csv").read_bytes() == before
    assert [
        one.findings for one in take_inventory(work) if one.findings and one.folder in {"external", "classifiers"}
    ] == []

    prepare(
        session_of(work, refresh=True),
        external=(f"clinic={clinic}",),
        external_classes=("clinic:b=benign", "clinic:m=benign", "clinic:cyst="),
    )
    stale = find_outdated(take_inventory(work))
    assert any(one.path == work.classifier(N, 0) and "external" in one.why for one in stale)


def test_a_set_of_another_dataset_is_refused(work: Workspace, clinic: Path) -> None:
    prepare(session_of(work), external=(f"clinic={clinic}",), **OPTIONS)
    manifest = read_manifest(work.data)
    manifest.model_copy(update={"seed": 9}).write(work.data / DataManifest.FILE)
    subset_again(work)
    with pytest.raises(DataError, match="prepared for another dataset"):
        train_cls(session_of(work), n=N, **FAST)
    assert manifest.classes == CLASSES
