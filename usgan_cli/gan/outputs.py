"""What a training leaves in its folder: the log, samples, states, measured generators, and the final generator."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from usgan_cli.core.apportion import class_order
from usgan_cli.core.formats.generator import (
    BEST_FOLDER,
    CHECKPOINT_FOLDER,
    SAMPLES_FOLDER,
    SNAPSHOT_FOLDER,
    BestScore,
    GeneratorDocument,
    Log,
    LogRow,
    kimg_file,
    kimg_of_file,
    read_generator,
    read_log,
    saved_generators,
    write_generator,
)
from usgan_cli.core.formats.tensors import read_tensors, write_tensors
from usgan_cli.core.images import codec
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.progress import Progress, Silent, Task
from usgan_cli.core.store import files
from usgan_cli.gan import early_stop
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.cuda_graph import GraphsWanted
from usgan_cli.gan.distributed import ALONE, World
from usgan_cli.gan.grays import fit_curve
from usgan_cli.gan.log import TensorBoard, show
from usgan_cli.gan.networks import Generator
from usgan_cli.gan.pictures import encode_gif
from usgan_cli.gan.progress_page import write_page
from usgan_cli.gan.sample import class_samples, make_levels
from usgan_cli.gan.state import Training
from usgan_cli.gan.warnings import Warnings, diversity, real_diversity

GRID_COLUMNS = 8
CURVE_IMAGES = 256
CURVE_SEEDS = range(20_000_000, 20_000_000 + CURVE_IMAGES)
"""Images that a curve of gray levels is fitted to, in the classes' proportions."""
TIME_LAPSE_FRAME_MS = 400


class Measured(NamedTuple):
    """What a generator's images are like."""

    fd: float
    """Fréchet distance to the training images."""
    extractor: str
    held_out: float | None = None
    """Kernel distance to the held-out images, if there are any."""
    copies: float | None = None
    copied: bool | None = None
    """Whether the share `copies` of images that lie very near to training images is called copying."""


Scorer = Callable[[Generator], Measured]


@dataclass(frozen=True)
class GanRun:
    """How a training is carried out; none of it changes what is learned."""

    name: str
    n: int
    """Size of the training subset."""
    device: torch.device
    progress: Progress = field(default_factory=Silent)
    world: World = ALONE
    """The processes that share each batch."""
    scorer: Scorer | None = None
    """Measures the averaged generator every `score_kimg` and at the end: all go to snapshots/, the best to best/."""
    score_kimg: float = 0
    keep: int = 1
    """Number of saved states to keep, the newest ones."""
    at_once: int | None = None
    """Images that each process computes at once; as many as its memory allows by default."""
    graphs: GraphsWanted = "auto"
    """Whether the parts of a step are recorded as CUDA graphs."""
    tensorboard: bool = False
    class_counts: dict[str, int] | None = None
    """Images of each class whose shares the generator is to keep; None for those that it is trained on."""


class Due(NamedTuple):
    """What is to be written before the next iteration."""

    report: bool
    samples: bool
    score: bool
    save: bool


