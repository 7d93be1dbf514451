"""A tiny finished study to disturb and to damage, its commands, and how two states of a workspace compare."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from harness.processes import Child, Ended
from harness.shim import Shim, still_clock

STUDY = """
name = "tiny"
[data]
phantom_count = 40
size = 32
test = 15
[grid]
sizes = [18]
seeds = [0]
gans = ["none", "diffaug"]
[gan]
preset = "tiny"
kimg = 0.03
batch = 4
precision = "float32"
tick_kimg = 0.012
save_kimg = 0.012
[score]
extractor = "efficientnet-lite0"
count = 20
ssim_pairs = 20
[classifier]
backbone = "test_efficientnet"
weights = "none"
freeze = true
size = 32
folds = 3
controls = []
[run]
threads = 1
"""
WORK = "work"
GAN = ("--preset", "tiny", "--batch", "4", "--precision", "float32", "--tick-kimg", "0.012", "--save-kimg", "0.012")
GAN = (*GAN, "--threads", "1")
CLASSIFIER = ("--backbone", "test_efficientnet", "--weights", "none", "--size", "32", "--folds", "3")
FROZEN = (*CLASSIFIER, "--freeze")
SCORE = ("--extractor", "efficientnet-lite0", "--ssim-pairs", "20", "--count", "20")
NONE = ("--aug", "none", "--n", "18")
FAKE, TEST = "work/synthetic/none-n18-s0", "work/data/images"


@dataclass(frozen=True)
class Command:
    """A command to disturb."""

    name: str
    words: tuple[str, ...]
    without: tuple[str, ...] = ()
    """What is removed from the finished study beforehand, so that there is work to do."""
    slow: bool = False
    """Whether it takes seconds: it is then disturbed once in each way, other commands more often."""


def _command(name: str, *words: str, without: tuple[str, ...] = (), slow: bool = False) -> Command:
    return Command(name, words, without, slow)


COMMANDS = (
    _command("phantom", "phantom", "work/other", "--count", "8", "--size", "32"),
    _command("prepare", "prepare", "work/phantoms", "--size", "32", "--test", "15", without=("data",)),
    _command("prepare zip", "prepare", "images.zip", "--size", "32", "--test", "15", "--out", "work/zip"),
    _command("prepare --force", "prepare", "work/phantoms", "--size", "32", "--test", "15", "--force"),
    _command("subsample", "subsample", "--n", "18", "--n", "12", without=("subsets",)),
    _command("train-gan", "train-gan", *NONE, *GAN, "--kimg", "0.03", without=("gans/none-n18-s0",)),
    _command("train-gan longer", "train-gan", *NONE, *GAN, "--kimg", "0.05"),
    _command("generate", "generate", *NONE, "--count", "20", without=("synthetic/none-n18-s0",)),
    _command("generate zip", "generate", *NONE, "--count", "9", "--format", "zip", "--out", "work/zipped"),
    _command("generate npz", "generate", *NONE, "--count", "9", "--format", "npz", "--out", "work/arrays"),
    _command("generate --grid", "generate", *NONE, "--grid", "2x3", "--out", "work/grid.png"),
    _command("generate --interpolate", "generate", *NONE, "--interpolate", "1", "2", "--frames", "3",
             "--out", "work/between.png"),
    _command("generate --gif", "generate", *NONE, "--interpolate", "1", "2", "--frames", "3", "--gif",
             "--out", "work/between.gif"),
    _command("generate --force", "generate", *NONE, "--count", "20", "--force"),
    _command("score", "score", *NONE, *SCORE, without=("scores/none-n18-s0.json", "cache")),
    _command("score extras", "score", *NONE, *SCORE, "--baselines", "--pictures", "--out", "work/scored.json",
             slow=True),
    _command("score folders", "score", "--real", TEST, "--fake", FAKE, *SCORE, "--out", "work/two.json", slow=True),
    _command("train-cls", "train-cls", "--n", "18", *FROZEN, without=("classifiers/n18-s0/real", "cache")),
    _command("train-cls tuned", "train-cls", *NONE, "--ratio", "1", *CLASSIFIER, "--epochs", "2", "--batch", "8",
             "--head-epochs", "1", "--out", "work/tuned"),
    _command("ttest", "ttest", "--n", "18", without=("ttests",)),
    _command("report", "report", without=("report",)),
    _command("report --force", "report", "--force"),
    _command("export", "export", "--onnx", "work/made.onnx", *NONE, slow=True),
    _command("study", "study", "tiny.toml", without=("subsets", "scores/none-n18-s0.json", "ttests", "report")),
    _command("status", "status"),
    _command("doctor", "doctor"),
    _command("verify", "verify"),
    _command("clean", "clean", "--yes", without=("data",)),
)  # fmt: skip


def known_commands() -> list[Command]:
    """Those of COMMANDS that this version has."""
    from usgan_cli import cli

    known = {options.COMMAND for options in cli.COMMANDS}
    return [command for command in COMMANDS if command.words[0] in known]


def run_command(
    home: Path,
    words: tuple[str, ...],
    shim: Shim | None = None,
    prepare: Callable[[Callable[[float], None]], None] = lambda _move: None,
) -> Child:
    """Start a command in `home`, whose workspace is WORK.

    Its clocks stand still, so that equal commands write equal bytes. `prepare` is called in the process before the shim
    is installed, with what moves the clock.
    """

    def work() -> int:
        from usgan_cli import cli

        os.chdir(home)
        os.environ["USGAN_OFFLINE"] = "1"
        os.environ["COLUMNS"] = "200"
        prepare(still_clock())
        if shim is not None:
            shim.install()
        return cli.run(list(words))

    return Child(work)


def plain(home: Path, words: tuple[str, ...]) -> Ended:
    """Run a command undisturbed."""
    return run_command(home, words).wait()


def build_study(home: Path) -> None:
    """Make the finished study, the archive of its source, and its TOML file in `home`."""
    home.mkdir(parents=True)
    (home / "tiny.toml").write_text(STUDY)
    ended = plain(home, ("study", "tiny.toml"))
    if ended.code != 0:
        raise SystemExit(f"the undisturbed study failed: exit status {ended.code}\n{ended.err}")
    shutil.make_archive(str(home / "images"), "zip", home / WORK / "phantoms")


def copy_home(base: Path, home: Path, without: tuple[str, ...] = ()) -> Path:
    """Make `home` a fresh copy of the finished study."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(base, home)
    for name in without:
        place = home / WORK / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    return home


