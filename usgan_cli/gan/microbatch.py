"""How a batch is computed in parts, and how the parts add up to what the whole batch gives.

A batch is shared by the processes of a training and, where memory is short, computed a few images at a time; however
it is cut, gradients and statistics add up to those of the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from usgan_cli.core.errors import SettingsError
from usgan_cli.gan.batches import Batch, cut
from usgan_cli.gan.config import GanConfig, chosen_split, possible_splits
from usgan_cli.gan.cuda_graph import Compute, GraphError, Graphs
from usgan_cli.gan.distributed import ALONE, World

LARGEST_GRADIENT = 1e5
ALIGNMENT = 64
"""Gradients in one block begin at multiples of this many numbers."""


class Gradients:
    """The gradients of one network's parameters.

    On a GPU they lie in one block of memory that stays where it is, so that a graph can add to it, and clearing it,
    adding it up over processes and looking for values that are not finite are one operation each. On a processor
    every parameter takes the gradient that autograd made, which saves a pass over it.
    """

    def __init__(self, parameters: Sequence[Tensor], *, in_one_block: bool) -> None:
        self.parameters = parameters
        self.block: Tensor | None = None
        if not in_one_block or not parameters:
            return
        sizes = [math.ceil(p.numel() / ALIGNMENT) * ALIGNMENT for p in parameters]
        self.block = parameters[0].new_zeros([sum(sizes)])
        for parameter, part in zip(parameters, torch.split(self.block, sizes), strict=True):
            # A dense parameter's strides describe its place in the block as well.
            parameter.grad = part.as_strided(parameter.shape, parameter.stride(), part.storage_offset())

    def clear(self) -> None:
        """Begin from zero."""
        if self.block is not None:
            self.block.zero_()
            return
        for parameter in self.parameters:
            parameter.grad = None

    def tensors(self) -> list[Tensor]:
        """Return all gradients, as few tensors as hold them."""
        if self.block is not None:
            return [self.block]
        return [p.grad for p in self.parameters if p.grad is not None]

    def make_finite(self) -> None:
        """Replace NaN by 0 and infinities by +-1e5."""
        for gradient in self.tensors():
            torch.nan_to_num(gradient, nan=0.0, posinf=LARGEST_GRADIENT, neginf=-LARGEST_GRADIENT, out=gradient)

    def norm(self) -> Tensor:
        """Return the Euclidean norm of all gradients together."""
        return torch.nn.utils.get_total_norm(self.tensors())


class Microbatches:
    """Computes a batch part by part: this process's rows, `at_once` images at a time, by default what memory holds.

    `graphs` record each part's computation as a CUDA graph.

    Raises
    ------
    SettingsError
        The batch cannot be cut in this way.
    """

    def __init__(
        self,
        config: GanConfig,
        device: torch.device,
        world: World = ALONE,
        at_once: int | None = None,
        graphs: Graphs | None = None,
    ) -> None:
        self.config, self.device, self.world, self.graphs = config, device, world, graphs
        self.splits = possible_splits(config, world.size)
        self.split = chosen_split(config, world.size, self.splits, at_once)
        self.adapts_split = at_once is None

    def parts(self, inputs: Batch, group: int | None = None) -> Iterator[Batch]:
        """Yield this process's rows, as many at once as are computed together."""
        group = self.config.mbstd_group_size if group is None else group
        for i in range(self.split):
            yield cut(inputs, self.world.rank * self.split + i, self.world.size * self.split, group)

    def sums(self, name: str, compute: Compute, inputs: Batch, group: int | None = None) -> Batch:
        """Compute this process's rows part by part; return the sums over them."""
        # The penalty on path lengths asks the other processes in the middle, which a graph cannot.
        graphs = None if name == "path length" and self.world.size > 1 else self.graphs
        totals: Batch = {}
        for part in self.parts(inputs, group):
            sums = compute(part) if graphs is None else graphs.run(name, compute, part)
            for key, value in sums.items():
                totals[key] = totals[key] + value if key in totals else value
        return totals

    def from_zero(self, gradients: Gradients, compute: Callable[[], Batch]) -> Batch:
        """Compute from gradients of zero; where memory runs out, begin again with fewer images at once.

        `SettingsError` if not even the smallest part fits.
        """
        while True:
            gradients.clear()
            try:
                return compute()
            except torch.OutOfMemoryError:
                self._split_more()
            except GraphError as error:
                # Recording left the gradients in an unknown state; without graphs everything else is the same.
                self.graphs = None
                error.report()

    def forget_graphs(self) -> None:
        """Record anew from here on: what is computed has changed."""
        if self.graphs is not None:
            self.graphs.clear()

    def _split_more(self) -> None:
        finer = [split for split in self.splits if split > self.split]
        if not self.adapts_split or not finer:
            at_once = self.config.batch // (self.world.size * self.split)
            raise SettingsError(
                f"{at_once} images at once do not fit into the memory of {self.device}.",
                "Use a lower --batch-gpu, --batch or --channel-base.",
            ) from None
        self.split = finer[0]
        self.forget_graphs()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
