"""Batches, cut so that their parts add up to the whole, and the training images, in a fresh order every epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from usgan_cli.core.images import codec
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine.placement import to_device
from usgan_cli.core.machine.seeds import torch_generator
from usgan_cli.gan.config import GanConfig

Batch = dict[str, Tensor]
"""Named tensors with one row an image."""


def cut(batch: Mapping[str, Tensor], part: int, parts: int, group: int) -> Batch:
    """Return part number `part` of `parts` equal ones; `parts` divides N / min(group, N).

    Minibatch standard deviation compares images whose numbers are equal modulo N / group. A part keeps such images
    together, in their order, so that the parts' results are those of the whole batch.
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


class TrainingImages:
    """The training images, resident on the device as uint8."""

    def __init__(self, data: ImageSet, config: GanConfig, device: torch.device) -> None:
        self.pixels = torch.from_numpy(data.pixels).to(device)
        self.labels = torch.from_numpy(data.labels)
        self.config = config
        self.device = device
        self._one_hot = torch.eye(config.c_dim)
        self._orders: dict[int, Tensor] = {}

    def draw(self, step: int) -> Batch:
        """Return which images a step shows: `index` [batch], `labels` one-hot [batch, c_dim] and `flip` [batch]."""
        config = self.config
        index = self._indices(step * config.batch, config.batch)
        flip = torch.zeros(config.batch, dtype=torch.bool)
        if config.mirror:
            draws = torch_generator(config.seed, "mirror", step)
            flip = torch.rand([config.batch, 1, 1, 1], generator=draws).flatten() < 0.5
        drawn = {"index": index, "labels": self._one_hot[self.labels[index]], "flip": flip}
        return {name: to_device(value, self.device) for name, value in drawn.items()}

    def images(self, drawn: Batch) -> Tensor:
        """Return the images that `draw` chose, float in [-1, 1]."""
        batch = codec.to_float(self.pixels[drawn["index"]])
        if not self.config.mirror:
            return batch
        return torch.where(drawn["flip"][:, None, None, None], batch.flip(3), batch)

    def everything(self, at_once: int = 64) -> Iterator[Tensor]:
        """Yield all images, so many at once, float in [-1, 1]; where training mirrors them, each of them both ways."""
        for some in torch.split(self.pixels, at_once):
            batch = codec.to_float(some)
            yield batch
            if self.config.mirror:
                yield batch.flip(3)

    def draw_labels(self, count: int, draws: torch.Generator) -> Tensor:
        """Return one-hot labels [count, c_dim] drawn from the training set's labels, on the host."""
        return self._one_hot[self.labels[torch.randint(len(self.labels), [count], generator=draws)]]

    def _indices(self, first: int, count: int) -> Tensor:
        """Return positions `first` ... of the endless row of epochs."""
        n = len(self.labels)
        positions = [divmod(first + i, n) for i in range(count)]
        orders: dict[int, Tensor] = {}
        for epoch in sorted({epoch for epoch, _ in positions}):
            if epoch in self._orders:
                orders[epoch] = self._orders[epoch]
            else:
                orders[epoch] = torch.randperm(n, generator=torch_generator(self.config.seed, "epoch", epoch))
        self._orders = orders
        return torch.stack([orders[epoch][place] for epoch, place in positions])
