"""How commands find what earlier steps made: by --aug --n --seed in the workspace, or by the folder named outright."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from usgan_cli.commands.session import Session
from usgan_cli.core.errors import MissingError, SettingsError

if TYPE_CHECKING:
    from usgan_cli.core.formats.dataset import DataManifest, Subset
    from usgan_cli.core.images.sets import ImageSet


def data_folder(session: Session, data: Path | None) -> Path:
    """Return the prepared dataset's folder: the one named, or the workspace's."""
    return data or session.workspace.data


def read_subset(session: Session, n: int, seed: int) -> Subset:
    """Read the subset of n images, or say how to draw it."""
    from usgan_cli.core.formats.dataset import Subset

    path = session.workspace.subset(n, seed)
    if not path.is_file():
        raise MissingError(
            f"The subset of {n} images (seed {seed}) has not been drawn: {path} is missing.",
            f"Draw it: usgan subsample --n {n} --seed {seed}{work_option(session)}",
        )
    return Subset.read(path)


def load_subset(folder: Path, manifest: DataManifest, subset: Subset) -> ImageSet:
    """Load the subset's images."""
    from usgan_cli.core.images.sets import load_listed

    return load_listed(folder, manifest, subset.pick(manifest), f"n{subset.n}-s{subset.seed}")


def check_aug(aug: str) -> str:
    """Return the name of an augmentation, or raise if there is none of that name."""
    from usgan_cli.gan.config import AUGS

    if aug not in AUGS:
        raise SettingsError(f"There is no GAN called {aug!r}.", f"Use --aug {', '.join(AUGS)}.")
    return aug


def named_or_selected(
    session: Session, named: Path | None, kind: str, aug: str | None, n: int | None, seed: int
) -> Path:
    """Return the folder named outright, or the one that --aug --n --seed select.

    Parameters
    ----------
    kind : {"gan", "synthetic"}

    Raises
    ------
    SettingsError
        Neither was given, or both were.
    """
    if named is not None:
        if aug is not None or n is not None:
            raise SettingsError(f"--{kind} names the folder outright; leave out --aug and --n.")
        return named
    if aug is None or n is None:
        raise SettingsError(f"Which one? Give --aug and --n (and --seed), or --{kind} DIR.")
    place, maker = {
        "gan": (session.workspace.gan, "train-gan"),
        "synthetic": (session.workspace.synthetic, "generate"),
    }[kind]
    folder = place(check_aug(aug), n, seed)
    if not folder.is_dir():
        raise MissingError(
            f"There is no {folder}.", f"Make it: usgan {maker} --aug {aug} --n {n} --seed {seed}{work_option(session)}"
        )
    return folder


def weights_input(weights: str | None) -> dict[str, str]:
    """Return the content digest of a weights file that the user named, as an input of the step that uses it."""
    from usgan_cli.core.store import files

    path = Path(weights or "")
    return {"weights": files.sha256_file(path)} if path.is_file() else {}


def work_option(session: Session) -> str:
    """Return the option that hints must carry when the workspace is not the default one."""
    root = session.workspace.root
    return "" if root == Path("work") else f" --work {root}"