class Outputs:
    """Writes the training's files, in the main process alone."""

    def __init__(
        self, config: GanConfig, training: Training, data: ImageSet, folder: Path, run: GanRun, log_bytes: int
    ) -> None:
        self.config, self.training, self.data, self.folder, self.run = config, training, data, folder, run
        if not run.world.is_main:
            return
        self.real_diversity = real_diversity(data)
        # Delete the "finished" marker: this training goes on.
        (folder / GeneratorDocument.FILE).unlink(missing_ok=True)
        self.log = Log(folder)
        self.log.truncate(log_bytes)
        self._remove_later()
        self.rows = read_log(folder)
        self.warnings = Warnings(run.progress, config, self.rows)
        self.tensorboard = TensorBoard(folder / "tensorboard", training.images) if run.tensorboard else None

    def write(self, row: LogRow | None, due: Due, task: Task) -> None:
        """Write what is due: samples, a score and a line of the log (None if there is nothing to report), the state.

        The state comes last, because it holds the length of the log and the best score.
        """
        row = row or self._line_left_short(due)
        generator = self._finished_generator() if due.samples or due.score else self.training.average
        samples = self._write_samples(generator) if due.samples else []
        if row is not None:
            if due.samples:
                row = row.model_copy(update={"diversity": self._relative_diversity(samples)})
            if due.score and self.run.scorer is not None:
                row = self._scored(row, self.run.scorer, generator)
            self.log.append(row)
            self.rows.append(row)
            self.warnings.check(row)
            show(task, row)
            if self.tensorboard is not None:
                self.tensorboard.row(row)
        if due.samples or due.save:
            self._write_page(ended=False)
        if due.save:
            self.training.save(self.folder / CHECKPOINT_FOLDER, self.log, self.run.keep)

    def reason_to_stop(self) -> str | None:
        """Return, in every process, why the training should end before its limits; None if it should not."""
        reason = early_stop.reason_to_stop(self.rows) if self.run.world.is_main else None
        return self.run.world.broadcast(reason, self.run.device)

    def finish(self) -> GeneratorDocument:
        """Write the averaged generator and the time-lapse of the samples, and return the generator's record."""
        document = self._document(self.training.images / 1000)
        if not self.run.world.is_main:
            return document
        tensors = self._finished_generator().state_dict()
        if self.config.stop == "auto":
            document, tensors = self._best(document, tensors)
        channels: Literal[1, 3] = 1 if self.config.img_channels == 1 else 3
        sheets = [codec.decode(path, channels) for path in sorted((self.folder / SAMPLES_FOLDER).glob("kimg*.png"))]
        files.write_bytes(self.folder / SAMPLES_FOLDER / "timelapse.gif", encode_gif(sheets, TIME_LAPSE_FRAME_MS))
        self._write_page(ended=True)
        return write_generator(self.folder, document, tensors)

    def _line_left_short(self, due: Due) -> LogRow | None:
        """Return the log's last line to be written again with what a stop left out of it; None if that is nothing."""
        last = self.rows[-1] if self.rows else None
        if last is None or last.kimg != self.training.images / 1000 or last.fd is not None:
            return None
        unmeasured = due.score and self.run.scorer is not None
        unseen = due.samples and kimg_file(last.kimg, ".png") not in self.training.samples
        return last if unmeasured or unseen else None

    def _remove_later(self) -> None:
        """Remove sheets and generators that were written after the state from which training continues."""
        kimg = self.training.images / 1000
        sheets = (self.folder / SAMPLES_FOLDER).glob("kimg*.png")
        for path in (*sheets, *saved_generators(self.folder).values()):
            if kimg_of_file(path.name) > kimg:
                path.unlink()
        self._restore_best()

    def _restore_best(self) -> None:
        """Make the best generator the one that the state names, where a later one has taken its place."""
        best, folder = self.training.best, self.folder / BEST_FOLDER
        if not (folder / GeneratorDocument.FILE).is_file():
            return
        if best is not None and GeneratorDocument.read(folder / GeneratorDocument.FILE).kimg == best.kimg:
            return
        saved = None if best is None else saved_generators(self.folder).get(best.kimg)
        if best is None or saved is None:
            shutil.rmtree(folder)
            self.training.best = None
        else:
            write_generator(folder, self._document(best.kimg), read_tensors(saved))

    def _finished_generator(self) -> Generator:
        """Return the averaged generator as it is published: its w spread, and with a curve of gray levels."""
        config, average = self.config, self.training.average
        if config.spread == 1 and not config.match_grays:
            return average
        finished = copy.deepcopy(average)
        if config.spread != 1:
            finished.mapping.spread = torch.full_like(finished.mapping.w_avg[0], config.spread)
        if config.match_grays:
            labels = class_order(list(self.data.class_counts().values()), CURVE_IMAGES)
            made = np.stack(list(make_levels(finished, CURVE_SEEDS, labels)))
            finished.synthesis.gray_curve = fit_curve(made, self.data.pixels).to(self.run.device)
        return finished

    def _write_page(self, *, ended: bool) -> None:
        if rows := read_log(self.folder):
            write_page(self.folder, self.run.name, self.config, self.data, rows, ended=ended)

    def _write_samples(self, generator: Generator) -> list[list[codec.Pixels]]:
        kimg = self.training.images / 1000
        samples = class_samples(generator, self.config.c_dim, GRID_COLUMNS, self.config.seed)
        sheet = codec.sheet(samples)
        name = kimg_file(kimg, ".png")
        self.training.samples[name] = codec.write_png(self.folder / SAMPLES_FOLDER / name, sheet)
        if self.tensorboard is not None:
            self.tensorboard.grid(kimg, sheet)
        return samples

    def _relative_diversity(self, samples: list[list[codec.Pixels]]) -> float | None:
        of_samples = diversity(samples)
        return of_samples / self.real_diversity if of_samples is not None and self.real_diversity else None

    def _scored(self, row: LogRow, scorer: Scorer, generator: Generator) -> LogRow:
        measured = Measured(*scorer(generator))
        fd, extractor = measured.fd, measured.extractor
        changes = measured._asdict() | {"fd_extractor": extractor}
        del changes["extractor"]
        row = row.model_copy(update=changes)
        tensors = generator.state_dict()
        write_tensors(self.folder / SNAPSHOT_FOLDER / kimg_file(row.kimg, ".safetensors"), tensors)
        best = self.training.best
        if self.config.stop == "auto":
            improved = early_stop.best_of([*self.rows, row]) is row
        else:
            improved = best is None or best.extractor != extractor or fd < best.fd
        if improved:
            self.training.best = BestScore(kimg=row.kimg, fd=fd, extractor=extractor)
            write_generator(self.folder / BEST_FOLDER, self._document(row.kimg), tensors)
        return row

    def _best(
        self, document: GeneratorDocument, tensors: dict[str, torch.Tensor]
    ) -> tuple[GeneratorDocument, dict[str, torch.Tensor]]:
        """Return the generator that was nearest to the held-out images, or the given last one, and say which and why.

        The best one is kept in `BEST_FOLDER`.
        """
        best = early_stop.best_of(self.rows)
        why = self.training.reason_to_stop or "it has reached its limit"
        ended = f"{self.run.name} ended at {document.kimg:g} kimg: {why}"
        if best is None:
            self.run.progress.warn(
                f"{ended}. All generators measured made copies of training images; the last is kept."
            )
            return document, tensors
        self.run.progress.note(f"{ended}. The generator of {best.kimg:g} kimg, nearest to held-out images, is kept.")
        kept, tensors = read_generator(self.folder / BEST_FOLDER)
        return kept.model_copy(update={"class_counts": document.class_counts}), tensors

    def _document(self, kimg: float) -> GeneratorDocument:
        config = self.config
        return GeneratorDocument(
            name=self.run.name,
            architecture=config.architecture,
            classes=list(self.data.classes),
            class_counts=self.run.class_counts or self.data.class_counts(),
            aug=config.aug,
            n=self.run.n,
            seed=config.seed,
            kimg=kimg,
            preset=config.preset,
            tensors="",
        )
