"""A linear head on a frozen backbone: pooled features computed once, then a multinomial logistic regression.

The cheap classifier for machines without a GPU (a "linear probe"): the same folds and records as fine-tuning,
with the strength of the penalty chosen on the validation images where fine-tuning chooses an epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from usgan_cli.classify.config import C_GRID
from usgan_cli.classify.models import Backbone
from usgan_cli.classify.scores import log_loss
from usgan_cli.core.errors import FormatError, MissingError, SettingsError
from usgan_cli.core.formats.tensors import read_arrays, write_arrays
from usgan_cli.core.images.codec import to_float
from usgan_cli.core.progress import Progress
from usgan_cli.core.store import files

Floats = NDArray[np.float64]
FEATURE_BATCH = 16
STAGES = 2
MAX_ITERATIONS = 5000
TOLERANCE = 1e-6


class FeatureCache:
    """Features of single images on disk, found by the images' content and the network's.

    Each call of `add` writes one safetensors file of its own, so processes may share the folder. Damaged files are
    reported and removed: a cache is computed again. `fingerprint` is the digest of the network (see
    `Backbone.fingerprint`).
    """

    def __init__(self, folder: Path, fingerprint: str, progress: Progress) -> None:
        self.folder = folder / "features" / f"{fingerprint[:32]}-stages{STAGES}"
        self._known: dict[str, NDArray[np.float32]] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                stored = read_arrays(path)
                digests = [row.tobytes().hex() for row in stored["digests"]]
                self._known.update(zip(digests, stored["features"], strict=True))
            except MissingError:  # another process removed it
                continue
            except (OSError, FormatError, KeyError, ValueError):
                progress.warn(f"The cached features in {path} are damaged; they are computed again.")
                path.unlink(missing_ok=True)

    def missing(self, digests: Sequence[str]) -> list[int]:
        """Return the positions of the images whose features are not known, each content once."""
        first = {digest: i for i, digest in reversed(list(enumerate(digests)))}
        return sorted(i for digest, i in first.items() if digest not in self._known)

    def add(self, digests: Sequence[str], features: NDArray[np.float32]) -> None:
        """Keep the features [N, D] of N images, in memory and on disk."""
        self._known.update(zip(digests, features, strict=True))
        name = files.digest_json(list(digests))[:32]
        rows = np.frombuffer(bytes.fromhex("".join(digests)), dtype=np.uint8).reshape(len(digests), -1)
        write_arrays(self.folder / f"{name}.safetensors", {"digests": rows, "features": features})

    def get(self, digests: Sequence[str]) -> NDArray[np.float32]:
        """Return features [N, D]; every image must be known."""
        return np.stack([self._known[digest] for digest in digests])


def pooled_features(
    backbone: Backbone, images: torch.Tensor, cache_dir: Path, device: torch.device, progress: Progress
) -> NDArray[np.float32]:
    """Return the network's pooled features [N, D] of uint8 images [N, C, size, size], from the cache where known.

    The means over the image of the last two stages' outputs, then the input of its classifier: the last features
    serve ImageNet's classes, while the stages before hold texture. They are computed in float32; an image's features
    do not depend on the other images of its batch.
    """
    cache = FeatureCache(cache_dir, backbone.fingerprint(), progress)
    shape = f"{tuple(images.shape[1:])}".encode()
    digests = [hashlib.sha256(shape + image.numpy().tobytes()).hexdigest() for image in images]
    missing = cache.missing(digests)
    if missing:
        computed = _compute(backbone, images[missing], device, progress)
        cache.add([digests[i] for i in missing], computed)
    return cache.get(digests)


def _compute(backbone: Backbone, images: torch.Tensor, device: torch.device, progress: Progress) -> NDArray[np.float32]:
    model = backbone.model.eval().to(device)
    parts: list[torch.Tensor] = []
    with torch.inference_mode(), progress.task("Features of images", len(images), "images") as task:
        for batch in torch.split(images, FEATURE_BATCH):
            # Always one shape, so that the library always chooses the same kernels.
            full = torch.cat([batch, batch[:1].expand(FEATURE_BATCH - len(batch), -1, -1, -1)])
            features = _pooled(model, backbone.to_input(to_float(full.to(device))))
            parts.append(features[: len(batch)].float().cpu())
            task.advance(len(batch))
    return torch.cat(parts).numpy()


def _pooled(model: Any, x: torch.Tensor) -> torch.Tensor:
    if not hasattr(model, "forward_intermediates"):
        raise SettingsError(f"{type(model).__name__} gives no features of its stages.", "Choose another --backbone.")
    last, stages = model.forward_intermediates(x, indices=STAGES, output_fmt="NCHW")
    return torch.cat([*(stage.mean((2, 3)) for stage in stages), model.forward_head(last, pre_logits=True)], dim=1)


LabelledFeatures = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Features [N, V, D] of V views of every image, and labels [N]."""


