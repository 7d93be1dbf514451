"""Formats of a GAN: the finished generator, the full state of its training, and the training's log.

Tensors are safetensors files, everything else is JSON; neither can carry code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from usgan_cli.core.errors import DamagedError, FormatError, MissingError
from usgan_cli.core.formats.tensors import check_finite, read_tensors, write_tensors
from usgan_cli.core.store import files
from usgan_cli.core.store.document import (
    ClassName,
    Digest,
    Document,
    InnerFile,
    Part,
    PlanDocument,
    RunDocument,
    check_digest,
    read_main,
)
from usgan_cli.core.store.remedy import remedy

if TYPE_CHECKING:
    import torch


SNAPSHOT_FOLDER = "snapshots"
"""Folder of the generators that a training has saved and measured."""
BEST_FOLDER = "best"
"""Folder of the generator that was closest to the training images, with `--stop auto` to those held out."""
SAMPLES_FOLDER = "samples"
CHECKPOINT_FOLDER = "checkpoint"


class Architecture(Part):
    """What a generator is built from."""

    resolution: int
    img_channels: int
    c_dim: int
    z_dim: int
    w_dim: int
    mapping_layers: int
    channel_base: int
    channel_max: int


class GeneratorDocument(Document):
    """`generator.json`: everything but the tensors of a finished generator (the averaged copy, G_ema)."""

    FORMAT = "usgan/generator"
    FILE = "generator.json"
    TENSORS: ClassVar[str] = "generator.safetensors"

    name: str
    architecture: Architecture
    classes: list[ClassName]
    class_counts: dict[str, int]
    """Images of each class that it is for: its training images, and those held out of them for `--stop auto`."""
    aug: str
    n: int
    seed: int
    kimg: float
    preset: str
    tensors: str
    """SHA-256 of `generator.safetensors`."""

    def file_digests(self) -> dict[str, str]:
        """Return the digest of the generator's tensors."""
        return {self.TENSORS: self.tensors}


class BestScore(Part):
    """When a training's generator was closest to the training images, with `--stop auto` to those held out."""

    kimg: float
    fd: float
    extractor: str


class TrainingState(Document):
    """`checkpoint/kimg*.json`: the numbers of a training's state, beside its tensors."""

    FORMAT = "usgan/training-state"

    step: int
    images: int
    """Real images shown so far."""
    p: float
    """Probability of ADA's augmentations."""
    augment: dict[str, float | int | None]
    """The state of ADA's controller, p included."""
    path_length_mean: float
    seconds: float
    """Time spent training, over all runs."""
    log_bytes: int
    """Length of the log when the state was saved."""
    log_sha256: str
    """SHA-256 of these bytes of it."""
    best: BestScore | None
    """The best generator measured so far, kept in `BEST_FOLDER`."""
    tensors: Digest
    """SHA-256 of the tensor file, and its name."""
    samples: dict[InnerFile, str] = Field(default_factory=dict)
    """SHA-256 of the sheets of samples so far, by name; older states do not have them."""

    def check_samples(self, folder: Path) -> None:
        """Raise a `DamagedError` if a sheet of samples in `folder` is not as it was; one that is gone is not shown."""
        for name, sha256 in self.samples.items():
            if (folder / name).is_file():
                check_digest(folder / name, sha256)

    def tensor_file(self, folder: Path) -> Path:
        """Return the path of this state's tensors in the checkpoint folder."""
        return folder / f"{self.tensors}.safetensors"


LEAK_THRESHOLD = 0.8
"""Above this p, ADA's augmentations begin to leak into generated images (Karras et al. 2020, section 2.2, figure 4)."""
ADA_TARGET, ADA_KIMG = 0.6, 500.0
"""ADA's published r_t to keep, and speed: thousands of images in which p can go from 0 to 1 (the same, section 3)."""
WINNING_R_T = 0.95
"""Above this r_t, the discriminator knows its training images almost without fail: it overfits."""


class LogRow(Part):
    """One line of `log.jsonl`. Means are over the steps since the line before."""

    kimg: float
    """Thousands of real images shown."""
    seconds: float
    s_per_kimg: float
    loss_g: float
    loss_d_real: float
    loss_d_fake: float
    r_t: float
    """Mean sign of the discriminator's logits on real images: the overfitting heuristic of ADA."""
    p: float
    r1: float
    """Mean R1 penalty, before its weight."""
    path_length: float
    spectrum: float | None = None
    """With `--spectrum-weight`, how far the power spectrum of generated images is from the training images', dB."""
    grad_g: float
    """Norm of the generator's gradient at the last step."""
    grad_d: float
    memory_mb: float
    rate: float | None = None
    """With `--lr-decay`, what the learning rates were multiplied by at the last step."""
    diversity: float | None = None
    """Mean distance between samples of one class, as a share of that between real images of one class."""
    fd: float | None = None
    """Fréchet distance of generated images to the training images, where it was measured."""
    fd_extractor: str | None = None
    held_out: float | None = None
    """Kernel distance of generated images to training images that were held out (`--stop auto`), in those features."""
    copies: float | None = None
    """Share of generated images that lie clearly nearer to a training image than held-out images do."""
    copied: bool | None = None
    """Whether that share is called copying."""


def write_generator(
    folder: Path, document: GeneratorDocument, tensors: Mapping[str, torch.Tensor]
) -> GeneratorDocument:
    """Write a finished generator to its folder, the tensors first; return the record with their digest."""
    digest = write_tensors(folder / GeneratorDocument.TENSORS, tensors)
    document = document.model_copy(update={"tensors": digest})
    document.write(folder / GeneratorDocument.FILE)
    return document


