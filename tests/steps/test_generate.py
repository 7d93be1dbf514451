"""`usgan generate` and `usgan export` as commands: what they write where, what they refuse, and that formats chain."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from tiny_gan import tiny_generator, write_generator

from usgan_cli import cli
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.generator import read_generator_document
from usgan_cli.core.formats.synthetic import read_synthetic_manifest
from usgan_cli.core.images.sets import load_synthetic
from usgan_cli.core.store.document import PlanDocument
from usgan_cli.core.store.files import digest_json
from usgan_cli.core.store.recorded_file import FileRecord
from usgan_cli.gan import onnx as exporting
from usgan_cli.gan.sample import make_images
from usgan_cli.steps.generate import parse_seeds, spell_seeds

CLASSES = ["benign", "malignant", "normal"]
NAME = "ada-n12-s1"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(work: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on the toy GAN of a workspace."""

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        which = ["--aug", "ada", "--n", "12", "--seed", "1", "--work", str(work)]
        code = cli.run([str(words[0]), *which, *map(str, words[1:])])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A workspace with one untrained GAN."""
    folder = tmp_path / "w" / "gans" / NAME
    counts = dict(zip(CLASSES, (6, 4, 2), strict=True))
    write_generator(folder, tiny_generator(), name=NAME, classes=CLASSES, class_counts=counts, seed=1)
    return tmp_path / "w"


def expected(seeds: list[int], labels: list[int], **settings: Any) -> np.ndarray[Any, Any]:
    return np.stack(list(make_images(tiny_generator(), seeds, labels, **settings)))


@pytest.mark.parametrize(("form", "place"), [("png", NAME), ("zip", f"{NAME}-zip"), ("npz", f"{NAME}-npz")])
def test_every_format_has_its_place_and_serves_later_steps(run: Run, work: Path, form: str, place: str) -> None:
    words = ("generate", "--count", 6, "--format", form)
    assert run(*words)[:2] == (0, f"{work / 'synthetic' / place}\n")
    made = load_synthetic(work / "synthetic" / place)
    assert np.array_equal(made.pixels, expected(list(range(1_000_000, 1_000_006)), made.labels.tolist()))
    assert made.class_counts() == {"benign": 3, "malignant": 2, "normal": 1}
    assert "up to date" in run(*words)[2]
    told = json.loads(run(*words, "--json")[1])["artefacts"][0]
    assert (told["status"], told["result"]["format"], told["result"]["count"]) == ("skipped", form, 6)


def test_what_was_made_before_there_were_formats_still_stands(run: Run, work: Path) -> None:
    run("generate", "--count", 4)
    settings = json.loads((work / "synthetic" / NAME / "run.json").read_text())["run"]["settings"]
    assert settings == {"count": 4, "truncation_psi": 1.0, "noise": "random", "precision": "float32", "seed": 1}


def test_images_tell_which_subset_their_gan_was_trained_on_if_its_folder_does(run: Run, work: Path) -> None:
    gan = work / "gans" / NAME
    run("generate", "--count", 4, "--out", work / "untold")
    plan = PlanDocument(command="train-gan", revision=1, settings={}, inputs={"data": "d", "subset": "its digest"})
    plan.write(gan / "config.json")
    run("generate", "--count", 4, "--out", work / "told")
    shutil.copytree(gan, gan / "best", ignore=shutil.ignore_patterns("config.json"))
    assert cli.run(["generate", "--gan", str(gan / "best"), "--count", "4", "--out", str(work / "best")]) == 0
    told = [read_synthetic_manifest(work / name).subset for name in ("untold", "told", "best")]
    assert told == [None, "its digest", "its digest"]
    # Records from before there was this field, and what was made from them, stay valid.
    assert "subset" not in json.loads((work / "untold" / "manifest.json").read_text())
    manifest = read_synthetic_manifest(work / "untold")
    body = manifest.model_dump(mode="json", by_alias=True, exclude={"run", "subset"})
    assert manifest.content_digest() == digest_json(body)


def test_another_format_in_the_same_place_is_refused(run: Run, work: Path) -> None:
    out = work / "mine"
    assert run("generate", "--count", 4, "--out", out)[0] == 0
    code, _, err = run("generate", "--count", 4, "--out", out, "--format", "zip")
    assert code == 1
    assert "format is 'unset' there and 'zip' now" in err
    assert run("generate", "--count", 4, "--out", out, "--format", "zip", "--force")[0] == 0
    assert sorted(p.name for p in out.iterdir()) == ["images.zip", "manifest.json", "run.json"]
    with zipfile.ZipFile(out / "images.zip") as archive:
        assert len(json.loads(archive.read("dataset.json"))["labels"]) == 4


def test_classes_seeds_and_truncation(run: Run, work: Path) -> None:
    words = ("generate", "--classes", "normal, benign", "--seeds", "5-7,99", "--truncation", "0.6", "--out", work / "a")
    assert run(*words)[0] == 0
    manifest = read_synthetic_manifest(work / "a")
    assert [(i.class_, i.seed) for i in manifest.images] == [
        ("benign", 5),
        ("benign", 6),
        ("normal", 7),
        ("benign", 99),
    ]
    made = load_synthetic(work / "a")
    assert np.array_equal(made.pixels, expected([5, 6, 7, 99], [0, 0, 2, 0], truncation_psi=0.6))
    code, _, err = run(*words[:2], "benign", *words[3:])
    assert (code, "classes is ['benign', 'normal'] there and ['benign'] now" in err) == (1, True)
    # The place that later steps look in is left to the whole set.
    assert run(*words[:-2], "--format", "zip")[1] == f"{work / 'synthetic' / f'{NAME}-benign-normal-seeds-zip'}\n"
    # All classes by name are all classes, in any order.
    assert run("generate", "--count", 3)[0] == 0
    assert "up to date" in run("generate", "--count", 3, "--classes", "normal,malignant,benign")[2]


def test_a_grid_is_one_picture_with_its_record(run: Run, work: Path) -> None:
    code, out, err = run("generate", "--grid", "4")
    path = work / "pictures" / f"{NAME}-grid.png"
    assert (code, out) == (0, f"{path}\n"), err
    assert Image.open(path).size == (4 * 16 + 3 * 2, 3 * 16 + 2 * 2)
    first = np.asarray(Image.open(path))[:16, :16]
    assert np.array_equal(first, expected([1_000_000], [0])[0, 0])
    record = FileRecord.read(path.with_name(f"{path.name}.json"))
    assert record.about["classes"] == CLASSES
    assert record.run is not None
    assert not (work / "synthetic").exists()
    assert "up to date" in run("generate", "--grid", "4x3")[2]
    code, _, err = run("generate", "--grid", "4x4")
    assert (code, "grid is '4x3' there and '4x4' now" in err) == (1, True)
    out_file = work / "two.png"
    assert run("generate", "--grid", "2x2", "--classes", "benign", "--seeds", "8,1-3", "--out", out_file)[0] == 0
    shown = np.asarray(Image.open(out_file))
    assert np.array_equal(shown[18:, 18:], expected([3], [0])[0, 0])


def test_the_way_between_two_seeds_is_a_strip_or_a_gif(run: Run, work: Path) -> None:
    code, out, err = run("generate", "--interpolate", 3, 9, "--frames", 5)
    strip = work / "pictures" / f"{NAME}-3-9.png"
    assert (code, out) == (0, f"{strip}\n"), err
    assert Image.open(strip).size == (5 * 16 + 4 * 2, 3 * 16 + 2 * 2)
    assert run("generate", "--interpolate", 3, 9, "--frames", 5, "--gif")[1] == f"{strip.with_suffix('.gif')}\n"
    with Image.open(strip.with_suffix(".gif")) as gif:
        frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(gif)]
    assert (len(frames), frames[0].shape) == (8, (16, 3 * 16 + 2 * 2))
    # One row a class in the strip, side by side in the animation.
    sheet = np.asarray(Image.open(strip))
    assert np.array_equal(frames[2][:, :16], sheet[:16, 36:52])
    assert np.array_equal(frames[2][:, 18:34], sheet[18:34, 36:52])
    assert np.array_equal(frames[5], frames[3])


def test_a_dry_run_of_a_picture_writes_nothing(run: Run, work: Path) -> None:
    code, out, err = run("generate", "--grid", "4", "--dry-run")
    assert (code, out) == (0, f"{work / 'pictures' / f'{NAME}-grid.png'}\n")
    assert "4x3" in err
    assert not (work / "pictures").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--format tar", "--format is 'tar'; it must be one of png, zip, npz"),
        ("--noise pink", "--noise is 'pink'; it must be one of random, const, none"),
        ("--classes cyst", "no class 'cyst'"),
        ("--classes ,", "--classes names none"),
        ("--classes benign,benign", "named twice"),
        ("--seeds 1-3 --count 3", "leave out --count"),
        ("--seeds 3-1", "runs backwards"),
        ("--seeds one", "'one' in --seeds"),
        ("--seeds 1-3,2", "comes twice"),
        ("--ratio 0 --at-least 0", "make no images"),
        ("--gif", "--gif goes with --interpolate"),
        ("--frames 4", "--frames goes with --interpolate"),
        ("--grid 2 --interpolate 1 2", "two pictures"),
        ("--grid 2 --count 3", "leave out --count and --format"),
        ("--interpolate 1 2 --seeds 4", "leave out --count, --format and --seeds"),
        ("--grid 2by2", "not the shape of a grid"),
        ("--grid 2x2", "2 rows do not show 3 classes"),
        ("--grid 2 --seeds 1-3", "shows 2 seeds of every class; --seeds has 3"),
        ("--grid 2 --out a.gif", "Give --out FILE.png"),
        ("--interpolate 1 2 --gif --out a.png", "Give --out FILE.gif"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_message(run: Run, work: Path, words: str, message: str) -> None:
    code, out, err = run("generate", *words.split())
    assert (code, out, err.count("Error: ")) == (1, "", 1)
    assert message in err.replace("\n", " ")
    assert sorted(p.name for p in work.iterdir()) == ["gans"]


@given(st.lists(st.integers(0, 60), unique=True, min_size=1, max_size=40))
def test_seeds_are_spelled_as_they_are_read(seeds: list[int]) -> None:
    assert parse_seeds(spell_seeds(seeds)) == seeds


def test_seeds_keep_their_order() -> None:
    assert parse_seeds(" 9, 2-4 ,0") == [9, 2, 3, 4, 0]
    for text in ("", "1,", "-1", "1-", "1.5", "0-99999999999"):
        with pytest.raises(SettingsError):
            parse_seeds(text)


def test_an_export_says_what_is_wrong_before_it_works(
    run: Run, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, message in (
        (("m.pt",), "--onnx FILE.onnx"),
        (("m.onnx", "--noise", "random"), "--noise is 'random'; it must be one of const, none"),
    ):
        code, out, err = run("export", "--onnx", *words)
        assert (code, out) == (1, "")
        assert message in err
    monkeypatch.setattr(exporting, "PACKAGES", ("a_package_that_is_not_there",))
    code, out, err = run("export", "--onnx", tmp_path / "m.onnx")
    assert (code, out) == (1, "")
    assert "pip install 'usgan[onnx]'" in err
    assert not list(tmp_path.glob("m.onnx*"))


@pytest.mark.slow
@pytest.mark.skipif(
    any(find_spec(name) is None for name in exporting.PACKAGES), reason="onnx absent: pip install 'usgan[onnx]'"
)
def test_an_export_is_one_file_with_its_record(run: Run, work: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "m.onnx"
    code, out, err = run("export", "--onnx", path)
    assert (code, out) == (0, f"{path}\n"), err
    assert "Its images are the generator's own" in err
    code, out, _ = run("export", "--onnx", path, "--json")
    told = json.loads(out)["artefacts"][0]
    assert (told["status"], told["result"]["name"], told["result"]["opset"]) == ("skipped", NAME, exporting.OPSET)
    assert told["result"]["max_difference"] < 1e-4
    generator = read_generator_document(work / "gans" / NAME)
    assert told["result"]["generator"] == generator.content_digest()
