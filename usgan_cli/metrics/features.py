"""Feature extractors behind the Fréchet distance, and a cache of their features keyed by content.

`inception`: the 2048 pooled features of the Inception network of 2015-12-05 with its own bilinear resize to 299,
as in Heusel et al., "GANs trained by a two time-scale update rule" (2017); only distances in these features are
called FID. `efficientnet-lite0`, `efficientnet-lite2`: pooled features of the ImageNet classifiers of that name.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from usgan_cli.core import files
from usgan_cli.core.backbones import load_backbone
from usgan_cli.core.errors import DataError, SettingsError, WeightsError
from usgan_cli.core.images import Pixels, to_float
from usgan_cli.core.progress import Progress, Silent
from usgan_cli.core.weights import find_weights, read_state

Features = NDArray[np.float32]

EXTRACTORS = ("inception", "efficientnet-lite0", "efficientnet-lite2")
LITE_SIZES = {"efficientnet-lite0": 224, "efficientnet-lite2": 260}
BATCH_SIZE = 16


class Extractor(Protocol):
    """A fixed map from images to vectors of features.

    Attributes
    ----------
    name : str
        Kind and the first 12 digits of the weights' digest: features of one name can be compared.
    dim : int
        Number of features D.
    is_fid : bool
        Whether Fréchet distances in these features may be called FID.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def dim(self) -> int: ...  # noqa: D102

    @property
    def is_fid(self) -> bool: ...  # noqa: D102

    def __call__(self, pixels: Pixels, *, batch_size: int = BATCH_SIZE, progress: Progress | None = None) -> Features:
        """Return the features, float32 [N, D], of uint8 pixels [N, C, H, W] with C of 1 or 3."""
        ...


class NetworkExtractor:
    """Features from a torch module that maps uint8 pixels [N, 3, H, W] to float32 [N, D]."""

    def __init__(self, name: str, network: nn.Module, dim: int, *, is_fid: bool, device: torch.device) -> None:
        self.name = name
        self.dim = dim
        self.is_fid = is_fid
        self._device = device
        self._network = network.to(device=device, memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]

    def __call__(self, pixels: Pixels, *, batch_size: int = BATCH_SIZE, progress: Progress | None = None) -> Features:
        """Return the features, float32 [N, D], of uint8 pixels [N, C, H, W] with C of 1 or 3.

        Raises
        ------
        DataError
            The pixels are not of that shape and type.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1] not in {1, 3}:
            raise DataError(
                f"Features need uint8 pixels [N, 1 or 3, H, W]; these are {pixels.dtype} {list(pixels.shape)}."
            )
        features = np.empty((len(pixels), self.dim), dtype=np.float32)
        with (
            (progress or Silent()).task(f"Features ({self.name})", len(pixels), "image") as task,
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


class _Enlarged(nn.Module):
    """A timm classifier without its last layer, shown images enlarged to one size and scaled to [-1, 1]."""

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.network = network
        self.size = (size, size)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        images = to_float(pixels)
        if images.shape[2:] != self.size:
            # Cubic interpolation overshoots at edges.
            images = F.interpolate(images, self.size, mode="bicubic", antialias=True).clamp(-1, 1)
        features: torch.Tensor = self.network(images)
        return features


class _Inception(nn.Module):
    """The FID network, which resizes and scales by itself."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        # The library unpickles whatever file it is given, so it gets tensors that were read without running code.
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
    """Build a feature extractor with its pretrained weights.

    Parameters
    ----------
    name : str
        One of `EXTRACTORS`.
    weights : str or Path, optional
        File or folder of the weights; None or "auto" looks for them (see `usgan_cli.core.weights`).
    device : str or torch.device
    offline : bool, optional
        Fetch nothing.
    progress : Progress, optional

    Raises
    ------
    WeightsError
        The weights are absent or not the expected ones.
    SettingsError
        There is no such extractor, or it was asked for without weights ("none").
    """
    device = torch.device(device)
    if str(weights) == "none":
        raise SettingsError(f"The feature extractor {name} means nothing without its pretrained weights.")
    given = None if weights is None or str(weights) == "auto" else Path(weights)
    if name == "inception":
        found = find_weights("inception", given, offline=offline, progress=progress)
        return NetworkExtractor(f"{name}@{found.sha256[:12]}", _Inception(found.path), 2048, is_fid=True, device=device)
    if name not in LITE_SIZES:
        raise SettingsError(f"There is no feature extractor {name!r}.", f"Choose one of {', '.join(EXTRACTORS)}.")
    model, loaded = load_backbone(
        f"tf_{name.replace('-', '_')}", given or "auto", num_classes=0, offline=offline, progress=progress
    )
    assert loaded is not None  # only "none" gives none
    network = _Enlarged(model, LITE_SIZES[name])
    return NetworkExtractor(f"{name}@{loaded.sha256[:12]}", network, 1280, is_fid=False, device=device)


def cached_features(
    extractor: Extractor,
    pixels: Pixels,
    cache_dir: Path | None,
    *,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> Features:
    """Return the features of `pixels` from the cache, or compute and keep them.

    A file's name is the digest of the pixels and of the extractor's name, so that moved or renamed images are
    found again and changed ones are not. Several processes may share the folder: files appear whole.

    Parameters
    ----------
    extractor : Extractor
    pixels : uint8 array [N, C, H, W]
    cache_dir : Path or None
        None keeps nothing.
    batch_size : int
    progress : Progress, optional

    Returns
    -------
    float32 array [N, D]
    """
    if cache_dir is None:
        return extractor(pixels, batch_size=batch_size, progress=progress)
    path = cache_dir / f"{_content_key(extractor, pixels)}.safetensors"
    kept = _read_features(path, (len(pixels), extractor.dim))
    if kept is not None:
        return kept
    features = extractor(pixels, batch_size=batch_size, progress=progress)
    with files.atomic_path(path) as temporary:
        save_file({"features": np.ascontiguousarray(features)}, temporary)
    return features


def _content_key(extractor: Extractor, pixels: Pixels) -> str:
    digest = hashlib.sha256(f"{extractor.name}|{pixels.dtype}|{pixels.shape}|".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _read_features(path: Path, shape: tuple[int, int]) -> Features | None:
    """Return what a cache file holds, or None where there is none or it is damaged (it is then made again)."""
    try:
        features = load_file(path)["features"]
    except (FileNotFoundError, SafetensorError, KeyError):
        return None
    return features if features.shape == shape and features.dtype == np.float32 else None


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
