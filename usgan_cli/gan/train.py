"""Training StyleGAN2 on a small labelled dataset (Karras et al. 2020; ADA: Karras et al. 2020, "Training
generative adversarial networks with limited data"; DiffAug: Zhao et al. 2020).

Every random draw has its own seed, derived from the run's seed, what it is for and the step, so a training that
was interrupted and continued takes the same steps as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from usgan_cli.core.formats.generator import BestScore, GeneratorDocument, LogRow, latest_state, read_log, write_tensors
from usgan_cli.core.images import codec
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine import device as devices
from usgan_cli.core.machine.memory import memory_mb
from usgan_cli.core.progress import Progress, Silent, Task
from usgan_cli.core.store import files
from usgan_cli.gan.capture import can_capture
from usgan_cli.gan.config import GanConfig, augmentation
from usgan_cli.gan.networks import Generator
from usgan_cli.gan.parallel import ALONE, World
from usgan_cli.gan.pictures import encode_gif
from usgan_cli.gan.sample import class_samples
from usgan_cli.gan.shown import Shown
from usgan_cli.gan.state import Training, architecture_of
from usgan_cli.gan.steps import Steps
from usgan_cli.gan.transfer import Source, apply_source
from usgan_cli.gan.watch import Board, Due, Log, Watch, check_finite, diversity, real_diversity, show

GRID_COLUMNS = 8
TIME_LAPSE_FRAME_MS = 400
Scorer = Callable[[Generator], tuple[float, str]]
"""Returns the Fréchet distance of a generator's images to the training images, and the extractor's name."""


@dataclass(frozen=True)
class GanRun:
    """What a training is called and where it is carried out; none of it changes what is learned.

    Attributes
    ----------
    name : str
        The GAN's name.
    n : int
        Size of its subset.
    device : torch.device
    progress : Progress
    world : World
        The processes that share each batch.
    scorer : callable, optional
        Measures the averaged generator every `score_kimg` and at the end; each generator measured is kept in
        snapshots/, the best one in best/.
    score_kimg : float
        Thousands of images between measurements.
    keep : int
        Training states kept: the newest ones.
    at_once : int, optional
        Images computed at once by each process; as many as its memory allows by default.
    graphs : bool
        Record the steps as CUDA graphs.
    tensorboard : bool
        Also write the log for TensorBoard.
    """

    name: str
    n: int
    device: torch.device
    progress: Progress = field(default_factory=Silent)
    world: World = ALONE
    scorer: Scorer | None = None
    score_kimg: float = 0
    keep: int = 1
    at_once: int | None = None
    graphs: bool = False
    tensorboard: bool = False


def train(
    config: GanConfig, data: ImageSet, folder: Path, run: GanRun, source: Source | None = None
) -> GeneratorDocument:
    """Train a GAN until `config.kimg`, continuing what an earlier call has left in `folder`.

    Parameters
    ----------
    config : GanConfig
    data : ImageSet
        Training images [N, C, resolution, resolution] with labels.
    folder : Path
        Gets log.jsonl, samples/*.png, checkpoint/, and at the end generator.safetensors and generator.json.
    run : GanRun
    source : Source, optional
        Networks to start from.

    Returns
    -------
    GeneratorDocument
        What `generator.json` says.

    Raises
    ------
    DivergedError
        Losses stopped being finite; the last good state stays saved.
    SettingsError
        The batch cannot be cut as asked, or does not fit into memory.
    """
    devices.prepare(run.device)
    training = Training.start(config, run.device)
    if source is not None:
        networks = training.generator, training.discriminator, training.average
        run.progress.note(apply_source(source, *networks, freeze=config.freeze_d))
    state = latest_state(folder / "checkpoint")
    if state is not None:
        training.load(state, folder / "checkpoint")
        run.progress.note(f"Continuing {run.name} at {training.images / 1000:g} of {config.kimg:g} kimg.")
    # Every process has read the state before the first one writes another.
    run.world.wait()
    steps = Steps(
        config,
        training,
        Shown(data, config, run.device),
        augmentation(config),
        run.device,
        run.world,
        run.at_once,
        run.graphs and can_capture(run.device),
    )
    records = _Records(config, training, data, folder, run, 0 if state is None else state.log_bytes)
    clock = _Clock(training)
    due = Due(config, run.score_kimg if run.scorer is not None else 0, training.images)

    with run.progress.task(f"train {run.name}", config.kimg, "kimg", done=training.images / 1000) as task:
        while True:
            # Look before every step and once after the last: start, middle and end share their code.
            finished = training.images >= config.kimg * 1000
            tick, save = due.tick(training.images), due.save(training.images) or finished
            if tick or save:
                row = clock.report(steps, run.device)
                if run.world.leads:
                    records.keep(row, task, save=save, score=due.score(training.images, finished))
            if finished:
                break
            clock.start()
            iterate(config, training, steps)
            task.advance(config.batch / 1000)
    return records.finish()


def follow(
    world: World,
    device: torch.device,
    config: GanConfig,
    data: ImageSet,
    folder: Path,
    run: GanRun,
    source: Source | None,
) -> GeneratorDocument:
    """Take part in a training that another process leads: compute, write nothing and say nothing."""
    return train(config, data, folder, replace(run, world=world, device=device, progress=Silent(), scorer=None), source)


def iterate(config: GanConfig, training: Training, steps: Steps) -> None:
    """Take one iteration; every random draw in it belongs to this step."""
    steps.generator_step()
    if training.step % config.pl_interval == 0:
        steps.path_length_step()
    steps.discriminator_step()
    if training.step % config.r1_interval == 0:
        steps.r1_step()
    steps.average_step()
    training.step += 1
    if config.adapts and training.step % config.ada_interval == 0:
        training.ada.update(config.batch)
    training.images += config.batch


class _Clock:
    """Counts the time spent training, leaving out saving and measuring, and turns means into lines of the log."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.began: float | None = None
        self.last = (training.images, training.seconds)

    def start(self) -> None:
        if self.began is None:
            self.began = time.perf_counter()

    def stop(self) -> None:
        if self.began is not None:
            self.training.seconds += time.perf_counter() - self.began
            self.began = None

    def report(self, steps: Steps, device: torch.device) -> LogRow | None:
        """Return the means since the last report, or None if nothing was trained since."""
        training = self.training
        means = steps.means.take()
        if not means:
            return None
        check_finite(means)
        self.stop()
        shown = (training.images - self.last[0]) / 1000
        spent = training.seconds - self.last[1]
        self.last = (training.images, training.seconds)
        return LogRow(
            kimg=training.images / 1000,
            seconds=round(training.seconds, 3),
            s_per_kimg=round(spent / shown, 4),
            loss_g=means["loss_g"],
            loss_d_real=means["loss_d_real"],
            loss_d_fake=means["loss_d_fake"],
            r_t=means["r_t"],
            p=training.ada.p,
            r1=means.get("r1", 0.0),
            path_length=means.get("path_length", 0.0),
            grad_g=float(steps.grad_g),
            grad_d=float(steps.grad_d),
            memory_mb=round(memory_mb(device), 1),
        )


class _Records:
    """What a training leaves in its folder; in several processes the first one alone writes."""

    def __init__(
        self, config: GanConfig, training: Training, data: ImageSet, folder: Path, run: GanRun, log_bytes: int
    ) -> None:
        self.config, self.training, self.data, self.folder, self.run = config, training, data, folder, run
        self.real_diversity = real_diversity(data)
        if not run.world.leads:
            return
        # A longer training of the same name has not finished until it says so anew.
        (folder / "generator.json").unlink(missing_ok=True)
        self.log = Log(folder / "log.jsonl")
        self.log.truncate(log_bytes)
        self.watch = Watch(run.progress, read_log(folder))
        self.board = Board(folder / "tensorboard", training.images) if run.tensorboard else None

    def keep(self, row: LogRow | None, task: Task, *, save: bool, score: bool) -> None:
        """Write the log, and where they are due the measured generator, a sheet of samples and the state."""
        samples = self._samples() if save else []
        if row is not None:
            if save:
                row = row.model_copy(update={"diversity": self._relative_diversity(samples)})
            if score and self.run.scorer is not None:
                row = self._measured(row, self.run.scorer)
            self.log.append(row)
            self.watch.look(row)
            show(task, row)
            if self.board is not None:
                self.board.row(row)
        if save:
            kimg, sheet = self.training.images / 1000, codec.sheet(samples)
            codec.write_png(self.folder / "samples" / f"kimg{kimg:09.3f}.png", sheet)
            if self.board is not None:
                self.board.grid(kimg, sheet)
            self.training.save(self.folder / "checkpoint", self.log.size(), self.run.keep)

    def finish(self) -> GeneratorDocument:
        """Write the averaged generator and the time-lapse of the samples, and return the generator's record."""
        document, tensors = self._document(self.training.images / 1000), self.training.average.state_dict()
        if not self.run.world.leads:
            return document
        channels: Literal[1, 3] = 1 if self.config.img_channels == 1 else 3
        sheets = [codec.decode(path, channels) for path in sorted((self.folder / "samples").glob("kimg*.png"))]
        files.write_bytes(self.folder / "samples" / "timelapse.gif", encode_gif(sheets, TIME_LAPSE_FRAME_MS))
        return _write_generator(self.folder, document, tensors)

    def _samples(self) -> list[list[codec.Pixels]]:
        return class_samples(self.training.average, self.config.c_dim, GRID_COLUMNS, self.config.seed)

    def _relative_diversity(self, samples: list[list[codec.Pixels]]) -> float | None:
        found = diversity(samples)
        return found / self.real_diversity if found is not None and self.real_diversity else None

    def _measured(self, row: LogRow, scorer: Scorer) -> LogRow:
        fd, extractor = scorer(self.training.average)
        tensors = self.training.average.state_dict()
        write_tensors(self.folder / "snapshots" / f"kimg{row.kimg:09.3f}.safetensors", tensors)
        best = self.training.best
        if best is None or best.extractor != extractor or fd < best.fd:
            self.training.best = BestScore(kimg=row.kimg, fd=fd, extractor=extractor)
            _write_generator(self.folder / "best", self._document(row.kimg), tensors)
        return row.model_copy(update={"fd": fd, "fd_extractor": extractor})

    def _document(self, kimg: float) -> GeneratorDocument:
        config = self.config
        return GeneratorDocument(
            name=self.run.name,
            architecture=architecture_of(config),
            classes=list(self.data.classes),
            class_counts=self.data.class_counts(),
            aug=config.aug,
            n=self.run.n,
            seed=config.seed,
            kimg=kimg,
            preset=config.preset,
            tensors="",
        )


def _write_generator(folder: Path, document: GeneratorDocument, tensors: dict[str, torch.Tensor]) -> GeneratorDocument:
    digest = write_tensors(folder / "generator.safetensors", tensors)
    document = document.model_copy(update={"tensors": digest})
    document.write(folder / "generator.json")
    return document
