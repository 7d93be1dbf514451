"""Settings of a GAN's training: a preset's, the GAN's own, and the user's changes above both."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from usgan_cli.core.errors import SettingsError
from usgan_cli.core.formats.generator import ADA_KIMG, ADA_TARGET, Architecture
from usgan_cli.core.methods import DISCRIMINATORS, METHODS, settings_of_discriminator
from usgan_cli.core.store.workspace import AugName, DiffAugP, DiscriminatorName, GanName, StopName
from usgan_cli.gan.presets import check_policies, operations_of, settings_of_preset

if TYPE_CHECKING:  # loads torch, without which a study is planned
    from usgan_cli.gan.augment import Augment

PUBLISHED_CUTOUT = 0.5
"""Side of DiffAug's cutout, as a part of the image's, in Zhao et al. 2020."""
PUBLISHED_FILL = 0.0
"""What DiffAug puts in place of what it removes in Zhao et al. 2020: mid-gray in [-1, 1]."""
ADA_KIMG_FROM_OTHERS = 100.0
"""Speed of ADA in a training that starts from other networks, as in the published code, which then has no EMA ramp."""
AUTO_ADA_SHARE = 0.25
"""Where a preset has no speed of ADA: the share of the training in which p can go from 0 to 1, at most `ADA_KIMG`."""

ADDED_LATER = (
    "lr_d",
    "diffaug_cutout",
    "diffaug_p",
    "match_grays",
    "spread",
    "share_images",
    "lecam",
    "pixel_weight",
    "spectrum_weight",
    "lr_decay",
    "enlarge_last",
)
"""Settings that older artefacts lack: left out of a record where they change nothing, so that those stay valid."""


@dataclass(frozen=True, kw_only=True)
class GanConfig:
    """Everything that decides the result of a training, apart from its images.

    Lengths of training and intervals are in kimg: thousands of real images shown to the discriminator.
    """

    aug: GanName
    preset: str
    resolution: int
    img_channels: int
    c_dim: int
    seed: int
    kimg: float | None
    """Length of training in images; None for no limit."""
    minutes: float | None
    """Length of training in time; None for no limit. With both, the first that is reached ends it."""

    z_dim: int
    w_dim: int
    mapping_layers: int
    channel_base: int
    channel_max: int
    batch: int
    mbstd_group_size: int
    discriminator: DiscriminatorName = "stylegan2"
    feature_network: str = "efficientnet-lite0"
    """Network whose features a projected discriminator judges; see `FeatureNetwork`."""
    feature_size: int = 0
    """Pixels to which images are enlarged for the feature network."""
    enlarge_last: float = 0.0
    """Last share of the training in which they are enlarged to twice as many, so that finer structure is judged."""
    feature_channels: int = 64
    """Width of a projected discriminator's mixed features and heads."""
    feature_weights: str = "auto"
    """Where the feature network's weights are; `feature_digest` says which they are."""
    feature_digest: str | None = None
    pixel_weight: float = 0.0
    """Weight, to the generator, of StyleGAN2's discriminator beside a projected one's heads; 0: there is none."""
    lr: float
    lr_d: float | None = None
    """Learning rate of the discriminator; None for `lr`."""
    lr_decay: float = 0.0
    """Last share of the training in which both learning rates decay linearly to 0."""
    share_images: bool = False
    """Let the discriminator's step judge the images of the generator's step, which comes first, instead of new ones."""
    lecam: float = 0.0
    """Weight of LeCam's regularisation of the discriminator."""
    spectrum_weight: float = 0.0
    """Weight of the generator's penalty on a power spectrum unlike the training images'; see `SpectrumPenalty`."""
    r1_gamma: float
    """Weight of R1: the gradient of StyleGAN2's discriminator with respect to the image, or, where there is none, of a
    projected discriminator's heads with respect to the mixed features."""
    ema_kimg: float
    ema_rampup: float | None
    """The average's half-life is at most this share of the images seen so far; None for no limit."""

    mirror: bool
    """Show every training image also mirrored left to right."""
    match_grays: bool = False
    """Give the finished generator a curve that makes its images' gray levels those of the training images."""
    spread: float = 1.0
    """How many times as far from its average as in training the finished generator's w lies."""
    style_mixing_prob: float = 0.9
    w_avg_decay: float = 0.995
    r1_interval: int = 16
    pl_interval: int = 4
    pl_weight: float = 2.0
    pl_decay: float = 0.01
    pl_batch_shrink: int = 2
    ada_target: float
    ada_interval: int = 4
    ada_kimg: float
    """Thousands of images in which p can go from 0 to 1."""
    ada_kimg_auto: bool
    """Whether `ada_kimg` was taken from the training's length (see `AUTO_ADA_SHARE`)."""
    ada_ops: str
    """ADA's operations by name; see `AdaOperations.named`."""
    ada_fill: float | None
    """What ADA puts beyond the image's border, in [-1, 1]; None reflects the image, as published."""
    diffaug_policy: tuple[str, ...]
    diffaug_fill: float
    """What DiffAug puts in place of what it removes, in [-1, 1]; 0 is the published mid-gray, -1 is black."""
    diffaug_cutout: float = PUBLISHED_CUTOUT
    """Side of DiffAug's cutout as a part of the image's."""
    diffaug_p: DiffAugP = "always"
    """Whether DiffAug's operations are applied always, as published, or with ADA's adaptive p."""
    freeze_d: int
    """Number of the discriminator's highest-resolution layers that keep their first parameters (Freeze-D)."""
    half_resolutions: int = 4
    """Number of the highest resolutions computed in the fast precision."""
    precision: str
    stop: StopName = "limit"
    """With "auto" training also ends once it gets no nearer to held-out images, and publishes the nearest generator."""
    stop_every: float | None = None
    """With "auto", kimg between measurements."""
    stop_features: str | None = None
    """With "auto", the extractor whose features it measures in."""

    tick_kimg: float
    """How often a line is written to the log."""
    save_kimg: float
    """How often the training's full state and a grid of samples are saved."""
    save_minutes: float
    """Training time after the last saved state at which the next one is saved."""

    @property
    def architecture(self) -> Architecture:
        """What the generator is built from."""
        return Architecture(**{name: getattr(self, name) for name in Architecture.model_fields})

    @property
    def augment(self) -> AugName:
        """What the discriminator sees images through."""
        return METHODS[self.aug].augment

    def rate_at(self, progress: float) -> float:
        """Return what the learning rates are multiplied by once this share of the training, 0 to 1, is done."""
        left = max(1 - progress, 0.0)
        return left / self.lr_decay if left < self.lr_decay else 1.0

    def feature_size_at(self, progress: float) -> int:
        """Return to how many pixels images are enlarged once this share of the training, 0 to 1, is done."""
        return 2 * self.feature_size if 1 - progress <= self.enlarge_last else self.feature_size

    @property
    def open_until(self) -> float:
        """Share of the training from which what is done depends on where its end is."""
        return min(1 - self.lr_decay, 1 - self.enlarge_last)

    @property
    def adapts(self) -> bool:
        """Whether ADA's controller sets the probability of augmentations."""
        return self.uses("ada") or (self.uses("diffaug") and self.diffaug_p == "adaptive")

    def uses(self, augmentation: str) -> bool:
        """Return whether "ada" or "diffaug" is part of what the discriminator sees images through."""
        return augmentation in self.augment.split("+")

    @property
    def penalises_paths(self) -> bool:
        """Whether the generator's path lengths are regularised."""
        return self.pl_weight > 0

    @property
    def penalises_gradients(self) -> bool:
        """Whether R1 steps are taken; StyleGAN2's also with a weight of 0, since they move its optimiser."""
        return self.r1_gamma > 0 or self.discriminator == "stylegan2"


