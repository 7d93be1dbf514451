"""Fine-tuning of a pretrained network on one fold.

AdamW (Loshchilov and Hutter 2019) with a higher learning rate for the new classifier layer than for the
pretrained ones, linear warm-up and cosine decay, label smoothing (Szegedy et al. 2016), and the epoch picked
on the fold's validation images. Test images are looked at once, when the epoch has been picked.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from usgan_cli.classify.augment import augment
from usgan_cli.classify.config import ClassifierConfig
from usgan_cli.classify.models import Backbone, seeded
from usgan_cli.classify.scores import log_loss
from usgan_cli.core.device import Precision, torch_dtype
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.images import to_float
from usgan_cli.core.progress import Progress, Task
from usgan_cli.core.seeds import torch_generator

EVAL_BATCH = 32


@dataclass(frozen=True)
class Labelled:
    """Images ready for the network: uint8 tensor [N, C, size, size] and int64 tensor [N], on the CPU."""

    images: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class FinetuneOutput:
    """One fold's network.

    Attributes
    ----------
    epoch : int
        Number of epochs it was trained for, at its best on the validation images.
    val, test : float32 arrays [N, K]
        Class probabilities.
    """

    epoch: int
    val: NDArray[np.float32]
    test: NDArray[np.float32]


@dataclass
class Best:
    """The best epoch so far, by micro-F1 (here the accuracy), among equals by log loss."""

    epoch: int
    rank: tuple[float, float]
    val: NDArray[np.float32]
    state: dict[str, torch.Tensor]


def lr_factor(done: float, warmup: float, total: float) -> float:
    """Return the share of the highest learning rate after `done` of `total` epochs: a line up, then a cosine to 0."""
    if done < warmup:
        return done / warmup
    return 0.5 * (1 + math.cos(math.pi * min((done - warmup) / max(total - warmup, 1e-9), 1)))


def finetune_fold(
    backbone: Backbone,
    config: ClassifierConfig,
    fold: int,
    *,
    train: Labelled,
    val: Labelled,
    test: torch.Tensor,
    device: torch.device,
    precision: Precision,
    progress: Progress,
) -> FinetuneOutput:
    """Fine-tune a copy of the network on one fold's training images, and predict its validation and test images.

    Parameters
    ----------
    backbone : Backbone
        The pretrained network, with one output per class; it is left as it is.
    config : ClassifierConfig
    fold : int
        From 0; it selects the random numbers, which are the same whatever images the training set has.
    train, val : Labelled
    test : uint8 tensor [N, C, size, size]
    device : torch.device
    precision : {"float32", "bf16", "fp16"}
    progress : Progress

    Raises
    ------
    SettingsError
        The loss is no longer a number.
    """
    network = _Network(backbone, config, fold, device, precision)
    best: Best | None = None
    with (
        seeded(config.seed, "classifier", fold, device=device),
        progress.task(f"Fold {fold + 1} of {config.folds}", config.epochs, "epochs") as task,
    ):
        network.new_head()
        for epoch in range(1, config.epochs + 1):
            network.train_epoch(train, epoch, task)
            probability = network.predict(val.images)
            truth = val.labels.numpy()
            rank = (float((probability.argmax(1) == truth).mean()), -log_loss(truth, probability))
            if best is None or rank > best.rank:
                best = Best(epoch, rank, probability, copy.deepcopy(network.model.state_dict()))
            task.advance(0, val_f1=f"{rank[0]:.3f}", best_epoch=str(best.epoch))
            if epoch - best.epoch >= config.patience:
                break
        assert best is not None
        network.model.load_state_dict(best.state)
        return FinetuneOutput(best.epoch, best.val, network.predict(test))


class _Network:
    """A copy of the network while one fold trains it."""

    def __init__(
        self, backbone: Backbone, config: ClassifierConfig, fold: int, device: torch.device, precision: Precision
    ) -> None:
        self.backbone, self.config, self.fold, self.device, self.precision = backbone, config, fold, device, precision
        self.model = copy.deepcopy(backbone.model).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer: torch.optim.Optimizer
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    def new_head(self) -> None:
        """Initialise the classifier layer and the optimiser."""
        head = self.model.get_classifier()
        for module in head.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        own = {id(parameter) for parameter in head.parameters()}
        groups = [
            {
                "params": [p for p in self.model.parameters() if (id(p) in own) == is_head and (p.ndim > 1) == decayed],
                "highest_lr": self.config.head_lr if is_head else self.config.lr,
                "weight_decay": self.config.weight_decay if decayed else 0.0,
            }
            for is_head in (False, True)
            for decayed in (False, True)
        ]
        self.optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=self.config.lr)

    def train_epoch(self, train: Labelled, epoch: int, task: Task) -> None:
        """Show every training image once, augmented, in random order."""
        self.model.train()
        batches = list(self._batches(len(train.labels), epoch))
        losses: list[torch.Tensor] = []
        for step, chosen in enumerate(batches):
            done = epoch - 1 + (step + 1) / len(batches)
            for group in self.optimizer.param_groups:
                group["lr"] = group["highest_lr"] * lr_factor(done, self.config.warmup_epochs, self.config.epochs)
            noise = torch_generator(self.config.seed, "augment", self.fold, epoch, step)
            images = augment(to_float(train.images[chosen].to(self.device)), self.config, noise)
            with self._autocast():
                logits = self.model(self.backbone.to_input(images))
            labels = train.labels[chosen].to(self.device)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.config.label_smoothing)
            self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.scaler.step(self.optimizer)
            self.scaler.update()
            losses.append(loss.detach())
            task.advance(1 / len(batches))
        mean = float(torch.stack(losses).mean())
        if not math.isfinite(mean):
            raise SettingsError(
                f"Training diverged in epoch {epoch} of fold {self.fold + 1}: the loss is not a number.",
                "Use lower learning rates (--lr, --head-lr), or --precision float32.",
            )
        task.advance(0, loss=f"{mean:.3f}")

    def _batches(self, count: int, epoch: int) -> Iterator[torch.Tensor]:
        """Yield positions of all images in batches of nearly equal size: none is too small for its statistics."""
        order = torch.randperm(count, generator=torch_generator(self.config.seed, "order", self.fold, epoch))
        yield from order.tensor_split(max(1, math.ceil(count / self.config.batch)))

    def predict(self, images: torch.Tensor) -> NDArray[np.float32]:
        """Return class probabilities [N, K] of images as they are."""
        self.model.eval()
        found: list[torch.Tensor] = []
        with torch.inference_mode():
            for batch in torch.split(images, EVAL_BATCH):
                with self._autocast():
                    logits = self.model(self.backbone.to_input(to_float(batch.to(self.device))))
                found.append(logits.float().softmax(1).cpu())
        return torch.cat(found).numpy()

    def _autocast(self) -> AbstractContextManager[None]:
        if self.precision == "float32":
            return nullcontext()
        context: AbstractContextManager[None] = torch.autocast(self.device.type, torch_dtype(self.precision))
        return context
