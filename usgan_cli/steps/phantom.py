"""`usgan phantom`: simulated B-mode breast images, so that everything runs with nothing downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from usgan_cli.commands.phantom import Phantom
from usgan_cli.core.formats.dataset import Phantoms
from usgan_cli.core.options import settings_for
from usgan_cli.core.store import files
from usgan_cli.core.store.document import read_main
from usgan_cli.core.store.lifecycle import making_folder
from usgan_cli.core.store.step import Outcome, Step
from usgan_cli.data.phantom import PhantomConfig, write_phantoms
from usgan_cli.terminal.session import Session

REVISION = 1


def run(options: Phantom, session: Session) -> Outcome:
    """Simulate a folder of images."""
    config = PhantomConfig(**settings_for(options, PhantomConfig))
    step = Step("phantom", REVISION, options.recorded(config))
    with making_folder(options.out, step, _summary, session.request) as making:
        if making.needed:
            write_phantoms(config, making.place, session.progress)
            making.document = _list(config, making.place)
    return making.outcome


def _list(config: PhantomConfig, folder: Path) -> Phantoms:
    """Write and return the list of the images in a folder."""
    images = {path.relative_to(folder).as_posix(): files.sha256_file(path) for path in sorted(folder.rglob("*.png"))}
    document = Phantoms(counts=dict(config.class_counts()), size=config.size, seed=config.seed, images=images)
    document.write(folder / Phantoms.FILE)
    return document


def _summary(path: Path) -> dict[str, Any]:
    document = read_main(path, Phantoms)
    return {"counts": document.counts, "size": document.size}