def make_config(
    *,
    aug: str,
    preset: str,
    resolution: int,
    img_channels: int,
    c_dim: int,
    seed: int,
    precision: str,
    initialised: bool = False,
    **changes: Any,
) -> GanConfig:
    """Return a preset's settings for images of the given size, with changes.

    The resolution, in pixels, is a power of two from 8, and `c_dim` is the number of classes. `initialised` is for a
    training that starts from other networks. Changes are fields of `GanConfig`; those that are None keep the preset's
    value. With `minutes` alone the preset's kimg does not apply.

    Raises
    ------
    SettingsError
        A setting is unknown, impossible, or contradicts another.
    """
    values = settings_of_preset(preset, resolution)
    if aug not in METHODS:
        raise SettingsError(f"{aug!r} is not a GAN of the study.", f"Use one of {', '.join(METHODS)}.")
    if initialised and values["ada_kimg"] is not None:
        values["ada_kimg"] = ADA_KIMG_FROM_OTHERS
    values = _with_method(aug, values, changes, resolution)
    if initialised:  # whatever the discriminator's own ramp: the average is the source's from the first image on
        values["ema_rampup"] = changes.get("ema_rampup")
    values["ada_kimg_auto"] = values["ada_kimg"] is None
    if values["ada_kimg_auto"]:
        most = ADA_KIMG_FROM_OTHERS if initialised else ADA_KIMG
        values["ada_kimg"] = min(AUTO_ADA_SHARE * values["kimg"], most)
    if values["minutes"] is not None and changes.get("kimg") is None:
        values["kimg"] = None
    config = GanConfig(
        aug=aug,
        preset=preset,
        resolution=resolution,
        img_channels=img_channels,
        c_dim=c_dim,
        seed=seed,
        precision=precision,
        **values,
    )
    _check(config)
    return config


