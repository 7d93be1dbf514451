"""What earlier steps made: found by --aug --n --seed in the workspace, or by the folder named outright."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from usgan_cli.commands.common import NamedGan, OfGan
from usgan_cli.core.errors import DamagedError, MissingError, SettingsError
from usgan_cli.core.formats.dataset import DataManifest, Subset, read_manifest
from usgan_cli.core.images.sets import ImageSet, load_listed, load_split
from usgan_cli.core.store import files
from usgan_cli.core.store.remedy import remedy
from usgan_cli.core.store.workspace import Workspace
from usgan_cli.terminal.session import Session

EXTERNAL = "external test set "
"""Begins the role of an external test set among a classifier's inputs; its name follows."""

SYNTHETIC_OF_FOLD = "synthetic of fold "
"""Begins the role of one fold's generated images among the inputs of a strict classifier; the fold follows."""
SPLIT = "split "
"""Begins the role of a classifier of one of several splits among a comparison's inputs; seed and classifier follow."""


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset, its images not yet loaded."""

    folder: Path
    manifest: DataManifest

    @property
    def digest(self) -> str:
        """Content digest of what it is."""
        return self.manifest.content_digest()

    def load(self, subset: Subset) -> ImageSet:
        """Load the images of a subset."""
        name = f"n{subset.n}-s{subset.seed}"
        return load_listed(self.folder, self.manifest, subset.pick(self.manifest), name)

    def test_images(self) -> ImageSet:
        """Load the test images."""
        return load_split(self.folder, "test")

    def training_images(self) -> ImageSet:
        """Load all training images."""
        return load_split(self.folder, "train")


def find_data(session: Session, data: Path | None) -> Dataset:
    """Return the prepared dataset: the folder named, or the workspace's."""
    folder = data or session.workspace.data
    return Dataset(folder, read_manifest(folder))


def read_subset(session: Session, n: int, seed: int) -> Subset:
    """Read the subset of n images, or say how to draw it."""
    if (subset := find_subset(session, n, seed)) is not None:
        return subset
    there = session.workspace.data
    if (there / DataManifest.FILE).is_file() and n > (most := len(read_manifest(there).of("train"))):
        raise MissingError(
            f"There is no subset of {n} images, and none can be drawn: {there} has {most} training images.",
            f"Choose --n of at most {most}, or prepare more images.",
        )
    raise MissingError(
        f"The subset of {n} images (seed {seed}) has not been drawn: {session.workspace.subset(n, seed)} is missing.",
        f"Draw it: usgan subsample --n {n} --seed {seed}",
    )


def find_subset(session: Session, n: int, seed: int) -> Subset | None:
    """Return the subset of n images; None if it has not been drawn."""
    path = session.workspace.subset(n, seed)
    if not path.is_file():
        return None
    subset = Subset.read(path)
    if (subset.n, subset.seed) != (n, seed):
        raise DamagedError(f"{path} is the subset n={subset.n}, seed {subset.seed}.", remedy(path))
    return subset


def find_trained_on(session: Session, data: Dataset, n: int, seed: int, digest: str | None) -> Subset | None:
    """Return the subset that a GAN was trained on; None if the workspace has none of that n and seed, or another one.

    `digest` is the content digest of the GAN's, if it is on record: a subset of the same n and seed has other images
    where the dataset or its split is another.
    """
    subset = find_subset(session, n, seed)
    if subset is None or digest in {None, subset.content_digest()}:
        return subset
    if subset.data == data.digest:
        subset.pick(data.manifest)  # of this dataset it must be, whichever GAN is looked at
    return None


def find_gan(session: Session, options: NamedGan) -> Path:
    """Return the folder of a GAN: the one named, or the one that --aug --n --seed select."""
    return _named_or_selected(session, options, options.gan, "gan")


def find_images(session: Session, options: OfGan, named: Path | None) -> Path:
    """Return the folder of generated images: the one named, or the one that --aug --n --seed select."""
    return _named_or_selected(session, options, named, "synthetic")


def _named_or_selected(session: Session, options: OfGan, named: Path | None, kind: str) -> Path:
    if named is not None:
        if options.aug is not None or options.n is not None:
            raise SettingsError(f"--{kind} names the folder outright; leave out --aug and --n.")
        return named
    if options.aug is None or options.n is None:
        raise SettingsError(f"Which one? Give --aug and --n (and --seed), or --{kind} DIR.")
    workspace = session.workspace
    place, command = (workspace.gan, "train-gan") if kind == "gan" else (workspace.synthetic, "generate")
    folder = place(options.aug, options.n, options.seed)
    if not folder.is_dir():
        which = f"--aug {options.aug} --n {options.n} --seed {options.seed}"
        raise MissingError(f"There is no {folder}.", f"Make it: usgan {command} {which}")
    return folder


def compared_folder(workspace: Workspace, role: str, own_split: int | None = None) -> Path:
    """Return where a compared classifier lies, by its role among the inputs: "n50-s0/real", or "split 1 n50-s0/real".

    `own_split` is the split of the workspace itself, where several are compared.
    """
    *split, name = role.removeprefix(SPLIT).split(" ", maxsplit=1) if role.startswith(SPLIT) else (role,)
    home = workspace.split(int(split[0])) if split and int(split[0]) != own_split else workspace
    return home.root / "classifiers" / name


def weights_input(weights: str | None) -> dict[str, str]:
    """Return the content digest of a weights file that the user named, as an input of the step that uses it."""
    path = Path(weights or "")
    return {"weights": files.sha256_file(path)} if path.is_file() else {}


def quoted(path: Path) -> str:
    """Return a path as a shell takes it in a command."""
    return shlex.quote(str(path))
