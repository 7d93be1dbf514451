"""Training in several processes, one for each GPU: who takes part, how they start, and how they add up.

Every process draws the whole batch's random numbers, computes its own rows and adds its gradients and statistics to
those of the others, so that all of them hold the same parameters and take the same steps as one process would.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.process import BaseProcess
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from usgan_cli.core.errors import SettingsError, UsganError

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others, while the first one measures and saves."""


LAST_WORDS_S = 10
"""How long a process that has failed may take to end."""


class ParallelError(UsganError):
    """A process of a training in several has ended before the others."""


@dataclass(frozen=True)
class World:
    """The processes of a training. One process alone is the default, and communicates with nobody."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which writes files and prints."""
        return self.rank == 0

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its sum over all processes; all must be of one type and on one device."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        lengths = [tensor.numel() for tensor in tensors]
        for tensor, total in zip(tensors, torch.split(flat, lengths), strict=True):
            tensor.copy_(total.reshape(tensor.shape))

    def broadcast(self, value: int, device: torch.device) -> int:
        """Return the first process's `value` in every process."""
        if self.size == 1:
            return value
        told = torch.tensor(value, dtype=torch.int64, device=device)
        dist.broadcast(told, src=0)
        return int(told)

    def greatest(self, values: Sequence[int], device: torch.device) -> list[int]:
        """Return the greatest of each value over all processes."""
        if self.size == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.int64, device=device)
        dist.all_reduce(numbers, dist.ReduceOp.MAX)
        return [int(number) for number in numbers.tolist()]

    def wait(self) -> None:
        """Wait for all processes to come this far."""
        if self.size > 1:
            dist.barrier()


ALONE = World()


def launched() -> bool:
    """Return whether torchrun (or a launcher that sets the same variables) has started this process among others."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def device_of(kind: str, local_rank: int) -> torch.device:
    """Return the device of the process with this number on its machine.

    Raises
    ------
    SettingsError
        The machine has fewer GPUs.
    """
    if kind == "cpu":
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise SettingsError(
            f"{local_rank + 1} GPUs are asked for; this machine has {torch.cuda.device_count()}.",
            "Use a lower --gpus, or --device cpu.",
        )
    return torch.device("cuda", local_rank)


@contextmanager
def joined_by_launcher(kind: str) -> Iterator[tuple[World, torch.device]]:
    """Join the processes that torchrun has started; `kind` is "cuda" or "cpu"."""
    device = device_of(kind, int(os.environ.get("LOCAL_RANK", "0")))
    _enter(device, init_method="env://")
    try:
        yield World(dist.get_rank(), dist.get_world_size()), device
    finally:
        dist.destroy_process_group()


@contextmanager
def with_helpers(
    count: int, kind: str, follow: Callable[..., None], arguments: tuple[Any, ...]
) -> Iterator[tuple[World, torch.device]]:
    """Start `count` - 1 more processes on this machine and join them.

    Parameters
    ----------
    count : int
        Processes in all.
    kind : {"cuda", "cpu"}
    follow : callable
        What the others do: called as `follow(world, device, *arguments)`; a function of a module.
    arguments : tuple
        Handed over as they are.

    Raises
    ------
    ParallelError
        One of them has ended with an error; its own message stands above.
    SettingsError
        There are fewer GPUs than processes.
    """
    device_of(kind, count - 1)
    threads = max(torch.get_num_threads() // count, 1) if kind == "cpu" else torch.get_num_threads()
    store = TCPStore("127.0.0.1", 0, count, is_master=True, wait_for_workers=False, timeout=PATIENCE)
    context = multiprocessing.get_context("spawn")
    helpers = [
        context.Process(target=_helper, args=(rank, count, store.port, kind, threads, follow, arguments), daemon=True)
        for rank in range(1, count)
    ]
    for helper in helpers:
        helper.start()
    before = torch.get_num_threads()
    try:
        device = device_of(kind, 0)
        torch.set_num_threads(threads)
        _await(helpers, store)
        _enter(device, store=store, rank=0, world_size=count)
        yield World(0, count), device
        for helper in helpers:
            helper.join()
        if any(helper.exitcode for helper in helpers):
            raise _ended_early(helpers)
    except RuntimeError as error:
        for helper in helpers:
            helper.join(LAST_WORDS_S)
        if any(helper.exitcode for helper in helpers):
            raise _ended_early(helpers) from error
        raise
    finally:
        torch.set_num_threads(before)
        for helper in helpers:
            if helper.is_alive():
                helper.kill()
        if dist.is_initialized():
            dist.destroy_process_group()


def _await(helpers: Sequence[BaseProcess], store: TCPStore) -> None:
    """Wait until all have come so far that they can be joined."""
    ready = [f"ready {rank}" for rank in range(1, len(helpers) + 1)]
    while not store.check(ready):
        if any(helper.exitcode is not None for helper in helpers):
            raise _ended_early(helpers)
        time.sleep(0.05)


def _ended_early(helpers: Sequence[BaseProcess]) -> ParallelError:
    codes = [helper.exitcode for helper in helpers if helper.exitcode is not None]
    return ParallelError(
        f"{len(codes)} of {len(helpers) + 1} processes ended early (exit code {codes[0]}).",
        "The last saved state is kept; run the same command again to continue from it.",
    )


def _helper(
    rank: int, count: int, port: int, kind: str, threads: int, follow: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    # Signals may reach every process of a terminal or of a job; the main one decides about the end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_main_process, daemon=True).start()
    torch.set_num_threads(threads)
    device = device_of(kind, rank)
    store = TCPStore("127.0.0.1", port, count, is_master=False, timeout=PATIENCE)
    store.set(f"ready {rank}", "")
    _enter(device, store=store, rank=rank, world_size=count)
    try:
        follow(World(rank, count), device, *arguments)
    except (UsganError, KeyboardInterrupt):
        raise SystemExit(1) from None  # the main process meets the same, and reports it
    finally:
        dist.destroy_process_group()


def _end_with_main_process() -> None:
    main = multiprocessing.parent_process()
    if main is not None:
        main.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _enter(device: torch.device, **how: Any) -> None:
    if device.type == "cuda":
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", timeout=PATIENCE, device_id=device, **how)
    else:
        dist.init_process_group("gloo", timeout=PATIENCE, **how)
