"""Starting a training from networks that were trained before, on these images or on others.

What fits by name and shape is taken. Networks for another number of image channels are adapted so that they do on
gray images what they did before, an unconditional generator becomes one that ignores the class at first, and every
other layer keeps its fresh parameters. Freezing the discriminator's first layers is Freeze-D (Mo, Cho and Shin 2020,
"Freeze the Discriminator: a Simple Baseline for Fine-Tuning GANs"), counted as in StyleGAN2-ADA.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from usgan_cli.core.errors import FormatError, MissingError, SettingsError
from usgan_cli.core.formats.generator import (
    CHECKPOINT_FOLDER,
    GeneratorDocument,
    latest_state,
    networks_digest,
    read_generator,
)
from usgan_cli.core.formats.tensors import check_finite, read_tensors
from usgan_cli.core.store import files
from usgan_cli.gan.batches import under
from usgan_cli.gan.init.stylegan2_pickle import read_published
from usgan_cli.gan.networks import Discriminator
from usgan_cli.gan.projected.discriminator import ProjectedDiscriminator

Tensors = Mapping[str, Tensor]

W_AVG = "mapping.w_avg"
EMBED = "mapping.embed.weight"
LAST_CONV = "b4.conv.weight"
"""A layer that StyleGAN2's discriminator has at every size."""
PIXELS = "pixels."
"""Begins the names of a discriminator of pixels inside a projected one."""
FROM_RGB = re.compile(r"((?:pixels\.)?)b\d+\.fromrgb\.(weight|bias)")
MOST_NAMED = 8
"""Number of layers named in a message before the rest are counted."""