def _with_method(aug: str, preset: dict[str, Any], changes: dict[str, Any], resolution: int) -> dict[str, Any]:
    """Return a preset's settings with those of the GAN and its discriminator, and with the user's above all of them."""
    method = METHODS[cast("GanName", aug)].settings
    given = {name: value for name, value in changes.items() if value is not None}
    # A flag can only be switched on.
    given |= {name: True for name, value in method.items() if value is True and given.get(name) is False}
    chosen = given.get("discriminator", method.get("discriminator", "stylegan2"))
    if chosen not in DISCRIMINATORS:
        raise SettingsError(f"{chosen!r} is not a discriminator.", f"Use one of {', '.join(DISCRIMINATORS)}.")
    values: dict[str, Any] = {
        "minutes": None,
        "ada_fill": None,
        "diffaug_fill": PUBLISHED_FILL,
        "ada_target": ADA_TARGET,
    }
    pixels = given.get("pixel_weight", method.get("pixel_weight", 0)) > 0
    values |= preset | settings_of_discriminator(chosen, resolution, pixels=pixels) | dict(method) | given
    return values


def _check(config: GanConfig) -> None:
    group = config.mbstd_group_size
    if config.batch < 2 or config.batch % config.pl_batch_shrink:
        raise SettingsError(
            f"The batch must be an even number of images; it is {config.batch}.",
            f"Use --batch {max(config.batch + 1, 2)}.",
        )
    if config.batch % min(group, config.batch):
        raise SettingsError(
            f"The batch of {config.batch} must be a multiple of {group} images, over which minibatch standard "
            "deviation is taken.",
            f"Use --batch {math.ceil(config.batch / group) * group}.",
        )
    for name in (
        "kimg",
        "minutes",
        "lr",
        "lr_d",
        "tick_kimg",
        "save_kimg",
        "save_minutes",
        "ema_kimg",
        "ada_kimg",
        "spread",
    ):
        value = getattr(config, name)
        if value is not None and not 0 < value < math.inf:
            raise SettingsError(
                f"{name} must be greater than 0 and finite; it is {value}.", f"Change --{name.replace('_', '-')}."
            )
    for name in ("lr_decay", "enlarge_last"):
        if not 0 <= (value := getattr(config, name)) <= 1:
            raise SettingsError(
                f"{name} is a share of the training, 0 to 1; it is {value}.",
                f"Use --{name.replace('_', '-')} 0.25 for its last quarter, or 0 to do without.",
            )
    if config.enlarge_last > 0 and config.discriminator != "projected":
        raise SettingsError("--enlarge-last is for a projected discriminator.", "Leave it out.")
    if config.pixel_weight > 0 and config.discriminator != "projected":
        raise SettingsError("--pixel-weight is for a projected discriminator.", "Leave it out.")
    _check_augmentation(config)
    if config.discriminator == "projected" and config.feature_size < config.resolution:
        raise SettingsError(
            f"The feature network would see images of {config.resolution} pixels reduced to {config.feature_size}.",
            f"Use --feature-size {config.resolution} or more.",
        )
    for name in ("r1_gamma", "lecam", "spectrum_weight", "pixel_weight"):
        if (value := getattr(config, name)) < 0:
            raise SettingsError(
                f"{name} must not be negative; it is {value}.", f"Use --{name.replace('_', '-')} 0 or more."
            )


