"""What each GAN of a study is: how its discriminator judges, and through which augmentation it sees images.

The GANs of the paper are StyleGAN2 with nothing, ADA or DiffAug in between. `best` is what made the nearest images in
short trainings: the same generator against a projected discriminator. A preset says how large the networks are and
how long they train; what stands here applies with every preset, and an option that the user gives stands above both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.store.workspace import AugName, DiscriminatorName, GanName

DISCRIMINATORS: tuple[DiscriminatorName, ...] = get_args(DiscriminatorName)
LEAST_FEATURE_SIZE = 64
"""Pixels to which smaller images are enlarged for a feature network, which reduces its last maps 32 times."""
ENLARGED_UP_TO, ENLARGED_LAST = 64, 0.2
"""Images of at most so many pixels are enlarged further in the last part of a training: this share of it."""


TIMM = "timm:"
LITES = ("efficientnet-lite0", "efficientnet-lite2")
"""Feature networks with a short name: their weights come from the package index."""


@dataclass(frozen=True)
class Method:
    """One GAN: settings are fields of `GanConfig`."""

    augment: AugName
    settings: Mapping[str, Any] = field(default_factory=dict)


BEST = Method(
    "diffaug",
    {
        "discriminator": "projected",
        "mirror": True,
        "match_grays": True,
        "spread": 1.2,
        "diffaug_fill": -1.0,
        "diffaug_cutout": 0.375,
        "diffaug_p": "adaptive",
        "ada_target": 0.8,
        "ada_kimg": 50.0,
    },
)
"""What was tried, how it was judged, and what each part is worth: docs/diary.md."""

METHODS: dict[GanName, Method] = {name: Method(name) for name in get_args(AugName)} | {"best": BEST}


def discriminator_of(aug: GanName, chosen: DiscriminatorName | None = None) -> DiscriminatorName:
    """Return the discriminator of a GAN: the one that the user chose, or else the GAN's own."""
    own: DiscriminatorName = METHODS[aug].settings.get("discriminator", "stylegan2")
    return chosen or own


def settings_of_discriminator(name: DiscriminatorName, resolution: int, *, pixels: bool = False) -> dict[str, Any]:
    """Return what a discriminator's networks and losses are trained with, unless the user says otherwise.

    A projected discriminator needs no R1 (Sauer et al. 2021, section 4), and without path length and style mixing the
    generator learns as well in less time. Shown at twice their size from the beginning, images train it no further in
    the same time on a processor; shown so in the last part alone they do. Larger images were not tried (docs/diary.md).
    With `pixels`, StyleGAN2's own discriminator beside it keeps the R1 and minibatch statistics of the preset.
    """
    if name == "stylegan2":
        return {}
    return {
        **({} if pixels else {"r1_gamma": 0.0, "mbstd_group_size": 1}),
        "lr": 0.002,
        "pl_weight": 0.0,
        "style_mixing_prob": 0.0,
        "ema_rampup": 0.05,
        "feature_size": max(resolution, LEAST_FEATURE_SIZE),
        "enlarge_last": ENLARGED_LAST if resolution <= ENLARGED_UP_TO else 0.0,
    }


def timm_name(name: str) -> str:
    """Return what timm calls a network of features: one of `LITES`, or "timm:" and timm's own name."""
    if name in LITES:
        return f"tf_{name.replace('-', '_')}"
    if name.startswith(TIMM):
        return name.removeprefix(TIMM)
    raise SettingsError(f"There is no network {name!r}.", f"Choose {', '.join(LITES)} or {TIMM}NAME of timm's models.")
