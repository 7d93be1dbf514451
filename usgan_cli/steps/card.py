"""`usgan card`: model cards, a dataset card with Croissant metadata, and a CLAIM checklist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from usgan_cli.commands.card import Card
from usgan_cli.core.errors import MissingError
from usgan_cli.core.store import files
from usgan_cli.core.store.document import read_main
from usgan_cli.core.store.lifecycle import making_folder
from usgan_cli.core.store.step import Outcome, Step
from usgan_cli.reporting.cards import CardsSummary, write_cards
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.reading import collect
from usgan_cli.reporting.verdict import judge_study
from usgan_cli.steps.report import declared_analysis
from usgan_cli.terminal.session import Session

REVISION = 2
PLANNED = "planned"
"""The input of cards that is not the place of a record."""


def run(options: Card, session: Session) -> Outcome:
    """Write the cards, if any record has changed."""
    workspace = session.workspace
    records = collect(workspace)
    if records.data is None:
        raise MissingError(f"{workspace.data} holds no prepared dataset.", "Make one: usgan prepare SOURCE")
    analysis = declared_analysis(workspace)
    settings = options.recorded() | {"margin": analysis.margin, "primary": analysis.primary}
    inputs = records.digests | {PLANNED: files.digest_json(list(analysis.planned))}
    step = Step("card", REVISION, settings, inputs)
    with making_folder(options.out or workspace.cards, step, _summary, session.request, on_new_inputs="redo") as making:
        if making.needed:
            study = Study.of(records)
            making.document = write_cards(study, judge_study(study, analysis), options.license, making.place)
    return making.outcome


def _summary(path: Path) -> dict[str, Any]:
    return read_main(path, CardsSummary).model_dump(exclude={"run"})
