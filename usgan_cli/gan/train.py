"""Training StyleGAN2 on a small labelled dataset (Karras et al. 2020; ADA: Karras et al. 2020, "Training
generative adversarial networks with limited data"; DiffAug: Zhao et al. 2020).

Every random draw has its own seed, derived from the run's seed, what it is for and the step, so a training that
was interrupted and continued takes the same steps as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from usgan_cli.core import device as devices
from usgan_cli.core import images
from usgan_cli.core.checkpoint import GeneratorDocument, LogRow, write_tensors
from usgan_cli.core.datasets import ImageSet
from usgan_cli.core.progress import Progress
from usgan_cli.gan.augment import make_augment
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.networks import Generator
from usgan_cli.gan.sample import class_grid
from usgan_cli.gan.state import Training, architecture_of
from usgan_cli.gan.steps import Shown, Steps
from usgan_cli.gan.watch import Due, Log, Watch, check_finite, show

GRID_COLUMNS = 8
Scorer = Callable[[Generator], tuple[float, str]]
"""Returns the Fréchet distance of a generator's images to the training images, and the extractor's name."""


def train(
    config: GanConfig,
    data: ImageSet,
    folder: Path,
    device: torch.device,
    progress: Progress,
    *,
    name: str,
    n: int,
    scorer: Scorer | None = None,
    score_kimg: float = 0,
) -> GeneratorDocument:
    """Train a GAN until `config.kimg`, continuing what an earlier call has left in `folder`.

    Parameters
    ----------
    config : GanConfig
    data : ImageSet
        Training images [N, C, resolution, resolution] with labels.
    folder : Path
        Gets log.jsonl, samples/*.png, checkpoint/, and at the end generator.safetensors and generator.json.
    device : torch.device
    progress : Progress
    name, n
        The GAN's name and the size of its subset, for its record.
    scorer : callable, optional
        Measures the averaged generator every `score_kimg` and at the end; each generator measured is kept in
        snapshots/.
    score_kimg : float
        Thousands of images between measurements.

    Returns
    -------
    GeneratorDocument
        What `generator.json` says.

    Raises
    ------
    DivergedError
        Losses stopped being finite; the last good state stays saved.
    """
    # Everything the loop needs: the state, the dataset on the device, and the seam between the three GANs.
    devices.keep_freed_memory()
    training = Training.start(config, device)
    augment = make_augment(
        config.aug,
        operations=config.ada_groups,
        policy=config.diffaug_policy,
        fill=config.diffaug_fill,
    )
    steps = Steps(config, training, Shown(data, config, device), augment, device)
    log, checkpoint = Log(folder / "log.jsonl"), folder / "checkpoint"
    if (checkpoint / "state.json").is_file():
        log.truncate(training.load(checkpoint).log_bytes)
        progress.note(f"Continuing {name} at {training.images / 1000:g} of {config.kimg:g} kimg.")
    due = Due(config, score_kimg if scorer is not None else 0, training.images)
    watch = Watch(progress)
    clock = _Clock(training)

    with progress.task(f"train {name}", config.kimg, "kimg", done=training.images / 1000) as task:
        while True:
            # Look before every step and once after the last: start, middle and end share their code.
            finished = training.images >= config.kimg * 1000
            if due.tick(training.images) or finished:
                row = clock.report(steps, device)
                if row is not None:
                    if scorer is not None and due.score(training.images, finished):
                        row = _score(training, row, scorer, folder)
                    log.append(row)
                    watch.look(row)
                    show(task, row)
            if due.save(training.images) or finished:
                clock.stop()
                grid = class_grid(training.average, config.c_dim, GRID_COLUMNS, config.seed)
                images.write_png(folder / "samples" / f"kimg{training.images / 1000:09.3f}.png", grid)
                training.save(checkpoint, log.size())
            if finished:
                break
            clock.start()

            # One iteration; every random draw in it belongs to this step.
            steps.generator_step()
            if training.step % config.pl_interval == 0:
                steps.path_length_step()
            steps.discriminator_step()
            if training.step % config.r1_interval == 0:
                steps.r1_step()
            steps.average_step()
            training.step += 1
            if config.aug == "ada" and training.step % config.ada_interval == 0:
                training.ada.update(config.batch)
            training.images += config.batch
            task.advance(config.batch / 1000)
    return _finish(training, config, data, folder, name, n)


class _Clock:
    """Counts the time spent training, leaving out saving and measuring, and turns sums into lines of the log."""

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
        means = steps.sums.means()
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
            memory_mb=round(devices.memory_mb(device), 1),
        )


def _score(training: Training, row: LogRow, scorer: Scorer, folder: Path) -> LogRow:
    fd, extractor = scorer(training.average)
    write_tensors(folder / "snapshots" / f"kimg{row.kimg:09.3f}.safetensors", training.average.state_dict())
    return row.model_copy(update={"fd": fd, "fd_extractor": extractor})


def _finish(
    training: Training, config: GanConfig, data: ImageSet, folder: Path, name: str, n: int
) -> GeneratorDocument:
    digest = write_tensors(folder / "generator.safetensors", training.average.state_dict())
    document = GeneratorDocument(
        name=name,
        architecture=architecture_of(config),
        classes=list(data.classes),
        class_counts=data.class_counts(),
        aug=config.aug,
        n=n,
        seed=config.seed,
        kimg=training.images / 1000,
        preset=config.preset,
        tensors=digest,
    )
    document.write(folder / "generator.json")
    return document
