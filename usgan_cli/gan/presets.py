"""How large the networks of each preset are, how they are trained, and which augmentations a name stands for.

The study (Maack et al. 2022) says that it took StyleGAN2's settings for LSUN, which can mean two: `paper256`, the
published setting of StyleGAN2-ADA (Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data")
for LSUN cat at 256 x 256, and `lsun256`, StyleGAN2's own (Karras et al. 2020, "Analyzing and Improving the Image
Quality of StyleGAN"): config F at full width, R1 weight 10 for cat (100 for church and horse). `auto` is
StyleGAN2-ADA's rule of thumb for other sizes; `small` and `tiny` are narrow networks chosen by measurement for
processors without a GPU (see scripts/bench/train_step.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.generator import ADA_KIMG

OPERATION_GROUPS: dict[str, tuple[str, ...]] = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
"""ADA's operations (Karras et al. 2020, appendix B)."""
# The paper's cumulative names: each letter adds a group.
PIPES: dict[str, tuple[str, ...]] = {
    name: tuple(OPERATION_GROUPS)[: len(name)] for name in ("b", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc")
}
# What a B-mode image bears, with its own strengths; see `AdaOperations.named`.
ULTRASOUND = ("xflip", "xint", "scale", "rotate", "aniso", "xfrac", "brightness", "contrast")
POLICIES = ("color", "translation", "cutout")
"""What DiffAug can do (Zhao et al. 2020)."""


def _auto(resolution: int) -> dict[str, Any]:
    batch = max(min(4096 // resolution, 32), 1)
    return {
        "z_dim": 512,
        "w_dim": 512,
        "mapping_layers": 2,
        "channel_base": 16384 if resolution < 512 else 32768,
        "channel_max": 512,
        "batch": batch,
        "mbstd_group_size": min(batch, 4),
        "lr": 0.0025,
        "r1_gamma": 0.0002 * resolution**2 / batch,
        "ema_kimg": batch * 10 / 32,
        "ema_rampup": 0.05,
        "kimg": 1000.0,
        "ada_kimg": ADA_KIMG,
        "tick_kimg": 4.0,
        "save_kimg": 40.0,
    }


def _check_256(preset: str, resolution: int) -> None:
    if resolution != 256:
        raise SettingsError(
            f"The preset {preset} is for images of 256 pixels; these have {resolution}.",
            "Use --preset auto or small, or prepare the images with --size 256.",
        )


def _lsun256(resolution: int) -> dict[str, Any]:
    _check_256("lsun256", resolution)
    return _auto(resolution) | {
        "mapping_layers": 8,
        "channel_base": 32768,
        "batch": 32,
        "mbstd_group_size": 4,
        "lr": 0.002,
        "r1_gamma": 10.0,
        "ema_kimg": 10.0,
        "ema_rampup": None,
        "kimg": 88_000.0,
    }


def _paper256(resolution: int) -> dict[str, Any]:
    _check_256("paper256", resolution)
    return _auto(resolution) | {
        "mapping_layers": 8,
        "channel_base": 16384,
        "batch": 64,
        "mbstd_group_size": 8,
        "r1_gamma": 1.0,
        "ema_kimg": 20.0,
        "ema_rampup": None,
    }


def _small(resolution: int) -> dict[str, Any]:
    return _auto(resolution) | {
        "z_dim": 128,
        "w_dim": 128,
        "channel_base": 2048,
        "channel_max": 64,
        "batch": 16,
        "mbstd_group_size": 4,
        "r1_gamma": 0.1,
        "ema_kimg": 5.0,
        "kimg": 80.0,
        "ada_kimg": None,
        "tick_kimg": 1.0,
        "save_kimg": 5.0,
    }


def _tiny(resolution: int) -> dict[str, Any]:
    return _small(resolution) | {
        "z_dim": 32,
        "w_dim": 32,
        "channel_base": 512,
        "channel_max": 32,
        "kimg": 2.0,
        "ema_kimg": 1.0,
        "tick_kimg": 0.25,
        "save_kimg": 0.5,
    }


_PRESETS = {"paper256": _paper256, "lsun256": _lsun256, "auto": _auto, "small": _small, "tiny": _tiny}


def settings_of_preset(preset: str, resolution: int) -> dict[str, Any]:
    """Return a preset's settings, fields of `GanConfig`, for images of so many pixels, a power of two from 8.

    Raises
    ------
    SettingsError
        There is no such preset, or it is not for images of this size.
    """
    if preset not in _PRESETS:
        raise SettingsError(f"{preset!r} is not a preset.", f"Use one of {', '.join(_PRESETS)}.")
    if resolution < 8 or resolution & (resolution - 1):
        raise SettingsError(
            f"Images must have a power of two of pixels on a side, 8 or more; these have {resolution}.",
            "Prepare them with --size 64 (or 32, 128, 256).",
        )
    return _PRESETS[preset](resolution)


def split_names(names: str | Iterable[str]) -> list[str]:
    """Return the names that one or several texts join ("blit+color", "xflip,xint")."""
    texts = [names] if isinstance(names, str) else names
    return [part.strip() for text in texts for part in text.replace("+", ",").split(",")]


def operations_of(names: str | Iterable[str]) -> set[str]:
    """Return ADA's operations by their names, or by those of pipes and groups; see `AdaOperations.named`.

    Raises
    ------
    SettingsError
        If a name is unknown.
    """
    operations: set[str] = set()
    for part in split_names(names):
        for group in ULTRASOUND if part == "ultrasound" else PIPES.get(part, (part,)):
            operations.update(OPERATION_GROUPS.get(group, (group,)))
    known = {name for group in OPERATION_GROUPS.values() for name in group}
    if unknown := sorted(operations - known):
        choices = ", ".join([*PIPES, "ultrasound", *OPERATION_GROUPS, *sorted(known - set(OPERATION_GROUPS))])
        raise SettingsError(
            f"unknown ADA operations: {', '.join(map(repr, unknown))}", f"Choose from: {choices}; join several with +."
        )
    return operations


def check_policies(policies: Sequence[str]) -> None:
    """Raise a `SettingsError` if one of DiffAug's policies is unknown, or named twice."""
    if unknown := [name for name in policies if name not in POLICIES]:
        raise SettingsError(f"unknown DiffAug policies: {', '.join(unknown)}", f"Choose from: {', '.join(POLICIES)}.")
    if len(set(policies)) < len(policies):
        raise SettingsError(f"DiffAug's policies repeat: {', '.join(policies)}", "Name each of them once.")
