"""A linear head on a frozen backbone: pooled features computed once, then a multinomial logistic regression.

The cheap classifier for machines without a GPU (a "linear probe"): the same folds and records as fine-tuning,
with the strength of the penalty chosen on the validation images where fine-tuning chooses an epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from usgan_cli.classify.config import C_GRID
from usgan_cli.classify.models import Backbone
from usgan_cli.classify.scores import log_loss
from usgan_cli.core import files
from usgan_cli.core.images import to_float
from usgan_cli.core.progress import Progress

Floats = NDArray[np.float64]
FEATURE_BATCH = 16
MAX_ITERATIONS = 5000
TOLERANCE = 1e-6


@dataclass(frozen=True)
class FrozenOutput:
    """One fold's linear head.

    Attributes
    ----------
    c : float
        Inverse strength of its penalty.
    val, test : float64 arrays [N, K]
        Class probabilities.
    """

    c: float
    val: Floats
    test: Floats


class FeatureCache:
    """Features of single images on disk, found by the images' content and the network's.

    Each call of `add` writes one safetensors file of its own, so processes may share the folder; a file that
    cannot be read is as good as absent.

    Parameters
    ----------
    folder : Path
    fingerprint : str
        Digest of the network (see `Backbone.fingerprint`).
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder / "features" / fingerprint[:32]
        self._known: dict[str, NDArray[np.float32]] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                stored = load_file(path)
                digests = [row.tobytes().hex() for row in stored["digests"]]
                self._known.update(zip(digests, stored["features"], strict=True))
            except (OSError, SafetensorError, KeyError, ValueError):
                continue

    def missing(self, digests: Sequence[str]) -> list[int]:
        """Return the positions of the images whose features are not known, each content once."""
        first = {digest: i for i, digest in reversed(list(enumerate(digests)))}
        return sorted(i for digest, i in first.items() if digest not in self._known)

    def add(self, digests: Sequence[str], features: NDArray[np.float32]) -> None:
        """Keep the features [N, D] of N images, in memory and on disk."""
        self._known.update(zip(digests, features, strict=True))
        name = files.digest_json(list(digests))[:32]
        rows = np.frombuffer(bytes.fromhex("".join(digests)), dtype=np.uint8).reshape(len(digests), -1)
        with files.atomic_path(self.folder / f"{name}.safetensors") as path:
            save_file({"digests": rows.copy(), "features": np.ascontiguousarray(features)}, path)

    def get(self, digests: Sequence[str]) -> NDArray[np.float32]:
        """Return features [N, D]; every image must be known."""
        return np.stack([self._known[digest] for digest in digests])


def pooled_features(
    backbone: Backbone, images: torch.Tensor, cache_dir: Path, device: torch.device, progress: Progress
) -> NDArray[np.float32]:
    """Return the network's pooled features of images, from the cache where they are known.

    Parameters
    ----------
    backbone : Backbone
        A network that returns features.
    images : uint8 tensor [N, C, size, size]
    cache_dir : Path
    device : torch.device
    progress : Progress

    Returns
    -------
    float32 array [N, D]
        Computed in float32; an image's features do not depend on the images beside it.
    """
    cache = FeatureCache(cache_dir, backbone.fingerprint())
    shape = f"{tuple(images.shape[1:])}".encode()
    digests = [hashlib.sha256(shape + image.numpy().tobytes()).hexdigest() for image in images]
    missing = cache.missing(digests)
    if missing:
        computed = _compute(backbone, images[missing], device, progress)
        cache.add([digests[i] for i in missing], computed)
    return cache.get(digests)


def _compute(backbone: Backbone, images: torch.Tensor, device: torch.device, progress: Progress) -> NDArray[np.float32]:
    model = backbone.model.eval().to(device)
    found: list[torch.Tensor] = []
    with torch.inference_mode(), progress.task("Features of images", len(images), "images") as task:
        for batch in torch.split(images, FEATURE_BATCH):
            # Always one shape, so that the library always takes the same way through its kernels.
            full = torch.cat([batch, batch[:1].expand(FEATURE_BATCH - len(batch), -1, -1, -1)])
            features = model(backbone.to_input(to_float(full.to(device))))
            found.append(features[: len(batch)].float().cpu())
            task.advance(len(batch))
    return torch.cat(found).numpy()


def fit_head(
    train: tuple[NDArray[np.float32], NDArray[np.int64]],
    val: tuple[NDArray[np.float32], NDArray[np.int64]],
    test: NDArray[np.float32],
) -> FrozenOutput:
    """Fit the logistic regression with the penalty that the validation images like best.

    Features are standardised with the training images' mean and standard deviation. The best micro-F1 (here
    the accuracy) wins; among equals the smallest log loss.

    Parameters
    ----------
    train, val : pairs of features [N, D] and labels [N]
        Every class must be among the training labels, and classes are numbered from 0.
    test : features [M, D]
    """
    scaler = StandardScaler().fit(train[0].astype(np.float64))
    x, x_val, x_test = (scaler.transform(part.astype(np.float64)) for part in (train[0], val[0], test))
    # Solutions for neighbouring penalties are close, so each fit starts from the one before.
    model = LogisticRegression(solver="lbfgs", tol=TOLERANCE, max_iter=MAX_ITERATIONS, warm_start=True)
    best: tuple[tuple[float, float], FrozenOutput] | None = None
    # The matrices are small: more BLAS threads wait for one another (30 times slower on a busy machine).
    with threadpool_limits(limits=1, user_api="blas"):
        for c in C_GRID:
            model.set_params(C=c).fit(x, train[1])
            probability = model.predict_proba(x_val)
            rank = (float((probability.argmax(1) == val[1]).mean()), -log_loss(val[1], probability))
            if best is None or rank > best[0]:
                best = rank, FrozenOutput(c, probability, model.predict_proba(x_test))
    assert best is not None
    return best[1]