def _check_augmentation(config: GanConfig) -> None:
    """Refuse names of operations that there are not; the ranges of numbers are the options' own."""
    if config.uses("ada"):
        operations_of(config.ada_ops)
    if config.uses("diffaug"):
        check_policies(config.diffaug_policy)


def augmentation(config: GanConfig) -> Augment:
    """Return what the discriminator is shown images through."""
    from usgan_cli.gan.augment import make_augment

    return make_augment(
        config.augment,
        operations=config.ada_ops,
        ada_fill="reflect" if config.ada_fill is None else config.ada_fill,
        policy=config.diffaug_policy,
        fill=config.diffaug_fill,
        cutout=config.diffaug_cutout,
        adaptive=config.diffaug_p == "adaptive",
    )


def possible_splits(config: GanConfig, processes: int) -> list[int]:
    """Return into how many parts each process's rows of a batch can be cut, rising; `SettingsError` if in none."""
    columns = config.batch // min(config.mbstd_group_size, config.batch)
    regularised = config.batch // config.pl_batch_shrink
    cuts = [split for split in range(1, columns + 1) if columns % (processes * split) == 0]
    possible = [split for split in cuts if regularised % (processes * split) == 0]
    if not possible:
        raise SettingsError(
            f"A batch of {config.batch} in groups of {config.mbstd_group_size} cannot be shared by {processes} "
            "processes.",
            f"Use a --batch that is a multiple of {2 * config.mbstd_group_size * processes}.",
        )
    return possible


def chosen_split(config: GanConfig, processes: int, possible: Sequence[int], at_once: int | None) -> int:
    """Return the possible split for so many images at once (None: the coarsest); `SettingsError` if there is none."""
    if at_once is None:
        return possible[0]
    by_size = {config.batch // (processes * split): split for split in possible}
    if at_once not in by_size:
        raise SettingsError(
            f"--batch-gpu {at_once} does not divide the batch of {config.batch} evenly.",
            f"Use --batch-gpu {', '.join(str(size) for size in sorted(by_size))}.",
        )
    return by_size[at_once]


def settings_of(config: GanConfig) -> dict[str, Any]:
    """Return the settings that decide the result, as an artefact records them.

    How often the state is saved and the log written does not change what is learned, so it is left out.
    """
    values = dataclasses.asdict(config)
    for name in ("tick_kimg", "save_kimg", "save_minutes", "feature_weights"):
        del values[name]
    values["diffaug_policy"] = list(config.diffaug_policy)
    for name in ADDED_LATER:
        if values[name] == GanConfig.__dataclass_fields__[name].default:
            del values[name]
    if config.stop == "limit":
        del values["stop"], values["stop_every"], values["stop_features"]
    if config.discriminator == "stylegan2":
        values = {name: value for name, value in values.items() if not name.startswith(("feature_", "discriminator"))}
    if not config.uses("ada"):
        unused = ("ada_ops", "ada_fill") if config.adapts else ("ada_",)
        values = {name: value for name, value in values.items() if not name.startswith(unused)}
    if not config.uses("diffaug"):
        values = {name: value for name, value in values.items() if not name.startswith("diffaug_")}
    if not config.ada_kimg_auto:
        values.pop("ada_kimg_auto", None)
    return values
