"""The frozen network whose features a projected discriminator judges (Sauer et al. 2021, "Projected GANs Converge
Faster", section 3.2: multi-scale features of a pretrained representation).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from usgan_cli.core.errors import SettingsError, WeightsError
from usgan_cli.core.machine.backbones import load_backbone
from usgan_cli.core.machine.seeds import derive_seed
from usgan_cli.core.methods import timm_name
from usgan_cli.gan.projected.faster import faster

SCALES = 4
LEAST_REDUCTION = 4
"""Feature maps larger than a quarter of the image's side hold edges alone, and cost the most."""


class FeatureNetwork(nn.Module):
    """Feature maps of images at up to four scales, from a network that is never trained and never saved.

    Parameters
    ----------
    name : str
        "efficientnet-lite0", "efficientnet-lite2" or "timm:NAME", a network of timm that has several scales.
    size : int
        Pixels to which images are enlarged.
    weights : str or Path
        "auto" to look for the pretrained weights, a file or a folder; "none" for random ones, as in comparisons and
        for timing.
    digest : str or None
        What the label of the weights must be, so that a training goes on with its own; None for any.

    Raises
    ------
    SettingsError
        The network is unknown, or its features have one scale alone.
    WeightsError
        The weights are absent, or not those of the digest.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self, name: str, size: int, weights: str | Path, digest: str | None, device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.size = size
        self.dtype = _feature_dtype(dtype, device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(name, "random features"))
            network, loaded = load_backbone(timm_name(name), weights, num_classes=0)
        if digest is not None and (loaded is None or loaded.label != digest):
            raise WeightsError(
                f"This training needs the weights {digest}; those found are {loaded.label if loaded else 'random'}.",
                "Name the right file with --feature-weights, or train again with --force.",
            )
        self.indices = _scales(name, network)
        network.prune_intermediate_layers(self.indices, prune_norm=False, prune_head=True)  # type: ignore[operator]
        shown = timm.data.resolve_model_data_config(network)
        # Of images in [-1, 1]: (x / 2 + 1 / 2 - mean) / std.
        self.register_buffer("shift", 2 * torch.tensor(shown["mean"]).view(1, 3, 1, 1) - 1)
        self.register_buffer("scale", 0.5 / torch.tensor(shown["std"]).view(1, 3, 1, 1))
        self.network: Any = faster(network.eval(), size)
        self.eval()
        self.requires_grad_(False)
        self.to(device=device, dtype=self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.no_grad():
            maps = self(torch.zeros(1, 1, size, size, device=device))
        self.shapes = [(int(one.shape[1]), int(one.shape[2])) for one in maps]
        """Channels and pixels a side of each scale, the largest first."""

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps of images [N, 1 or 3, H, W] in [-1, 1], the largest first, in `dtype`."""
        if images.shape[2] != self.size:
            images = F.interpolate(images, (self.size, self.size), mode="bicubic", align_corners=False)
        shown = images.to(self.dtype).expand(-1, 3, -1, -1)
        shown = ((shown - self.shift) * self.scale).contiguous(memory_format=torch.channels_last)
        maps: list[Tensor] = self.network.forward_intermediates(
            shown, indices=self.indices, stop_early=True, intermediates_only=True
        )
        return maps


def _feature_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """Return the type that features are computed in, from that of the trained networks.

    Small gradients vanish in float16. On a processor the backward pass of a depthwise convolution takes three times as
    long in bf16 as in float32, and it is most of the work.
    """
    if dtype == torch.float16 or (dtype == torch.bfloat16 and device.type == "cpu"):
        return torch.float32
    return dtype


def _scales(name: str, network: Any) -> list[int]:
    """Return which of a network's feature maps are used: the last of each of the four smallest sizes."""
    if not hasattr(network, "forward_intermediates") or not hasattr(network, "prune_intermediate_layers"):
        raise SettingsError(f"timm gives no feature maps of {name}.", "Use --feature-network efficientnet-lite0.")
    last = {info["reduction"]: index for index, info in enumerate(network.feature_info)}
    indices = [index for reduction, index in sorted(last.items()) if reduction >= LEAST_REDUCTION][-SCALES:]
    if len(indices) < 2:
        raise SettingsError(
            f"The features of {name} have one scale; a projected discriminator mixes several.",
            "Use a convolutional network, such as --feature-network efficientnet-lite0.",
        )
    return indices
