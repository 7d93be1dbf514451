"""Forty names that a shell, a file system, a spreadsheet, a browser or LaTeX would obey, through every command."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from usgan_cli import cli
from usgan_cli.core.formats.classifier import ClassifierRecord, Predictions
from usgan_cli.core.images import codec
from usgan_cli.core.images.codec import Pixels
from usgan_cli.gan import onnx as exporting

pytestmark = pytest.mark.slow

NAMES = [
    "../../../evil", "..", "/etc/passwd", "C:\\Windows\\x", "a/b", "a\\b", ".hidden", "-rf", "CON", "nul.png", "lpt1",
    "ends.", "~root", "$HOME", "`id`", "$(id)", "a;b", "it's", 'say "x"', "a|b", "*", "?", "%2F", "{wildcard}",
    "[red]", "[/a]", "[link=file:///x]y[/link]", ":smile:", "=1+1", "+1", "-1+1", "@SUM(A1)", "'=1",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&lt;b&gt;", "\\input{x}", "$\\frac$ 5 % & #_^",
    "良性 Läsion", "n" * 120,
]  # fmt: skip
N, TEST, FOLDS = 120, 40, 3


class Means:
    """An extractor whose features are the images' 4 x 4 block means: nothing here is about distances."""

    name, dim = "means@0", 16

    def __call__(self, pixels: Pixels, **options: object) -> np.ndarray:
        return pixels[:, 0].reshape(len(pixels), 4, 4, 4, 4).mean((2, 4)).reshape(len(pixels), 16).astype(np.float32)


class Scripts(HTMLParser):
    """Collects what a page would run, and the text that it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of four images of each class."""
    folder = tmp_path_factory.mktemp("hostile") / "source"
    draws, rows = np.random.default_rng(0), io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["path", "label"])
    for label, name in enumerate(NAMES):
        for i in range(4):
            file = f"{label}-{i}.png"
            codec.write_png(folder / file, draws.integers(0, 256, (1, 16, 16), dtype=np.uint8))
            writer.writerow([file, name])
    (folder / "table.csv").write_text(rows.getvalue(), encoding="utf-8")
    return folder


