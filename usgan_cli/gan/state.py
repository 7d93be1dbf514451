"""The state of a training: its parts, and how all of it is saved and restored exactly."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from usgan_cli.core.errors import FormatError
from usgan_cli.core.formats.generator import (
    CHECKPOINT_FOLDER,
    BestScore,
    Log,
    TrainingState,
    kimg_file,
    latest_state,
    prune_states,
)
from usgan_cli.core.formats.tensors import read_tensors, write_tensors
from usgan_cli.core.machine.device import torch_dtype
from usgan_cli.core.machine.seeds import torch_generator
from usgan_cli.gan.augment.controller import AdaController
from usgan_cli.gan.batches import named, under
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.losses import LeCam
from usgan_cli.gan.networks import Discriminator, DiscriminatorConfig, Generator
from usgan_cli.gan.projected.discriminator import ProjectedConfig, ProjectedDiscriminator


def discriminator_config(config: GanConfig) -> DiscriminatorConfig:
    """Return the discriminator's architecture; its label mapping keeps 8 layers with every preset."""
    return DiscriminatorConfig(
        resolution=config.resolution,
        img_channels=config.img_channels,
        c_dim=config.c_dim,
        channel_base=config.channel_base,
        channel_max=config.channel_max,
        mbstd_group_size=config.mbstd_group_size,
        half_resolutions=config.half_resolutions,
    )


def reached(folder: Path) -> dict[str, float]:
    """Return how far the training in a GAN's folder has come, by the settings that limit it."""
    state = latest_state(folder / CHECKPOINT_FOLDER)
    return {"kimg": state.images / 1000, "minutes": state.seconds / 60} if state else {"kimg": 0.0, "minutes": 0.0}


def make_discriminator(
    config: GanConfig, init: torch.Generator, device: torch.device
) -> Discriminator | ProjectedDiscriminator:
    """Return a training's discriminator with its first parameters.

    Raises
    ------
    WeightsError
        The weights of a projected discriminator's feature network are absent.
    """
    dtype = torch_dtype(config.precision)
    if config.discriminator == "projected":
        projected = ProjectedConfig(
            network=config.feature_network,
            size=config.feature_size,
            channels=config.feature_channels,
            c_dim=config.c_dim,
            weights=config.feature_weights,
            digest=config.feature_digest,
            pixels=discriminator_config(config) if config.pixel_weight > 0 else None,
        )
        return ProjectedDiscriminator(projected, init, device, dtype)
    discriminator = Discriminator(discriminator_config(config), init=init).to(device)
    discriminator.compute_dtype = dtype
    return discriminator


def lazy_adam(module: torch.nn.Module, lr: float, interval: int | None) -> torch.optim.Adam:
    """Return Adam for a network that is regularised every `interval` steps; None: never.

    Lazy regularisation (Karras et al. 2020, appendix B) takes k + 1 optimiser steps for k training steps, so the
    learning rate is multiplied by c = k / (k + 1) and the betas are raised to the power c.
    """
    c = 1.0 if interval is None else interval / (interval + 1)
    return torch.optim.Adam(module.parameters(), lr=lr * c, betas=(0.0, 0.99**c), eps=1e-8, fused=True)


