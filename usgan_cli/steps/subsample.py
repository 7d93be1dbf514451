"""`usgan subsample`: draw small training sets, each within the next larger one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from usgan_cli.commands.subsample import Subsample
from usgan_cli.core.formats.dataset import DataManifest, Subset
from usgan_cli.core.store.lifecycle import making_file
from usgan_cli.core.store.step import Outcome, Step
from usgan_cli.data.subsample import check_size, subsample
from usgan_cli.steps.inputs import find_data
from usgan_cli.terminal.session import Session

REVISION = 1


def run(options: Subsample, session: Session) -> list[Outcome]:
    """Draw a subset of each size."""
    data = find_data(session, options.data)
    outcomes = []
    for n in options.n:
        check_size(data.manifest, n)
        settings = {**options.recorded(), "n": n, "seed": options.seed}
        target, summary = session.workspace.subset(n, options.seed), partial(_summary, data.manifest)
        places = session.workspace.places(target, {"data": data.folder})
        step = Step("subsample", REVISION, settings, {"data": data.digest}, places)
        with making_file(target, step, summary, session.request) as making:
            if making.needed:
                making.document = subsample(data.manifest, n, options.seed)
        outcomes.append(making.outcome)
    return outcomes


def _summary(manifest: DataManifest, path: Path) -> dict[str, Any]:
    subset = Subset.read(path)
    return {"n": subset.n, "seed": subset.seed, "counts": subset.class_counts(manifest)}