def is_hidden(path: Path) -> bool:
    """Whether a path in a workspace is a lock, a temporary file, or in a temporary folder."""
    return any(part.startswith(".") for part in path.parts)


def snapshot(work: Path, *, hidden: bool = False) -> dict[str, str]:
    """Return the digest of every file of a workspace."""
    files = [path for path in work.rglob("*") if path.is_file()]
    inside = {path.relative_to(work): path for path in files}
    return {
        name.as_posix(): sha256(path.read_bytes()).hexdigest()
        for name, path in inside.items()
        if hidden or not is_hidden(name)
    }


def leftovers(work: Path) -> list[str]:
    """Temporary files and folders that should be gone after a command that finished; locks may stay."""
    hidden = [path.relative_to(work) for path in work.rglob(".*")]
    return sorted(path.as_posix() for path in hidden if path.suffix in (".partial", ".old", ".holder"))


def is_whole(path: Path) -> bool:
    """Whether a file can be read to its end as what its name says."""
    import zipfile

    from PIL import Image
    from safetensors import safe_open

    try:
        match path.suffix:
            case ".json":
                json.loads(path.read_text())
            case ".jsonl":
                [json.loads(line) for line in path.read_text().splitlines()]
            case ".png" | ".gif":
                with Image.open(path) as image:
                    image.load()
            case ".safetensors":
                with safe_open(path, "np") as tensors:
                    [tensors.get_tensor(name) for name in tensors.keys()]  # noqa: SIM118
            case ".zip" | ".npz":
                return zipfile.ZipFile(path).testzip() is None
            case ".csv" | ".md" | ".tex" | ".html" | ".svg":
                return path.read_text().endswith("\n") or path.read_text().rstrip().endswith(">")
    except Exception:
        return False
    return path.stat().st_size > 0


@dataclass
class Reference:
    """A command undisturbed: the workspace before and after it, its events, and the sizes of what it wrote."""

    before: dict[str, str]
    after: dict[str, str]
    events: int
    sizes: list[int] = field(default_factory=list)

    def half_written(self, work: Path) -> list[str]:
        """Return what stands under a final name after a disturbance and is neither old, nor new, nor whole."""
        now = snapshot(work)
        bad = []
        for name, digest in now.items():
            if digest in (self.before.get(name), self.after.get(name)):
                continue
            if not is_whole(work / name):
                bad.append(name)
        made = {name.rpartition("/")[0] for name in self.after if name.endswith("/run.json")}
        for folder in made:
            if f"{folder}/config.json" in self.after or not (work / folder).is_dir():
                continue
            there = {name: digest for name, digest in now.items() if name.startswith(f"{folder}/")}
            states = [{n: d for n, d in s.items() if n.startswith(f"{folder}/")} for s in (self.before, self.after)]
            if there not in states:
                bad.append(f"{folder}/")
        return bad
