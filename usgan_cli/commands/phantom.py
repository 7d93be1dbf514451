"""`usgan phantom`: simulated B-mode breast images, so that everything runs with nothing downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usgan_cli import options
from usgan_cli.commands.session import Session

if TYPE_CHECKING:
    from usgan_cli.core.store.lifecycle import Outcome

REVISION = 1


def phantom(
    session: Session,
    out: Annotated[Path, typer.Argument(help="Folder to write: one subfolder a class (normal, benign, malignant).")],
    count: Annotated[int, typer.Option(min=6, help="Images in all, in the class proportions of BUSI.")] = 780,
    size: Annotated[int, typer.Option(min=16, max=1024, help="Height and width, pixels.")] = 256,
    seed: options.Seed = 0,
) -> Outcome:
    """Simulate B-mode ultrasound images of breast tissue: speckle from scatterers and a point-spread function."""
    from usgan_cli.core.formats.dataset import Phantoms
    from usgan_cli.core.store import files, lifecycle
    from usgan_cli.data.phantom import PhantomConfig, write_phantoms

    config = PhantomConfig(count=count, size=size, seed=seed)

    def work(folder: Path) -> Phantoms:
        write_phantoms(config, folder, session.progress)
        written = sorted(folder.rglob("*.png"))
        document = Phantoms(
            counts=dict(config.class_counts()),
            size=size,
            seed=seed,
            images={path.relative_to(folder).as_posix(): files.sha256_file(path) for path in written},
        )
        document.write(folder / "phantoms.json")
        return document

    def summary(path: Path) -> dict[str, Any]:
        document = Phantoms.read(path / "phantoms.json")
        return {"counts": document.counts, "size": document.size}

    step = lifecycle.Step("phantom", REVISION, {"count": count, "size": size, "seed": seed})
    return lifecycle.make_folder(out, step, work, summary, session.request)
