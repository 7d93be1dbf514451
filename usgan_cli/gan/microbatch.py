"""How a batch is computed in parts, and how the parts add up to what the whole batch gives.

A batch is named tensors with one row an image. It is shared by the processes of a training and, where memory is short,
computed a few images at a time; gradients and statistics add up to those of the whole batch, whatever the cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from usgan_cli.core.errors import SettingsError
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.cuda_graph import GraphError, Graphs
from usgan_cli.gan.distributed import ALONE, World

Batch = dict[str, Tensor]
Compute = Callable[[Batch], Batch]
"""Adds to the parameters' gradients and returns sums over the images; changes nothing else."""

LARGEST_GRADIENT = 1e5
ALIGNMENT = 64
"""Gradients in one block begin at multiples of this many numbers."""


def cut(batch: Mapping[str, Tensor], part: int, parts: int, group: int) -> Batch:
    """Return one of `parts` equal parts of a batch.

    Minibatch standard deviation compares images whose numbers are equal modulo N / group; a part keeps such
    images together, in their order, so that the parts' results are those of the whole batch.

    Parameters
    ----------
    batch : mapping of str to Tensor
        Each [N, ...]; `parts` divides N / min(group, N).
    part : int
        0 to parts - 1.
    parts : int
    group : int
        Size of the discriminator's groups.

    Returns
    -------
    dict of str to Tensor
        Each [N / parts, ...].
    """
    return dict(batch) if parts == 1 else {name: _cut(rows, part, parts, group) for name, rows in batch.items()}


def _cut(rows: Tensor, part: int, parts: int, group: int) -> Tensor:
    group = min(group, len(rows))
    columns = len(rows) // group
    width = columns // parts
    arranged = rows.reshape(group, columns, *rows.shape[1:])
    return arranged[:, part * width : (part + 1) * width].flatten(0, 1)


def named(prefix: str, tensors: Mapping[str, Tensor]) -> Batch:
    """Return the tensors with `prefix/` before their names."""
    return {f"{prefix}/{name}": value for name, value in tensors.items()}


def under(prefix: str, batch: Mapping[str, Tensor]) -> Batch:
    """Return the tensors whose names `named` began with a prefix, by their own names."""
    start = f"{prefix}/"
    return {name.removeprefix(start): value for name, value in batch.items() if name.startswith(start)}


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
        """Replace what is no number by 0, and infinities by numbers of +-1e5."""
        for gradient in self.tensors():
            torch.nan_to_num(gradient, nan=0.0, posinf=LARGEST_GRADIENT, neginf=-LARGEST_GRADIENT, out=gradient)

    def norm(self) -> Tensor:
        """Return the Euclidean norm of all gradients together."""
        return torch.nn.utils.get_total_norm(self.tensors())


class Microbatches:
    """Computes a batch part by part: this process's rows, as many at once as memory holds.

    Parameters
    ----------
    at_once : int, optional
        Images that each process computes at once; as many as memory allows by default.
    graphs : Graphs, optional
        Records each part's computation as a CUDA graph.

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
        self.splits = _possible_splits(config, world)
        self.split = _chosen_split(config, world, self.splits, at_once)
        self.adapts_split = at_once is None

    def parts(self, inputs: Batch, group: int | None = None) -> Iterator[Batch]:
        """Yield this process's rows, as many at once as are computed together."""
        group = self.config.mbstd_group_size if group is None else group
        for i in range(self.split):
            yield cut(inputs, self.world.rank * self.split + i, self.world.size * self.split, group)

    def sums(self, name: str, compute: Compute, inputs: Batch, group: int | None = None) -> Batch:
        """Compute this process's rows part by part; return the sums over them."""
        totals: Batch = {}
        for part in self.parts(inputs, group):
            for key, value in self._computed(name, compute, part).items():
                totals[key] = totals[key] + value if key in totals else value
        return totals

    def _computed(self, name: str, compute: Compute, part: Batch) -> Batch:
        # The penalty on path lengths asks the other processes in the middle, which a graph cannot.
        if self.graphs is None or (name == "path length" and self.world.size > 1):
            return compute(part)
        return self.graphs.run(name, compute, part)

    def from_zero(self, gradients: Gradients, compute: Callable[[], Batch]) -> Batch:
        """Compute from gradients of zero; where memory runs out, begin again with fewer images at once.

        Raises
        ------
        SettingsError
            Not even the smallest part fits.
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

    def _split_more(self) -> None:
        finer = [split for split in self.splits if split > self.split]
        if not self.adapts_split or not finer:
            at_once = self.config.batch // (self.world.size * self.split)
            raise SettingsError(
                f"{at_once} images at once do not fit into the memory of {self.device}.",
                "Use a lower --batch-gpu, --batch or --channel-base.",
            ) from None
        self.split = finer[0]
        if self.graphs is not None:
            self.graphs.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _possible_splits(config: GanConfig, world: World) -> list[int]:
    """Return into how many parts each process's rows can be cut, in rising order."""
    columns = config.batch // min(config.mbstd_group_size, config.batch)
    regularised = config.batch // config.pl_batch_shrink
    cuts = [split for split in range(1, columns + 1) if columns % (world.size * split) == 0]
    possible = [split for split in cuts if regularised % (world.size * split) == 0]
    if not possible:
        raise SettingsError(
            f"A batch of {config.batch} in groups of {config.mbstd_group_size} cannot be shared by {world.size} "
            "processes.",
            f"Use a --batch that is a multiple of {2 * config.mbstd_group_size * world.size}.",
        )
    return possible


def _chosen_split(config: GanConfig, world: World, possible: Sequence[int], at_once: int | None) -> int:
    if at_once is None:
        return possible[0]
    by_size = {config.batch // (world.size * split): split for split in possible}
    if at_once not in by_size:
        raise SettingsError(
            f"--batch-gpu {at_once} does not divide the batch of {config.batch} evenly.",
            f"Use --batch-gpu {', '.join(str(size) for size in sorted(by_size))}.",
        )
    return by_size[at_once]