@dataclass
class Training:
    """Everything that changes while a GAN is trained."""

    generator: Generator
    discriminator: Discriminator | ProjectedDiscriminator
    average: Generator
    """Moving average of the generator (G_ema), which makes the images."""
    adam_g: torch.optim.Adam
    adam_d: torch.optim.Adam
    ada: AdaController
    path_length_mean: Tensor
    lecam: LeCam | None = None
    """Averages of the discriminator's opinions, where LeCam's regularisation needs them."""
    spectrum: Tensor | None = None
    """Ratio of the generator's power spectrum to the training images' [H, W], where it is penalised."""
    step: int = 0
    images: int = 0
    seconds: float = 0.0
    best: BestScore | None = None
    samples: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the sheets of samples so far, by name."""
    rate: float = 1.0
    """What the learning rates are multiplied by; follows from how far the training is, so it is not saved."""
    reason_to_stop: str | None = None
    """Why it should end before its limits (`early_stop`); follows from the log, so it is not saved."""

    @classmethod
    def start(cls, config: GanConfig, device: torch.device) -> Training:
        """Return the state before the first step; parameters depend on the seed alone."""
        draws = torch_generator(config.seed, "parameters")
        generator = Generator(config.architecture, draws, half_resolutions=config.half_resolutions).to(device)
        discriminator = make_discriminator(config, draws, device)
        dtype = torch_dtype(config.precision)
        if dtype == torch.float64:
            generator, discriminator = generator.double(), discriminator.double()
        generator.compute_dtype = dtype
        lr_d = config.lr if config.lr_d is None else config.lr_d
        return cls(
            generator=generator,
            discriminator=discriminator,
            average=copy.deepcopy(generator).requires_grad_(False),
            adam_g=lazy_adam(generator, config.lr, config.pl_interval if config.penalises_paths else None),
            adam_d=lazy_adam(discriminator, lr_d, config.r1_interval if config.penalises_gradients else None),
            ada=AdaController(
                target=config.ada_target, interval=config.ada_interval, kimg=config.ada_kimg, device=device
            ),
            path_length_mean=torch.zeros((), device=device, dtype=generator.mapping.w_avg.dtype),
            spectrum=torch.ones([config.resolution] * 2, device=device, dtype=generator.mapping.w_avg.dtype)
            if config.spectrum_weight > 0
            else None,
            lecam=LeCam(device, generator.mapping.w_avg.dtype) if config.lecam > 0 else None,
        )

    def set_rate(self, rate: float) -> None:
        """Multiply the learning rates at which the optimisers began by this, from the next step on."""
        for adam in (self.adam_g, self.adam_d):
            for group in adam.param_groups:
                group["lr"] = adam.defaults["lr"] * rate
        self.rate = rate

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the state by name."""
        tensors: dict[str, Tensor] = {"path_length_mean": self.path_length_mean}
        if self.lecam is not None:
            tensors["lecam"] = self.lecam.means
        if self.spectrum is not None:
            tensors["spectrum"] = self.spectrum
        for prefix, network in self._networks().items():
            tensors |= named(prefix, network.state_dict())
        for prefix, (network, adam) in self._optimisers().items():
            for name, parameter in network.named_parameters():
                tensors |= named(f"{prefix}/{name}", adam.state.get(parameter, {}))
        return tensors

    def _networks(self) -> dict[str, torch.nn.Module]:
        return {"g": self.generator, "d": self.discriminator, "ema": self.average}

    def _optimisers(self) -> dict[str, tuple[torch.nn.Module, torch.optim.Adam]]:
        return {"adam_g": (self.generator, self.adam_g), "adam_d": (self.discriminator, self.adam_d)}

    def save(self, folder: Path, log: Log, keep: int = 1) -> None:
        """Save the state to `folder`, the tensors first, then the JSON that points to them; keep the newest `keep`.

        The state holds the log's length and digest.
        """
        data = folder / "tensors.partial"
        digest = write_tensors(data, self.tensors())
        state = TrainingState(
            step=self.step,
            images=self.images,
            p=self.ada.p,
            augment=self.ada.state_dict(),
            path_length_mean=float(self.path_length_mean),
            seconds=self.seconds,
            log_bytes=log.size(),
            log_sha256=log.digest(),
            best=self.best,
            tensors=digest,
            samples=self.samples,
        )
        data.replace(state.tensor_file(folder))
        state.write(folder / kimg_file(self.images / 1000, ".json"))
        prune_states(folder, keep)

    def load(self, state: TrainingState, folder: Path) -> None:
        """Restore a state that `save` wrote to `folder`; `FormatError` if its tensors do not fit these networks."""
        tensors = read_tensors(state.tensor_file(folder), state.tensors)
        try:
            for prefix, network in self._networks().items():
                network.load_state_dict(under(prefix, tensors))
            for prefix, (network, adam) in self._optimisers().items():
                for name, parameter in network.named_parameters():
                    if parameter.requires_grad:
                        moments = under(f"{prefix}/{name}", tensors)
                        adam.state[parameter] = {key: _laid_out_like(parameter, m) for key, m in moments.items()}
        except (RuntimeError, KeyError) as error:
            raise FormatError(
                f"{folder} does not fit this network: {error}.", "Train again with --force, or use another --out."
            ) from None
        self.path_length_mean.copy_(tensors["path_length_mean"])
        if self.lecam is not None:
            self.lecam.means.copy_(tensors["lecam"])
        if self.spectrum is not None:
            self.spectrum.copy_(tensors["spectrum"])
        self.ada.load_state_dict(state.augment)
        self.step, self.images, self.seconds = state.step, state.images, state.seconds
        self.best, self.samples = state.best, dict(state.samples)


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """Return a value on the parameter's device and, unless it is a scalar, in its memory layout.

    The fused optimiser walks a parameter and its moments in memory order and does not check that they agree.
    """
    if value.ndim == 0:
        return value.to(parameter.device)
    return torch.empty_like(parameter, requires_grad=False).copy_(value)
