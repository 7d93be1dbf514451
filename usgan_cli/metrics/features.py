"""Feature extractors behind the Fréchet distance, and a cache of their features keyed by content.

`inception`: the 2048 pooled features of the Inception network of 2015-12-05 with its own bilinear resize to 299,
as in Heusel et al., "GANs trained by a two time-scale update rule" (2017); only distances in these features are
called FID. `efficientnet-lite0`, `efficientnet-lite2`: pooled features of the ImageNet classifiers of that name.
`timm:NAME`: pooled features of any model of timm, such as `timm:vit_small_patch14_dinov2.lvd142m`, shown images as its
own configuration says.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import timm.data
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from usgan_cli.core.errors import DataError, FormatError, SettingsError, WeightsError
from usgan_cli.core.formats.score import network_name
from usgan_cli.core.formats.tensors import read_arrays, write_arrays
from usgan_cli.core.images.codec import Pixels, to_float
from usgan_cli.core.images.sets import ImageSet
from usgan_cli.core.machine.backbones import load_backbone
from usgan_cli.core.machine.weights import find_weights, read_state
from usgan_cli.core.methods import timm_name
from usgan_cli.core.progress import Progress, Silent
from usgan_cli.metrics.config import check_extractor

Features = NDArray[np.float32]

LITE_SIZES = {"efficientnet-lite0": 224, "efficientnet-lite2": 260}
BATCH_SIZE = 16


class Extractor(Protocol):
    """A fixed map from images to vectors of `dim` features."""

    name: str
    """Kind and the first 12 digits of the weights' digest: features of one name can be compared."""
    dim: int

    def __call__(self, pixels: Pixels, *, batch_size: int = BATCH_SIZE, progress: Progress | None = None) -> Features:
        """Return the features, float32 [N, dim], of uint8 pixels [N, C, H, W] with C of 1 or 3."""


class NetworkExtractor:
    """Features from a torch module that maps uint8 pixels [N, 3, H, W] to float32 [N, D]."""

    def __init__(self, name: str, network: nn.Module, dim: int, device: torch.device) -> None:
        self.name, self.dim = name, dim
        self._device = device
        self._network = network.to(device=device, memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]

    def __call__(self, pixels: Pixels, *, batch_size: int = BATCH_SIZE, progress: Progress | None = None) -> Features:
        """Return the features (see `Extractor`)."""
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1] not in {1, 3}:
            raise DataError(
                f"Features need uint8 pixels [N, 1 or 3, H, W]; these are {pixels.dtype} {list(pixels.shape)}."
            )
        features = np.empty((len(pixels), self.dim), dtype=np.float32)
        with (
            (progress or Silent()).task(f"Features ({network_name(self.name)})", len(pixels), "images") as task,
            torch.inference_mode(),
            _full_float32(self._device),
        ):
            for start in range(0, len(pixels), batch_size):
                batch = torch.from_numpy(np.ascontiguousarray(pixels[start : start + batch_size]))
                # Gray becomes three equal channels here and nowhere else.
                colour = batch.to(self._device).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
                features[start : start + len(batch)] = self._network(colour).float().cpu().numpy()
                task.advance(len(batch))
        if not np.isfinite(features).all():
            raise DataError(f"The extractor {self.name} gave features that are not finite.")
        return features


