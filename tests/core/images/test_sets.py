"""Image sets hold what their manifests list, in that order, and nothing that has changed since."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from usgan_cli.core.errors import DataError, MissingError
from usgan_cli.core.formats.dataset import DataImage, DataManifest, read_manifest
from usgan_cli.core.formats.synthetic import SyntheticImage, SyntheticManifest, read_synthetic_manifest
from usgan_cli.core.images import codec
from usgan_cli.core.images.sets import load_listed, load_split, load_synthetic

CLASSES = ["benign", "normal"]


def picture(value: int, channels: int = 1) -> codec.Pixels:
    return np.full((channels, 8, 8), value, dtype=np.uint8)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Five images whose gray value is their number, listed out of the order of their names."""
    listed = []
    for number, name, split, group in [
        (3, "normal", "train", 7),
        (1, "benign", "train", 5),
        (2, "benign", "test", 6),
        (4, "normal", "test", 8),
        (5, "benign", "train", 5),
    ]:
        file = f"images/{name}/{number}.png"
        sha256 = codec.write_png(tmp_path / file, picture(number))
        fields = {"file": file, "class": name, "split": split, "group": group, "sha256": sha256, "source": file}
        listed.append(DataImage.model_validate(fields))
    DataManifest(
        classes=CLASSES,
        size=8,
        channels=1,
        layout="class folders",
        resampling="lanczos",
        fit="stretch",
        test_share=0.4,
        seed=0,
        images=listed,
        left_out=[],
        duplicates=[],
        conflicts=[],
    ).write(tmp_path / "manifest.json")
    return tmp_path


@pytest.fixture
def generated(tmp_path: Path) -> Path:
    folder = tmp_path / "generated"
    listed = []
    for number in range(6):
        name = CLASSES[number % 2]
        sha256 = codec.write_png(folder / name / f"{number}.png", picture(10 * number, 3))
        fields = {"file": f"{name}/{number}.png", "class": name, "seed": number, "sha256": sha256}
        listed.append(SyntheticImage.model_validate(fields))
    SyntheticManifest(
        classes=CLASSES,
        size=8,
        channels=3,
        gan="g",
        gan_name="ada-n3-s0",
        truncation_psi=1.0,
        noise="const",
        class_shares={"benign": 0.5, "normal": 0.5},
        images=listed,
    ).write(folder / "manifest.json")
    return folder


def test_a_side_is_loaded_in_the_manifests_order(prepared: Path) -> None:
    train = load_split(prepared, "train")
    assert train.pixels[:, 0, 0, 0].tolist() == [3, 1, 5]
    assert train.labels.tolist() == [1, 0, 0]
    assert train.groups.tolist() == [7, 5, 5]
    assert train.files == ("images/normal/3.png", "images/benign/1.png", "images/benign/5.png")
    assert (train.name, train.classes, len(train)) == ("train", ("benign", "normal"), 3)
    assert (train.pixels.shape, train.pixels.dtype) == ((3, 1, 8, 8), np.uint8)
    assert train.class_counts() == {"benign": 2, "normal": 1}
    assert load_split(prepared, "test").pixels[:, 0, 0, 0].tolist() == [2, 4]


def test_taking_keeps_everything_together(prepared: Path) -> None:
    some = load_split(prepared, "train").take(np.array([2, 0]), "some")
    assert some.pixels[:, 0, 0, 0].tolist() == [5, 3]
    assert (some.labels.tolist(), some.groups.tolist()) == ([0, 1], [5, 7])
    assert some.files == ("images/benign/5.png", "images/normal/3.png")
    assert some.name == "some"


def test_the_first_generated_images_are_taken_in_their_order(generated: Path) -> None:
    made = load_synthetic(generated, 4)
    assert made.pixels[:, 0, 0, 0].tolist() == [0, 10, 20, 30]
    assert made.labels.tolist() == [0, 1, 0, 1]
    assert len(set(made.groups.tolist())) == 4
    assert made.pixels.shape == (4, 3, 8, 8)
    assert made.name == "ada-n3-s0"
    assert len(load_synthetic(generated)) == 6


def test_too_few_generated_images_are_an_error(generated: Path) -> None:
    with pytest.raises(DataError, match=r"holds 6 generated images; 7 are needed[^$]*--count 7"):
        load_synthetic(generated, 7)


def test_a_changed_image_is_found(prepared: Path, generated: Path) -> None:
    codec.write_png(prepared / "images" / "benign" / "1.png", picture(9))
    with pytest.raises(DataError, match=r"benign/1\.png has changed"):
        load_split(prepared, "train")
    assert len(load_split(prepared, "test")) == 2
    (generated / "normal" / "5.png").unlink()
    with pytest.raises(DataError, match=r"normal/5\.png is listed in its manifest"):
        load_synthetic(generated)
    # What is not asked for is not read.
    assert len(load_synthetic(generated, 5)) == 5


def test_absent_folders_say_which_command_makes_them(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="usgan prepare"):
        read_manifest(tmp_path)
    with pytest.raises(MissingError, match="usgan generate"):
        read_synthetic_manifest(tmp_path)


def test_a_set_without_images_is_an_error(prepared: Path) -> None:
    with pytest.raises(DataError, match=r"'none of them' .* has no images"):
        load_listed(prepared, read_manifest(prepared), [], "none of them")
