"""Fine-tuning of a pretrained network on one fold.

AdamW (Loshchilov and Hutter 2019) with a higher learning rate for the new classifier layer than for the
pretrained ones, which may decay from layer to layer (Clark et al. 2020) or wait for a first stage in which the
classifier layer learns alone; linear warm-up and cosine decay, label smoothing (Szegedy et al. 2016). The test images
are predicted once, when the epoch has been picked.

The epoch is picked on the fold's validation images by the rule of one standard error (Breiman et al. 1984): the last
epoch whose micro-F1 is within one standard error of the best. A fold of a small subset has 10 or 20 validation
images, whose best epoch is mostly luck; among epochs that they cannot tell apart, the one trained longest is taken.

With a fixed number of updates (`config.updates`) the epochs are equal parts of them, the same for every classifier
that is compared, for any number of images; each batch is the next piece of an endless row of shuffled passes over
them, so that every image is drawn equally often.

Every epoch and update draws its random numbers from its own seeds, so an interrupted fold continues from its last saved
epoch to the same result.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from timm.models import group_parameters
from torch import nn

from usgan_cli.classify.augment import augment, trivial_augment
from usgan_cli.classify.config import ClassifierConfig
from usgan_cli.classify.models import Backbone, seeded
from usgan_cli.classify.scores import FoldPredictions, TrainingEffort
from usgan_cli.core.budget import updates_per_epoch
from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.tensors import read_tensors, write_tensors
from usgan_cli.core.images.codec import to_float
from usgan_cli.core.machine.device import torch_dtype
from usgan_cli.core.machine.precision import Precision
from usgan_cli.core.machine.seeds import torch_generator
from usgan_cli.core.progress import Progress, Task

EVAL_BATCH = 32
SAVE_SECONDS = 30.0
"""Time between saved states: an epoch or so on a CPU, many epochs on a GPU, which repeats them as quickly."""


@dataclass(frozen=True)
class LabelledImages:
    """Images ready for the network: uint8 tensor [N, C, size, size] and int64 tensor [N], on the CPU."""

    images: torch.Tensor
    labels: torch.Tensor
    strongly: torch.Tensor | None = None
    """Boolean [N]: which images `trivial_augment` changes whenever they are drawn; None: none of them."""


@dataclass
class PickedEpoch:
    """The epoch picked so far, with its network and its probabilities of the validation images."""

    epoch: int
    updates: int
    val: NDArray[np.float32]
    state: dict[str, torch.Tensor]


@dataclass
class FoldHistory:
    """How far a fold's training has come: epochs finished, the best micro-F1 with its epoch, and the epoch picked."""

    epoch: int = 0
    best: float = -1.0
    best_epoch: int = 0
    picked: PickedEpoch | None = None

    def ended(self, config: ClassifierConfig) -> bool:
        """Return whether all epochs are done, or the validation F1 has not improved for `patience` epochs.

        Nothing shortens a budget of updates: it is the same for every classifier that is compared.
        """
        stopped = config.budget == "epochs" and self.epoch - self.best_epoch >= config.patience
        return self.epoch >= config.epochs or stopped

    def picks(self, f1: float, images: int) -> bool:
        """Record the micro-F1 of the epoch just finished, and return whether to pick that epoch.

        It is picked if it is within one standard error of the best so far, which a new best always is.
        """
        if f1 > self.best:
            self.best, self.best_epoch = f1, self.epoch
        return f1 >= self.best - standard_error(self.best, images)


def standard_error(f1: float, images: int) -> float:
    """Return the standard error of a micro-F1 (a share of `images`), by Laplace's estimate, which is never 0."""
    share = (f1 * images + 1) / (images + 2)
    return math.sqrt(share * (1 - share) / (images + 2))


def lr_factor(done: float, warmup: float, total: float) -> float:
    """Return the share of the highest learning rate after `done` of `total` epochs: a line up, then a cosine to 0."""
    if done < warmup:
        return done / warmup
    return 0.5 * (1 + math.cos(math.pi * min((done - warmup) / max(total - warmup, 1e-9), 1)))


