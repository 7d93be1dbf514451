"""Preparing with near-copies: kept together, dropped or ignored; conflicts; the audit beside the images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from configs import prepare_config
from PIL import Image

from usgan_cli.core.errors import DataError, SettingsError
from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.images import codec
from usgan_cli.core.progress import Silent
from usgan_cli.data.audit import Audit
from usgan_cli.data.copies.groups import CONFLICT, COPY
from usgan_cli.data.phantom import simulate
from usgan_cli.data.prepare import prepare


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight images of each of two classes, the last two of the first being smaller copies of earlier ones.

    One malignant image is a copy of a benign one.
    """
    folder = tmp_path_factory.mktemp("copies") / "source"
    for kind in ("benign", "malignant"):
        for seed in range(8):
            codec.write_png(folder / kind / f"{seed}.png", simulate(kind, seed))
    for name, earlier in (("benign/6", "benign/0"), ("benign/7", "benign/1"), ("malignant/7", "benign/2")):
        with Image.open(folder / f"{earlier}.png") as picture:
            picture.crop((5, 9, 250, 251)).resize((200, 210)).save(folder / f"{name}.png")
    return folder


def made(source: Path, target: Path, **settings: object) -> tuple[DataManifest, Audit, Silent]:
    audits: list[Audit] = []
    progress = Silent()
    config = prepare_config(size=16, test=6, **settings)  # type: ignore[arg-type]
    manifest = prepare(config, source, target, progress, audited=audits.append)
    assert manifest == DataManifest.read(target / "manifest.json")
    assert audits[0].source in (target / "audit.html").read_text(encoding="utf-8")
    files = {path.relative_to(target).as_posix() for path in target.glob("images/*/*")}
    assert files == {image.file for image in manifest.images}
    return manifest, audits[0], progress


def test_near_copies_stay_together(source: Path, tmp_path: Path) -> None:
    for seed in range(5):
        manifest, audit, progress = made(source, tmp_path / str(seed), seed=seed)
        split = {image.source: (image.split, image.group) for image in manifest.images}
        assert split["benign/0.png"] == split["benign/6.png"]
        assert split["benign/1.png"] == split["benign/7.png"]
        assert split["benign/2.png"] == split["malignant/7.png"]
        assert len(manifest.of("test")) == 6
        assert audit.divided() == []
    assert sorted(manifest.duplicates) == [
        ["images/benign/0.png", "images/benign/6.png"],
        ["images/benign/1.png", "images/benign/7.png"],
        ["images/benign/2.png", "images/malignant/7.png"],
    ]
    assert manifest.conflicts == [["images/benign/2.png", "images/malignant/7.png"]]
    assert min(pair.score for pair in manifest.near_copies) > 0.8
    assert any("benign/2.png = malignant/7.png" in warning for warning in progress.warnings)
    assert (manifest.duplicate_policy, manifest.conflict_policy) == ("group", "keep")


def test_copies_are_dropped_and_conflicts_too(source: Path, tmp_path: Path) -> None:
    manifest, audit, _ = made(source, tmp_path, duplicates="drop", conflicts="drop")
    assert {item.source: item.reason for item in manifest.left_out} == {
        "benign/2.png": CONFLICT,
        "malignant/7.png": CONFLICT,
        "benign/6.png": COPY,
        "benign/7.png": COPY,
    }
    assert (len(manifest.images), manifest.duplicates, manifest.conflicts) == (12, [], [])
    assert dict(audit.rows())["Dropped as copies or conflicts"] == "4"


def test_ignored_copies_that_cross_are_reported(source: Path, tmp_path: Path) -> None:
    crossing = []
    for seed in range(5):
        manifest, audit, progress = made(source, tmp_path / str(seed), seed=seed, duplicates="ignore")
        assert len({image.group for image in manifest.images}) == 16
        assert len(manifest.duplicates) == 3  # they are known all the same
        crossing.append(len(audit.divided()))
        assert any("both sides of the split" in warning for warning in progress.warnings) == (crossing[-1] > 0)
    assert max(crossing) > 0


def test_conflicts_can_be_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"benign/2\.png = malignant/7\.png"):
        made(source, tmp_path, conflicts="error")
    with pytest.raises(SettingsError, match="merge"):
        prepare_config(duplicates="merge")  # type: ignore[arg-type]


def test_the_result_does_not_depend_on_threads(source: Path, tmp_path: Path) -> None:
    one, two = (prepare(prepare_config(16, 1, 6), source, tmp_path / str(n), Silent(), workers=n) for n in (1, 3))
    assert one.content_digest() == two.content_digest()
    assert (tmp_path / "1/audit.html").read_bytes() == (tmp_path / "3/audit.html").read_bytes()
    assert np.isfinite([pair.score for pair in one.near_copies]).all()
