"""The command line's promises: help for everything, exit codes, one message, and a clean standard output."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from damage import write_sealed
from processes import USGAN, start, usgan, wait_until
from tiny_gan import tiny_document

from usgan_cli import __version__, cli
from usgan_cli.commands.common import StepOptions
from usgan_cli.core.formats.synthetic import SyntheticManifest
from usgan_cli.core.formats.tensors import write_tensors
from usgan_cli.core.images import codec
from usgan_cli.core.options import options_of

ROOT = Path(__file__).resolve().parent.parent
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No weights, no network, no settings from outside; the process's signal handler is put back."""
    for name in ("USGAN_WEIGHTS", "USGAN_WORK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("USGAN_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.run([str(word) for word in words])
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of eight noise images of 16 pixels."""
    folder = tmp_path_factory.mktemp("source")
    draws = np.random.default_rng(0)
    for name in ("benign", "malignant"):
        for i in range(8):
            codec.write_png(folder / name / f"{i}.png", draws.integers(0, 256, (1, 16, 16), dtype=np.uint8))
    return folder


@pytest.fixture
def work(tmp_path: Path, source: Path, run: Run) -> Path:
    """A workspace with a prepared dataset and a subset of 6."""
    folder = tmp_path / "w"
    assert run("prepare", source, "--size", 16, "--test", 6, "--work", folder)[0] == 0
    assert run("subsample", "--n", 6, "--work", folder)[0] == 0
    return folder


def parameters_of(command: str) -> list[Any]:
    group: Any = typer.main.get_command(cli.app)
    return list(group.commands[command].params)


def numeric_options(command: str) -> set[str]:
    return {one.name for one in options_of(OPTIONS[command]) if {int, float} & set(one.types)}


OPTIONS = {options.COMMAND: options for options in cli.COMMANDS}


def test_the_table_of_commands_is_complete() -> None:
    group: Any = typer.main.get_command(cli.app)
    assert list(group.commands) == list(OPTIONS)
    assert len(OPTIONS) == 18


@pytest.mark.parametrize("command", OPTIONS)
def test_every_command_and_option_has_help(command: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 400)
    code, out, _ = run(command, "--help")
    assert code == 0
    text = " ".join(re.sub(r"[│╭╮╰╯─]", " ", out).split())
    group: Any = typer.main.get_command(cli.app)
    assert len(group.commands[command].help or "") > 20
    numbers = numeric_options(command)
    for option in parameters_of(command):
        help_text = option.help or ""
        assert len(help_text) > 10, option.name
        assert help_text.rstrip().endswith((".", ")", "]")), f"{option.name}: {help_text}"
        if option.name not in {"out", "name", "source", "engine_options", "first", "second", "help"}:
            assert any(name in text for name in option.opts), option.name
        flag = getattr(option, "is_flag", False)
        if option.default not in (None, (), []) and not flag and not option.required:
            assert f"[default: {option.default}" in text, f"{option.name}: its default is not shown"
        if option.name in numbers and option.default is None and option.name != "n":
            assert "default" in help_text or "in place of" in help_text, f"{option.name}: what without it?"


@pytest.mark.parametrize("command", [name for name, cls in OPTIONS.items() if issubclass(cls, StepOptions)])
def test_every_step_has_the_shared_options(command: str) -> None:
    assert {"work", "force", "dry_run", "json", "quiet"} <= {option.name for option in parameters_of(command)}


def test_version_and_no_arguments(run: Run) -> None:
    assert run("--version") == (0, f"usgan {__version__}\n", "")
    code, out, err = run()
    assert (code, err) == (0, "")
    for words in ("usgan study demo", "usgan study laptop --source FOLDER", "usgan doctor", "usgan --help"):
        assert words in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_shell_can_complete_commands(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    assert "--install-completion" in run("--help")[1]


@pytest.mark.parametrize(
    "words",
    [
        ["train-gna"],
        ["train-gan"],
        ["train-gan", "--aug", "ada", "--n", "many"],
        ["train-gan", "--aug", "ada", "--n", "0"],
        ["subsample", "--n", "5", "--sed", "1"],
        ["phantom", "out", "--count", "5"],
        ["phantom"],
        ["generate", "--truncation", "1.5"],
        ["train-cls", "--n", "10", "--folds", "1"],
    ],
)
def test_wrong_usage_exits_with_2(run: Run, words: list[str]) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert err.strip()


def test_standard_output_carries_the_path_alone(run: Run, source: Path, tmp_path: Path) -> None:
    words = ("prepare", source, "--size", 16, "--test", 6, "--work", tmp_path / "w")
    code, out, err = run(*words)
    assert (code, out) == (0, f"{tmp_path / 'w' / 'data'}\n")
    assert "Audit of" in err
    code, out, err = run(*words)
    assert (code, out) == (0, f"{tmp_path / 'w' / 'data'}\n")
    assert "up to date" in err
    code, out, err = run(*words, "--quiet")
    assert (code, out, err) == (0, f"{tmp_path / 'w' / 'data'}\n", "")


def test_json_is_one_object(run: Run, work: Path) -> None:
    code, out, _ = run("subsample", "--n", 6, "--n", 4, "--work", work, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["command"] == "subsample"
    assert [(a["status"], a["result"]["n"]) for a in told["artefacts"]] == [("skipped", 6), ("done", 4)]
    assert told["artefacts"][1]["result"]["counts"] == {"benign": 2, "malignant": 2}
    assert Path(told["artefacts"][1]["path"]).is_file()
    assert json.loads(run("doctor", "--work", work, "--json")[1])["workspace"]["subsets"] == 2


def test_a_dry_run_shows_the_settings_and_writes_nothing(run: Run, source: Path, tmp_path: Path) -> None:
    words = ("prepare", source, "--size", 16, "--test", 6, "--work", tmp_path / "w", "--dry-run")
    code, out, err = run(*words)
    assert (code, out) == (0, f"{tmp_path / 'w' / 'data'}\n")
    assert re.search(r"size +16", err)
    assert not (tmp_path / "w").exists()
    told = json.loads(run(*words, "--json")[1])["artefacts"][0]
    assert (told["status"], told["result"]["settings"]["test"]) == ("planned", 6)
    assert not (tmp_path / "w").exists()


def test_the_workspace_can_come_from_the_environment(
    run: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USGAN_WORK", str(tmp_path / "elsewhere"))
    assert run("prepare", source, "--size", 16, "--test", 6)[1] == f"{tmp_path / 'elsewhere' / 'data'}\n"


def test_a_path_can_come_from_standard_input(
    run: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("prepare", "-", "--size", 16, "--test", 6, "--work", tmp_path / "w")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"\n{source}\n"))
    assert run(*words)[0] == 0
    for text, message in (("", "nothing came"), ("\n \n", "nothing came"), (f"{source}\nb\n", "2 paths came")):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        code, out, err = run(*words)
        assert (code, out) == (1, "")
        assert message in err

    latin = tmp_path / os.fsdecode(b"ph_\xfc")
    standard_input = io.TextIOWrapper(io.BytesIO(os.fsencode(latin)), encoding="utf-8", errors="strict")
    monkeypatch.setattr(sys, "stdin", standard_input)
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    assert "does not exist" in err

    class AtTerminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", AtTerminal())
    assert "which is a terminal" in run(*words)[2]


@pytest.mark.slow
def test_commands_chain_through_a_pipe(source: Path, tmp_path: Path) -> None:
    usgan = f"{sys.executable} -m usgan_cli"
    line = f"echo {source} | {usgan} prepare - --size 16 --test 6 --work w | {usgan} subsample --n 4 --data - --work w"
    done = subprocess.run(
        line,
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout) == (0, "w/subsets/n4-s0.json\n"), done.stderr


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    body = json.loads(path.read_text())
    change(body)
    write_sealed(path, body)


def change_pixels(work: Path) -> None:
    listed = json.loads((work / "data" / "manifest.json").read_text())["images"]
    file = next(image["file"] for image in listed if image["split"] == "train")
    for image in listed:
        if image["file"].split("/")[1] == file.split("/")[1]:
            codec.write_png(work / "data" / image["file"], np.zeros((1, 16, 16), dtype=np.uint8))


def rename_class(work: Path) -> None:
    edit(work / "data" / "manifest.json", lambda body: body["images"][0].update({"class": "weird"}))


def add_generated(work: Path) -> None:
    """Put 6 generated images into the workspace, of a GAN that is not there."""
    folder = work / "synthetic" / "ada-n6-s0"
    listed = []
    for i in range(6):
        name = ("benign", "malignant")[i % 2]
        sha256 = codec.write_png(folder / name / f"{i}.png", np.full((1, 16, 16), i, dtype=np.uint8))
        listed.append({"file": f"{name}/{i}.png", "class": name, "seed": i, "sha256": sha256})
    body = {
        "format": "usgan/synthetic",
        "version": SyntheticManifest.VERSION,
        "classes": ["benign", "malignant"],
        "size": 16,
        "channels": 1,
        "gan": "g",
        "gan_name": "ada-n6-s0",
        "truncation_psi": 1.0,
        "noise": next(iter(noises())),
        "class_shares": {"benign": 0.5, "malignant": 0.5},
        "images": listed,
    }
    write_sealed(folder / "manifest.json", body)


def noises() -> tuple[str, ...]:
    """What a manifest may say about noise: any text, or one of a few names."""
    annotation = SyntheticManifest.model_fields["noise"].annotation
    return getattr(annotation, "__args__", None) or ("const",)


def nothing(work: Path) -> None:
    pass


BAD = [
    ("no source", nothing, "prepare {work}/nowhere --out {work}/new", ["nowhere does not exist", "SOURCE"]),
    ("wrong size", nothing, "prepare {source} --size 100 --out {work}/new", ["100", "power of two"]),
    (
        "channels",
        nothing,
        "prepare {source} --channels 2 --out {work}/new",
        ["--channels is 2; it must be one of 1, 3"],
    ),
    ("test share", nothing, "prepare {source} --test half --out {work}/new", ["--test", "'half'"]),
    ("changed setting", nothing, "prepare {source} --size 32 --test 6", ["size is 16 there and 32 now", "--refresh"]),
    ("no dataset", nothing, "subsample --n 4 --data {work}/nowhere", ["no prepared dataset", "usgan prepare"]),
    ("too many", nothing, "subsample --n 1000", ["1000", "10 training images", "at most 10"]),
    ("too few", nothing, "subsample --n 1", ["cannot hold each of the 2 classes"]),
    ("manifest's field", rename_class, "subsample --n 4", ["manifest.json", "unknown class 'weird'"]),
    (
        "manifest's version",
        lambda work: edit(work / "data" / "manifest.json", lambda body: body.update(version=99)),
        "subsample --n 4",
        ["manifest.json", "version 99"],
    ),
    (
        "manifest without a field",
        lambda work: edit(work / "data" / "manifest.json", lambda body: body.pop("classes")),
        "train-gan --aug ada --n 6",
        ["manifest.json", "'classes'"],
    ),
    ("unknown preset", nothing, "train-gan --aug ada --n 6 --preset huge", ["'huge'", "tiny"]),
    ("paper's preset", nothing, "train-gan --aug ada --n 6 --preset paper256", ["256 pixels", "have 16"]),
    ("unknown aug", nothing, "train-gan --aug adda --n 6", ["'adda'", "none, ada, diffaug", "did you mean ada?"]),
    (
        "no subset",
        nothing,
        "train-gan --aug ada --n 5",
        ["subset of 5 images", "usgan subsample --n 5 --seed 0 --work"],
    ),
    ("fp16", nothing, "train-gan --aug ada --n 6 --precision fp16 --device cpu", ["fp16", "CPU", "bf16"]),
    (
        "precision",
        nothing,
        "train-gan --aug ada --n 6 --precision half",
        ["--precision is 'half'", "auto, float32, bf16, fp16"],
    ),
    ("device", nothing, "train-gan --aug ada --n 6 --device tpu", ["'tpu' is not a device"]),
    ("odd batch", nothing, "train-gan --aug ada --n 6 --preset tiny --batch 3", ["even number", "3"]),
    (
        "changed image",
        change_pixels,
        "train-gan --aug ada --n 6 --preset tiny --kimg 0.004 --device cpu",
        ["has changed since its manifest was written"],
    ),
    (
        "no generator",
        nothing,
        "generate --aug ada --n 6",
        ["There is no ", "ada-n6-s0", "usgan train-gan --aug ada --n 6"],
    ),
    ("which GAN", nothing, "generate --n 6", ["--aug and --n", "--gan DIR"]),
    ("two GANs", nothing, "generate --gan {work}/g --aug ada", ["leave out --aug"]),
    (
        "no generated images",
        nothing,
        "score --aug ada --n 6",
        ["There is no ", "ada-n6-s0", "usgan generate --aug ada --n 6"],
    ),
    (
        "no FID network",
        add_generated,
        "score --aug ada --n 6 --count 6 --device cpu",
        ["pretrained weights of inception", "offline", "USGAN_WEIGHTS", "efficientnet-lite2"],
    ),
    (
        "extractor",
        add_generated,
        "score --aug ada --n 6 --count 6 --extractor vgg --device cpu",
        ["'vgg'", "efficientnet-lite2"],
    ),
    ("ratio alone", nothing, "train-cls --n 6 --ratio 1", ["--ratio needs generated images"]),
    ("ratio 0", nothing, "train-cls --n 6 --aug ada --ratio 0", ["--ratio 0", "leave out --aug"]),
    (
        "too few generated",
        add_generated,
        "train-cls --n 6 --aug ada --ratio 2",
        ["has 6 generated images; 12 are needed", "usgan generate --aug ada --n 6", "--count 12"],
    ),
    ("backbone", nothing, "train-cls --n 6 --folds 2 --backbone resnet0 --device cpu", ["'resnet0'", "timm"]),
    ("too many folds", nothing, "train-cls --n 6 --folds 9 --backbone test_efficientnet --weights none", ["9"]),
    ("no baseline", nothing, "ttest --n 6", ["no baseline", "usgan train-cls --n 6"]),
    ("unknown study", nothing, "study papre", ["'papre'", "paper"]),
    (
        "out is a file",
        lambda work: (work / "notes.txt").write_text("notes"),
        "prepare {source} --size 16 --test 6 --out {work}/notes.txt",
        ["not made by usgan"],
    ),
    ("out is foreign", nothing, "prepare {source} --size 16 --out {source} --force", ["not made by usgan"]),
    (
        "work under a file",
        nothing,
        "phantom {source}/benign/0.png/p --count 6 --size 16",
        ["0.png", "cannot be read or written"],
    ),
]


@pytest.mark.parametrize(("prepare_it", "line", "words"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_input_gives_one_clear_message(
    run: Run, work: Path, source: Path, prepare_it: Callable[[Path], None], line: str, words: list[str]
) -> None:
    prepare_it(work)
    before = sorted(str(p) for p in source.rglob("*"))
    arguments = line.format(work=work, source=source).split()
    code, out, err = run(*arguments, "--work", work)
    assert (code, out) == (1, "")
    assert err.count("Error: ") == 1
    assert "Traceback" not in err
    for word in words:
        assert word in err
    assert sorted(str(p) for p in source.rglob("*")) == before


def test_an_unknown_key_of_a_study_gets_a_suggestion(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[grid]\nsizes = [8]\ngans = ["ada"]\n[gan]\nkimgs = 5\n')
    code, out, err = run("study", path, "--work", tmp_path / "w")
    assert (code, out) == (1, "")
    assert "did you mean 'kimg'?" in err


def test_a_generator_of_another_architecture_is_named(run: Run, work: Path) -> None:
    folder = work / "gans" / "ada-n6-s0"
    import torch

    digest = write_tensors(folder / "generator.safetensors", {"w_avg": torch.zeros(5)})
    names = ["benign", "malignant"]
    document = tiny_document(classes=names, class_counts=dict.fromkeys(names, 3), n=6, tensors=digest)
    document.write(folder / "generator.json")
    code, _, err = run("generate", "--aug", "ada", "--n", 6, "--work", work, "--device", "cpu")
    assert code == 1
    assert "do not fit its architecture" in err
    assert not (work / "synthetic").is_dir() or not [p for p in (work / "synthetic").iterdir() if p.is_dir()]


def test_a_study_can_be_printed_and_planned(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("study", "demo", "--print", "--work", tmp_path / "w")
    assert code == 0
    (tmp_path / "my.toml").write_text(out)
    code, out, err = run("study", tmp_path / "my.toml", "--dry-run", "--work", tmp_path / "w")
    assert (code, out) == (0, f"{tmp_path / 'w' / 'report' / 'index.html'}\n")
    assert "usgan train-gan --aug diffaug --n 40" in err
    assert "53 to make" in err
    assert not (tmp_path / "w").exists()


def test_an_interruption_exits_with_130(run: Run, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("usgan_cli.steps.inputs.read_manifest", interrupt)
    code, out, err = run("subsample", "--n", 4, "--work", work)
    assert (code, out) == (130, "")
    assert "interrupted" in err
    assert "Traceback" not in err


def test_a_bug_keeps_its_traceback(run: Run, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("usgan_cli.steps.inputs.read_manifest", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        run("subsample", "--n", 4, "--work", work)
    code = (
        "from usgan_cli import cli; from usgan_cli.steps import inputs\n"
        "def broken(folder): raise RuntimeError('a bug')\n"
        "inputs.read_manifest = broken\ncli.run(['subsample', '--n', '4'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "RuntimeError: a bug" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_work_leaves_nothing_half_done(tmp_path: Path, number: signal.Signals) -> None:
    process = start(*USGAN, "phantom", str(tmp_path / "out" / "p"), "--count", "3000", "--size", "64", cwd=ROOT)
    wait_until(lambda: list(tmp_path.glob("out/.p.partial/benign/*.png")), process)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, ""), err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert [p.name for p in (tmp_path / "out").iterdir() if not p.name.endswith(".lock")] == []


def test_two_commands_on_one_artefact(tmp_path: Path, run: Run) -> None:
    target = tmp_path / "out" / "p"
    words = ["phantom", str(target), "--count", "3000", "--size", "64"]
    other = usgan(*words)
    try:
        end = time.monotonic() + 30
        while not (tmp_path / "out" / ".p.holder").exists() and time.monotonic() < end:
            time.sleep(0.05)
        code, out, err = run(*words)
        assert (code, out) == (1, "")
        assert re.search(rf"being written by process {other.pid}\.", err.replace("\n", " "))
    finally:
        other.kill()
        other.wait()


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "usgan_cli", "--version"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (0, f"usgan {__version__}\n")
