"""The processes that share a training, one for each GPU, and what they exchange.

Every process draws the whole batch's random numbers, computes its own rows and adds its gradients and statistics to
those of the others, so that all of them hold the same parameters and take the same steps as one process would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes of a training; by default this one alone, which communicates with nobody."""

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

    def greatest(self, values: Sequence[int], device: torch.device) -> list[int]:
        """Return the greatest of each value over all processes."""
        if self.size == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.int64, device=device)
        dist.all_reduce(numbers, dist.ReduceOp.MAX)
        return [int(number) for number in numbers.tolist()]

    def broadcast(self, value: T, device: torch.device) -> T:
        """Return the main process's value, anything that can be pickled, in every process."""
        if self.size == 1:
            return value
        shared = [value]
        dist.broadcast_object_list(shared, src=0, device=device)
        return shared[0]

    def wait(self) -> None:
        """Wait for all processes to come this far."""
        if self.size > 1:
            dist.barrier()


ALONE = World()
