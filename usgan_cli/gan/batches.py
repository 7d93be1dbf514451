"""The training images on the device, shown in a fresh order every epoch."""

from __future__ import annotations

import torch
from torch import Tensor

from usgan_cli.core.images import codec
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine.placement import to_device
from usgan_cli.core.machine.seeds import torch_generator
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.microbatch import Batch


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
        """Return the images that `draw` has chosen, float in [-1, 1]."""
        batch = codec.to_float(self.pixels[drawn["index"]])
        if not self.config.mirror:
            return batch
        return torch.where(drawn["flip"][:, None, None, None], batch.flip(3), batch)

    def draw_labels(self, count: int, draws: torch.Generator) -> Tensor:
        """Return one-hot labels [count, c_dim] drawn from the training set's labels, on the host."""
        return self._one_hot[self.labels[torch.randint(len(self.labels), [count], generator=draws)]]

    def _indices(self, first: int, count: int) -> Tensor:
        """Return positions `first` ... of the endless row of epochs."""
        n = len(self.labels)
        positions = [divmod(first + i, n) for i in range(count)]
        wanted = {epoch for epoch, _ in positions}
        self._orders = {
            epoch: self._orders[epoch] if epoch in self._orders else self._order(epoch) for epoch in sorted(wanted)
        }
        return torch.stack([self._orders[epoch][place] for epoch, place in positions])

    def _order(self, epoch: int) -> Tensor:
        return torch.randperm(len(self.labels), generator=torch_generator(self.config.seed, "epoch", epoch))
