"""`usgan subsample`: draw small training sets, each within the next larger one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usgan_cli import options
from usgan_cli.commands.inputs import data_folder
from usgan_cli.commands.session import Session

if TYPE_CHECKING:
    from usgan_cli.core.store.lifecycle import Outcome

REVISION = 1


def subsample(
    session: Session,
    n: Annotated[list[int], typer.Option("--n", min=1, help="Size of a subset, images; may be given more than once.")],
    seed: options.Seed = 0,
    data: options.Data = None,
) -> list[Outcome]:
    """Draw nested, stratified subsets of the training images: the 50 are among the 100, and so on."""
    from usgan_cli.core.formats.dataset import Subset, read_manifest
    from usgan_cli.core.store import lifecycle
    from usgan_cli.data.subsample import subsample as draw

    manifest = read_manifest(data_folder(session, data))
    digest = manifest.content_digest()

    def summary(path: Path) -> dict[str, Any]:
        subset = Subset.read(path)
        return {"n": subset.n, "seed": subset.seed, "counts": subset.class_counts(manifest)}

    def make(size: int) -> Outcome:
        step = lifecycle.Step("subsample", REVISION, {"n": size, "seed": seed}, {"data": digest})
        return lifecycle.make_file(
            session.workspace.subset(size, seed), step, lambda: draw(manifest, size, seed), summary, session.request
        )

    return [make(size) for size in n]