class _Resized(nn.Module):
    """A timm model without its classifier, applied to images stretched to its size (height, width).

    `mean` and `std` are what a channel in [0, 1] was shifted and divided by in its training.
    """

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self,
        network: nn.Module,
        size: tuple[int, int],
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
    ) -> None:
        super().__init__()
        self.network = network
        self.size = size
        # Of pixels in [-1, 1]: (x / 2 + 1 / 2 - mean) / std.
        self.register_buffer("shift", 2 * torch.tensor(mean).view(1, 3, 1, 1) - 1)
        self.register_buffer("scale", 0.5 / torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        images = to_float(pixels)
        if images.shape[2:] != self.size:
            # Cubic interpolation overshoots at edges.
            images = F.interpolate(images, self.size, mode="bicubic", antialias=True).clamp(-1, 1)
        features: torch.Tensor = self.network((images - self.shift) * self.scale)
        return features


class _Inception(nn.Module):
    """The FID network, which contains its own resizing and scaling."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        # The library unpickles its file, so it gets one of tensors that were read without running code.
        checked = io.BytesIO()
        torch.save(read_state(path), checked)
        checked.seek(0)
        try:
            self.network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], checked)
        except RuntimeError as error:
            raise WeightsError(f"{path} does not fit the FID Inception network: {error}") from None

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.network(pixels)[0]
        return features


def make_extractor(
    name: str,
    weights: str | Path | None = None,
    device: str | torch.device = "cpu",
    *,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> Extractor:
    """Build a feature extractor with its pretrained weights: one of `EXTRACTORS`, or `timm:` and a timm model's name.

    `weights` are a file or folder; None or "auto" looks for them (see `usgan_cli.core.machine.weights`), and `offline`
    fetches nothing.
    """
    device = torch.device(device)
    check_extractor(name, weights)
    path = None if weights is None or str(weights) == "auto" else Path(weights)
    if name == "inception":
        located = find_weights("inception", path, offline=offline, progress=progress)
        return NetworkExtractor(f"{name}@{located.sha256[:12]}", _Inception(located.path), 2048, device)
    model, loaded = load_backbone(timm_name(name), path or "auto", num_classes=0, offline=offline, progress=progress)
    assert loaded is not None  # only "none" gives none
    if name in LITE_SIZES:
        network = _Resized(model, (LITE_SIZES[name], LITE_SIZES[name]))
    else:
        trained_on = timm.data.resolve_model_data_config(model)
        network = _Resized(model, trained_on["input_size"][1:], trained_on["mean"], trained_on["std"])
    return NetworkExtractor(f"{name}@{loaded.sha256[:12]}", network, _dim(network), device)


def _dim(network: nn.Module) -> int:
    """Return the number of features; what a timm model declares is not always what it returns."""
    with torch.inference_mode():
        shape = network.eval()(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)).shape
    if len(shape) != 2:
        raise SettingsError(f"The network returns {list(shape)} numbers for an image, not a vector of features.")
    return int(shape[1])


@dataclass(frozen=True)
class Embedded:
    """Images with their features [N, D]."""

    images: ImageSet
    features: Features

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.int64]) -> Embedded:
        """Return the images at `rows`, in that order."""
        return Embedded(self.images.take(rows), self.features[rows])


def embed(
    extractor: Extractor, images: ImageSet, cache_dir: Path | None, *, progress: Progress | None = None
) -> Embedded:
    """Return images with their features, from the cache where they are in it (see `cached_features`)."""
    return Embedded(images, cached_features(extractor, images.pixels, cache_dir, progress=progress))


def cached_features(
    extractor: Extractor, pixels: Pixels, cache_dir: Path | None, *, progress: Progress | None = None
) -> Features:
    """Return the features [N, D] of `pixels` from the cache, or compute and keep them; without a folder, keep nothing.

    A file's name is the digest of the pixels and of the extractor's name, so that moved or renamed images are
    found again and changed ones are not. Several processes may share the folder: files appear whole.
    """
    if cache_dir is None:
        return extractor(pixels, progress=progress)
    path = cache_dir / f"{_content_key(extractor, pixels)}.safetensors"
    kept = _read_features(path, (len(pixels), extractor.dim), progress or Silent())
    if kept is not None:
        return kept
    features = np.ascontiguousarray(extractor(pixels, progress=progress))
    write_arrays(path, {"features": features, "key": _key_array(path)})
    return features


def _content_key(extractor: Extractor, pixels: Pixels) -> str:
    digest = hashlib.sha256(f"{extractor.name}|{pixels.dtype}|{pixels.shape}|".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _read_features(path: Path, shape: tuple[int, int], progress: Progress) -> Features | None:
    """Return what a cache file holds, or None if it is absent or (which is reported) damaged."""
    if not path.is_file():
        return None
    try:
        stored = read_arrays(path)
        features: Features = stored["features"]
        if features.shape == shape and np.array_equal(stored["key"], _key_array(path)):
            return features
    except (OSError, FormatError, KeyError):
        pass
    progress.warn(f"The cached features in {path} are damaged; they are computed again.")
    return None


def _key_array(path: Path) -> NDArray[np.uint8]:
    """Return what a cache file is for, from its name: a file under the name of another is not taken for it."""
    return np.frombuffer(bytes.fromhex(path.stem), dtype=np.uint8)


@contextmanager
def _full_float32(device: torch.device) -> Iterator[None]:
    """Keep a GPU from rounding convolutions to TF32, so that features do not depend on the device."""
    if device.type != "cuda":
        yield
        return
    matmul = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)