class LinearHead:
    """A multinomial logistic regression on features [N, V, D] of V views, fitted with every penalty of the grid.

    Features are compressed by a signed square root (the power normalisation of Perronnin, Sanchez and Mensink 2010:
    pooled activations have long tails), then standardised with the training images' mean and standard deviation.
    Every view of an image (as it is, mirrored) is an example of its own; probabilities are the mean over views.
    Every class, numbered from 0, must occur in the labels [N].

    `total_weight` is the weight of all images in the loss, each with an equal share of it (default: every image weighs
    1). Against a fixed penalty, more images are also more training; with equal totals they are not.
    """

    def __init__(
        self,
        features: NDArray[np.float32],
        labels: NDArray[np.int64],
        class_weights: str,
        total_weight: float | None = None,
    ) -> None:
        rows = _compressed(features)
        self._scaler = StandardScaler().fit(rows)
        self._coefficients: dict[float, tuple[Floats, Floats]] = {}
        # Solutions for neighbouring penalties are close, so each fit starts from the one before.
        model = LogisticRegression(
            solver="lbfgs",
            tol=TOLERANCE,
            max_iter=MAX_ITERATIONS,
            warm_start=True,
            class_weight="balanced" if class_weights == "balanced" else None,
        )
        x, y = self._scaler.transform(rows), np.repeat(labels, features.shape[1])
        weight = np.full(len(y), 1.0 if total_weight is None else total_weight / len(labels))
        # The matrices are small: several BLAS threads would wait for each other (30 times slower on a busy machine).
        with threadpool_limits(limits=1, user_api="blas"):
            for c in C_GRID:
                model.set_params(C=c).fit(x, y, weight)
                self._coefficients[c] = model.coef_.copy(), model.intercept_.copy()
        self._binary = len(np.unique(labels)) == 2

    def probability(self, features: NDArray[np.float32], c: float) -> Floats:
        """Return class probabilities [N, K] of features [N, V, D] with the inverse penalty `c`, one of C_GRID."""
        weight, bias = self._coefficients[c]
        with threadpool_limits(limits=1, user_api="blas"):
            logits: Floats = self._scaler.transform(_compressed(features)) @ weight.T + bias
        # With two classes the library keeps the second one's logit alone.
        by_view = softmax(np.hstack([np.zeros_like(logits), logits]) if self._binary else logits, axis=1)
        mean: Floats = by_view.reshape(*features.shape[:2], -1).mean(1)
        return mean


def _compressed(features: NDArray[np.float32]) -> Floats:
    """Return the compressed features [N * V, D] of all views, an image's together."""
    x = features.reshape(-1, features.shape[-1]).astype(np.float64)
    compressed: Floats = np.sign(x) * np.sqrt(np.abs(x))
    return compressed


def fit_heads(
    train: Sequence[LabelledFeatures],
    val: Sequence[LabelledFeatures],
    class_weights: str,
    total_weights: Sequence[float],
) -> tuple[list[LinearHead], float]:
    """Fit one linear head a fold; return them with the penalty that is best on all folds' validation images together.

    `total_weights` holds the weight of all training images of each fold (see `LinearHead`).

    A single fold's 10 or 20 validation images choose badly: one penalty for all folds, chosen on every image of the
    subset, was better on other images by half a point of F1. The best micro-F1 (here the accuracy) wins; among
    equals the smallest log loss.
    """
    heads = [LinearHead(*fold, class_weights, total) for fold, total in zip(train, total_weights, strict=True)]
    truth = np.concatenate([labels for _, labels in val])

    def rank(c: float) -> tuple[float, float]:
        p = np.concatenate([head.probability(features, c) for head, (features, _) in zip(heads, val, strict=True)])
        return float((p.argmax(1) == truth).mean()), -log_loss(truth, p)

    return heads, max(C_GRID, key=rank)
