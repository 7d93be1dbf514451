"""Starting a training in one process, in several that this one starts, or in those that torchrun has started.

What to train is a `Job`, which can be pickled: the main process hands it to the others, its workers.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from usgan_cli.core.errors import SettingsError, UsganError
from usgan_cli.core.formats.generator import GeneratorDocument
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.progress import Silent
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.distributed import World
from usgan_cli.gan.init.transfer import Source
from usgan_cli.gan.outputs import GanRun
from usgan_cli.gan.train import train

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others, while the main one measures and saves."""
EXIT_WAIT_S = 10
"""How long a process that has failed may take to end."""


class ParallelError(UsganError):
    """A process of a training in several has ended before the others."""


@dataclass(frozen=True)
class Job:
    """A training: the arguments of `train`."""

    config: GanConfig
    data: ImageSet
    folder: Path
    run: GanRun
    source: Source | None = None

    def train(self, world: World, device: torch.device) -> GeneratorDocument:
        """Train as one of the processes of a world."""
        run = replace(self.run, world=world, device=device)
        return train(self.config, self.data, self.folder, run, self.source)

    def of_worker(self) -> Job:
        """Return the job without what the main process alone does: to show progress and to measure."""
        return replace(self, run=replace(self.run, progress=Silent(), scorer=None))


@dataclass(frozen=True)
class Local:
    """The process of the command alone, or with `count` - 1 workers that it starts for a job."""

    count: int
    device: torch.device
    is_main = True

    def train(self, job: Job) -> GeneratorDocument:
        """Train, with the workers.

        `ParallelError` if a worker ended with an error, which it has printed; `SettingsError` if there are fewer GPUs
        than processes.
        """
        if self.count == 1:
            return train(job.config, job.data, job.folder, job.run, job.source)
        if self.device.index is not None:
            raise SettingsError(
                f"--device {self.device} is one GPU; --gpus {self.count} asks for more.", "Use --device cuda."
            )
        with workers(self.count, self.device.type, job.of_worker()) as (world, device):
            return job.train(world, device)

    def work(self) -> None:
        """Do nothing: this is the main process."""


@dataclass
class Torchrun:
    """One of the processes that torchrun started: the main one sends a job, for which the workers wait."""

    world: World
    device: torch.device
    job_sent: bool = False

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0."""
        return self.world.is_main

    def train(self, job: Job) -> GeneratorDocument:
        """Train as the main process, and have the workers train along."""
        self.job_sent = True
        self.world.broadcast(job.of_worker(), self.device)
        return job.train(self.world, self.device)

    def work(self) -> None:
        """Train along as a worker, if there is a job."""
        job = self.world.broadcast(None, self.device)
        if job is not None:
            job.train(self.world, self.device)

    def dismiss_workers(self) -> None:
        """Let the workers end if there was no job."""
        if self.is_main and not self.job_sent:
            self.world.broadcast(None, self.device)


@contextmanager
def processes(count: int, device: torch.device) -> Iterator[Local | Torchrun]:
    """Give access to the processes of a training: `count` of this machine, or those that torchrun started."""
    # torchrun sets these, and other launchers do likewise.
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Local(count, device)
        return
    if count > 1:
        raise SettingsError("--gpus is for this program to start processes itself.", "Leave it out with torchrun.")
    device = device_of(device.type, int(os.environ.get("LOCAL_RANK", "0")))
    _join(device, init_method="env://")
    process = Torchrun(World(dist.get_rank(), dist.get_world_size()), device)
    with ExitStack() as at_end:
        at_end.callback(dist.destroy_process_group)
        at_end.callback(process.dismiss_workers)
        yield process


def device_of(kind: str, local_rank: int) -> torch.device:
    """Return the device of the process with this number on its machine; `SettingsError` if it has fewer GPUs."""
    if kind == "cpu":
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise SettingsError(
            f"{local_rank + 1} GPUs are asked for; this machine has {torch.cuda.device_count()}.",
            "Use a lower --gpus, or --device cpu.",
        )
    return torch.device("cuda", local_rank)


@contextmanager
def workers(count: int, kind: str, job: Job) -> Iterator[tuple[World, torch.device]]:
    """Start `count` - 1 workers on this machine for a job, and join them as the main process."""
    device = device_of(kind, 0)
    device_of(kind, count - 1)
    all_threads = torch.get_num_threads()
    threads = max(all_threads // count, 1) if kind == "cpu" else all_threads
    store = TCPStore("127.0.0.1", 0, count, is_master=True, wait_for_workers=False, timeout=PATIENCE)
    context = multiprocessing.get_context("spawn")
    started = [
        context.Process(target=_work, args=(World(rank, count), store.port, kind, threads, job), daemon=True)
        for rank in range(1, count)
    ]
    for process in started:
        process.start()
    try:
        torch.set_num_threads(threads)
        _await_ready(started, store)
        _join(device, store=store, rank=0, world_size=count)
        yield World(0, count), device
        _check_ended(started, None)
    except RuntimeError:
        _check_ended(started, EXIT_WAIT_S)
        raise
    finally:
        torch.set_num_threads(all_threads)
        for process in started:
            if process.is_alive():
                process.kill()
        if dist.is_initialized():
            dist.destroy_process_group()


def _await_ready(started: Sequence[BaseProcess], store: TCPStore) -> None:
    """Wait until every worker has announced itself in the store; raise ParallelError if one ends before."""
    ready = [f"ready {rank}" for rank in range(1, len(started) + 1)]
    while not store.check(ready):
        if any(process.exitcode is not None for process in started):
            _check_ended(started, 0)
        time.sleep(0.05)


def _check_ended(started: Sequence[BaseProcess], timeout_s: float | None) -> None:
    """Wait for the workers to end, and raise ParallelError if one has failed."""
    for process in started:
        process.join(timeout_s)
    if failed := [process.exitcode for process in started if process.exitcode]:
        raise ParallelError(
            f"{len(failed)} of {len(started) + 1} processes ended early (exit code {failed[0]}).",
            "The last saved state is kept; run the same command again to continue from it.",
        )


def _work(world: World, port: int, kind: str, threads: int, job: Job) -> None:
    # Signals may reach every process of a terminal or of a job; the main one decides about the end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_main_process, daemon=True).start()
    torch.set_num_threads(threads)
    device = device_of(kind, world.rank)
    store = TCPStore("127.0.0.1", port, world.size, is_master=False, timeout=PATIENCE)
    store.set(f"ready {world.rank}", "")
    _join(device, store=store, rank=world.rank, world_size=world.size)
    try:
        job.train(world, device)
    except (UsganError, KeyboardInterrupt):
        raise SystemExit(1) from None  # the main process meets the same, and reports it
    finally:
        dist.destroy_process_group()


def _end_with_main_process() -> None:
    main = multiprocessing.parent_process()
    if main is not None:
        main.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _join(device: torch.device, **options: Any) -> None:
    if device.type == "cuda":
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", timeout=PATIENCE, device_id=device, **options)
    else:
        dist.init_process_group("gloo", timeout=PATIENCE, **options)