@dataclass(frozen=True)
class Transfer:
    """Which layers of a network were taken from another one. A layer's parameters are taken together or not at all."""

    taken: tuple[str, ...]
    """Layers taken as they are."""
    adapted: dict[str, str]
    """Layers taken in another form, with what was changed."""
    fresh: dict[str, str]
    """Layers that keep their fresh parameters, with the reason."""
    left: tuple[str, ...]
    """Layers of the source that this network has no place for."""

    def describe(self) -> str:
        """Return in words what was taken."""
        total = len(self.taken) + len(self.adapted) + len(self.fresh)
        parts = [f"{len(self.taken)} of {total} layers taken"]
        parts += [f"adapted {change}: {_listed(names)}" for change, names in _grouped(self.adapted.items()).items()]
        parts += [f"fresh ({why}): {_listed(names)}" for why, names in _grouped(self.fresh.items()).items()]
        if self.left:
            parts.append(f"left out: {_listed(self.left)}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Source:
    """Tensors of networks to start from, under the names of published checkpoints; None for an absent network."""

    generator: Tensors | None
    discriminator: Tensors | None
    average: Tensors | None
    """Moving average of the generator (G_ema)."""
    description: str
    digest: str
    """SHA-256 of the file, or of what it was read from."""


@torch.no_grad()
def transfer(target: nn.Module, source: Tensors) -> Transfer:
    """Load into a generator or a discriminator what fits of another one's tensors; the other layers stay as they are.

    `source` has parameters and buffers under the names of published checkpoints; constant filters are passed over, and
    so is a finished generator's curve of gray levels, which belongs to the images that it was trained on.

    With other image channels, gray standing for equal channels: the discriminator's `fromrgb` sums its weights over
    the input channels, the generator's `torgb` averages weights and bias over the output channels, and the other way
    round shares or repeats them. From an unconditional generator the first mapping layer is taken with zeros for the
    class. Weights of another number of inputs are scaled so that, multiplied by the gain of the equalised learning
    rate, they are what they were.
    """
    own = target.state_dict()
    theirs = {
        name: value for name, value in source.items() if not name.endswith(("resample_filter", "gray_curve", "spread"))
    }
    taken: dict[str, dict[str, Tensor]] = {}
    adapted: dict[str, str] = {}
    fresh: dict[str, str] = {}
    used: set[str] = set()
    for layer, names in _layers(own).items():
        origin = {name: _origin(name, theirs) for name in names}
        used |= {_layer(name) for name in origin.values()}
        if any(name not in theirs for name in origin.values()):
            fresh[layer] = "not in the source"
            continue
        fitted = {name: _fitted(name, theirs[origin[name]], own, theirs) for name in names}
        values = {name: fit[0] for name, fit in fitted.items() if fit is not None}
        if len(values) < len(names):
            fresh[layer] = "for another number of classes" if EMBED in names else "of another shape"
            continue
        taken[layer] = values
        changes = [fit[1] for fit in fitted.values() if fit is not None and fit[1]]
        changes += ["from another resolution" for name in names if origin[name] != name]
        if changes:
            adapted[layer] = changes[0]
    left = tuple(layer for layer in _layers(theirs) if layer not in used)
    # While the class adds nothing, w_avg stays right although the embedding is fresh.
    ignored = {"mapping.embed"} if "mapping.fc0" in adapted else set()
    if W_AVG in taken and any(layer.startswith("mapping.") for layer in {*fresh, *left} - ignored):
        del taken[W_AVG]
        fresh[W_AVG] = "the mapping is not the source's"
    for values in taken.values():
        for name, value in values.items():
            own[name].copy_(value)
    return Transfer(tuple(layer for layer in taken if layer not in adapted), adapted, fresh, left)


def _grouped(items: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the first of each pair by the second."""
    groups: dict[str, list[str]] = defaultdict(list)
    for item, group in items:
        groups[group].append(item)
    return dict(groups)


def _layers(tensors: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of tensors by layer."""
    return _grouped((name, _layer(name)) for name in tensors)


def _layer(name: str) -> str:
    """Return the layer of a tensor: a convolution's style belongs to it."""
    parent, _, leaf = name.rpartition(".")
    return name if leaf in ("const", "w_avg") else parent.removesuffix(".affine")


def _origin(name: str, theirs: Tensors) -> str:
    """Return a tensor's name in the source, where `fromrgb` stands at the source's own resolution."""
    if name not in theirs and (match := FROM_RGB.fullmatch(name)):
        at_others = (other for other in theirs if (m := FROM_RGB.fullmatch(other)) and m.groups() == match.groups())
        return next(at_others, name)
    return name


def _fitted(name: str, value: Tensor, own: Tensors, theirs: Tensors) -> tuple[Tensor, str] | None:
    """Return a source's tensor in the shape of the target's, and how it was adapted; None if it does not fit."""
    shape = own[name].shape
    if value.shape == shape:
        return value, ""
    value = value.float()
    if value.ndim == len(shape) and name.endswith(("fromrgb.weight", "torgb.weight", "torgb.bias")):
        axis = 1 if "fromrgb" in name else 0
        before, after = value.shape[axis], shape[axis]
        mean = value.mean(axis, keepdim=True)
        if "fromrgb" in name:
            mean = mean * math.sqrt(before / after)
        if 1 in (before, after) and (*value.shape[:axis], after, *value.shape[axis + 1 :]) == tuple(shape):
            return mean.expand(shape), f"from {before} image channel{'s' * (before > 1)} to {after}"
    if name == "mapping.fc0.weight" and value.ndim == 2 and EMBED in own and EMBED not in theirs:
        outputs, inputs = value.shape
        if shape == (outputs, inputs + own[EMBED].shape[0]):
            extended = own[name].new_zeros(shape)
            extended[:, :inputs] = value * math.sqrt(shape[1] / inputs)
            return extended, "from a network without classes"
    return None


def _listed(names: Collection[str]) -> str:
    first = ", ".join(list(names)[:MOST_NAMED])
    return first if len(names) <= MOST_NAMED else f"{first} and {len(names) - MOST_NAMED} more"


def read_source(path: Path) -> Source:
    """Read the networks that a training may start from, which must be finite.

    `path` is a published StyleGAN2-ADA (PyTorch) `.pkl`; the folder of a GAN, finished or in training; or the
    `generator.safetensors` of one.
    """
    if path.is_dir():
        source = _from_folder(path)
    elif not path.exists():
        raise MissingError(f"{path} does not exist.")
    elif path.suffix == ".pkl":
        networks = read_published(path)
        g, d, average = (networks.get(name) for name in ("G", "D", "G_ema"))
        source = Source(g, d, average, f"the published networks {path}", files.sha256_file(path))
    elif path.suffix == ".safetensors":
        source = Source(None, None, read_tensors(path, foreign=True), f"the generator {path}", files.sha256_file(path))
    else:
        raise FormatError(
            f"{path} is not something that a training can start from.",
            "Give a GAN's folder, its generator.safetensors, or a published StyleGAN2-ADA (PyTorch) .pkl.",
        )
    _check(path, source)
    return source


def _from_folder(folder: Path) -> Source:
    """Return the newest state of a GAN's training, and its finished generator where there is one."""
    state = latest_state(folder / CHECKPOINT_FOLDER)
    if state is None:
        document, average = read_generator(folder)
        return Source(None, None, average, f"the generator of {folder}", networks_digest(None, document))
    tensors = read_tensors(state.tensor_file(folder / CHECKPOINT_FOLDER), state.tensors)
    generator, discriminator, average = (under(prefix, tensors) for prefix in ("g", "d", "ema"))
    digest, description = networks_digest(state, None), f"the training in {folder} at {state.images / 1000:g} kimg"
    if (folder / GeneratorDocument.FILE).is_file():
        document, average = read_generator(folder)
        digest, description = networks_digest(state, document), f"the GAN {folder}"
    return Source(generator, discriminator, average, description, digest)


def _check(path: Path, source: Source) -> None:
    if source.generator is None and source.average is None:
        raise FormatError(f"{path} has no generator.")
    for network, needed in (
        (source.generator, ("synthesis.b4.const",)),
        (source.average, ("synthesis.b4.const",)),
        (source.discriminator, (LAST_CONV, "mixing.across_channels.0.weight")),
    ):
        if network is not None and not any(name in network for name in needed):
            raise FormatError(f"{path} does not hold StyleGAN2 networks: there is no {' or '.join(needed)} in it.")
        check_finite(path, network or {})


def apply_source(
    source: Source,
    generator: nn.Module,
    discriminator: Discriminator | ProjectedDiscriminator,
    average: nn.Module,
    freeze: int = 0,
) -> str:
    """Load what fits of a source into fresh networks, freeze `freeze` layers of the discriminator, and describe both.

    Generator and average are both loaded, from the same tensors where the source has only one. Call this while the
    average is a copy of the generator, so that layers which stay fresh are the same in both. No layer may be frozen
    at its fresh parameters.
    """
    for_generator, for_average = source.generator or source.average, source.average or source.generator
    if for_generator is None or for_average is None:
        raise SettingsError(f"There is no generator to start from in {source.description}.", "Use another --init.")
    loaded = transfer(generator, for_generator)
    if not any("conv" in layer for layer in loaded.taken):
        raise SettingsError(
            f"Nothing of {source.description} fits this generator: {loaded.describe()}.",
            "Its channels differ at every resolution. Choose the preset that it was trained with.",
        )
    transfer(average, for_average)
    lines = [f"From {source.description}. Generator: {loaded.describe()}."]
    if source.discriminator is None:
        lines.append("Discriminator: fresh, the source has none.")
    else:
        loaded_d = transfer(discriminator, _named_for(discriminator, source.discriminator))
        lines.append(f"Discriminator: {loaded_d.describe()}.")
    if freeze > 0:
        if isinstance(discriminator, ProjectedDiscriminator):
            raise SettingsError(
                "--freeze-d is for StyleGAN2's discriminator; of a projected one only the heads learn.",
                "Leave it out.",
            )
        frozen = freezable_layers(discriminator)[:freeze]
        fresh = frozen if source.discriminator is None else [layer for layer in frozen if layer in loaded_d.fresh]
        if fresh:
            raise SettingsError(
                f"--freeze-d would freeze layers at random values: {source.description} has no {_listed(fresh)}.",
                "Use a lower --freeze-d, or another --init.",
            )
        freeze_discriminator(discriminator, freeze)
        lines.append(f"Frozen: {_listed(frozen)}.")
    return " ".join(lines)


def _named_for(discriminator: Discriminator | ProjectedDiscriminator, theirs: Tensors) -> Tensors:
    """Return a source's discriminator under the names of another: StyleGAN2's may judge pixels beside a projected one.

    It is then the part `PIXELS` of that one.
    """
    inside = any(name.startswith(PIXELS) for name in theirs)
    if isinstance(discriminator, Discriminator) and inside:
        return {name.removeprefix(PIXELS): value for name, value in theirs.items() if name.startswith(PIXELS)}
    if isinstance(discriminator, ProjectedDiscriminator) and discriminator.pixels is not None and LAST_CONV in theirs:
        return {f"{PIXELS}{name}": value for name, value in theirs.items()}
    return theirs


def freezable_layers(discriminator: Discriminator) -> list[str]:
    """Return the discriminator's convolutions from the image inwards, as StyleGAN2-ADA counts them for `--freezed`.

    They are `fromrgb` of the first block, then `conv0`, `conv1` and `skip` of every block but the last (4 pixels).
    """
    blocks = [f"b{resolution}" for resolution in discriminator.block_resolutions]
    inner = [f"{block}.{layer}" for block in blocks for layer in ("conv0", "conv1", "skip")]
    return [f"{blocks[0]}.fromrgb", *inner]


def freeze_discriminator(discriminator: Discriminator, layers: int) -> list[str]:
    """Freeze the `layers` convolutions nearest to the image (Freeze-D); return the names of the frozen parameters."""
    names = freezable_layers(discriminator)
    if not 0 <= layers <= len(names):
        raise SettingsError(
            f"{layers} layers of the discriminator cannot be frozen: it has {len(names)} convolutions that may be.",
            f"Use --freeze-d with a number from 0 to {len(names)}.",
        )
    frozen = []
    for layer in names[:layers]:
        for name, parameter in discriminator.get_submodule(layer).named_parameters():
            parameter.requires_grad_(False)
            frozen.append(f"{layer}.{name}")
    return frozen