def balanced_weights(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Return each class's weight in the loss, N / (K count): all classes together weigh the same."""
    counts = torch.bincount(labels, minlength=classes)
    return len(labels) / (classes * counts.clamp(min=1))


def finetune_fold(
    backbone: Backbone,
    config: ClassifierConfig,
    fold: int,
    *,
    train: LabelledImages,
    val: LabelledImages,
    test: torch.Tensor,
    device: torch.device,
    precision: Precision,
    progress: Progress,
    state_file: Path | None = None,
    external: Sequence[torch.Tensor] = (),
) -> FoldPredictions:
    """Fine-tune a copy of the network on one fold's training images, and predict its validation and test images.

    `external` are further sets of test images, which are predicted last and decide nothing.

    The network has one output per class and is not changed. `fold`, from 0, seeds the random numbers, which do not
    depend on the images. `state_file` is where the state is saved now and then, and read from at the start; the caller
    removes it once it has stored the result.
    """
    with seeded(config.seed, "classifier", fold, device=device):
        trainer = FoldTrainer(backbone, config, fold, device, precision)
    history = FoldHistory()
    if state_file is not None and state_file.is_file():
        history = trainer.restore(read_tensors(state_file))
    saved = time.monotonic()
    with progress.task(f"Fold {fold + 1} of {config.folds}", config.epochs, "epochs", done=history.epoch) as task:
        while not history.ended(config):
            history.epoch += 1
            with seeded(config.seed, "classifier", fold, history.epoch, device=device):
                trainer.train_epoch(train, history.epoch, task)
            probability = trainer.predict(val.images)
            f1 = float((probability.argmax(1) == val.labels.numpy()).mean())
            if history.picks(f1, len(probability)):
                state = copy.deepcopy(trainer.model.state_dict())
                history.picked = PickedEpoch(history.epoch, trainer.updates, probability, state)
            task.advance(0, val_f1=f"{f1:.3f}", best=f"{history.best:.3f}")
            if state_file is not None and time.monotonic() - saved >= SAVE_SECONDS:
                write_tensors(state_file, trainer.state(history))
                saved = time.monotonic()
    picked = history.picked
    assert picked is not None
    trainer.model.load_state_dict(picked.state)
    effort = TrainingEffort(picked.epoch, trainer.updates, picked.updates, trainer.images_seen)
    test_probability = trainer.predict(test)
    outside = tuple(trainer.predict(images) for images in external)
    return FoldPredictions(effort, None, picked.val, test_probability, outside)


class FoldTrainer:
    """A copy of the network that is trained on one fold."""

    def __init__(
        self, backbone: Backbone, config: ClassifierConfig, fold: int, device: torch.device, precision: Precision
    ) -> None:
        self.backbone, self.config, self.fold, self.device, self.precision = backbone, config, fold, device, precision
        self.model = copy.deepcopy(backbone.model).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head: nn.Module = self.model.get_classifier()
        for module in self.head.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        self.optimizer = torch.optim.AdamW(self._parameter_groups(), lr=config.lr)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.updates = self.images_seen = 0

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Return the optimiser's groups: parameters of one learning rate and one weight decay."""
        config = self.config
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        head = {names[id(parameter)] for parameter in self.head.parameters()}
        layer = _layer_numbers(self.model) if config.layer_decay < 1 else dict.fromkeys(names.values(), 0)
        last = max(number for name, number in layer.items() if name not in head)
        groups: dict[tuple[float, bool], dict[str, Any]] = {}
        for name, parameter in self.model.named_parameters():
            lr = config.head_lr if name in head else config.lr * config.layer_decay ** (last - layer[name])
            decayed = parameter.ndim > 1
            group = {"params": [], "highest_lr": lr, "weight_decay": config.weight_decay if decayed else 0.0}
            groups.setdefault((lr, decayed), group)["params"].append(parameter)
        return list(groups.values())

    def state(self, history: FoldHistory) -> dict[str, torch.Tensor]:
        """Return everything that decides how the fold continues, by name."""
        picked = history.picked
        assert picked is not None
        tensors = {
            "epoch": torch.tensor(history.epoch),
            "updates": torch.tensor(self.updates),
            "images.seen": torch.tensor(self.images_seen),
            "best": torch.tensor(history.best, dtype=torch.float64),
            "best.epoch": torch.tensor(history.best_epoch),
            "kept.epoch": torch.tensor(picked.epoch),
            "kept.updates": torch.tensor(picked.updates),
            "kept.val": torch.from_numpy(picked.val),
        }
        tensors |= {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"kept.model.{name}": tensor for name, tensor in picked.state.items()}
        for name, parameter in self.model.named_parameters():
            tensors |= {f"adam.{name}.{key}": value for key, value in self.optimizer.state[parameter].items()}
        scaler = self.scaler.state_dict()
        return tensors | {f"scaler.{key}": torch.tensor(value, dtype=torch.float64) for key, value in scaler.items()}

    def restore(self, saved: Mapping[str, torch.Tensor]) -> FoldHistory:
        """Load what `state` returned."""
        self.model.load_state_dict(_with_prefix("model.", saved))
        for name, parameter in self.model.named_parameters():
            for key, value in _with_prefix(f"adam.{name}.", saved).items():
                # In the parameter's own memory order, in which the optimiser would have made it.
                like = parameter if value.ndim else value
                self.optimizer.state[parameter][key] = torch.empty_like(like, requires_grad=False).copy_(value)
        if self.scaler.is_enabled():
            scaler = {k: type(v)(saved[f"scaler.{k}"].item()) for k, v in self.scaler.state_dict().items()}
            self.scaler.load_state_dict(scaler)
        state = {name: tensor.to(self.device) for name, tensor in _with_prefix("kept.model.", saved).items()}
        self.updates, self.images_seen = int(saved["updates"]), int(saved["images.seen"])
        picked = PickedEpoch(int(saved["kept.epoch"]), int(saved["kept.updates"]), saved["kept.val"].numpy(), state)
        return FoldHistory(int(saved["epoch"]), float(saved["best"]), int(saved["best.epoch"]), picked)

    def _enter_stage(self, epoch: int) -> None:
        """Unfreeze the layers that learn in this epoch; frozen ones also keep their batch statistics."""
        head_alone = epoch <= self.config.head_epochs
        self.model.train(not head_alone)
        self.head.train()
        head = {id(parameter) for parameter in self.head.parameters()}
        for parameter in self.model.parameters():
            parameter.requires_grad_(not head_alone or id(parameter) in head)

    def train_epoch(self, train: LabelledImages, epoch: int, task: Task) -> None:
        """Train on the epoch's batches, augmented; `epoch` counts from 1."""
        config = self.config
        self._enter_stage(epoch)
        batches = list(self._batches(len(train.labels), epoch))
        losses: list[torch.Tensor] = []
        for step, chosen in enumerate(batches):
            done = epoch - config.head_epochs - 1 + (step + 1) / len(batches)
            factor = lr_factor(done, config.warmup_epochs, config.epochs - config.head_epochs) if done > 0 else 1.0
            for group in self.optimizer.param_groups:
                group["lr"] = group["highest_lr"] * factor
            noise = torch_generator(config.seed, "augment", self.fold, epoch, step)
            pixels = train.images[chosen]
            if train.strongly is not None:
                pixels[train.strongly[chosen]] = trivial_augment(pixels[train.strongly[chosen]], noise)
            images = augment(to_float(pixels.to(self.device)), config, noise)
            with self._autocast():
                logits = self.model(self.backbone.to_input(images))
            labels = train.labels[chosen].to(self.device)
            balanced = config.class_weights == "balanced"
            weight = balanced_weights(train.labels, logits.shape[1]).to(self.device) if balanced else None
            loss = F.cross_entropy(logits.float(), labels, weight, label_smoothing=config.label_smoothing)
            self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.updates += 1
            self.images_seen += len(chosen)
            losses.append(loss.detach())
            task.advance(1 / len(batches))
        mean = float(torch.stack(losses).mean())
        if not math.isfinite(mean):
            raise SettingsError(
                f"Training diverged in epoch {epoch} of fold {self.fold + 1}: the loss is not a number.",
                "Use lower learning rates (--lr, --head-lr), or --precision float32, with --refresh.",
            )
        task.advance(0, loss=f"{mean:.3f}")

    def _batches(self, count: int, epoch: int) -> Iterator[torch.Tensor]:
        """Yield positions of the images of each of the epoch's updates.

        Without a fixed number of updates every image comes once, in batches of nearly equal size: none is too small
        for its statistics.
        """
        batch, updates, epochs = self.config.batch, self.config.updates, self.config.epochs
        if updates is None:
            yield from self._shuffled(count, epoch).tensor_split(updates_per_epoch(count, batch))
            return
        for update in range((epoch - 1) * updates // epochs, epoch * updates // epochs):
            first, last = update * batch, (update + 1) * batch  # places in the row of all passes
            passes = range(first // count, (last - 1) // count + 1)
            row = torch.cat([self._shuffled(count, one) for one in passes])
            yield row[first - passes[0] * count : last - passes[0] * count]

    def _shuffled(self, count: int, number: int) -> torch.Tensor:
        return torch.randperm(count, generator=torch_generator(self.config.seed, "order", self.fold, number))

    def predict(self, images: torch.Tensor) -> NDArray[np.float32]:
        """Return class probabilities [N, K]; with `flip`, the mean over an image and its mirror image."""
        self.model.eval()
        parts: list[torch.Tensor] = []
        with torch.inference_mode():
            for chunk in torch.split(images, EVAL_BATCH):
                batch = to_float(chunk.to(self.device))
                views = [batch, batch.flip(-1)] if self.config.flip else [batch]
                with self._autocast():
                    logits = [self.model(self.backbone.to_input(view)) for view in views]
                parts.append(torch.stack([view.float().softmax(1) for view in logits]).mean(0).cpu())
        return torch.cat(parts).numpy()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch_dtype(self.precision), enabled=self.precision != "float32")


def _layer_numbers(model: nn.Module) -> dict[str, int]:
    """Return the number of each parameter's layer, counted from the input."""
    matcher = getattr(model, "group_matcher", None)
    if matcher is None:
        raise SettingsError(
            f"The layers of {type(model).__name__} have no known order for --layer-decay.", "Use --layer-decay 1."
        )
    numbers: dict[str, int] = group_parameters(model, matcher(coarse=False), reverse=True)
    return numbers


def _with_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