def read_generator(folder: Path) -> tuple[GeneratorDocument, dict[str, torch.Tensor]]:
    """Read a finished generator from its folder; its parameters must be finite."""
    document, path = read_generator_document(folder), folder / GeneratorDocument.TENSORS
    tensors = read_tensors(path, document.tensors)
    check_finite(path, tensors)
    return document, tensors


def read_generator_document(folder: Path) -> GeneratorDocument:
    """Read the record of a finished generator without its tensors (see `read_generator`)."""
    if not (folder / GeneratorDocument.FILE).is_file():
        if (folder / PlanDocument.FILE).is_file():
            raise MissingError(
                f"The training in {folder} has not finished.", "Continue it: run the same usgan train-gan again."
            )
        raise MissingError(f"{folder} holds no generator.", "Train one: usgan train-gan")
    return read_main(folder, GeneratorDocument)


def networks_digest(state: TrainingState | None, document: GeneratorDocument | None) -> str:
    """Return the digest of what another training starts from in a GAN's folder: its state, its generator, or both."""
    tensors = [one.tensors for one in (state, document) if one is not None]
    return tensors[0] if len(tensors) == 1 else files.digest_json(tensors)


def subset_trained_on(folder: Path) -> str | None:
    """Return the content digest of the subset that a generator was trained on; None if its folder does not say.

    `folder` is that of a training, finished or not, or of a generator that the training keeps in it (`BEST_FOLDER`).
    """
    path = (folder.parent if folder.name == BEST_FOLDER else folder) / PlanDocument.FILE
    return PlanDocument.read(path).inputs.get("subset") if path.is_file() else None


def kimg_file(kimg: float, suffix: str) -> str:
    """Return the name of a file of one moment of a training: names sort by time."""
    return f"kimg{kimg:09.3f}{suffix}"


def kimg_of_file(name: str) -> float:
    """Return the moment of a training that a file is of (see `kimg_file`)."""
    return float(Path(name).stem.removeprefix("kimg"))


def saved_generators(folder: Path) -> dict[float, Path]:
    """Return the tensors of the generators saved during a training, by kimg, in order."""
    paths = sorted((folder / SNAPSHOT_FOLDER).glob("kimg*.safetensors"))
    return {kimg_of_file(path.name): path for path in paths}


def saved_digests(folder: Path) -> dict[str, str]:
    """Return the digest of each generator saved during a training, by its file's name."""
    return {path.name: files.sha256_file(path) for path in saved_generators(folder).values()}


def latest_state(folder: Path) -> TrainingState | None:
    """Return the newest training state in a checkpoint folder; None if the folder holds none.

    Its log must begin as it did when the state was saved, and its sheets of samples be as they were.
    """
    states = sorted(folder.glob("kimg*.json"))
    if not states:
        return None
    state = TrainingState.read(states[-1])
    if states[-1].name != kimg_file(state.images / 1000, ".json"):
        raise DamagedError(
            f"{states[-1]} is the state of another moment: {state.images / 1000:g} kimg.", remedy(folder)
        )
    Log(folder.parent).check(state)
    state.check_samples(folder.parent / SAMPLES_FOLDER)
    return state


def prune_states(folder: Path, keep: int) -> None:
    """Keep the newest `keep` states of a checkpoint folder, and their tensors."""
    states = sorted(folder.glob("kimg*.json"))
    for old in states[:-keep]:
        old.unlink()
    kept = {TrainingState.read(path).tensors for path in states[-keep:]}
    for tensors in folder.glob("*.safetensors"):
        if tensors.stem not in kept:
            tensors.unlink()


class Log:
    """`log.jsonl` in a GAN's folder: one row a line, appended whole."""

    FILE = "log.jsonl"

    def __init__(self, folder: Path) -> None:
        self.path = folder / self.FILE

    def size(self) -> int:
        """Return the length in bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def digest(self) -> str:
        """Return the SHA-256 of its bytes."""
        return files.sha256_file(self.path) if self.path.exists() else files.sha256_bytes(b"")

    def check(self, state: TrainingState) -> None:
        """Raise a `DamagedError` if it does not begin with the rows that were there when a state was saved."""
        begin = self.path.read_bytes()[: state.log_bytes] if self.path.exists() else b""
        if files.sha256_bytes(begin) != state.log_sha256:
            raise DamagedError(
                f"{self.path} does not begin as it did when the training was last saved: rows are missing or changed.",
                remedy(self.path),
            )

    def truncate(self, length: int) -> None:
        """Remove the rows that were written after the state from which training continues."""
        if self.size() > length:
            with self.path.open("rb+") as file:
                file.truncate(length)

    def append(self, row: LogRow) -> None:
        """Add a row."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row.model_dump(exclude_none=True)) + "\n")


def read_log(folder: Path) -> list[LogRow]:
    """Return the rows of the log in a GAN's folder, without a last one that an interruption cut short.

    The log of a finished training must be the one that its `run.json` recorded, that of an unfinished one must begin
    as it did when its state was saved.
    """
    path = folder / Log.FILE
    run = RunDocument.find(folder)
    if run is None:
        latest_state(folder / CHECKPOINT_FOLDER)
    elif Log.FILE in run.files:
        run.check_file(folder, Log.FILE)
    if not path.is_file():
        return []
    rows: list[LogRow] = []
    for number, line in enumerate(files.read_bytes(path).splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            break
        try:
            rows.append(LogRow.model_validate_json(line))
        except ValueError as error:
            why = " ".join(str(error).splitlines()[1:3])
            raise FormatError(f"{path}, line {number}: {why}.", remedy(path)) from None
    return rows
