"""Which images belong together by their folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from configs import prepare_config
from tiny_data import noise_folders, put

from usgan_cli.core.progress import Silent
from usgan_cli.data.prepare import prepare
from usgan_cli.data.source.contents import ImageSource, SourceOptions
from usgan_cli.data.source.scan import scan

Scanned = Callable[..., ImageSource]


@pytest.fixture
def scanned(tmp_path: Path) -> Scanned:
    """Return a function that scans a folder of empty images."""

    def look(*names: str, options: SourceOptions) -> ImageSource:
        for name in names:
            put(tmp_path / "source" / name)
        return scan(tmp_path / "source", options)

    return look


def groups_of(found: ImageSource) -> dict[str, set[str]]:
    """Return the images of each group."""
    groups: dict[str, set[str]] = {}
    for image in found.images:
        groups.setdefault(str(image.group), set()).add(image.relative)
    return groups


BY_FOLDER = SourceOptions(groups="folder", class_level=1)


def test_a_patient_with_images_of_two_classes_is_one_group(scanned: Scanned) -> None:
    found = scanned("a/p1/1.png", "a/p2/x/1.png", "a/0.png", "b/p1/2.png", "b/p2/x/2.png", "b/0.png", options=BY_FOLDER)
    assert list(groups_of(found).values()) == [
        {"a/0.png"},
        {"a/p1/1.png", "b/p1/2.png"},
        {"a/p2/x/1.png", "b/p2/x/2.png"},
        {"b/0.png"},
    ]


@pytest.mark.parametrize(("way", "level"), [("{side}/{class_}", 2), ("{class_}/{side}", 1)])
def test_a_patient_on_both_sides_of_a_split_is_one_group(scanned: Scanned, way: str, level: int) -> None:
    tops = [way.format(side=side, class_=class_) for side in ("train", "test") for class_ in "ab"]
    options = SourceOptions(groups="folder", class_level=level)
    found = scanned(*(f"{top}/p{i}/1.png" for top in tops for i in range(2)), options=options)
    assert found.has_split
    assert groups_of(found) == {f"p{i}": {f"{top}/p{i}/1.png" for top in tops} for i in range(2)}


def test_folders_above_the_classes_divide_patients(scanned: Scanned) -> None:
    names = [f"site {s}/{c}/p{i}/1.png" for s in (1, 2) for c in "ab" for i in (1, 2)]
    found = scanned(*names, options=SourceOptions(groups="folder", class_level=2))
    assert sorted(groups_of(found)) == [f"site {s}/p{i}" for s in (1, 2) for i in (1, 2)]
    assert all(len(images) == 2 for images in groups_of(found).values())


def test_patients_of_two_classes_stay_on_one_side_and_are_counted(tmp_path: Path) -> None:
    source = noise_folders(tmp_path / "s", {f"{name}/p{i}": i % 3 + 1 for name in "ab" for i in range(8)}, size=16)
    progress = Silent()
    config = prepare_config(16, 1, 10, reading=SourceOptions(groups="folder", class_level=1))
    manifest = prepare(config, source, tmp_path / "d", progress)
    patients = [{image.source.split("/")[1] for image in manifest.of(side)} for side in ("train", "test")]
    assert len(patients[0]) + len(patients[1]) == 8
    assert any(
        "8 groups of images by" in note and "8 of them have images of several classes" in note
        for note in progress.notes
    )