@pytest.fixture
def restored() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def entries(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


STUDY_NAME = "<script>alert(2)</script>[red]$(id)=1+1"


def study_file(table: Path) -> Path:
    """A study of the same settings as the single commands, whose own name and file are hostile too."""
    file = table.parent / "it's [red] $(id);.toml"
    file.write_text(
        f"""
name = {json.dumps(STUDY_NAME)}
[data]
source = {json.dumps(str(table / "table.csv"))}
size = 16
test = {TEST}
[grid]
sizes = [{N}]
seeds = [0]
gans = ["none"]
[gan]
preset = "tiny"
kimg = 0.03
batch = 4
precision = "float32"
[generate]
count = {N}
[score]
extractor = "efficientnet-lite0"
count = 40
ssim_pairs = 20
[classifier]
backbone = "test_efficientnet"
weights = "none"
freeze = true
size = 32
folds = {FOLDS}
controls = []
""",
        encoding="utf-8",
    )
    return file


def test_names_are_data_in_every_command(
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    restored: None,
) -> None:
    assert len(set(NAMES)) == 40
    monkeypatch.setattr("usgan_cli.steps.score.make_extractor", lambda *_, **__: Means())
    monkeypatch.setenv("COLUMNS", "4000")
    monkeypatch.chdir(tmp_path)
    around = entries(tmp_path.parent) | entries(table)
    shown = ""

    def run(*words: object) -> None:
        nonlocal shown
        code = cli.run([*map(str, words), "--work", "deep/er/work"])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        assert re.sub(r"\n", "", captured.err).isprintable()
        shown += captured.err

    fast = ["--preset", "tiny", "--kimg", "0.03", "--batch", "4", "--precision", "float32"]
    classifier = ["--backbone", "test_efficientnet", "--weights", "none", "--freeze", "--size", "32", "--folds", FOLDS]
    of_gan = ["--aug", "none", "--n", N]
    run("prepare", table / "table.csv", "--size", 16, "--test", TEST)
    run("subsample", "--n", N)
    run("train-gan", *of_gan, *fast)
    run("generate", *of_gan, "--count", N)
    for form in ("zip", "npz"):
        run("generate", *of_gan, "--count", 40, "--format", form)
    for name in ("../../../evil", "<script>alert(1)</script>", "=1+1"):
        run("generate", *of_gan, "--count", 2, "--classes", name)
    run("generate", *of_gan, "--grid", "2")
    run("score", *of_gan, "--extractor", "efficientnet-lite0", "--count", 40, "--ssim-pairs", "20")
    run("train-cls", "--n", N, *classifier)
    run("train-cls", *of_gan, *classifier)
    run("ttest", "--n", N)
    if find_spec("onnx") is not None:
        import onnx

        monkeypatch.setattr(exporting, "PACKAGES", ())
        monkeypatch.setattr(exporting, "_exported", lambda *_: onnx.ModelProto())  # what is written about it is real
        monkeypatch.setattr(exporting, "greatest_difference", lambda *_: 0.0)
        run("export", *of_gan, "--onnx", "deep/er/work/it's $(id).onnx")
        about = {one.key: one.value for one in onnx.load("deep/er/work/it's $(id).onnx").metadata_props}
        assert set(json.loads(about["classes"])) == set(NAMES)
    run("study", study_file(table), "--dry-run")
    run("study", study_file(table))
    run("report")
    run("status")
    run("verify")
    for name in (STUDY_NAME, "table.csv"):
        assert name in shown

    work = tmp_path / "deep/er/work"
    assert {path.parts[0] for path in map(Path, entries(tmp_path))} == {"deep"}
    assert {entry for entry in entries(tmp_path / "deep") if not entry.startswith("er")} == set()
    assert {path.name for path in (tmp_path / "deep/er").iterdir()} == {"work"}
    assert entries(table) | around == around
    assert not Path("/tmp/evil").exists()
    assert len(list((work / "data/images").iterdir())) == 40
    made = [path for path in (work / f"synthetic/none-n{N}-s0").iterdir() if path.is_dir()]
    assert len(made) == 40
    with zipfile.ZipFile(next(work.glob("synthetic/*-zip/images.zip"))) as archive:
        assert all(re.fullmatch(r"\d{5}/img\d{8}\.png|dataset\.json", name) for name in archive.namelist())

    for name in NAMES[:39]:
        assert name in shown, name
    folder = work / "classifiers" / f"n{N}-s0" / "real"
    assert Predictions.read(folder / Predictions.FILE).classes == tuple(
        ClassifierRecord.read(folder / "result.json").classes
    )
    assert set(json.loads((work / "data/manifest.json").read_text(encoding="utf-8"))["classes"]) == set(NAMES)

    for path in work.rglob("*.csv"):
        for row in csv.reader(path.open(encoding="utf-8", newline="")):
            assert not [cell for cell in row if re.match(r"[=+@\t\r]|-(?![\d.])|-.*[^\d.e-]", cell)], path
    for path in work.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        page = Scripts()
        page.feed(text)
        assert "script" not in page.tags
        assert not {name for name in page.attributes if name.startswith("on")}
        words = "".join(page.words)
        assert "<script>alert(1)</script>" in words, path
        assert STUDY_NAME in words or path.parent.name != "report", path
    for path in work.rglob("*.md"):
        assert not re.search(r"(?<!\\)<(?=[a-z/!])", path.read_text(encoding="utf-8")), path
    for path in work.rglob("*.tex"):
        assert "\\input" not in path.read_text(encoding="utf-8"), path


def test_folders_of_simulated_images_may_be_called_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], restored: None
) -> None:
    from usgan_cli.data import phantom

    blank = np.zeros((1, 16, 16), dtype=np.uint8)
    monkeypatch.setattr(phantom, "simulate", lambda *_: blank)
    monkeypatch.setenv("COLUMNS", "4000")
    monkeypatch.chdir(tmp_path)
    names = [name for name in NAMES if "/" not in name and name != ".."]
    assert len(names) > 30
    for name in names:
        assert cli.run(["phantom", f"./{name}", "--count", "10", "--size", "16", "--work", "work"]) == 0
        captured = capsys.readouterr()
        assert captured.out == f"{name}\n"
        assert captured.err.replace("\n", "").isprintable()
        assert len(list((tmp_path / name).glob("*/*.png"))) == 10
    written = {entry.name for entry in tmp_path.iterdir() if not entry.name.endswith(".lock")}
    assert written - {"work"} == set(names)


def test_a_generator_from_elsewhere_writes_where_it_is_told(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], restored: None
) -> None:
    """What the names of a foreign generator.json say is neither a path nor believed where it cannot be shown."""
    from tiny_gan import tiny_generator, write_generator

    folder, path = tmp_path / "gan", tmp_path / "gan" / "generator.json"

    def generated(work: str) -> int:
        return cli.run(["generate", "--gan", str(folder), "--count", "6", "--work", str(tmp_path / "in" / work)])

    evil = {"../../../evil": 6, "/a": 4, "c": 2}
    write_generator(folder, tiny_generator(), name="../../up", classes=list(evil), class_counts=evil)
    assert generated("side") == 0
    capsys.readouterr()
    text = path.read_text()
    for name in ("a\nb", "\x1b[2Jx", "x" * 300, "", "\u202ex"):
        path.write_text(text.replace(json.dumps("../../../evil"), json.dumps(name)))
        assert generated("refused") == 1
        err = capsys.readouterr().err
        assert err.replace("\n", "").isprintable()
        assert str(path) in err
    assert {entry.parts[0] for entry in map(Path, entries(tmp_path))} == {"gan", "in"}
    assert {entry.name for entry in (tmp_path / "in").iterdir()} <= {"side", "refused"}
    assert [entry.parent for entry in (tmp_path / "in/side").rglob("manifest.json")] == [
        tmp_path / "in/side/synthetic/%2E.%2F..%2Fup"
    ]
